"""The report and plots of a training, for the browser: /runs/VERSION/NAME, a few names and nothing else of the folder.

The idea a reader would miss: a report quotes what raters asked, so it is for those who may enter the chat.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from chainlit.auth import get_current_user
from fastapi import Depends, HTTPException
from fastapi.responses import FileResponse
from fastapi.routing import APIRoute

from chat.training.process import VERSION

REPORT = "report.html"
PLOTS = {  # by train.reporting.report
    "quality-by-dimension.svg": "ndcg@10 and hit_rate@5 by dimension, for each model",
    "learning-curve.svg": "ndcg@10 of each model over the versions",
}
MEDIA = {REPORT: "text/html; charset=utf-8", **dict.fromkeys(PLOTS, "image/svg+xml")}


def address(version: str, name: str) -> str:
    """Return where the browser finds a file of a run."""
    return f"/runs/{version}/{name}"


def find(runs: Path, version: str, name: str) -> Path | None:
    """Return a file of a run that may be sent, None where it is not there or not one of those."""
    if not VERSION.fullmatch(version) or name not in MEDIA:
        return None
    path = runs / version / name
    return path if path.is_file() else None


def reports_route(runs: Path) -> APIRoute:
    """Return the route that serves them."""

    async def serve(version: str, name: str, user: Any = Depends(get_current_user)) -> FileResponse:  # noqa: ANN401, B008
        path = find(runs, version, name)
        if path is None:
            raise HTTPException(404, "no such report: see `python -m train list`")
        return FileResponse(path, media_type=MEDIA[name], headers={"cache-control": "private, max-age=60"})

    return APIRoute("/runs/{version}/{name:path}", serve, response_model=None)
