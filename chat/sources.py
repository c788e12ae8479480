"""A passage in its document: what stands before and after it, for the panel beside the chat.

The stored answer says which passage was shown, and which words it had then. Where the document has changed since, or is
gone, the panel shows the passage as it was and says so.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, TypedDict

from chat.visit import Visit
from rag.errors import BadRating
from rag.records import Chunk, Document

AROUND = 1_500  # characters before and after: a screenful each
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


async def passage(visit: Visit, payload: Mapping[str, Any]) -> dict[str, Any]:
    """Return a passage under an answer with what stands around it."""
    visit.room.card_with(payload.get("answer"))
    answer_id, rank = payload["answer"], payload.get("rank")
    return dict(await asyncio.to_thread(_find, visit, answer_id, rank))


def around(chunk: Chunk, document: Document | None, file: str = "") -> Passage:
    """Return a chunk as it was shown, with what stands around it in its document of today."""
    at = _position(chunk, document.text) if document else -1
    text = document.text if document and at >= 0 else ""
    end = at + len(chunk.text)
    begin, stop = max(0, at - AROUND), end + AROUND
    return {
        "title": chunk.title or chunk.source,
        "source": chunk.source,
        "heading": chunk.heading.removeprefix(chunk.title).removeprefix(" > "),
        "page": chunk.page,
        "before": text[begin:at] if text else "",
        "text": chunk.text,
        "after": text[end:stop] if text else "",
        "more_before": bool(text) and begin > 0,
        "more_after": bool(text) and stop < len(text),
        "note": "" if text else CHANGED,
        "file": file if text else "",
    }


def _find(visit: Visit, answer_id: str, rank: object) -> Passage:
    store = visit.house.serving.store
    answer = store.get_answer(answer_id)
    hit = next((hit for hit in answer.hits if hit.rank == rank), None) if answer else None
    if hit is None:
        raise BadRating(f"passage {str(rank)[:10]} is not under this answer: reload the page, then open it")
    found = store.documents(visit.house.serving.corpus.id, hit.chunk.source)
    return around(hit.chunk, found[0] if found else None)


def _position(chunk: Chunk, text: str) -> int:
    """Return where a chunk stands in a text: where it stood, or the first place that has its words; -1 for none."""
    return chunk.start if text.startswith(chunk.text, chunk.start) else text.find(chunk.text)
