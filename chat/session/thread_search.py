"""Full-text search over threads: names, questions and answers, case-folded into a table of the history.

Why: SQLite's lower() handles ASCII only, and Postgres's knows no case folding, so texts are folded in Python, at the
first search after they were written or changed; triggers delete the folded text of a changed row.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterator
from contextlib import closing
from typing import Any

from rag.errors import StoreFailed
from rag.history import Connection, DatabaseFailed, Place, transaction

BATCH = 500  # rows in memory at once; a card takes about ten kilobytes
MAX_WORDS, MAX_WORD = 8, 100  # words of a search, characters of a word; a search comes from a browser
UNFOLDED = 'NOT EXISTS (SELECT 1 FROM folded f WHERE f."threadId" = {thread} AND f.id = x.id)'
NEW = {  # kind -> texts of a user's threads that are not folded yet
    "name": (
        "SELECT x.id AS thread, x.id, x.name AS text FROM threads x WHERE x.\"userId\" = :user AND x.name <> '' AND "
        + UNFOLDED.format(thread="x.id")
    ),
    "step": (
        'SELECT x."threadId" AS thread, x.id, x.output AS text FROM threads t JOIN steps x ON x."threadId" = t.id '
        "WHERE t.\"userId\" = :user AND x.type LIKE '%message' AND x.output <> '' AND "
        + UNFOLDED.format(thread='x."threadId"')
    ),
    "element": (
        "SELECT x.\"threadId\" AS thread, x.id, COALESCE(x.props, '') AS text "
        'FROM threads t JOIN elements x ON x."threadId" = t.id WHERE t."userId" = :user AND '
        + UNFOLDED.format(thread='x."threadId"')
    ),
}
FOLD = 'INSERT INTO folded ("threadId", id, text) VALUES (:thread, :id, :text) ON CONFLICT DO NOTHING'
HAS_WORD = """EXISTS (SELECT 1 FROM folded f WHERE f."threadId" = t.id AND instr(f.text, :word{n}) > 0)"""
LINK = re.compile(r"\[(\d+)\]\(#passage-\d+\)")  # a citation, as chat.elements.card writes it


def fold(text: str) -> str:
    """Return a text in the form in which texts are compared: NFKC and case-folded."""
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())


def threads_matching(search: str) -> tuple[str, dict[str, str]]:
    """Return an SQL condition for threads t that contain every word of a search, and its parameters."""
    words = [word[:MAX_WORD] for word in fold(search).split()[:MAX_WORDS]]
    condition = " AND ".join(HAS_WORD.format(n=n) for n in range(len(words)))
    return condition or "TRUE", {f"word{n}": word for n, word in enumerate(words)}


def catch_up(place: Place, user_id: str) -> None:
    """Fold what was added to a user's threads since the last search. Raises StoreFailed."""
    try:
        with closing(place.connect()) as connection:
            for kind, new in NEW.items():
                while _fold_some(connection, kind, f"{new} LIMIT {BATCH} {place.and_lock}", user_id) == BATCH:
                    continue
    except DatabaseFailed as error:
        raise StoreFailed(f"the chats cannot be searched ({error}): try again, or restart the chat") from error


def _fold_some(connection: Connection, kind: str, new: str, user_id: str) -> int:
    """Fold some texts, which do not change between being read and being written folded; return how many."""
    with transaction(connection):
        rows: Any = connection.execute(new, {"user": user_id})
        for row in sorted(rows, key=lambda each: each["id"]):  # two chats that fold the same wait for each other
            connection.execute(FOLD, {**row, "text": fold(plain(kind, row["text"]))})
    return len(rows)


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
