"""Take over what a person has chosen for their own questions: how many passages, how they are found, what writes.

The page keeps the choice in the browser and posts it whenever it changes or the server makes its offer, as it does for
the documents to search (chat/actions/scope.py). It never has a key or an address in it.
"""

from __future__ import annotations

from dataclasses import asdict

import chainlit as cl

from chat.actions.payloads import Options
from chat.language import Phrase, joined, recognised
from chat.session.context import RequestContext
from rag.answering.options import AskOptions, chosen_search
from rag.answering.service import QueryService
from rag.errors import BadQuery
from rag.settings import EXTRACTIVE

OFFERS = "offers_options"  # window message to public/options.js


async def offer(context: RequestContext) -> None:
    """Tell the page what can be chosen, and ask it for what is."""
    await cl.context.emitter.send_window_message({OFFERS: asdict(context.app.serving.offer)})


def choose(context: RequestContext, sent: object) -> None:
    """Take over what the page says is chosen; what is not offered is as the server is set."""
    try:
        wanted = Options.read(sent)
    except BadQuery:
        wanted = Options()
    context.session.options = _offered(context.app.serving, wanted)


def summary(serving: QueryService, chosen: AskOptions) -> str:
    """Return what a card says of a choice: "" where it is the server's own settings."""
    if chosen == AskOptions():
        return ""
    how = recognised(chosen_search(serving.search_options, chosen).summary())
    writer = Phrase("options.quotes") if chosen.llm == EXTRACTIVE else chosen.llm
    return joined(
        Phrase("options.asked_with", how=how), Phrase("options.written_by", writer=writer) if chosen.llm else ""
    )


def _offered(serving: QueryService, wanted: Options) -> AskOptions:
    """Return the part of a choice that is offered and differs from the server's settings."""
    offered, own = serving.offer, serving.offer.default
    return AskOptions(
        wanted.k if wanted.k in offered.k and wanted.k != own.k else None,
        wanted.search if wanted.search != own.search else None,
        wanted.llm if wanted.llm in offered.llm and wanted.llm != own.llm else "",
    )
