"""Serve a chat as a Markdown file at /chats/ID.md, to the one who had it: questions, both answers, their passages.

Which model wrote which answer is in it only where the chat itself shows that.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, cast
from urllib.parse import quote

from chainlit.auth import get_current_user
from chainlit.types import ThreadDict
from fastapi import Depends, Header, HTTPException
from fastapi.responses import Response
from fastapi.routing import APIRoute

from chat.elements.live import CARD
from chat.elements.markdown import NO_WORD
from chat.language import ENGLISH, Phrase, in_language, language_for
from chat.session.thread_store import ThreadStore

PASSAGE_LINK = re.compile(r"\[(\d+)\]\(#passage-\d+\)")
FILE_NAME = re.compile(r"[^\w-]+")
LONGEST_NAME = 60  # of the file, before its ending
CHOICES = {
    "A": Phrase("export.a_better"),
    "B": Phrase("export.b_better"),
    "tie": Phrase("export.tie"),
    "both bad": Phrase("export.both_bad"),
}
VOTES = {1: Phrase("export.good"), -1: Phrase("export.bad")}


def as_document(thread: ThreadDict, language: str = ENGLISH) -> str:
    """Return a thread as Markdown: a heading for each question, each answer with its passages, cited ones marked."""
    order = {step["id"]: step.get("createdAt") or "" for step in thread["steps"]}
    elements = sorted(thread["elements"] or [], key=lambda each: order.get(each.get("forId") or "", ""))
    cards = [cast(Mapping[str, Any], each["props"]) for each in elements if each["name"] == CARD]
    heads = [["# ", thread["name"] or Phrase("export.chat")]]
    blocks = [*heads, *(block for card in cards for block in _card(card))]
    return "\n\n".join("".join(in_language(block, language)) for block in blocks) + "\n"


def _card(props: Mapping[str, Any]) -> Iterator[list[str]]:
    """Yield the blocks of one question, each as the parts of its text."""
    yield ["## ", props["query"]]
    if props.get("asked"):
        yield [Phrase("export.asked", question=props["asked"])]
    models = {side: view["model"] for side, view in ((props.get("reveal") or {}).get("sides") or {}).items()}
    if preferred := CHOICES.get(props.get("preference", "")):
        yield [preferred]
    if before := CHOICES.get(props.get("counted", "")):
        yield [Phrase("export.counted", choice=before)]
    for view in props["sides"]:
        notes = [models.get(view["side"], ""), VOTES.get(view["vote"], "")]
        title = Phrase("export.answer", side=view["side"])
        yield ["### ", title, *(part for note in notes if note for part in (", ", note))]
        if view["text"]:
            yield [PASSAGE_LINK.sub(r"[\1]", view["text"].replace(NO_WORD, "")).strip()]
        if view["error"]:
            yield ["(", view["error"], ")"]
        if view["sources"]:
            first, *others = map(_passage, view["sources"])
            yield [*first, *(part for passage in others for part in ("\n", *passage))]


def _passage(source: Mapping[str, Any]) -> list[str]:
    """Return a passage as a list item: number, document, heading, page, whether it is cited, and its text."""
    where = " > ".join(filter(None, [source["source"], source["heading"]]))
    page = [", ", Phrase("export.page", page=source["page"])] if source["page"] else []
    cited = [" (", Phrase("export.cited"), ")"] if source["cited"] else []
    quoted = "".join(f"\n   > {line}".rstrip() for line in source["text"].splitlines())
    return [f"{source['rank']}. {where}", *page, *cited, "\n", quoted]


async def export(history: ThreadStore, thread_id: str, name: str, language: str = ENGLISH) -> Response:
    """Return a chat of the user of this name as a file; raise 404 for one of somebody else, as for one not there."""
    author = await history.get_thread_author(thread_id)
    thread = await history.get_thread(thread_id) if author and author == name else None
    if thread is None:
        raise HTTPException(404, "no such chat: it may have been deleted, or be somebody else's")
    file = FILE_NAME.sub("-", thread["name"] or "").strip("-")[:LONGEST_NAME] or "chat"
    headers = {"content-disposition": f"attachment; filename*=UTF-8''{quote(file)}.md"}
    return Response(as_document(thread, language), media_type="text/markdown; charset=utf-8", headers=headers)


def export_route(history: ThreadStore) -> APIRoute:
    """Return the route of the file."""

    async def serve(
        thread_id: str,
        user: Any = Depends(get_current_user),  # noqa: ANN401, B008
        accept_language: Annotated[str, Header()] = "",
    ) -> Response:
        return await export(history, thread_id, user.identifier if user else "", language_for(accept_language))

    return APIRoute("/chats/{thread_id}.md", serve, response_model=None)
