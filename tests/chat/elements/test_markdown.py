"""An answer reaches the screen whole: citations become links, and no text is lost."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chat.elements.markdown import NO_WORD, as_markdown


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("so [1].", "so [1](#passage-1)."),
        ("so [1, 2] and [1-3]", "so [1](#passage-1), [2](#passage-2) and [1](#passage-1)-[3](#passage-3)"),
        ("no such [9]", r"no such \[9\]"),
        ("a link [1](https://a.b)", "a link [1](https://a.b)"),
        ("a thumb is [shared](credit.md#how) here [1]", "a thumb is shared here [1](#passage-1)"),
        ("our own [page](/scoreboard)", "our own [page](/scoreboard)"),
        ("see [key:value](../a.md)", r"see key\:value"),
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
    ],
)
def test_markdown_links_citations_and_loses_no_text(text: str, expected: str) -> None:
    assert as_markdown(text, 3) == expected


@given(st.text(alphabet="ab1:[],` \n*#|", max_size=60))
def test_markdown_only_adds_escapes_and_links(text: str) -> None:
    shown = re.sub(r"\[(\d+)\]\(#passage-\d+\)", r"\1", as_markdown(text, 5)).replace("\\", "")
    assert re.sub(r"[\[\]]", "", shown) == re.sub(r"[\[\]]", "", text)
