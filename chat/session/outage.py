"""Tell a page that the chats cannot be reached at the moment, where Chainlit would say that there is no such chat."""

from __future__ import annotations

from typing import Any

from chainlit.emitter import ChainlitEmitter
from fastapi import FastAPI, Request, Response
from fastapi.exception_handlers import http_exception_handler
from starlette.exceptions import HTTPException

from chat.language import Phrase, in_language, language_for
from chat.session.context import session_language
from chat.session.thread_store import ThreadStore


def tell_outages(app: FastAPI, history: ThreadStore) -> None:
    """Write the refusals of routes in the reader's language, and say why a chat is not shown after a reload."""
    app.add_exception_handler(HTTPException, _in_readers_language)
    send = ChainlitEmitter.send_resume_thread_error

    def send_why(emitter: ChainlitEmitter, error: str) -> Any:  # noqa: ANN401  # Chainlit's is not annotated
        why = in_language(Phrase("app.history_gone"), session_language()) if history.is_down else error
        return send(emitter, why)

    ChainlitEmitter.send_resume_thread_error = send_why  # type: ignore[assignment,method-assign]


async def _in_readers_language(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    error.detail = in_language(error.detail, language_for(request.headers.get("accept-language", "")))
    return await http_exception_handler(request, error)
