"""A passage is shown within its current document, and only the corpus's own PDFs are served."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import pytest

from chat.actions.passages import AROUND, CHANGED, around, passage
from chat.session.context import RequestContext, SessionState
from fakes import make_chunk
from rag.errors import BadRating
from rag.heading_path import plain_headings
from rag.ingest.discovery import locate
from rag.records import Document, content_id


def make_document(text: str) -> Document:
    return Document(content_id("a.md"), "a.md", "a", "hash", text, ())


def test_a_passage_stands_between_what_is_before_and_after_it() -> None:
    text = "Before it. The passage. After it."
    chunk = make_chunk("The passage.")
    shown = around(chunk, make_document(text))
    assert (shown["before"], shown["text"], shown["after"]) == ("Before it. ", "The passage.", " After it.")
    assert (shown["more_before"], shown["more_after"], shown["note"]) == (False, False, "")


def test_a_long_document_is_shown_a_screenful_around_the_passage() -> None:
    shown = around(make_chunk("HERE"), make_document("x" * 5000 + "HERE" + "y" * 5000))
    assert (len(shown["before"]), len(shown["after"])) == (AROUND, AROUND)
    assert (shown["more_before"], shown["more_after"]) == (True, True)


@pytest.mark.parametrize("document", [None, make_document("Another text by now.")])
def test_a_passage_that_is_gone_is_shown_as_it_was_and_says_so(document: Document | None) -> None:
    shown = around(make_chunk("The passage."), document)
    assert (shown["before"], shown["text"], shown["after"], shown["note"]) == ("", "The passage.", "", CHANGED)


def test_a_passage_of_a_pdf_opens_at_its_page() -> None:
    chunk = make_chunk("Text.", source="papers/a b&c.pdf", page=3)
    shown = around(chunk, make_document("Text."))
    assert shown["file"] == "/document.pdf?source=papers%2Fa+b%26c.pdf#page=3"


@pytest.mark.parametrize("source", ["bundle.zip/a.pdf/inner.md", "https://example.org/a.pdf"])
def test_what_is_no_pdf_file_of_its_own_has_no_address(source: str) -> None:
    assert around(make_chunk("Text.", source=source, page=1), make_document("Text."))["file"] == ""


def test_a_source_leads_back_to_its_file_and_a_trick_to_none(tmp_path: Path) -> None:
    docs, uploads = tmp_path / "docs", tmp_path / "uploads"
    for path in (docs / "sub" / "a.pdf", uploads / "b.pdf", tmp_path / "secret.pdf"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"%PDF")
    assert locate("sub/a.pdf", [docs], uploads) == docs / "sub" / "a.pdf"
    assert locate("uploads/b.pdf", [docs], uploads) == uploads / "b.pdf"
    for trick in ("../secret.pdf", "sub/../../secret.pdf", str(tmp_path / "secret.pdf"), "uploads/../secret.pdf", ""):
        assert locate(trick, [docs], uploads) is None


def test_a_source_of_one_of_several_folders_begins_with_its_name(tmp_path: Path) -> None:
    folders = [tmp_path / "one", tmp_path / "two"]
    for folder in folders:
        folder.mkdir()
        (folder / "a.pdf").write_bytes(b"%PDF")
    assert locate("two/a.pdf", folders, tmp_path / "none") == tmp_path / "two" / "a.pdf"


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        ({}, "^answer is missing"),
        ({"answer": "a1"}, "^rank is missing"),
        ({"answer": "a1", "rank": 1}, "is not in this chat"),
        ({"answer": ["a1"], "rank": 1}, "^answer is .* not valid"),
        ({"answer": "a1", "rank": True}, "^rank is True, which is not valid"),
        ({"answer": "a1", "rank": {"rank": [1]}}, "^rank is .* not valid"),
        ({"answer": "a1", "rank": 0}, "^rank is 0, which is not valid"),
    ],
)
async def test_a_forged_address_of_a_passage_is_refused(payload: dict[str, Any], reason: str) -> None:
    with pytest.raises(BadRating, match=reason):
        await passage(RequestContext(cast(Any, None), SessionState(), "ann"), payload)


@pytest.mark.parametrize(
    ("source", "form"),
    [("a.md", "markdown"), ("b.docx", "marked"), ("https://a.b/c", "marked"),
     ("m.eml/c.py", "plain"), ("d.pdf", "plain"),
     ("README", "plain"), ("e.txt", "plain")],
)  # fmt: skip
def test_only_marks_that_a_format_has_are_drawn(source: str, form: str) -> None:
    assert around(make_chunk("Text.", source=source), make_document("Text."))["form"] == form


@pytest.mark.parametrize(
    ("path", "plain"),
    [("`Flask(__name__)` > Use **it**", "Flask(__name__) > Use it"),
     ("[Piers](a.md#b) > 2 ** 3 ** 4", "Piers > 2 ** 3 ** 4"),
     ("a `b", "a `b"), ("``a`b``", "a`b")],
)  # fmt: skip
def test_headings_are_shown_without_the_marks_of_markdown(path: str, plain: str) -> None:
    assert plain_headings(path) == plain
