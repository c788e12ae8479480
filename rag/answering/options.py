"""A person's own answer settings: number of passages, search mode, language model.

Both arms of a duel always get the same: a rating then still compares the models, and nothing else.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import get_args

from rag.retrieval.search import SearchOptions
from rag.settings import Search

NUMBERS = (3, 5, 8, 12, 20)  # of passages, to choose from; more fill the prompt of a small LLM


@dataclass(frozen=True, slots=True)
class AskOptions:
    """A person's choice; None and "" are the server's settings."""

    k: int | None = None
    search: Search | None = None
    llm: str = ""


@dataclass(frozen=True, slots=True)
class Offer:
    """What can be chosen, and the server's settings, which are among it."""

    k: tuple[int, ...]
    search: tuple[Search, ...]
    llm: tuple[str, ...]
    default: AskOptions


def offer_options(served: SearchOptions, answerer: str, others: Sequence[str]) -> Offer:
    """Return what people may choose where the server searches by `served` and answers by `answerer`."""
    numbers = sorted({*NUMBERS, served.k})
    return Offer(
        tuple(numbers),
        get_args(Search),
        tuple(dict.fromkeys((answerer, *others))),
        AskOptions(served.k, served.search, answerer),
    )


def chosen_search(served: SearchOptions, chosen: AskOptions) -> SearchOptions:
    """Return the server's search options with a person's choice; the places for keyword matches stay below k."""
    k = chosen.k or served.k
    return replace(served, k=k, search=chosen.search or served.search, explore=min(served.explore, k - 1))
