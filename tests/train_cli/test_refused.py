"""python -m train with labels, options or documents that cannot be trained on, and the bootstrap."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from itertools import product
from pathlib import Path

import pytest

from rag.feedback.files.import_export import import_labels
from rag.indexing.indexer import index
from rag.ingest.corpus import load_corpus
from rag.models import embedder
from rag.models.arms import Arms
from rag.models.registry import Registry
from rag.settings import Settings
from rag.store.store import open_store
from train import session
from train.__main__ import main
from train_world import EPOCHS, PLACES, THINGS, World, files


def test_labels_whose_text_is_gone_are_counted(use, world: World, capsys, tmp_path: Path) -> None:
    settings = use("labelled")
    gone = tmp_path / "gone.jsonl"
    gone.write_text('{"query": "old", "text": "a page that was deleted last year, with all it said", "label": 1}\n')
    store = open_store(settings.lancedb)
    import_labels(gone, store, [])
    store.close()
    assert main(["--dry-run"]) == 0
    assert "; 1 labels point at text no longer in these documents" in capsys.readouterr().out


def test_what_could_not_serve_in_the_end_is_refused_before_anything_is_learnt(use, monkeypatch, capsys) -> None:
    use("labelled")
    monkeypatch.setenv("THUMBTUNE_PRECISION", "int8")
    monkeypatch.setenv("THUMBTUNE_DEVICE", "cuda")
    assert main(["--dry-run"]) == 2
    assert capsys.readouterr() == (
        "",
        "error: THUMBTUNE_PRECISION=int8: it is computed on the CPU only, and the device is cuda: set "
        "THUMBTUNE_DEVICE=cpu, or leave the precision to auto\n",
    )


def test_too_few_rated_queries_are_one_line_and_nothing_is_touched(use, world: World, capsys, tmp_path: Path) -> None:
    settings = use("labelled")
    shutil.rmtree(settings.lancedb / "training_pairs.lance")
    few = tmp_path / "few.jsonl"
    few.write_text("\n".join(world.labels.read_text().splitlines()[: 2 * 7]))
    store = open_store(settings.lancedb)
    import_labels(few, store, store.documents.read(load_corpus(settings).id))
    store.close()
    before = files(settings)
    assert main([]) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert err.startswith("error: 7 rated queries with a positive, need 50: rate more answers, or import labels")
    assert files(settings) - before == {"training.lock", "training.json"}


@pytest.mark.parametrize(
    ("alike", "message"),
    [
        (lambda rows: [row for row in rows if row["label"] == -1], "0 rated queries with a positive, need 50"),
        (lambda rows: [row | {"text": rows[0]["text"], "label": 1} for row in rows], "rate answers from other doc"),
    ],
)
def test_labels_that_are_all_alike_are_one_line_and_nothing_is_trained(
    use, world: World, capsys, tmp_path: Path, alike, message: str
) -> None:
    settings = use("labelled")
    shutil.rmtree(settings.lancedb / "training_pairs.lance")
    file = tmp_path / "alike.jsonl"
    rows = [json.loads(row) for row in world.labels.read_text().splitlines()]
    file.write_text("\n".join(map(json.dumps, alike(rows))))
    store = open_store(settings.lancedb)
    import_labels(file, store, store.documents.read(load_corpus(settings).id))
    store.close()
    assert main([]) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert message in err
    assert Registry(settings.models).versions() == []


def test_documents_that_are_not_indexed_say_what_to_run(settings: Settings, use, monkeypatch, capsys) -> None:
    use("labelled")
    monkeypatch.setenv("THUMBTUNE_DOCS", str(settings.docs[0]))
    for args in ([], ["--bootstrap"], ["promote", "v1"]):
        assert main(args) == 2
        assert capsys.readouterr().err.count("\n") == 1
    assert main([]) == 2
    assert "not indexed yet: run `python -m rag index`" in capsys.readouterr().err


def test_a_home_that_cannot_be_written_is_one_line(use, monkeypatch, capsys, tmp_path: Path) -> None:
    use("labelled")
    blocked = tmp_path / "a-file"
    blocked.touch()
    monkeypatch.setenv("THUMBTUNE_HOME", str(blocked / "home"))
    assert main([]) == 2
    assert f"{blocked}: is a file, not a folder" in capsys.readouterr().err


@pytest.mark.parametrize("args", [["--epochs", "0"], ["--epochs", "many"], ["--batch", "1"], ["nonsense"], ["promote"]])
def test_a_command_that_makes_no_sense_is_refused(args: list[str], capsys) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(args)
    assert "usage: python -m train" in capsys.readouterr().err


def questions(world: World, docs: Path) -> None:
    """Copy the world's documents, and write its queries as the questions that ship with them."""
    shutil.copytree(world.docs, docs)
    rows = [row for row in map(json.loads, world.labels.read_text().splitlines()) if row["label"] == 1]
    names = [f"{thing}-{place}.txt" for thing, place in product(THINGS, PLACES)]
    lines = [{"question": row["query"], "source": name, "section": None} for row, name in zip(rows, names, strict=True)]
    (docs / "questions.jsonl").write_text(
        "\n".join(map(json.dumps, [*lines, {"question": "the weather?", "source": None}]))
    )


def count_embedded(monkeypatch: pytest.MonkeyPatch) -> Counter[tuple[str, str]]:
    """Count from now on which texts were embedded as chunks, by the vectors' fingerprint."""
    seen: Counter[tuple[str, str]] = Counter()
    embed_documents = embedder._LocalEmbedder.embed_documents

    def counting(self, texts, progress=None):
        seen.update((self.fingerprint, text) for text in texts)
        return embed_documents(self, texts, progress)

    monkeypatch.setattr(embedder._LocalEmbedder, "embed_documents", counting)
    return seen


def test_a_bootstrap_learns_from_questions_and_is_not_repeated(use, world, monkeypatch, capsys, tmp_path) -> None:
    settings = use("labelled")
    questions(world, tmp_path / "docs")
    monkeypatch.setenv("THUMBTUNE_DOCS", str(tmp_path / "docs"))
    settings = settings.model_copy(update={"docs": (tmp_path / "docs",)})
    index(settings)
    embedded = count_embedded(monkeypatch)
    monkeypatch.setattr(session, "evidence_needed", lambda made: 1e9)  # more than any training gives
    assert main(["--bootstrap", "--epochs", EPOCHS]) == 0
    out = capsys.readouterr().out.splitlines()
    assert embedded
    assert embedded == Counter(set(embedded)), "a chunk was embedded twice by one model"
    assert out[0].startswith("questions: 80 pairs on 80 queries")
    assert [line for line in out if line.startswith("VERDICT: ")]
    means = json.loads((settings.runs / "v1" / "metrics.json").read_text())["means"]
    assert means["challenger"]["32"]["ndcg@10"] > means["base"]["32"]["ndcg@10"]
    store = open_store(settings.lancedb)
    assert {pair.origin for pair in store.feedback.synthetic()} == {"questions"}
    assert any(line.startswith("v1 is on trial: ") for line in out)
    tuned = Arms(settings, store, load_corpus(settings)).current("tuned")
    assert (tuned.model, tuned.on_trial) == ("v1", True)
    assert main(["list"]) == 0
    start, trained = capsys.readouterr().out.splitlines()
    assert start.startswith("* start weights")
    assert "bootstrap, on trial: VERDICT: keep start weights, not v1" in trained
    assert main(["--bootstrap"]) == 0
    assert capsys.readouterr().out.startswith("bootstrap: already tried, v1 was not promoted and is on trial; ")
    assert main(["promote", "v1"]) == 0
    capsys.readouterr()
    assert main(["--bootstrap"]) == 0
    assert capsys.readouterr().out == "bootstrap: not needed, v1 already serves these documents\n"
    assert main(["rollback"]) == 0
    capsys.readouterr()
    assert main(["--bootstrap"]) == 0
    assert "bootstrap: already tried, v1 was not promoted" in capsys.readouterr().out
    assert [version.kind for version in Registry(settings.models).versions()] == ["bootstrap"]


def test_documents_too_small_for_a_bootstrap_are_no_error(settings: Settings, use, monkeypatch, capsys) -> None:
    use("labelled")
    own = {"DOCS": settings.docs[0], "HOME": settings.home, "BASE_MODEL": settings.base_model}
    for name, value in {**own, "START_MODEL": settings.start_model}.items():
        monkeypatch.setenv(f"THUMBTUNE_{name}", str(value))
    index(settings)
    assert main(["--bootstrap"]) == 0
    assert "queries can be made from these documents, need 50" in capsys.readouterr().out
    assert Registry(settings.models).versions() == []


def test_a_version_that_is_none_is_told_before_a_cluster_is_started(
    use, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    use("labelled")
    monkeypatch.delattr("train.commands.versions.open_engine")
    assert main(["promote", "v9", "--engine", "ray"]) == 2
    assert capsys.readouterr().err == "error: v9: no such version (there are: none yet); see `python -m train list`\n"
