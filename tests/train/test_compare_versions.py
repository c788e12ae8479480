"""The terminal output about one version and about two."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from rag.evaluation.metrics import METRICS
from results import ABSTAINING, facts
from train.compare_versions import compare, show
from train.judging.evaluate import Scores
from train.reporting.report import write_report


def scores(values: list[float], *dims: int) -> Scores:
    return {dim: {metric: np.array(values) for metric in METRICS} for dim in dims}


def test_a_version_is_shown_with_its_verdict_numbers_and_report(tmp_path: Path) -> None:
    given = facts()
    report = write_report(tmp_path, given)
    text = show(given.version, tmp_path, serves=False)
    assert text.startswith(
        "v3\ntrained 2026-01-02 12:00 UTC on ratings, from builtin\nVERDICT: keep v2, not v3 | ...\nwhy: 4 "
    )
    assert "challenger  v3       8          0.250       1.000       0.562   0.673" in text
    assert text.endswith(f"report: {report}")


def test_a_version_is_shown_with_its_threshold(tmp_path: Path) -> None:
    given = facts(abstaining=ABSTAINING)
    write_report(tmp_path, given)
    text = show(given.version, tmp_path, serves=False)
    assert "\nchallenger declines below a cosine of 0.600: recall 100% of 20 [84%, 100%]" in text
    assert "\nbase never declines by the cosine: 3 questions" in text


def test_the_version_that_serves_is_shown_as_such(tmp_path: Path) -> None:
    write_report(tmp_path, facts())
    assert show(facts().version, tmp_path, serves=True).startswith("v3, which serves these documents\n")


def test_a_version_whose_run_folder_is_gone_says_so(tmp_path: Path) -> None:
    text = show(replace(facts().version, name="v9"), tmp_path / "v9", serves=False)
    assert text.endswith(f"{tmp_path / 'v9' / 'metrics.json'} was deleted, so there are no metrics to show")
    assert "VERDICT" in text


def test_two_versions_are_compared_per_metric_with_interval_and_tally() -> None:
    ours, theirs = scores([1.0, 0.5, 0.5, 0.25], 8, 4), scores([0.5, 0.5, 0.75, 0.25], 8, 4)
    text = compare("v4", "v3", ours, theirs, "4 held-out queries")
    assert text.startswith("v4 against v3: 4 held-out queries\n\n")
    lines = text.splitlines()
    assert lines[2].split() == ["v4", "v3", "difference", "queries"]
    assert next(line for line in lines if line.startswith("mrr@10")).startswith("mrr@10      0.562  0.500  +0.062 [")
    assert sum(line.endswith("1 won, 2 tied, 1 lost") for line in lines) == len(METRICS) + 1
    assert any(line.startswith("ndcg@10 at 4") for line in lines)
    assert lines[-1].startswith("the difference is not statistically significant: ndcg@10 +0.06 [")


def test_the_significantly_better_version_is_named_whichever_comes_first() -> None:
    good, bad = scores([0.9] * 20, 8), scores([0.4] * 20, 8)
    assert compare("v4", "v3", good, bad, "20").endswith(
        "v4 is better than v3, statistically significant: ndcg@10 +0.50 [+0.50, +0.50]"
    )
    assert (
        compare("v3", "v4", bad, good, "20")
        .splitlines()[-1]
        .startswith("v4 is better than v3, statistically significant")
    )


def test_models_of_different_sizes_are_compared_at_their_full_ones() -> None:
    text = compare("v4", "v3", scores([0.9, 0.8], 1024, 64), scores([0.4, 0.5], 384, 64), "2 queries")
    assert "ndcg@10 at 64" in text
    assert "at 1024" not in text
