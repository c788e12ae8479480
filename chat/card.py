"""The comparison card: what one question's two answers look like in the browser, from the first word to the last vote.

The idea a reader would miss: a card's state *is* what the browser is sent, and it knows sides only. It is told which
arm stands on which side when the first rating is stored, and not before, so until then there is nothing to leak.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Literal, TypedDict

from rag.duel import Done, Event, Failed, Hits, Token
from rag.errors import BadRating
from rag.prompt import CITATION
from rag.records import ARMS, SIDES, Answer, Hit, Label, Side

State = Literal["waiting", "streaming", "done", "failed", "stopped"]
OPEN: tuple[State, ...] = ("waiting", "streaming")
STOPPED = "Stopped: this answer is not complete, so it cannot be rated."
INTERRUPTED = "The chat was restarted before this answer was complete: ask again."
SAME = "Both retrievers found the same passages"
NO_WORD = "\u200b"  # Chainlit draws its blinking cursor where this stands


class Source(TypedDict):
    """A passage under an answer. Its text comes when the answer is complete."""

    rank: int
    title: str
    source: str
    page: int | None
    heading: str
    text: str
    cited: bool


class SideView(TypedDict):
    """One column. `answer` is the id to rate by, empty until the answer is stored."""

    side: Side
    state: State
    text: str
    error: str
    answer: str
    vote: Label
    sources: list[Source]


class SideReveal(TypedDict):
    """What a column says once it is unveiled, after its sources' order: `scores`, `alone` (no other arm found it), and
    `words` (words found it, the arm's model did not).
    """

    arm: str
    model: str
    times: str
    scores: list[str]
    alone: list[bool]
    words: list[bool]


class Reveal(TypedDict):
    """Who wrote what, and what the two found differently."""

    summary: str
    notes: list[str]
    sides: dict[Side, SideReveal]


class Props(TypedDict):
    """What the browser is sent of a card, whole, each time."""

    sides: list[SideView]
    same: str
    trouble: str
    reveal: Reveal | None


class Card:
    """One question's two answers. `take` the duel's events; then `vote`, and `unveil` at the first vote."""

    def __init__(self, props: Props | None = None) -> None:
        self._props = props or _blank()
        self._raw: dict[Side, str] = {}
        self._found: dict[Side, list[str]] = {}

    @property
    def props(self) -> Props:
        """Return what the browser is to be sent now."""
        for side, raw in self._raw.items():
            self._view(side)["text"] = as_markdown(raw, len(self._view(side)["sources"])) + NO_WORD
        return self._props

    @property
    def is_unveiled(self) -> bool:
        """Return whether the browser knows which arm wrote which answer."""
        return self._props["reveal"] is not None

    @property
    def answer_ids(self) -> dict[Side, str]:
        """Return the ids of the answers that are complete and stored."""
        return {view["side"]: view["answer"] for view in self._props["sides"] if view["answer"]}

    def take(self, side: Side, event: Event) -> None:
        """Let an event of the arm on this side change its column."""
        view = self._view(side)
        match event:
            case Hits():
                view["sources"] = sources(event.hits)
            case Token():
                view["state"] = "streaming"
                self._raw[side] = self._raw.get(side, "") + event.text
            case Done():
                self._close(side, "done", event.answer.text, event.answer.hits, event.answer.cited)
                view["answer"] = event.answer.id
            case Failed():
                self._close(side, "failed", event.text, event.hits)
                view["error"] = event.message

    def break_off(self, state: State, message: str) -> None:
        """Close every column that is still open, keeping what it had; the message says why."""
        for view in self._props["sides"]:
            if view["state"] in OPEN:
                raw = self._raw.pop(view["side"], None)  # none where the card was read from the history
                view["text"] = view["text"].rstrip(NO_WORD) if raw is None else as_markdown(raw, len(view["sources"]))
                view["state"], view["error"] = state, message

    def vote(self, answer_id: str, value: Label) -> None:
        """Show a vote, which is stored by now. Raises BadRating for an answer of another card."""
        self._view_of(answer_id)["vote"] = value

    def unveil(self, reveal: Reveal) -> None:
        """Show which arm wrote which answer."""
        self._props["reveal"] = reveal

    def warn(self, trouble: str) -> None:
        """Show a line of trouble that concerns the whole card; empty takes it away."""
        self._props["trouble"] = trouble

    def _view(self, side: Side) -> SideView:
        return self._props["sides"][SIDES.index(side)]

    def _view_of(self, answer_id: str) -> SideView:
        for view in self._props["sides"]:
            if answer_id and view["answer"] == answer_id:
                return view
        raise BadRating(f"answer {answer_id[:40]!r} is not in this chat: reload the page, then rate")

    def _close(self, side: Side, state: State, text: str, hits: tuple[Hit, ...], cited: tuple[int, ...] = ()) -> None:
        self._raw.pop(side, None)
        view = self._view(side)
        view["state"], view["text"] = state, as_markdown(text, len(hits))
        view["sources"] = sources(hits, cited, with_text=True)
        self._found[side] = [hit.chunk.id for hit in hits]
        if len(self._found) == len(SIDES) and any(self._found.values()):
            first, second = self._found.values()
            self._props["same"] = _same(first, second)


def sources(hits: tuple[Hit, ...], cited: tuple[int, ...] = (), *, with_text: bool = False) -> list[Source]:
    """Return the passages of an answer, by rank. No score: it would tell the retrievers apart."""
    return [
        {
            "rank": hit.rank,
            "title": hit.chunk.title or hit.chunk.source,
            "source": hit.chunk.source,
            "page": hit.chunk.page,
            "heading": hit.chunk.heading.removeprefix(hit.chunk.title).removeprefix(" > "),
            "text": hit.chunk.text if with_text else "",
            "cited": hit.rank in cited,
        }
        for hit in hits
    ]


def make_reveal(answers: Mapping[Side, Answer], notes: list[str]) -> Reveal:
    """Return who wrote what, from the stored answers of a card: two, or one where the other side has none."""
    found = {side: {hit.chunk.id for hit in answer.hits} for side, answer in answers.items()}
    sides: dict[Side, SideReveal] = {}
    for side, answer in answers.items():
        elsewhere = set().union(*(ids for other, ids in found.items() if other != side))
        compared = len(answers) == len(SIDES)
        sides[side] = {
            "arm": answer.arm,
            "model": answer.model,
            "times": f"first word after {answer.first_token_s:.1f} s, all after {answer.total_s:.1f} s",
            "scores": [f"{hit.score:.2f}" for hit in answer.hits],
            "alone": [compared and hit.chunk.id not in elsewhere for hit in answer.hits],
            "words": [hit.origin == "explore" for hit in answer.hits],
        }
    for side in SIDES:
        if side not in sides:
            (arm,) = [arm for arm in ARMS if all(arm != answer.arm for answer in answers.values())]
            sides[side] = {"arm": arm, "model": "", "times": "", "scores": [], "alone": [], "words": []}
    return {"summary": _difference(answers), "notes": notes, "sides": sides}


def _difference(answers: Mapping[Side, Answer]) -> str:
    """Return in one sentence what the two arms found differently."""
    if len(answers) < len(SIDES):
        return ""
    first, second = sorted(answers.values(), key=lambda answer: ARMS.index(answer.arm))
    ids, others = [hit.chunk.id for hit in first.hits], [hit.chunk.id for hit in second.hits]
    if set(ids) == set(others):
        return f"{_same(ids, others)}." if ids else "Neither retriever found a passage."
    shared = len(set(ids) & set(others))
    return (
        f"{shared} {'passage' if shared == 1 else 'passages'} found by both, "
        f"{len(ids) - shared} by {first.arm} alone, {len(others) - shared} by {second.arm} alone."
    )


def _same(ids: list[str], others: list[str]) -> str:
    if ids == others:
        return SAME
    return f"{SAME}, in another order" if set(ids) == set(others) else ""


TOKENS = re.compile(
    r"(?P<code>(?P<fence>```|~~~).*?(?:(?P=fence)|\Z)|(?P<tick>`+)(?!`)(?:(?!\n\n).)+?(?<!`)(?P=tick)(?!`))"
    r"|(?P<url>https?://[^\s)>\]]+)"
    rf"|(?P<cite>{CITATION.pattern})"
    r"|(?P<colon>:)(?=[A-Za-z:])",
    re.DOTALL,
)


def as_markdown(text: str, n_hits: int) -> str:
    """Return an answer as Markdown for Chainlit: citations as links, and no text lost.

    Chainlit reads ":word" as a directive and drops it, so such a colon is escaped outside code and addresses. A
    citation of a passage that exists becomes a link to `#passage-<rank>`, which Compare.jsx opens.
    """

    def replace(token: re.Match[str]) -> str:
        if token["colon"]:
            return r"\:"
        if token["cite"]:
            return re.sub(r"\d+", lambda number: _link(number[0], n_hits), token["cite"][1:-1])
        return token[0]

    return TOKENS.sub(replace, text.replace(NO_WORD, ""))


def _link(number: str, n_hits: int) -> str:
    return f"[{number}](#passage-{int(number)})" if 1 <= int(number) <= n_hits else rf"\[{number}\]"


def _blank() -> Props:
    sides: list[SideView] = [
        {"side": side, "state": "waiting", "text": "", "error": "", "answer": "", "vote": 0, "sources": []}
        for side in SIDES
    ]
    return {"sides": sides, "same": "", "trouble": "", "reveal": None}
