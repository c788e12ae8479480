"""Limit an LLM's replies: a stream must end as a complete answer, a whole reply comes within a time and a size.

Why: the client's timeout is one for each read, so an endpoint that sends a byte a minute would never end, and a stream
that is cut ends like a finished one.

Tokens that came within a tenth of a second are joined before they are parsed (`joining_client`), and within half a
second where a hundred answers are written: for each message openai's client and LangChain take 0.16 ms and all our
steps 0.3, ten times what it takes to join it with the next. Meanwhile nothing is read: the tokens wait in the kernel,
since reading each as it comes takes another 0.1 ms.
"""

from __future__ import annotations

import asyncio
import json
import logging
import re
import time
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Iterator
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, cast

from langchain_core.messages import AIMessageChunk, BaseMessage
from langchain_core.runnables import Runnable, RunnableLambda

from rag.answering.evidence.cleaning import find_loop
from rag.errors import AnswerCut, AnswerFailed

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel

MAX_CHARS_PER_TOKEN = 8  # English has four to five; an endpoint that writes more ignores max_tokens
JOIN_SECONDS = 0.1  # a card shows what was added no more often
LONGEST_JOIN = 0.5  # where many streams are read at once
JOINED_PER_SECOND = 200  # messages of all streams together that are passed on
ARRIVED = 0.25  # of that rest: the time in which what has arrived meanwhile is read, also by a busy machine
LONGEST_MESSAGE = 100_000  # bytes of a stream's message; what is longer is handed on as it comes
MESSAGE_END = re.compile(rb"\r\n\r\n|\n\n|\r\r")
LOOK_FOR_LOOPS = 40  # characters between two looks
LOOPS = (
    "the answer was cut off where the model began to repeat itself: ask again, in other words, or raise "
    "THUMBTUNE_LLM_TEMPERATURE"
)
NO_COMPLETION = "the endpoint's reply is no chat completion: check OPENAI_BASE_URL (most end in /v1)"
TEXT_FIELDS = ("role", "content")  # of a token's message
LONGEST_BYTES = 20_000_000  # of a reply; one of 100,000 tokens, the most that may be set, has 2 MB of JSON
_OPEN: set[object] = set()  # a token for each stream that is read in this process
log = logging.getLogger(__name__)


def require_finish(
    model: BaseChatModel, max_tokens: int, options: dict[str, Any] | None = None
) -> Runnable[list[BaseMessage], AIMessageChunk]:
    """Return a chat model as a step that raises AnswerFailed unless its stream ends as a complete answer.

    `options` go with each request, until the endpoint refuses one of them: some models take no temperature or stop.

    A connection that is cut ends like a finished stream; without this step half an answer would look complete. A stream
    that goes on far beyond `max_tokens` is closed here: nothing else would end it before the timeout, and a step after
    the model could not, since LangChain leaves the streams before a failing step open.
    """
    stream = _Sampler(model, options or {})

    async def write(messages: list[BaseMessage]) -> AsyncIterator[AIMessageChunk]:
        watch = _Watch(max_tokens)
        async with aclosing(stream(messages)) as chunks:
            async for chunk in chunks:
                watch.look_at(chunk)
                yield chunk
                watch.look_for_a_loop()
        watch.end()

    return RunnableLambda(write)


class _Watch:
    """Raises AnswerFailed where a stream is too long, repeats itself, or does not end as a whole answer."""

    def __init__(self, max_tokens: int) -> None:
        self._max_tokens = max_tokens
        self._reason: str | None = None
        self._size, self._text, self._looked = 0, "", 0

    def look_at(self, chunk: AIMessageChunk) -> None:
        """Check the stream with its next chunk."""
        self._reason = chunk.response_metadata.get("finish_reason") or self._reason
        self._text += chunk.text
        self._size += max(1, len(chunk.text))  # an endless stream of empty chunks ends, too
        if self._size > self._max_tokens * MAX_CHARS_PER_TOKEN:
            self._fail_in_a_loop()  # joined tokens may be all of it
            raise AnswerFailed(f"the answer was {cut_off(self._max_tokens)}; the endpoint ignores max_tokens")

    def look_for_a_loop(self) -> None:
        """Check now and then whether the text so far, all of which is passed on, repeats itself."""
        if len(self._text) - self._looked > LOOK_FOR_LOOPS:
            self._looked = len(self._text)
            self._fail_in_a_loop()

    def end(self) -> None:
        """Check how the stream ended."""
        self._fail_in_a_loop()
        if self._reason is None:
            raise AnswerFailed("the answer is incomplete: the endpoint closed the stream before its end; ask again")
        if self._reason == "length":
            raise AnswerCut(f"the answer was {cut_off(self._max_tokens)}")
        if self._reason == "content_filter":
            raise AnswerFailed("the endpoint's content filter stopped the answer: ask in other words")

    def _fail_in_a_loop(self) -> None:
        if find_loop(self._text) is not None:
            raise AnswerFailed(LOOPS)


class _Sampler:
    """Streams a chat model with options such as a temperature, without those that its endpoint has refused."""

    def __init__(self, model: BaseChatModel, options: dict[str, Any]) -> None:
        self._model, self._options = model, dict(options)

    async def __call__(self, messages: list[BaseMessage]) -> AsyncGenerator[AIMessageChunk, None]:
        """Yield the chunks of a reply. A request that failed before the first is sent again where that may help.

        Each try connects in its own task: what anyio keeps for a task of its scopes may be wrong after such a failure.
        """
        again = False
        while True:
            begun = False
            try:
                async with aclosing(self._stream(messages)) as chunks:
                    async for chunk in chunks:
                        begun = True
                        yield chunk
                return
            except (ExceptionGroup, RuntimeError) as error:  # anyio's, while connecting: seen twice, cause unknown
                if begun or again:
                    raise
                again = True
                log.warning("the connection to the endpoint failed in an unknown way: tried again", exc_info=error)
            except Exception as error:
                refused = [] if begun else _refused(error, self._options)
                if not refused:
                    raise
                self._options = {name: value for name, value in self._options.items() if name not in refused}
                log.warning("the endpoint takes no %s from us: its own is used", " and no ".join(refused))

    async def _stream(self, messages: list[BaseMessage]) -> AsyncGenerator[AIMessageChunk, None]:
        chunks = cast(AsyncGenerator[AIMessageChunk, None], self._model.astream(messages, **self._options))
        async with aclosing(chunks):
            try:
                first = await asyncio.create_task(anext(chunks, None))  # connects in a task of its own, see __call__
            except json.JSONDecodeError:
                raise
            except (AttributeError, LookupError, TypeError, ValueError) as error:  # the client's for another shape
                raise AnswerFailed(NO_COMPLETION) from error
            if first is not None:
                yield first
            async for chunk in chunks:
                yield chunk


def _refused(error: Exception, options: dict[str, Any]) -> list[str]:
    """Return the options that an endpoint's error names as what it does not take."""
    import openai

    if not isinstance(error, openai.BadRequestError | openai.UnprocessableEntityError):
        return []
    said = str(error).casefold()
    return [name for name in options if name in said]


def cut_off(max_tokens: int) -> str:
    """Return how a reply ended that did not come to its end, and what to do."""
    return f"cut off after {max_tokens:,} tokens: raise THUMBTUNE_LLM_MAX_TOKENS"


def bounded_client(seconds: float, most: int = LONGEST_BYTES) -> Any:  # noqa: ANN401  # openai exports no type for it
    """Return openai's HTTP client; reading a reply raises ReadTimeout after `seconds`, ReadError after `most` bytes."""
    import openai
    from httpx2 import ReadError, ReadTimeout, SyncByteStream  # what openai is made with

    class Bounded(SyncByteStream):
        def __init__(self, parts: Any) -> None:  # noqa: ANN401
            self._parts, self._ends = parts, time.monotonic() + seconds

        def __iter__(self) -> Iterator[bytes]:
            size = 0
            for part in self._parts:
                size += len(part)
                if time.monotonic() > self._ends:
                    raise ReadTimeout(f"the reply was not complete after {seconds:.0f} s")
                if size > most:
                    raise ReadError(f"the reply has more than {most:,} bytes")
                yield part

        def close(self) -> None:
            self._parts.close()

    def bound(response: Any) -> None:  # noqa: ANN401
        response.stream = Bounded(response.stream)

    return openai.DefaultHttpxClient(event_hooks={"response": [bound]})


def joining_client() -> Any:  # noqa: ANN401  # openai exports no type for it
    """Return openai's asynchronous HTTP client; it joins the tokens of a stream that come within a tenth of a second.

    The first message is passed on at once. What cannot be joined is passed on as it came, in order.
    """
    import openai
    from httpx2 import AsyncByteStream

    class Joined(AsyncByteStream):
        def __init__(self, parts: Any) -> None:  # noqa: ANN401
            self._parts = parts

        def __aiter__(self) -> AsyncIterator[bytes]:
            return join_tokens(self._parts)

        async def aclose(self) -> None:
            await self._parts.aclose()

    async def join(response: Any) -> None:  # noqa: ANN401
        headers = response.headers
        if "text/event-stream" in headers.get("content-type", "") and "content-encoding" not in headers:
            response.stream = Joined(response.stream)

    return openai.DefaultAsyncHttpxClient(event_hooks={"response": [join]})


async def join_tokens(
    parts: AsyncIterable[bytes], seconds: float = JOIN_SECONDS, open_streams: set[object] = _OPEN
) -> AsyncIterator[bytes]:
    """Yield a stream of server-sent events with those joined that add text to a chat completion and nothing else.

    After each text that is passed on it rests for `seconds`, longer where there are many `open_streams`, and then reads
    what has arrived. What waits is due with the first part that comes after that, with a message of another kind, and
    where the stream ends or fails.
    """
    rest, waiting, stream = b"", _Waiting(), object()
    due = float("-inf")
    open_streams.add(stream)
    try:
        async for part in parts:
            *messages, rest = MESSAGE_END.split(rest + part)
            ready = b"".join(map(waiting.put, messages))
            if len(rest) > LONGEST_MESSAGE:
                ready, rest = ready + waiting.take() + rest, b""
            rests = False
            if time.monotonic() >= due:
                rests = bool(waiting.text)  # the first text comes after a message with none
                ready += waiting.take()
            if ready:
                yield ready
            if rests:
                await asyncio.sleep(pause := max(seconds, min(LONGEST_JOIN, len(open_streams) / JOINED_PER_SECOND)))
                due = time.monotonic() + ARRIVED * pause
    except Exception:
        if ready := waiting.take():
            yield ready  # what was written before is shown
        raise
    finally:
        open_streams.discard(stream)
    if ready := waiting.take() + rest:
        yield ready


class _Waiting:
    """Messages of a stream whose texts are joined to one message, which is otherwise the last of them."""

    def __init__(self) -> None:
        self.text = ""
        self._last: dict[str, Any] = {}

    def put(self, message: bytes) -> bytes:
        """Let a message wait; return the bytes of what must be passed on now, none where it can be joined."""
        found = _only_text(message)
        if found is None:
            return self.take() + message + b"\n\n"
        self._last = found
        self.text += found["choices"][0]["delta"]["content"]
        return b""

    def take(self) -> bytes:
        """Return what waits as one message, nothing if none does."""
        if not self._last:
            return b""
        self._last["choices"][0]["delta"]["content"] = self.text
        message = b"data: " + json.dumps(self._last).encode() + b"\n\n"
        self.text, self._last = "", {}
        return message


def _only_text(message: bytes) -> dict[str, Any] | None:
    """Return a server-sent event as JSON if all it does is to add text to a completion, else None."""
    if not message.startswith(b"data:") or b"\n" in message:
        return None
    try:
        found = json.loads(message[5:])
        (choice,) = found["choices"]
        delta = choice["delta"]
        plain = isinstance(delta["content"], str) and not any(delta[name] for name in delta if name not in TEXT_FIELDS)
    except (ValueError, LookupError, TypeError, AttributeError):
        return None
    return found if plain and not choice.get("finish_reason") and not found.get("usage") else None
