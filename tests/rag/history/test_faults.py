"""What keeps chats from being kept in a Postgres database is one line with its next step, before anything is done."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import closing

import pytest

from postgres import Postgres, running_postgres
from rag.errors import StoreFailed
from rag.history import PostgresServer, transaction

SECRET = "guest-secret"
GRANT_ALL = (
    'GRANT USAGE ON SCHEMA thumbtune TO "Guest"; '
    'GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA thumbtune TO "Guest"'
)


@pytest.fixture
def url(postgres: Postgres) -> Iterator[str]:
    """Give a new database, and a role `Guest` without a right in it."""
    url = postgres.new_database()
    postgres.query(url, f"CREATE ROLE \"Guest\" LOGIN PASSWORD '{SECRET}'")
    yield url
    postgres.query(url, 'DROP OWNED BY "Guest"; DROP ROLE "Guest"')


def as_guest(url: str) -> PostgresServer:
    return PostgresServer(f"postgresql://Guest:{SECRET}@{url.rpartition('@')[2]}")


def refusal(server: PostgresServer) -> str:
    """Return the line with which a database is refused at the start; the doctor's is the same."""
    with pytest.raises(StoreFailed) as refused:
        server.make_tables()
    line, fault = str(refused.value), server.find_fault()
    assert fault
    assert line == f"{server.shown}: {fault}"
    assert "\n" not in line
    assert SECRET not in line
    return line


def granted(line: str) -> str:
    """Return the statements that a line names as its next step."""
    return re.search("GRANT .*", line)[0]  # type: ignore[index]


def write_and_read(server: PostgresServer) -> None:
    with closing(server.connect()) as connection, transaction(connection):
        connection.execute("INSERT INTO threads (id) VALUES ('t')", {})
        connection.execute("UPDATE threads SET name = 'named' WHERE id = 't'", {})
        assert connection.execute("SELECT id FROM threads WHERE instr(name, 'am') > 0", {}) == [{"id": "t"}]
        connection.execute("DELETE FROM threads", {})


@pytest.mark.parametrize(
    "rights",
    [
        "SELECT 1",
        'GRANT SELECT ON ALL TABLES IN SCHEMA thumbtune TO "Guest"',
        'GRANT USAGE ON SCHEMA thumbtune TO "Guest"',
        'GRANT USAGE ON SCHEMA thumbtune TO "Guest"; GRANT SELECT ON ALL TABLES IN SCHEMA thumbtune TO "Guest"',
        f'{GRANT_ALL}; REVOKE DELETE ON thumbtune.folded FROM "Guest"',
        f"{GRANT_ALL}; REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA thumbtune FROM PUBLIC",
    ],
)
def test_a_user_who_may_not_write_the_tables_is_told_what_to_grant(postgres: Postgres, url: str, rights: str) -> None:
    PostgresServer(url).make_tables()
    postgres.query(url, rights)
    guest = as_guest(url)
    line = refusal(guest)
    assert '"Guest" may not read and write the chats in it: GRANT ' in line
    postgres.query(url, granted(line))
    guest.make_tables()
    write_and_read(guest)


def test_what_others_keep_in_the_schema_needs_no_right(postgres: Postgres, url: str) -> None:
    PostgresServer(url).make_tables()
    postgres.query(url, f"{GRANT_ALL}; CREATE TABLE thumbtune.threads_in_may AS SELECT * FROM thumbtune.threads")
    as_guest(url).make_tables()


def test_a_user_who_may_not_make_the_tables_is_told_what_to_grant(postgres: Postgres, url: str) -> None:
    guest = as_guest(url)
    line = refusal(guest)
    assert '"Guest" may not create a schema in it: GRANT CREATE ON DATABASE chats_' in line
    postgres.query(url, "CREATE SCHEMA thumbtune")
    line = refusal(guest)
    assert '"Guest" may not create tables in its schema thumbtune: GRANT USAGE, CREATE ON SCHEMA thumbtune TO' in line
    postgres.query(url, granted(line))
    guest.make_tables()
    write_and_read(guest)


def test_what_was_granted_for_a_schema_makes_it(postgres: Postgres, url: str) -> None:
    guest = as_guest(url)
    postgres.query(url, granted(refusal(guest)))
    guest.make_tables()
    write_and_read(guest)


def test_a_user_who_may_not_connect_is_told_what_to_grant(postgres: Postgres, url: str) -> None:
    name = url.rpartition("/")[2]
    postgres.query(url, f"REVOKE CONNECT ON DATABASE {name} FROM PUBLIC")
    assert "GRANT CONNECT ON DATABASE" in refusal(as_guest(url))


@pytest.mark.parametrize("password", ["Guest", "denied", "chats"])
def test_the_next_step_is_right_where_the_password_is_a_word_of_the_error(
    postgres: Postgres, url: str, password: str
) -> None:
    postgres.query(url, f"REVOKE CONNECT ON DATABASE {url.rpartition('/')[2]} FROM PUBLIC")
    postgres.query(url, f"ALTER ROLE \"Guest\" PASSWORD '{password}'")
    fault = PostgresServer(f"postgresql://Guest:{password}@{url.rpartition('@')[2]}").find_fault()
    assert fault
    assert "GRANT CONNECT ON DATABASE" in fault.step


@pytest.mark.parametrize("encoding", ["SQL_ASCII", "LATIN1", "EUC_JP", "MULE_INTERNAL"])
def test_a_database_in_another_encoding_is_refused(postgres: Postgres, encoding: str) -> None:
    url = postgres.new_database("-E", encoding, "-T", "template0", "--locale", "C")
    line = refusal(PostgresServer(url))
    assert encoding in line
    assert line.endswith(": create a database with ENCODING 'UTF8' for the chats")


def test_the_encoding_of_a_client_is_not_the_addresses_business(postgres: Postgres) -> None:
    server = PostgresServer(f"{postgres.new_database()}?client_encoding=LATIN1")
    server.make_tables()
    with closing(server.connect()) as connection, transaction(connection):
        connection.execute("INSERT INTO threads (id) VALUES ('\N{SNOWMAN}')", {})
        assert connection.execute("SELECT id FROM threads", {}) == [{"id": "\N{SNOWMAN}"}]


@pytest.mark.parametrize(
    "theirs",
    [
        "CREATE TABLE thumbtune.users (theirs INT)",
        "CREATE TABLE thumbtune.threads (theirs INT); CREATE TABLE thumbtune.users (theirs INT)",
        "CREATE VIEW thumbtune.users AS SELECT 1",
        "CREATE TABLE thumbtune.layout (width INT)",
    ],
)
def test_a_schema_of_another_program_is_left_alone(postgres: Postgres, theirs: str) -> None:
    url = postgres.new_database()
    postgres.query(url, f"CREATE SCHEMA thumbtune; {theirs}")
    line = refusal(PostgresServer(url))
    assert "its schema thumbtune is another program's, with " in line
    assert line.endswith(": name another database in THUMBTUNE_HISTORY")


def test_a_schema_that_has_lost_a_table_is_named(postgres: Postgres) -> None:
    url = postgres.new_database()
    PostgresServer(url).make_tables()
    postgres.query(url, "DROP TABLE thumbtune.folded, thumbtune.steps")
    assert "its schema thumbtune lacks folded, steps: " in refusal(PostgresServer(url))


@pytest.mark.parametrize("made", [True, False])
def test_a_database_that_is_read_only_is_named(postgres: Postgres, *, made: bool) -> None:
    url = postgres.new_database()
    if made:
        PostgresServer(url).make_tables()
    postgres.query(url, f"ALTER DATABASE {url.rpartition('/')[2]} SET default_transaction_read_only = on")
    assert "is read-only: set default_transaction_read_only to off" in refusal(PostgresServer(url))


def test_a_standby_is_named() -> None:
    with running_postgres() as server:
        url = server.new_database()
        PostgresServer(url).make_tables()
        server.stop()
        (server.folder / "data" / "standby.signal").touch()
        server.start()
        assert "is a standby, which is read-only: name its primary" in refusal(PostgresServer(url))


def test_a_newer_release_is_named(postgres: Postgres) -> None:
    url = postgres.new_database()
    PostgresServer(url).make_tables()
    postgres.query(url, "UPDATE thumbtune.layout SET version = 99; DROP TABLE thumbtune.feedbacks")
    assert "was made by a newer release: update thumbtune, or name another database" in refusal(PostgresServer(url))
