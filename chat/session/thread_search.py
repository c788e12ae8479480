"""Full-text search over threads: names, questions and answers, case-folded into a table of `chat.db`.

Why: SQLite's lower() handles ASCII only, so texts are folded in Python, at the first search after they were written or
changed; triggers delete the folded text of a changed row.
"""

from __future__ import annotations

import json
import re
import sqlite3
import unicodedata
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from rag.errors import StoreFailed

BATCH = 500  # rows in memory at once; a card takes about ten kilobytes
MAX_WORDS, MAX_WORD = 8, 100  # words of a search, characters of a word; a search comes from a browser
TABLES = """
CREATE TABLE IF NOT EXISTS folded ("threadId" TEXT, id TEXT, text TEXT NOT NULL, PRIMARY KEY ("threadId", id))
    WITHOUT ROWID;
CREATE TRIGGER IF NOT EXISTS thread_renamed AFTER UPDATE OF name ON threads WHEN OLD.name IS NOT NEW.name
    BEGIN DELETE FROM folded WHERE "threadId" = OLD.id AND id = OLD.id; END;
CREATE TRIGGER IF NOT EXISTS step_changed AFTER UPDATE OF output ON steps WHEN OLD.output IS NOT NEW.output
    BEGIN DELETE FROM folded WHERE "threadId" = OLD."threadId" AND id = OLD.id; END;
CREATE TRIGGER IF NOT EXISTS step_gone AFTER DELETE ON steps
    BEGIN DELETE FROM folded WHERE "threadId" = OLD."threadId" AND id = OLD.id; END;
CREATE TRIGGER IF NOT EXISTS element_changed AFTER UPDATE OF props ON elements WHEN OLD.props IS NOT NEW.props
    BEGIN DELETE FROM folded WHERE "threadId" = OLD."threadId" AND id = OLD.id; END;
CREATE TRIGGER IF NOT EXISTS element_gone AFTER DELETE ON elements
    BEGIN DELETE FROM folded WHERE "threadId" = OLD."threadId" AND id = OLD.id; END;
"""
NEW = """
SELECT x.* FROM (
    SELECT id AS "threadId", id, 'name' AS kind, name AS text FROM threads WHERE "userId" = :user AND name <> ''
    UNION ALL SELECT s."threadId", s.id, 'step', s.output FROM threads t JOIN steps s ON s."threadId" = t.id
        WHERE t."userId" = :user AND s.type LIKE '%message' AND s.output <> ''
    UNION ALL SELECT e."threadId", e.id, 'element', COALESCE(e.props, '')
        FROM threads t JOIN elements e ON e."threadId" = t.id WHERE t."userId" = :user
) x WHERE NOT EXISTS (SELECT 1 FROM folded f WHERE f."threadId" = x."threadId" AND f.id = x.id)
"""
HAS_WORD = """EXISTS (SELECT 1 FROM folded f WHERE f."threadId" = t.id AND instr(f.text, :word{n}))"""
LINK = re.compile(r"\[(\d+)\]\(#passage-\d+\)")  # a citation, as chat.elements.card writes it


def fold(text: str) -> str:
    """Return a text in the form in which texts are compared: NFKC and case-folded."""
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())


def threads_matching(search: str) -> tuple[str, dict[str, str]]:
    """Return an SQL condition for threads t that contain every word of a search, and its parameters."""
    words = [word[:MAX_WORD] for word in fold(search).split()[:MAX_WORDS]]
    condition = " AND ".join(HAS_WORD.format(n=n) for n in range(len(words)))
    return condition or "TRUE", {f"word{n}": word for n, word in enumerate(words)}


def catch_up(path: Path, user_id: str) -> None:
    """Fold what was added to a user's threads since the last search. Raises StoreFailed."""
    try:
        with closing(sqlite3.connect(path, isolation_level=None)) as connection:
            connection.execute("BEGIN IMMEDIATE")  # nothing changes between reading a text and writing it folded
            new = connection.execute(NEW, {"user": user_id})
            while rows := new.fetchmany(BATCH):
                folded = [(thread, id_, fold(plain(kind, text))) for thread, id_, kind, text in rows]
                connection.executemany("INSERT INTO folded VALUES (?, ?, ?)", folded)
            connection.execute("COMMIT")
    except sqlite3.Error as error:
        raise StoreFailed(f"{path}: the chats cannot be searched ({error}): try again, or restart the chat") from error


def plain(kind: str, text: str) -> str:
    """Return the visible text of a stored name, step or element."""
    if kind == "element":
        text = "\n".join(_answers(text))
    return re.sub(r"\\([^\w\s])", r"\1", LINK.sub(r"[\1]", text))


def _answers(props: str) -> Iterator[str]:
    """Yield the answers of a card; other elements are not searched."""
    try:
        sides = json.loads(props or "{}").get("sides", [])
    except (ValueError, AttributeError):
        return
    for side in sides if isinstance(sides, list) else []:
        if isinstance(side, dict):
            yield str(side.get("text", ""))
