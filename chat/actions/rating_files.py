"""Export ratings to a file and import them from one, in the browser: GET and POST /ratings.jsonl.

The format is that of `python -m rag export` and `import`. Everybody gets their own ratings; those of all raters, and
lines in the name of others, are for admins.
"""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path
from typing import Any

from chainlit.auth import get_current_user
from fastapi import Depends, HTTPException
from fastapi.responses import JSONResponse, Response
from fastapi.routing import APIRoute
from starlette.requests import Request

from chat.language import Phrase, in_language, language_for, said
from chat.session.context import AppState
from chat.session.roles import is_admin
from chat.web.rate_limits import too_many
from rag.errors import BadLabels, StoreFailed, TooMany
from rag.feedback.files.import_export import ReadLabels, export_labels, import_labels
from rag.feedback.ratings import repair
from rag.web.rate_limits import client_address

ADDRESS = "/ratings.jsonl"
MOST_BYTES = 10_000_000  # of a file: some 20,000 ratings
SHOWN = 20  # lines that could not be used, in the report
ALL = "all"
FORBIDDEN, NOT_FOUND, TOO_LARGE = 403, 404, 413
_importing = asyncio.Lock()  # one at a time: each compares its texts with those of all passages


def rating_routes(app: AppState) -> list[APIRoute]:
    """Return the routes of the file, for signed-in users."""

    async def download(of: str = "", user: Any = Depends(get_current_user)) -> Response:  # noqa: ANN401, B008
        rater = _name(user)
        if of == ALL and not is_admin(app.settings, rater):
            raise HTTPException(FORBIDDEN, Phrase("error.export_others"))
        try:
            text = await asyncio.to_thread(export_text, app, "" if of == ALL else rater)
        except BadLabels as error:
            raise HTTPException(NOT_FOUND, str(error)) from None
        name = "all-ratings" if of == ALL else "my-ratings"
        headers = {"content-disposition": f'attachment; filename="{name}.jsonl"', "cache-control": "no-store"}
        return Response(text, media_type="application/jsonl", headers=headers)

    async def upload(request: Request, user: Any = Depends(get_current_user)) -> JSONResponse:  # noqa: ANN401, B008
        rater = _name(user)
        try:
            app.limits.spend("upload", rater, client_address(request.scope, app.proxies))
        except TooMany as error:
            return too_many(error, request.headers)
        data = await _body(request)
        language = language_for(request.headers.get("accept-language", ""))
        if data is None:
            too_large = Phrase("error.file_too_large", n=MOST_BYTES // 10**6)
            return JSONResponse({"error": in_language(too_large, language)}, TOO_LARGE)
        try:
            async with _importing:
                read = await asyncio.to_thread(import_text, app, data, "" if is_admin(app.settings, rater) else rater)
        except (BadLabels, StoreFailed) as error:
            return JSONResponse({"error": in_language(said(error), language)})  # as actions reply
        return JSONResponse(report(read))

    return [
        APIRoute(ADDRESS, download, methods=["GET"], response_model=None),
        APIRoute(ADDRESS, upload, methods=["POST"], response_model=None),
    ]


def export_text(app: AppState, rater: str) -> bytes:
    """Return the labels of a rater, or of all for "", as JSON Lines. Raises BadLabels if there are none."""
    documents = app.serving.store.documents.read(app.serving.corpus.id)
    with tempfile.TemporaryDirectory(prefix="ratings-") as folder:
        path = Path(folder) / "labels.jsonl"
        repair(app.serving.store)
        export_labels(path, app.serving.store, documents, rater=rater)
        return path.read_bytes()


def import_text(app: AppState, data: bytes, rater: str) -> ReadLabels:
    """Import JSON Lines, all in the name of `rater` unless it is "". Raises BadLabels with line and what to fix."""
    documents = app.serving.store.documents.read(app.serving.corpus.id)
    with tempfile.TemporaryDirectory(prefix="ratings-") as folder:
        path = Path(folder) / "labels.jsonl"
        path.write_bytes(data)
        try:
            return import_labels(path, app.serving.store, documents, rater=rater)
        except BadLabels as error:
            raise BadLabels(str(error).replace(f"{path}", "The file").replace("The file line", "Line")) from None


def report(read: ReadLabels) -> dict[str, Any]:
    """Return what was taken from a file: numbers, and the first SHOWN lines that match no passage."""
    return {
        "found": read.found,
        "queries": len({label.query for label in read.labels}),
        "waiting": sum(line.waits for line in read.unmatched),
        "left_out": sum(not line.waits for line in read.unmatched),
        "repeated": read.repeated,
        "lines": [str(line) for line in read.unmatched[:SHOWN]],
    }


async def _body(request: Request) -> bytes | None:
    """Return the body of a request, None if it has more than MOST_BYTES: it is not read to its end then."""
    data = bytearray()
    async for part in request.stream():
        data += part
        if len(data) > MOST_BYTES:
            return None
    return bytes(data)


def _name(user: Any) -> str:  # noqa: ANN401  # Chainlit's User, or None without sign-in
    if not user:
        raise HTTPException(FORBIDDEN, Phrase("error.open_chat_first"))
    return str(user.identifier)
