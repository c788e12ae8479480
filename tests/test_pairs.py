"""From what raters said to what a model learns: labels are fakes, the chunks are read by eye."""

from datetime import UTC, datetime

import pytest

from rag.records import Chunk, Label, LabelledPair, SyntheticPair
from train.pairs import make_pairs, synthetic_to_pairs

AT = datetime(2026, 1, 1, tzinfo=UTC)
TEXTS = {
    "apples": "Apples keep for months in a cool cellar, as long as none of them is bruised.",
    "pears": "Pears ripen from the inside, so press the neck of one before you wait any longer.",
    "plums": "Plums freeze well once their stones are out, and need no sugar for it at all.",
}


def chunk(chunk_id: str, text: str) -> Chunk:
    return Chunk(chunk_id, "d", "fruit.md", "Fruit", "", None, text, 0, len(text))


CHUNKS = [chunk(chunk_id, text) for chunk_id, text in TEXTS.items()]


def label(
    query: str,
    chunk_id: str,
    value: Label,
    *,
    rater: str = "ann",
    answer: str = "a1",
    text: str | None = None,
    cited: bool = True,
    weight: float = 1.0,
) -> LabelledPair:
    text = TEXTS.get(chunk_id, "") if text is None else text
    return LabelledPair(rater, answer, query, chunk_id, text, value, AT, "rating", weight=weight, cited=cited)


def test_an_upvoted_citation_makes_a_pair_with_the_uncited_chunk_as_its_negative():
    made = make_pairs([label("keep apples?", "apples", 1), label("keep apples?", "pears", -1, cited=False)], CHUNKS)
    (pair,) = made.pairs
    assert (pair.query, pair.positive_id, pair.positive) == ("keep apples?", "apples", TEXTS["apples"])
    assert pair.negatives == (TEXTS["pears"],)
    assert (made.lost, made.drawn) == (0, 0)


def test_a_thumb_down_never_makes_a_positive():
    assert make_pairs([label("keep apples?", "apples", -1)], CHUNKS).pairs == ()


def test_a_withdrawn_vote_says_nothing():
    made = make_pairs([label("q", "apples", 0), label("q", "gone", 0, text="no such text")], CHUNKS)
    assert made.pairs == ()
    assert made.lost == 0


def test_spellings_of_a_query_are_one_query():
    made = make_pairs(
        [label("Keep  apples?", "apples", 1), label("keep apples", "pears", -1, answer="a2", rater="bob")], CHUNKS
    )
    (pair,) = made.pairs
    assert pair.negatives == (TEXTS["pears"],)


def test_the_majority_of_raters_decides():
    votes: list[Label] = [1, 1, -1]
    made = make_pairs([label("q", "apples", v, rater=f"r{i}") for i, v in enumerate(votes)], CHUNKS)
    assert [pair.positive_id for pair in made.pairs] == ["apples"]


def test_the_weights_of_labels_count():
    made = make_pairs(
        [
            label("q", "pears", 1),
            label("q", "apples", 1, rater="ann", weight=0.5),
            label("q", "apples", -1, rater="bob", weight=1.0),
        ],
        CHUNKS,
    )
    assert [(pair.positive_id, pair.negatives) for pair in made.pairs] == [("pears", (TEXTS["apples"],))]


def test_a_draw_drops_the_chunk_both_as_positive_and_as_negative():
    made = make_pairs(
        [label("q", "pears", 1), label("q", "apples", 1, answer="a1"), label("q", "apples", -1, answer="a2")], CHUNKS
    )
    assert [(pair.positive_id, pair.negatives) for pair in made.pairs] == [("pears", ())]
    assert made.drawn == 1


def test_a_chunk_that_one_good_answer_cites_is_no_negative_because_another_left_it_uncited():
    made = make_pairs(
        [
            label("q", "apples", 1, answer="a1"),
            label("q", "pears", -1, answer="a1", cited=False),
            label("q", "pears", 1, answer="a2"),
        ],
        CHUNKS,
    )
    assert {(pair.positive_id, pair.negatives) for pair in made.pairs} == {("apples", ()), ("pears", ())}
    assert made.drawn == 0


def test_what_raters_found_wrong_comes_before_what_was_only_left_uncited():
    made = make_pairs(
        [label("q", "apples", 1), label("q", "plums", -1, cited=False), label("q", "pears", -1, answer="a2")], CHUNKS
    )
    (pair,) = made.pairs
    assert pair.negatives == (TEXTS["pears"], TEXTS["plums"])


def test_a_query_with_several_good_chunks_makes_a_pair_of_each():
    made = make_pairs([label("q", "apples", 1), label("q", "pears", 1)], CHUNKS)
    assert {pair.positive_id for pair in made.pairs} == {"apples", "pears"}


@pytest.mark.parametrize(
    "text",
    [
        "Apples keep for months\n  in a cool cellar,\tas long as none of them is bruised.",
        "Apples keep for months in a cool cellar, as long as",
        "A long page. Apples keep for months in a cool cellar, as long as none of them is bruised. And more.",
    ],
)
def test_a_chunk_that_was_cut_anew_is_found_by_its_text(text: str):
    made = make_pairs([label("q", "old-id", 1, text=text)], CHUNKS)
    (pair,) = made.pairs
    assert (pair.positive_id, pair.positive) == ("apples", TEXTS["apples"])
    assert made.lost == 0


def test_votes_on_the_old_and_the_new_cut_of_a_chunk_meet():
    made = make_pairs(
        [label("q", "old-id", 1, text=TEXTS["apples"]), label("q", "apples", -1, answer="a2", rater="bob")], CHUNKS
    )
    assert made.pairs == ()
    assert made.drawn == 1


def test_text_that_is_gone_or_too_short_to_tell_is_counted_as_lost():
    made = make_pairs(
        [
            label("q", "old", 1, text="Quinces are hard, sour and best as a jelly, which takes a whole afternoon."),
            label("q", "old", 1, text="Apples", answer="a2"),
        ],
        CHUNKS,
    )
    assert made.pairs == ()
    assert made.lost == 2


def test_the_order_of_the_rows_changes_nothing():
    rows = [label("q", "apples", 1), label("Q?", "pears", 1, rater="bob"), label("q", "plums", -1, rater="cy")]
    assert make_pairs(rows, CHUNKS) == make_pairs(rows[::-1], CHUNKS)


def test_a_cloze_keeps_its_own_text():
    (pair,) = synthetic_to_pairs([SyntheticPair("when do they ripen", "pears", "press the neck of one", "cloze")])
    assert (pair.query, pair.positive_id, pair.positive) == ("when do they ripen", "pears", "press the neck of one")
