"""The routes of the scoreboard: the page /scoreboard, and the command "/scoreboard" in the chat.

The idea a reader would miss: it is computed anew only when a table was written to since, beside the event loop, and
once for however many people look. What draws is Plotly's script out of its Python package: no other host is asked.
"""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from pathlib import Path
from weakref import WeakKeyDictionary

import plotly
from chainlit.auth import get_current_user, reuseable_oauth
from fastapi import HTTPException
from fastapi.responses import FileResponse, HTMLResponse, RedirectResponse, Response
from fastapi.routing import APIRoute
from starlette.requests import Request

from chat.scoreboard.page import format_win_rate, next_step, render, verdict
from chat.session.context import AppState, RequestContext, say
from rag.answering.service import QueryService
from rag.evaluation.scoreboard import Scoreboard, make_scoreboard

PAGE = "/scoreboard"
SCRIPT = f"{PAGE}/plotly.js"
FOR_EVER = "public, max-age=31536000, immutable"  # its address names its version
ASKED_TWICE = "again"  # in the address of the page after its first visit, which brought the cookies
STRANGERS_ONLY = "The scoreboard is for who may enter the chat: <a href='/'>open the chat</a> first, then come back."


def routes(house: AppState) -> list[APIRoute]:
    """Return the routes of the page and of the script that it draws with."""
    script = plotly_script()
    address = f"{SCRIPT}?v={plotly.__version__}"

    async def page(request: Request) -> Response:
        if not await _is_signed_in(request):
            if ASKED_TWICE in request.query_params:
                return HTMLResponse(STRANGERS_ONLY, 401)
            return RedirectResponse(f"{PAGE}?{ASKED_TWICE}", 303)  # a first visit gets its cookies with this
        board = await scoreboard_cache(house).now()
        html = await asyncio.to_thread(render, board, address, datetime.now(UTC))
        return HTMLResponse(html, headers={"cache-control": "private, no-store"})

    async def draw() -> FileResponse:
        return FileResponse(script, media_type="text/javascript", headers={"cache-control": FOR_EVER})

    return [APIRoute(PAGE, page, response_model=None), APIRoute(SCRIPT, draw, response_model=None)]


async def show(context: RequestContext, rest: str) -> None:
    """Say how it stands, in a few lines, and where the whole scoreboard is."""
    await say(summary(await scoreboard_cache(context.app).now()))


def summary(board: Scoreboard) -> str:
    """Return the scoreboard in a few lines of Markdown, each number with its n."""
    sizes, rate = board.sizes, board.current if board.current.n else board.overall
    who = board.tuned if board.current.n else "all tuned versions together"
    lines = [f"**{who}** {format_win_rate(rate)}. {verdict(rate)}"] if rate.n else [next_step(board)]
    lines.append(f"{sizes.decided} of {sizes.duels} duels decided blind, by {sizes.raters} raters.")
    found = board.coverage
    lines.append(
        f"{found.never_shown} of {found.chunks} passages were never shown; "
        f"{len(found.abstained) + len(found.voted_down)} of {found.queries} questions have no answer."
    )
    return "\n\n".join([*lines, f"[Open the scoreboard]({PAGE})"])


class ScoreboardCache:
    """The scoreboard of one home, as its tables are now."""

    def __init__(self, serving: QueryService) -> None:
        self._serving = serving
        self._lock = asyncio.Lock()  # whoever comes while it is computed waits for that one
        self._made: tuple[object, Scoreboard] | None = None

    async def now(self) -> Scoreboard:
        """Return it; computed where a table or what serves has changed since. Raises StoreFailed."""
        async with self._lock:
            return await asyncio.to_thread(self._look)

    def _look(self) -> Scoreboard:
        stamp = (self._serving.store.stamp(), self._serving.served("base").model, self._serving.served("tuned").model)
        if self._made is None or self._made[0] != stamp:
            self._made = stamp, read_scoreboard(self._serving)
        return self._made[1]


def read_scoreboard(serving: QueryService) -> Scoreboard:
    """Return the scoreboard, computed from the tables. 10,000 answers and ratings take about 1 s of a core."""
    store, corpus = serving.store, serving.corpus
    return make_scoreboard(
        store.feedback.ratings(),
        store.feedback.answers(),
        store.documents.outline(corpus.id),
        store.feedback.solved_queries(),
        base=serving.served("base").model,
        tuned=serving.served("tuned").model,
    )


def scoreboard_cache(house: AppState) -> ScoreboardCache:
    """Return the one `ScoreboardCache` of a house."""
    return _boards.setdefault(house.serving, ScoreboardCache(house.serving))


def plotly_script() -> Path:
    """Return where Plotly's package keeps its script."""
    return Path(plotly.__file__).parent / "package_data" / "plotly.min.js"


async def _is_signed_in(request: Request) -> bool:
    try:
        await get_current_user(await reuseable_oauth(request) or "")
    except HTTPException:
        return False
    return True


_boards: WeakKeyDictionary[QueryService, ScoreboardCache] = WeakKeyDictionary()
