"""A Postgres database that several chats share: the schema `thumbtune` in it, made by whoever comes first.

Why psycopg, and in a thread: docs/decisions/0040. Why the locks: SQLite has one writer, Postgres has many. A message
that another chat writes while its thread is deleted takes a shared lock of the thread, the deletion an exclusive one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import cached_property
from typing import TYPE_CHECKING, Any

from rag.errors import BadSetting, StoreFailed
from rag.history.address import NAME, parse_address
from rag.history.database import Connection, DatabaseFailed, Fault, Result
from rag.history.faults import SCHEMA, find_fault, step_after

if TYPE_CHECKING:
    from sqlalchemy import Connection as Opened
    from sqlalchemy import Engine

MAKING = 0x7468756D62  # an advisory lock: one chat makes the tables, the others wait
PATIENCE = 10.0  # seconds for a statement, which takes milliseconds: then the server is taken for gone
CONNECT = {  # libpq's, where the address does not say otherwise
    "connect_timeout": "5",
    "application_name": "thumbtune",
    "keepalives_idle": "10",
    "keepalives_interval": "5",
    "keepalives_count": "3",
    "tcp_user_timeout": "10000",
}
GONE = ("08", "53", "57P", "25006")  # states of SQL: connection, resources, shutting down, a standby
CREATE = f"CREATE SCHEMA {SCHEMA}"  # asks for a right that whoever was given the schema need not have
TABLES = """
SET LOCAL search_path TO thumbtune;
CREATE TABLE users (id TEXT COLLATE "C" PRIMARY KEY, identifier TEXT NOT NULL UNIQUE, metadata TEXT NOT NULL,
    "createdAt" TEXT);
CREATE TABLE threads (id TEXT COLLATE "C" PRIMARY KEY, "createdAt" TEXT COLLATE "C", name TEXT, "userId" TEXT,
    "userIdentifier" TEXT, tags TEXT, metadata TEXT);
CREATE TABLE steps (id TEXT PRIMARY KEY, name TEXT NOT NULL, type TEXT NOT NULL, "threadId" TEXT NOT NULL,
    "parentId" TEXT, streaming BOOLEAN NOT NULL, "waitForAnswer" BOOLEAN, "isError" BOOLEAN, metadata TEXT, tags TEXT,
    input TEXT, output TEXT, "createdAt" TEXT COLLATE "C", command TEXT, modes TEXT, start TEXT, "end" TEXT,
    generation TEXT, "showInput" TEXT, language TEXT, indent INT, "defaultOpen" BOOLEAN, "autoCollapse" BOOLEAN,
    icon TEXT);
CREATE TABLE elements (id TEXT PRIMARY KEY, "threadId" TEXT, type TEXT, url TEXT, "chainlitKey" TEXT,
    name TEXT NOT NULL, display TEXT, "objectKey" TEXT, size TEXT, page INT, language TEXT, "forId" TEXT, mime TEXT,
    props TEXT, "autoPlay" BOOLEAN, "playerConfig" TEXT);
CREATE TABLE feedbacks (id TEXT PRIMARY KEY, "forId" TEXT NOT NULL, "threadId" TEXT, value INT NOT NULL, comment TEXT);
CREATE TABLE deleted (id TEXT PRIMARY KEY);
CREATE TABLE folded ("threadId" TEXT, id TEXT, text TEXT NOT NULL, PRIMARY KEY ("threadId", id));
CREATE INDEX threads_user ON threads ("userId");
CREATE INDEX steps_time ON steps ("threadId", "createdAt");
CREATE INDEX elements_thread ON elements ("threadId");

CREATE FUNCTION instr(whole TEXT, part TEXT) RETURNS INT LANGUAGE sql IMMUTABLE AS 'SELECT strpos(whole, part)';
CREATE FUNCTION is_deleted(thread TEXT) RETURNS BOOLEAN LANGUAGE plpgsql AS $$ BEGIN
    PERFORM pg_advisory_xact_lock_shared(hashtextextended(thread, 0));
    RETURN EXISTS (SELECT 1 FROM thumbtune.deleted WHERE id = thread);
END $$;
CREATE FUNCTION thread_stays_deleted() RETURNS TRIGGER LANGUAGE plpgsql AS $$ BEGIN
    RETURN CASE WHEN thumbtune.is_deleted(NEW.id) THEN NULL ELSE NEW END;
END $$;
CREATE FUNCTION part_stays_deleted() RETURNS TRIGGER LANGUAGE plpgsql AS $$ BEGIN
    RETURN CASE WHEN thumbtune.is_deleted(NEW."threadId") THEN NULL ELSE NEW END;
END $$;
CREATE FUNCTION not_changed() RETURNS TRIGGER LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$;
CREATE FUNCTION unfold_name() RETURNS TRIGGER LANGUAGE plpgsql AS $$ BEGIN
    DELETE FROM thumbtune.folded WHERE "threadId" = OLD.id AND id = OLD.id;
    RETURN NULL;
END $$;
CREATE FUNCTION unfold() RETURNS TRIGGER LANGUAGE plpgsql AS $$ BEGIN
    DELETE FROM thumbtune.folded WHERE "threadId" = OLD."threadId" AND id = OLD.id;
    RETURN NULL;
END $$;

CREATE TRIGGER threads_stay_deleted BEFORE INSERT ON threads FOR EACH ROW EXECUTE FUNCTION thread_stays_deleted();
CREATE TRIGGER steps_stay_deleted BEFORE INSERT ON steps FOR EACH ROW EXECUTE FUNCTION part_stays_deleted();
CREATE TRIGGER elements_stay_deleted BEFORE INSERT ON elements FOR EACH ROW EXECUTE FUNCTION part_stays_deleted();
CREATE TRIGGER steps_stay_in_thread BEFORE UPDATE OF "threadId" ON steps FOR EACH ROW
    WHEN (NEW."threadId" <> OLD."threadId") EXECUTE FUNCTION not_changed();
CREATE TRIGGER threads_stay_with_user BEFORE UPDATE OF "userId" ON threads FOR EACH ROW
    WHEN (NEW."userId" <> OLD."userId") EXECUTE FUNCTION not_changed();
CREATE TRIGGER thread_renamed AFTER UPDATE OF name ON threads FOR EACH ROW
    WHEN (OLD.name IS DISTINCT FROM NEW.name) EXECUTE FUNCTION unfold_name();
CREATE TRIGGER step_changed AFTER UPDATE OF output ON steps FOR EACH ROW
    WHEN (OLD.output IS DISTINCT FROM NEW.output) EXECUTE FUNCTION unfold();
CREATE TRIGGER step_gone AFTER DELETE ON steps FOR EACH ROW EXECUTE FUNCTION unfold();
CREATE TRIGGER element_changed AFTER UPDATE OF props ON elements FOR EACH ROW
    WHEN (OLD.props IS DISTINCT FROM NEW.props) EXECUTE FUNCTION unfold();
CREATE TRIGGER element_gone AFTER DELETE ON elements FOR EACH ROW EXECUTE FUNCTION unfold();

CREATE TABLE layout (version INT NOT NULL);
INSERT INTO layout VALUES (1);
"""


class PostgresServer:
    """The database that an address names."""

    is_shared = True
    before_delete: Sequence[str] = ("SELECT pg_advisory_xact_lock(hashtextextended(:id, 0))",)
    and_lock = "FOR SHARE OF x SKIP LOCKED"
    patience: float | None = PATIENCE

    def __init__(self, given: str) -> None:
        """Read the address; nothing is connected yet. Raises BadSetting."""
        self._address = parse_address(given)
        self.shown = self._address.shown

    def make_tables(self) -> None:
        """Create the tables, unless another chat has. Raises BadSetting without the driver, and StoreFailed."""
        if fault := self._look(self._make):
            raise StoreFailed(f"{self.shown}: {fault}")

    def find_fault(self) -> Fault | None:
        """Return what keeps chats from being kept in it, None if nothing does; changes nothing. Raises BadSetting."""
        return self._look(find_fault)

    def _look(self, work: Callable[[Opened], Fault | None]) -> Fault | None:
        """Do some work in a transaction, and return what it found, or why there was none."""
        try:
            with self._engine.connect() as opened, opened.begin():
                return work(opened)
        except _errors() as error:
            return Fault(f"the chat history cannot be opened ({self._failed(error)})", step_after(str(_cause(error))))

    def _make(self, opened: Opened) -> Fault | None:
        opened.exec_driver_sql(f"SELECT pg_advisory_xact_lock({MAKING})")
        if fault := find_fault(opened):
            return fault
        if opened.exec_driver_sql(f"SELECT to_regnamespace('{SCHEMA}')").scalar() is None:
            opened.exec_driver_sql(CREATE)
        if opened.exec_driver_sql(f"SELECT to_regclass('{SCHEMA}.layout')").scalar() is None:
            opened.execution_options(no_parameters=True).exec_driver_sql(TABLES)
        return None

    def connect(self) -> Connection:
        """Return a new connection; it reaches the server at its first statement."""
        return _PostgresConnection(self)

    @cached_property
    def _engine(self) -> Engine:
        try:
            import psycopg
            from psycopg.conninfo import conninfo_to_dict
            from sqlalchemy import create_engine
        except ImportError:
            raise BadSetting(
                f"{NAME}={self.shown}: the driver of Postgres is missing: pip install 'thumbtune[postgres]'"
            ) from None
        try:
            options = CONNECT | {name: str(value) for name, value in conninfo_to_dict(self._address.given).items()}
        except psycopg.Error:  # its text may have a part of the password
            raise BadSetting(
                f"{NAME}={self.shown}: after the ? is an option that Postgres does not know: correct it"
            ) from None
        options["client_encoding"] = "UTF8"  # in that of a database in SQL_ASCII, texts are bytes
        return create_engine(
            "postgresql+psycopg://",
            # prepared statements are lost where PgBouncer hands each transaction to another connection
            creator=lambda: psycopg.connect(**options, prepare_threshold=None),  # type: ignore[arg-type]
            pool_size=2,  # one writes, one folds texts for a search
            pool_pre_ping=True,
            hide_parameters=True,
        )

    def open(self) -> Opened:
        """Return a connection of the pool, in a transaction. Raises DatabaseFailed."""
        try:
            opened = self._engine.connect()
            opened.exec_driver_sql(f"SET LOCAL search_path TO {SCHEMA}")  # each time: see PgBouncer above
            return opened
        except _errors() as error:
            raise self._failed(error) from None

    def _failed(self, error: Exception) -> DatabaseFailed:
        """Return what has failed in one line, without the password."""
        cause = _cause(error)
        state = getattr(cause, "sqlstate", None)
        lines = [line.strip() for line in str(cause).splitlines() if line.strip()]
        text = lines[0].rpartition("connection failed: ")[2] if lines else type(cause).__name__
        if "Multiple connection attempts failed" in text and len(lines) > 1:
            text = lines[-1].lstrip("- ")
        if self._address.password and self._address.password in text:
            text = type(cause).__name__
        is_lost = bool(getattr(error, "connection_invalidated", False)) or (state is None and _is_operational(error))
        return DatabaseFailed(
            text.removesuffix("."),
            is_gone=is_lost or bool(state and state.startswith(GONE)),
            is_missing=state == "42P01",
        )


class _PostgresConnection:
    """A connection of the pool for each transaction: a server that was restarted is reached again."""

    def __init__(self, server: PostgresServer) -> None:
        self._server = server
        self._opened: Opened | None = None

    def begin(self, *, writing: bool) -> None:
        self._opened = self._server.open()

    def execute(self, text: str, values: Mapping[str, Any]) -> Result:
        from sqlalchemy import text as statement

        given = {name: value.replace("\0", "\N{REPLACEMENT CHARACTER}") if isinstance(value, str) else value
                 for name, value in values.items()}  # fmt: skip  # Postgres has no character 0
        try:
            done = self._now().execute(statement(text), given)
            return [dict(row) for row in done.mappings()] if done.returns_rows else done.rowcount
        except _errors() as error:
            raise self._server._failed(error) from None

    def commit(self) -> None:
        try:
            self._now().commit()
        except _errors() as error:
            raise self._server._failed(error) from None
        self._now().close()

    def rollback(self) -> None:
        if self._opened:
            with suppress(*_errors()):
                self._opened.close()

    def checkpoint(self) -> None:
        """Do nothing: Postgres removes deleted rows by itself."""

    def close(self) -> None:
        self.rollback()

    def _now(self) -> Opened:
        if self._opened is None:
            raise DatabaseFailed("no transaction has begun")
        return self._opened


def _errors() -> tuple[type[Exception], ...]:
    from sqlalchemy.exc import SQLAlchemyError

    return (SQLAlchemyError, OSError)


def _cause(error: Exception) -> Any:  # noqa: ANN401  # the driver's error
    return getattr(error, "orig", None) or error


def _is_operational(error: Exception) -> bool:
    from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
    from sqlalchemy.exc import TimeoutError as PoolTimeout

    return isinstance(error, OperationalError | InterfaceError | PoolTimeout | OSError) or (
        isinstance(error, DBAPIError) and error.connection_invalidated
    )
