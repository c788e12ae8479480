"""An answer reaches the screen whole: citations become links, and no text is lost."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chat.elements.markdown import NO_WORD, as_markdown
from rag.records import Evidence


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("so [1].", "so [1](#passage-1)."),
        ("so [1, 2] and [1-3]", "so [1](#passage-1), [2](#passage-2) and [1](#passage-1)-[3](#passage-3)"),
        ("no such [9]", r"no such \[9\]"),
        ("a link [1](https://a.b)", "a link [1](https://a.b)"),
        ("mail [me](mailto:a@b.c)", r"mail [me](mailto\:a@b.c)"),
        ("[1]: not a definition", "[1](#passage-1): not a definition"),
        ("key:value", r"key\:value"),
        ("std::vector and :smile:", r"std\:\:vector and \:smile:"),
        ("at 10:30, ratio 3:1, end:", "at 10:30, ratio 3:1, end:"),
        ("see https://a.b/c:d now", "see https://a.b/c:d now"),
        ("`a:b [1]` but c:d", r"`a:b [1]` but c\:d"),
        ("```py\na:b [1]\n```\nc:d", "```py\na:b [1]\n```\nc\\:d"),
        ("```\nan open fence a:b", "```\nan open fence a:b"),
        ("a lone ` tick a:b\n\nand ` c:d", "a lone ` tick a\\:b\n\nand ` c\\:d"),
        (f"a{NO_WORD}b", "ab"),
        ("![a chart](https://a.b/c?q=1)", r"\![a chart](https://a.b/c?q=1)"),  # an image would be fetched at once
        ("Indeed![1]", r"Indeed\![1](#passage-1)"),
        ("no `![a](/b)`, not ```![a](/b)", r"no `![a](/b)`, not ```!\[a](/b)"),
        (r"\`![a](/b)`", r"\`\![a](/b)`"),
    ],
)
def test_markdown_links_citations_and_loses_no_text(text: str, expected: str) -> None:
    assert as_markdown(text, 3) == expected


def test_a_passage_found_for_a_sentence_is_a_link_of_its_own_kind() -> None:
    text = "Cats drink milk. Dogs bark [2]."
    evidence = (Evidence(0, 16, 1, "attributed"), Evidence(17, 31, 2, "unsupported"))
    assert as_markdown(text, 2, evidence) == (
        "Cats drink milk. [from passage 1](#passage-1-attributed) Dogs bark [2 not supported](#passage-2-unsupported)."
    )
    assert as_markdown(text, 0, evidence) == "Cats drink milk. (from passage 1) Dogs bark (2 not supported)."


def test_sentences_from_one_passage_are_marked_once_after_the_last() -> None:
    text = "- Cats drink.\n- Cats sleep.\n\nDogs bark."
    evidence = tuple(Evidence(*span, 1, "attributed") for span in ((0, 13), (14, 27), (29, 39)))
    from_1 = "[from passage 1](#passage-1-attributed)"
    assert as_markdown(text, 1, evidence) == f"- Cats drink.\n- Cats sleep. {from_1}\n\nDogs bark. {from_1}"


def test_a_mark_breaks_neither_a_table_nor_a_code_block() -> None:
    assert as_markdown("| a | b |", 1, (Evidence(0, 9, 1, "attributed"),)).endswith("#passage-1-attributed) |")
    code = "```\nmake [1]\n```"
    assert as_markdown(code, 1, (Evidence(0, len(code), 1, "attributed"),)).startswith(f"{code}\n\n[from")
    assert as_markdown(code, 1, (Evidence(0, len(code), 1, "unsupported"),)) == code


@given(st.text(alphabet="ab1:[],` \n*#|", max_size=60))
def test_markdown_only_adds_escapes_and_links(text: str) -> None:
    shown = re.sub(r"\[(\d+)\]\(#passage-\d+\)", r"\1", as_markdown(text, 5)).replace("\\", "")
    assert re.sub(r"[\[\]]", "", shown) == re.sub(r"[\[\]]", "", text)
