"""What keeps chats from being kept in a Postgres database, and what to do about it.

Why by its catalogs: they can be read by whoever may connect, and say what may be done before anything is. A user who
may only read would otherwise start a chat in which nothing can be written.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rag.history.address import NAME
from rag.history.database import Fault

if TYPE_CHECKING:
    from sqlalchemy import Connection as Opened

SCHEMA, LAYOUT = "thumbtune", 1  # raised by a release that changes the tables
OURS = ("users", "threads", "steps", "elements", "feedbacks", "deleted", "folded", "layout")
MOST_NAMED = 3  # tables of another program
STATE = f"""
SELECT current_setting('server_encoding') AS encoding, pg_is_in_recovery() AS is_standby,
    current_setting('transaction_read_only') = 'on' AS is_read_only,
    quote_ident(current_user) AS who, quote_ident(current_database()) AS name, n.oid IS NOT NULL AS has_schema,
    has_database_privilege(current_database(), 'CREATE') AS makes_schema,
    has_schema_privilege(n.oid, 'USAGE') AS enters, has_schema_privilege(n.oid, 'CREATE') AS makes_tables,
    ARRAY(SELECT relname::TEXT FROM pg_class WHERE relnamespace = n.oid AND relkind <> 'i' ORDER BY relname) AS tables,
    EXISTS (SELECT 1 FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND NOT a.attisdropped
        WHERE c.relnamespace = n.oid AND c.relname = 'layout' AND a.attname = 'version') AS is_ours,
    NOT EXISTS (SELECT 1 FROM pg_class WHERE relnamespace = n.oid AND relname IN {OURS}
        AND NOT (has_table_privilege(oid, 'SELECT') AND (relname = 'layout' OR has_table_privilege(oid, 'INSERT')
        AND has_table_privilege(oid, 'UPDATE') AND has_table_privilege(oid, 'DELETE')))) AS writes,
    NOT EXISTS (SELECT 1 FROM pg_proc WHERE pronamespace = n.oid AND proname IN ('instr', 'is_deleted')
        AND NOT has_function_privilege(oid, 'EXECUTE')) AS calls
FROM (SELECT 1) AS one LEFT JOIN pg_namespace n ON n.nspname = '{SCHEMA}'
"""
STEPS = {  # in an error of the server -> what to do
    "password authentication failed": f"check the user and the password in {NAME}",
    "no password supplied": f"give the password in {NAME}, or in PGPASSWORD",
    "pg_hba.conf": "let this machine in, in the server's pg_hba.conf",
    "does not exist": f"create the database and the user, or correct {NAME}",
    "permission denied for database": "let the user connect: GRANT CONNECT ON DATABASE",
    "permission denied": "grant the user what is denied, or name another one in " + NAME,
    "conversion between": "create a database with ENCODING 'UTF8' for the chats",
    "translate host name": f"correct the host in {NAME}",
    "server does not support SSL": "take sslmode out of the address, or switch SSL on at the server",
}
REACH = f"check that the server runs and can be reached, and {NAME}"


def find_fault(opened: Opened) -> Fault | None:
    """Return what keeps chats from being kept in a database, None if nothing does. Changes nothing."""
    now = opened.exec_driver_sql(STATE).one()
    if now.encoding != "UTF8":
        return Fault(f"is in {now.encoding}", "create a database with ENCODING 'UTF8' for the chats")
    if now.is_standby:
        return Fault("is a standby, which is read-only", f"name its primary in {NAME}")
    if now.is_read_only:
        step = "set default_transaction_read_only to off for the database and the user, or name another database"
        return Fault("is read-only", step)
    return _fault_of_tables(opened, now) if now.is_ours else _fault_before_tables(now)


def _fault_before_tables(now: Any) -> Fault | None:  # noqa: ANN401  # a row of STATE
    if not now.has_schema:
        step = f"GRANT CREATE ON DATABASE {now.name} TO {now.who}"
        return None if now.makes_schema else Fault(f"{now.who} may not create a schema in it", step)
    if now.tables:
        others = ", ".join(now.tables[:MOST_NAMED])
        return Fault(f"its schema {SCHEMA} is another program's, with {others}", f"name another database in {NAME}")
    step = f"GRANT USAGE, CREATE ON SCHEMA {SCHEMA} TO {now.who}"
    can = now.enters and now.makes_tables
    return None if can else Fault(f"{now.who} may not create tables in its schema {SCHEMA}", step)


def _fault_of_tables(opened: Opened, now: Any) -> Fault | None:  # noqa: ANN401
    rights = {
        "USAGE ON SCHEMA": now.enters,
        "SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA": now.writes,
        "EXECUTE ON ALL FUNCTIONS IN SCHEMA": now.calls,
    }
    if not all(rights.values()):
        step = "; ".join(f"GRANT {right} {SCHEMA} TO {now.who}" for right, has in rights.items() if not has)
        return Fault(f"{now.who} may not read and write the chats in it", step)
    version = opened.exec_driver_sql(f"SELECT MAX(version) FROM {SCHEMA}.layout").scalar()
    if version is not None and int(version) > LAYOUT:
        return Fault("was made by a newer release", "update thumbtune, or name another database")
    if missing := sorted(set(OURS).difference(now.tables)):
        step = f"take the schema from a backup, or name another database in {NAME}"
        return Fault(f"its schema {SCHEMA} lacks {', '.join(missing)}", step)
    return None


def step_after(error: str) -> str:
    """Return what to do about an error of the server, by its text."""
    return next((step for part, step in STEPS.items() if part in error), REACH)
