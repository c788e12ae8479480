"""User text in a report is shown exactly: it neither becomes markup nor gets lost."""

import re
from html import unescape
from html.parser import HTMLParser

from hypothesis import given
from hypothesis import strategies as st

from train.reporting.markdown import INVISIBLE, bullets, plain, table, to_html

NASTY = st.text(st.sampled_from(list("\\`*_[]()<>#+-.!|~$&=:;/ \n\tax1é")), max_size=30) | st.text(max_size=30)


def body(markdown: str, **plots: str) -> str:
    return to_html(markdown, "title", plots).partition("<main>")[2].partition("</main>")[0]


def shown(text: str) -> str:
    """Return what a reader of a page should see of a text: its visible signs, on one line."""
    return " ".join(INVISIBLE.sub(" ", text).split())


class Reader(HTMLParser):
    """Collects the text of each element of one kind, and the names of all."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind, self.texts, self.tags = kind, [], set()
        self._open = False

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        if tag == self.kind:
            self.texts.append("")
        self._open = tag == self.kind or self._open

    def handle_endtag(self, tag):
        self._open = self._open and tag != self.kind

    def handle_data(self, data):
        if self._open:
            self.texts[-1] += data


def read(html: str, kind: str) -> Reader:
    reader = Reader(kind)
    reader.feed(html)
    reader.close()
    return reader


@given(NASTY, NASTY)
def test_any_text_is_itself_in_a_cell(one, other):
    reader = read(body(table(["a", "b"], [[plain(one), plain(other)]])), "td")
    assert [text.strip() for text in reader.texts] == [shown(one), shown(other)]
    assert reader.tags == {"div", "table", "thead", "tbody", "tr", "th", "td"}


@given(NASTY)
def test_any_text_is_itself_in_a_list(text):
    reader = read(body(bullets(["first", text])), "li")
    assert [text.strip() for text in reader.texts] == ["first", shown(text)]
    assert reader.tags == {"ul", "li"}


def test_markup_of_a_document_is_shown_and_not_obeyed():
    html = body(f"**{plain('<script>alert(1)</script> [a](http://x) ![b](y) **bold** &amp; https://x.y')}**")
    assert read(html, "p").tags == {"p", "strong"}
    assert "&lt;script&gt;alert(1)&lt;/script&gt; [a](http://x) ![b](y) **bold** &amp;amp; https://x.y" in html


def test_a_bidirectional_override_cannot_turn_a_line_around():
    assert plain("safe\u202egnp.exe") == "safe gnp.exe"


def test_a_name_with_underscores_can_be_read_in_the_markdown_itself():
    assert bullets({"base_model": "a_b"}) == "- base_model: a_b"


def test_the_page_is_self_contained_and_loads_and_runs_nothing():
    html = to_html("# T\n\n![quality](q.svg)\n", "a <title>", {"q.svg": "<svg>drawn</svg>"})
    assert "<svg>drawn</svg>" in html
    assert "<title>a &lt;title&gt;</title>" in html
    assert "default-src 'none'" in html
    assert not re.search(r"<script|<link|<img|\bsrc=|@import|url\(", unescape(html))


def test_a_wide_table_scrolls_in_its_own_box_by_keyboard_too():
    assert '<div class="box" tabindex="0"><table>' in body(table(["a"], [["b"]]))
