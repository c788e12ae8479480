"""Serve a training's report and plots at /runs/VERSION/NAME: a fixed set of files, to signed-in users.

Why sign-in: a report quotes the raters' questions.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from chainlit.auth import get_current_user
from fastapi import Depends, HTTPException
from fastapi.responses import FileResponse
from fastapi.routing import APIRoute

from chat.language import Phrase
from chat.training.process import VERSION
from rag.home_address import fetched
from rag.training_results import CURVE_PLOT, QUALITY_PLOT, REPORT_FILE

PLOTS = {  # name -> alternative text
    QUALITY_PLOT: Phrase("plot.quality"),
    CURVE_PLOT: Phrase("plot.curve"),
}
MEDIA = {REPORT_FILE: "text/html; charset=utf-8", **dict.fromkeys(PLOTS, "image/svg+xml")}


def address(version: str, name: str) -> str:
    """Return the URL path of a file of a run."""
    return f"/runs/{version}/{name}"


def find(runs: Path, version: str, name: str) -> Path | None:
    """Return the path of a served file of a run, None where it is missing or not among the served names."""
    if not VERSION.fullmatch(version) or name not in MEDIA:
        return None
    path = fetched(runs / version) / name
    return path if path.is_file() else None


def reports_route(runs: Path) -> APIRoute:
    """Return the route that serves the report files."""

    async def serve(version: str, name: str, user: Any = Depends(get_current_user)) -> FileResponse:  # noqa: ANN401, B008
        path = await asyncio.to_thread(find, runs, version, name)
        if path is None:
            raise HTTPException(404, "no such report: see `python -m train list`")
        return FileResponse(path, media_type=MEDIA[name], headers={"cache-control": "private, max-age=60"})

    return APIRoute("/runs/{version}/{name:path}", serve, response_model=None)
