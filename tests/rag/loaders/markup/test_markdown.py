"""Lines between two rules at the top of a Markdown file: front matter, or text."""

from __future__ import annotations

import pytest

from rag.loaders.markup.markdown import load_markdown


def test_front_matter_gives_the_title_and_is_not_part_of_the_text() -> None:
    loaded = load_markdown(b'---\ntitle: "The cats"\nlayout: page\n---\n# Heading\n\ntext\n')
    assert (loaded.title, loaded.text) == ("The cats", "# Heading\n\ntext\n")


def test_a_single_rule_at_the_start_begins_no_front_matter() -> None:
    assert "kept" in load_markdown(b"---\n\nkept, because no second rule follows\n").text


@pytest.mark.parametrize(
    "lines", ["]: x\n" * 5_000, "[" * 15_000 + "\n", "word " * 1_000_000 + "\n", "a: &a [*a]\n" * 99]
)
def test_hostile_front_matter_is_read_quickly(lines: str) -> None:
    assert load_markdown(f"---\n{lines}---\nEnd.\n".encode()).text.endswith("End.\n")


@pytest.mark.parametrize(
    "lines",
    ["text\n" * 9, "# Heading\n- item\n", "title: A\nand text that goes on\n", "https://a.example: x\nb\n"],
)
def test_text_between_two_rules_is_kept(lines: str) -> None:
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
def test_front_matter_is_a_yaml_mapping_or_looks_like_one(lines: str) -> None:
    for end in ("---", "..."):
        loaded = load_markdown(f"---\n{lines}{end}\nEnd.\n".encode())
        assert (loaded.title, loaded.text) == ("A", "End.\n")
