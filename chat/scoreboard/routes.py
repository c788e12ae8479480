"""Serve the scoreboard: the page /scoreboard, Plotly's script, and the command "/scoreboard", which goes to the page.

Why: the scoreboard is cached and computed again, in a thread, only after a table has changed (12,000 answers and
ratings take 0.2 s, the first time after a start 0.7 s). Plotly's script comes from its Python package, so the page
needs no other host.
"""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from weakref import WeakKeyDictionary

import chainlit as cl
from chainlit.auth import get_current_user, reuseable_oauth
from fastapi import HTTPException
from fastapi.responses import FileResponse, HTMLResponse, RedirectResponse, Response
from fastapi.routing import APIRoute
from starlette.requests import Request

from chat.language import Phrase, in_language, language_for
from chat.scoreboard.page import render
from chat.session.context import AppState, RequestContext
from chat.web.security import inline_hashes
from rag.answering.service import QueryService
from rag.evaluation.duel_columns import Compared
from rag.evaluation.scoreboard import Scoreboard, make_scoreboard

PAGE = "/scoreboard"
TEMPLATE = Path(__file__).parent / "templates" / "scoreboard.html"
SCRIPT = f"{PAGE}/plotly.js"
IMMUTABLE = "public, max-age=31536000, immutable"  # the URL has the version
RETRIED = "again"  # query parameter after the redirect that sets the cookies


def routes(app: AppState) -> list[APIRoute]:
    """Return the routes of the page and of Plotly's script."""
    script = plotly_script()
    address = f"{SCRIPT}?v={version('plotly')}"

    async def page(request: Request) -> Response:
        language = language_for(request.headers.get("accept-language", ""))
        if not await _is_signed_in(request):
            if RETRIED in request.query_params:
                return HTMLResponse(in_language(_sign_in_first(), language), 401)
            return RedirectResponse(f"{PAGE}?{RETRIED}", 303)  # the response sets the cookies of a new browser
        board = await scoreboard_cache(app).now()
        html = await asyncio.to_thread(render, board, address, datetime.now(UTC), language)
        return HTMLResponse(html, headers={"cache-control": "private, no-store"})

    async def plotly_js() -> FileResponse:
        return FileResponse(script, media_type="text/javascript", headers={"cache-control": IMMUTABLE})

    return [APIRoute(PAGE, page, response_model=None), APIRoute(SCRIPT, plotly_js, response_model=None)]


async def show(context: RequestContext, rest: str) -> None:
    """Have the page of this session go to the scoreboard."""
    await cl.context.emitter.send_window_message({"go": PAGE})


class ScoreboardCache:
    """Caches the scoreboard of one home folder until its tables change."""

    def __init__(self, serving: QueryService) -> None:
        self._serving = serving
        self._lock = asyncio.Lock()  # concurrent requests wait for one computation
        self._cached: tuple[object, Scoreboard] | None = None
        self._compared: Compared = {}

    async def now(self) -> Scoreboard:
        """Return the scoreboard, computed if a table or an active model has changed. Raises StoreFailed."""
        async with self._lock:
            return await asyncio.to_thread(self._read)

    def _read(self) -> Scoreboard:
        stamp = (self._serving.store.stamp(), self._serving.served("base").model, self._serving.served("tuned").model)
        if self._cached is None or self._cached[0] != stamp:
            self._cached = stamp, read_scoreboard(self._serving, self._compared)
        return self._cached[1]


def read_scoreboard(serving: QueryService, compared: Compared | None = None) -> Scoreboard:
    """Compute the scoreboard from the tables. `compared` keeps which answers say the same for the next call."""
    store, corpus = serving.store, serving.corpus
    return make_scoreboard(
        store.feedback.rating_columns(),
        store.feedback.answer_columns(),
        store.documents.outline(corpus.id),
        store.feedback.solved_queries(),
        base=serving.served("base").model,
        tuned=serving.served("tuned").model,
        compared=compared,
    )


def scoreboard_cache(app: AppState) -> ScoreboardCache:
    """Return the one `ScoreboardCache` of a process."""
    return _caches.setdefault(app.serving, ScoreboardCache(app.serving))


def inline_scripts() -> tuple[str, ...]:
    """Return the hashes of the page's inline scripts, for the content security policy."""
    return inline_hashes(TEMPLATE.read_text("utf-8"))


def plotly_script() -> Path:
    """Return the path of Plotly's script in its Python package."""
    spec = find_spec("plotly")
    return Path(spec.origin if spec and spec.origin else "").parent / "package_data" / "plotly.min.js"


def _sign_in_first() -> Phrase:
    return Phrase("board.sign_in", link="/")


async def _is_signed_in(request: Request) -> bool:
    try:
        await get_current_user(await reuseable_oauth(request) or "")
    except HTTPException:
        return False
    return True


_caches: WeakKeyDictionary[QueryService, ScoreboardCache] = WeakKeyDictionary()
