"""Index on a real Ray of this machine: the same tables as without, and no worker's death loses or doubles a row."""

from __future__ import annotations

import builtins
import socket
import threading
import time
from pathlib import Path

import numpy as np
import psutil
import pytest

from office import make_docx
from pdfs import make_pdf
from rag.__main__ import main
from rag.errors import BadModel, BadSetting
from rag.indexing.indexer import Indexer
from rag.indexing.on_ray import OnCluster, RayEngine
from rag.ingest.corpus import load_corpus
from rag.models.embedder import load_embedder
from rag.settings import Settings
from rag.store.store import open_store

WORDS = "cat dog bird fish milk bone seed water house garden river mountain night day warm cold".split()


def write_documents(folder: Path, files: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for n in range(files):
        text = "\n\n".join(" ".join(WORDS[(n * i + i) % len(WORDS)] for i in range(1, 40)) for _ in range(3))
        (folder / f"{n:03}.md").write_text(f"# Number {n}\n\n{text}\n")
    (folder / "a.pdf").write_bytes(make_pdf("The cat drinks milk.", "The dog has a bone."))
    (folder / "b.docx").write_bytes(make_docx("# Birds", "A bird eats seed."))
    (folder / "c.pdf").write_bytes(b"%PDF-1.4 and then nothing")


def tables(settings: Settings) -> dict[str, tuple[list[object], np.ndarray]]:
    store = open_store(settings.lancedb)
    corpus = load_corpus(settings).id
    found = {name: store.chunks.read(name) for name in store.chunks.table_names(corpus)}
    store.close()
    return {name: (list(chunks), vectors) for name, (chunks, vectors) in found.items()}


def encoders() -> list[psutil.Process]:
    """Return the processes of the actors that embed."""
    children = psutil.Process().children(recursive=True)
    return [each for each in children if "Encoder" in " ".join(each.cmdline())]


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_a_cluster_makes_the_same_tables_and_survives_the_death_of_a_worker(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_documents(settings.docs[0], 60)
    with Indexer(settings) as indexer:
        local = indexer.run()
    elsewhere = settings.model_copy(update={"home": tmp_path / "elsewhere"})
    killed: list[int] = []

    def kill_one() -> None:
        while not killed:
            for process in encoders():
                process.kill()
                killed.append(process.pid)
            time.sleep(0.05)

    with RayEngine(elsewhere) as engine, Indexer(elsewhere, engine=engine) as indexer:
        killer = threading.Thread(target=kill_one, daemon=True)
        killer.start()
        report = indexer.run()
        killer.join()
        assert (report.added, report.files.lines()) == (local.added, local.files.lines())
        assert [each.reason for each in report.skipped] == [each.reason for each in local.skipped] != []
        assert indexer.run().is_unchanged
        model = load_embedder(elsewhere.base_model, elsewhere)
        other = OnCluster(model, engine)
        monkeypatch.setattr(model, "fingerprint", "other", raising=False)
        with pytest.raises(BadModel, match="this worker has other weights than the process that indexes"):
            other.embed_documents(["a cat"])
    ours, theirs = tables(settings), tables(elsewhere)
    assert ours.keys() == theirs.keys()
    for name, (chunks, vectors) in ours.items():
        assert theirs[name][0] == chunks
        np.testing.assert_allclose(theirs[name][1], vectors, atol=1e-5)


def test_without_ray_one_line_says_what_to_install(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def no_ray(name: str, *rest: object) -> object:
        if name == "ray":
            raise ImportError(name)
        return real(name, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(builtins, "__import__", no_ray)
    with (
        pytest.raises(BadSetting, match=r"Ray is not installed: `pip install 'thumbtune\[ray\]'`"),
        RayEngine(settings),
    ):
        pass


def test_a_cluster_that_nobody_runs_is_one_line_at_once(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound, but nobody listens
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        monkeypatch.setenv("RAY_ADDRESS", address)
        with pytest.raises(BadSetting, match=f"no cluster can be used at {address} "), RayEngine(settings):
            pass


def test_a_folder_is_not_watched_by_a_cluster(settings: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["index", "--watch", "--engine", "ray", str(settings.docs[0])]) == 2
    assert "--watch --engine ray" in capsys.readouterr().err
