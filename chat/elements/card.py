"""The comparison card: state of one question's two answers, from the first token to the last vote.

Why: the card's state is exactly the props sent to the browser, and it has sides only. It gets the arms of the sides
with the first stored rating, so before that there is nothing to leak.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Literal, TypedDict

from chat.elements.markdown import NO_WORD, as_markdown
from chat.elements.marks import Form, fence_of, form_of
from chat.elements.reveal import Reveal, same
from chat.language import Phrase, recognised
from rag.answering.duel import CutAnswer, Done, Event, Failed, Hits, Token
from rag.answering.evidence.growing import GrowingAnswer
from rag.errors import BadRating
from rag.evaluation.same_answers import Sameness, sameness
from rag.heading_path import plain_headings
from rag.records import SIDES, Answer, Choice, Evidence, Hit, Label, Reason, Side

State = Literal["waiting", "streaming", "done", "failed", "stopped"]
OPEN: tuple[State, ...] = ("waiting", "streaming")
ONE_MODEL = Phrase("card.one_model")
UNEVEN = Phrase("card.uneven")
STOPPED = Phrase("card.stopped")
INTERRUPTED = Phrase("card.interrupted")
ALIKE: dict[Sameness, tuple[str, str]] = {  # if the card says already that it does not count in the scores, and if not
    "same": (Phrase("card.alike_same"), Phrase("card.alike_same_uncounted")),
    "near": (Phrase("card.alike_near"), Phrase("card.alike_near_uncounted")),
    "abstained": (Phrase("card.alike_abstained"), Phrase("card.alike_abstained_uncounted")),
}
SideChoice = Literal["", "A", "B", "tie", "both bad"]


class Source(TypedDict):
    """A passage under an answer. Its text is sent when the answer is complete.

    `attributed`: a sentence without a citation was drawn from it; `unsupported`: it does not say what it is cited for.
    """

    rank: int
    title: str
    source: str
    page: str  # or pages, such as 3–4
    heading: str
    text: str
    form: Form
    fence: str  # that its text lacks at its begin
    cited: bool
    attributed: bool
    unsupported: bool
    mark: Label


class SideView(TypedDict):
    """One column. `answer` is the id to rate by, empty until the answer is stored; `cut` the key to continue it by."""

    side: Side
    state: State
    text: str
    error: str
    answer: str
    cut: str
    vote: Label
    reason: Reason
    comment: str
    sources: list[Source]


class Props(TypedDict):
    """Props of Compare.jsx, sent as a whole each time.

    `query` is what both arms searched for; `asked` what was typed, if that was rewritten; `hint` a line about it.
    `counted` is the preference of before the reveal, which the scores count, if it was changed since; else "".
    `same` says that both showed the same passages, `alike` that both answers say the same: then none can be preferred.
    `uneven` says that one arm searched more documents, so that no rating counts as blind.
    """

    query: str
    asked: str
    hint: str
    sides: list[SideView]
    preference: SideChoice
    counted: SideChoice
    same: str
    alike: str
    uneven: str
    trouble: str
    reveal: Reveal | None


class Growing:
    """An answer that is being written, as Markdown: what is settled of it is converted once."""

    def __init__(self, hits: tuple[Hit, ...]) -> None:
        self._hits, self._answer = hits, GrowingAnswer(hits)
        self._settled = self._markdown = ""

    def shown(self, raw: str) -> str:
        """Return as Markdown what has been written so far, which begins with that of the last call."""
        settled, rest = self._answer.clean(raw)
        if len(settled) > len(self._settled):
            self._markdown += as_markdown(settled[len(self._settled) :], len(self._hits))
            self._settled = settled
        return self._markdown + as_markdown(rest, len(self._hits))


class Card:
    """One question's two answers: `take` the duel's events, then `vote`, and `show_reveal` at the first vote."""

    def __init__(self, props: Props | None = None) -> None:
        self._props = _completed(props) if props else _blank()
        self._raw: dict[Side, str] = {}
        self._shown: dict[Side, tuple[str, str]] = {}  # what was written when the props were last read, as Markdown
        self._growing: dict[Side, Growing] = {}
        self._hits: dict[Side, tuple[Hit, ...]] = {}
        self._found: dict[Side, list[str]] = {}
        self._answers: dict[Side, Answer] = {}
        self._one_model = False
        self._cut: dict[str, CutAnswer] = {}  # by the key in the props; gone with a restart

    @property
    def props(self) -> Props:
        """Return the current props for the browser."""
        for side, raw in self._raw.items():
            shown = self._shown.get(side)
            if shown is None or shown[0] is not raw:
                shown = self._shown[side] = raw, self._unfinished(side, raw) + NO_WORD
            self._view(side)["text"] = shown[1]
        return self._props

    @property
    def is_revealed(self) -> bool:
        """Return whether the browser has been sent which arm wrote which answer."""
        return self._props["reveal"] is not None

    @property
    def is_open(self) -> bool:
        """Return whether a column waits for its answer or is being written."""
        return any(view["state"] in OPEN for view in self._props["sides"])

    @property
    def answer_ids(self) -> dict[Side, str]:
        """Return the ids of the answers that are complete and stored."""
        return {view["side"]: view["answer"] for view in self._props["sides"] if view["answer"]}

    def take(self, side: Side, event: Event) -> None:
        """Apply an event of the arm on this side to its column."""
        view = self._view(side)
        match event:
            case Hits():
                view["sources"] = sources(event.hits)
                self._hits[side] = event.hits
            case Token():
                view["state"] = "streaming"
                self._raw[side] = self._raw.get(side, "") + event.text
            case Done():
                self._close(side, "done", event.answer.text, event.answer.hits, event.answer)
                view["answer"] = event.answer.id
                self.compare({**self._answers, side: event.answer})
            case Failed():
                self._close(side, "failed", event.text, event.hits)
                view["error"] = recognised(event.message)
                if event.cut:
                    view["cut"] = secrets.token_hex(8)
                    self._cut[view["cut"]] = event.cut

    def break_off(self, state: State, message: str) -> None:
        """Close every open column, keeping its text; the message says why."""
        for view in self._props["sides"]:
            if view["state"] in OPEN:
                raw = self._raw.pop(view["side"], None)  # None if the card was read from the history
                view["text"] = view["text"].rstrip(NO_WORD) if raw is None else self._unfinished(view["side"], raw)
                view["state"], view["error"] = state, message
                self._growing.pop(view["side"], None)

    def is_cut(self, key: str) -> bool:
        """Return whether an answer of this card can be continued by this key."""
        return key in self._cut

    def go_on(self, key: str) -> CutAnswer:
        """Open the column of an answer that was cut, to be continued; return it. `is_cut` knows the key."""
        cut = self._cut.pop(key)
        self._view(cut.side).update({"state": "streaming", "error": "", "cut": ""})
        self._raw[cut.side] = cut.text
        return cut

    def searched_for(self, query: str, asked: str = "", hint: str = "") -> None:
        """Show what both arms search for, what was typed if that differs, and a hint."""
        self._props.update({"query": query, "asked": asked, "hint": hint})

    def compare(self, answers: Mapping[Side, Answer]) -> None:
        """Announce that both answers say the same, once both are complete."""
        self._answers = dict(answers)
        for answer in answers.values():  # an answer that came later may show a passage that is marked already
            for source in self._view(answer.side)["sources"]:
                if source["mark"]:
                    self.mark(answer.id, source["rank"], source["mark"])
        if len(answers) == len(SIDES) and (kind := sameness(*answers.values())):
            known, news = ALIKE[kind]
            self._props["alike"] = known if self._props["same"] else news

    def has_one_model(self) -> None:
        """Show, if both sides find the same passages, that they do because they use the same model."""
        self._one_model = True

    def is_uneven(self) -> None:
        """Show that one arm searches more documents than the other, so that nothing rated here counts in the scores."""
        self._props["uneven"] = UNEVEN

    @property
    def is_blind(self) -> bool:
        """Return whether a rating given now counts as blind."""
        return not self.is_revealed and not self._props["uneven"]

    def vote(self, answer_id: str, value: Label, reason: Reason = "", comment: str = "") -> None:
        """Show a stored vote. Raises BadRating for an answer of another card."""
        self._view_of(answer_id).update({"vote": value, "reason": reason, "comment": comment})

    def why(self, answer_id: str) -> tuple[Reason, str]:
        """Return reason and comment of the current vote, empty unless it is a thumb down. Raises BadRating as vote."""
        view = self._view_of(answer_id)
        return (view["reason"], view["comment"]) if view["vote"] == -1 else ("", "")

    def prefer(self, choice: SideChoice, counted: SideChoice = "") -> None:
        """Show a stored preference, and the one of before the reveal where the scores count that one."""
        self._props["preference"] = choice
        self._props["counted"] = "" if counted == choice else counted

    def mark(self, answer_id: str, rank: int, value: Label) -> None:
        """Show a stored mark on a passage, in both columns if both have it. Raises BadRating as vote."""
        self._view_of(answer_id)
        for twin_id, twin_rank in self.places_of(answer_id, rank):
            for source in self._view_of(twin_id)["sources"]:
                if source["rank"] == twin_rank:
                    source["mark"] = value

    def places_of(self, answer_id: str, rank: int) -> list[tuple[str, int]]:
        """Return where the card shows the passage at this rank, as (answer id, rank), the given place first."""
        shown = [(answer.id, hit) for answer in self._answers.values() for hit in answer.hits]
        same = {hit.chunk.id for id_, hit in shown if (id_, hit.rank) == (answer_id, rank)}
        twins = [(id_, hit.rank) for id_, hit in shown if hit.chunk.id in same]
        return [(answer_id, rank), *(place for place in twins if place != (answer_id, rank))]

    def show_reveal(self, reveal: Reveal) -> None:
        """Show which arm wrote which answer."""
        self._props["reveal"] = reveal

    def side_of(self, choice: Choice) -> SideChoice:
        """Return a stored preference as this card shows it: the arm's side, once the card is revealed."""
        if choice != "base" and choice != "tuned":
            return choice
        reveal = self._props["reveal"]
        sides = [side for side, view in reveal["sides"].items() if view["arm"] == choice] if reveal else []
        return sides[0] if sides else ""

    def warn(self, trouble: str) -> None:
        """Show an error line for the whole card; an empty one removes it."""
        self._props["trouble"] = trouble

    def _view(self, side: Side) -> SideView:
        return self._props["sides"][SIDES.index(side)]

    def _unfinished(self, side: Side, raw: str) -> str:
        """Return what an arm has written so far as Markdown."""
        if side not in self._growing:
            self._growing[side] = Growing(self._hits.get(side, ()))
        return self._growing[side].shown(raw)

    def _view_of(self, answer_id: str) -> SideView:
        for view in self._props["sides"]:
            if answer_id and view["answer"] == answer_id:
                return view
        raise BadRating(Phrase("error.not_in_chat", answer=repr(answer_id[:40])))

    def _close(self, side: Side, state: State, text: str, hits: tuple[Hit, ...], answer: Answer | None = None) -> None:
        self._raw.pop(side, None)
        self._shown.pop(side, None)
        self._growing.pop(side, None)
        view = self._view(side)
        evidence = answer.evidence or () if answer else ()
        view["state"], view["text"] = state, as_markdown(text, len(hits), evidence)
        view["sources"] = sources(hits, answer.cited if answer else (), evidence, with_text=True)
        self._found[side] = [hit.chunk.id for hit in hits]
        if len(self._found) == len(SIDES) and any(self._found.values()):
            alike = same(*self._found.values())
            self._props["same"] = ONE_MODEL if alike and self._one_model else alike


def sources(
    hits: tuple[Hit, ...],
    cited: tuple[int, ...] = (),
    evidence: tuple[Evidence, ...] = (),
    *,
    with_text: bool = False,
) -> list[Source]:
    """Return the passages of an answer, by rank. No score: it would give the retrievers away."""
    found = {(each.kind, each.rank) for each in evidence}
    return [
        {
            "rank": hit.rank,
            "title": hit.chunk.name,
            "source": hit.chunk.source,
            "page": hit.chunk.pages,
            "heading": plain_headings(hit.chunk.section),
            "text": hit.chunk.shown if with_text else "",
            "form": form_of(hit.chunk.source),
            "fence": fence_of(hit.chunk.shown, hit.chunk.source) if with_text else "",
            "cited": hit.rank in cited,
            "attributed": ("attributed", hit.rank) in found,
            "unsupported": ("unsupported", hit.rank) in found,
            "mark": 0,
        }
        for hit in hits
    ]


def _blank() -> Props:
    return {
        "query": "",
        "asked": "",
        "hint": "",
        "sides": [_blank_side(side) for side in SIDES],
        "preference": "",
        "counted": "",
        "same": "",
        "alike": "",
        "uneven": "",
        "trouble": "",
        "reveal": None,
    }


def _blank_side(side: Side) -> SideView:
    return {
        "side": side,
        "state": "waiting",
        "text": "",
        "error": "",
        "answer": "",
        "cut": "",
        "vote": 0,
        "reason": "",
        "comment": "",
        "sources": [],
    }


def _completed(props: Props) -> Props:
    """Return saved props, with defaults for fields that an earlier release did not write."""
    for view in props["sides"]:
        view.update({**_blank_side(view["side"]), **view, "cut": ""})
        for source in view["sources"]:
            source.update(
                {"mark": 0, "form": "plain", "fence": "", "attributed": False, "unsupported": False, **source}
            )
    return {**_blank(), **props}
