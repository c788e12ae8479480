"""What the benchmark of indexing says of what it measured. The measuring itself is run by `make bench`."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.retrieval import peer_index
from benchmarks.retrieval.indexing import (
    LANGCHAIN,
    LLAMA,
    LLAMA_WHOLE,
    OURS,
    OURS_FP32,
    OURS_INT8,
    PEERS,
    RAW,
    RAW_FP32,
    RAW_INT8,
    SYSTEMS,
    Noting,
    median,
    overhead,
    table,
    verdicts,
)


def run(cpu_s: float, tokens: float = 1000.0) -> dict[str, float]:
    return {"load_s": 1.0, "wall_s": 2 * cpu_s, "cpu_s": cpu_s, "mb": 800.0, "chunks": 10.0, "tokens": tokens}


FOUND = {
    OURS: run(10.0),
    RAW: run(8.0),
    OURS_INT8: run(5.0),
    RAW_INT8: run(5.0),
    OURS_FP32: run(20.0),
    RAW_FP32: run(19.0),
    LANGCHAIN: run(25.0, tokens=1250.0),
    LLAMA: run(6.0, tokens=250.0),
    LLAMA_WHOLE: run(30.0),
}


def test_the_peers_go_by_the_same_names_in_both_environments() -> None:
    assert tuple(peer_index.SYSTEMS) == PEERS


def test_the_median_is_taken_of_each_figure_by_itself() -> None:
    assert median([{"cpu_s": 1.0, "mb": 9.0}, {"cpu_s": 2.0, "mb": 8.0}, {"cpu_s": 7.0, "mb": 7.0}]) == {
        "cpu_s": 2.0,
        "mb": 8.0,
    }


def test_the_table_has_a_row_for_each_system_and_our_own_ratios_are_one() -> None:
    lines = table(FOUND)
    assert [line.split(" | ")[0].removeprefix("| ") for line in lines[2:]] == list(SYSTEMS)
    assert lines[2] == "| thumbtune | 10 | 1,000 | 100% | 1.0 | 20.0 | 10.0 | 1.00 | 1.00 | 800 |"


def test_a_peer_that_reads_a_quarter_of_the_text_is_also_told_per_token() -> None:
    (line,) = [line for line in table(FOUND) if line.startswith(f"| {LLAMA} |")]
    assert "| 25% |" in line
    assert "| 0.60 | 2.40 |" in line


def test_a_peer_that_embeds_a_part_twice_is_charged_with_it_in_the_whole_and_not_per_token() -> None:
    (line,) = [line for line in table(FOUND) if line.startswith(f"| {LANGCHAIN} |")]
    assert "| 2.50 | 2.00 |" in line


def test_a_verdict_says_of_the_whole_and_of_each_token_whether_the_aim_is_reached() -> None:
    said = verdicts(FOUND)
    assert f"{OURS} against {LANGCHAIN}: 2.50 times as fast, 2.00 times per token read" in said[0]
    assert said[0].endswith("(aim 2: reached, reached per token)")
    assert said[1].endswith("(aim 2: missed, reached per token)")
    assert said[6].startswith(f"{OURS_FP32} against {LANGCHAIN}: 1.25 times as fast")
    assert said[6].endswith("(aim 1: reached, reached per token)")


def test_an_overhead_is_what_comes_on_top_of_the_raw_encode() -> None:
    assert overhead(FOUND[OURS], FOUND[RAW]) == pytest.approx(0.25)
    assert verdicts(FOUND)[-3].endswith("+25.0% (aim at most 10%: missed)")
    assert verdicts(FOUND)[-1].endswith("+5.3% (aim at most 10%: reached)")


def test_a_noting_embedder_keeps_the_chunks_it_embeds_and_is_the_model_otherwise() -> None:
    class Ones:
        fingerprint = "ones"

        def embed_documents(self, texts: list[str], progress: object = None) -> np.ndarray:
            return np.ones((len(texts), 2))

    noting = Noting(Ones())
    assert noting.embed_documents(["a", "b"]).shape == (2, 2)
    assert noting.embed_documents(["c"]).shape == (1, 2)
    assert noting.texts == ["a", "b", "c"]
    assert noting.fingerprint == "ones"
