"""chat.db: one SQLite file in the home folder, with triggers, and the texts that searches read.

Why triggers: a message has the id that its browser chose, and Chainlit writes it over the step of that id, whoever's.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from rag.errors import StoreFailed
from rag.history.database import Connection, DatabaseFailed, Fault, Result

WAIT_SECONDS = 60.0  # for a turn to write; a statement takes milliseconds
TABLES = """
CREATE TABLE IF NOT EXISTS users (id TEXT PRIMARY KEY, identifier TEXT NOT NULL UNIQUE, metadata TEXT NOT NULL,
    "createdAt" TEXT);
CREATE TABLE IF NOT EXISTS threads (id TEXT PRIMARY KEY, "createdAt" TEXT, name TEXT, "userId" TEXT,
    "userIdentifier" TEXT, tags TEXT, metadata TEXT);
CREATE TABLE IF NOT EXISTS steps (id TEXT PRIMARY KEY, name TEXT NOT NULL, type TEXT NOT NULL,
    "threadId" TEXT NOT NULL, "parentId" TEXT, streaming BOOLEAN NOT NULL, "waitForAnswer" BOOLEAN, "isError" BOOLEAN,
    metadata TEXT, tags TEXT, input TEXT, output TEXT, "createdAt" TEXT, command TEXT, modes TEXT, start TEXT,
    "end" TEXT, generation TEXT, "showInput" TEXT, language TEXT, indent INT, "defaultOpen" BOOLEAN,
    "autoCollapse" BOOLEAN, icon TEXT);
CREATE TABLE IF NOT EXISTS elements (id TEXT PRIMARY KEY, "threadId" TEXT, type TEXT, url TEXT, "chainlitKey" TEXT,
    name TEXT NOT NULL, display TEXT, "objectKey" TEXT, size TEXT, page INT, language TEXT, "forId" TEXT, mime TEXT,
    props TEXT, "autoPlay" BOOLEAN, "playerConfig" TEXT);
CREATE TABLE IF NOT EXISTS feedbacks (id TEXT PRIMARY KEY, "forId" TEXT NOT NULL, "threadId" TEXT, value INT NOT NULL,
    comment TEXT);
CREATE INDEX IF NOT EXISTS threads_user ON threads ("userId");
DROP INDEX IF EXISTS steps_thread;
CREATE INDEX IF NOT EXISTS steps_time ON steps ("threadId", "createdAt");
CREATE INDEX IF NOT EXISTS elements_thread ON elements ("threadId");
CREATE TABLE IF NOT EXISTS deleted (id TEXT PRIMARY KEY) WITHOUT ROWID;
CREATE TRIGGER IF NOT EXISTS threads_stay_deleted BEFORE INSERT ON threads
    WHEN EXISTS (SELECT 1 FROM deleted WHERE id = NEW.id) BEGIN SELECT RAISE(IGNORE); END;
CREATE TRIGGER IF NOT EXISTS steps_stay_deleted BEFORE INSERT ON steps
    WHEN EXISTS (SELECT 1 FROM deleted WHERE id = NEW."threadId") BEGIN SELECT RAISE(IGNORE); END;
CREATE TRIGGER IF NOT EXISTS steps_stay_in_thread BEFORE UPDATE OF "threadId" ON steps
    WHEN NEW."threadId" <> OLD."threadId" BEGIN SELECT RAISE(IGNORE); END;
CREATE TRIGGER IF NOT EXISTS threads_stay_with_user BEFORE UPDATE OF "userId" ON threads
    WHEN NEW."userId" <> OLD."userId" BEGIN SELECT RAISE(IGNORE); END;
CREATE TRIGGER IF NOT EXISTS elements_stay_deleted BEFORE INSERT ON elements
    WHEN EXISTS (SELECT 1 FROM deleted WHERE id = NEW."threadId") BEGIN SELECT RAISE(IGNORE); END;
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
MOVE = "move the file away; ratings and models are stored elsewhere and stay"


class SQLiteFile:
    """The file that chats are kept in."""

    is_shared = False
    before_delete: Sequence[str] = ("PRAGMA secure_delete = ON",)  # the text is overwritten
    and_lock = ""  # a writer is alone
    patience: float | None = None  # its own timeout ends a statement

    def __init__(self, path: Path) -> None:
        self.path, self.shown = path, str(path)

    def make_tables(self) -> None:
        """Create missing tables. Raises StoreFailed if the file cannot be opened or is not a database."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with closing(sqlite3.connect(self.path)) as connection:
                connection.execute("PRAGMA journal_mode = WAL")  # a reader never waits for a writer
                connection.executescript(TABLES)
        except (OSError, sqlite3.Error) as error:
            is_other = "not a database" in str(error) or "malformed" in str(error)
            full = "free some space, then try again" if "full" in str(error) else ""
            step = MOVE if is_other else full or "make THUMBTUNE_HOME writable, or move it"
            raise StoreFailed(f"{self.path}: the chat history cannot be opened ({error}): {step}") from error

    def find_fault(self) -> Fault | None:
        """Return None: what is wrong with a file is known where it is opened."""

    def connect(self) -> Connection:
        """Return a new connection. Raises DatabaseFailed."""
        try:
            return _SQLiteConnection(self.path)
        except sqlite3.Error as error:
            raise DatabaseFailed(str(error)) from error


class _SQLiteConnection:
    """A connection to the file, which any thread may use."""

    def __init__(self, path: Path) -> None:
        self._connection = sqlite3.connect(path, timeout=WAIT_SECONDS, isolation_level=None, check_same_thread=False)
        self._connection.row_factory = sqlite3.Row

    def begin(self, *, writing: bool) -> None:
        self._run("BEGIN IMMEDIATE" if writing else "BEGIN")  # at once: what it reads stays as it is

    def execute(self, text: str, values: Mapping[str, Any]) -> Result:
        cursor = self._run(text, values)
        return cursor.rowcount if cursor.description is None else [dict(row) for row in cursor.fetchall()]

    def commit(self) -> None:
        self._run("COMMIT")

    def rollback(self) -> None:
        if self._connection.in_transaction:
            self._run("ROLLBACK")

    def checkpoint(self) -> None:
        self._run("PRAGMA wal_checkpoint(TRUNCATE)")

    def close(self) -> None:
        self._connection.close()

    def _run(self, text: str, values: Mapping[str, Any] | None = None) -> sqlite3.Cursor:
        try:
            return self._connection.execute(text, values or {})
        except sqlite3.Error as error:
            raise DatabaseFailed(str(error), is_missing="no such table" in str(error)) from error
