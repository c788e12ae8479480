"""LCEL chain of one arm: retrieve | assign(answer).

The arms differ only in `find` and in the cosine below which they abstain: each model has its own scale.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, cast

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessageChunk, BaseMessage
from langchain_core.runnables import Runnable, RunnableBranch, RunnableGenerator, RunnableLambda, RunnablePassthrough

from rag.answering.evidence.attribution import Similar
from rag.answering.evidence.citations import has_words
from rag.answering.evidence.refusals import DONT_KNOW
from rag.answering.llm import Answerer
from rag.answering.prompt import REPEATED, ask_in_words, ask_to_go_on, build_messages, joined
from rag.answering.reply_limits import require_finish
from rag.errors import AnswerFailed
from rag.records import Hit

LETTER = re.compile(r"[^\W\d_]")
Find = Callable[[str], list[Hit]]


@dataclass(frozen=True, slots=True)
class ArmChain:
    """The chain of an arm for one query, and the names of its embedding model and answerer.

    `similar` returns how near in meaning texts are to hits, by the arm's embedding model.
    """

    chain: Runnable[str, dict[str, Any]]
    model: str
    answerer: str
    similar: Similar


def build_chain(
    find: Find, answerer: Answerer, abstain_below: float | None = None, so_far: str = ""
) -> Runnable[str, dict[str, Any]]:
    """Return the chain query -> {query, hits, so_far, answer}. Streamed, {answer: token}s come last.

    `so_far` is what was written of an answer that is to be continued; the tokens are then those after it.

    If all hits have a cosine below `abstain_below`, the answer is DONT_KNOW and the answerer is not called.
    """

    def with_hits(query: str) -> dict[str, Any]:
        return {"query": query, "hits": find(query), "so_far": so_far}

    if abstain_below is not None:
        answerer = with_abstention(answerer, abstain_below)
    return RunnableLambda(with_hits, name="retrieve") | RunnablePassthrough.assign(
        answer=answerer | RunnableGenerator(only_text)
    )


async def only_text(chunks: AsyncIterator[AIMessageChunk]) -> AsyncIterator[str]:
    """Yield the text of each chunk. LangChain's StrOutputParser hands every token to a thread and back."""
    async for chunk in chunks:
        yield chunk.text


async def write_on(so_far: str, chunks: AsyncIterator[AIMessageChunk]) -> AsyncIterator[AIMessageChunk]:
    """Yield the chunks of a continuation without the words that it repeats; they are held back until that is known."""
    begun, held = False, ""
    try:
        async for chunk in chunks:
            held += chunk.text
            if begun:
                yield chunk
            elif len(held.split()) > REPEATED:
                begun = True
                yield AIMessageChunk(content=joined(so_far, held))
    except AnswerFailed:
        if not begun:
            yield AIMessageChunk(content=joined(so_far, held))
        raise
    if not begun:
        yield AIMessageChunk(content=joined(so_far, held))


class Wordless:
    """Holds a reply back until it says something besides citations: `text` is a reply that never did, else ""."""

    def __init__(self) -> None:
        self.text = ""

    async def pass_on(self, chunks: AsyncIterator[AIMessageChunk]) -> AsyncIterator[AIMessageChunk]:
        """Yield the chunks of a reply from its first letter on, with what came before; none of a wordless one."""
        held, begun = "", False
        try:
            async for chunk in chunks:
                held = "" if begun else held + chunk.text
                if begun:
                    yield chunk
                elif LETTER.search(held):
                    begun = True
                    yield AIMessageChunk(content=held, response_metadata=chunk.response_metadata)
        except AnswerFailed:
            if held and not begun:
                yield AIMessageChunk(content=held)  # what was written before is shown
            raise
        if not begun and has_words(held):
            yield AIMessageChunk(content=held)
        elif not begun:
            self.text = held


def with_abstention(answerer: Answerer, below: float) -> Answerer:
    """Return an answerer that replies DONT_KNOW, like any abstention, if the best hit's cosine is below `below`."""

    def is_below(given: dict[str, Any]) -> bool:
        return max((hit.score for hit in given["hits"]), default=below) < below

    def abstain(given: dict[str, Any]) -> AIMessageChunk:
        return AIMessageChunk(content=DONT_KNOW, response_metadata={"finish_reason": "stop"})

    return RunnableBranch((is_below, RunnableLambda(abstain)), answerer)


def ask_chat_model(
    model: BaseChatModel,
    count_tokens: Callable[[str], int],
    context_tokens: int,
    max_tokens: int,
    options: dict[str, Any] | None = None,
    instructions: str = "",
) -> Answerer:
    """Return an answerer that prompts a chat model with the hits as passages of together at most `context_tokens`.

    Its answer has at most `max_tokens`; one that is cut off there, or anywhere else, or repeats itself without end,
    raises AnswerFailed. `options` are temperature and stop texts (rag.answering.llm.sampling_options), `instructions`
    what the prompt asks for besides our rules. A reply of a citation alone is asked for again, in words. The code that
    fences the passages depends on the question and a secret of this process: both arms' prompts begin alike.
    """
    key = secrets.token_bytes(16)

    def messages(given: dict[str, Any]) -> list[BaseMessage]:
        code = blake2b(given["query"].encode("utf-8", "replace"), key=key, digest_size=4).hexdigest()
        asked = build_messages(given["query"], given["hits"], code, count_tokens, context_tokens, instructions)
        return [*asked, *ask_to_go_on(given["so_far"])] if given.get("so_far") else asked

    reply = require_finish(model, max_tokens, options)

    def stream(asked: list[BaseMessage]) -> aclosing[AsyncGenerator[AIMessageChunk, None]]:
        return aclosing(cast(AsyncGenerator[AIMessageChunk, None], reply.astream(asked)))

    async def write(given: dict[str, Any]) -> AsyncIterator[AIMessageChunk]:
        asked, wordless = messages(given), Wordless()
        async with stream(asked) as chunks:
            async for chunk in wordless.pass_on(chunks):
                yield chunk
        if wordless.text.strip():
            async with stream([*asked, *ask_in_words(wordless.text)]) as chunks:
                async for chunk in chunks:
                    yield chunk

    async def join(given: dict[str, Any]) -> AsyncIterator[AIMessageChunk]:
        async with stream(messages(given)) as chunks:
            async for chunk in write_on(given["so_far"], chunks):
                yield chunk

    return RunnableBranch((lambda given: bool(given.get("so_far")), RunnableLambda(join)), RunnableLambda(write))
