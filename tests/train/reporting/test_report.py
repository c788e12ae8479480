"""The report of a training matches its numbers, is self-contained, and survives user text."""

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import psutil
import pytest

from fakes import NOON, make_chunk
from rag.evaluation.intervals import Interval
from rag.evaluation.win_rates import WinRate
from rag.feedback.pairs import alike, make_pairs
from rag.records import LabelledPair, Pair, Qrels
from rag.settings import Settings
from results import (
    ABSTAINING,
    IDS,
    LOST,
    RIGHT,
    WON,
    facts,
)
from train.dataset.folds import EvaluationSplits
from train.dataset.split import Split
from train.judging.evaluate import Run, scores_of
from train.judging.gate import decide
from train.judging.serving_precision import MeasuredPrecision, PrecisionChoice
from train.reporting.report import NOT_SERVING, write_report
from train.reporting.results import (
    LabelSummary,
    LearningCurvePoint,
    TrainingResults,
    config_of,
    data_of,
    former_points,
    labels_of,
    peak_memory_mb,
    trained_on_by_champion,
    unevaluated_options,
)


def page(folder: Path, given: TrainingResults | None = None) -> str:
    write_report(folder, given or facts())
    return (folder / "report.md").read_text("utf-8")


def section(text: str, title: str) -> str:
    return text.split(f"## {title}")[1].split("\n## ")[0]


def test_the_page_opens_with_the_verdict_and_its_reason(tmp_path: Path) -> None:
    text = page(tmp_path / "runs" / "v3")
    assert text.startswith("# Training v3\n\n`VERDICT: keep v2, not v3 | ...`\n\nWhy: 4 test queries, need 10")


def test_the_html_page_holds_the_same_with_its_plots_and_loads_nothing(tmp_path: Path) -> None:
    path = write_report(tmp_path, facts())
    html = path.read_text("utf-8")
    assert path.name == "report.html"
    assert html.count("<svg ") == 1
    assert "<td>2 won, 1 tied, 1 lost</td>" in html
    assert "<h3>1. won a lot</h3>" in html
    assert not re.search(r"<script|<link|<img|\ssrc=|@import", html)
    assert not re.search(r'href="(?!#)', html)


def test_the_plots_of_the_markdown_are_files_in_the_same_folder(tmp_path: Path) -> None:
    shown = re.findall(r"!\[[^\]]*\]\(([^)]+)\)", page(tmp_path, facts(former=[FORMER])))
    assert shown == ["quality-by-dimension.svg", "learning-curve.svg"]
    assert all("<svg" in (tmp_path / name).read_text("utf-8") for name in shown)


def test_the_same_facts_make_the_same_files(tmp_path: Path) -> None:
    given = facts(former=[FORMER])
    page(tmp_path / "one", given)
    page(tmp_path / "two", given)
    for path in (tmp_path / "one").iterdir():
        assert path.read_bytes() == (tmp_path / "two" / path.name).read_bytes()


def test_every_model_has_its_metrics_and_its_cost_at_every_dimension(tmp_path: Path) -> None:
    rows = section(page(tmp_path), "Metrics on the test queries").splitlines()
    assert len([line for line in rows if line.startswith(("| c", "| b"))]) == 6
    # ranks 1, 2, 4, 2: mrr (1 + 1/2 + 1/4 + 1/2) / 4, ndcg (1 + 0.631 + 0.431 + 0.631) / 4
    assert "| challenger | v3 | 8 | 0.250 | 1.000 | 0.562 | 0.673 | 3.20 MB | 1.50 ms |" in rows
    assert "| champion | v2 | 4 | 0.000 | 0.000 | 0.000 | 0.000 | 1.60 MB | 0.75 ms |" in rows


def test_the_page_says_when_each_model_does_not_know(tmp_path: Path) -> None:
    result = section(page(tmp_path, facts(abstaining=ABSTAINING)), "When it says that it does not know")
    assert "- challenger: declines below a cosine of 0.600: recall 100% of 20 [84%, 100%] questions without" in result
    assert "- base: never declines by the cosine: 3 questions find their passage, need 24" in result
    assert "| challenger | v3 | 0.600 | 1.00 | 1.00 | 0% of 30 [0%, 11%] | 100% of 5 [57%, 100%] |" in result
    assert "| base | builtin | never | - | - | 0% of 3 " in result
    metrics = json.loads((tmp_path / "metrics.json").read_text("utf-8"))["abstaining"]["challenger"]
    assert (metrics["below"], metrics["precision"], metrics["recall"]["n"]) == (0.6, 1.0, 20)


def test_the_page_gives_the_serving_precision_and_its_measurements(tmp_path: Path) -> None:
    title = "Precision that both arms serve in"
    assert section(page(tmp_path, facts()), title).strip() == NOT_SERVING
    measured = [MeasuredPrecision("base", "int8", 0.5999, Interval(-0.0012, -0.004, 0.002), 52.7, 3.7)]
    choice = PrecisionChoice("int8", "the fastest", measured, {"bf16": "base: no"}, n=300, chunks=735)
    result = section(page(tmp_path, facts(precision=choice)), title)
    assert "int8: the fastest." in result
    assert "On 300 test queries and 735 chunks" in result
    assert "| base | int8 | 0.5999 | -0.0012 [-0.0040, +0.0020] | 52.7 | 3.7 ms |" in result
    assert "- bf16: base: no" in result
    assert json.loads((tmp_path / "metrics.json").read_text("utf-8"))["precision"]["precision"] == "int8"


def test_the_page_explains_which_dimension_would_be_enough(tmp_path: Path) -> None:
    metrics = section(page(tmp_path), "Metrics on the test queries")
    assert (
        "For the challenger 8 dimensions would be enough: ndcg@10 0.673 at 8 dimensions, and every smaller one costs"
        in metrics
    )


def test_differences_come_with_interval_and_tally(tmp_path: Path) -> None:
    differences = section(page(tmp_path), "Differences")
    assert "Challenger over champion:" in differences
    assert "Challenger over base:" in differences
    # champion 0, 1/3, 1, 1/2 against challenger 1, 1/2, 1/4, 1/2
    assert "| mrr@10 | 0.562 | 0.458 | +0.104 [" in differences
    assert "2 won, 1 tied, 1 lost" in differences


def test_the_queries_won_and_lost_most_are_named_in_order_with_the_rank_of_the_right_chunk(tmp_path: Path) -> None:
    text = page(tmp_path)
    won, lost = section(text, "Queries won most"), section(text, "Queries lost most")
    assert "| 1 | won a lot | 0.00 | below rank 50 | 1.00 | rank 1 |" in won
    assert "| 2 | won a little | 0.50 | rank 3 | 0.63 | rank 2 |" in won
    assert "| 1 | lost \\| pipes and \\<b>tags\\</b> | 1.00 | rank 1 | 0.43 | rank 4 |" in lost
    assert "tied" not in won + lost
    assert "won a" not in lost


def test_each_hit_is_marked_as_right_wrong_or_not_judged(tmp_path: Path) -> None:
    judged = {WON: frozenset({RIGHT, IDS[1]})}
    won = section(page(tmp_path, facts(judged)), "Queries won most")
    rows = [line for line in won.partition("### 1. won a lot")[2].splitlines() if line.startswith("| 1 ")]
    assert rows[0] == "| 1 | **✗ wrong** 1.md › Part: chunk 1 | **✓ right** 0.md › Part: chunk 0 |"
    assert "| 2 | **? not judged** 2.md › Part: chunk 2 | **✗ wrong** 1.md › Part: chunk 1 |" in won


def test_what_the_documents_hold_cannot_become_part_of_the_page(tmp_path: Path) -> None:
    nasty = make_chunk("<script>alert(1)</script> ![x](http://evil/y.png) | `a`", "0.md")
    chunks = {**facts().chunks, RIGHT: replace(nasty, id=RIGHT)}
    write_report(tmp_path, facts(chunks=chunks))
    html = (tmp_path / "report.html").read_text("utf-8")
    assert "&lt;script&gt;alert(1)&lt;/script&gt; ![x](http://evil/y.png) | `a`</td>" in html
    assert "<img" not in html


def test_the_metrics_on_judged_hits_have_their_own_table(tmp_path: Path) -> None:
    judged = {WON: frozenset({RIGHT, IDS[1]}), LOST: frozenset({RIGHT, IDS[2]})}
    table = section(page(tmp_path, facts(judged)), "Metrics on judged hits alone")
    assert "on the 2 queries that have a chunk judged wrong" in table
    # of the judged ones the challenger ranks: right, wrong; wrong, right. Of its first 5 hits 1 + 1 + 1 + 1 are right,
    # and 1 + 1 judged wrong, so 14 of 20 are unjudged
    assert "| challenger | v3 | 0.500 | 1.000 | 0.750 | 0.815 | 70% | 85% |" in table


def test_without_a_wrong_chunk_there_is_nothing_to_tell_on_judged_hits(tmp_path: Path) -> None:
    result = section(page(tmp_path), "Metrics on judged hits alone")
    assert "there are no metrics on judged hits alone" in result
    assert "- challenger: 80%" in result


def test_held_out_and_cross_fitted_are_explained(tmp_path: Path) -> None:
    held = section(page(tmp_path), "How it was judged")
    assert held.strip().startswith("Held out: 4 queries that a hash")
    crossed = facts(verdict=replace(facts().verdict, kind="cross-fitted"))
    result = section(page(tmp_path, crossed), "How it was judged").strip()
    assert result.startswith("Cross-fitted: the hash holds out 3 queries so far, fewer than 100, so every rated query")


def test_the_page_lists_the_reasons_of_the_verdict(tmp_path: Path) -> None:
    champion, challenger = np.full(40, 0.6), np.full(40, 0.5)
    online = WinRate(30, 10, 4, 2, Interval(0.75, 0.6, 0.86))
    verdict = decide(challenger, champion, np.full(40, 0.4), online=online)
    result = section(page(tmp_path, facts(verdict=verdict)), "How it was judged")
    assert "- challenger over champion: -0.10 [-0.10, -0.10] of ndcg@10 on 40 queries: 0 won, 0 tied, 40 lost" in result
    assert "- blind duels since the last promotion: tuned won 30 of 40 duels (0.75 [0.60, 0.86])" in result
    assert (
        "- regression set, queries the champion wins: broken (-0.10 [-0.10, -0.10] on 40, -0.05 is tolerated)" in result
    )
    assert "- more rated questions that would decide it: not known" in result


FORMER = LearningCurvePoint("v1", 60, 55, {"base": 0.5, "champion": 0.5, "challenger": 0.61}, True)


def test_the_learning_curve_has_the_trainings_before_and_this_one(tmp_path: Path) -> None:
    curve = section(page(tmp_path, facts(former=[FORMER])), "Learning curve")
    assert "| v1 | 60 | 55 | 0.500 | 0.500 | 0.610 | promote |" in curve
    assert "| v3 | 0 | 4 | 0.000 | 0.533 | 0.673 | keep |" in curve


def test_one_training_is_no_curve(tmp_path: Path) -> None:
    assert "a curve needs two" in section(page(tmp_path), "Learning curve")
    assert not (tmp_path / "learning-curve.svg").exists()


def test_a_later_training_reads_the_points_of_those_before_it(tmp_path: Path) -> None:
    write_report(tmp_path / "v3", facts())
    (tmp_path / "v4").mkdir()
    (tmp_path / "v4" / "metrics.json").write_text("{torn")
    versions = [replace(facts().version, name=name) for name in ("v2", "v3", "v4")]
    elsewhere = replace(facts().version, folders="other")
    assert former_points(tmp_path, [*versions, elsewhere], "folders") == [facts().point]


def test_labels_are_counted_with_their_noise() -> None:
    chunks = [make_chunk("one"), make_chunk("two"), make_chunk("three")]
    labels = [
        label("ann", "q", chunks[0], 1, cited=True),
        label("bob", "q", chunks[0], -1, cited=True),
        label("ann", "q", chunks[1], -1),
        label("ann", "r", chunks[2], 1, origin="mark"),
        label("cat", "s", make_chunk("gone | <b>"), 1, origin="import"),
        label("cat", "t", chunks[1], 0, origin="import"),
    ]
    result = labels_of(labels, make_pairs(labels, chunks, alike))
    assert result.queries == 1  # only r: q has a draw
    assert result.by_origin == {"import": (1, 0), "mark": (1, 0), "rating": (1, 1)}
    assert (result.guessed, result.withdrawn, result.shared, result.contested, result.drawn) == (1, 1, 1, 1, 1)
    assert [n for n, _ in result.raters] == [2, 1]
    assert result.gone == 1
    assert result.gone_shown == [("s", "gone | <b>", "its text is no longer in these documents")]


def label(rater: str, query: str, chunk, value: int, **more: object) -> LabelledPair:
    given = {"origin": "rating", **more}
    return LabelledPair(rater, f"answer to {query}", query, chunk.id, chunk.text, value, NOON, **given)  # type: ignore[arg-type]


def test_the_page_tells_of_the_labels_and_names_no_rater(tmp_path: Path) -> None:
    counts = LabelSummary(9, {"rating": (7, 2)}, 5, 1, [(6, 0.8), (3, 0.4)], 2, 1, 1, 1, [("q", "gone | <b>", "why")])
    result = section(page(tmp_path, facts(labels=counts)), "Labels and noise")
    assert "- labels by rating: 7 good, 2 bad" in result
    assert "- judged by several raters: 2, of which 1 both good and bad" in result
    assert "- gone: 'q' had 'gone \\| \\<b>'; why" in result
    assert "| 2 | 3 | 0.40 |" in result


def test_what_was_configured_and_how_long_it_took_is_there(tmp_path: Path) -> None:
    text = page(tmp_path)
    for expected in (
        "- chunks: 12",
        "- split: 4 queries",
        "- labels: 30 pairs",
        "- epochs: 3",
        "- seed: 7",
        "- rate: 0.0001",
        "- k: 5",
    ):
        assert expected in text
    for expected in ("- tuning: 12.3 s", "- total: 20.0 s", "- peak memory: 850 MB", "- hash of pairs: p"):
        assert expected in text


def test_the_page_says_where_peak_memory_is_not_available(tmp_path: Path) -> None:
    assert "- peak memory: not available" in page(tmp_path, facts(memory_mb=None))


def test_the_memory_of_this_process_is_measured_in_megabytes() -> None:
    peak, now = peak_memory_mb(), psutil.Process().memory_info().rss / 1e6
    if peak is None:
        pytest.skip("not available on Windows")
    assert now - 1 <= peak < 20 * now


def test_metrics_json_holds_the_same_numbers_and_every_query(tmp_path: Path) -> None:
    write_report(tmp_path, facts())
    saved = json.loads((tmp_path / "metrics.json").read_text())
    assert saved["means"]["challenger"]["8"]["mrr@10"] == 0.5625
    assert saved["queries"][2] == {"query": LOST, "base": 0.0, "champion": 1.0, "challenger": 0.4307}
    assert saved["config"] == {"k": 5, "epochs": 3, "seed": 7, "rate": 0.0001}
    assert saved["gate"]["word"] == "keep"
    assert saved["gate"]["regressions"][0]["n"] == 3
    assert saved["cost"]["base"]["4"] == {"index_bytes": 1_600_000, "search_ms": 0.75}
    assert saved["unjudged"]["challenger"]["5"] == 0.8
    assert saved["memory_mb"] == 850


def test_a_run_without_queries_that_judge_still_has_a_page(tmp_path: Path) -> None:
    none = {role: {8: Run({}, 10, 0.0), 4: Run({}, 5, 0.0)} for role in facts().names}
    scores = {role: scores_of(each, Qrels()) for role, each in none.items()}
    text = page(tmp_path, facts(runs=none, scores=scores, qrels=Qrels()))
    assert section(text, "Queries won most").rstrip().endswith("None.")


def test_hashes_tell_whether_two_runs_had_the_same_data() -> None:
    chunks = [make_chunk("one"), make_chunk("two")]
    pairs = [Pair("q", chunks[0].id, "one", ("two",))]
    evaluation = EvaluationSplits("held out", (Split((), (), Qrels({"h": frozenset({chunks[1].id})}), 0),))
    first = data_of("corpus", chunks, evaluation, pairs)
    assert first == data_of("corpus", chunks[::-1], evaluation, pairs)
    assert first.pairs_hash != data_of("corpus", chunks, evaluation, []).pairs_hash
    assert first.pairs_hash != data_of("corpus", chunks, evaluation, [replace(pairs[0], weight=0.5)]).pairs_hash
    moved = EvaluationSplits("held out", (Split((), (), Qrels({"h": frozenset({chunks[0].id})}), 0),))
    assert first.qrels_hash != data_of("corpus", chunks, moved, pairs).qrels_hash


def test_no_key_gets_into_a_report(settings: Settings) -> None:
    secretive = settings.model_copy(update={"openai_api_key": "sk-very-secret"})
    assert "sk-very" not in str(config_of(secretive))


def test_the_page_says_how_hybrid_search_ranks_with_the_challenger(tmp_path: Path) -> None:
    assert "- ranked: by the embeddings alone\n" in page(tmp_path)
    assert "- ranked: hybrid search by 80% cosine\n" in page(tmp_path, facts(ranking="hybrid search by 80% cosine"))


def test_the_report_says_where_the_chat_ranks_by_more_than_a_training_measures(settings: Settings) -> None:
    assert unevaluated_options(settings) == []
    assert unevaluated_options(settings.model_copy(update={"search": "hybrid"})) == []  # it is measured
    (result,) = unevaluated_options(settings.model_copy(update={"rerank": "some/model", "mmr": 0.7}))
    assert result.startswith("no metric is measured with THUMBTUNE_RERANK=some/model and THUMBTUNE_MMR=0.7, which")


def test_the_page_counts_test_queries_whose_chunk_the_champion_was_trained_on() -> None:
    parts = Split((), (), Qrels({"a": frozenset({"1", "2"}), "b": frozenset({"3"})}), 0)
    assert trained_on_by_champion(parts, frozenset({"2", "9"})).startswith(
        "the champion was trained on a relevant chunk of 1 of"
    )
