"""From what raters said to what a model learns: each rule is a fact, labels are fakes, the chunks are read by eye."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from fakes import NOON, make_answer
from fruit import (
    ALL_THREE,
    CHUNKS,
    HITS,
    TEXTS,
    consulted,
    first_alone,
    label,
    made_of,
    mark,
    pairs_of,
    thumb,
    unused,
)
from rag.feedback.pairs import GONE, SharedLabels, alike, make_pairs, synthetic_to_pairs
from rag.feedback.ratings import MARK_WEIGHT, TAUGHT_WEIGHT, derive_labels, mark_source, rate_answer, teach
from rag.records import Label, LabelledPair, Rating, Reason, SyntheticPair
from rag.store.store import Store, open_store


def test_an_upvoted_answer_makes_a_pair_of_what_it_drew_on_with_the_best_ranked_unused_chunk_as_its_negative() -> None:
    assert pairs_of(*thumb(1, f"{TEXTS['pears']} [2]", (2,))) == {"pears": ("apples",)}


def test_a_chunk_that_was_merely_consulted_is_neither_positive_nor_negative() -> None:
    made = made_of(*thumb(1, f"{TEXTS['pears']} [2]", (2,)))
    assert {pair.positive_id for pair in made.pairs} == {"pears"}
    assert TEXTS["plums"] not in made.pairs[0].negatives


def test_a_citation_that_its_sentence_does_not_support_makes_no_positive() -> None:
    text = f"{TEXTS['pears']} [2] The weather will be fine tomorrow. [1]"
    assert pairs_of(*thumb(1, text, (2, 1))) == {"pears": ("plums",)}
    assert pairs_of(*thumb(1, "The weather will be fine tomorrow. [1]", (1,))) == {}


def test_a_doubtful_chunk_is_the_negative_of_another_good_answer_that_left_it_unused_and_is_not_judged() -> None:
    """The first answer drew on pears and a little on plums, the second one on pears alone."""
    two = f"{TEXTS['pears']} [2] {TEXTS['plums']} [3]"
    one = [replace(each, answer_id="B") for each in thumb(1, f"{TEXTS['pears']} [2]", (2,))]
    shown = [replace(each, label=-1) if each.chunk_id == "plums" else each for each in one if each.chunk_id != "apples"]
    made = make_pairs([*thumb(1, two, (2, 3)), *shown], CHUNKS, alike, first_alone)
    assert [(pair.positive_id, pair.negatives) for pair in made.pairs] == [("pears", (TEXTS["apples"], TEXTS["plums"]))]
    assert made.judged == {"q": {"pears", "apples"}}
    assert made.ties == 0


@pytest.mark.parametrize(("ups", "wrong"), [(2, True), (3, False), (5, False)])
def test_a_chunk_is_wrong_where_more_find_it_so_than_liked_an_answer_that_drew_on_it(ups: int, *, wrong: bool) -> None:
    two = f"{TEXTS['pears']} [2] {TEXTS['plums']} [3]"
    liked = [replace(each, rater=f"r{n}") for n in range(ups) for each in thumb(1, two, (2, 3))]
    bad = thumb(-1, f"{TEXTS['plums']} [3]", (3,))
    disliked = [replace(each, rater=f"eve{n}", answer_id="B") for n in range(3) for each in bad]
    (pair,) = make_pairs([*liked, *disliked], CHUNKS, alike, first_alone).pairs
    assert pair.positive_id == "pears"
    assert (TEXTS["plums"] in pair.negatives) is wrong
    assert ("plums" in pair.unsure) is not wrong


def test_a_thumb_is_shared_among_the_current_chunks() -> None:
    placed_on: list[str] = []

    def noting(placed: Sequence[LabelledPair]) -> SharedLabels:
        placed_on.extend(each.chunk_id for each in placed)
        return placed, ()

    make_pairs([label("its id before an edit", 1, text=TEXTS["pears"])], CHUNKS, alike, noting)
    assert placed_on == ["pears"]


def test_an_upvoted_i_do_not_know_makes_no_pair() -> None:
    assert pairs_of(*thumb(1, "I do not know: the passages found do not answer this.", ())) == {}


def test_the_shares_of_a_thumb_sum_to_one_and_fall_in_the_order_of_use() -> None:
    made = made_of(*thumb(1, f"{TEXTS['plums']} [3] {TEXTS['apples']} [1]", (3, 1)))
    weights = {pair.positive_id: pair.weight for pair in made.pairs}
    assert weights == pytest.approx({"plums": 2 / 3, "apples": 1 / 3})


def test_shares_of_several_thumbs_add_up_to_one_at_the_most() -> None:
    thirds = [label("apples", 1, rater=f"r{n}", answer=f"a{n}", weight=0.3) for n in range(5)]
    assert [pair.weight for pair in made_of(*thirds[:2]).pairs] == pytest.approx([0.6])
    assert [pair.weight for pair in made_of(*thirds).pairs] == [1.0]


def test_a_taught_passage_weighs_most_then_a_mark_then_a_thumb() -> None:
    taught = Rating("ann", "taught:q", 1, False, NOON, "taught", chunk_id="plums", query="q", text=TEXTS["plums"])
    labels = [label("apples", 1), mark("pears", 1), *derive_labels(taught, None)]
    weights = {pair.positive_id: pair.weight for pair in made_of(*labels).pairs}
    assert weights == {"apples": 1.0, "pears": MARK_WEIGHT, "plums": TAUGHT_WEIGHT}
    assert 1.0 < MARK_WEIGHT < TAUGHT_WEIGHT


def test_a_source_marked_relevant_is_a_positive() -> None:
    assert pairs_of(mark("plums", 1)) == {"plums": ()}


def test_a_query_with_several_good_chunks_makes_a_pair_of_each() -> None:
    assert set(pairs_of(label("apples", 1), label("pears", 1))) == {"apples", "pears"}


def test_a_thumb_down_never_makes_a_positive() -> None:
    assert pairs_of(*thumb(-1, ALL_THREE, (1, 2, 3))) == {}


def test_the_chunks_of_a_downvoted_answer_are_negatives_where_the_query_has_a_positive() -> None:
    down = thumb(-1, f"{TEXTS['apples']} [1]", (1,))
    assert pairs_of(*down) == {}
    assert pairs_of(*down, label("pears", 1, rater="bob", answer="a2")) == {"pears": ("apples",)}


@pytest.mark.parametrize("reason", ["not in the documents", "made up"])
def test_what_only_the_writer_is_to_blame_for_makes_no_negative(reason: Reason) -> None:
    positive = label("pears", 1, rater="bob", answer="a2")
    assert pairs_of(positive, *thumb(-1, f"{TEXTS['apples']} [1]", (1,), reason=reason)) == {"pears": ()}
    assert pairs_of(positive, *thumb(-1, f"{TEXTS['apples']} [1]", (1,), reason="wrong source")) == {
        "pears": ("apples",)
    }


def test_a_source_marked_not_relevant_is_a_negative() -> None:
    assert pairs_of(label("apples", 1), mark("plums", -1)) == {"apples": ("plums",)}


def test_a_query_with_negatives_only_makes_no_pair() -> None:
    made = made_of(label("apples", -1), mark("pears", -1), unused("plums"))
    assert made.pairs == ()
    assert made.judged == {"q": frozenset({"apples", "pears", "plums"})}


def test_a_near_copy_of_a_positive_is_never_its_negative() -> None:
    assert pairs_of(label("apples", 1), mark("copy", -1), label("pears", -1, answer="a2")) == {"apples": ("pears",)}


def test_what_raters_found_wrong_comes_before_what_was_only_left_unused() -> None:
    assert pairs_of(label("apples", 1), unused("plums"), label("pears", -1, answer="a2")) == {
        "apples": ("pears", "plums")
    }


def test_a_mark_on_the_source_beats_any_number_of_thumbs_both_ways() -> None:
    ups = [label("apples", 1, rater=f"r{n}", answer=f"a{n}") for n in range(3)]
    downs = [label("pears", -1, rater=f"r{n}", answer=f"b{n}") for n in range(3)]
    assert pairs_of(*ups, *downs) == {"apples": ("pears",)}
    assert pairs_of(*ups, *downs, mark("apples", -1), mark("pears", 1)) == {"pears": ("apples",)}


def test_among_thumbs_the_majority_decides() -> None:
    votes: list[Label] = [1, 1, -1]
    assert pairs_of(*(label("apples", v, rater=f"r{i}") for i, v in enumerate(votes))) == {"apples": ()}


def test_a_draw_drops_the_chunk_both_as_positive_and_as_negative() -> None:
    labels = [label("pears", 1), label("apples", 1), label("apples", -1, rater="bob")]
    assert pairs_of(*labels) == {"pears": ()}
    assert made_of(*labels).ties == 1


def test_a_draw_is_no_reason_to_believe_a_guess() -> None:
    labels = [label("pears", 1), label("apples", 1), label("apples", -1, rater="bob"), unused("apples", rater="cy")]
    assert pairs_of(*labels) == {"pears": ()}


def test_a_rater_has_one_voice_for_a_chunk_whatever_the_number_of_answers() -> None:
    often = [label("apples", -1, answer=f"a{n}") for n in range(5)]
    labels = [label("pears", 1), *often, *(label("apples", 1, rater=name) for name in ("bob", "cy"))]
    assert set(pairs_of(*labels)) == {"pears", "apples"}


def test_a_rater_who_said_both_of_a_chunk_says_nothing_of_it() -> None:
    labels = [label("pears", 1), label("apples", 1, answer="a1"), label("apples", -1, answer="a2")]
    assert pairs_of(*labels) == {"pears": ()}


def test_a_chunk_that_one_good_answer_used_is_no_negative_because_another_left_it_unused() -> None:
    labels = [label("apples", 1), unused("pears"), label("pears", 1, answer="a2")]
    assert pairs_of(*labels) == {"apples": (), "pears": ()}
    assert made_of(*labels).ties == 0


def test_spellings_of_a_query_are_one_query() -> None:
    labels = [
        label("apples", 1, query="Keep  apples?"),
        label("pears", -1, query="keep apples", answer="a2", rater="bob"),
    ]
    assert pairs_of(*labels) == {"apples": ("pears",)}


def test_the_order_of_the_rows_changes_nothing() -> None:
    rows = [label("apples", 1), label("pears", 1, query="Q?", rater="bob"), label("plums", -1, rater="cy")]
    assert made_of(*rows) == made_of(*rows[::-1])


@pytest.mark.parametrize(
    "text",
    [
        "Apples keep for months\n  in a cool cellar,\tas long as none of them is bruised.",
        "Apples keep for months in a cool cellar, as long as",
        "A long page. Apples keep for months in a cool cellar, as long as none of them is bruised. And more.",
    ],
)
def test_a_chunk_that_was_cut_differently_is_found_by_its_text(text: str) -> None:
    made = made_of(label("old-id", 1, text=text))
    (pair,) = made.pairs
    assert (pair.positive_id, pair.positive) == ("apples", TEXTS["apples"])
    assert made.retired == ()


def test_votes_on_the_old_and_the_new_cut_of_a_chunk_meet() -> None:
    made = made_of(label("old-id", 1, text=TEXTS["apples"]), label("apples", -1, answer="a2", rater="bob"))
    assert made.pairs == ()
    assert made.ties == 1


def test_text_that_is_gone_or_too_short_to_tell_is_retired_with_the_reason() -> None:
    gone = label("old", 1, text="Quinces are hard, sour and best as a jelly, which takes a whole afternoon.")
    short = label("old", -1, text="Apples", answer="a2")
    made = made_of(gone, short, label("pears", 1, answer="a3"))
    assert [pair.positive_id for pair in made.pairs] == ["pears"]
    assert {each.answer_id: reason for each, reason in made.retired} == {"a1": GONE, "a2": GONE}


def test_a_withdrawn_vote_says_nothing_and_was_not_lost() -> None:
    made = made_of(label("apples", 0), label("gone", 0, text="no such text"))
    assert (made.pairs, made.retired, made.judged) == ((), (), {})


def test_a_chunk_that_was_consulted_counts_as_looked_at() -> None:
    assert made_of(label("apples", 1), consulted("plums")).judged == {"q": frozenset({"apples", "plums"})}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = open_store(tmp_path)
    store.feedback.put_answer(replace(make_answer(HITS, query="q"), text=f"{TEXTS['apples']} [1]", cited=(1,)))
    return store


def positives(store: Store) -> set[str]:
    return {pair.positive_id for pair in make_pairs(store.feedback.labels(), CHUNKS, alike).pairs}


def test_a_vote_that_is_withdrawn_takes_its_pairs_with_it(store: Store) -> None:
    rate_answer(store, rater="ann", answer_id="answer-1", value=1, blind=True)
    mark_source(store, rater="ann", answer_id="answer-1", rank=2, value=1, blind=True)
    teach(store, rater="ann", query="q", chunk=CHUNKS[2])
    assert positives(store) == {"apples", "pears", "plums"}
    rate_answer(store, rater="ann", answer_id="answer-1", value=0, blind=True)
    assert positives(store) == {"pears", "plums"}
    mark_source(store, rater="ann", answer_id="answer-1", rank=2, value=0, blind=True)
    assert positives(store) == {"plums"}
    teach(store, rater="ann", query="q", chunk=CHUNKS[2], value=0)
    assert positives(store) == set()


def test_a_forgotten_rater_takes_his_pairs_with_him(store: Store) -> None:
    rate_answer(store, rater="ann", answer_id="answer-1", value=1, blind=True)
    teach(store, rater="bob", query="q", chunk=CHUNKS[2])
    store.feedback.delete_rater("ann")
    assert positives(store) == {"plums"}


def test_a_cloze_keeps_its_own_text_and_weighs_what_it_is_given() -> None:
    cloze = SyntheticPair("when do they ripen", "pears", "press the neck of one", "cloze")
    (pair,) = synthetic_to_pairs([cloze], weight=0.25)
    assert (pair.query, pair.positive_id, pair.positive, pair.weight) == (
        "when do they ripen", "pears", "press the neck of one", 0.25,
    )  # fmt: skip
