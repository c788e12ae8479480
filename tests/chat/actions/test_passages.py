"""A passage is shown within its current document, and only the corpus's own PDFs are served."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from chainlit.auth import get_current_user
from fastapi import FastAPI
from fastapi.routing import APIRoute
from fastapi.testclient import TestClient

from chat.actions.passages import (
    AROUND,
    CHANGED,
    CHANGED_HEADER,
    GONE,
    NOT_FOUND,
    PDF_ADDRESS,
    around,
    passage,
    pdf_route,
)
from chat.session.context import RequestContext, SessionState
from fakes import make_chunk
from rag.errors import BadRating
from rag.heading_path import plain_headings
from rag.ingest.corpus import load_corpus
from rag.ingest.discovery import locate
from rag.records import Document, content_id
from rag.settings import Settings
from rag.store.document_store import DocumentStore
from rag.store.store import open_store


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
    assert shown["file"] == f"/document.pdf?id={chunk.document_id}#page=3"
    assert shown["on_pages"] == ["Text."]


@pytest.mark.parametrize(
    "source", ["bundle.zip/a.pdf", "mail.eml/a.pdf", "a.pdf/inner.md", "https://example.org/a.pdf"]
)
def test_what_is_no_pdf_file_of_its_own_has_no_address(source: str) -> None:
    assert around(make_chunk("Text.", source=source, page=1), make_document("Text."))["file"] == ""


def test_a_passage_over_two_pages_has_a_text_for_each() -> None:
    chunk = make_chunk("The end of a \fsentence.", source="a.pdf", page=3)
    assert around(chunk, make_document(chunk.text))["on_pages"] == ["The end of a ", "sentence."]


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[TestClient, Path, DocumentStore]]:
    """Return a client of a chat's PDFs, its documents folder and its documents; nobody has to sign in."""
    docs = tmp_path / "docs"
    docs.mkdir()
    settings = Settings(home=tmp_path / "home", docs=(docs,), _env_file=None)
    documents = open_store(tmp_path / "store").documents
    serving = SimpleNamespace(corpus=load_corpus(settings), store=SimpleNamespace(documents=documents))
    app = FastAPI()
    app.router.routes.append(pdf_route(cast(Any, SimpleNamespace(settings=settings, serving=serving))))
    app.dependency_overrides[get_current_user] = lambda: None
    with TestClient(app) as client:
        yield client, docs, documents


def index(documents: DocumentStore, docs: Path, name: str, content: bytes) -> str:
    """Write a file, store it as an indexed document and return its id."""
    (docs / name).write_bytes(content)
    document = Document(content_id(name), name, "", hashlib.sha256(content).hexdigest(), "Text.", ())
    documents.put(load_corpus(Settings(docs=(docs,), _env_file=None)).id, [document])
    return document.id


def test_a_pdf_is_served_by_its_document_id_whole_and_in_parts(
    served: tuple[TestClient, Path, DocumentStore],
) -> None:
    client, docs, documents = served
    found = {"id": index(documents, docs, "a.pdf", b"%PDF-1.4 abc")}
    whole = client.get(PDF_ADDRESS, params=found)
    assert (whole.content, whole.headers["content-type"], whole.headers[CHANGED_HEADER]) == (
        b"%PDF-1.4 abc",
        "application/pdf",
        "0",
    )
    part = client.get(PDF_ADDRESS, params=found, headers={"range": "bytes=9-11"})
    assert (part.status_code, part.content) == (206, b"abc")
    asked = client.head(PDF_ADDRESS, params=found)
    assert (asked.status_code, asked.content, asked.headers["content-length"]) == (200, b"", "12")


def test_a_pdf_that_was_changed_says_so_and_one_that_is_gone_too(
    served: tuple[TestClient, Path, DocumentStore],
) -> None:
    client, docs, documents = served
    found = {"id": index(documents, docs, "a.pdf", b"%PDF-1.4 abc")}
    (docs / "a.pdf").write_bytes(b"%PDF-1.4 changed")
    assert client.head(PDF_ADDRESS, params=found).headers[CHANGED_HEADER] == "1"
    (docs / "a.pdf").unlink()
    assert client.head(PDF_ADDRESS, params=found).status_code == GONE


def test_no_file_but_an_indexed_pdf_is_served(served: tuple[TestClient, Path, DocumentStore]) -> None:
    client, docs, documents = served
    (docs / "unindexed.pdf").write_bytes(b"%PDF")
    notes = index(documents, docs, "notes.md", b"# Notes")
    for wrong in (notes, content_id("unindexed.pdf"), "unindexed.pdf", "../secret.pdf", ""):
        assert client.get(PDF_ADDRESS, params={"id": wrong}).status_code == NOT_FOUND
    (route,) = (each for each in cast(FastAPI, client.app).router.routes if isinstance(each, APIRoute))
    assert get_current_user in {needed.call for needed in route.dependant.dependencies}  # Chainlit's own refuses


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


CUT = "    return page\n```\n\nThen call it."


def test_a_passage_that_begins_inside_of_code_is_drawn_as_code_up_to_its_end() -> None:
    cut = around(make_chunk(CUT, source="a.md"), None)
    assert (cut["fence"], cut["text"]) == ("```", CUT)
    whole = make_document("# A\n\n```python\ndef page():\n" + CUT)
    assert around(make_chunk(CUT, source="a.md"), whole)["fence"] == ""  # it begins above
    assert around(make_chunk(CUT, source="a.txt"), None)["fence"] == ""  # a text file has no marks
