"""Check what a browser sends by its websocket, with an action or as a file, before Chainlit reads it.

Why: Chainlit names a folder for uploads after the session id that the browser chose, and deletes that folder with the
session, so the id "../../lancedb" would delete all ratings. It stores a message with every field that was sent with it,
and answers an unknown session with a traceback for each request. It also listens to events whose features are off.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from typing import Annotated, Any
from uuid import UUID, uuid4

from chainlit.auth import get_current_user
from chainlit.server import call_action, upload_file
from chainlit.session import WebsocketSession
from chainlit.types import CallActionRequest
from fastapi import Depends, HTTPException
from fastapi.responses import JSONResponse, Response
from fastapi.routing import APIRoute
from pydantic import AfterValidator, Field
from starlette.datastructures import UploadFile
from starlette.requests import Request

from chat.language import Phrase, in_language, language_for
from chat.session.context import AppState
from chat.session.payload import Id, Payload, Text
from chat.session.roles import is_admin
from chat.web.rate_limits import too_many
from chat.web.security import UPLOAD
from rag.errors import ThumbtuneError, TooMany
from rag.web.rate_limits import client_address

RANDOM = 4  # the version that Chainlit demands of the id of a message
MOST_FILES = 20  # of a message, as in .chainlit/config.toml
ADDRESS = "/project/action"
NO_SESSION = "this session has ended: reload the page"
log = logging.getLogger("thumbtune")


def _uuid(text: str) -> str:
    try:
        if str(UUID(text)) == text:
            return text
    except ValueError:
        pass
    raise ValueError("not a UUID")


def _random_uuid(text: str) -> str:
    if UUID(_uuid(text)).version != RANDOM:
        raise ValueError("not a random UUID")
    return text


Uuid = Annotated[str, AfterValidator(_uuid)]
RandomUuid = Annotated[str, AfterValidator(_random_uuid)]


class Connection(Payload):
    """What a page connects with. Its other fields are for features of Chainlit that are off."""

    sessionId: Uuid


class ThreadAddress(Payload):
    """The thread in a page's address."""

    threadId: Uuid


class TypedMessage(Payload):
    """A message as it was typed."""

    id: RandomUuid
    output: Text


class FileReference(Payload):
    """A file that was uploaded with a message."""

    id: Uuid


class ClientMessage(Payload):
    """A message with its files."""

    message: TypedMessage
    fileReferences: Annotated[list[FileReference], Field(max_length=MOST_FILES)] | None = None


class ActionCall(Payload):
    """The name and payload of an action; each action validates its payload itself."""

    name: Id
    payload: dict[str, Any]


def _message(session: WebsocketSession, *sent: object) -> tuple[object, ...]:
    """Return a message as Chainlit's page would send it: a question of this session's user, of now."""
    typed = ClientMessage.read(sent[0] if sent else None)
    message = {
        "id": typed.message.id,
        "threadId": "",
        "name": session.user.identifier if session.user else "User",
        "type": "user_message",
        "output": typed.message.output,
        "createdAt": datetime.now(UTC).isoformat().replace("+00:00", "Z"),
    }
    return ({"message": message, "fileReferences": [{"id": file.id} for file in typed.fileReferences or []]},)


def _nothing(session: WebsocketSession, *sent: object) -> tuple[object, ...]:
    return ()


def _one(session: WebsocketSession, *sent: object) -> tuple[object, ...]:
    return (sent[0] if sent else None,)


EVENTS: Mapping[str, Callable[..., tuple[object, ...]]] = {  # what the page sends -> what Chainlit's handler is given
    "connection_successful": _nothing,
    "clear_session": _nothing,
    "stop": _nothing,
    "client_message": _message,
    "window_message": _one,
}
OPEN = frozenset(EVENTS) | {"connect", "disconnect"}  # all others are closed


def guard_events(sio: Any) -> None:  # noqa: ANN401  # socketio ships no types
    """Close the socket events that the page does not need; have the others checked before their handlers run."""
    handlers = sio.handlers["/"]
    for event in handlers.keys() - OPEN:
        del handlers[event]
    handlers["connect"] = _checked_connection(handlers["connect"])
    for event, read in EVENTS.items():
        handlers[event] = _checked(event, read, handlers[event])


def _checked_connection(connect: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
    async def checked(socket_id: str, environ: dict[str, Any], auth: object = None) -> Any:  # noqa: ANN401
        try:
            session_id = Connection.read(auth).sessionId
        except ThumbtuneError as error:
            log.warning("refused a connection: %s", error)
            raise ConnectionRefusedError(NO_SESSION) from None
        opened = {"sessionId": session_id, "threadId": _thread_of(auth), "clientType": "webapp", "userEnv": "{}"}
        return await connect(socket_id, environ, opened)

    return checked


def _thread_of(auth: object) -> str:
    """Return the thread that a page asks for, an unused one if its address names none that can be, "" for a new one."""
    if isinstance(auth, Mapping) and not auth.get("threadId"):
        return ""
    try:
        return ThreadAddress.read(auth).threadId
    except ThumbtuneError:
        return str(uuid4())


def _checked(event: str, read: Callable[..., tuple[object, ...]], handle: Callable[..., Awaitable[Any]]) -> Any:  # noqa: ANN401
    async def checked(socket_id: str, *sent: object) -> None:
        session = WebsocketSession.get(socket_id)
        if session is None:
            log.warning("refused %s: %s", event, NO_SESSION)
            return
        try:
            arguments = read(session, *sent)
        except ThumbtuneError as error:
            log.warning("refused %s: %s", event, error)
            return
        await handle(socket_id, *arguments)

    return checked


def action_route() -> APIRoute:
    """Return the route of actions in place of Chainlit's, which answers an unknown session with a traceback."""

    async def act(sent: CallActionRequest, user: Any = Depends(get_current_user)) -> JSONResponse:  # noqa: ANN401, B008
        if WebsocketSession.get_by_id(sent.sessionId) is None:
            raise HTTPException(404, NO_SESSION)
        try:
            action = ActionCall.read(sent.action)
        except ThumbtuneError as error:
            raise HTTPException(400, str(error)) from None
        called = CallActionRequest(action=action.model_dump(), sessionId=sent.sessionId)
        return await call_action(called, user)  # type: ignore[no-any-return]

    return APIRoute(ADDRESS, act, methods=["POST"], response_model=None)


def upload_route(app: AppState) -> APIRoute:
    """Return the route of uploads in place of Chainlit's: for admins, and not too many. Refused before it is read."""

    async def upload(
        request: Request,
        session_id: str,
        user: Any = Depends(get_current_user),  # noqa: ANN401, B008
    ) -> Response:
        rater = str(user.identifier) if user else ""
        if not is_admin(app.settings, rater):
            language = language_for(request.headers.get("accept-language", ""))
            raise HTTPException(403, in_language(Phrase("error.upload_not_allowed", rater=rater), language))
        try:
            app.limits.spend("upload", rater, client_address(request.scope, app.proxies))
        except TooMany as error:
            return too_many(error, request.headers)
        async with request.form(max_files=1, max_fields=1) as form:
            file = form.get("file")
            if not isinstance(file, UploadFile):
                raise HTTPException(400, "a file is missing")
            return await upload_file(user, session_id, file)  # type: ignore[no-any-return, arg-type]  # its base class

    return APIRoute(UPLOAD, upload, methods=["POST"], response_model=None)
