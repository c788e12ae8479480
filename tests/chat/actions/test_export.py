"""A chat is saved as Markdown by the one who had it, and by nobody else."""

from __future__ import annotations

from pathlib import Path
from typing import cast
from uuid import uuid4

import pytest
from chainlit.types import ThreadDict
from chainlit.user import User
from fastapi import HTTPException

from chat.actions.export import as_document, export
from chat.session.thread_store import ThreadStore
from rag.history import SQLiteFile

REVEAL = {"summary": "", "notes": [], "sides": {"A": {"model": "v2"}, "B": {"model": "base"}}}


def side(letter: str, text: str, **more: object) -> dict[str, object]:
    source = {
        "rank": 1,
        "source": "bees.md",
        "heading": "Winter",
        "page": "",
        "text": "Line 1\n\nLine 2",
        "cited": True,
    }
    return {"side": letter, "text": text, "error": "", "vote": 0, "sources": [source], **more}


def card(**more: object) -> dict[str, object]:
    sides = [side("A", "In spring [1](#passage-1)."), side("B", "", error="Stopped.", sources=[])]
    return {"query": "When do they swarm?", "asked": "", "sides": sides, "preference": "", "reveal": None, **more}


def thread(*cards: dict[str, object]) -> ThreadDict:
    steps = [{"id": f"m{n}", "createdAt": f"2026-01-01T00:0{n}:00Z"} for n in range(len(cards))]
    elements = [{"name": "Compare", "forId": f"m{n}", "props": props} for n, props in enumerate(cards)]
    return cast(ThreadDict, {"name": "Bees", "steps": steps, "elements": [*reversed(elements), {"name": "Teach"}]})


def test_questions_come_in_their_order_each_with_both_answers_and_what_they_rest_on() -> None:
    text = as_document(thread(card(), card(query="And then?", asked="What then?")))
    assert text.startswith("# Bees\n\n## When do they swarm?\n\n### Answer A\n\nIn spring [1].\n\n")
    assert "1. bees.md > Winter (cited)\n\n   > Line 1\n   >\n   > Line 2" in text
    assert "### Answer B\n\n(Stopped.)" in text
    assert text.index("## And then?\n\nAsked as: What then?") > text.index("### Answer B")


def test_which_model_wrote_which_is_in_it_only_once_the_chat_shows_it() -> None:
    rated = card(preference="A", reveal=REVEAL, sides=[side("A", "Yes.", vote=1), side("B", "No.", vote=-1)])
    assert "v2" not in as_document(thread(card()))
    text = as_document(thread(rated))
    assert "A is better.\n\n### Answer A, v2, rated good\n\nYes." in text
    assert "### Answer B, base, rated bad" in text
    changed = as_document(thread(card(preference="A", counted="B", reveal=REVEAL)))
    assert "A is better.\n\nBefore the models were shown, and so in the scores: B is better." in changed


async def test_only_the_one_who_had_a_chat_can_save_it(tmp_path: Path) -> None:
    history = ThreadStore(SQLiteFile(tmp_path / "chat.db"))
    ann = await history.create_user(User(identifier="ann"))
    assert ann
    thread_id = str(uuid4())
    await history.update_thread(thread_id, name="Grüße: bees / wasps?", user_id=ann.id)
    saved = await export(history, thread_id, "ann")
    for wrong in [(thread_id, "bob"), (thread_id, ""), (str(uuid4()), "ann"), ("../chat.db", "ann")]:
        with pytest.raises(HTTPException, match="no such chat"):
            await export(history, *wrong)
    await history.close()
    assert saved.headers["content-disposition"] == "attachment; filename*=UTF-8''Gr%C3%BC%C3%9Fe-bees-wasps.md"
    assert saved.body == "# Grüße: bees / wasps?\n".encode()
