"""No leakage: no held-out query, its chunk or a near duplicate of that is in the training pairs."""

from collections.abc import Sequence

import pytest

from fakes import make_chunk
from rag.errors import NotEnoughFeedback
from rag.feedback.pairs import alike
from rag.records import Chunk, Pair
from train.dataset.held_out import HELD_OUT_SHARE, hold_out_groups, is_held_out
from train.dataset.near_duplicates import chunks_containing, copies_of
from train.dataset.split import MIN_QUERIES, Split, qrels_of, require_enough, without_leaks
from train.dataset.split import split as split_by

NUMBERS = "one two three four five six seven eight nine ten".split()


def sentence(n: int) -> str:
    """Return a text that shares no three words with that of another number."""
    return " ".join(f"{word}{n}" for word in NUMBERS)


CHUNKS = [make_chunk(sentence(n)) for n in range(200)]
QUERIES = [f"what is {n}?" for n in range(200)]
HELD = [query for query in QUERIES if is_held_out(query)]
FREE = [query for query in QUERIES if not is_held_out(query)]


def pair(query: str, chunk: Chunk, text: str = "") -> Pair:
    return Pair(query, chunk.id, text or chunk.text)


def split(pairs: Sequence[Pair], extra: Sequence[Pair], chunks: Sequence[Chunk]) -> Split:
    """Split pairs where no version has been trained before."""
    return split_by(pairs, extra, chunks, hold_out_groups(pairs))


PAIRS = [pair(query, chunk) for query, chunk in zip(QUERIES, CHUNKS, strict=True)]


def test_about_the_wanted_share_of_queries_is_held_out():
    many = [f"query number {n}" for n in range(5000)]
    assert sum(map(is_held_out, many)) / 5000 == pytest.approx(HELD_OUT_SHARE, abs=0.02)


def test_all_spellings_of_a_query_are_on_the_same_side():
    for query in QUERIES:
        assert is_held_out(query) == is_held_out(f"  {query.upper()}") == is_held_out(query.rstrip("?"))


def test_a_query_keeps_its_side_for_ever():
    queries = ["how do I go back", "how do I install it", "is my data sent anywhere", "what is a duel"]
    assert [is_held_out(query) for query in queries] == [True, False, False, False]


def test_no_query_and_no_chunk_is_on_both_sides():
    shared = [pair(FREE[n], CHUNKS[QUERIES.index(HELD[n])]) for n in range(10)]  # lead to held-out chunks
    parts = split([*PAIRS, *shared], [pair(HELD[0], CHUNKS[QUERIES.index(FREE[0])])], CHUNKS)
    judged = {chunk_id for relevant in parts.held_out.relevant.values() for chunk_id in relevant}
    assert len(parts.held_out) == len(HELD)
    assert not {each.query for each in (*parts.train, *parts.extra)} & set(parts.held_out.relevant)
    assert not {each.positive_id for each in (*parts.train, *parts.extra)} & judged
    assert parts.leaks == 10
    assert parts.extra == ()


def test_a_near_duplicate_of_a_held_out_chunk_is_not_trained_on():
    held = CHUNKS[QUERIES.index(HELD[0])]
    copy = make_chunk(f"{held.text} today", "copy.md")
    parts = split([*PAIRS, pair(FREE[0], copy)], [], [*CHUNKS, copy])
    assert copy.id not in {each.positive_id for each in parts.train}
    assert parts.leaks == 1


def test_a_cloze_of_a_held_out_chunk_is_not_trained_on_though_its_text_differs():
    held = CHUNKS[QUERIES.index(HELD[0])]
    parts = split(PAIRS, [pair("an extra query", held, "quite another text")], CHUNKS)
    assert parts.extra == ()


def test_the_pairs_of_another_training_are_cleaned_by_the_same_rule_also_where_their_chunk_is_gone():
    parts = split(PAIRS, [], CHUNKS)
    held = CHUNKS[QUERIES.index(HELD[0])]
    gone = make_chunk(f"{held.text} today", "gone.md")
    kept = pair("a query of its own", make_chunk("said in a document that is gone", "gone.md"))
    champions = [
        pair(HELD[1].upper(), gone, "another text"),
        pair("copy", gone),
        pair("cloze", held, "another text"),
        kept,
    ]
    assert without_leaks(champions, parts.held_out, CHUNKS) == (kept,)


def test_extra_pairs_teach_but_never_judge():
    new = make_chunk("something else entirely, said nowhere else")
    parts = split(PAIRS, [pair("what else", new), *(pair(f"extra {n}", new) for n in range(50))], [*CHUNKS, new])
    assert new.id in {each.positive_id for each in parts.extra}
    assert set(parts.held_out.relevant) == set(HELD)


def test_a_chunk_with_the_same_text_is_as_right_as_the_rated_one():
    held = CHUNKS[QUERIES.index(HELD[0])]
    twin = make_chunk(held.text, "twin.md")
    parts = split(PAIRS, [], [*CHUNKS, twin])
    assert parts.held_out.relevant[HELD[0]] == {held.id, twin.id}


def test_a_held_out_query_with_two_spellings_and_chunks_is_one_query_with_both():
    one, two = (CHUNKS[QUERIES.index(HELD[n])] for n in (0, 1))
    parts = split([*PAIRS, pair(HELD[0].upper(), two)], [], CHUNKS)
    assert parts.held_out.relevant[HELD[0]] == {one.id, two.id}
    assert len(parts.held_out) == len(HELD)


def test_too_few_rated_queries_are_refused_with_the_numbers():
    few = PAIRS[: MIN_QUERIES - 1]
    with pytest.raises(NotEnoughFeedback, match=r"^49 rated queries with a positive, need 50: rate more answers"):
        require_enough([*few, pair(QUERIES[0].upper(), CHUNKS[5])])
    with pytest.raises(NotEnoughFeedback, match=r"\(7 labels point at text no longer in these documents\)$"):
        require_enough(few, lost=7)
    require_enough(PAIRS[:MIN_QUERIES])


def test_where_every_pair_would_leak_there_is_nothing_to_train_on():
    only = CHUNKS[0]
    with pytest.raises(NotEnoughFeedback, match="have a passage that answers a held-out query"):
        split([pair(query, only) for query in [*HELD, *FREE]], [], CHUNKS)


def test_near_duplicates_are_distinguished_from_texts_that_only_share_words():
    text = "the cat drinks warm milk at night and sleeps all day in the garden"
    edited = "the cat drinks warm milk at night and sleeps all day in the house"
    other = "the dog sleeps at night and the cat drinks water all day in the garden house"
    assert alike(text, edited)
    assert alike(text, text.upper())
    assert not alike(text, other)
    assert copies_of([text, "unrelated words here"], [edited, other]) == {edited}


def test_texts_without_words_are_alike_only_if_equal():
    assert alike("...", "...")
    assert not alike("...", "---")


def test_a_training_only_pair_of_a_held_out_query_is_neither_tested_nor_trained_on():
    chunks = [make_chunk(f"text of chunk number {i} and {i * 7} more") for i in range(40)]
    pairs = [Pair(f"query {i}", chunk.id, chunk.text, judges=i % 2 == 0) for i, chunk in enumerate(chunks)]
    parts = split(pairs, [], chunks)
    held = {pair.query for pair in pairs if is_held_out(pair.query)}
    assert set(parts.held_out.relevant) == {pair.query for pair in pairs if pair.query in held and pair.judges}
    assert {pair.query for pair in parts.train}.isdisjoint(held)


def test_a_longer_text_that_contains_a_test_chunk_is_not_trained_on():
    judged, other = pair(HELD[0], CHUNKS[0]), CHUNKS[1]
    longer = Pair("an older question", "gone", f"{sentence(1000)} {sentence(1001)} {CHUNKS[0].text} {sentence(1002)}")
    assert not alike(longer.positive, judged.positive)
    held_out = qrels_of([judged], CHUNKS)
    assert without_leaks([longer, pair("free", other)], held_out, CHUNKS) == (pair("free", other),)


@pytest.mark.parametrize(
    "original",
    [
        "ts sleep when it rains, and hunt at night in the garden of a neighb",
        "猫在花园里睡觉" * 9,
        "x" * 99,
        "one two three four" * 4,
    ],
)
def test_a_text_contains_another_also_where_that_begins_or_ends_within_a_word(original: str):
    texts = [f"The ca{original}our.", f"犬{original}犬", original[:-1], "something else"]
    assert chunks_containing([original, "short"], texts) == set(texts[:2])


def test_a_short_text_contained_in_another_is_no_leak():
    short = make_chunk("one two three")
    held_out = qrels_of([pair(HELD[0], short)], [short, *CHUNKS])
    longer = Pair("q", CHUNKS[2].id, f"{sentence(1)} one two three {sentence(2)}")
    assert without_leaks([longer], held_out, [short, *CHUNKS]) == (longer,)
