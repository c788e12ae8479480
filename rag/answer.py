"""The chain of an arm, built once: find | assign(answer). Only `find` differs between the arms."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import BaseMessage
from langchain_core.output_parsers import StrOutputParser
from langchain_core.runnables import Runnable, RunnableLambda, RunnablePassthrough

from rag.llm import Answerer, require_finish
from rag.prompt import build_messages
from rag.records import Hit

Find = Callable[[str], list[Hit]]


@dataclass(frozen=True, slots=True)
class ArmChain:
    """An arm ready for one question: its chain, and the names of the models behind it."""

    chain: Runnable[str, dict[str, Any]]
    model: str
    answerer: str


def build_chain(find: Find, answerer: Answerer) -> Runnable[str, dict[str, Any]]:
    """Return query -> {query, hits, answer}. Streamed, it gives {query, hits} first and then {answer: token} each."""

    def found(query: str) -> dict[str, Any]:
        return {"query": query, "hits": find(query)}

    return RunnableLambda(found) | RunnablePassthrough.assign(answer=answerer | require_finish() | StrOutputParser())


def ask_chat_model(model: BaseChatModel, count_tokens: Callable[[str], int], max_tokens: int) -> Answerer:
    """Return the answerer that shows the hits to a chat model as passages, within `max_tokens`."""

    def messages(given: dict[str, Any]) -> list[BaseMessage]:
        return build_messages(given["query"], given["hits"], secrets.token_hex(4), count_tokens, max_tokens)

    return RunnableLambda(messages) | model  # type: ignore[return-value]  # a chat model streams AIMessageChunk
