"""How many ratings are needed: until a training can start, and until its result is likely to be significant."""

from __future__ import annotations

import json
from pathlib import Path

from bench import chunk, label, version
from chat.training.ratings_needed import TrainedVersion, ratings_needed, read_trained
from rag.evaluation.metrics import MIN_QUERIES
from rag.feedback.credit import unranked
from rag.feedback.pairs import count_rated
from rag.training_results import METRICS_FILE, TrainingMetrics


def trained(rated: int, more: int | None, verdict: str = "keep") -> TrainedVersion:
    return TrainedVersion(version(verdict=verdict), TrainingMetrics("", rated, more, {}, {}, {}, None))


def test_below_the_minimum_the_meter_runs_to_where_a_training_can_start() -> None:
    now = ratings_needed(12, None)
    assert (now.target, now.enough, now.new) == (MIN_QUERIES, False, 12)
    assert now.message.startswith("38 more until a training can start")


def test_before_a_first_training_nobody_knows_how_many_a_clear_result_takes() -> None:
    now = ratings_needed(60, None)
    assert (now.target, now.enough) == (None, True)
    assert "can be estimated after the first training" in now.message


def test_after_a_keep_the_meter_runs_to_what_the_last_training_was_missing() -> None:
    now = ratings_needed(70, trained(60, more=45))
    assert (now.new, now.target) == (10, 105)
    assert "With about 35 more rated questions a clear result is likely" in now.message
    assert ratings_needed(110, trained(60, more=45)).message.startswith("You have the extra ratings that v2 needed")


def test_more_of_the_same_is_not_promised_to_decide_where_it_would_not() -> None:
    now = ratings_needed(70, trained(60, more=None))
    assert now.target is None
    assert "more ratings of the same kind would not change that" in now.message


def test_after_a_promotion_the_next_gain_is_not_known() -> None:
    now = ratings_needed(70, trained(60, more=None, verdict="promote"))
    assert now.target is None
    assert "is not known before" in now.message


def test_a_query_counts_once_and_only_with_a_correct_passage_of_these_documents() -> None:
    chunks = [chunk(1), chunk(2)]
    labels = [
        label("What is one?", 1),
        label("what is ONE?", 2),  # the same query
        label("What is two?", 2, value=-1),
        label("What is gone?", 7),
        label("Taken back", 1, value=0),
        label("Split", 1),
        label("Split", 1, value=-1, rater="bob"),
        label("Guessed", 1, value=-1, origin="rating"),
    ]
    assert count_rated(labels, chunks, unranked) == 1


def test_the_table_has_the_three_models_at_full_dimension(tmp_path: Path) -> None:
    full = {"hit_rate@1": 0.5, "hit_rate@5": 0.75, "mrr@10": 0.625, "ndcg@10": 0.6, "map": 0.1}
    means = {role: {"32": dict.fromkeys(full, 0.0), "384": full} for role in ("base", "champion", "challenger")}
    names = {"base": "builtin", "champion": "v1", "challenger": "v2"}
    (tmp_path / "v2").mkdir()
    (tmp_path / "v2" / METRICS_FILE).write_text(json.dumps({"means": means, "models": names}))
    table = read_trained(tmp_path, version()).table()
    assert table[0] == ["", "model", "hit_rate@1", "hit_rate@5", "mrr@10", "ndcg@10"]
    assert table[3] == ["challenger", "v2", "0.500", "0.750", "0.625", "0.600"]
    assert read_trained(tmp_path, version("v7")).table() == []  # its folder is gone


def test_the_result_is_a_sentence_with_the_gates_numbers_while_the_report_is_there(tmp_path: Path) -> None:
    gate = {"word": "keep", "challenger": 0.41, "champion": 0.424, "base": 0.4, "n": 77, "kind": "cross-fitted"}
    models = {"base": "builtin", "champion": "v1", "challenger": "v2"}
    (tmp_path / "v2").mkdir()
    (tmp_path / "v2" / METRICS_FILE).write_text(json.dumps({"gate": gate, "models": models}))
    assert read_trained(tmp_path, version()).result() == (
        "v2 was not promoted. Mean ndcg@10 on 77 test questions, cross-fitted: v2 0.41, v1 (champion) 0.42, "
        "builtin (base) 0.40."
    )
    assert read_trained(tmp_path, version("v7", verdict="promote")).result() == "v7 was promoted."
