"""The page of a training says what its numbers say, and survives what users type."""

import json
from pathlib import Path

import numpy as np

from fakes import NOON, make_chunk
from rag.records import Pair, Qrels
from rag.registry import Version
from rag.settings import Settings
from rag.stats import METRICS
from train.report import Facts, config_of, data_of, seen_by_champion, write_report
from train.split import Split

QUERIES = ["won a lot", "won a little", "lost | pipes\nand <b>tags</b>", "tied"]
CHAMPION, CHALLENGER = [0.0, 0.4, 1.0, 0.5], [1.0, 0.5, 0.25, 0.5]


def scores(values: list[float], *dims: int) -> dict[int, dict[str, np.ndarray]]:
    """Return scores that are these at the first dimension and half of them at the others."""
    return {dim: {metric: np.array(values) * (1 if dim == dims[0] else 0.5) for metric in METRICS} for dim in dims}


def facts(**changes: object) -> Facts:
    given: dict[str, object] = {
        "version": Version("v3", "folders", "f", "builtin", "ratings", "keep", "VERDICT: keep v2, not v3 | ...", NOON),
        "reason": "the difference to the champion may be luck",
        "names": {"base": "builtin", "champion": "v2", "challenger": "v3"},
        "config": {"epochs": 3, "seed": 7},
        "data": {"chunks": 11},
        "notes": ["2 labels point at text no longer in these documents"],
        "scores": {
            "base": scores([0.0] * 4, 8, 4),
            "champion": scores(CHAMPION, 8, 4),
            "challenger": scores(CHALLENGER, 8, 4),
        },
        "queries": QUERIES,
        "seconds": {"tuning": 12.34},
    }
    return Facts(**{**given, **changes})  # type: ignore[arg-type]


def page(folder: Path) -> str:
    return write_report(folder, facts()).read_text()


def section(text: str, title: str) -> str:
    return text.split(f"## {title}")[1].split("\n## ")[0]


def test_the_page_opens_with_the_verdict_and_its_reason(tmp_path: Path) -> None:
    text = page(tmp_path / "runs" / "v3")
    assert text.startswith(
        "# Training v3\n\n`VERDICT: keep v2, not v3 | ...`\n\nWhy: the difference to the champion may be"
    )


def test_every_model_has_its_metrics_at_every_dimension(tmp_path: Path) -> None:
    table = section(page(tmp_path), "Metrics")
    rows = [line for line in table.splitlines() if line.startswith("| c") or line.startswith("| b")]
    assert len(rows) == 6
    assert "| challenger | v3 | 8 | 0.562 | 0.562 | 0.562 | 0.562 |" in rows  # (1 + 0.5 + 0.25 + 0.5) / 4
    assert "| champion | v2 | 4 | 0.237 | 0.237 | 0.237 | 0.237 |" in rows


def test_differences_come_with_interval_and_tally(tmp_path: Path) -> None:
    differences = section(page(tmp_path), "Differences")
    assert "Challenger over champion (v2)" in differences
    assert "Challenger over base (builtin)" in differences
    assert "| ndcg@10 | +0.088 [" in differences  # (1 + 0.1 - 0.75 + 0) / 4
    assert "2 won, 1 tied, 1 lost" in differences


def test_the_queries_won_and_lost_most_are_named_in_order(tmp_path: Path) -> None:
    text = page(tmp_path)
    won, lost = section(text, "Queries won most"), section(text, "Queries lost most")
    assert won.index("won a lot") < won.index("won a little")
    assert "tied" not in won
    assert "lost" not in won.replace("Queries lost", "")
    assert "| lost \\| pipes and &lt;b>tags&lt;/b> | 1.00 | 0.25 |" in lost
    assert "won a" not in lost


def test_what_was_configured_left_out_and_how_long_it_took_is_there(tmp_path: Path) -> None:
    text = page(tmp_path)
    for expected in ("- chunks: 11", "- 2 labels point at text", "- epochs: 3", "- seed: 7", "- tuning: 12.3 s"):
        assert expected in text


def test_metrics_json_holds_the_same_numbers_and_every_query(tmp_path: Path) -> None:
    write_report(tmp_path, facts())
    saved = json.loads((tmp_path / "metrics.json").read_text())
    assert saved["means"]["challenger"]["8"]["ndcg@10"] == 0.5625
    assert saved["queries"][2] == {"query": QUERIES[2], "base": 0.0, "champion": 1.0, "challenger": 0.25}
    assert saved["config"] == {"epochs": 3, "seed": 7}


def test_a_run_without_held_out_queries_still_has_a_page(tmp_path: Path) -> None:
    empty = {role: scores([], 8) for role in ("base", "champion", "challenger")}
    text = write_report(tmp_path, facts(scores=empty, queries=[])).read_text()
    assert section(text, "Queries won most").rstrip().endswith("None.")


def test_hashes_tell_whether_two_runs_had_the_same_data() -> None:
    chunks = [make_chunk("one"), make_chunk("two")]
    pairs = [Pair("q", chunks[0].id, "one", ("two",))]
    parts = Split((), (), Qrels({"h": frozenset({chunks[1].id})}), 0)
    first = data_of("corpus", chunks, parts, pairs)
    assert first == data_of("corpus", chunks[::-1], parts, pairs)
    assert first["hash of pairs"] != data_of("corpus", chunks, parts, [])["hash of pairs"]
    moved = Split((), (), Qrels({"h": frozenset({chunks[0].id})}), 0)
    assert first["hash of held-out qrels"] != data_of("corpus", chunks, moved, pairs)["hash of held-out qrels"]


def test_no_key_gets_into_a_report(settings: Settings) -> None:
    secretive = settings.model_copy(update={"openai_api_key": "sk-very-secret"})
    assert "sk-very" not in str(config_of(secretive))


def test_the_page_says_how_often_the_champion_knew_the_answer_beforehand() -> None:
    parts = Split((), (), Qrels({"a": frozenset({"1", "2"}), "b": frozenset({"3"})}), 0)
    assert seen_by_champion(parts, frozenset({"2", "9"})).startswith(
        "the champion was trained on a right chunk of 1 of"
    )
