"""The address of a Postgres database is read, and its password is never shown."""

from __future__ import annotations

import pytest

from rag.errors import BadSetting
from rag.history.address import parse_address


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("postgresql://ann:secret@db.lan:5433/chats", "postgresql://ann@db.lan:5433/chats"),
        ("postgres://ann:s%40c:ret%2F@[::1]:5432/chats?sslmode=require", "postgresql://ann@[::1]:5432/chats"),
        ("postgresql://one:1,two:2/chats?target_session_attrs=read-write&password=secret", "postgresql://one:1,two:2/chats"),
        ("postgresql:///chats?host=/var/run/postgresql", "postgresql:///chats"),
        ("postgresql://%2Fvar%2Frun/chats", "postgresql://%2Fvar%2Frun/chats"),
    ],
)  # fmt: skip
def test_an_address_is_shown_without_its_password(given: str, shown: str) -> None:
    address = parse_address(given)
    assert (address.given, address.shown) == (given, shown)
    assert "secret" not in repr(address)


def test_a_password_is_decoded_so_that_it_is_known_where_an_error_quotes_it() -> None:
    assert parse_address("postgresql://ann:s%40c%2Fret@db/chats").password == "s@c/ret"
    assert parse_address("postgresql://ann@db/chats?password=s%40c").password == "s@c"


@pytest.mark.parametrize(
    "given",
    [
        "mysql://ann:secret@db/chats",
        "postgresql+asyncpg://ann:secret@db/chats",
        "postgresql://ann:sec@secret@db/chats",  # the driver would take "secret@db" for the host
        "postgresql://ann:sec/secret@db/chats",
        "postgresql://ann:sec?secret@db/chats",
        "postgresql://ann:sec#secret@db/chats",
        "postgresql://ann:secret",  # and "secret" for the port
        "host=db password=secret",
        "secret",
    ],
)
def test_what_is_no_address_is_refused_without_a_word_of_it(given: str) -> None:
    with pytest.raises(BadSetting, match="%40 for @") as refused:
        parse_address(given)
    assert "secret" not in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    "given",
    [
        "postgresql://ann:secret%@db/chats",
        "postgresql://ann:100%secret@db/chats",
        "postgresql://ann:secret%zz@db/chats",
        "postgresql://ann:secret%00@db/chats",
        "postgresql://ann:secret%ab@db/chats",  # a byte that is no character
        "postgresql://ann:secret@db/chats?application_name=%zz",
    ],
)
def test_a_percent_sign_that_is_none_of_an_address_is_named(given: str) -> None:
    with pytest.raises(BadSetting, match=r"postgresql://ann@db/chats: .*%25 for %") as refused:
        parse_address(given)
    assert "secret" not in str(refused.value)
    assert "\n" not in str(refused.value)
