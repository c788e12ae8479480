"""Build the answerer: a chat model behind an OpenAI-compatible endpoint, or the built-in extractive one.

Both are runnables from {query, hits} to a stream of message chunks, the last with a finish reason. The extractive one
only quotes passages, and needs no key, no model hub and no GPU.
"""

from __future__ import annotations

import asyncio
import json
import logging
import re
import time
from collections.abc import AsyncIterator, Callable, Sequence
from email.utils import parsedate_to_datetime
from functools import cache
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from langchain_core.messages import AIMessageChunk
from langchain_core.runnables import Runnable, RunnableGenerator
from pydantic import SecretStr

from rag.answering.extractive import Score, quote
from rag.answering.local_llm import serve
from rag.answering.reply_limits import NO_COMPLETION, bounded_client, cut_off, joining_client
from rag.errors import AnswerFailed, BadSetting, PromptRefused, ThumbtuneError
from rag.settings import EXTRACTIVE, Settings

if TYPE_CHECKING:
    import tenacity
    from langchain_openai.chat_models.base import BaseChatOpenAI

OPENAI = "openai:"
TIMEOUTS = ("THUMBTUNE_LLM_TIMEOUT", "THUMBTUNE_ANSWER_TIMEOUT")
PARAGRAPH = re.compile(r".+?(?:\n\n+|\Z)", re.DOTALL)
TRIES = 6  # of a prompt in the background; about a minute, since the waits double
MAX_WAIT = 120.0  # seconds; by then a quota per minute has refilled, and one per day is not waited for
OF_OPENAI = (".openai.com", ".openai.azure.com")  # their newer models take max_completion_tokens only
Answerer = Runnable[dict[str, Any], AIMessageChunk]
Ask = Callable[[str], str]
log = logging.getLogger(__name__)


def build_chat_model(settings: Settings, client: object = None) -> BaseChatOpenAI:
    """Return the chat model of the settings, with explicit timeout, retries and length. Opens no connection.

    `client` is the HTTP client of whole replies, by default openai's own.

    A local model is loaded at the first call, see local_llm.serve. It may be silent for minutes while it reads two
    prompts on a slow machine, and retrying would not make it faster.

    The length goes to OpenAI as max_completion_tokens, which ChatOpenAI sends, and to all others as max_tokens, which
    some of them know alone.
    """
    from langchain_openai import ChatOpenAI  # takes a second, and the extractive answerer needs none of it
    from langchain_openai.chat_models.base import BaseChatOpenAI

    if settings.is_local_llm:
        local = serve(settings)
        timeout = max(settings.llm_timeout, settings.answer_timeout)
        return BaseChatOpenAI(
            model=local.model,
            api_key=SecretStr(local.key),
            base_url=local.base_url,
            timeout=timeout,
            stream_chunk_timeout=timeout,
            max_retries=0,
            max_tokens=settings.llm_max_tokens,
            stream_usage=True,
            http_client=client,
            http_async_client=joining_client(),
        )
    host = urlsplit(settings.openai_base_url or "https://api.openai.com").hostname or ""
    kind: type[BaseChatOpenAI] = ChatOpenAI if host.endswith(OF_OPENAI) else BaseChatOpenAI
    return kind(
        model=settings.answerer.removeprefix(OPENAI),
        api_key=settings.openai_api_key or SecretStr("none-needed"),  # the client requires one
        base_url=settings.openai_base_url,
        timeout=settings.llm_timeout,
        stream_chunk_timeout=settings.llm_timeout,
        max_retries=settings.llm_retries,
        max_tokens=settings.llm_max_tokens,
        stream_usage=True,
        http_client=client,
        http_async_client=joining_client(),
    )


def build_ask(settings: Settings, sleep: Callable[[float], None] = time.sleep) -> Ask:
    """Return a function prompt -> whole reply of the chat model, for background work.

    If the endpoint is busy or unreachable it waits, as long as Retry-After says, and tries again; a reply that is not
    complete after THUMBTUNE_ANSWER_TIMEOUT counts as such. The function raises
    PromptRefused for a prompt that the endpoint does not answer, and AnswerFailed if waiting does not help. Raises
    BadSetting if the settings name no LLM.
    """
    import openai
    import tenacity

    if settings.answerer == EXTRACTIVE:
        raise BadSetting(
            f"THUMBTUNE_LLM={EXTRACTIVE}: it cannot generate text; name an LLM, or set OPENAI_API_KEY or a base URL"
        )
    # retries are done here
    model = build_chat_model(settings.model_copy(update={"llm_retries": 0}), bounded_client(settings.answer_timeout))
    retrying = tenacity.Retrying(
        retry=tenacity.retry_if_exception(_is_temporary),
        wait=_wait,
        stop=tenacity.stop_after_attempt(TRIES),
        before_sleep=_log_wait,
        sleep=sleep,
        reraise=True,
    )

    def ask(prompt: str) -> str:
        try:
            reply = retrying(model.invoke, prompt)
        except (openai.BadRequestError, openai.UnprocessableEntityError) as error:
            raise PromptRefused(str(explain(error))) from None
        except openai.OpenAIError as error:
            wait = _retry_after(error)
            raise AnswerFailed(f"{explain(error)}" + (f", it asks to wait {wait:.0f} s" if wait else "")) from None
        except (AttributeError, LookupError, TypeError, ValueError):  # the client's errors for a reply of another shape
            raise AnswerFailed(NO_COMPLETION) from None
        reason = reply.response_metadata.get("finish_reason")
        if reason == "content_filter":
            raise PromptRefused("the endpoint's content filter stopped the reply")
        if reason == "length":
            raise PromptRefused(f"the endpoint's reply was {cut_off(settings.llm_max_tokens)}")
        return str(reply.text)

    return ask


def build_extractive(score: Score, dont_know: str) -> Answerer:
    """Return the answerer without an LLM: it quotes the best sentences by `score`, or `dont_know` if none is good.

    It is written at once, so it is streamed paragraph by paragraph: word by word, LangChain took more time than search.
    """

    async def extract(inputs: AsyncIterator[dict[str, Any]]) -> AsyncIterator[AIMessageChunk]:
        given: dict[str, Any] = {}
        async for part in inputs:
            given |= part
        text = await asyncio.to_thread(quote, given["query"], given["hits"], score) or dont_know
        for paragraph in PARAGRAPH.findall(text):
            yield AIMessageChunk(content=paragraph)
        yield AIMessageChunk(content="", response_metadata={"finish_reason": "stop"})

    return RunnableGenerator(extract)


def sampling_options(settings: Settings) -> dict[str, Any]:
    """Return the temperature and stop texts that the settings give an endpoint; what they leave to it is left out."""
    options: dict[str, Any] = {"temperature": settings.llm_temperature, "stop": list(settings.llm_stop) or None}
    return {name: value for name, value in options.items() if value is not None}


@cache
def _explanations() -> Sequence[tuple[type[BaseException], str]]:
    """Return the errors of an endpoint, most specific first, with the message for the user.

    Never the raw text: it may contain a key.
    """
    import openai

    return (
        (openai.AuthenticationError, "the endpoint refused the key: check OPENAI_API_KEY"),
        (openai.PermissionDeniedError, "the endpoint does not allow this: check the key's rights and the model's name"),
        (openai.NotFoundError, "the endpoint knows no such model or address: check THUMBTUNE_LLM and OPENAI_BASE_URL"),
        (openai.RateLimitError, "the endpoint is at its rate or spending limit: wait, then ask again"),
        (openai.APITimeoutError, "the endpoint did not answer in time: try again, or raise THUMBTUNE_LLM_TIMEOUT"),
        (openai.APIConnectionError, "the endpoint cannot be reached or hung up: is it running? check OPENAI_BASE_URL"),
        (openai.BadRequestError, "the endpoint refused the request: a shorter THUMBTUNE_CONTEXT_TOKENS may help"),
        (openai.APIStatusError, "the endpoint failed: try again in a moment"),
        (openai.APIError, "the endpoint reported an error in the middle of the answer: try again"),
        (json.JSONDecodeError, "the endpoint sent a broken stream: ask again"),
        (
            TimeoutError,
            "no complete answer in time: try again, or raise THUMBTUNE_LLM_TIMEOUT or THUMBTUNE_ANSWER_TIMEOUT",
        ),
    )


def explain(error: BaseException) -> str | None:
    """Return a one-line message for the user on why an answer failed, or None for an unexpected error."""
    if isinstance(error, ThumbtuneError):
        return str(error)
    for kind, text in _explanations():
        if isinstance(error, kind):
            status = getattr(error, "status_code", None)
            return f"{text} (HTTP {status})" if status else text
    return None


def _is_temporary(error: BaseException) -> bool:
    """Return whether the same prompt may succeed later: not if the credit or a daily quota is used up."""
    import openai

    if getattr(error, "code", None) == "insufficient_quota" or (_retry_after(error) or 0) > MAX_WAIT:
        return False
    return isinstance(error, openai.APIConnectionError | openai.RateLimitError | openai.InternalServerError)


def _wait(state: tenacity.RetryCallState) -> float:
    """Return the seconds to wait: as the endpoint says, else exponential backoff with jitter."""
    import tenacity

    wait = _retry_after(_error_of(state))
    return tenacity.wait_random_exponential(max=MAX_WAIT)(state) if wait is None else wait


def _log_wait(state: tenacity.RetryCallState) -> None:
    seconds = state.next_action.sleep if state.next_action else 0.0
    log.warning("%s; next try in %.0f s", explain(_error_of(state)), seconds)


def _error_of(state: tenacity.RetryCallState) -> BaseException:
    """Return the error of the last try."""
    error = state.outcome.exception() if state.outcome else None
    return error or RuntimeError("a try without an outcome")


def _retry_after(error: BaseException) -> float | None:
    """Return the seconds in the Retry-After header of an error (RFC 9110: a number or a date), or None."""
    import openai

    value = error.response.headers.get("retry-after") if isinstance(error, openai.APIStatusError) else None
    if value is None:
        return None
    try:
        seconds = float(value) if value.strip().isdigit() else parsedate_to_datetime(value).timestamp() - time.time()
    except ValueError:
        return None
    return max(0.0, seconds)
