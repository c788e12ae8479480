"""Org, through the loader of its suffix."""

from __future__ import annotations

import time

import pytest

from rag.loaders.formats import LOADERS


def text_of(source: str) -> str:
    return LOADERS[".org"](source.encode()).text


def test_headings_are_sections_under_the_title() -> None:
    loaded = LOADERS[".org"](
        b"#+TITLE: Bees\n#+DATE: <2026-05-31 Sun>\n# gone\n* TODO [#A] One :work:home:\n:PROPER"
        b"TIES:\n:ID: 7\n:END:\na\n** Two\nb\n"
        b"* COMMENT Draft\nsecret\n* Three\nc"
    )
    assert [section.heading for section in loaded.sections] == [
        "Bees > TODO One", "Bees > TODO One > Two", "Bees > Three",
    ]  # fmt: skip
    assert (loaded.title, loaded.date) == ("Bees", "2026-05-31")
    assert loaded.text == "# Bees\n\n## TODO One\n\nTags: work, home\n\na\n\n### Two\n\nb\n\n## Three\n\nc\n\n"


def test_marks_of_formatting_go_and_links_are_text() -> None:
    source = (
        "A *bold*, /big/ _line_ and =a*b*= ~f(x)~ in snake_case/path/name,\n2 * 3 * 4, [[https://x.org][the /site/]], "
        "[[https://y.org]], x_{1}, \\alpha and $a_1$.[fn:1] Now[fn:: at once].\n\n[fn:1] In\neuros."
    )
    assert text_of(source) == (
        "A bold, big line and `a*b*` `f(x)` in snake_case/path/name, 2 * 3 * 4, the site, https://y.org, x1, α and "
        "$a_1$.[1] Now[2].\n\n[1] In euros.\n\n[2] at once\n\n"
    )


def test_code_is_exact_to_the_letter() -> None:
    source = "#+begin_src python :results output\n  def f(x):\n      return Flask(__name__)\n\n  ,* =no=\n#+end_src"
    assert text_of(source) == "```python\ndef f(x):\n    return Flask(__name__)\n\n* =no=\n```\n\n"
    assert text_of(": a  b\n:   c") == "```\na  b\n  c\n```\n\n"


def test_lists_have_their_marks_and_levels_and_go_on_after_code() -> None:
    source = (
        "1. a\n   wrapped\n   - [X] b\n   - [ ] c\n   #+begin_src sh\n   ls\n   #+end_src\n2. "
        "d\n\n   more\n- Fee :: 5 euros\n\n"
        "Text."
    )
    assert text_of(source) == (
        "1. a wrapped\n  - ☒ b\n  - ☐ c\n\n```sh\nls\n```\n\n2. d\n  more\n- Fee: 5 euros\n\nText.\n\n"
    )


def test_a_table_names_its_columns() -> None:
    source = "#+CAPTION: Fees\n| City | Fee |\n|------+-----|\n| <l>  | <r> |\n| Rome | 5 |\n#+TBLFM: $2=5"
    assert text_of(source) == "Fees\n\n| City | Fee |\n| --- | --- |\n| Rome | 5 |\n\n"


def test_files_that_it_includes_are_noted() -> None:
    assert (
        LOADERS[".org"](b'a\n#+INCLUDE: "b.org" :lines "1-2"').note == "files that it names are not part of it: b.org"
    )


def test_a_footnote_that_names_itself_ends() -> None:
    assert text_of("a[fn:1]\n\n[fn:1] b[fn:1]").startswith("a[1]\n\n[1] b")


def test_a_drawer_without_an_end_is_text() -> None:
    assert "They sleep." in text_of("* a\n:LOGBOOK:\nThey sleep.\n* b\nc")


@pytest.mark.parametrize("mark", ["*a ", "~a ", "{{{a(", "\\(a", ":A:\n", "[fn::a"])
def test_marks_that_are_never_closed_cost_little(mark: str) -> None:
    start = time.process_time()
    text_of(mark * (20_000 // len(mark)))
    assert time.process_time() - start < 10  # minutes without limits


def test_a_block_or_an_include_that_names_nothing_but_a_control_character_is_read() -> None:
    assert text_of("#+begin_src \x1f\nx = 1\n#+end_src\n#+include: \x1f\nBees.") == "```\nx = 1\n```\n\nBees.\n\n"
