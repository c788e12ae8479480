"""A real Postgres: its tables are made once, what is wrong with it is one line, and an outage loses nothing."""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest

from postgres import PASSWORD, USER, Postgres, running_postgres
from rag.errors import BadSetting, StoreFailed
from rag.history import Database, DatabaseFailed, PostgresServer, transaction

AT_ONCE = 8
BACK_SECONDS = 15.0  # within which a server that is back is found again


@pytest.fixture
def place(postgres: Postgres) -> PostgresServer:
    made = PostgresServer(postgres.new_database())
    made.make_tables()
    return made


@pytest.fixture
def own_postgres() -> Iterator[Postgres]:
    """Return a server that a test may stop."""
    with running_postgres() as server:
        yield server


def user(name: str) -> tuple[str, dict[str, object]]:
    return "INSERT INTO users (id, identifier, metadata) VALUES (:name, :name, '{}')", {"name": name}


def users(postgres: Postgres, url: str) -> list[str]:
    return postgres.query(url, "SELECT id FROM thumbtune.users ORDER BY id")


def test_many_chats_that_start_at_once_make_the_tables_once(postgres: Postgres) -> None:
    url = postgres.new_database()
    with ThreadPoolExecutor(AT_ONCE) as pool:
        list(pool.map(lambda _: PostgresServer(url).make_tables(), range(AT_ONCE)))
    PostgresServer(url).make_tables()
    assert postgres.query(url, "SELECT version FROM thumbtune.layout") == ["1"]


def test_tables_of_others_in_the_same_database_are_not_touched(postgres: Postgres) -> None:
    url = postgres.new_database()
    postgres.query(url, "CREATE TABLE users (theirs INT); INSERT INTO users VALUES (7)")
    PostgresServer(url).make_tables()
    with closing(PostgresServer(url).connect()) as connection, transaction(connection):
        connection.execute(*user("ann"))
    assert postgres.query(url, "SELECT * FROM public.users") == ["7"]
    assert users(postgres, url) == ["ann"]


def test_what_is_wrong_with_an_address_is_one_line_with_the_next_step_and_no_password(
    postgres: Postgres, caplog: pytest.LogCaptureFixture
) -> None:
    right = postgres.new_database()
    nowhere = right.replace(str(postgres.port), "1")
    wrong = {
        postgres.url("postgres", "wr0ng-secret"): "password authentication failed .*check the user and the password",
        postgres.url("nothing_here"): 'database "nothing_here" does not exist.*create the database',
        nowhere: "[Cc]onnection refused.*check that the server runs",
        right.replace("127.0.0.1", "no-such-host.invalid"): "check that the server runs|correct the host",
        right.replace("127.0.0.1", "localhost").replace(str(postgres.port), "1"): "check that the server runs",
        f"{right}?sslmode=require": "does not support SSL.*sslmode",
    }
    for url, reason in wrong.items():
        with pytest.raises(StoreFailed, match=reason) as failed:
            PostgresServer(url).make_tables()
        assert "\n" not in str(failed.value)
        assert not any(secret in str(failed.value) for secret in (PASSWORD, "wr0ng-secret", "s%2Fp"))
        assert f"postgresql://{USER}@" in str(failed.value)
    with pytest.raises(BadSetting, match="an option that Postgres does not know"):
        PostgresServer(f"{right}?sslmod=require").make_tables()
    assert PASSWORD not in caplog.text


def test_without_the_driver_its_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(BadSetting, match=r"pip install 'thumbtune\[postgres\]'"):
        PostgresServer("postgresql://ann:secret@db/chats").make_tables()


def test_characters_that_postgres_cannot_store_are_replaced(place: PostgresServer, postgres: Postgres) -> None:
    with closing(place.connect()) as connection, transaction(connection):
        connection.execute(*user("a\0b"))
        assert connection.execute("SELECT id FROM users WHERE id = :id", {"id": "a\0b"}) == [
            {"id": "a\N{REPLACEMENT CHARACTER}b"}
        ]


async def test_of_many_that_wait_only_the_wrong_one_fails(place: PostgresServer) -> None:
    database = Database(place)
    done = await asyncio.gather(*(database.run(user(name)) for name in "aabc"), return_exceptions=True)
    assert [type(each) for each in done] == [int, DatabaseFailed, int, int]
    assert await database.run(("SELECT COUNT(*) AS n FROM users", {})) == [{"n": 3}]
    database.close()


async def test_what_is_written_during_an_outage_is_there_after_it_and_once(
    own_postgres: Postgres, caplog: pytest.LogCaptureFixture
) -> None:
    url = own_postgres.new_database()
    place = PostgresServer(url)
    place.make_tables()
    database = Database(place)
    await database.run(user("before"))
    own_postgres.stop()
    with caplog.at_level(logging.WARNING):
        for name in ("first", "second"):
            with pytest.raises(DatabaseFailed) as failed:
                await database.run(user(name), again=True)
            assert failed.value.is_gone
        with pytest.raises(DatabaseFailed):
            await database.run(user("not again"))  # whoever asked was told that it failed
        assert database.is_down
        own_postgres.start()
        until = time.monotonic() + BACK_SECONDS
        while len(users(own_postgres, url)) < 3:
            assert time.monotonic() < until
            await asyncio.sleep(0.1)
    await database.run(user("after"))
    database.close()
    assert users(own_postgres, url) == ["after", "before", "first", "second"]
    told = [record.getMessage() for record in caplog.records if record.name == "thumbtune"]
    assert len(told) == 2
    assert "waits until it is back" in told[0]
    assert "is back, and 2 writes that had waited are made" in told[1]
    assert PASSWORD not in caplog.text


async def test_a_server_that_falls_silent_holds_nobody_up_for_long(
    own_postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = own_postgres.new_database()
    place = PostgresServer(url)
    monkeypatch.setattr(place, "patience", 1.0)
    place.make_tables()
    database = Database(place)
    await database.run(user("before"))
    own_postgres.stop(signal.SIGSTOP)
    began = time.monotonic()
    for name in ("a", "b", "c", "d"):
        with pytest.raises(DatabaseFailed, match="no answer for 1 seconds"):
            await database.run(user(name), again=True)
    assert time.monotonic() - began < 4.0  # the first waits, the others know
    own_postgres.go_on()
    until = time.monotonic() + BACK_SECONDS
    while len(users(own_postgres, url)) < 5:
        assert time.monotonic() < until
        await asyncio.sleep(0.1)
    database.close()
