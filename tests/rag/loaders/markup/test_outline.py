"""The top-level blocks of Markdown: the same by cmark as by markdown-it."""

from __future__ import annotations

import pytest

from rag.loaders.markup.outline import outline_of


def kinds_and_texts(markdown: str) -> list[tuple[str, str]]:
    """Return the kind and the lines of each block that is not blank."""
    lines = markdown.split("\n")
    blocks = ((entry.kind, "\n".join(lines[entry.first : entry.end])) for entry in outline_of(markdown))
    return [(kind, text) for kind, text in blocks if text.strip()]


@pytest.mark.parametrize(
    ("markdown", "blocks"),
    [
        ("Run\n---\n```\n# no heading\n```", [("heading", "Run\n---"), ("code", "```\n# no heading\n```")]),
        ("Two\nlines\n===\ntext", [("heading", "Two\nlines\n==="), ("prose", "text")]),
        ("At\n|a|b|\n|-|-|\n| 1 | 2 |", [("prose", "At"), ("table", "|a|b|\n|-|-|\n| 1 | 2 |")]),
        ("a | b\n--- | ---\n1 | 2\nalone\n\nend", [("table", "a | b\n--- | ---\n1 | 2\nalone"), ("prose", "end")]),
        ("    code\n\n    more\n\ntext", [("code", "    code\n\n    more"), ("prose", "text")]),
        ("a\n\n---\n\nb", [("prose", "a"), ("code", "---"), ("prose", "b")]),
        ("- a\n\n      code in it\n- b\n\nc", [("list", "- a\n\n      code in it\n- b\n"), ("prose", "c")]),
        ("> # quoted\n> text", [("prose", "> # quoted\n> text")]),
        ("a\n\n<div>\nb\n</div>\n\n## c", [("prose", "a"), ("code", "<div>\nb\n</div>"), ("heading", "## c")]),
        ("[x]: https://a.example\n\n<center>\n\nb", [
            ("prose", "[x]: https://a.example\n"), ("code", "<center>"), ("prose", "b")
        ]),
        ('a data-sourcepos="1:1-9:9" b\n\n# c', [("prose", 'a data-sourcepos="1:1-9:9" b'), ("heading", "# c")]),
    ],
)  # fmt: skip
def test_blocks_and_where_they_end(markdown: str, blocks: list[tuple[str, str]]) -> None:
    assert kinds_and_texts(markdown) == blocks


@pytest.mark.parametrize(
    ("heading", "title"),
    [
        ("# Plain words, 3.2", "Plain words, 3.2"),
        ("  ##  spaced  out  ##  ", "spaced out"),
        ("# `code` and *stress*", "code and stress"),
        ("# a &amp; b \\# c", "a & b # c"),
        ("# [a link](https://a.example)", "a link"),
        ("# snake_case_name", "snake_case_name"),
        ("#", ""),
    ],
)
def test_a_heading_says_its_text_without_marks(heading: str, title: str) -> None:
    assert [(entry.kind, entry.title) for entry in outline_of(heading)][:1] == [("heading", title)]
