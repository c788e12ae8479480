"""Template tokens, fence marks and dead links never reach the screen, code stays as it is, and loops are found."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fakes import make_hits
from rag.answering.evidence.cleaning import (
    LONG,
    LONG_REPEATS,
    LONGEST,
    LOOP_CHARS,
    NO_WORDS_CHARS,
    REPEATS,
    _period,
    clean_answer,
    cut_loop,
    find_loop,
)

HITS = make_hits("cats", "dogs", "birds")


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("Cats drink [1].<|im_end|>", "Cats drink [1]."),
        ("Cats drink [1].</s></s>", "Cats drink [1]."),
        ("[/INST] Cats drink [1].", "Cats drink [1]."),
        ("<|im_start|>assistant\nCats drink [1].", "Cats drink [1]."),
        ("<|start_header_id|>assistant<|end_header_id|>\n\nCats drink.<|eot_id|>", "Cats drink."),
        ("Cats drink.<|im_end|>\n<|im_start|>user\nAnd dogs?<|im_end|>", "Cats drink."),
        ("Cats drink. [INST] And dogs? [/INST] They bark.", "Cats drink."),
        ("Cats <|endoftext|>drink.", "Cats drink."),
        ("<think>Hm, cats.</think>\n\nCats drink.", "Cats drink."),
        ('<passage-1a2b3c4d n="1" from="x">\nCats drink.\n</passage-1a2b3c4d>', "[1] Cats drink."),
        ('They drink, as in <passage-1a2b3c4d n="2" from="x / y">.', "They drink, as in [2]."),
        ("They drink <passage-1a2b3c4d>.", "They drink ."),
        ("Cats drink </passage-1a2b3c4d>[1].", "Cats drink [1]."),
        ("See [Ranking loss](ranking-loss.md) [1].", "See Ranking loss [1]."),
        ('See [it](../a.md#b) and [that](/docs/x.html "T").', "See it and that."),
        ("![a plot](plot.png) shows it.", "a plot shows it."),
        ("Cats drink [1](page.md).", "Cats drink [1]."),
        ("Cats drink [1][1].", "Cats drink [1]."),
    ],
)
def test_marks_of_templates_and_prompts_and_dead_links_are_removed(written: str, shown: str) -> None:
    assert clean_answer(written, HITS) == shown


@pytest.mark.parametrize(
    "text",
    [
        "A turn ends with `<|im_end|>`, as in\n\n```\n<|im_start|>user\n[a](b.md)</s>\n```\n\nand so on [1].",
        "See [the page](https://example.org/a) or [write](mailto:a@example.org).",
        "Call `f[0](x)` or handlers[name](event).",
        "If a < b and c > d, then [x] is a list.",
    ],
)
def test_code_links_to_the_web_and_plain_signs_stay(text: str) -> None:
    assert clean_answer(text, HITS) == text


@pytest.mark.parametrize("part", ["<|im_e", "</", "<passage-1a2b", " [", "[/IN", "【1"])
def test_the_beginning_of_a_mark_is_held_back_while_the_answer_streams(part: str) -> None:
    assert clean_answer(f"Cats drink{part}", HITS, is_complete=False) == "Cats drink"


@pytest.mark.parametrize("unit", ["It is so. ", "- The cat drinks milk\n", "ha ", "A first one. And a second one. "])
def test_a_repeated_sentence_or_line_is_a_loop_and_cut_to_one_copy(unit: str) -> None:
    text = "It begins well.\n\n" + unit * 80
    assert find_loop(text) is not None
    assert cut_loop(text) == f"It begins well.\n\n{unit}".rstrip()


def test_a_list_that_only_counts_on_is_a_loop() -> None:
    text = "Steps:\n" + "".join(f"{n}. The model is trained again with more data.\n" for n in range(1, 60))
    assert find_loop(text) is not None


def test_what_is_cut_in_the_middle_of_a_copy_ends_with_the_first_whole_one() -> None:
    assert cut_loop("So. " + "Treat them with acid. " * 9 + "Treat th") == "So. Treat them with acid."


@pytest.mark.parametrize(
    "text",
    [
        "No. No. No.",
        "| a | b |\n|" + "-" * 60 + "|" + "-" * 60 + "|\n",
        "".join(f"{n}. Step {n} does something of its own, {word}.\n" for n, word in enumerate("abcdefghij")),
        "```\n" + "    x = 0\n" * 3 + "```",
        "".join(f"{year}: {year % 7}\n" for year in range(1990, 2020)),
    ],
)
def test_repetition_that_an_answer_needs_is_no_loop(text: str) -> None:
    assert find_loop(text) is None


@pytest.mark.parametrize("text", ["", "a", " ", "ab" * 7, "a" * 17, "cats " * 31])
def test_a_short_text_is_no_loop(text: str) -> None:
    assert find_loop(text) is None


@given(
    st.text("ab1 ", max_size=200),
    st.text("abcdefg 12", min_size=1, max_size=700),
    st.integers(1, 40),
    st.text("abcdefg", max_size=3),
)
def test_what_repeats_is_found_by_its_end_as_by_trying_every_length(
    before: str, unit: str, times: int, after: str
) -> None:
    tail = (before + unit * times + after)[-2_400:]
    tried = (
        length
        for length in range(1, LONGEST + 1)
        if tail.endswith(tail[-length:] * (n := times_of(tail[-length:]))) and n * length <= len(tail)
    )
    assert _period(tail, REPEATS, LOOP_CHARS) == next(tried, None)


def times_of(unit: str) -> int:
    """Return how often a text must repeat to be a loop."""
    fewest = LONG_REPEATS if len(unit) >= LONG else REPEATS
    chars = LOOP_CHARS if any(letter.isalpha() for letter in unit) else NO_WORDS_CHARS
    return max(fewest, -(-chars // len(unit)))
