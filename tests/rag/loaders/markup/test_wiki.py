"""Wiki text, through the loader of its suffix."""

from __future__ import annotations

import pytest

from rag.errors import Unreadable
from rag.loaders.formats import LOADERS


def text_of(source: str) -> str:
    return LOADERS[".wiki"](source.encode()).text


def test_headings_paragraphs_and_links() -> None:
    loaded = LOADERS[".mediawiki"](
        b"Intro '''bold'''\nline.<!-- secret -->\n\n== Bees ==\nSee [[Honey bee|honey bees]], [[Wax]] and "
        b"[http://x.org the site].\n[[Category:Insects]] [[de:Biene]]"
    )
    assert loaded.text == (
        "Intro bold line.\n\n## Bees\n\nSee honey bees, Wax and the site.\n\nCategories: Insects\n\n"
    )
    assert [section.heading for section in loaded.sections] == ["", "Bees"]


def test_lists_have_their_numbers_and_levels() -> None:
    assert text_of("# a\n#* b\n# c<br>d\n\ntext\n* e") == "1. a\n  - b\n2. c d\n\ntext\n\n- e\n\n"
    assert text_of("<ul><li>a<ul><li>b</li></ul></li>\n<li>c</li></ul>") == "- a\n  - b\n- c\n\n"


def test_code_is_exact_to_the_letter() -> None:
    code = "def f():\n    return Flask(__name__)\n\n'''x'''"
    assert text_of(f'<syntaxhighlight lang="python">\n{code}\n</syntaxhighlight>') == f"```python\n{code}\n```\n\n"
    assert text_of(f"<pre>\n{code}\n</pre>") == f"```\n{code}\n```\n\n"
    assert text_of("a\n\n  x = 1\n    y") == "a\n\n```\n x = 1\n   y\n```\n\n"
    assert (
        text_of("Use <code>a_b</code> and <nowiki>''no''</nowiki>, <math>x^2</math>.")
        == "Use `a_b` and ''no'', $x^2$.\n\n"
    )


def test_a_table_has_its_title_and_names() -> None:
    table = "{| class=x\n|+ Fees\n|-\n! City !! Fee\n|-\n| Rome || style=y | 5\n|-\n| colspan=2 | none\n|}"
    assert text_of(table) == "Fees\n\n| City | Fee |\n| --- | --- |\n| Rome | 5 |\n| none |  |\n\n"


def test_notes_follow_the_block_that_names_them_first() -> None:
    source = 'One.<ref name="a">Ann, 2025.</ref>\n\nTwo.<ref name="a" /> Three.<ref>Bob.</ref>\n\n<references />'
    assert text_of(source) == "One.[1]\n\n[1] Ann, 2025.\n\nTwo.[1] Three.[2]\n\n[2] Bob.\n\n"


def test_templates_are_shown_by_what_they_are_given() -> None:
    source = (
        "{{Infobox town|name=Rome|population=2,800,000|mayor=Ann|image=x.jpg}}\nIt is {{convert|5|km}} away.{{stub}}"
        "<ref>{{cite web|url=http://x.org|title=Rome|year=2025}}</ref>"
    )
    loaded = LOADERS[".wiki"](source.encode())
    assert loaded.text == (
        "Infobox town | name: Rome | population: 2,800,000 | mayor: Ann\n\nIt is 5 km away.[1]\n\n[1] Rome 2025\n\n"
    )
    assert loaded.note == "3 templates are shown by what they are given"


def test_a_picture_is_its_caption() -> None:
    assert (
        text_of("[[File:a.jpg|thumb|200px|alt=x|A bee on a [[flower]].]]\nText.") == "A bee on a flower.\n\nText.\n\n"
    )


def test_markup_nested_without_end_is_refused_or_read() -> None:
    for source in ("[[" * 3000, "{{" * 3000, "<b>" * 3000, "{|\n" * 1000):
        try:
            assert isinstance(text_of(f"They sleep. {source}"), str)
        except Unreadable as error:
            assert "nested too deeply" in str(error)  # noqa: PT017


def test_binary_data_is_refused() -> None:
    with pytest.raises(Unreadable):
        LOADERS[".wiki"](b"a\0\xff" * 100)
