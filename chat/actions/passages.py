"""Show a retrieved passage within its document in the side panel; serve the PDF files of the corpus.

The passage is read from the stored answer. If its document has changed or is gone, the panel shows the passage as it
was and says so. The page draws a PDF's page itself (public/pdf_page.js), or opens the file in the browser's own viewer.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Any, TypedDict
from urllib.parse import urlencode

from chainlit.auth import get_current_user
from fastapi import Depends, HTTPException
from fastapi.responses import FileResponse
from fastapi.routing import APIRoute

from chat.actions.payloads import OpenPassage
from chat.elements.marks import Form, fence_of, form_of
from chat.language import Phrase
from chat.session.context import AppState, RequestContext
from rag.errors import BadRating
from rag.heading_path import plain_headings
from rag.indexing.update import uploads_folder
from rag.ingest.discovery import ARCHIVES, MAILBOXES, locate
from rag.ingest.documents import MAX_FILE_BYTES
from rag.loaders.formats import suffix_of
from rag.records import PAGE_TURN, Chunk, Document

AROUND = 1_500  # characters before and after: a screenful each
PDF = ".pdf"
PDF_ADDRESS = "/document.pdf"
NOT_FOUND, GONE, TOO_LARGE = 404, 410, 413  # the page says each in its language (public/elements/Source.jsx)
PACKED = frozenset((*ARCHIVES, *MAILBOXES, ".eml", ".msg"))  # files that have files of their own
CHANGED_HEADER = "x-document-changed"
CHANGED = Phrase("source.changed")


class Passage(TypedDict):
    """Props of public/elements/Source.jsx. `more_before` and `more_after`: the document has more text there."""

    title: str
    source: str
    heading: str
    page: str  # or pages, such as 3–4
    before: str
    text: str
    after: str
    more_before: bool
    more_after: bool
    note: str
    file: str  # the address of its PDF, "" for other kinds
    on_pages: list[str]  # its text on each page of the PDF, from the first on
    form: Form
    fence: str  # that `before` and `text` lack at their begin


async def passage(context: RequestContext, payload: Mapping[str, Any]) -> dict[str, Any]:
    """Return a passage under an answer with the text around it. Raises BadRating."""
    sent = OpenPassage.read(payload)
    context.session.card_with(sent.answer)
    return dict(await asyncio.to_thread(_find, context, sent.answer, sent.rank))


def pdf_route(app: AppState) -> APIRoute:
    """Return the route that serves the PDFs of the corpus by document id, and no other file, to signed-in users.

    It answers ranges, so that a page of a long document is there before the rest.
    """
    corpus = app.serving.corpus
    uploads = uploads_folder(app.settings, corpus)

    def serve(id: str, user: Any = Depends(get_current_user)) -> FileResponse:  # noqa: ANN401, B008
        source, digest = app.serving.store.documents.find(corpus.id, id) or ("", "")
        if not source.lower().endswith(PDF):
            raise HTTPException(NOT_FOUND, "no such PDF among the documents")
        path = locate(source, app.settings.docs, uploads, follow_links=app.settings.follow_links)
        if path is None:
            raise HTTPException(GONE, "this file was moved or deleted after it was indexed")
        if path.stat().st_size > MAX_FILE_BYTES:
            raise HTTPException(TOO_LARGE, f"this file has more than {MAX_FILE_BYTES // 10**6} MB by now")
        headers = {CHANGED_HEADER: str(int(_hash(path) != digest)), "cache-control": "private, no-cache"}
        return FileResponse(path, media_type="application/pdf", headers=headers, content_disposition_type="inline")

    return APIRoute(PDF_ADDRESS, serve, methods=["GET", "HEAD"], response_model=None)


def around(chunk: Chunk, document: Document | None) -> Passage:
    """Return a chunk as it was shown, with the text around it in the current document."""
    at = _position(chunk, document.text) if document else -1
    text = document.text if document and at >= 0 else ""
    end = at + len(chunk.text)
    begin, stop = max(0, at - AROUND), end + AROUND
    before = text[begin:at].replace(PAGE_TURN, "") if text else ""
    return {
        "title": chunk.name,
        "source": chunk.source,
        "heading": plain_headings(chunk.section),
        "page": chunk.pages,
        "before": before,
        "text": chunk.shown,
        "after": text[end:stop].replace(PAGE_TURN, "") if text else "",
        "more_before": bool(text) and begin > 0,
        "more_after": bool(text) and stop < len(text),
        "note": "" if text else CHANGED,
        "file": _pdf_address(chunk) if chunk.page else "",
        "on_pages": chunk.text.split(PAGE_TURN) if chunk.page else [],
        "form": form_of(chunk.source),
        "fence": fence_of(before + chunk.shown, chunk.source),
    }


def _find(context: RequestContext, answer_id: str, rank: int) -> Passage:
    store = context.app.serving.store
    answer = store.feedback.answer(answer_id)
    hit = next((hit for hit in answer.hits if hit.rank == rank), None) if answer else None
    if hit is None:
        raise BadRating(Phrase("error.no_passage", rank=rank))
    found = store.documents.read(context.app.serving.corpus.id, hit.chunk.source)
    return around(hit.chunk, found[0] if found else None)


def _pdf_address(chunk: Chunk) -> str:
    """Return the URL of a chunk's PDF at its page; "" for a PDF in an archive or on the web."""
    above = PurePosixPath(chunk.source).parents
    if (
        not chunk.source.lower().endswith(PDF)
        or "://" in chunk.source
        or any(suffix_of(each) in PACKED for each in above)
    ):
        return ""
    return f"{PDF_ADDRESS}?{urlencode({'id': chunk.document_id})}#page={chunk.page}"


def _hash(path: Path) -> str:
    """Return the SHA-256 of a file's bytes, as Document.hash; read again only if the file was written since."""
    stat = path.stat()
    return _hash_of(path, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino)


@lru_cache(maxsize=64)
def _hash_of(path: Path, *stat: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _position(chunk: Chunk, text: str) -> int:
    """Return a chunk's offset in a text: its stored offset, else the first occurrence; -1 if there is none."""
    return chunk.start if text.startswith(chunk.text, chunk.start) else text.find(chunk.text)
