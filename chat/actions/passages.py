"""A passage in its document: what stands before and after it, for the panel beside the chat; a PDF's own pages.

The stored answer says which passage was shown, and which words it had then. Where the document has changed since, or is
gone, the panel shows the passage as it was and says so. A PDF is opened by the browser's own viewer, at its page.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, TypedDict
from urllib.parse import urlencode

from chainlit.auth import get_current_user
from fastapi import Depends, HTTPException
from fastapi.responses import FileResponse
from fastapi.routing import APIRoute

from chat.session.context import AppState, RequestContext
from rag.errors import BadRating
from rag.indexing.update import uploads_folder
from rag.ingest.discovery import locate
from rag.records import Chunk, Document

AROUND = 1_500  # characters before and after: a screenful each
PDF = ".pdf"
PDF_ADDRESS = "/document.pdf"
CHANGED = "This document has changed since, or is no longer indexed: below is the passage as it was shown."


class Passage(TypedDict):
    """What public/elements/Source.jsx draws. `more_before` and `more_after`: the document goes on there."""

    title: str
    source: str
    heading: str
    page: int | None
    before: str
    text: str
    after: str
    more_before: bool
    more_after: bool
    note: str
    file: str


async def passage(visit: RequestContext, payload: Mapping[str, Any]) -> dict[str, Any]:
    """Return a passage under an answer with what stands around it."""
    visit.room.card_with(payload.get("answer"))
    answer_id, rank = payload["answer"], payload.get("rank")
    return dict(await asyncio.to_thread(_find, visit, answer_id, rank))


def pdf_route(house: AppState) -> APIRoute:
    """Return the route that serves the PDFs of the corpus, and no other file, to who may enter the chat."""
    corpus = house.serving.corpus
    uploads = uploads_folder(house.settings, corpus)

    def serve(source: str, user: Any = Depends(get_current_user)) -> FileResponse:  # noqa: ANN401, B008
        indexed = source.lower().endswith(PDF) and house.serving.store.documents.read(corpus.id, source)
        path = locate(source, house.settings.docs, uploads) if indexed else None
        if path is None:
            raise HTTPException(404, "no such PDF among the documents")
        return FileResponse(path, media_type="application/pdf", content_disposition_type="inline")

    return APIRoute(PDF_ADDRESS, serve, response_model=None)


def around(chunk: Chunk, document: Document | None) -> Passage:
    """Return a chunk as it was shown, with what stands around it in its document of today."""
    at = _position(chunk, document.text) if document else -1
    text = document.text if document and at >= 0 else ""
    end = at + len(chunk.text)
    begin, stop = max(0, at - AROUND), end + AROUND
    return {
        "title": chunk.name,
        "source": chunk.source,
        "heading": chunk.section,
        "page": chunk.page,
        "before": text[begin:at] if text else "",
        "text": chunk.text,
        "after": text[end:stop] if text else "",
        "more_before": bool(text) and begin > 0,
        "more_after": bool(text) and stop < len(text),
        "note": "" if text else CHANGED,
        "file": _pdf_address(chunk) if text and chunk.page else "",
    }


def _find(visit: RequestContext, answer_id: str, rank: object) -> Passage:
    store = visit.house.serving.store
    answer = store.feedback.answer(answer_id)
    hit = next((hit for hit in answer.hits if hit.rank == rank), None) if answer else None
    if hit is None:
        raise BadRating(f"passage {str(rank)[:10]} is not under this answer: reload the page, then open it")
    found = store.documents.read(visit.house.serving.corpus.id, hit.chunk.source)
    return around(hit.chunk, found[0] if found else None)


def _pdf_address(chunk: Chunk) -> str:
    """Return where the browser finds a chunk's PDF, opened at its page; "" where it is no file of its own."""
    if not chunk.source.lower().endswith(PDF) or "://" in chunk.source:
        return ""
    return f"{PDF_ADDRESS}?{urlencode({'source': chunk.source})}#page={chunk.page}"


def _position(chunk: Chunk, text: str) -> int:
    """Return where a chunk stands in a text: where it stood, or the first place that has its words; -1 for none."""
    return chunk.start if text.startswith(chunk.text, chunk.start) else text.find(chunk.text)
