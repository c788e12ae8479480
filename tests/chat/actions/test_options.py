"""A person's own settings: only what the server offers, never a key, and said on the card where they differ."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from chat.actions.options import choose, summary
from chat.session.context import RequestContext, SessionState
from rag.answering.options import NUMBERS, AskOptions, chosen_search, offer_options
from rag.retrieval.search import SearchOptions

OFFER = offer_options(SearchOptions(k=5), "openai:small", ("openai:large", "extractive"))


@pytest.fixture
def context() -> RequestContext:
    serving = SimpleNamespace(offer=OFFER, search_options=SearchOptions(k=5))
    return RequestContext(cast(Any, SimpleNamespace(serving=serving)), SessionState(), "ann")


def test_the_servers_settings_are_among_what_is_offered() -> None:
    odd = offer_options(SearchOptions(k=7, search="hybrid"), "extractive", ("extractive",))
    assert (odd.k, odd.llm) == (tuple(sorted((*NUMBERS, 7))), ("extractive",))
    assert odd.default == AskOptions(7, "hybrid", "extractive")


def test_what_is_chosen_is_taken_over_and_said(context: RequestContext) -> None:
    choose(context, {"k": 8, "search": "hybrid", "llm": "openai:large"})
    assert context.session.options == AskOptions(8, "hybrid", "openai:large")
    said = summary(context.app.serving, context.session.options)
    assert "Your settings: passages per answer: 8, by meaning and by keywords" in said
    assert "Answers by: openai:large." in said


def test_the_servers_own_settings_are_no_choice(context: RequestContext) -> None:
    choose(context, {"k": 5, "search": "dense", "llm": "openai:small"})
    assert context.session.options == AskOptions()
    assert summary(context.app.serving, context.session.options) == ""


@pytest.mark.parametrize(
    "sent",
    [None, 7, {"k": True}, {"k": 4_000}, {"search": "web"}, {"llm": "openai:expensive"}, {"llm": "gguf:/etc/passwd"}],
)
def test_what_is_not_offered_is_as_the_server_is_set(context: RequestContext, sent: object) -> None:
    choose(context, sent)
    assert context.session.options == AskOptions()


def test_one_passage_less_leaves_no_place_for_a_keyword_match() -> None:
    served = SearchOptions(k=20, explore=5, mmr=0.5)
    assert chosen_search(served, AskOptions(3)) == SearchOptions(k=3, explore=2, mmr=0.5)
    assert chosen_search(served, AskOptions()) == served
