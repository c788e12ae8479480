"""Errors as OpenAI's clients read them: {"error": {"message", "type", "param", "code"}} with an HTTP status."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from starlette.responses import JSONResponse

from rag.errors import (
    AnswerFailed,
    BadLabels,
    BadModel,
    BadQuery,
    BadRating,
    NotIndexed,
    StoreFailed,
    ThumbtuneError,
    TooMany,
)

BAD, UNAUTHORISED, FORBIDDEN, NOT_FOUND, NOT_ALLOWED = 400, 401, 403, 404, 405
TOO_SLOW, TOO_LARGE, WRONG_TYPE, TOO_MANY, INTERNAL, UPSTREAM, UNAVAILABLE = 408, 413, 415, 429, 500, 502, 503
INVALID = "invalid_request_error"
TYPES = {UNAUTHORISED: "authentication_error", FORBIDDEN: "permission_error", TOO_MANY: "rate_limit_error"}
SERVER = "server_error"
DIFY = {"invalid_api_key": 1002, "insufficient_scope": 1002, "knowledge_not_found": 2001}  # its own codes, for people
STATUSES: tuple[tuple[type[ThumbtuneError], int, str], ...] = (
    (TooMany, TOO_MANY, "rate_limit_exceeded"),
    (BadQuery, BAD, "invalid_question"),
    (BadRating, BAD, "invalid_rating"),
    (BadLabels, BAD, "invalid_feedback"),
    (AnswerFailed, UPSTREAM, "answer_failed"),
    (BadModel, UNAVAILABLE, "model_unavailable"),
    (NotIndexed, UNAVAILABLE, "not_indexed"),
    (StoreFailed, UNAVAILABLE, "store_failed"),
)
log = logging.getLogger("thumbtune")


class ApiError(Exception):
    """A request that is refused, or that failed: what the client is told."""

    def __init__(
        self, status: int, message: str, code: str, param: str | None = None, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(message)
        self.status, self.message, self.code, self.param = status, message, code, param
        self.headers = dict(headers or {})

    @property
    def body(self) -> dict[str, Any]:
        """Return the error as JSON, as it stands in a response or in a stream."""
        kind = TYPES.get(self.status, INVALID if self.status < INTERNAL else SERVER)
        error = {"message": self.message, "type": kind, "param": self.param, "code": self.code}
        number = DIFY.get(self.code)
        return {"error": error, **({"error_code": number, "error_msg": self.message} if number else {})}

    def response(self) -> JSONResponse:
        """Return the response to the request."""
        return JSONResponse(self.body, self.status, headers=self.headers)


def api_error(error: Exception) -> ApiError:
    """Return what a client is told of an error. One that is nobody's fault but ours is logged, and not explained."""
    if isinstance(error, ApiError):
        return error
    if isinstance(error, TooMany):
        return ApiError(TOO_MANY, str(error), "rate_limit_exceeded", headers={"retry-after": str(error.seconds)})
    for kind, status, code in STATUSES:
        if isinstance(error, kind):
            return ApiError(status, str(error), code)
    if isinstance(error, ThumbtuneError):
        return ApiError(BAD, str(error), "refused")
    log.error("a request failed", exc_info=error)
    return ApiError(INTERNAL, f"internal error ({type(error).__name__}): details are in the server's log", "internal")
