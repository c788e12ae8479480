"""An answer that is cleaned part by part reads as if it were cleaned as a whole, however its tokens are cut."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chat.elements.markdown import as_markdown
from fakes import make_hits
from rag.answering.evidence.cleaning import clean_answer
from rag.answering.evidence.growing import BEHIND, GrowingAnswer

HITS = make_hits(
    "cats drink water [2] often.", "dogs see passage 1 here.", "birds, equation (1).", "a paper says so [3]."
)
FRAGMENTS = [
    *("Cats drink water. ", "Certainly!\n", "It is so.\n\n", "Really?\n", "Dogs bark", "\n", "\n\n", " ", "word. "),
    *("`", "``", "```", "~~~", "```py\n", "\n```\n", "~~~\n", "`code`", "`a. b`", "\\", "\\`", "``a. `` "),
    *(
        "[1]",
        "[2",
        "]",
        "[^1]",
        "[1][1]",
        " [1] [2]",
        "(1)",
        "(2).",
        "【1",
        "】",
        "【1†words. here】",
        "[3]",
        "equation (1) ",
    ),
    *("passage 1", "Passages ", "see ", "the passage [1]", "(see passages 1 and 2)", "refs.", "(\n", "vgl.\n", "cf.\n"),
    *("[words. words](a.md)", "[words", "](a.md", ' "title. title")', "![it](x.png)", "(", ")", "[", "https://a.b/`c`"),
    *("<s>", "</s>", "<|im_start|>", "<|im_end|>", "user ", "[INST]", "<think>", "</think>", "<|im_start|>assistant\n"),
    *(
        '<passage-1a2b3c4d n="2">',
        "<passage-1a2b3c4d words. more",
        "</passage-1a2b3c4d>\n",
        "<",
        ">",
        ":name",
        "é",
        "。",
    ),
]


def texts() -> st.SearchStrategy[list[str]]:
    """Return lists of tokens: fragments that mean something, with plain sentences between them, some cut in two."""
    plain = st.sampled_from(FRAGMENTS[:9])
    token = st.one_of(plain, st.sampled_from(FRAGMENTS), st.text("abc .\n`[]()1", max_size=6))
    return st.lists(token, max_size=60)


@settings(max_examples=400, deadline=None)
@given(tokens=texts(), filler=st.integers(0, 3))
def test_any_tokens_give_what_cleaning_the_whole_text_gives(tokens: list[str], filler: int) -> None:
    growing, text, before, marked = GrowingAnswer(HITS, part=1), "", "", ""
    between = "Sentences follow another. " * filler
    for token in [*tokens, "\n\n" + "The ending words. " * (BEHIND // 8)]:
        for part in (token, between):
            text += part
            settled, rest = growing.clean(text)
            assert settled + rest == clean_answer(text, HITS, is_complete=False)
            assert settled.startswith(before)
            marked += as_markdown(settled[len(before) :], len(HITS))
            before = settled
            assert marked + as_markdown(rest, len(HITS)) == as_markdown(settled + rest, len(HITS))


@pytest.mark.parametrize(
    "part",
    [
        "Cats drink water, as it says in [1] and (2).\n",
        "Use `cat` and `dog`, which are commands. ",
        "Look at this:\n```py\nx = cats[1]  # so. it. is.\n```\nThat was all of it.\n\n",
        "- one thing [1]\n- another thing [2]\n\nThese were the things.\n",
    ],
)
def test_a_long_answer_settles_but_for_its_end(part: str) -> None:
    growing, text = GrowingAnswer(HITS), ""
    for _ in range(100):
        text += part
        settled, rest = growing.clean(text)
        assert len(rest) < 600
    assert settled + rest == clean_answer(text, HITS, is_complete=False)


def test_each_part_of_a_long_answer_is_cleaned_once() -> None:
    words = "Cats drink water in the morning and milk in the evening [1]. They sleep during the daytime.\n"
    growing, whole, began = GrowingAnswer(HITS), words * 1_000, time.thread_time()
    for end in range(0, len(whole), 500):
        settled, rest = growing.clean(whole[:end])
    by_parts, began = time.thread_time() - began, time.thread_time()
    assert settled + rest == clean_answer(whole[:end], HITS, is_complete=False)
    assert by_parts < 20 * (time.thread_time() - began)  # 190 snapshots of the whole text would take 95 times as long
