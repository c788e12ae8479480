"""What promotion and rollback change."""

import json
import re
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from rag.errors import UnknownVersion
from rag.indexing.indexer import index
from rag.indexing.update import corpus_chunks, is_up_to_date
from rag.ingest.corpus import Corpus, load_corpus
from rag.models.arms import Arms, promoted_models
from rag.models.embedder import Embedder, load_embedder
from rag.models.onnx_embedder import exports
from rag.models.registry import START_WEIGHTS, Registry, Version
from rag.models.trials import may_try, trial_of
from rag.models.weights import ADAPTER, MATRIX
from rag.records import Chunk
from rag.settings import ROOT, Settings
from rag.store.store import Store, open_store
from train.context import TrainingContext
from train.judging.contenders import Candidate
from train.judging.promotion import apply, promote_by_hand, roll_back


def quiet(text: str):
    return lambda done, total: None


@pytest.fixture
def indexed(settings: Settings, other_tiny_model: Path) -> tuple[Settings, Store, Corpus, Embedder]:
    """Return an indexed corpus, and the embedder of weights that lie in models/v1 but are not recorded."""
    index(settings)
    settings.models.mkdir()
    (settings.models / "v1").symlink_to(other_tiny_model)
    return settings, open_store(settings.lancedb), load_corpus(settings), load_embedder(str(other_tiny_model), settings)


def version(corpus: Corpus, embedder: Embedder, verdict: str = "promote") -> Version:
    return Version(
        name="v1",
        folders=corpus.folders_id,
        fingerprint=embedder.fingerprint,
        started_from="builtin",
        kind="ratings",
        verdict="promote" if verdict == "promote" else "keep",
        summary="VERDICT: ...",
        created=datetime(2026, 1, 1, tzinfo=UTC),
    )


def context_of(settings: Settings, store: Store, corpus: Corpus, chunks: list[Chunk]) -> TrainingContext:
    return TrainingContext(settings, store, Registry(settings.models), corpus, chunks)


def test_a_promoted_version_has_its_whole_table_and_serves(indexed) -> None:
    settings, store, corpus, embedder = indexed
    registry, chunks = Registry(settings.models), corpus_chunks(store, corpus.id)
    vectors = embedder.embed_documents([chunk.embedded for chunk in chunks])
    apply(context_of(settings, store, corpus, chunks), version(corpus, embedder), Candidate("v1", embedder, vectors))
    champion = registry.champion(corpus.folders_id)
    assert champion is not None
    assert champion.name == "v1"
    assert [(move.name, move.by, move.reason) for move in registry.moves(corpus.folders_id)] == [
        ("v1", "gate", champion.summary)
    ]
    assert is_up_to_date(store, corpus.id, store.chunks.table_name(corpus.id, embedder.fingerprint))


def test_a_version_on_trial_has_its_whole_table_and_answers_in_comparisons_alone(indexed) -> None:
    settings, store, corpus, embedder = indexed
    chunks = corpus_chunks(store, corpus.id)
    arms = Arms(settings, store, corpus)
    kept, some = version(corpus, embedder, "keep"), chunks[1:]
    vectors = embedder.embed_documents([chunk.embedded for chunk in some])
    apply(context_of(settings, store, corpus, some), kept, Candidate("v1", embedder, vectors), on_trial=True)
    assert is_up_to_date(store, corpus.id, store.chunks.table_name(corpus.id, embedder.fingerprint))
    assert Registry(settings.models).champion(corpus.folders_id) is None
    assert arms.refresh()
    assert (arms.current("tuned").model, arms.current("tuned").on_trial) == ("v1", True)
    assert (arms.promoted("tuned").model, arms.promoted("tuned").arm) == (START_WEIGHTS, "tuned")
    assert arms.promoted("tuned").table == arms.current("base").table == arms.promoted("base").table
    assert promoted_models(settings, corpus.folders_id)["tuned"][0] == START_WEIGHTS  # what a training compares with
    Registry(settings.models).promote(corpus.folders_id, "v1")
    assert arms.refresh() is False  # the same model
    assert arms.promoted("tuned").model == "v1"
    assert not arms.current("tuned").on_trial


def test_no_trial_where_the_arms_have_different_models_already(indexed, tiny_model: Path) -> None:
    settings, _, corpus, embedder = indexed
    registry = Registry(settings.models)
    registry.add(version(corpus, embedder, "keep"))
    registry.try_out(corpus.folders_id, "v1")
    other = settings.model_copy(update={"start_model": str(settings.models / "v1")})
    assert may_try(settings, corpus.folders_id)
    assert not may_try(other, corpus.folders_id)
    assert trial_of(other, corpus.folders_id) is None


def test_documents_that_came_while_it_was_trained_are_in_its_table_too(indexed) -> None:
    settings, store, corpus, embedder = indexed
    chunks = corpus_chunks(store, corpus.id)[1:]
    vectors = embedder.embed_documents([chunk.embedded for chunk in chunks])
    apply(context_of(settings, store, corpus, chunks), version(corpus, embedder), Candidate("v1", embedder, vectors))
    assert is_up_to_date(store, corpus.id, store.chunks.table_name(corpus.id, embedder.fingerprint))


def test_the_champions_table_survives_a_promotion(indexed) -> None:
    settings, store, corpus, embedder = indexed
    before = store.chunks.table_name(corpus.id, load_embedder(settings.start_model, settings).fingerprint)
    chunks = corpus_chunks(store, corpus.id)
    vectors = embedder.embed_documents([chunk.embedded for chunk in chunks])
    apply(context_of(settings, store, corpus, chunks), version(corpus, embedder), Candidate("v1", embedder, vectors))
    assert is_up_to_date(store, corpus.id, before)


def test_a_kept_version_is_recorded_and_serves_nobody(indexed) -> None:
    settings, store, corpus, embedder = indexed
    registry, chunks = Registry(settings.models), corpus_chunks(store, corpus.id)
    vectors = embedder.embed_documents([chunk.embedded for chunk in chunks])
    apply(
        context_of(settings, store, corpus, chunks),
        version(corpus, embedder, "keep"),
        Candidate("v1", embedder, vectors),
    )
    assert [each.verdict for each in registry.versions()] == ["keep"]
    assert registry.champion(corpus.folders_id) is None
    assert not store.chunks.exists(store.chunks.table_name(corpus.id, embedder.fingerprint))


def test_a_kept_version_can_be_promoted_by_hand_and_rolled_back(indexed) -> None:
    settings, store, corpus, embedder = indexed
    registry = Registry(settings.models)
    registry.add(version(corpus, embedder, "keep"))
    assert promote_by_hand(settings, store, corpus, "v1", quiet) == "v1"
    (move,) = registry.moves(corpus.folders_id)
    assert (move.name, move.by, move.reason) == ("v1", "hand", "by hand; the gate said keep")
    champion = registry.champion(corpus.folders_id)
    assert champion is not None
    assert is_up_to_date(store, corpus.id, store.chunks.table_name(corpus.id, embedder.fingerprint))
    assert roll_back(settings, store, corpus, quiet) == START_WEIGHTS
    assert registry.champion(corpus.folders_id) is None


def test_an_export_that_cannot_be_written_is_one_line_for_each_arm_and_the_version_serves(indexed, caplog) -> None:
    settings, store, corpus, embedder = indexed
    Registry(settings.models).add(version(corpus, embedder))
    folder = exports(settings.cache)
    folder.unlink()
    folder.write_text("where a folder should be")
    assert promote_by_hand(settings, store, corpus, "v1", quiet) == "v1"
    lines = [record.getMessage() for record in caplog.records]
    assert [line.partition(" is served by torch: its export cannot be written (")[0] for line in lines] == [
        settings.base_model,
        str(settings.models / "v1"),
    ]
    tuned = Arms(settings, store, corpus).current("tuned")
    assert (tuned.model, tuned.embedder.embed_queries(["cat"]).shape) == ("v1", (1, 32))


def test_a_rollback_completes_the_older_table_first(indexed) -> None:
    settings, store, corpus, embedder = indexed
    Registry(settings.models).add(version(corpus, embedder))
    promote_by_hand(settings, store, corpus, "v1", quiet)
    older = store.chunks.table_name(corpus.id, load_embedder(settings.start_model, settings).fingerprint)
    store.chunks.delete(older, list(store.chunks.ids(older))[:1])
    roll_back(settings, store, corpus, quiet)
    assert is_up_to_date(store, corpus.id, older)


def test_what_is_not_there_is_refused_and_changes_nothing(indexed) -> None:
    settings, store, corpus, embedder = indexed
    registry = Registry(settings.models)
    registry.add(replace(version(corpus, embedder), folders="elsewhere"))
    with pytest.raises(UnknownVersion, match="v9: no such version"):
        promote_by_hand(settings, store, corpus, "v9", quiet)
    with pytest.raises(UnknownVersion, match="v1 was trained on other documents; for these there are: none yet"):
        promote_by_hand(settings, store, corpus, "v1", quiet)
    with pytest.raises(UnknownVersion, match="nothing to roll back"):
        roll_back(settings, store, corpus, quiet)
    assert registry.champion(corpus.folders_id) is None


def test_the_start_weights_can_be_promoted_by_hand_and_that_is_logged_and_rolled_back(indexed) -> None:
    settings, store, corpus, embedder = indexed
    registry = Registry(settings.models)
    registry.add(version(corpus, embedder))
    promote_by_hand(settings, store, corpus, "v1", quiet)
    older = store.chunks.table_name(corpus.id, load_embedder(settings.start_model, settings).fingerprint)
    store.chunks.delete(older, list(store.chunks.ids(older))[:1])
    assert promote_by_hand(settings, store, corpus, START_WEIGHTS, quiet) == START_WEIGHTS
    assert registry.champion(corpus.folders_id) is None
    assert is_up_to_date(store, corpus.id, older)
    assert [(move.name, move.by, move.reason) for move in registry.moves(corpus.folders_id)][1:] == [
        (START_WEIGHTS, "hand", "by hand")
    ]
    assert roll_back(settings, store, corpus, quiet) == "v1"


def test_a_deleted_version_cannot_be_rolled_back_to_and_the_error_names_another(indexed) -> None:
    settings, store, corpus, embedder = indexed
    registry = Registry(settings.models)
    for name in ("v1", "v2", "v3"):
        if name != "v1":
            (settings.models / name).symlink_to(settings.models / "v1")
        registry.add(replace(version(corpus, embedder), name=name))
        promote_by_hand(settings, store, corpus, name, quiet)
    (settings.models / "v2").unlink()
    arms = Arms(settings, store, corpus)
    gone = re.escape(str(settings.models / "v2"))
    with pytest.raises(UnknownVersion, match=f"v2 cannot serve: {gone} is missing.*`python -m train promote v1`$"):
        roll_back(settings, store, corpus, quiet)
    assert arms.refresh() is False  # nothing moved, and the chat serves on
    assert (arms.current("tuned").model, arms.trouble) == ("v3", "")
    assert promote_by_hand(settings, store, corpus, "v1", quiet) == "v1"
    assert arms.refresh()
    (settings.models / "v3").unlink()
    with pytest.raises(UnknownVersion, match=f"v3 cannot serve: .*`python -m train promote {START_WEIGHTS}`$"):
        roll_back(settings, store, corpus, quiet)
    assert promote_by_hand(settings, store, corpus, START_WEIGHTS, quiet) == START_WEIGHTS


def test_an_adapter_whose_model_was_deleted_cannot_be_rolled_back_to(indexed) -> None:
    settings, store, corpus, embedder = indexed
    registry = Registry(settings.models)
    fitted = settings.models / "v2"
    fitted.mkdir()
    (fitted / ADAPTER).write_text(json.dumps({"model": "../v9", "fingerprint": "f"}))
    np.save(fitted / MATRIX, np.eye(2, dtype=np.float32))
    registry.add(replace(version(corpus, embedder), name="v2"))
    with pytest.raises(
        UnknownVersion, match=rf"v2 cannot serve: {re.escape(str(settings.models.resolve()))}/v9 is missing"
    ):
        promote_by_hand(settings, store, corpus, "v2", quiet)


def test_a_promotion_and_a_rollback_need_no_torch() -> None:
    code = "import sys; sys.modules['torch'] = None; import train.__main__, train.judging.promotion"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


def test_a_champion_whose_folder_was_deleted_is_rolled_back(indexed) -> None:
    settings, store, corpus, embedder = indexed
    registry = Registry(settings.models)
    registry.add(version(corpus, embedder))
    registry.promote(corpus.folders_id, "v1")
    (settings.models / "v1").unlink()
    assert roll_back(settings, store, corpus, quiet) == START_WEIGHTS
