"""Settings -> the answerer: a chat model behind an OpenAI-compatible endpoint, or the built-in extractive one.

Both are runnables from {query, hits} to a stream of message chunks whose last one carries a finish reason. The
extractive one quotes: it writes nothing that does not stand in a passage, and needs no key, no hub and no GPU.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Sequence
from typing import Any

import openai
from langchain_core.messages import AIMessageChunk
from langchain_core.runnables import Runnable, RunnableGenerator
from langchain_openai import ChatOpenAI
from pydantic import SecretStr

from rag.errors import AnswerFailed, ThumbtuneError
from rag.extract import Score, quote
from rag.settings import Settings

OPENAI = "openai:"
WORDS = re.compile(r"\S+\s*|\s+")
Answerer = Runnable[dict[str, Any], AIMessageChunk]


def build_chat_model(settings: Settings) -> ChatOpenAI:
    """Return the chat model that `settings.answerer` names, with explicit time-out and retries. Opens no connection."""
    return ChatOpenAI(
        model=settings.answerer.removeprefix(OPENAI),
        api_key=settings.openai_api_key or SecretStr("none-needed"),  # the client wants one; a local endpoint may not
        base_url=settings.openai_base_url,
        timeout=settings.llm_timeout,
        stream_chunk_timeout=settings.llm_timeout,
        max_retries=settings.llm_retries,
        stream_usage=True,
    )


def build_extractive(score: Score, dont_know: str) -> Answerer:
    """Return the answerer without an LLM: it streams the sentences that `score` finds to answer, or `dont_know`."""

    async def extract(inputs: AsyncIterator[dict[str, Any]]) -> AsyncIterator[AIMessageChunk]:
        given: dict[str, Any] = {}
        async for part in inputs:
            given |= part
        text = await asyncio.to_thread(quote, given["query"], given["hits"], score) or dont_know
        for word in WORDS.findall(text):
            yield AIMessageChunk(content=word)
        yield AIMessageChunk(content="", response_metadata={"finish_reason": "stop"})

    return RunnableGenerator(extract)


def require_finish() -> Runnable[AIMessageChunk, AIMessageChunk]:
    """Return a step that passes chunks on and raises AnswerFailed where the stream ends without a finish reason.

    A connection that is cut in mid-stream ends like a finished one; without this step half an answer looks whole.
    """

    async def check(chunks: AsyncIterator[AIMessageChunk]) -> AsyncIterator[AIMessageChunk]:
        reason = None
        async for chunk in chunks:
            reason = chunk.response_metadata.get("finish_reason") or reason
            yield chunk
        if reason is None:
            raise AnswerFailed("the answer broke off: the endpoint closed the stream before its end; ask again")
        if reason == "content_filter":
            raise AnswerFailed("the endpoint's content filter stopped the answer: ask in other words")

    return RunnableGenerator(check)


# What can go wrong at an endpoint, most special first, and what to tell the user. No raw text: it may hold a key.
EXPLANATIONS: Sequence[tuple[type[BaseException], str]] = (
    (openai.AuthenticationError, "the endpoint refused the key: check OPENAI_API_KEY"),
    (openai.PermissionDeniedError, "the endpoint does not allow this: check the key's rights and the model's name"),
    (openai.NotFoundError, "the endpoint knows no such model or address: check THUMBTUNE_LLM and OPENAI_BASE_URL"),
    (openai.RateLimitError, "the endpoint is at its rate or spending limit: wait, then ask again"),
    (openai.APITimeoutError, "the endpoint did not answer in time: try again, or raise THUMBTUNE_LLM_TIMEOUT"),
    (openai.APIConnectionError, "the endpoint cannot be reached or hung up: is it running? check OPENAI_BASE_URL"),
    (openai.BadRequestError, "the endpoint refused the request: a shorter THUMBTUNE_CONTEXT_TOKENS may help"),
    (openai.APIStatusError, "the endpoint failed: try again in a moment"),
    (openai.APIError, "the endpoint reported an error in mid-answer: try again"),
    (json.JSONDecodeError, "the endpoint sent a broken stream: ask again"),
    (TimeoutError, "no complete answer in time: try again, or raise THUMBTUNE_LLM_TIMEOUT or THUMBTUNE_ANSWER_TIMEOUT"),
)


def explain(error: BaseException) -> str | None:
    """Return one line that a user can act on for an answer's failure, or None for an error nobody foresaw."""
    if isinstance(error, ThumbtuneError):
        return str(error)
    for kind, text in EXPLANATIONS:
        if isinstance(error, kind):
            status = getattr(error, "status_code", None)
            return f"{text} (HTTP {status})" if status else text
    return None
