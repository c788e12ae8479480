"""Coverage of three documents by a few answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

from fakes import NOON, make_answer, make_chunk
from rag.columns import AnswerColumns, RatingColumns
from rag.evaluation import coverage
from rag.evaluation.coverage import Coverage, DocumentCoverage
from rag.records import Answer, Chunk, Hit, Rating

CHUNKS = [make_chunk(text, source) for source, text in (("a", "one"), ("a", "two"), ("b", "three"), ("c", "four"))]


def answer(*chunks: Chunk, cited: tuple[int, ...] = (), query: str = "why?", arm: str = "base", n: int = 0) -> Answer:
    hits = [Hit(chunk, rank, 0.5) for rank, chunk in enumerate(chunks, start=1)]
    made = make_answer(hits, cited=cited, query=query, id=f"{arm}{n}")
    return replace(made, arm=arm, duel=f"duel{n}", at=NOON + timedelta(hours=n))


def measure_coverage(
    chunks: Sequence[Chunk], answers: Sequence[Answer], ratings: Sequence[Rating], solved: Sequence[str]
) -> Coverage:
    columns = AnswerColumns.of(answers)
    queries = coverage.normalised(columns.queries)
    return coverage.measure_coverage(chunks, columns, RatingColumns.of(ratings), solved, *queries)


def test_chunks_count_as_shown_if_they_are_hits_and_as_cited_by_their_rank():
    one, two, three, _ = CHUNKS
    found = measure_coverage(CHUNKS, [answer(one, two, cited=(2,)), answer(two, three, arm="tuned")], [], [])
    assert found.documents == (
        DocumentCoverage("c", 1, 0, 0),
        DocumentCoverage("a", 2, 2, 1),
        DocumentCoverage("b", 1, 1, 0),
    )
    assert (found.chunks, found.never_shown, found.uncited) == (4, 1, ("c", "b"))


def test_a_chunk_that_is_no_longer_in_the_documents_does_not_count():
    found = measure_coverage(CHUNKS[:1], [answer(CHUNKS[3], cited=(1,))], [], [])
    assert found.documents == (DocumentCoverage("a", 1, 0, 0),)


def test_a_query_has_no_answer_if_both_arms_abstained_the_last_time():
    first = [replace(answer(query="Why?", arm=arm), abstained=True) for arm in ("base", "tuned")]
    assert measure_coverage([], first, [], []).abstained == ("Why?",)
    assert measure_coverage([], [first[0], replace(first[1], abstained=False)], [], []).abstained == ()
    later = answer(query="why", n=1)
    assert measure_coverage([], [later, *first], [], []).abstained == ()


def test_a_query_is_voted_down_by_a_thumb_or_as_both_bad():
    answers = [answer(query="Thumb?", n=1), answer(query="Both?", n=2), answer(query="Fine?", n=3)]
    ratings = [
        Rating("ann", "base1", -1, True, NOON),
        Rating("ann", "duel2", 1, True, NOON, kind="preference", choice="both bad"),
        Rating("ann", "base3", 1, True, NOON),
    ]
    found = measure_coverage([], answers, ratings, [])
    assert found.voted_down == ("Both?", "Thumb?")  # latest first
    assert found.queries == 3


def test_a_query_with_a_known_passage_is_in_neither_list():
    down = [Rating("ann", "base0", -1, True, NOON)]
    assert measure_coverage([], [answer(query="Why?")], down, ["why"]).voted_down == ()
    silent = replace(answer(query="Why?"), abstained=True)
    assert measure_coverage([], [silent], [], ["WHY"]).abstained == ()


def test_a_query_is_in_one_list_only():
    silent = replace(answer(query="Why?"), abstained=True)
    found = measure_coverage([], [silent], [Rating("ann", "base0", -1, True, NOON)], [])
    assert (found.abstained, found.voted_down) == (("Why?",), ())


def test_a_mark_on_a_source_votes_no_query_down():
    mark = Rating("ann", "base0", -1, True, NOON, kind="source", chunk_id="c")
    assert measure_coverage([], [answer()], [mark], []).voted_down == ()
