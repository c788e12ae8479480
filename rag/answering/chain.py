"""The chain of an arm, built once: find | assign(answer).

Only `find` differs between the arms, and below which cosine of its hits an arm does not answer: each model has a scale
of its own.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessageChunk, BaseMessage
from langchain_core.output_parsers import StrOutputParser
from langchain_core.runnables import Runnable, RunnableBranch, RunnableLambda, RunnablePassthrough

from rag.answering.llm import Answerer, require_finish
from rag.answering.prompt import DONT_KNOW, build_messages
from rag.records import Hit

Find = Callable[[str], list[Hit]]


@dataclass(frozen=True, slots=True)
class ArmChain:
    """An arm ready for one question: its chain, and the names of the models behind it."""

    chain: Runnable[str, dict[str, Any]]
    model: str
    answerer: str


def build_chain(find: Find, answerer: Answerer, abstain_below: float | None = None) -> Runnable[str, dict[str, Any]]:
    """Return query -> {query, hits, answer}. Streamed, it gives {query, hits} first and then {answer: token} each.

    Where all hits have a cosine below `abstain_below`, the answer is DONT_KNOW and the answerer is not asked.
    """

    def found(query: str) -> dict[str, Any]:
        return {"query": query, "hits": find(query)}

    if abstain_below is not None:
        answerer = with_abstention(answerer, abstain_below)
    return RunnableLambda(found) | RunnablePassthrough.assign(answer=answerer | require_finish() | StrOutputParser())


def with_abstention(answerer: Answerer, below: float) -> Answerer:
    """Return the answerer that says DONT_KNOW, as any abstention reads, where the best hit's cosine is below this."""

    def is_far(given: dict[str, Any]) -> bool:
        return max((hit.score for hit in given["hits"]), default=below) < below

    def abstain(given: dict[str, Any]) -> AIMessageChunk:
        return AIMessageChunk(content=DONT_KNOW, response_metadata={"finish_reason": "stop"})

    return RunnableBranch((is_far, RunnableLambda(abstain)), answerer)


def ask_chat_model(model: BaseChatModel, count_tokens: Callable[[str], int], max_tokens: int) -> Answerer:
    """Return the answerer that shows the hits to a chat model as passages, within `max_tokens`."""

    def messages(given: dict[str, Any]) -> list[BaseMessage]:
        return build_messages(given["query"], given["hits"], secrets.token_hex(4), count_tokens, max_tokens)

    return RunnableLambda(messages) | model  # type: ignore[return-value]  # a chat model streams AIMessageChunk
