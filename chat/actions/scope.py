"""Restrict a chat's questions to chosen documents: the search of the picker at the input, and what was chosen.

The page keeps the choice and posts it whenever it changes or the server asks for it; a question that names a place
itself, as `in:reports`, is searched there and nowhere else.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import Any, TypedDict

import chainlit as cl
from chainlit.auth import get_current_user
from fastapi import Depends
from fastapi.responses import JSONResponse
from fastapi.routing import APIRoute

from chat.actions.payloads import Scope
from chat.session.context import AppState, RequestContext
from rag.errors import BadQuery, ThumbtuneError
from rag.store.filters import DocumentFilter, split_filter

ADDRESS = "/documents.json"
SHOWN = 30  # entries found at a time: more are narrowed down by typing
ASKS = "asks_scope"  # window message to public/picker.js


class ScopeEntry(TypedDict):
    """A document, or a folder with the number of its documents, that questions can be restricted to."""

    source: str
    title: str
    documents: int
    is_folder: bool


def search_scope(documents: Sequence[tuple[str, str, int]], words: str) -> tuple[list[ScopeEntry], int]:
    """Return the first SHOWN folders and documents whose path or title has all words, and how many there are.

    `documents` are (source, title, number of chunks). A name with a quotation mark or a line break is left out.
    """
    wanted = words.casefold().split()
    found = [
        entry
        for entry in (*_folders(documents), *_documents(documents))
        if _can_be_written(entry["source"])
        and all(word in f"{entry['source']}\n{entry['title']}".casefold() for word in wanted)
    ]
    return found[:SHOWN], len(found)


def _can_be_written(source: str) -> bool:
    """Return whether a path can be part of a filter, which a question begins with."""
    return '"' not in source and source.isprintable()


def within(context: RequestContext, typed: str) -> str:
    """Return a typed question with the chosen documents as a filter, unless it names some itself. Raises BadQuery."""
    chosen = DocumentFilter(folders=context.session.scope)
    return typed if not chosen or split_filter(typed)[1].folders else f"{chosen} {typed.strip()}"


def choose(context: RequestContext, sent: object) -> None:
    """Take over what the page says is chosen. What is not valid chooses nothing: the page shows its own choice."""
    try:
        chosen = Scope.read(sent).scope
    except BadQuery:
        chosen = []
    context.session.scope = tuple(chosen) if all(map(_can_be_written, chosen)) else ()


async def ask_page() -> None:
    """Ask the page what is chosen there, which a new session does not know."""
    await cl.context.emitter.send_window_message({ASKS: True})


def documents_route(app: AppState) -> APIRoute:
    """Return the route of the picker's search, for signed-in users."""

    async def serve(q: str = "", user: Any = Depends(get_current_user)) -> JSONResponse:  # noqa: ANN401, B008
        try:
            documents = await asyncio.to_thread(app.serving.store.documents.sizes, app.serving.corpus.id)
        except ThumbtuneError as error:
            return JSONResponse({"error": str(error)}, 503)
        found, total = search_scope(documents, q)
        return JSONResponse({"found": found, "total": total}, headers={"cache-control": "no-store"})

    return APIRoute(ADDRESS, serve, response_model=None)


def _folders(documents: Sequence[tuple[str, str, int]]) -> list[ScopeEntry]:
    """Return the folders of documents, by path. An address on the web has none."""
    local = [PurePosixPath(source) for source, _, _ in documents if "://" not in source]
    counts = Counter(str(folder) for path in local for folder in path.parents if str(folder) not in (".", "/"))
    return [_entry(path, "", counts[path], is_folder=True) for path in sorted(counts)]


def _documents(documents: Sequence[tuple[str, str, int]]) -> list[ScopeEntry]:
    return [_entry(source, title, 1, is_folder=False) for source, title, _ in documents]


def _entry(source: str, title: str, documents: int, *, is_folder: bool) -> ScopeEntry:
    return {"source": source, "title": title, "documents": documents, "is_folder": is_folder}
