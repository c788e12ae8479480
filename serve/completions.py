"""/v1/chat/completions: the answer of one arm, whole or streamed, by the chains of the chat.

| model | who answers |
|---|---|
| thumbtune-tuned | the model that serves the tuned arm |
| thumbtune-base | the base model |
| thumbtune-duel | one of both, drawn for each turn; the client does not learn which, so a thumb is a blind vote |

The completion's id is that of a duel with one answer, which is in table `answers` before the client has read its end.
An answer that fails, or whose client hangs up, is stored nowhere.
"""

from __future__ import annotations

import asyncio
import hmac
import json
import secrets
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse

from rag.answering.duel import Done, Event, Failed, Hits, Token
from rag.answering.evidence.growing import GrowingAnswer
from rag.answering.service import QueryService
from rag.records import ARMS, BLIND_TURN, COMPLETION, OPEN_TURN, Answer, Arm, Hit, Side
from rag.store.filters import DocumentFilter
from serve.bodies import CUT_OFF, Sent
from serve.citations import Citations
from serve.conversation import Conversation, Messages, read_messages, standalone
from serve.errors import BAD, NOT_FOUND, UPSTREAM, ApiError, api_error

DUEL = "thumbtune-duel"
MODELS: Mapping[str, Arm | None] = {"thumbtune-tuned": "tuned", "thumbtune-base": "base", DUEL: None}
SIDES: Mapping[Arm, Side] = {"base": "A", "tuned": "A"}  # there is one side
HEADERS = {"cache-control": "no-cache", "x-accel-buffering": "no"}  # the second is nginx's
T = TypeVar("T")


class StreamOptions(Sent, extra="allow"):
    """How a stream ends: with the tokens used, or not."""

    include_usage: bool = False


class ChatRequest(Sent):
    """A chat completion to make.

    What chooses words at random, and how many, is the server's setting, the same for both arms: these arguments are
    accepted, as many clients send them with every request, and have no effect. What would change the form of the answer
    is refused.
    """

    model: str
    messages: Messages
    stream: bool = False
    stream_options: StreamOptions | None = None
    user: str | None = None
    n: int | None = None
    tool_choice: Any = None
    function_call: Any = None
    response_format: Any = None
    logprobs: bool | None = None
    modalities: list[str] | None = None
    # accepted, without effect
    temperature: Any = None
    top_p: Any = None
    top_k: Any = None
    min_p: Any = None
    max_tokens: Any = None
    max_completion_tokens: Any = None
    stop: Any = None
    seed: Any = None
    presence_penalty: Any = None
    frequency_penalty: Any = None
    repetition_penalty: Any = None
    logit_bias: Any = None
    top_logprobs: Any = None
    tools: Any = None
    functions: Any = None
    parallel_tool_calls: Any = None
    reasoning_effort: Any = None
    verbosity: Any = None
    service_tier: Any = None
    store: Any = None
    metadata: Any = None
    prediction: Any = None
    audio: Any = None
    web_search_options: Any = None
    prompt_cache_key: Any = None
    safety_identifier: Any = None

    def check(self) -> None:
        """Raise ApiError for what would need another answer than there is."""
        if self.model not in MODELS:
            known = ", ".join(MODELS)
            raise ApiError(
                NOT_FOUND, f"The model '{self.model[:100]}' does not exist: {known} do.", "model_not_found", "model"
            )
        form = self.response_format.get("type") if isinstance(self.response_format, dict) else self.response_format
        refused = {
            "n": self.n not in (None, 1),
            "tool_choice": self.tool_choice not in (None, "auto", "none"),
            "function_call": self.function_call not in (None, "auto", "none"),
            "response_format": form not in (None, "text"),
            "logprobs": bool(self.logprobs),
            "modalities": self.modalities not in (None, ["text"]),
        }
        if param := next((name for name, is_refused in refused.items() if is_refused), ""):
            raise ApiError(BAD, f"'{param}' is not supported with this value.", "unsupported_value", param)


@dataclass(slots=True)
class Turn:
    """One turn that is being answered: what was drawn, and what every chunk of its response has in common."""

    model: str
    arm: Arm
    duel: str
    query: str
    version: str
    citations: Citations
    done: Callable[[str, Answer], None]
    group: str  # of who asks
    annotated: bool  # a stream has annotations
    created: int = field(default_factory=lambda: int(time.time()))

    @property
    def id(self) -> str:
        """Return the completion's id."""
        return COMPLETION + self.duel

    def frame(self, kind: str, **fields: Any) -> dict[str, Any]:  # noqa: ANN401  # JSON
        """Return a response, or a chunk of one, with these fields."""
        known = {"id": self.id, "object": kind, "created": self.created, "model": self.model}
        return {**known, **({"system_fingerprint": self.version} if self.version else {}), **fields}

    def chunk(self, delta: Mapping[str, Any], finish: str | None = None, **fields: Any) -> dict[str, Any]:  # noqa: ANN401
        """Return a chunk of a stream."""
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        return self.frame("chat.completion.chunk", choices=[choice], **fields)


@dataclass(frozen=True, slots=True)
class Asker:
    """Who asks: whose thumbs this turn may get, and the key that draws the arm of a duel."""

    rater: str
    secret: str
    base_url: str
    done: Callable[[str, Answer], None]  # counts a finished answer of a model
    annotated: bool = True  # its streams have annotations


async def complete(serving: QueryService, request: Request, sent: ChatRequest, asker: Asker) -> Response:
    """Return the response to a request. Raises ApiError or ThumbtuneError before anything is sent."""
    conversation = read_messages(sent.messages)
    query, only = await asyncio.to_thread(serving.parse_query, conversation.question)
    if conversation.former:  # an LLM may rewrite it, which takes a second
        query = (await unless_gone(request, standalone(serving, query, conversation.former))).query
    turn = await asyncio.to_thread(begin_turn, serving, sent.model, query, conversation, asker)
    events = begin_answer(serving, turn, only)
    if not sent.stream:
        return await unless_gone(request, _whole(serving, events, turn))
    first = await unless_gone(request, anext(events))  # a search that fails still has a status of its own
    if isinstance(first, Failed) and not first.text:
        await events.aclose()
        raise _failure(first)
    with_usage = bool(sent.stream_options and sent.stream_options.include_usage)
    lines = _lines(serving, first, events, turn, with_usage)
    return StreamingResponse(lines, media_type="text/event-stream", headers=HEADERS)


def drawn_arm(secret: str, rater: str, conversation: Conversation) -> Arm:
    """Return the arm of a turn of a duel: as good as random, and the same if the same turn is asked for again."""
    said = json.dumps([rater, *conversation.key]).encode("utf-8", "surrogatepass")
    return ARMS[hmac.digest(secret.encode(), said, "sha256")[0] % len(ARMS)]


async def unless_gone(request: Request, work: Awaitable[T]) -> T:
    """Return what work returns; cancel it and raise ApiError as soon as the client hangs up."""
    task = asyncio.ensure_future(work)
    gone = asyncio.create_task(_hung_up(request))
    try:
        await asyncio.wait({task, gone}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise ApiError(CUT_OFF, "The client has hung up.", "client_closed_request")
        return task.result()
    finally:
        for each in (task, gone):
            each.cancel()
        await asyncio.gather(task, gone, return_exceptions=True)


async def _hung_up(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


def begin_turn(serving: QueryService, model: str, query: str, conversation: Conversation, asker: Asker) -> Turn:
    """Return a new turn of a model: its arm, drawn if the model is the duel, and its id."""
    blind = model == DUEL
    group = serving.group_of(asker.rater)
    counts = blind and serving.is_fair(group)
    duel = (BLIND_TURN if counts else OPEN_TURN) + secrets.token_hex(8)
    arm = MODELS[model] or drawn_arm(asker.secret, asker.rater, conversation)
    version = "" if blind else serving.promoted(arm, group).model
    citations = Citations(asker.base_url, COMPLETION + duel, blind=blind)
    return Turn(model, arm, duel, query, version, citations, asker.done, group, asker.annotated)


def begin_answer(serving: QueryService, turn: Turn, only: DocumentFilter) -> AsyncGenerator[Event, None]:
    """Return the events of a turn's answer; a model on trial writes none but those that are drawn blind."""
    sides, is_drawn = {turn.arm: SIDES[turn.arm]}, turn.model == DUEL
    return serving.ask(turn.query, sides=sides, duel_id=turn.duel, only=only, compares=is_drawn, group=turn.group)


async def _whole(serving: QueryService, events: AsyncGenerator[Event, None], turn: Turn) -> Response:
    hits: tuple[Hit, ...] = ()
    async with aclosing(events):
        async for event in events:
            if isinstance(event, Hits):
                hits = event.hits
            elif isinstance(event, Failed) and event.cut:
                usage = await _usage(serving, turn, hits, event.text)
                return JSONResponse(_message(turn, event.text, [], hits, "length", usage))
            elif isinstance(event, Failed):
                raise _failure(event)
            elif isinstance(event, Done):
                turn.done(turn.model, event.answer)
                usage = await _usage(serving, turn, event.answer.hits, event.answer.text)
                notes = turn.citations.annotations(event.answer)
                return JSONResponse(_message(turn, event.answer.text, notes, event.answer.hits, "stop", usage))
    raise ApiError(UPSTREAM, "The answer ended early.", "answer_failed")


def _message(
    turn: Turn,
    text: str,
    annotations: list[dict[str, Any]],
    hits: tuple[Hit, ...],
    finish: Literal["stop", "length"],
    usage: dict[str, int],
) -> dict[str, Any]:
    message = {"role": "assistant", "content": text, "refusal": None, "annotations": annotations}
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": finish}
    sources = turn.citations.sources(hits)
    return turn.frame("chat.completion", choices=[choice], usage=usage, sources=sources)


async def _lines(
    serving: QueryService, first: Event, events: AsyncGenerator[Event, None], turn: Turn, with_usage: bool
) -> AsyncIterator[bytes]:
    """Yield the server-sent events of a stream. Closing it cancels the arm, and nothing is stored then."""
    async with aclosing(_chunks(serving, first, events, turn, with_usage)) as chunks:
        async for together in chunks:
            yield b"".join(b"data: " + json.dumps(each, ensure_ascii=False).encode() + b"\n\n" for each in together)
    yield b"data: [DONE]\n\n"


async def _chunks(
    serving: QueryService, first: Event, events: AsyncGenerator[Event, None], turn: Turn, with_usage: bool
) -> AsyncGenerator[list[dict[str, Any]], None]:
    """Yield the chunks of a stream, those that are sent together in one list."""
    hits: tuple[Hit, ...] = ()
    raw = sent = ""
    growing = GrowingAnswer(hits)
    begin = [turn.chunk({"role": "assistant", "content": ""})]
    try:
        async with aclosing(_from(first, events)) as each:
            async for event in each:
                if isinstance(event, Hits):
                    hits = event.hits
                    growing = GrowingAnswer(hits)
                    yield begin + _source_chunks(turn, hits)
                elif isinstance(event, Token):
                    raw += event.text
                    shown = "".join(growing.clean(raw))
                    if shown != sent and shown.startswith(sent):
                        yield [turn.chunk({"content": shown[len(sent) :]})]
                        sent = shown
                else:
                    yield [chunk async for chunk in _ending(serving, event, turn, sent, with_usage)]
    except Exception as error:  # noqa: BLE001  # the status is sent: the client reads the error in the stream
        yield [api_error(error).body]


async def _from(first: Event, events: AsyncGenerator[Event, None]) -> AsyncGenerator[Event, None]:
    async with aclosing(events):
        yield first
        async for event in events:
            yield event


def _source_chunks(turn: Turn, hits: tuple[Hit, ...]) -> list[dict[str, Any]]:
    """Return the hits as events of Open WebUI's. A list of `sources` in a chunk would show each a second time."""
    return [turn.chunk({}, event={"type": "source", "data": each}) for each in turn.citations.sources(hits)]


async def _ending(
    serving: QueryService, event: Done | Failed, turn: Turn, sent: str, with_usage: bool
) -> AsyncIterator[dict[str, Any]]:
    """Yield what ends a stream: the rest of the text, its citations, why it ended, the tokens used."""
    if isinstance(event, Failed) and not event.cut:
        yield _failure(event).body
        return
    if isinstance(event, Done):
        turn.done(turn.model, event.answer)
    text, hits = (event.answer.text, event.answer.hits) if isinstance(event, Done) else (event.text, event.hits)
    if text != sent and text.startswith(sent):
        yield turn.chunk({"content": text[len(sent) :]})
    if isinstance(event, Done) and turn.annotated and (notes := turn.citations.annotations(event.answer)):
        yield turn.chunk({"annotations": notes})
    yield turn.chunk({}, "stop" if isinstance(event, Done) else "length")
    if with_usage:
        usage = await _usage(serving, turn, hits, text)
        yield turn.frame("chat.completion.chunk", choices=[], usage=usage)


def _failure(failed: Failed) -> ApiError:
    return ApiError(UPSTREAM, failed.message, "answer_failed")


async def _usage(serving: QueryService, turn: Turn, hits: tuple[Hit, ...], text: str) -> dict[str, int]:
    """Return the tokens of question and passages, and of the answer."""
    asked = "\n".join([turn.query, *(hit.chunk.shown for hit in hits)])
    prompt, answer = await asyncio.to_thread(serving.count_tokens, [asked, text])
    return {"prompt_tokens": prompt, "completion_tokens": answer, "total_tokens": prompt + answer}
