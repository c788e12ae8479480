"""The gate, case by case, and what promotion and rollback change."""

import json
import math
import re
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from rag.errors import UnknownVersion
from rag.evaluation.intervals import queries_needed, share_interval
from rag.evaluation.win_rates import WinRate
from rag.indexing.indexer import index
from rag.indexing.update import corpus_chunks, is_up_to_date
from rag.ingest.corpus import Corpus, load_corpus
from rag.models.arms import Arms
from rag.models.embedder import Embedder, load_embedder
from rag.models.onnx_embedder import exports
from rag.models.registry import START_WEIGHTS, Registry, Version
from rag.models.weights import ADAPTER, MATRIX
from rag.records import Chunk
from rag.settings import ROOT, Settings
from rag.store.store import Store, open_store
from train.context import TrainingContext
from train.dataset.folds import ENOUGH_HELD_OUT
from train.dataset.split import HELD_OUT_SHARE
from train.judging.contenders import Candidate
from train.judging.gate import (
    CHAMPION_WINS,
    CHAMPION_WINS_TOLERANCE,
    GENERAL,
    GENERAL_TOLERANCE,
    MIN_HELD_OUT,
    MIN_REGRESSION,
    decide,
)
from train.judging.promotion import apply, promote_by_hand, roll_back

RNG = np.random.default_rng(0)
EVEN = np.full(60, 0.5)
NOISE = RNG.normal(0, 0.3, 60)


def quiet(text: str):
    return lambda done, total: None


def test_a_significant_gain_is_promoted():
    verdict = decide(EVEN + 0.2 + NOISE / 3, EVEN, EVEN)
    assert verdict.decision == "promote"
    assert verdict.gain.low > 0
    assert verdict.n == 60


def test_a_gain_that_is_not_significant_is_not():
    verdict = decide(EVEN + 0.02 + NOISE, EVEN, EVEN)
    assert verdict.gain.mean > 0
    assert verdict.decision == "keep"
    assert "not statistically significant" in verdict.reason


def test_a_loss_is_not():
    verdict = decide(EVEN - 0.1, EVEN, EVEN)
    assert verdict.decision == "keep"
    assert verdict.tally.losses == 60


def test_the_same_model_again_is_not():
    assert decide(EVEN, EVEN, EVEN).decision == "keep"


def test_better_than_a_poor_champion_yet_below_base_is_not():
    verdict = decide(EVEN, EVEN - 0.2, EVEN + 0.1)
    assert verdict.gain.low > 0
    assert verdict.decision == "keep"
    assert "worse than base" in verdict.reason


def test_as_good_as_base_and_better_than_the_champion_is_promoted():
    assert decide(EVEN, EVEN - 0.2, EVEN).decision == "promote"


def test_a_few_lucky_queries_prove_nothing():
    lucky = np.ones(MIN_HELD_OUT - 1)
    verdict = decide(lucky, lucky * 0, lucky * 0)
    assert verdict.decision == "keep"
    assert verdict.more == math.ceil(10 / HELD_OUT_SHARE) - math.ceil(9 / HELD_OUT_SHARE)
    assert verdict.reason == f"9 test queries, need {MIN_HELD_OUT}: rate about {verdict.more} more questions"
    enough = np.ones(MIN_HELD_OUT)
    assert decide(enough, enough * 0, enough * 0).decision == "promote"


def duels(won: int, lost: int) -> WinRate:
    return WinRate(won, lost, 0, 0, share_interval(won, won + lost))


LEVEL = EVEN + np.tile([0.01, 0.015, -0.002], 20)  # a mean of +0.008, and never worse by more than 0.002
NEARLY = EVEN + np.tile([0.03, -0.02, -0.005], 20)  # a mean of +0.002, whose interval reaches below 0


def test_a_version_that_is_not_clearly_worse_is_promoted_where_raters_prefer_the_tuned_arm():
    assert decide(NEARLY, EVEN, EVEN).decision == "keep"
    verdict = decide(NEARLY, EVEN, EVEN, online=duels(16, 4))
    assert -0.01 < verdict.gain.low <= 0
    assert (verdict.decision, verdict.rule) == ("promote", "duels")
    assert "raters prefer the tuned arm in blind duels: tuned won 16 of 20 duels" in verdict.reason


def test_duels_without_a_significant_winner_promote_nothing():
    verdict = decide(NEARLY, EVEN, EVEN, online=duels(12, 8))
    assert verdict.decision == "keep"
    assert "the duels do not decide either: tuned won 12 of 20 duels" in verdict.reason


def test_duels_do_not_make_up_for_a_difference_that_may_be_a_loss():
    assert decide(EVEN + 0.02 + NOISE, EVEN, EVEN, online=duels(100, 0)).decision == "keep"  # reaches too far below 0
    assert decide(EVEN - 0.001, EVEN, EVEN, online=duels(100, 0)).decision == "keep"  # its mean is below 0


def test_a_significant_gain_needs_no_duels():
    verdict = decide(LEVEL, EVEN, EVEN, online=duels(0, 100))
    assert (verdict.decision, verdict.rule) == ("promote", "interval")


def champion_won(n: int, *, lost_there: float, gained_elsewhere: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return challenger, champion and base where the champion is above base on the first n of 100 queries."""
    base = np.full(100, 0.4)
    champion = base + np.where(np.arange(100) < n, 0.3, 0)
    return champion + np.where(np.arange(100) < n, -lost_there, gained_elsewhere), champion, base


def test_whatever_the_gain_a_fall_where_the_champion_wins_is_not_promoted():
    verdict = decide(*champion_won(30, lost_there=CHAMPION_WINS_TOLERANCE + 0.01, gained_elsewhere=0.2))
    assert verdict.gain.low > 0
    assert (verdict.decision, verdict.rule) == ("keep", "")
    assert verdict.reason.startswith(f"it is too much worse on {CHAMPION_WINS}: -0.06 [")
    assert verdict.reason.endswith("on 30, -0.05 is tolerated")
    assert verdict.more is None  # more ratings would not fix that


def test_a_decrease_within_the_tolerance_is_promoted_and_reported():
    verdict = decide(*champion_won(30, lost_there=CHAMPION_WINS_TOLERANCE - 0.01, gained_elsewhere=0.2))
    assert verdict.decision == "promote"
    assert [(each.name, each.n, each.has_regressed) for each in verdict.regressions] == [(CHAMPION_WINS, 30, False)]


def test_a_small_regression_set_is_reported_and_forbids_nothing():
    challenger = champion_won(MIN_REGRESSION - 1, lost_there=0.2, gained_elsewhere=0.2)
    assert decide(*challenger).decision == "promote"
    assert decide(*champion_won(MIN_REGRESSION, lost_there=0.2, gained_elsewhere=0.2)).decision == "keep"


def test_a_fall_on_general_queries_is_not_promoted():
    before = np.full(MIN_REGRESSION, 0.7)
    fallen = (before - GENERAL_TOLERANCE - 0.01, before)
    verdict = decide(EVEN + 0.2, EVEN, EVEN, general=fallen)
    assert verdict.decision == "keep"
    assert GENERAL in verdict.reason
    assert decide(EVEN + 0.2, EVEN, EVEN, general=(before - GENERAL_TOLERANCE + 0.01, before)).decision == "promote"


def test_duels_do_not_make_up_for_a_broken_regression_set():
    before = np.full(MIN_REGRESSION, 0.7)
    assert decide(NEARLY, EVEN, EVEN, online=duels(100, 0), general=(before - 0.1, before)).decision == "keep"


def test_a_keep_says_how_many_more_ratings_would_decide_it():
    challenger = EVEN + 0.02 + NOISE
    needed = queries_needed(challenger - EVEN)
    assert needed is not None
    held = decide(challenger, EVEN, EVEN)
    assert held.more == pytest.approx(needed / HELD_OUT_SHARE, abs=5)
    assert f"about {held.more} more rated questions would decide it" in held.reason


def test_cross_fitted_every_rated_question_more_is_one_more_to_judge_by():
    challenger = EVEN + np.tile([0.3, -0.2], 30)
    verdict = decide(challenger, EVEN, EVEN, kind="cross-fitted")
    assert verdict.more == queries_needed(challenger - EVEN)


def test_cross_fitting_ends_where_the_share_of_the_hash_is_enough():
    challenger = EVEN + np.tile([0.21, -0.19], 30)
    needed = queries_needed(challenger - EVEN)
    assert needed is not None
    assert 60 + needed > ENOUGH_HELD_OUT / HELD_OUT_SHARE
    verdict = decide(challenger, EVEN, EVEN, kind="cross-fitted")
    assert verdict.more == pytest.approx((60 + needed) / HELD_OUT_SHARE - 60, abs=1)


def test_without_a_gain_no_more_ratings_are_requested():
    verdict = decide(EVEN - 0.1, EVEN, EVEN)
    assert verdict.more is None
    assert "more ratings of the same kind would not change that" in verdict.reason


def test_no_held_out_query_at_all_is_a_keep():
    nothing = np.array([])
    assert decide(nothing, nothing, nothing).decision == "keep"


def test_the_verdict_is_one_greppable_line():
    promoted = decide(EVEN + 0.1, EVEN, EVEN - 0.1)
    assert promoted.line("v7", "v6") == (
        "VERDICT: promote v7 | ndcg@10 0.60, champion 0.50 (+0.10 [+0.10, +0.10]), base 0.40 | n=60 held out"
    )
    assert decide(EVEN, EVEN, EVEN, kind="cross-fitted").line("v7", "v6").endswith("| n=60 cross-fitted")
    kept = decide(EVEN - 0.1, EVEN, EVEN)
    assert kept.line("v7", "v6").startswith("VERDICT: keep v6, not v7 | ndcg@10 0.40, champion 0.50 (-0.10 [")


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
