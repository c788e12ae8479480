"""What stands between two rules at the top of a Markdown file: names and values for a program, or text."""

from __future__ import annotations

import pytest

from rag.loaders.markdown import load_markdown


def test_front_matter_is_no_text_but_its_title_counts() -> None:
    extract = load_markdown(b'---\ntitle: "The cats"\nlayout: page\n---\n# Heading\n\ntext\n')
    assert (extract.title, extract.text) == ("The cats", "# Heading\n\ntext\n")


def test_a_rule_at_the_start_is_no_front_matter() -> None:
    assert "kept" in load_markdown(b"---\n\nkept, for no second line of dashes follows\n").text


@pytest.mark.parametrize(
    "lines", ["]: x\n" * 5_000, "[" * 15_000 + "\n", "word " * 1_000_000 + "\n", "a: &a [*a]\n" * 99]
)
def test_no_text_between_two_rules_takes_long(lines: str) -> None:
    assert load_markdown(f"---\n{lines}---\nEnd.\n".encode()).text.endswith("End.\n")


@pytest.mark.parametrize(
    "lines",
    ["text\n" * 9, "# Heading\n- item\n", "title: A\nand text that goes on\n", "https://a.example: x\nb\n"],
)
def test_text_between_two_rules_is_text(lines: str) -> None:
    assert load_markdown(f"---\n{lines}---\nEnd.\n".encode()).text == f"---\n{lines}---\nEnd.\n"


@pytest.mark.parametrize(
    "lines",
    [
        "# comment\n\ntitle: A\n",
        "title: A\ntags:\n- b\n  - c\n\n# comment\nlist: [\n  d,\n]\n",
        "title: A\ntext: |\n  b\n\n  c: d\n",
        "'a key': b\ntitle: A\n",
        "\ntitle: A\n",
        'title: A\ndescription: "foo\nbar baz."\n',
        'title: A\ntags: [\n"a",\n"b"\n]\n',
        "og:title: Foo\ntitle: A\n",
        "title: A\nsubtitle: B: of colons\n",
    ],
)
def test_front_matter_is_yaml_with_keys_or_nearly(lines: str) -> None:
    for end in ("---", "..."):
        extract = load_markdown(f"---\n{lines}{end}\nEnd.\n".encode())
        assert (extract.title, extract.text) == ("A", "End.\n")
