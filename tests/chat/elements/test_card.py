"""A card shows what the duel says, loses no text, and knows no arm before it is revealed."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import pytest

from chat.elements.card import INTERRUPTED, STOPPED, Card
from chat.elements.markdown import NO_WORD
from chat.elements.reveal import make_reveal
from fakes import make_answer, make_hits
from rag.answering.duel import Done, Event, Failed, Hits, Token
from rag.errors import BadRating
from rag.records import SIDES, Answer, Arm, Evidence, Side

HITS = make_hits("one", "two", "three")


def finished(
    *, arm: Arm = "base", text: str = "It is so [2].", cited: tuple[int, ...] = (2,), id: str = "id-1"
) -> Answer:
    return replace(make_answer(HITS, cited=cited, arm=arm, id=id), text=text)


def play(*steps: tuple[Side, Event]) -> Card:
    card = Card()
    for side, event in steps:
        card.take(side, event)
    return card


def duel(base_side: Side) -> Card:
    """Play the same two answers, with the base arm on this side; the texts do not depend on the arm."""
    arms: tuple[Arm, Arm] = ("base", "tuned") if base_side == "A" else ("tuned", "base")
    return play(
        *((side, Hits(arm, HITS)) for side, arm in zip(SIDES, arms, strict=True)),
        *((side, Token(arm, "It is ")) for side, arm in zip(SIDES, arms, strict=True)),
        *((side, Done(arm, finished(arm=arm, id=f"id-{side}"))) for side, arm in zip(SIDES, arms, strict=True)),
    )


def test_a_card_looks_the_same_whichever_arm_is_on_which_side() -> None:
    assert duel("A").props == duel("B").props


def test_a_card_says_no_score_no_time_and_no_model_before_it_is_revealed() -> None:
    shown = json.dumps(duel("A").props)
    assert not re.search(r"base|tuned|builtin|extractive|0\.9|0\.8|0\.1|0\.2|\"scores?\"|dense", shown)


def test_answers_that_say_the_same_are_announced_and_others_are_not() -> None:
    same = "Both models found the same passages, so this comparison does not count in the scores."
    assert (duel("A").props["same"], duel("A").props["alike"]) == (same, "Both answers are the same.")
    apart = play(
        ("A", Done("base", finished())), ("B", Done("tuned", finished(arm="tuned", text="No, never [2].", id="id-2")))
    )
    assert apart.props["alike"] == ""
    declined = replace(finished(arm="tuned", id="id-2"), abstained=True, hits=make_hits("four"))
    both = play(("A", Done("base", replace(finished(), abstained=True))), ("B", Done("tuned", declined)))
    assert both.props["alike"] == "Neither answer found anything, so this comparison does not count in the scores."


def test_a_token_appears_at_once_and_thumbs_only_when_the_answer_is_stored() -> None:
    card = play(("A", Hits("base", HITS)), ("A", Token("base", "It is ")), ("A", Token("base", "so [2]")))
    view, other = card.props["sides"]
    assert (view["state"], view["text"], view["answer"]) == ("streaming", f"It is so [2](#passage-2){NO_WORD}", "")
    assert (other["state"], other["text"]) == ("waiting", "")
    card.take("A", Done("base", finished()))
    assert (view["state"], view["text"], view["answer"]) == ("done", "It is so [2](#passage-2).", "id-1")


def test_passages_get_their_text_and_marks_when_the_answer_is_complete() -> None:
    card = play(("A", Hits("base", HITS)))
    assert [(s["text"], s["cited"]) for s in card.props["sides"][0]["sources"]] == [("", False)] * 3
    card.take("A", Done("base", finished()))
    sources = card.props["sides"][0]["sources"]
    assert [(s["rank"], s["text"], s["cited"]) for s in sources] == [
        (1, "one", False),
        (2, "two", True),
        (3, "three", False),
    ]


def test_a_failed_arm_keeps_its_text_and_passages_and_says_why_in_its_own_column() -> None:
    card = play(("B", Token("tuned", "Half")), ("B", Failed("tuned", "the endpoint is down", HITS, "Half")))
    view = card.props["sides"][1]
    assert (view["state"], view["text"], view["error"], len(view["sources"])) == (
        "failed",
        "Half",
        "the endpoint is down",
        3,
    )
    assert (view["answer"], card.props["sides"][0]["error"]) == ("", "")


def test_breaking_off_closes_only_what_is_open_and_keeps_what_was_written() -> None:
    card = play(("A", Done("base", finished())), ("B", Token("tuned", "Half a word [1")))
    card.break_off("stopped", STOPPED)
    done, stopped = card.props["sides"]
    assert (done["state"], done["error"]) == ("done", "")
    assert (stopped["state"], stopped["text"], stopped["error"]) == ("stopped", "Half a word", STOPPED)


def test_a_card_that_was_interrupted_keeps_its_text_as_it_was_shown() -> None:
    card = play(("A", Hits("base", HITS)), ("A", Token("base", "key:value [1]")))
    again = Card(json.loads(json.dumps(card.props)))
    again.break_off("failed", INTERRUPTED)
    assert again.props["sides"][0]["text"] == r"key\:value [1](#passage-1)"
    assert [view["error"] for view in again.props["sides"]] == [INTERRUPTED] * 2


def test_a_card_read_back_from_its_json_is_the_same_card() -> None:
    card = duel("A")
    card.vote("id-A", 1)
    again = Card(json.loads(json.dumps(card.props)))
    assert again.props == card.props
    assert again.answer_ids == {"A": "id-A", "B": "id-B"}


def test_a_vote_is_shown_on_its_answer_and_refused_for_an_answer_of_another_card() -> None:
    card = duel("A")
    card.vote("id-B", -1)
    assert [view["vote"] for view in card.props["sides"]] == [0, -1]
    for stranger in ("id-C", ""):
        with pytest.raises(BadRating, match="not in this chat"):
            card.vote(stranger, 1)


def test_an_answer_that_is_not_complete_has_no_id_to_vote_by() -> None:
    with pytest.raises(BadRating):
        play(("A", Token("base", "Half"))).vote("", 1)


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        (
            ("one", "two"),
            ("one", "two"),
            "Both models found the same passages, so this comparison does not count in the scores.",
        ),
        (
            ("one", "two"),
            ("two", "one"),
            "Both models found the same passages in a different order, "
            "so this comparison does not count in the scores.",
        ),
        (("one", "two"), ("one", "three"), ""),
        ((), (), ""),
    ],
)
def test_a_card_says_when_both_retrievers_found_the_same(
    first: tuple[str, ...], second: tuple[str, ...], expected: str
) -> None:
    card = play(
        ("A", Done("base", make_answer(make_hits(*first)))), ("B", Done("tuned", make_answer(make_hits(*second))))
    )
    assert card.props["same"] == expected


def test_a_mark_a_preference_and_a_reason_are_shown_where_they_belong() -> None:
    card = duel("A")
    card.mark("id-B", 2, -1)
    card.vote("id-A", -1, "made up", "no such year")
    card.prefer("tie")
    first, second = card.props["sides"]
    assert [source["mark"] for source in second["sources"]] == [0, -1, 0]
    assert [source["mark"] for source in first["sources"]] == [0, -1, 0]  # the same passage
    assert (first["vote"], first["reason"], first["comment"]) == (-1, "made up", "no such year")
    assert card.props["preference"] == "tie"


def test_a_stored_preference_is_shown_on_the_side_its_arm_has_and_not_before_the_card_is_revealed() -> None:
    card = duel("B")
    assert card.side_of("tuned") == ""
    card.show_reveal(make_reveal({"A": finished(arm="tuned"), "B": finished(arm="base")}, [], {}))
    assert [card.side_of(choice) for choice in ("tuned", "base", "tie", "both bad", "")] == [
        "A",
        "B",
        "tie",
        "both bad",
        "",
    ]


def test_a_card_that_an_earlier_release_kept_gets_what_it_lacks() -> None:
    kept = json.loads(json.dumps(duel("A").props))
    del kept["preference"], kept["query"], kept["asked"], kept["hint"]
    for view in kept["sides"]:
        del view["reason"], view["comment"]
        for source in view["sources"]:
            del source["mark"]
    assert Card(kept).props == duel("A").props


def test_a_hit_that_words_found_is_marked_by_the_reveal_and_not_before() -> None:
    hits = (*HITS[:2], replace(HITS[2], origin="explore"))
    assert make_reveal({"A": make_answer(hits)}, [], {})["sides"]["A"]["words"] == [False, False, True]
    shown, blind = (play(("A", Hits("base", each)), ("A", Done("base", make_answer(each)))) for each in (hits, HITS))
    assert shown.props == blind.props


def test_a_card_tells_what_was_cited_from_what_was_found_and_what_does_not_support() -> None:
    answer = replace(
        finished(text="One of them. It is so [2].", cited=(2,)),
        evidence=(Evidence(0, 12, 1, "attributed"), Evidence(13, 26, 2, "unsupported")),
    )
    view = play(("A", Done("base", answer))).props["sides"][0]
    assert "from passage 1" in view["text"]
    assert "2 not supported" in view["text"]
    kinds = [(source["cited"], source["attributed"], source["unsupported"]) for source in view["sources"]]
    assert kinds == [(False, True, False), (True, False, True), (False, False, False)]


def test_marks_of_a_template_are_not_shown_while_an_answer_streams() -> None:
    card = play(("A", Hits("base", HITS)), ("A", Token("base", "It is so 【2】.<|im_")))
    assert card.props["sides"][0]["text"] == f"It is so [2](#passage-2).{NO_WORD}"
