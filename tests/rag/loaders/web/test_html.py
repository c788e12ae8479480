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


@pytest.mark.parametrize("kind", ["footnotes", "information", "author", ""])
def test_an_aside_with_a_sentence_is_kept_and_one_of_links_or_for_a_newsletter_is_not(kind: str) -> None:
    aside = f'<aside class="{kind}"><p>Leave by eleven on Sunday.</p></aside>'
    advert = '<aside class="newsletter"><p>Get our news.</p></aside><aside><a href="x">Dogs as well.</a></aside>'
    text = marked("<h1>Cats</h1>", "one", aside, advert, "two", "three")
    assert "Leave by eleven on Sunday." in text
    assert "news" not in text
    assert "Dogs" not in text


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


@pytest.mark.parametrize(
    ("first", "others"),
    [
        (
            "<td>i</td><td>-</td><td>the package is installed, with all it needs.</td>",
            "<td>{}</td><td>-</td><td>{}</td>",
        ),
        (
            "<td><code>i</code></td><td>-</td><td>installed</td>",
            "<td><code>{}</code></td><td>-</td><td>is in the state {}</td>",
        ),
        ("<td>i</td><td>-</td><td>已安装。</td>", "<td>{}</td><td>-</td><td>{}</td>"),
    ],
)
def test_the_first_entry_of_a_legend_names_no_columns(first: str, others: str) -> None:
    rows = "".join(f"<tr>{others.format(name, name * 40)}</tr>" for name in "abcdefghijkl")
    lines = exported(f"<table><tr>{first}</tr>{rows}</table>").splitlines()
    assert any(line.strip("`").startswith("a") and line.endswith("a" * 40) for line in lines)
    assert not any(":" in line for line in lines if "|" in line)


def test_short_texts_and_abbreviations_in_the_first_row_name_the_columns() -> None:
    rows = "".join(f"<tr><td><code>{name}</code></td><td>{name * 40}</td><td>9</td></tr>" for name in "abcdefghijkl")
    text = exported(f"<table><tr><td>Flag</td><td>What does it do?</td><td>Max. temp.</td></tr>{rows}</table>")
    assert f"Flag: `a` | What does it do?: {'a' * 40} | Max. temp.: 9\n" in text


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


@pytest.mark.parametrize(
    "written",
    [
        "<p>One.</p>{}",
        "{}<br>Another line.<br>",
        "<pre>code</pre>{}",
        "<img src=a.png>{}",
        "<h2>Last</h2>{}",
        "<figure><img src=a.png><figcaption>{}</figcaption></figure>",
        "<footer>{}</footer>",
        "<aside>{}</aside>",
        "<button>{}</button>",
        "<div class=related-tasks><p>{}</p></div>",
        "<div class=author>{}</div>",
        "<div id=footer-note>{}</div>",
        "<div class=share-info>{}</div>",
        "<div class=sidebar-content>{}</div>",
        "<div class=comment-body>{}</div>",
        "<section id=comments>{}</section>",
        "<font>" * 2_000 + "{}",
        "code<wbr>{}",
    ],
)
def test_a_sentence_is_kept_wherever_it_stands(written: str) -> None:
    sentence = "Leave the camp by eleven."
    text = exported("<h1>Rules</h1>", *map(str, range(5)), f"<div>{written.format(sentence)}</div>", "six")
    assert sentence in text
    assert sentence in exported(f"<div>{written.format(sentence)}</div>")


def test_banners_menus_and_what_is_not_shown_are_left_out() -> None:
    noise = (
        '<div id="cookie-banner">We use cookies to improve this page.</div><nav>Home</nav><script>run()</script>'
        '<div style="display: none" class="modal">Sign in to go on reading.</div><footer>© 2026 Cat Press</footer>'
        '<div class="breadcrumbs"><a href="/">Start</a></div><input type="hidden" value="token">'
    )
    assert exported(f"<div>{noise}</div>", "<h1>Cats</h1>", "one") == expected("# Cats", "one")


def test_a_panel_that_opens_on_a_click_is_read() -> None:
    assert "Four euros." in exported('<div class="tab-pane" style="display:none"><p>Four euros.</p></div>')


def test_readers_comments_to_a_blog_are_left_out_and_counted() -> None:
    article = f"<article><h1>Cats</h1>{PARAGRAPH.format('one')}</article>"
    comments = f"<ol><li><article>{PARAGRAPH.format('a comment')}</article></li></ol>"
    loaded = load_html(f"<html><body>{article}{comments}</body></html>".encode())
    assert (loaded.text, loaded.note) == (expected("# Cats", "one"), "comments of readers are left out: 1")


def test_values_of_a_form_are_read() -> None:
    form = (
        '<form><label>Colour <input value="dark green"></label> <label><input type=checkbox checked> Gift</label>'
        "<select><option>small<option selected>large</select><textarea>Ring twice</textarea></form>"
    )
    assert exported(form) == "Colour dark green ☒ Gift large Ring twice"


def test_a_formula_is_one_line() -> None:
    square = "<msup><mi>c</mi><mn>2</mn></msup>"
    mathml = f"<p>Energy is <math><mi>E</mi><mo>=</mo><mi>m</mi>{square}</math> in rest.</p>"
    assert exported(mathml) == "Energy is E = mc^2 in rest."
    tex = r'<annotation encoding="application/x-tex">\frac{a}{b}</annotation>'
    assert exported(f"<p><math><semantics><mi>a</mi>{tex}</semantics></math></p>") == r"\frac{a}{b}"


def test_two_header_rows_and_spans_name_every_column() -> None:
    table = (
        "<table><tr><th rowspan=2>Day</th><th colspan=2>Berlin</th></tr><tr><th>Cost</th><th>Visitors</th></tr>"
        "<tr><td rowspan=2>Monday</td><td>100</td><td>2000</td></tr><tr><td>110</td><td>2100</td></tr></table>"
    )
    assert exported(table).splitlines() == [
        "| Day | Berlin, Cost | Berlin, Visitors |",
        "| --- | --- | --- |",
        "| Monday | 100 | 2000 |",
        "| Monday | 110 | 2100 |",
    ]


def test_code_is_exact_to_the_letter_without_its_line_numbers() -> None:
    code = "app = Flask(__name__)\n\n    a  =  '*x*'\n"
    assert f"```python\n{code}```" in exported(f'<pre class="language-python"><code>{code}</code></pre>')
    numbered = '<pre><span class="linenos">1</span>a = 1\n<span class="linenos">2</span>b = 2\n</pre>'
    assert "```\na = 1\nb = 2\n```" in exported(numbered)


def test_an_id_that_is_a_hash_has_no_words() -> None:
    item = '<li id="64c58eb106608ad05424e47bbcdef7dc">Hamburgers are good</li>'
    assert "Hamburgers are good" in load_html(f"<body><p>Important points about it.</p>{item}</body>".encode()).text
