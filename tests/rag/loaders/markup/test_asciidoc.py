"""AsciiDoc, through the loader of its suffix."""

from __future__ import annotations

import time

import pytest

from rag.loaders.formats import LOADERS


def text_of(source: str) -> str:
    return LOADERS[".adoc"](source.encode()).text


def test_headings_are_sections_under_the_title() -> None:
    loaded = LOADERS[".asciidoc"](
        b"= Bees\nAnn Smith <ann@example.org>\nv1.0, 2026-05-31\n:toc:\n\n// gone\n== One\n\na\n"
        b"\n=== Two\n\nb\n\nThree\n-----\n\nc\n"
    )
    assert [section.heading for section in loaded.sections] == [
        "Bees",
        "Bees > One",
        "Bees > One > Two",
        "Bees > Three",
    ]
    assert (loaded.title, loaded.date) == ("Bees", "2026-05-31")


def test_marks_of_formatting_go_and_links_are_text() -> None:
    source = (
        "A *bold*, _big_ `co*de` #mark#, H~2~O, 2 * 3 * 4, snake_case_name,\nlink:x.html[a pag"
        "e], https://x.org[the site], "
        "https://y.org, <<_one,above>>, xref:b.adoc[next] and kbd:[Ctrl+C].footnote:[In euros.]"
    )
    assert text_of(source) == (
        "A bold, big `co*de` mark, H2O, 2 * 3 * 4, snake_case_name, a page, the site, https://y.org, above, next and "
        "Ctrl+C.[1]\n\n[1] In euros.\n\n"
    )


def test_a_reference_without_text_shows_the_title_of_its_section() -> None:
    assert "See How to pay." in text_of("See <<pay>>.\n\n[[pay]]\n== How to pay\n\nx")


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("[source,python]\n----\n", "\n----"),
        ("```python\n", "\n```"),
        ("[,python]\n----\n", "\n----"),
        ("....\n", "\n...."),
    ],
)
def test_code_is_exact_to_the_letter(before: str, after: str) -> None:
    code = "def f(x):  # {attr} *no* // no\n    return Flask(__name__)\n\n= not a title <1>"
    text = text_of(f"a\n\n{before}{code}{after}\n\nb")
    assert text.replace("```python", "```") == f"a\n\n```\n{code}\n```\n\nb\n\n"


def test_lists_have_their_numbers_and_levels_and_go_on_after_code() -> None:
    source = ". a\n+\n----\nx\n----\n. b\n** c\nwrapped\n* [x] done\n\nText.\n\n. d\n\nFee:: 5 euros\nCity::\n  Rome"
    assert text_of(source) == (
        "1. a\n\n```\nx\n```\n\n2. b\n  - c wrapped\n    - ☒ done\n\nText.\n\n1. d\n\nFee: 5 euros\n\nCity: Rome\n\n"
    )


def test_a_table_names_its_columns() -> None:
    table = '[%header,cols="1,2*"]\n|===\n|City |Fee\n|Note\n\n|Rome\n|5\n.2+|none\n\n|Oslo|7\n|==='
    assert text_of(f".Fees\n{table}") == (
        "Fees\n\n| City | Fee | Note |\n| --- | --- | --- |\n| Rome | 5 | none |\n| Oslo | 7 | none |\n\n"
    )
    assert text_of("|===\n|A |B\n\n|1 |2\n2+|wide\n|===") == "| A | B |\n| --- | --- |\n| 1 | 2 |\n| wide |  |\n\n"
    assert "| 1 | 2 |" in text_of(",===\nA,B\n1,2\n,===")


def test_admonitions_quotes_and_sidebars_keep_their_text() -> None:
    source = (
        "NOTE: Mind this.\n\n[WARNING]\n====\nHot.\n\n* very\n====\n\n[quote, Ann, Letters]\n_"
        "___\nBees fly.\n____\n\n****\nAside.\n****"
    )
    assert text_of(source) == (
        "Note: Mind this.\n\nWarning\n\nHot.\n\n- very\n\nBees fly.\n\n— Ann, Letters\n\nAside.\n\n"
    )


def test_attributes_are_replaced_comments_go_and_includes_are_noted() -> None:
    loaded = LOADERS[".adoc"](b":name: BeeNet\n\n////\nsecret\n////\n{name} and {other}.\n\ninclude::a.adoc[]\n")
    assert loaded.text == "BeeNet and {other}.\n\n"
    assert loaded.note == "files that it names are not part of it: a.adoc"


def test_attributes_that_name_themselves_end() -> None:
    assert text_of(":a: {b}{b}\n:b: {a}{a}\n\n{a}").count("{") < 100


def test_blocks_nested_without_end_are_read() -> None:
    assert "They sleep." in text_of("They sleep.\n\n" + "".join("=" * (4 + n) + "\n" for n in range(2000)))


@pytest.mark.parametrize("mark", ["*a ", '"`a', "[[[a", "(((a", "link:a[", "stem:[", "footnote:[a", "pass:["])
def test_marks_that_are_never_closed_cost_little(mark: str) -> None:
    start = time.process_time()
    text_of(mark * (20_000 // len(mark)))
    assert time.process_time() - start < 10  # minutes without limits
