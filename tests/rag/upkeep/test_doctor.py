"""rag doctor and doctor --repair: each kind of damage is named, repaired as far as it can be, and set aside."""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from postgres import Postgres
from rag.__main__ import main
from rag.history import PostgresServer
from rag.ingest.corpus import load_corpus
from rag.models.registry import FORMER_FILE, Registry
from rag.settings import Settings
from rag.store.store import open_store
from rag.store.table_files import manifests

RATED = 12  # in conftest.py


def doctor(capsys: pytest.CaptureFixture[str], *argv: str) -> tuple[int, list[str]]:
    status = main(["doctor", *argv])
    captured = capsys.readouterr()
    return status, (captured.out + captured.err).splitlines()


def contents(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file() and "cache" not in path.parts)
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def ratings_of(settings: Settings) -> int:
    with closing(open_store(settings.lancedb)) as store:
        return len(store.feedback.ratings())


def test_a_healthy_home_is_called_so_and_repair_does_not_touch_it(
    home: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["index"])
    before = contents(home.home)
    status, lines = doctor(capsys, "--repair")
    assert (status, [line for line in lines if line.startswith(("damaged", "repaired"))]) == (0, [])
    assert any(line.startswith("tables     ") and "read in full" in line for line in lines)
    assert contents(home.home) == before


def newest(table: Path) -> Path:
    return manifests(table)[0]


def data(table: Path) -> Path:
    return max((table / "data").iterdir(), key=lambda path: path.stat().st_mtime)


@pytest.mark.parametrize(
    ("harm", "why", "kept"),
    [
        (lambda table: newest(table).write_bytes(b"rubbish" * 40), "manifest", RATED - 1),
        (lambda table: data(table).write_bytes(b"rubbish"), "", RATED - 1),
        (lambda table: data(table).unlink(), "is missing", RATED - 1),
    ],
)
def test_damaged_ratings_are_named_by_each_command_and_brought_back(
    home: Settings,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    harm: Callable[[Path], object],
    why: str,
    kept: int,
) -> None:
    table = home.lancedb / "ratings.lance"
    harm(table)
    for command in (["stats"], ["export", str(tmp_path / "out.jsonl")], ["review"]):
        assert main(command) == 2
        error = capsys.readouterr().err
        assert (error.count("\n"), "table ratings" in error, "run `python -m rag doctor`" in error) == (1, True, True)
    damaged = contents(table)
    status, lines = doctor(capsys)
    (line,) = (line for line in lines if line.startswith("damaged"))
    assert status == 2
    assert line.startswith("damaged    table ratings: ")
    assert (why in line, "--repair" in line) == (True, True)
    assert contents(table) == damaged
    _, lines = doctor(capsys, "--repair")
    assert any(line.startswith("repaired   table ratings: ") for line in lines)
    assert ratings_of(home) == kept
    aside = list((home.home / "damaged").rglob("*"))
    assert [path for path in aside if path.is_file()]


def test_pairs_that_cannot_be_read_are_derived_from_the_ratings_again(
    home: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    with closing(open_store(home.lancedb)) as store:
        before = {label.id for label in store.feedback.labels()}
    for path in (home.lancedb / "training_pairs.lance" / "data").iterdir():
        path.write_bytes(b"")
    _, lines = doctor(capsys, "--repair")
    assert "repaired   table training_pairs: 24 pairs derived from the ratings" in lines
    with closing(open_store(home.lancedb)) as store:
        assert {label.id for label in store.feedback.labels()} == before


def test_a_chunk_table_is_set_aside_and_indexed_again(home: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    main(["index"])
    table = next(home.lancedb.glob("chunks__*"))
    newest(table).write_bytes(b"")
    assert doctor(capsys)[0] == 2
    assert "index incomplete: run `python -m rag index`" in "".join(doctor(capsys, "--repair")[1])
    main(["index"])
    status, lines = doctor(capsys)
    assert (status, sum("index complete" in line for line in lines)) == (0, 2)


def test_a_missing_table_beside_newer_ones_is_noticed(home: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.move(home.lancedb / "ratings.lance", home.home / "elsewhere")
    status, lines = doctor(capsys)
    said = "damaged    ratings: 0, but 24 pairs were derived from ratings that are gone: "
    assert (status, [line.startswith(said) for line in lines if line.startswith("damaged")]) == (2, [True])
    shutil.move(home.home / "elsewhere", home.lancedb / "ratings.lance")
    shutil.move(home.lancedb / "answers.lance", home.home / "elsewhere")
    assert any("answers: 0, but 12 ratings are of answers that are gone" in line for line in doctor(capsys)[1])


@pytest.mark.parametrize("rubbish", ["", "[]", "null", "{", '{"versions": [{}], "champions": {}}', '{"versions": 1}'])
def test_a_registry_that_cannot_be_read_is_made_again_with_its_champion(
    home: Settings, capsys: pytest.CaptureFixture[str], rubbish: str
) -> None:
    file = home.models / "registry.json"
    before = json.loads(file.read_text())
    Registry(home.models).promote(load_corpus(home).folders_id, "v2")  # its former state names both
    file.write_text(rubbish)
    assert main(["stats"]) == 2
    assert "run `python -m rag doctor --repair`" in capsys.readouterr().err
    _, lines = doctor(capsys, "--repair")
    assert "registry.json: has 2 versions again (v1, v2); v2 serves" in "".join(lines)
    assert json.loads(file.read_text())["versions"] == before["versions"]
    assert [path.read_text() for path in (home.home / "damaged").rglob("registry.json")] == [rubbish]


def test_without_a_former_state_the_versions_folders_make_the_registry(
    home: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    versions = Registry(home.models).versions()
    (home.models / FORMER_FILE).unlink()
    (home.models / "registry.json").unlink()
    assert "it is missing, and there are 2 versions" in "".join(doctor(capsys)[1])
    assert "the start weights serve" in "".join(doctor(capsys, "--repair")[1])
    assert Registry(home.models).versions() == versions


def test_a_version_without_its_weights_is_named_with_what_to_do(
    home: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    weights = home.models / "v2" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    status, lines = doctor(capsys)
    (line,) = (line for line in lines if line.startswith("damaged"))
    assert (status, line.startswith("damaged    version v2: model.safetensors is cut off: it serves: ")) == (2, True)
    assert "python -m train rollback" in line
    shutil.rmtree(home.models / "v1")
    assert any("version v1: its folder is gone" in line for line in doctor(capsys)[1])


def test_what_can_be_read_of_a_damaged_chat_db_is_kept(home: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    with home.chat_db.open("r+b") as file:
        file.seek(4096 * 8)
        file.write(b"\xff" * 4096)
    assert any(line.startswith("damaged    chat.db: ") for line in doctor(capsys)[1])
    assert any(line.startswith("repaired   chat.db: kept the ") for line in doctor(capsys, "--repair")[1])
    with closing(sqlite3.connect(home.chat_db)) as connection:
        (rows,) = connection.execute("SELECT COUNT(*) FROM threads").fetchone()
    assert 80 <= rows < 100
    home.chat_db.write_bytes(b"rubbish" * 1000)
    assert "nothing of it can be read" in "".join(doctor(capsys, "--repair")[1])
    assert not home.chat_db.exists()
    assert doctor(capsys)[1][1].startswith("tables")


def test_a_key_and_caches_of_rubbish_are_made_again(home: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    home.secret.write_text("")
    (home.cache / "seen-0.json").write_text("{")
    found = [line for line in doctor(capsys)[1] if line.startswith("damaged")]
    assert [line.split(":")[0] for line in found] == ["damaged    secret", "damaged    cache/seen-0.json"]
    doctor(capsys, "--repair")
    assert not home.secret.exists()
    assert not (home.cache / "seen-0.json").exists()


def test_a_rating_of_each_kind_has_its_place(home: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    from rag.feedback.ratings import mark_source, prefer, teach

    with closing(open_store(home.lancedb)) as store:
        answer = store.feedback.answer("answer-1")
        assert answer is not None
        store.feedback.put_answer(replace(answer, id="answer-b", arm="tuned"))
        mark_source(store, rater="bob", answer_id="answer-1", rank=1, value=1, blind=True)
        teach(store, rater="bob", query="what barks?", chunk=answer.hits[1].chunk)
        prefer(store, rater="bob", duel_id="duel", choice="tuned", blind=True)
        assert store.feedback.gaps() == []


def test_the_chats_in_postgres_are_counted_and_a_server_that_is_gone_is_named(
    home: Settings, postgres: Postgres, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    url = postgres.new_database()
    monkeypatch.setenv("THUMBTUNE_HISTORY", url)
    shown = PostgresServer(url).shown
    assert f"chats      none yet in {shown}: the first start of the chat makes its tables" in doctor(capsys)[1]
    PostgresServer(url).make_tables()
    assert f"chats      0 in {shown}" in doctor(capsys)[1]
    monkeypatch.setenv("THUMBTUNE_HISTORY", "postgresql://tom:secret@127.0.0.1:1/chats")
    for given in ([], ["--repair"]):
        status, lines = doctor(capsys, *given)
        assert status == 2
        (line,) = (line for line in lines if line.startswith("damaged    postgresql://tom@127.0.0.1:1/chats: "))
        assert "check that the server runs and can be reached" in line
        assert "secret" not in line


@pytest.mark.parametrize(
    ("made", "named"),
    [
        ("CREATE TABLE thumbtune.users (theirs INT); CREATE TABLE thumbtune.threads (theirs INT)", "another program's"),
        ("ALTER DATABASE {name} SET default_transaction_read_only = on", "is read-only: set"),
    ],
)
def test_a_database_that_a_chat_could_not_start_with_is_damaged_and_nothing_of_a_person_is_deleted(
    home: Settings,
    postgres: Postgres,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    made: str,
    named: str,
) -> None:
    url = postgres.new_database()
    postgres.query(url, f"CREATE SCHEMA thumbtune; {made.format(name=url.rpartition('/')[2])}")
    monkeypatch.setenv("THUMBTUNE_HISTORY", url)
    home.chat_db.unlink()
    status, lines = doctor(capsys)
    assert status == 2
    (line,) = (line for line in lines if line.startswith("damaged    postgresql://"))
    assert named in line
    assert not any(line.startswith("chats ") for line in lines)
    assert main(["forget", "ann"]) == 2
    error = capsys.readouterr().err
    assert named in error
    assert "nothing was deleted" in error
    with closing(open_store(home.lancedb)) as store:
        assert store.feedback.ratings("ann")
