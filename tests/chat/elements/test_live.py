"""A card on screen: whole snapshots to every tab, and never the last one lost."""

from __future__ import annotations

import asyncio
import copy
import itertools
import json
from typing import Any

import pytest
from chainlit.element import ElementDict
from hypothesis import given
from hypothesis import strategies as st

from chat.elements.live import TEXT_EVENT, WHOLE_CHARS, LiveCard, addition
from chat.session.context import SessionState
from fakes import make_answer, make_hits
from rag.answering.duel import Done, Hits, Token
from rag.errors import BadRating, StoreFailed


class Tab:
    """A browser tab: remembers what it was sent, and adds to its texts as public/elements/card/growing.jsx does."""

    def __init__(self) -> None:
        self.got: list[ElementDict] = []
        self.sizes: list[int] = []
        self.news = asyncio.Event()

    async def send_element(self, element_dict: ElementDict) -> None:
        self.got.append(copy.deepcopy(element_dict))
        self.sizes.append(len(json.dumps(element_dict)))
        self.news.set()

    async def emit(self, event: str, data: Any) -> None:
        assert event == TEXT_EVENT
        assert data["id"] == self.got[-1]["id"]
        element = copy.deepcopy(self.got[-1])
        for side, change in zip((element["props"] or {})["sides"], data["texts"], strict=True):
            units = side["text"].encode("utf-16-le")
            assert len(units) == 2 * change["had"]
            side["text"] = units[: 2 * change["keep"]].decode("utf-16-le") + change["add"]
        self.got.append(element)
        self.sizes.append(len(json.dumps(data)))
        self.news.set()

    def text(self) -> str:
        props = self.got[-1]["props"]
        assert props
        return str(props["sides"][0]["text"])


class Disk:
    """Keeps what is saved, or is full."""

    def __init__(self, full: bool = False) -> None:
        self.saved: list[ElementDict] = []
        self.full = full

    async def save(self, element: ElementDict) -> None:
        if self.full:
            raise StoreFailed("the disk is full")
        self.saved.append(copy.deepcopy(element))


async def test_every_tab_that_watches_is_sent_the_whole_card() -> None:
    live, tabs = LiveCard(Disk().save, "t1", "m1"), [Tab(), Tab()]
    for name, tab in zip("ab", tabs, strict=True):
        live.watch(name, tab)
    live.card.take("A", Token("base", "Hello"))
    await live.show()
    for tab in tabs:
        (element,) = tab.got
        assert (element["id"], element["forId"], element["threadId"], element["name"]) == (
            live.id,
            "m1",
            "t1",
            "Compare",
        )
        assert tab.text().startswith("Hello")


async def test_many_tokens_become_few_snapshots_and_the_last_one_is_whole() -> None:
    live, tab = LiveCard(Disk().save, "t1", "m1"), Tab()
    live.watch("a", tab)
    async with asyncio.timeout(10), live.snapshots():
        for number in range(200):
            live.card.take("A", Token("base", f"{number} "))
            live.touch()
            await asyncio.sleep(0)
        while not tab.got or "199" not in tab.text():
            tab.news.clear()
            await tab.news.wait()
    assert len(tab.got) <= 3


async def test_a_snapshot_that_took_long_to_compute_is_followed_by_a_longer_pause(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = itertools.count(0.0, 60.0)  # each look at it is a minute of processor time later
    monkeypatch.setattr("chat.elements.live.time.thread_time", lambda: next(clock))
    live, tab = LiveCard(Disk().save, "t1", "m1"), Tab()
    live.watch("a", tab)
    async with live.snapshots():
        for number in range(10):  # of a fast computer two or more snapshots
            live.card.take("A", Token("base", f"{number} "))
            live.touch()
            await asyncio.sleep(0.05)
    assert len(tab.got) == 1


async def test_a_long_answer_is_sent_once_and_not_again_with_every_word() -> None:
    live, tab = LiveCard(Disk().save, "t1", "m1"), Tab()
    live.watch("a", tab)
    live.card.take("A", Hits("base", make_hits("one", "two")))
    live.card.take("B", Hits("tuned", make_hits("one", "two")))
    written = 0
    for number in range(400):
        word = f"wörd {number} 🐝 [{number % 3}], " if number % 7 else "key:value `a`\n\n"
        written += len(json.dumps(word))
        live.card.take("AB"[number % 2], Token("base", word))  # type: ignore[arg-type]
        await live.show_change()
        assert tab.got[-1] == live.element()
    assert sum(tab.sizes) < 3 * written + 400 * 200 + 30 * 2 * WHOLE_CHARS
    assert max(tab.sizes[200:]) < WHOLE_CHARS


@given(st.text(max_size=40), st.text(max_size=40), st.text(max_size=40))
def test_any_text_becomes_any_other_by_what_is_sent_of_it(same: str, before: str, now: str) -> None:
    change = addition(same + before, same + now)
    units = (same + before).encode("utf-16-le", "surrogatepass")
    assert len(units) == 2 * change["had"]
    kept = units[: 2 * change["keep"]].decode("utf-16-le", "surrogatepass")
    assert kept + change["add"] == same + now
    assert len(change["add"]) <= len(now)


async def test_a_tab_that_came_later_or_was_away_is_sent_the_whole_card_first() -> None:
    live, tab, late = LiveCard(Disk().save, "t1", "m1"), Tab(), Tab()
    live.watch("a", tab)
    live.card.take("A", Token("base", "word " * WHOLE_CHARS))
    await live.show_change()
    live.watch("b", late)
    for again in range(2):
        live.card.take("A", Token("base", "more"))
        await live.show_change()
        assert len(tab.got) == len(late.got) + 1 == again + 2
        assert tab.got[-1] == late.got[-1] == live.element()
    live.watch("a", tab)  # it has connected again
    tab.got.clear()
    await live.show_change()
    assert tab.got == [live.element()]


async def test_what_else_changes_in_a_card_while_an_answer_grows_is_sent_with_all_of_it() -> None:
    live, tab = LiveCard(Disk().save, "t1", "m1"), Tab()
    live.watch("a", tab)
    live.card.take("A", Token("base", "word " * WHOLE_CHARS))
    await live.show_change()
    live.card.take("B", Done("tuned", make_answer(make_hits("one"), id="answer-1")))
    await live.show_change()
    assert tab.got[-1] == live.element()
    assert tab.got[-1]["props"]["sides"][1]["answer"] == "answer-1"  # type: ignore[index]


async def test_nothing_is_sent_after_the_snapshots_have_ended() -> None:
    live, tab = LiveCard(Disk().save, "t1", "m1"), Tab()
    live.watch("a", tab)
    async with live.snapshots():
        pass
    live.touch()
    await asyncio.sleep(0)
    assert tab.got == []
    assert len(asyncio.all_tasks()) == 1


async def test_a_card_that_cannot_be_kept_says_so_and_stops_saying_so_once_it_is() -> None:
    disk = Disk(full=True)
    live = LiveCard(disk.save, "t1", "m1")
    await live.keep()
    assert "the disk is full" in live.card.props["trouble"]
    disk.full = False
    await live.keep()
    assert live.card.props["trouble"] == ""
    assert len(disk.saved) == 1


def test_a_room_finds_the_card_of_an_answer_and_refuses_one_that_is_not_there() -> None:
    session, live = SessionState(), LiveCard(Disk().save, "t1", "m1")
    session.elements.append(live)
    with pytest.raises(BadRating, match="reload"):
        session.card_with("answer-1")
    live.card.take("B", Done("base", make_answer(make_hits("one"), id="answer-1")))
    assert session.card_with("answer-1") is live
    with pytest.raises(BadRating):
        session.card_with("")


async def test_a_room_is_busy_while_its_duel_runs() -> None:
    session, gate = SessionState(), asyncio.Event()
    assert not session.is_busy
    session.task = asyncio.create_task(gate.wait())
    assert session.is_busy
    gate.set()
    await session.task
    assert not session.is_busy
