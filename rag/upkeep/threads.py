"""Check chat.db or the Postgres database of the chats; salvage what can be read of chat.db into a new file."""

from __future__ import annotations

import sqlite3
from contextlib import closing, suppress
from pathlib import Path

from rag.history import Place, transaction

PARTS = ("", "-wal", "-shm")  # files of an SQLite database


def check_threads(path: Path) -> str:
    """Return what is wrong with the database, "" if nothing is or there is none. Changes nothing."""
    if not path.exists():
        return ""
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as connection:
            (found,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    except sqlite3.Error as error:
        return str(error)
    return "" if found == "ok" else str(found).splitlines()[-1]


def count_threads(place: Place) -> int:
    """Return how many chats there are. Raises DatabaseFailed where the database cannot be reached or read."""
    with closing(place.connect()) as connection, transaction(connection, writing=False):
        found = connection.execute("SELECT COUNT(*) AS n FROM threads", {})
    return int(found[0]["n"]) if isinstance(found, list) else 0


def salvage_threads(path: Path, aside: Path) -> str:
    """Move a damaged database aside and write what can be read of it to a new one; return what was done."""
    aside.mkdir(parents=True, exist_ok=True)
    for part in PARTS:
        with suppress(FileNotFoundError):
            path.with_name(path.name + part).rename(aside / (path.name + part))
    damaged, draft = aside / path.name, path.with_name(f"{path.name}.new")
    draft.unlink(missing_ok=True)
    try:
        with closing(sqlite3.connect(damaged)) as source, closing(sqlite3.connect(draft)) as target:
            rows = _copy(source, target)
            target.commit()
        draft.rename(path)
    except sqlite3.Error as error:
        draft.unlink(missing_ok=True)
        return f"nothing of it can be read ({error}): it is in {aside}, and the next start of the chat makes a new one"
    return f"kept the {rows:,} rows that can be read; the damaged file is in {aside}"


def _copy(source: sqlite3.Connection, target: sqlite3.Connection) -> int:
    """Copy tables row by row from both ends, then indexes and triggers; return the number of rows."""
    made = source.execute("SELECT type, name, sql FROM sqlite_master WHERE sql IS NOT NULL").fetchall()
    kept = 0
    for name, sql in ((name, sql) for kind, name, sql in made if kind == "table" and not name.startswith("sqlite_")):
        target.execute(sql)
        for order in ("ASC", "DESC"):
            key = "1" if "WITHOUT ROWID" in sql.upper() else "rowid"
            try:
                for row in source.execute(f'SELECT * FROM "{name}" ORDER BY {key} {order}'):
                    marks = ", ".join("?" * len(row))
                    kept += target.execute(f'INSERT OR IGNORE INTO "{name}" VALUES ({marks})', row).rowcount
                break
            except sqlite3.DatabaseError:
                continue  # a damaged page: go on from the other end
    for sql in (sql for kind, _, sql in made if kind in ("index", "trigger")):
        target.execute(sql)
    return kept
