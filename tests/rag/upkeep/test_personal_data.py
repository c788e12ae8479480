"""rag forget and rag export --rater: what is stored of one person, and what stays."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from fakes import make_answer, make_hits
from postgres import Postgres
from rag.__main__ import main
from rag.feedback.ratings import rate_answer
from rag.history import Place, PostgresServer, SQLiteFile, transaction
from rag.settings import Settings
from rag.store.store import Store, open_store
from rag.upkeep.backup import back_up, backups


@pytest.fixture(params=["sqlite", "postgres"])
def place(request: pytest.FixtureRequest, home: Settings, monkeypatch: pytest.MonkeyPatch) -> Place:
    """Return where the chats of a home are."""
    home.chat_db.unlink()
    made: Place = SQLiteFile(home.chat_db)
    if request.param == "postgres":
        url = request.getfixturevalue("postgres").new_database()
        monkeypatch.setenv("THUMBTUNE_HISTORY", url)
        made = PostgresServer(url)
    made.make_tables()
    return made


@pytest.fixture
def store(home: Settings, place: Place) -> Iterator[Store]:
    """Give the store of a home where bob has asked and rated twice, and ann has rated one of his answers."""
    with closing(open_store(home.lancedb)) as opened, closing(place.connect()) as connection:
        for rater in ("bob", "ann"):
            props = json.dumps({"sides": [{"answer": f"{rater}-own"}, {"answer": f"{rater}-shared"}]})
            with transaction(connection):
                for statement in (
                    "INSERT INTO users VALUES ('id-' || :rater, :rater, '{}', '')",
                    "INSERT INTO threads (id, name, \"userId\") VALUES (:thread, :asked, 'id-' || :rater)",
                    'INSERT INTO steps (id, "threadId", output, name, type, streaming) '
                    "VALUES ('s-' || :rater, :thread, :secret, '', 'user_message', FALSE)",
                    "INSERT INTO elements (id, \"threadId\", name, props) VALUES ('e-' || :rater, :thread, '', :props)",
                ):
                    values = {"rater": rater, "thread": f"t-{rater}", "asked": f"what {rater} asked", "props": props}
                    connection.execute(statement, {**values, "secret": f"secret of {rater}"})
            for name in ("own", "shared"):
                opened.feedback.put_answer(
                    make_answer(make_hits("cat", "dog"), cited=(1,), query="whose?", id=f"{rater}-{name}")
                )
        rate_answer(opened, rater="bob", answer_id="bob-own", value=1, blind=True, comment="bob says")
        rate_answer(opened, rater="bob", answer_id="bob-shared", value=-1, blind=True)
        rate_answer(opened, rater="ann", answer_id="bob-shared", value=1, blind=True)
        trained = {"query": "Whose?", "positive": "cat", "negatives": []}
        (home.models / "v2" / "pairs.jsonl").write_text(json.dumps(trained) + "\n")
        yield opened


def test_all_of_a_person_goes_and_nothing_of_others(
    home: Settings, place: Place, store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    back_up(home, tmp_path / "backups")
    assert main(["forget", "bob"]) == 0
    out = capsys.readouterr().out
    assert "also 1 chat with all questions, and 1 answer that nobody else has rated" in out
    assert "Trained with these labels: v2. Train again" in out
    assert {each.rater for each in store.feedback.ratings()} == {"ann"}
    assert {each.id for each in store.feedback.answers()} >= {"bob-shared", "ann-own", "ann-shared"}
    assert store.feedback.answers(["bob-own"]) == []  # though it had been kept in memory
    with closing(place.connect()) as connection, transaction(connection):
        for table in ("users", "threads", "steps", "elements"):
            assert connection.execute(f"SELECT COUNT(*) AS n FROM {table}", {}) == [{"n": 1}]
        connection.execute("INSERT INTO threads (id) VALUES ('t-bob')", {})  # as an open tab would
        assert connection.execute("SELECT COUNT(*) AS n FROM threads", {}) == [{"n": 1}]
    if isinstance(place, SQLiteFile):
        assert b"secret of bob" not in home.chat_db.read_bytes()
    assert store.feedback.gaps() == []
    report = back_up(home, tmp_path / "backups")
    assert [each.folder for each in backups(tmp_path / "backups")] == [report.folder]
    assert main(["forget", "bob"]) == 2


def test_a_persons_data_is_one_file(
    home: Settings, store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "bob.jsonl"
    assert main(["export", "--rater", "bob", str(out)]) == 0
    text = out.read_text()
    lines = [json.loads(line) for line in text.splitlines()]
    kinds = [line["what"] for line in lines]
    assert {kind: kinds.count(kind) for kind in kinds} == {
        "rating": 2, "label": 4, "answer": 1, "thread": 1, "message": 1, "element": 1,
    }  # fmt: skip
    assert ("bob says" in text, "secret of bob" in text, "secret of ann" in text) == (True, True, False)
    assert main(["export", "--rater", "bob", str(out)]) == 2
    assert "name a new file" in capsys.readouterr().err
    assert main(["export", "--rater", "nobody", str(tmp_path / "x.jsonl")]) == 2


def test_a_person_whose_chats_have_moved_to_postgres_goes_from_the_file_too(
    home: Settings, postgres: Postgres, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    home.chat_db.unlink()
    url = postgres.new_database()
    monkeypatch.setenv("THUMBTUNE_HISTORY", url)
    both: list[Place] = [SQLiteFile(home.chat_db), PostgresServer(url)]
    for nth, place in enumerate(both):
        place.make_tables()
        with closing(place.connect()) as connection, transaction(connection):
            thread = {"id": f"t{nth}", "name": "bob"}
            connection.execute('INSERT INTO threads (id, "userIdentifier") VALUES (:id, :name)', thread)
    assert main(["forget", "bob"]) == 0
    assert "also 2 chats" in capsys.readouterr().out
    for place in both:
        with closing(place.connect()) as connection, transaction(connection):
            assert connection.execute("SELECT * FROM threads", {}) == []


def test_a_database_that_is_gone_is_one_line_and_nothing_of_the_person_is_deleted(
    home: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("THUMBTUNE_HISTORY", "postgresql://tom:secret@127.0.0.1:1/chats")
    home.chat_db.unlink()
    assert main(["forget", "ann"]) == 2
    error = capsys.readouterr().err
    assert "postgresql://tom@127.0.0.1:1/chats: the chat history cannot be opened" in error
    assert (error.count("\n"), "secret" in error) == (1, False)
    with closing(open_store(home.lancedb)) as store:
        assert store.feedback.ratings("ann")
