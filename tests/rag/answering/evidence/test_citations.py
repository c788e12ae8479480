"""Citations are read in every form that models write, shown in one, and not taken from code or a passage's own text."""

from __future__ import annotations

import pytest

from fakes import make_hits
from rag.answering.evidence.citations import cited_numbers, uniform_citations

HITS = make_hits(
    "The cat drinks. As shown earlier [2] it sleeps. argv[1] is first, says Passage 3.", "dogs", "birds", "fish"
)


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("Cats drink [1, 3] or [2-4].", "Cats drink [1][3] or [2][3][4]."),
        ("Cats drink (1), dogs (2).", "Cats drink [1], dogs [2]."),
        ("Cats drink (1)", "Cats drink [1]"),
        ("Cats 【1】 drink 【2†source】.", "Cats [1] drink [2]."),
        ("Cats drink[^1].", "Cats drink[1]."),
        ("According to passage 1, cats drink.", "According to [1], cats drink."),
        ("Cats drink. Source: 1", "Cats drink. [1]"),
        ("Cats drink. Source: [1]", "Cats drink. [1]"),
        (
            "This is stated in the passage [1]. Cats drink (passage [2]).",
            "This is stated in the passage [1]. Cats drink ([2]).",
        ),
        ("Cats drink [passage-1] [Passage 1, 3] (see source 2).", "Cats drink [1][3][2]."),
        ("Cats drink [1 and 3].", "Cats drink [1][3]."),
        ("Cats drink [1][1]. Dogs [2] [1] [2].", "Cats drink [1]. Dogs [2][1]."),
        ("Laut Quelle 1 trinken sie.", "Laut [1] trinken sie."),
        ("Cats drink milk[1].", "Cats drink milk[1]."),
    ],
)
def test_every_form_of_a_citation_is_shown_as_one(written: str, shown: str) -> None:
    assert uniform_citations(written, HITS) == shown


@pytest.mark.parametrize(
    "text",
    [
        "Do (1) this and (2) that.",
        "(1) Feed it.\n(2) Wait.",
        "- (1) Feed it.",
        "It began in 2019 (2019).",
        "It follows from equation (1).",
        "`a[1]` and\n```\nx (1)\nb[2]\n```",
        "Open source 2 years ago. Source: 2019",
        "As Passage 3 of the book says.",
        "Beyond [9], (9) and passage 9.",
        "A [link](http://x) and [1](http://x).",
        "An escaped \\[3\\] stays.",
    ],
)
def test_what_is_no_citation_stays_as_it_is(text: str) -> None:
    hits = (*HITS[:1], *make_hits("x", "As Passage 3 of the book says.")[1:], HITS[3])
    assert uniform_citations(text, hits) == text


@pytest.mark.parametrize("text", ["x[1] is set", "use argv[1] here", "As shown earlier [2] it sleeps", "a_b[2] = 3"])
def test_an_index_or_a_number_that_a_passage_itself_has_is_no_citation(text: str) -> None:
    assert cited_numbers(uniform_citations(text, HITS), 4) == ()


@pytest.mark.parametrize(
    ("text", "cited"),
    [
        ("A [1] and B [3].", (1, 3)),
        ("Both [2][1].", (2, 1)),
        ("List [1, 3] and range [2-4].", (1, 3, 2, 4)),
        ("Twice [1] and [1].", (1,)),
        ("Not there [9], nor [0].", ()),
        ("A link [1](http://x) and an index a[b].", ()),
        ("None.", ()),
    ],
)
def test_citations_are_in_order_of_first_mention(text: str, cited: tuple[int, ...]) -> None:
    assert cited_numbers(text, 4) == cited
