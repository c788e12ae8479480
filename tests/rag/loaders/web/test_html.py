"""The main text of a web page: all of its content, no menus."""

from __future__ import annotations

import pytest

from rag.loaders.markup.markdown import load_markdown
from rag.loaders.web.html import load_html

PARAGRAPH = "<p>Part {} tells how cats sleep most of the day and hunt at night, which surprises their owners.</p>"


def exported(*parts: str) -> str:
    """Return the text of a page that marks no main text, as programs export documents."""
    body = "".join(part if part.startswith("<") else PARAGRAPH.format(part) for part in parts)
    return load_html(f"<html><head><title>t</title></head><body>{body}</body></html>".encode()).text


def test_a_page_that_marks_no_main_text_keeps_its_headings_and_lists() -> None:
    text = exported(
        "<h1>Cats</h1>", "one", "<h2>Food</h2><ul><li>fish</li><li>mice<ul><li>grey</li></ul></li></ul>", "two"
    )
    assert "# Cats\n" in text
    assert "## Food\n\n- fish\n- mice\n  - grey\n" in text


def test_a_heading_with_an_anchor_or_a_permalink_is_kept() -> None:
    text = exported(
        "one", '<div><div><h2><a name="x"></a>Food</h2></div></div>', "two", '<h2>Sleep<a href="#s">¶</a></h2>', "3"
    )
    assert "## Food\n" in text
    assert "## Sleep\n" in text


def marked(*parts: str) -> str:
    """Return the text of a page that marks its main text."""
    main = "".join(part if part.startswith("<") else PARAGRAPH.format(part) for part in parts)
    menu = '<nav><a href="/">Home</a></nav>'
    return load_html(f"<html><body>{menu}<main>{main}</main><footer>Imprint</footer></body></html>".encode()).text


def expected(*parts: str) -> str:
    """Return the Markdown of these parts."""
    return "\n\n".join(part if part.startswith("#") else PARAGRAPH.format(part)[3:-4] for part in parts)


def test_a_main_text_of_several_articles_is_read_whole_and_in_order() -> None:
    articles = [
        f'<article class="post-meta"><h2>{name}</h2>{PARAGRAPH.format(name)}</article>' for name in ("Food", "Sleep")
    ]
    text = marked("<h1>Cats</h1>", "one", *articles, "<h2>Age</h2>", "two")
    assert text == expected("# Cats", "one", "## Food", "Food", "## Sleep", "Sleep", "## Age", "two")


def test_only_the_article_is_read_of_a_main_text_with_one_article_without_comments_and_teasers() -> None:
    files = "<table><tr><td>README</td><td>Fix a bug that woke the cats, two days ago</td></tr></table>"
    comment = f"<ol><li><article>{PARAGRAPH.format('a comment')}</article></li></ol>"
    card = '<article><a href="x"><h2>Another story of cats that sleep</h2></a></article>'
    article = f"<article><h1>Cats</h1>{''.join(map(PARAGRAPH.format, ('one', 'two', 'three')))}</article>"
    assert marked(files, article, card, comment) == expected("# Cats", "one", "two", "three")


def test_an_article_surrounded_by_links_is_the_main_text() -> None:
    teasers = '<p><a href="x">Another story of cats</a></p><article><a href="y">And one of dogs</a></article>'
    article = "<article><h1>Cats</h1>" + "".join(map(PARAGRAPH.format, ("one", "two", "three"))) + "</article>"
    assert marked(article, teasers) == expected("# Cats", "one", "two", "three")


def test_a_note_in_a_main_text_is_kept_in_place() -> None:
    links = '<aside><a href="x">Another story of cats</a></aside>'
    advert = '<aside class="newsletter"><p>Get our news.</p></aside>'
    note = '<aside class="note"><p>Mind their claws.</p></aside>'
    text = marked("<h1>Cats</h1>", "one", note, "two", "three", links, advert)
    assert text == expected("# Cats", "one") + "\n\nMind their claws.\n\n" + expected("two", "three")


@pytest.mark.parametrize("kind", ["admonition tip", "note_box", "noteBox", "alert-warning", "warn", "callout"])
def test_an_aside_is_a_note_by_its_class(kind: str) -> None:
    note = f'<aside class="{kind}"><p>Mind their claws.</p></aside>'
    assert "claws" in marked("<h1>Cats</h1>", "one", note, "two", "three")


@pytest.mark.parametrize("kind", ["tooltip", "footnotes", "information", "stipend"])
def test_an_aside_whose_class_only_contains_the_letters_of_a_note_word_is_not_read(kind: str) -> None:
    aside = f'<aside class="{kind}"><p>Get our news.</p></aside>'
    assert "news" not in marked("<h1>Cats</h1>", "one", aside, "two", "three")


def test_a_menu_is_left_out_of_a_page_without_a_marked_main_text() -> None:
    links = "".join(f'<li><a href="{n}">Menu entry {n}</a></li>' for n in range(6))
    assert "Menu" not in exported(f"<ul>{links}</ul>", "<h1>Cats</h1>", "one", "two")


def test_a_list_of_linked_titles_is_kept_and_so_is_a_page_of_links() -> None:
    titles = "".join(f'<li><a href="{n}">On the keeping of cats in small flats, volume {n}</a></li>' for n in range(6))
    assert "small flats, volume 5" in exported("one", f"<h2>References</h2><ul>{titles}</ul>", "two")
    index = "".join(f'<li><a href="{n}">Chapter {n}</a></li>' for n in range(30))
    assert "Chapter 29" in exported(f"<h1>Contents</h1><ul>{index}</ul>")


def test_many_anchors_are_removed_quickly() -> None:
    anchors = "".join(f'<a name="{n}"></a>line {n}<br>' for n in range(20_000))  # one by one it took 48 seconds
    assert "line 19999" in exported(f"<div>{anchors}</div>")


def test_code_stays_code_and_a_comment_in_it_is_no_heading() -> None:
    assert "```\na = 1\n# no heading\n```" in exported("one", "<pre>a = 1\n# no heading\n</pre>", "two")
    text = exported("one", "<ul><li>item<pre><code>a = 1\n# no heading\n</code></pre></li></ul>", "two")
    assert [section.heading for section in load_markdown(text.encode()).sections] == [""]


def test_a_caption_precedes_its_table_and_a_list_in_a_cell_stays_in_the_cell() -> None:
    head = "<caption>Prices</caption><tr><th>Name</th><th>Kinds</th></tr>"
    table = f"<table>{head}<tr><td>Ink</td><td><ul><li>red</li><li>blue</li></ul></td></tr></table>"
    text = exported("one", table, "two")
    assert "Prices\n\n| Name | Kinds |" in text
    assert "| Ink | red; blue |" in text


def test_subscripts_and_superscripts_are_part_of_their_words() -> None:
    text = exported(
        "one", "<p>H<sub>2</sub>O, x<sup>2</sup> and the 4<sup>th</sup> are what this paragraph is about.</p>", "two"
    )
    assert "H2O, x^2 and the 4th are" in text
