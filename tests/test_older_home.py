"""A home made by an older release (commit 1c7d5a3) opens: its rows, its models, and the commands on it.

The home was made by that release's own commands: `rag index`, `import`, three times `ask`, ratings of each kind, then
`train --promote` (v1, which serves, in int8) and `train --fast` (v2, an adapter, kept). Its corpus and its versions
belong to the path of the documents folder, so it is unpacked where it was made.
"""

from __future__ import annotations

import os
import shutil
import tarfile
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from filelock import FileLock

from chat.training.ratings_needed import read_trained
from rag.__main__ import main as rag
from rag.ingest import corpus
from rag.ingest.corpus import load_corpus
from rag.models.registry import Registry
from rag.settings import Settings, load_settings
from rag.store.store import Store, open_store
from train.__main__ import main as train

ARCHIVE = Path(__file__).parent / "support" / "files" / "home-1c7d5a3.tar.gz"
PLACE = Path("/tmp/thumbtune-old-home")  # its name is part of the ids in the archive
NAMES = {"HOME": "home", "DOCS": "docs", "BASE_MODEL": "model", "START_MODEL": "model"}


@pytest.fixture(scope="module")
def unpacked() -> Iterator[None]:
    if os.path.realpath(PLACE) != str(PLACE):
        pytest.skip("/tmp is a link on this system, and the archive's ids hash the real path")
    with FileLock(f"{PLACE}.lock"):  # another checkout's tests unpack to the same place
        shutil.rmtree(PLACE, ignore_errors=True)
        with tarfile.open(ARCHIVE) as archive:
            archive.extractall(PLACE, filter="data")
        yield
        shutil.rmtree(PLACE)


@pytest.fixture
def settings(unpacked: None, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.chdir(PLACE)
    for name, folder in NAMES.items():
        monkeypatch.setenv(f"THUMBTUNE_{name}", str(PLACE / folder))
    for name, value in {"CHUNK_TOKENS": "32", "DEVICE": "cpu", "TRAIN_THREADS": "1"}.items():
        monkeypatch.setenv(f"THUMBTUNE_{name}", value)
    return load_settings()


@pytest.fixture
def store(settings: Settings) -> Iterator[Store]:
    with closing(open_store(settings.lancedb)) as opened:
        yield opened


def test_its_documents_and_answers_are_read(settings: Settings, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(corpus, "CHUNKER_VERSION", "3")  # that release's; documents are cut again under the current one
    documents = store.documents.read(load_corpus(settings).id)
    assert [document.source for document in documents] == sorted(path.name for path in settings.docs[0].iterdir())
    assert all(document.text == (settings.docs[0] / document.source).read_text() for document in documents)
    answers = store.feedback.answers()
    assert Counter(answer.arm for answer in answers) == {"base": 3, "tuned": 3}
    assert {len(answer.hits) for answer in answers} == {5}
    assert {answer.query for answer in answers} == {
        "what is the cat house?",
        "where is the dog river?",
        "who keeps the bird?",
    }


def test_its_ratings_of_each_kind_are_read_with_their_targets(store: Store) -> None:
    answers = {answer.id: answer for answer in store.feedback.answers()}
    duels = {answer.duel for answer in answers.values()}
    ratings = store.feedback.ratings()
    assert sorted((each.kind, each.rater, each.value, each.choice, each.reason) for each in ratings) == [
        ("answer", "ann", 0, "", ""),
        ("answer", "ann", 1, "", ""),
        ("answer", "bob", -1, "", "incomplete"),
        ("preference", "ann", 1, "tuned", ""),
        ("source", "ann", 1, "", ""),
        ("taught", "bob", 1, "", ""),
    ]
    targets = {kind: {each.target_id for each in ratings if each.kind == kind} for kind in ("answer", "preference")}
    assert targets["answer"] <= answers.keys()
    assert targets["preference"] <= duels
    assert store.feedback.rating(ratings[0].id) == ratings[0]  # the key is computed as it was


def test_its_labels_are_read_and_a_changed_rating_replaces_its_row(store: Store) -> None:
    labels = store.feedback.labels()
    assert Counter(label.origin for label in labels if label.label) == {
        "import": 128,
        "rating": 3,
        "mark": 1,
        "taught": 1,
    }
    before = len(labels)
    store.feedback.put_labels(labels[:5])
    store.feedback.put_ratings(store.feedback.ratings())
    assert (len(store.feedback.labels()), len(store.feedback.ratings())) == (before, 6)


def test_its_versions_its_champion_and_their_metrics_are_read(settings: Settings) -> None:
    registry, folders = Registry(settings.models), load_corpus(settings).folders_id
    assert [version.name for version in registry.versions()] == ["v1", "v2"]
    champion = registry.champion(folders)
    assert champion is not None
    assert champion.name == "v1"
    assert registry.precision(folders, champion, settings.base_model) == "int8"
    trained = read_trained(settings.runs, champion)
    assert trained.metrics is not None
    assert (trained.metrics.rated, trained.metrics.models["challenger"]) == (66, "v1")
    assert [row[0] for row in trained.table()] == ["", "base", "champion", "challenger"]


def test_an_index_run_cuts_its_documents_once_more_and_leaves_its_tables(
    settings: Settings, store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    before = set(store.tables.names())
    assert rag(["index"]) == 0
    assert "64 added" in capsys.readouterr().out
    after = set(store.tables.names())
    assert before < after
    assert len(after - before) == 2  # int8 has another fingerprint since decision 23; both arms serve in it
    assert rag(["index"]) == 0
    assert set(store.tables.names()) == after


def test_stats_counts_what_it_holds(settings: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    assert rag(["stats"]) == 0
    rows = dict(line.split(":", 1) for line in capsys.readouterr().out.splitlines())
    shown = {name: value.strip() for name, value in rows.items()}
    assert shown["documents"] == f"{settings.docs[0]} (64 files)"
    assert (shown["chunks"], shown["answers"], shown["synthetic pairs"]) == ("64", "6", "0")
    assert shown["ratings"] == "4 up, 1 down, 1 withdrawn"
    assert shown["pairs"] == "67 positive, 66 negative"
    assert shown["rated queries with a positive"] == "66"  # as a training counts them, below
    assert shown["tuned arm"].startswith("VERDICT: keep start weights, not v1")


def test_a_training_plan_is_made_of_it(settings: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    assert train(["--dry-run"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("labels: 66 pairs on 66 queries; ")
    assert "testing on 65 queries (cross-fitted)" in out
    assert out.endswith("dry run: nothing was trained and nothing changed\n")


def test_its_versions_are_shown(settings: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    assert train(["show", "v2"]) == 0
    assert "trained 2026-11-29" in capsys.readouterr().out


def test_a_version_is_trained_on_its_ratings_and_compared_with_its_champion(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train(["--epochs", "1"]) == 0
    assert " v3 | ndcg@10 0." in capsys.readouterr().out.splitlines()[-1]
    assert [version.name for version in Registry(settings.models).versions()] == ["v1", "v2", "v3"]
