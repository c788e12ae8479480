"""rag forget and rag export --rater: what is stored of one person, and what stays."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from chat.session.thread_store import make_tables
from fakes import make_answer, make_hits
from rag.__main__ import main
from rag.feedback.ratings import rate_answer
from rag.settings import Settings
from rag.store.store import Store, open_store
from rag.upkeep.backup import back_up, backups


@pytest.fixture
def store(home: Settings) -> Iterator[Store]:
    """Give the store of a home where bob has asked and rated twice, and ann has rated one of his answers."""
    home.chat_db.unlink()
    make_tables(home.chat_db)
    with closing(open_store(home.lancedb)) as opened, closing(sqlite3.connect(home.chat_db)) as threads:
        for rater in ("bob", "ann"):
            threads.execute("INSERT INTO users VALUES (?, ?, '{}', '')", (f"id-{rater}", rater))
            threads.execute(
                'INSERT INTO threads (id, name, "userId") VALUES (?, ?, ?)',
                (f"t-{rater}", f"what {rater} asked", f"id-{rater}"),
            )
            threads.execute(
                'INSERT INTO steps (id, "threadId", output, name, type, streaming) '
                "VALUES (?, ?, ?, '', 'user_message', 0)",
                (f"s-{rater}", f"t-{rater}", f"secret of {rater}"),
            )
            props = json.dumps({"sides": [{"answer": f"{rater}-own"}, {"answer": f"{rater}-shared"}]})
            threads.execute(
                "INSERT INTO elements (id, \"threadId\", name, props) VALUES (?, ?, '', ?)",
                (f"e-{rater}", f"t-{rater}", props),
            )
            for name in ("own", "shared"):
                opened.feedback.put_answer(
                    make_answer(make_hits("cat", "dog"), cited=(1,), query="whose?", id=f"{rater}-{name}")
                )
        threads.commit()
        rate_answer(opened, rater="bob", answer_id="bob-own", value=1, blind=True, comment="bob says")
        rate_answer(opened, rater="bob", answer_id="bob-shared", value=-1, blind=True)
        rate_answer(opened, rater="ann", answer_id="bob-shared", value=1, blind=True)
        trained = {"query": "Whose?", "positive": "cat", "negatives": []}
        (home.models / "v2" / "pairs.jsonl").write_text(json.dumps(trained) + "\n")
        yield opened


def test_all_of_a_person_goes_and_nothing_of_others(
    home: Settings, store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    back_up(home, tmp_path / "backups")
    assert main(["forget", "bob"]) == 0
    out = capsys.readouterr().out
    assert "also 1 chats with their questions, and 1 answers that nobody else has rated" in out
    assert "Trained with these labels: v2. Train again" in out
    assert {each.rater for each in store.feedback.ratings()} == {"ann"}
    assert {each.id for each in store.feedback.answers()} >= {"bob-shared", "ann-own", "ann-shared"}
    assert store.feedback.answers(["bob-own"]) == []  # though it had been kept in memory
    with closing(sqlite3.connect(home.chat_db)) as threads:
        for table in ("users", "threads", "steps", "elements"):
            assert threads.execute(f"SELECT COUNT(*) FROM {table}").fetchone() == (1,)
        threads.execute("INSERT INTO threads (id) VALUES ('t-bob')")  # as an open tab would
        assert threads.execute("SELECT COUNT(*) FROM threads").fetchone() == (1,)
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
