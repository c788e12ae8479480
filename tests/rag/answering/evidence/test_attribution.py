"""A statement without a valid citation is attributed to its passage, and wrong citations are found."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from fakes import make_answer, make_hits
from rag.answering.evidence.attribution import Matrix, credited_numbers, find_evidence, supported_numbers
from rag.answering.evidence.refusals import DONT_KNOW
from rag.records import Evidence, Hit

PASSAGES = make_hits(
    "The cat drinks warm milk at night, never cold.",
    "Dogs bury one bone in the garden each autumn.",
    "Every bird in the valley eats seed.",
)


def far(texts: list[str], hits: Sequence[Hit]) -> Matrix:
    """Return the cosines of texts that are near no passage."""
    return np.zeros((len(texts), len(hits)), np.float32)


def near(rank: int) -> object:
    """Return a function that finds all texts near the passage at this rank only."""

    def similar(texts: list[str], hits: Sequence[Hit]) -> Matrix:
        return np.array([[0.9 if hit.rank == rank else 0.1 for hit in hits] for _ in texts], np.float32)

    return similar


def found(text: str, query: str = "why?", similar: object = far) -> list[tuple[str, int, str]]:
    """Return (kind, rank, statement) of what was found out about an answer."""
    evidence = find_evidence(text, query, PASSAGES, similar)  # type: ignore[arg-type]
    return [(each.kind, each.rank, text[each.start : each.end]) for each in evidence]


def test_an_uncited_sentence_is_attributed_to_the_passage_with_its_words() -> None:
    assert found("Dogs bury a bone in the garden.") == [("attributed", 2, "Dogs bury a bone in the garden.")]


def test_a_cited_sentence_needs_no_attribution() -> None:
    assert found("The cat drinks warm milk at night [1].") == []


def test_a_sentence_of_no_passage_is_attributed_to_none() -> None:
    assert found("The parliament passed a law on taxes last week.") == []


def test_sentences_before_the_citation_of_their_paragraph_are_covered_by_it() -> None:
    assert found("The cat drinks warm milk. At night it is never cold. [1]") == []
    text = "Dogs bury one bone in the garden. The cat drinks warm milk at night. [1]"
    assert found(text) == [("attributed", 2, "Dogs bury one bone in the garden.")]


@pytest.mark.parametrize(
    "pointing", ["This information is found in the [2].", "It is stated in passage [2].", "See also [2] for details."]
)
def test_a_sentence_that_only_points_to_passages_is_judged_with_the_one_before_it(pointing: str) -> None:
    assert found(f"Dogs bury one bone in the garden. {pointing}") == []
    wrong = f"The cat drinks warm milk at night. {pointing}"
    assert [(kind, rank) for kind, rank, _ in found(wrong)] == [("attributed", 1), ("unsupported", 2)]
    answer = replace(make_answer(PASSAGES), text=wrong, evidence=find_evidence(wrong, "why?", PASSAGES, far))
    assert credited_numbers(answer) == (1,)


def test_a_citation_that_does_not_support_its_sentence_is_flagged_and_the_right_passage_found() -> None:
    text = "Dogs bury one bone in the garden [1]."
    assert found(text) == [("attributed", 2, text), ("unsupported", 1, text)]


def test_a_number_of_no_passage_is_no_valid_citation() -> None:
    text = "Dogs bury one bone in the garden [7]."
    assert found(text) == [("attributed", 2, text)]


def test_a_translation_shares_no_words_and_is_supported_by_its_meaning() -> None:
    text = "Hunde vergraben jeden Herbst einen Knochen [2]."
    assert found(text) == [("unsupported", 2, text)]
    assert found(text, similar=near(2)) == []


def test_a_refusal_a_heading_and_a_line_that_leads_to_a_list_are_not_attributed() -> None:
    assert found(f"{DONT_KNOW}") == []
    assert found("# Dogs bury one bone in the garden\n\nDogs bury one bone in the garden each autumn:") == []


@pytest.mark.parametrize(("text", "rank"), [("Warm milk.", 1), ("Seed", 3), ("**One bone**", 2)])
def test_an_answer_of_a_word_or_two_is_read_with_the_question(text: str, rank: int) -> None:
    assert found(text, query="What does it eat, drink or bury?") == [("attributed", rank, text)]


def test_a_short_answer_that_no_passage_contains_is_attributed_to_none() -> None:
    assert found("Coffee.", query="What does the cat drink?") == []


def test_code_is_attributed_as_one_statement_to_its_end() -> None:
    hits = make_hits("Run it:\n\n```sh\nmake train. Then\nmake serve\n```", "Nothing of that kind.")
    text = "Do this:\n\n```sh\nmake train. Then\nmake serve\n```\n"
    (evidence,) = find_evidence(text, "how?", hits, far)
    assert (evidence.rank, text[evidence.start : evidence.end].endswith("serve\n```")) == (1, True)


def test_a_thumb_credits_citations_and_attributed_passages_in_the_order_of_the_answer() -> None:
    text = "Every bird in the valley eats seed. Dogs bury one bone in the garden [2]. It cost ten euros more [1]."
    evidence = find_evidence(text, "why?", PASSAGES, far)
    answer = replace(make_answer(PASSAGES), text=text, cited=(2, 1), evidence=evidence)
    assert credited_numbers(answer) == (3, 2)
    assert answer.rests_on == (2, 1, 3)
    assert credited_numbers(replace(answer, abstained=True)) == ()


def test_an_answer_of_an_earlier_release_credits_what_it_cites() -> None:
    text = "Every bird in the valley eats seed. Dogs bury one bone [2]."
    assert credited_numbers(replace(make_answer(PASSAGES), text=text, cited=(2,))) == (2,)


def test_a_citation_in_a_line_of_its_own_belongs_to_the_statement_above() -> None:
    text = "Dogs bury one bone in the garden.\n\nSources: [2]"
    answer = replace(make_answer(PASSAGES), text=text, cited=(2,), evidence=())
    assert (found(text), credited_numbers(answer)) == ([], (2,))


def test_evidence_is_empty_without_hits() -> None:
    assert find_evidence("Anything at all.", "why?", (), far) == ()
    assert Evidence(0, 1, 1, "attributed").kind == "attributed"


@pytest.mark.parametrize(
    ("text", "supported"),
    [
        ("The cat drinks warm milk [1]. Dogs bury a bone [2].", (1, 2)),
        ("Dogs bury a bone. [2] The cat drinks milk. [1]", (2, 1)),
        ("The cat drinks warm milk [2].", ()),
        ("The cat drinks warm milk [1][2].", (1,)),
        ("Warm milk, says the page, is what a cat would drink [1].", (1,)),
        ("The weather will be fine tomorrow [1]. The cat drinks warm milk [1].", (1,)),
        ("- The cat drinks warm milk [1]\n- Every bird eats seed [3]", (1, 3)),
        ("Nothing of this is known. [1]", ()),
        ("[1] [2] [3]", ()),
        ("The cat drinks warm milk.", ()),
        ("The cat drinks warm milk [7].", ()),
        (DONT_KNOW, ()),
    ],
)
def test_a_citation_is_supported_if_its_sentence_shares_words_with_the_passage(
    text: str, supported: tuple[int, ...]
) -> None:
    assert supported_numbers(text, PASSAGES) == supported


def test_a_citation_belongs_to_the_sentence_before_it() -> None:
    text = "The cat drinks warm milk at night. Dogs bury one bone in the garden each autumn. [2]"
    assert supported_numbers(text, PASSAGES) == (2,)
    assert supported_numbers(text.replace("[2]", "[1]"), PASSAGES) == ()
