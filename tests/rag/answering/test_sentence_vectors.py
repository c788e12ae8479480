"""The cache of sentence vectors: nothing is embedded twice, also not after a restart."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from rag.answering.sentence_vectors import BATCH, SentenceVectors


def counting(asked: list[list[str]]) -> Callable[[list[str]], np.ndarray]:
    """Return an embedder that notes what it is asked, with the vector [length, 1]."""

    def embed(texts: list[str]) -> np.ndarray:
        asked.append(texts)
        return np.array([[len(text), 1] for text in texts], dtype=np.float32)

    return embed


def test_a_cached_sentence_is_not_embedded_again():
    asked: list[list[str]] = []

    def embed(texts: list[str]) -> np.ndarray:
        asked.append(texts)
        return np.array([[len(text), 1] for text in texts], dtype=np.float32)

    cached = SentenceVectors(embed, most=2)
    assert cached(["a", "bb", "a"]).tolist() == [[1, 1], [2, 1], [1, 1]]
    assert cached(["bb", "ccc"]).tolist() == [[2, 1], [3, 1]]
    assert cached(["a"]).tolist() == [[1, 1]]  # evicted: the cache holds two
    assert asked == [["a", "bb"], ["ccc"], ["a"]]


def test_a_sentence_that_both_arms_need_at_the_same_time_is_embedded_once() -> None:
    asked: list[list[str]] = []
    began, go_on = threading.Event(), threading.Event()

    def embed(texts: list[str]) -> np.ndarray:
        asked.append(texts)
        began.set()
        go_on.wait(30)
        return np.array([[len(text), 1] for text in texts], dtype=np.float32)

    cached = SentenceVectors(embed)
    with ThreadPoolExecutor(2) as arms:
        first = arms.submit(cached, ["a", "bb"])
        assert began.wait(30)
        second = arms.submit(cached, ["bb", "a"])
        go_on.set()
        assert second.result(30).tolist() == [[2, 1], [1, 1]]
        assert first.result(30).tolist() == [[1, 1], [2, 1]]
    assert asked == [["a", "bb"]]


def test_an_embedding_that_failed_is_tried_again() -> None:
    failures = [RuntimeError("out of memory")]

    def embed(texts: list[str]) -> np.ndarray:
        if failures:
            raise failures.pop()
        return np.ones((len(texts), 2), dtype=np.float32)

    cached = SentenceVectors(embed)
    with pytest.raises(RuntimeError):
        cached(["a"])
    assert cached(["a"]).tolist() == [[1, 1]]


def test_what_was_saved_is_not_embedded_again_after_a_restart(tmp_path: Path) -> None:
    asked: list[list[str]] = []
    file = tmp_path / "sentences" / "model.npy"
    first = SentenceVectors(counting(asked), file=file)
    first(["a", "bb"])
    first.save()
    again = SentenceVectors(counting(asked), file=file)
    assert again(["bb", "ccc", "a"]).tolist() == [[2, 1], [3, 1], [1, 1]]
    assert asked == [["a", "bb"], ["ccc"]]
    assert [path.name for path in file.parent.iterdir()] == ["model.npy"]  # no draft is left


@pytest.mark.parametrize("content", [b"", b"rubbish", b"\x93NUMPY\x01\x00"])
def test_a_damaged_file_is_made_again(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "model.npy"
    file.write_bytes(content)
    vectors = SentenceVectors(counting([]), file=file)
    assert vectors(["a"]).tolist() == [[1, 1]]
    vectors.save()
    assert len(np.load(file)) == 1


def test_sentences_are_embedded_ahead_once_with_rests_in_between() -> None:
    asked: list[list[str]] = []
    rests: list[float] = []
    vectors = SentenceVectors(counting(asked))
    texts = [f"sentence {n}" for n in range(2 * BATCH)]
    vectors(texts[:1])
    vectors.warm(texts, lambda: False, rests.append)
    assert [len(batch) for batch in asked] == [1, BATCH, BATCH - 1]
    assert len(rests) == 2
    vectors(texts)
    assert len(asked) == 3


def test_embedding_ahead_stops_while_other_work_runs_and_when_the_cache_is_full() -> None:
    asked: list[list[str]] = []
    SentenceVectors(counting(asked)).warm(["a"], lambda: True, lambda seconds: None)
    assert asked == []
    SentenceVectors(counting(asked), most=BATCH).warm(
        (f"{n}" for n in range(3 * BATCH)), lambda: False, lambda seconds: None
    )
    assert len(asked) == 1
