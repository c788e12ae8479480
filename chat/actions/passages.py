"""Show a retrieved passage within its document in the side panel; serve the PDF files of the corpus.

The passage is read from the stored answer. If its document has changed or is gone, the panel shows the passage as it
was and says so. A PDF opens in the browser's own viewer, at the passage's page.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any, Literal, TypedDict
from urllib.parse import urlencode

from chainlit.auth import get_current_user
from fastapi import Depends, HTTPException
from fastapi.responses import FileResponse
from fastapi.routing import APIRoute

from chat.actions.payloads import OpenPassage
from chat.language import Phrase
from chat.session.context import AppState, RequestContext
from rag.errors import BadRating
from rag.heading_path import plain_headings
from rag.indexing.update import uploads_folder
from rag.ingest.discovery import locate
from rag.loaders.formats import LOADERS, suffix_of
from rag.records import PAGE_TURN, Chunk, Document

AROUND = 1_500  # characters before and after: a screenful each
PDF = ".pdf"
PLAIN = ("text", "log", "source code", "PDF", "picture", "YAML", "data")  # kinds of text without marks
PDF_ADDRESS = "/document.pdf"
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
    file: str
    form: Literal["markdown", "marked", "plain"]  # how its marks are drawn: all, those of blocks and code, none


async def passage(context: RequestContext, payload: Mapping[str, Any]) -> dict[str, Any]:
    """Return a passage under an answer with the text around it. Raises BadRating."""
    sent = OpenPassage.read(payload)
    context.session.card_with(sent.answer)
    return dict(await asyncio.to_thread(_find, context, sent.answer, sent.rank))


def pdf_route(app: AppState) -> APIRoute:
    """Return the route that serves the corpus's PDFs, and no other file, to signed-in users."""
    corpus = app.serving.corpus
    uploads = uploads_folder(app.settings, corpus)

    def serve(source: str, user: Any = Depends(get_current_user)) -> FileResponse:  # noqa: ANN401, B008
        indexed = source.lower().endswith(PDF) and app.serving.store.documents.read(corpus.id, source)
        path = locate(source, app.settings.docs, uploads) if indexed else None
        if path is None:
            raise HTTPException(404, "no such PDF among the documents")
        return FileResponse(path, media_type="application/pdf", content_disposition_type="inline")

    return APIRoute(PDF_ADDRESS, serve, response_model=None)


def around(chunk: Chunk, document: Document | None) -> Passage:
    """Return a chunk as it was shown, with the text around it in the current document."""
    at = _position(chunk, document.text) if document else -1
    text = document.text if document and at >= 0 else ""
    end = at + len(chunk.text)
    begin, stop = max(0, at - AROUND), end + AROUND
    return {
        "title": chunk.name,
        "source": chunk.source,
        "heading": plain_headings(chunk.section),
        "page": chunk.pages,
        "before": text[begin:at].replace(PAGE_TURN, "") if text else "",
        "text": chunk.shown,
        "after": text[end:stop].replace(PAGE_TURN, "") if text else "",
        "more_before": bool(text) and begin > 0,
        "more_after": bool(text) and stop < len(text),
        "note": "" if text else CHANGED,
        "file": _pdf_address(chunk) if text and chunk.page else "",
        "form": _form(chunk.source),
    }


def _find(context: RequestContext, answer_id: str, rank: int) -> Passage:
    store = context.app.serving.store
    answer = store.feedback.answer(answer_id)
    hit = next((hit for hit in answer.hits if hit.rank == rank), None) if answer else None
    if hit is None:
        raise BadRating(Phrase("error.no_passage", rank=rank))
    found = store.documents.read(context.app.serving.corpus.id, hit.chunk.source)
    return around(hit.chunk, found[0] if found else None)


def _form(source: str) -> Literal["markdown", "marked", "plain"]:
    """Return what marks the text of a document has, by its kind: loaders write headings, lists, tables and code so."""
    loader = LOADERS.get(suffix_of(PurePosixPath(source)))
    kind = loader.kind if loader else "web page" if "://" in source else ""
    if kind in PLAIN or not kind:
        return "plain"
    return "markdown" if kind == "Markdown" else "marked"


def _pdf_address(chunk: Chunk) -> str:
    """Return the URL of a chunk's PDF at its page; "" for a PDF in an archive or on the web."""
    if not chunk.source.lower().endswith(PDF) or "://" in chunk.source:
        return ""
    return f"{PDF_ADDRESS}?{urlencode({'source': chunk.source})}#page={chunk.page}"


def _position(chunk: Chunk, text: str) -> int:
    """Return a chunk's offset in a text: its stored offset, else the first occurrence; -1 if there is none."""
    return chunk.start if text.startswith(chunk.text, chunk.start) else text.find(chunk.text)
