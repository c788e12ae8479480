"""A home on S3 by the real commands, from machines that share nothing else: each has a cache of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fakes import make_chunk
from object_store import faulty
from rag.__main__ import main as rag_main
from rag.answering.service import open_service
from rag.errors import StoreFailed
from rag.feedback.pins import PINS_FILE, Pin, read_pins, write_pins
from rag.groups import GroupsFile
from rag.home_address import shared_home
from rag.indexing.indexer import index
from rag.indexing.update import changing_documents
from rag.ingest.corpus import load_corpus
from rag.ingest.discovery import UPLOADS
from rag.models.arms import Arms
from rag.models.registry import START_WEIGHTS, Registry
from rag.settings import ROOT, Settings, load_settings
from rag.shared_home import files
from rag.shared_home import objects as objects_module
from rag.shared_home.objects import Objects
from rag.store import vector_index
from rag.store.store import open_store
from rag.training_status import LEASE, trains_elsewhere
from rag.web.secret import load_secret
from serve.keys import KeyRing, add_key, remove_key
from thumbtune import Home
from train.__main__ import main as train_main
from train_world import EPOCHS, World, make_world

FOLLOWED = 10.0  # seconds within which a promotion is seen

Machine = Callable[[str], Settings]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path) -> World:
    return make_world(tmp_path_factory.mktemp("world"), tiny_model)


@pytest.fixture
def machine(
    world: World, address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shared_exports: Path
) -> Machine:
    """Return a function that makes this process one of several machines, and returns its settings."""
    monkeypatch.chdir(tmp_path)
    for name, value in {**world.environment(Path()), "THUMBTUNE_HOME": address}.items():
        monkeypatch.setenv(name, value)

    def use(name: str) -> Settings:
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / name))
        settings = load_settings()
        if not settings.cache.exists():
            settings.cache.mkdir(parents=True)
            (settings.cache / "onnx").symlink_to(shared_exports, target_is_directory=True)
        return settings

    return use


def test_a_training_on_another_machine_is_seen(machine: Machine, tmp_path: Path) -> None:
    home = machine("trainer").home
    shared = shared_home(home)
    assert shared
    assert not trains_elsewhere(machine("chat").home)
    with shared.lease(LEASE, 0):
        assert trains_elsewhere(machine("chat").home)
    assert not trains_elsewhere(machine("chat").home)
    assert not trains_elsewhere(tmp_path)


def test_two_machines_train_a_third_and_a_fourth_follows(machine: Machine, world: World, capsys: Any) -> None:
    chat = machine("indexer")
    assert rag_main(["index"]) == 0
    assert rag_main(["import", str(world.labels)]) == 0
    chat = machine("chat")
    store = open_store(chat.lancedb)
    arms = Arms(chat, store, load_corpus(chat))
    assert arms.current("tuned").model == START_WEIGHTS

    trainer = machine("trainer")
    capsys.readouterr()
    assert train_main(["--epochs", EPOCHS]) == 0
    out = capsys.readouterr().out
    assert "VERDICT: promote v1" in out, out
    promoted = time.monotonic()
    while not arms.refresh():
        assert time.monotonic() - promoted < FOLLOWED, arms.trouble
        time.sleep(0.2)
    assert arms.current("tuned").model == "v1"
    assert (chat.models / "v1" / "version.json").exists() is False  # the registry alone names versions
    weights = (trainer.models / "v1").rglob("*.safetensors")
    assert {each.name for each in weights} == {each.name for each in (chat.models / "v1").rglob("*.safetensors")}
    query = "what is a cat in the garden"
    (vector,) = arms.current("tuned").embedder.embed_queries([query])
    assert store.chunks.search(arms.current("tuned").table, vector, 3)
    store.close()

    machine("desk")
    assert train_main(["list"]) == 0
    assert "* v1 " in capsys.readouterr().out
    assert train_main(["show", "v1"]) == 0
    shown = capsys.readouterr().out
    assert "v1, which serves these documents" in shown
    assert "ndcg@10" in shown
    assert rag_main(["ask", query]) == 0
    assert "tuned (v1)" in capsys.readouterr().out
    assert train_main(["rollback"]) == 0
    back = time.monotonic()
    while Registry(chat.models).champion(load_corpus(chat).folders_id):
        assert time.monotonic() - back < FOLLOWED
        time.sleep(0.2)
    machine("desk")
    assert train_main(["--fast", "--promote"]) == 0
    assert "v2" in capsys.readouterr().out  # its number is not used twice, and it knows what v1 was not trained on
    assert (machine("desk").models / "v1" / "held_out.json").exists()


def test_what_one_machine_stores_another_reads(machine: Machine) -> None:
    here = machine("here")
    index(here)
    secret = load_secret(here.secret)
    with Home() as one:
        answer = one.ask("what is a cat in the garden", arm="base")
        one.rate(answer, 1, rater="ann")
        machine("there")
        with Home() as other:
            assert load_secret(other.settings.secret) == secret
            assert other.settings.home != one.settings.home
            store, theirs = open_store(one.settings.lancedb), open_store(other.settings.lancedb)
            assert [each.value for each in theirs.feedback.ratings("ann")] == [1]
            other.rate(answer.id, -1, rater="ann")
            assert [each.value for each in theirs.feedback.ratings("ann")] == [-1]  # its own write at once
            time.sleep(1.5)
            assert [each.value for each in store.feedback.ratings("ann")] == [-1]  # another's within a second
            assert len(store.feedback.answers()) == 1
            store.close()
            theirs.close()


def test_an_uploaded_file_is_on_all_machines_and_an_index_run_elsewhere_keeps_it(
    machine: Machine, tmp_path: Path
) -> None:
    here = machine("here")
    index(here)
    (tmp_path / "note.md").write_text("# Note\n\nA seed opens by the river at night.\n")
    service = open_service(here)
    added = service.uploads.add("note.md", tmp_path / "note.md")
    assert added.source == f"{UPLOADS}note.md"
    there = machine("there")
    report = index(there)
    assert report.is_unchanged
    assert f"{UPLOADS}note.md" in report.unchanged
    other = open_service(there)
    other.uploads.remove(f"{UPLOADS}note.md")
    machine("here")
    assert index(here).is_unchanged
    assert f"{UPLOADS}note.md" not in {each.source for each in service.uploads.documents()}
    service.close()
    other.close()


def test_keys_groups_and_pins_are_the_homes(machine: Machine, address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "FRESH_SECONDS", 0.1)
    here, there = machine("here"), machine("there")
    ring = KeyRing(there)
    key = add_key(here.home, "openwebui", ["ask"])
    time.sleep(0.2)
    found = ring.client_of(key)
    assert found
    assert found.name == "openwebui"
    remove_key(there.home, "openwebui")
    time.sleep(0.2)
    assert ring.client_of(key) is None
    assert KeyRing(here).is_empty
    groups = GroupsFile(there.home)
    assert groups.of("ann") == ""
    Objects(address).put("groups.txt", b"law: ann\n")  # as `aws s3 cp` does
    time.sleep(0.2)
    assert groups.of("ann") == "law"
    write_pins(here.home / PINS_FILE, [Pin("why", "because", "a.txt")])
    assert read_pins(there.home / PINS_FILE) == [Pin("why", "because", "a.txt")]


def test_two_who_change_one_file_at_once_do_not_overwrite_each_other(machine: Machine) -> None:
    here, there = machine("here"), machine("there")
    read_pins(here.home / PINS_FILE)
    write_pins(there.home / PINS_FILE, [Pin("why", "because", "a.txt")])
    with pytest.raises(StoreFailed, match=r"pins.jsonl: another process has changed it meanwhile: try again"):
        write_pins(here.home / PINS_FILE, [Pin("who", "nobody", "b.txt")])
    assert read_pins(here.home / PINS_FILE) == [Pin("why", "because", "a.txt")]


def test_one_training_at_a_time_on_all_machines(machine: Machine, capsys: Any) -> None:
    here = machine("here")
    home = shared_home(here.home)
    assert home
    with home.lease("training"):
        assert train_main([]) == 2
    assert "a training is under way already (" in capsys.readouterr().err


def test_a_training_that_was_left_for_dead_cannot_promote(machine: Machine) -> None:
    here, there = machine("here"), machine("there")
    registry, home = Registry(here.models), shared_home(here.home)
    assert home
    with home.lease("training"):
        registry.promote("folders", START_WEIGHTS)
        other = Objects(home.address)
        taken = json.loads(found.data) if (found := other.get("leases/training.json")) else {}
        other.put("leases/training.json", json.dumps({**taken, "owner": "train on b", "token": 2}).encode())
        Registry(there.models).fence(2)
        with pytest.raises(StoreFailed, match=r"lost its turn \(training: train on b has taken it over\)"):
            registry.set_abstain_below("corpus", {"model": 0.5})
    assert Registry(there.models).abstain_below("corpus", "model") is None


def test_an_indexer_that_was_left_for_dead_cannot_write_documents(machine: Machine, world: World) -> None:
    here = machine("here")
    index(here)
    corpus = load_corpus(here)
    store = open_store(here.lancedb)
    (document, *_) = store.documents.read(corpus.id)
    pinned = store.tables._backend.open_to_write("documents")  # as in the middle of a write
    there = machine("there")
    other = open_store(there.lancedb)
    other.tables.fence("documents")
    with pytest.raises(RuntimeError, match="incompatible with concurrent transaction Restore"):
        pinned.delete("true")
    with changing_documents(store):
        home = shared_home(here.home)
        assert home
        Objects(home.address).delete("leases/index.json")
        with pytest.raises(StoreFailed, match="this process has lost its turn"):
            store.documents.put(corpus.id, [document])
        with pytest.raises(StoreFailed, match="this process has lost its turn"):
            store.documents.delete(corpus.id, [document.source])
    assert len(other.documents.hashes(corpus.id)) == len(list(world.docs.iterdir()))
    store.close()
    other.close()


def test_a_table_whose_store_throttles_is_one_line_and_what_was_stored_is_there(
    machine: Machine, s3: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    is_busy = False

    def throttle(method: str, path: str) -> str:
        return "503 SlowDown" if is_busy and "/lancedb/" in path else ""

    monkeypatch.setattr(objects_module, "RETRIES", 1)
    with faulty(s3, throttle) as endpoint:
        monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
        settings = machine("here")
        index(settings)
        store, corpus = open_store(settings.lancedb), load_corpus(settings)
        (document, *others) = store.documents.read(corpus.id)
        is_busy = True
        with pytest.raises(StoreFailed, match="the store is throttling or failing, after 1 tries"):
            store.documents.put(corpus.id, [document])
        is_busy = False
        assert len(store.documents.read(corpus.id)) == 1 + len(others)
        store.close()


def test_a_warm_question_asks_the_store_at_most_once_and_finds_the_same(
    machine: Machine, s3: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    with faulty(s3, lambda method, path: asked.append(path) or "") as endpoint:  # type: ignore[func-returns-value]
        monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
        settings = machine("here")
        index(settings)
        service = open_service(settings)
        for query in ("cat garden", "dog house"):  # the second one finds the table in memory
            service.search(query, "base")
        chunks, table = service.store.chunks, service.served("base").table
        for query in ("bird river", "seed at night", "the water model", "nothing of this"):
            asked.clear()
            found = service.search(query, "base")
            assert len(asked) <= 1, asked
            assert len(found) == settings.k
            assert chunks.keyword_scores(table, query, 20) == chunks._find_keywords(table, query, 20)
        service.close()


@pytest.mark.parametrize("command", [["backup", "b"], ["restore", "b"], ["doctor", "--repair"]])
def test_what_a_shared_home_does_not_do_is_one_line(command: list[str], machine: Machine, capsys: Any) -> None:
    index(machine("here"))
    assert rag_main(command) == 2
    assert "its bucket" in capsys.readouterr().err


def test_a_large_index_on_object_storage_keeps_full_vectors(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vector_index, "EXACT_UP_TO", 500)
    monkeypatch.setattr(vector_index, "COMPRESSED_FROM", 0)
    store = open_store(machine("here").lancedb)
    vectors = np.random.default_rng(0).normal(size=(600, 16)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    store.chunks.put("t", [make_chunk(f"passage number {n}", "a.md") for n in range(600)], vectors)
    made = store.chunks.build_vector_index("t", vectors[:50])
    assert made is not None
    assert made.kind == "IVF_FLAT"  # ranking again by the table's vectors would cost a request for each
    assert open_store(machine("there").lancedb).chunks.vector_index("t") == made


def test_doctor_reads_a_shared_home(machine: Machine, address: str, capsys: Any) -> None:
    index(machine("here"))
    assert rag_main(["doctor"]) == 0
    out = capsys.readouterr().out
    assert f"home       {address}" in out
    assert "tables     2 read in full" in out


@pytest.mark.parametrize("home", ["s3:///path", "ftp://host/path", "s3://", "s3:/bucket/path", "S3A:bucket"])
def test_an_address_that_is_none_is_one_line(home: str, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.setenv("THUMBTUNE_HOME", home)
    assert rag_main(["stats"]) == 2
    assert f"THUMBTUNE_HOME={home!r}: give a folder, s3://BUCKET/PATH, az://" in capsys.readouterr().err


@pytest.mark.parametrize("home", ["db://mine", "DB://mine/part"])
def test_lancedbs_own_service_is_refused_with_the_reason(
    home: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("THUMBTUNE_HOME", home)
    assert rag_main(["stats"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert f"THUMBTUNE_HOME={home!r}: LanceDB Cloud and Enterprise hold tables only" in line
    assert "give a folder, s3://BUCKET/PATH" in line


def test_a_home_of_a_newer_release_is_refused(machine: Machine, address: str, capsys: Any) -> None:
    machine("here")
    Objects(address).put("home.json", b'{"format": 99}')
    assert rag_main(["index"]) == 2
    assert f"{address}: was made by a newer release (format 99" in capsys.readouterr().err


def test_a_home_on_a_disk_imports_nothing_of_it(world: World, tmp_path: Path) -> None:
    code = (
        "import sys; from rag.__main__ import main; main(['stats']); main(['doctor']);"
        "assert not [name for name in sys.modules if name.startswith(('rag.shared_home', 'obstore'))]"
    )
    environment = {**os.environ, **world.environment(world.labelled)}
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment, check=True, capture_output=True)
