"""How a thumb is shared among cited chunks, and which pairs may judge; BM25 ranks are given by hand."""

from __future__ import annotations

from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from fakes import make_chunk
from rag.feedback.credit import DEPTH, KeywordRanks, RankOf, may_judge, share_thumbs
from rag.records import Document, Label, LabelledPair, Pair
from rag.store.store import open_store

AT = datetime(2026, 1, 1, tzinfo=UTC)


def label(chunk_id: str, value: Label = 1, *, weight: float = 1.0, origin: str = "rating", cited: bool = True):
    return LabelledPair("ann", "a1", "q", chunk_id, chunk_id, value, AT, origin, weight=weight, cited=cited)


def ranks(**known: int) -> RankOf:
    return lambda query, chunk_id: known.get(chunk_id, DEPTH)


def weights(labels: list[LabelledPair]) -> dict[str, float]:
    return {label.chunk_id: label.weight for label in labels if label.label == 1}


def test_the_cited_chunk_that_keyword_search_ranks_first_earns_the_thumb():
    heard, _ = share_thumbs([label("first", weight=0.5), label("second", weight=0.25)], ranks(second=1, first=10))
    assert weights(heard) == {"second": pytest.approx(0.25 / (0.05 + 0.25))}


def test_what_the_answer_drew_on_first_earns_it_where_keyword_search_finds_none():
    assert weights(share_thumbs([label("first", weight=2 / 3), label("second", weight=1 / 3)], ranks())[0]) == {
        "first": pytest.approx(2 / 3)
    }


def test_where_no_chunk_stands_out_no_chunk_counts():
    heard, doubtful = share_thumbs([label(name, weight=1 / 3) for name in "abc"], ranks())
    assert heard == []
    assert weights(doubtful) == dict.fromkeys("abc", pytest.approx(1 / 3))


def test_a_chunk_that_does_not_stand_out_is_doubtful_and_not_wrong():
    heard, doubtful = share_thumbs([label("first", weight=0.9), label("second", weight=0.1)], ranks(first=1))
    assert [each.chunk_id for each in heard] == ["first"]
    assert [(each.chunk_id, each.label) for each in doubtful] == [("second", 1)]


def test_two_cited_chunks_that_became_one_have_both_shares():
    cited = [label("whole", weight=0.4), label("other", weight=0.3), label("whole", weight=0.3)]
    heard, doubtful = share_thumbs(cited, ranks(whole=2, other=2))
    assert weights(heard) == {"whole": pytest.approx(0.7)}
    assert len(heard) == 1
    assert weights(doubtful) == {"other": pytest.approx(0.3)}


@pytest.mark.parametrize(
    "other", [label("x", origin="mark"), label("x", -1), label("x", -1, cited=False), label("x", origin="import")]
)
def test_marks_imports_and_thumbs_down_stay_as_they_are(other: LabelledPair):
    assert other in share_thumbs([label("a", weight=0.6), label("b", weight=0.4), other], ranks(a=1))[0]


def test_a_pair_judges_only_if_its_chunk_is_shown_whatever_the_models_rank():
    pairs = [Pair("q", "by-keyword", "t"), Pair("q", "by-a-model", "t")]
    marked = may_judge(pairs, [label("by-keyword")], ranks(**{"by-keyword": 1, "by-a-model": 2}), explore=1)
    assert [pair.judges for pair in marked] == [True, False]


@pytest.mark.parametrize("origin", ["import", "taught"])
def test_what_somebody_looked_for_judges(origin: str):
    (pair,) = may_judge([Pair("Q?", "c", "t")], [label("c", origin=origin)], ranks(), explore=1)
    assert pair.judges


def test_without_explored_hits_everything_judges():
    (pair,) = may_judge([Pair("q", "c", "t")], [label("c")], ranks(), explore=0)
    assert pair.judges


def test_bm25_ranks_are_searched_again_once_chunks_have_changed(tmp_path: Path) -> None:
    texts = ("the cat drinks milk", "a dog")
    with closing(open_store(tmp_path)) as store:
        store.documents.put("c", [Document("d", "a.md", "", "h", texts[0], ())])
        chunks = [make_chunk(text) for text in texts]
        store.chunks.put("t", chunks[:1], np.eye(2, dtype=np.float32)[:1])
        store.chunks.build_text_index("t")
        asked = LabelledPair("ann", "a1", "Where is a dog?", chunks[0].id, texts[0], 1, AT, "rating", cited=True)
        ranks = KeywordRanks(store, "t")
        assert ranks.of([asked])("where is a DOG", chunks[1].id) == DEPTH
        store.chunks.put("t", chunks[1:], np.eye(2, dtype=np.float32)[1:])
        assert ranks.of([asked])("where is a DOG", chunks[1].id) == 1
