"""What a preference teaches: what tells the better answer from the other, weaker than a thumb, and never twice."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from fakes import NOON, make_answer, make_chunk, make_hits
from rag.feedback.credit import share_thumbs
from rag.feedback.files.import_export import export_labels, read_labels
from rag.feedback.lesson import Lesson, lesson_of
from rag.feedback.pairs import rated_pairs
from rag.feedback.preferences import PREFERENCE_WEIGHT, preference_labels
from rag.feedback.ratings import (
    current_labels,
    derive_labels,
    mark_source,
    prefer,
    rate_answer,
    repair,
    teach,
    to_teach,
)
from rag.records import Answer, Choice, Label, LabelledPair, Pair, Rating
from rag.store.store import Store, open_store

BASE_HITS, TUNED_HITS = make_hits("shared", "old", "spare"), make_hits("shared", "new", "other")
CHUNKS = {hit.chunk.id: hit.chunk for hit in (*BASE_HITS, *TUNED_HITS)}


TWO_THIRDS = pytest.approx(PREFERENCE_WEIGHT * 2 / 3)  # the share of what an answer of two cites first


def duel(base: tuple[int, ...] = (2, 1), tuned: tuple[int, ...] = (2, 1)) -> list[Answer]:
    """Return two answers that cite these ranks, in this order."""
    return [
        make_answer(BASE_HITS, cited=base, arm="base", id="of base"),
        make_answer(TUNED_HITS, cited=tuned, arm="tuned", id="of tuned"),
    ]


def preference(choice: Choice, rater: str = "ann") -> Rating:
    return Rating(rater, "duel", 1 if choice else 0, True, NOON, "preference", choice=choice)


def by_text(labels: list[LabelledPair]) -> dict[str, int]:
    return {label.text: label.label for label in labels}


def thumb(answer: Answer, value: Label, rater: str = "ann") -> list[LabelledPair]:
    return derive_labels(Rating(rater, answer.id, value, True, NOON), answer)


def pairs_of(labels: list[LabelledPair]) -> dict[str, Pair]:
    """Return the pairs of these labels by the text of their positive; BM25 ranks nothing."""
    made = rated_pairs(labels, list(CHUNKS.values()), lambda one, other: one == other, lambda query, chunk_id: 1)
    return {pair.positive: pair for pair in made.pairs}


def test_only_what_the_answers_do_not_share_is_labelled() -> None:
    assert by_text(preference_labels(preference("tuned"), duel())) == {
        "shared": 0,
        "new": 1,
        "other": 0,
        "old": -1,
        "spare": 0,
    }


@pytest.mark.parametrize("choice", ["", "tie", "both bad"])
def test_a_tie_both_bad_and_a_withdrawn_preference_have_only_zeros(choice: Choice) -> None:
    assert set(by_text(preference_labels(preference(choice), duel())).values()) == {0}


def test_the_keys_of_a_duels_labels_are_the_same_whatever_is_preferred() -> None:
    choices: list[Choice] = ["base", "tuned", "tie", "both bad", ""]
    keys = [{label.id for label in preference_labels(preference(choice), duel()[::-1])} for choice in choices]
    assert all(each == keys[0] for each in keys)
    assert len(keys[0]) == len(CHUNKS)


def test_answers_that_say_the_same_or_one_that_is_missing_teach_nothing() -> None:
    base, tuned = duel()
    alike = [base, replace(tuned, text=base.text)]
    assert set(by_text(preference_labels(preference("tuned"), alike)).values()) == {0}
    assert preference_labels(preference("tuned"), [base]) == []


def test_a_citation_that_its_passage_does_not_support_is_neither_good_nor_a_contrast() -> None:
    base, tuned = duel()
    invented = replace(tuned, text="Sunny tomorrow [2].", cited=(2,))
    assert by_text(preference_labels(preference("tuned"), [base, invented]))["new"] == 0
    assert by_text(preference_labels(preference("base"), [base, invented]))["new"] == 0


def test_one_preference_is_shared_among_its_positives_within_its_own_weight() -> None:
    labels = [
        label for label in preference_labels(preference("tuned"), duel(base=(2,), tuned=(2, 3))) if label.label == 1
    ]
    assert {label.text: label.weight for label in labels} == pytest.approx(
        {"new": PREFERENCE_WEIGHT * 2 / 3, "other": PREFERENCE_WEIGHT / 3}
    )
    counted, doubtful = share_thumbs(labels, lambda query, chunk_id: 1)
    assert [(label.text, round(label.weight, 3)) for label in counted] == [("new", round(PREFERENCE_WEIGHT * 2 / 3, 3))]
    assert doubtful == []


def test_a_preference_makes_one_pair_below_a_thumbs_weight_with_its_own_negative() -> None:
    pairs = pairs_of(preference_labels(preference("tuned"), duel()))
    assert {text: (pair.weight, pair.negatives) for text, pair in pairs.items()} == {"new": (TWO_THIRDS, ("old",))}


def test_several_preferences_weigh_no_more_than_one() -> None:
    labels = [*preference_labels(preference("tuned"), duel()), *preference_labels(preference("tuned", "bob"), duel())]
    assert pairs_of(labels)["new"].weight == TWO_THIRDS


def test_a_thumb_on_the_same_passage_outranks_a_preference_and_is_not_added_to_it() -> None:
    base, tuned = duel(base=(2,), tuned=(2,))
    said = preference_labels(preference("tuned"), [base, tuned])
    assert pairs_of([*said, *thumb(tuned, 1)])["new"].weight == 1.0
    assert pairs_of([*said, *thumb(tuned, -1)]) == {}
    assert "old" not in pairs_of([*said, *thumb(base, 1)])["new"].negatives  # a thumb up: it is right, too


def test_what_both_answers_rest_on_keeps_its_share_so_that_what_is_cited_later_is_no_positive() -> None:
    base, tuned = duel(base=(1, 2), tuned=(1, 2))
    labels = preference_labels(preference("tuned"), [base, tuned])
    assert by_text(labels)["new"] == 1
    assert pairs_of(labels) == {}  # a third of the preference: "shared" is as likely to be why
    up = thumb(make_answer(TUNED_HITS, cited=(1,), arm="tuned", id="other"), 1)
    assert pairs_of([*labels, *up])["shared"].negatives == ("old", "new")  # the guess comes last


def test_a_preference_settles_which_of_several_passages_earned_a_thumb() -> None:
    base, tuned = duel(base=(2,), tuned=(2, 3))
    first = make_answer(TUNED_HITS, cited=(1, 2), arm="tuned", id="other")
    said = [*preference_labels(preference("tuned"), [base, tuned]), *thumb(first, 1)]
    assert pairs_of(said)["new"].weight == TWO_THIRDS  # the thumb's third for "new" is in doubt, and adds nothing


def test_a_passage_that_may_have_earned_a_thumb_is_no_negative_of_a_preference() -> None:
    base, tuned = duel()
    said = [*preference_labels(preference("tuned"), [base, tuned]), *thumb(base, 1)]
    assert all("shared" not in pair.negatives for pair in pairs_of(said).values())
    assert "new" in pairs_of(said)


def test_a_mark_on_the_same_passage_outranks_a_preference() -> None:
    base, tuned = duel(base=(2,), tuned=(2,))
    wrong = Rating("bob", tuned.id, -1, True, NOON, "source", chunk_id=TUNED_HITS[1].chunk.id, query="why?")
    assert pairs_of([*preference_labels(preference("tuned"), [base, tuned]), *derive_labels(wrong, tuned)]) == {}


def test_a_preference_outranks_the_guess_that_an_unused_passage_is_wrong() -> None:
    hits = make_hits("old", "new", "other")  # of both arms
    base, tuned = (
        make_answer(hits, cited=cited, arm=arm, id=f"of {arm}") for arm, cited in (("base", (1,)), ("tuned", (2,)))
    )
    said = [*thumb(base, 1), *preference_labels(preference("tuned"), [base, tuned])]
    assert {text: pair.negatives for text, pair in pairs_of(said).items()} == {"old": (), "new": ()}


def test_opposite_preferences_of_two_raters_cancel_out() -> None:
    labels = [*preference_labels(preference("tuned"), duel()), *preference_labels(preference("base", "bob"), duel())]
    assert pairs_of(labels) == {}


# --- stored ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = open_store(tmp_path)
    for answer in duel():
        store.feedback.put_answer(answer)
    yield store
    store.close()


def say(store: Store, choice: Choice) -> Rating:
    return prefer(store, rater="ann", duel_id="duel", choice=choice, blind=True, at=NOON)


def test_a_changed_preference_changes_its_labels_and_a_withdrawn_one_withdraws_them(store: Store) -> None:
    say(store, "tuned")
    assert {text: label for text, label in by_text(store.feedback.labels()).items() if label} == {"new": 1, "old": -1}
    say(store, "base")
    assert {text: label for text, label in by_text(store.feedback.labels()).items() if label} == {"new": -1, "old": 1}
    for choice in ("tie", ""):
        say(store, choice)  # type: ignore[arg-type]
        assert set(by_text(store.feedback.labels()).values()) == {0}
    assert len(store.feedback.labels()) == len(CHUNKS)


def test_a_preference_of_an_earlier_release_is_given_its_labels(store: Store) -> None:
    store.feedback.put_ratings([preference("tuned")])  # that release made none
    assert by_text(current_labels(store))["new"] == 1
    assert store.feedback.labels() == []
    assert repair(store) == len(CHUNKS)
    assert by_text(store.feedback.labels())["new"] == 1
    assert repair(store) == 0


def test_a_preference_does_not_solve_a_question_whose_answers_were_voted_down(store: Store) -> None:
    say(store, "tuned")
    down = Rating("ann", "of base", -1, True, NOON)
    assert to_teach([preference("tuned"), down], {each.id: each for each in duel()}) == ["why?"]
    assert store.feedback.solved_queries() == set()
    teach(store, rater="ann", query="why?", chunk=make_chunk("right"))
    assert store.feedback.solved_queries() == {"why?"}


def test_labels_of_a_preference_are_exported_and_come_back_as_weak_as_they_were(store: Store, tmp_path: Path) -> None:
    say(store, "tuned")
    assert export_labels(tmp_path / "out.jsonl", store, []).labels == 2
    read = read_labels(tmp_path / "out.jsonl", []).labels
    assert {x.text: (x.label, x.origin, x.weight) for x in read} == {
        "new": (1, "preference", TWO_THIRDS),
        "old": (-1, "preference", PREFERENCE_WEIGHT),
    }
    rate_answer(store, rater="bob", answer_id="of base", value=1, blind=True)
    report = export_labels(tmp_path / "beir", store, [])
    assert (report.labels, report.preferences) == (2, 2)


# --- what one click taught -------------------------------------------------------------------------------------------


def lesson(store: Store, rating: Rating) -> Lesson:
    return lesson_of(store, rating, lambda labels: lambda query, chunk_id: 1)


def test_a_preference_teaches_a_pair_and_a_thumb_on_it_changes_that_pair(store: Store) -> None:
    assert lesson(store, say(store, "tuned")) == Lesson(added=1)
    thumb_up = rate_answer(store, rater="ann", answer_id="of tuned", value=1, blind=False)
    assert lesson(store, thumb_up) == Lesson(changed=1)  # "new" weighs as much as in a thumb
    assert lesson(store, say(store, "")) == Lesson(why_none="withdrawn")


def test_a_mark_against_the_only_positive_removes_its_pair(store: Store) -> None:
    say(store, "tuned")
    cross = mark_source(store, rater="ann", answer_id="of tuned", rank=2, value=-1, blind=True)
    assert lesson(store, cross) == Lesson(removed=1)
    assert lesson(store, mark_source(store, rater="ann", answer_id="of tuned", rank=3, value=1, blind=True)).added == 1


@pytest.mark.parametrize(
    ("changes", "choice", "why"),
    [
        ({}, "tie", "tie"),
        ({}, "both bad", "both bad"),
        ({"cited": (1,), "text": "Shared it is [1]."}, "tuned", "same passages"),
        ({"text": "Shared [1]. Old [2]."}, "tuned", "same answer"),
    ],
)
def test_why_a_preference_teaches_nothing(store: Store, changes: dict, choice: Choice, why: str) -> None:
    base, tuned = duel(base=(1,)) if why == "same passages" else duel()
    for answer in (base, replace(tuned, **changes)):
        store.feedback.put_answer(answer)
    assert lesson(store, say(store, choice)) == Lesson(why_none=why)  # type: ignore[arg-type]


def test_a_citation_without_support_teaches_nothing_and_that_is_why(store: Store) -> None:
    base, tuned = (replace(answer, text=f"Sunny {answer.arm} [{n}].", cited=(n,)) for n, answer in enumerate(duel(), 1))
    for answer in (base, tuned):
        store.feedback.put_answer(answer)
    assert lesson(store, say(store, "tuned")) == Lesson(why_none="unsupported")
    up = rate_answer(store, rater="ann", answer_id=base.id, value=1, blind=True)
    assert lesson(store, up) == Lesson(why_none="unsupported")


def test_why_a_thumb_teaches_nothing(store: Store) -> None:
    store.feedback.put_answer(make_answer(BASE_HITS, id="cites nothing"))
    up = rate_answer(store, rater="ann", answer_id="cites nothing", value=1, blind=True)
    assert lesson(store, up) == Lesson(why_none="no passage")
    down = rate_answer(store, rater="ann", answer_id="of base", value=-1, blind=True)
    assert lesson(store, down) == Lesson(why_none="wrong only")
    invented = rate_answer(store, rater="ann", answer_id="of base", value=-1, blind=True, reason="made up")
    assert lesson(store, invented) == Lesson(why_none="writer")
