"""Read a request's JSON body into a model, and refuse what is wrong with it as OpenAI does."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError
from starlette.requests import ClientDisconnect, Request

from serve.errors import BAD, TOO_LARGE, TOO_SLOW, WRONG_TYPE, ApiError

MOST_BYTES = 4_000_000  # a conversation of a thousand pages; only its last turns are read
SECONDS = 60.0  # to send it
MOST_DEPTH = 1_000  # json.loads raises RecursionError beyond it
HALF = re.compile(r"[\ud800-\udfff]")  # of a surrogate pair: a client that cuts a text may cut an emoji in two
ESCAPED_HALF = re.compile(r"\\u[dD][89a-fA-F]")  # what it is read from
CUT_OFF = 499  # nobody reads it: the client has hung up
M = TypeVar("M", bound="Sent")


class Sent(BaseModel):
    """What a client sends. An argument that is not known is refused: a misspelt one would silently do nothing."""

    model_config = ConfigDict(extra="forbid", frozen=True)


async def read_body(request: Request, model: type[M]) -> M:
    """Return a request's body as a model. Raises ApiError as `read_json`, and for wrong fields."""
    return read_object(await read_json(request), model)


async def read_json(request: Request) -> Any:  # noqa: ANN401  # whatever JSON holds
    """Return a request's body. Raises ApiError for a wrong type, a size beyond MOST_BYTES, no JSON in UTF-8.

    Half a surrogate pair becomes U+FFFD: neither a table nor a model could take it.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise ApiError(
            WRONG_TYPE, f"Content-Type must be application/json, not {kind[:100]!r}.", "unsupported_content_type"
        )
    try:
        text = (await read_bytes(request)).decode("utf-8-sig")
        found = json.loads(text)
        return _whole(found) if ESCAPED_HALF.search(text) else found
    except (ValueError, RecursionError):
        raise ApiError(BAD, "The body of the request is not valid JSON.", "invalid_json") from None


async def read_bytes(request: Request) -> bytes:
    """Return the body. Raises ApiError as soon as it is too large, whatever Content-Length says, or takes SECONDS."""
    length = request.headers.get("content-length", "0")
    if length.isascii() and length.isdigit() and int(length) > MOST_BYTES:
        raise _too_large()
    body = bytearray()
    try:
        async with asyncio.timeout(SECONDS):
            async for part in request.stream():
                body += part
                if len(body) > MOST_BYTES:
                    raise _too_large()
    except TimeoutError:
        raise ApiError(TOO_SLOW, f"A request has {SECONDS:.0f} seconds to be sent.", "request_timeout") from None
    except ClientDisconnect:
        raise ApiError(CUT_OFF, "The client has hung up.", "client_closed_request") from None
    return bytes(body)


def read_object(given: Any, model: type[M]) -> M:  # noqa: ANN401  # whatever JSON holds
    """Return given JSON as a model. Raises ApiError that names the first wrong field."""
    if not isinstance(given, dict):
        raise ApiError(BAD, "The body of the request must be a JSON object.", "invalid_json")
    try:
        return model.model_validate(given)
    except ValidationError as error:
        first = _first(error, given)
        param = ".".join(map(str, _place(first, given)))
        if first["type"] == "extra_forbidden":
            raise ApiError(
                BAD, f"Unrecognized request argument supplied: {param[:100]}", "unknown_parameter", param[:100]
            ) from None
        if first["type"] == "missing":
            raise ApiError(
                BAD, f"Missing required parameter: '{param}'.", "missing_required_parameter", param
            ) from None
        reason = first["msg"].removeprefix("Value error, ")
        raise ApiError(BAD, f"Invalid value for '{param[:100]}': {reason}.", "invalid_value", param[:100]) from None


def _first(error: ValidationError, given: Mapping[str, Any]) -> Any:  # noqa: ANN401  # pydantic's ErrorDetails
    """Return the error to tell: of the first wrong field, the innermost, and rather a value's than a type's.

    Why: a field of several types has an error of each of them, whatever was sent.
    """
    errors = error.errors(include_url=False)
    of_field = [each for each in errors if each["loc"][:1] == errors[0]["loc"][:1]]
    return max(of_field, key=lambda each: (len(_place(each, given)), not each["type"].endswith("_type")))


def _place(error: Any, given: Mapping[str, Any]) -> list[str | int]:  # noqa: ANN401  # pydantic's ErrorDetails
    """Return where in a body an error is: its location without the names of types, which no client has sent."""
    found: list[str | int] = []
    value: Any = given
    for part in error["loc"]:
        inside = part in value if isinstance(value, dict) else isinstance(value, list) and isinstance(part, int)
        if inside:
            value = value[part]
        if inside or (error["type"] == "missing" and part == error["loc"][-1]):
            found.append(part)
    return found


def _whole(value: Any) -> Any:  # noqa: ANN401  # whatever JSON holds
    if isinstance(value, str):
        return HALF.sub("\ufffd", value)
    if isinstance(value, list):
        return [_whole(each) for each in value]
    if isinstance(value, dict):
        return {_whole(name): _whole(each) for name, each in value.items()}
    return value


def _too_large() -> ApiError:
    return ApiError(TOO_LARGE, f"The body of a request may have {MOST_BYTES // 10**6} MB.", "request_too_large")
