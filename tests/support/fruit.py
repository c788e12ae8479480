"""Four chunks about fruit, and labels of them by name: what an answer drew on, left unused, or a rater marked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime

from fakes import NOON, make_answer
from rag.feedback.pairs import MadePairs, SharedLabels, alike, make_pairs
from rag.feedback.ratings import MARK_WEIGHT, derive_labels
from rag.records import Chunk, Hit, Label, LabelledPair, Rating, Reason

AT = datetime(2026, 1, 1, tzinfo=UTC)
TEXTS = {
    "apples": "Apples keep for months in a cool cellar, as long as none of them is bruised.",
    "pears": "Pears ripen from the inside, so press the neck of one before you wait any longer.",
    "plums": "Plums freeze well once their stones are out, and need no sugar for it at all.",
    "copy": "Apples keep for many months in a cool cellar, as long as none of them is bruised.",
}


def chunk(chunk_id: str, text: str) -> Chunk:
    return Chunk(chunk_id, "d", "fruit.md", "Fruit", "", None, text, 0, len(text))


CHUNKS = [chunk(chunk_id, text) for chunk_id, text in TEXTS.items()]
HITS = tuple(Hit(each, rank, 1 - rank / 10) for rank, each in enumerate(CHUNKS[:3], start=1))
ALL_THREE = f"{TEXTS['apples']} [1] {TEXTS['pears']} [2] {TEXTS['plums']} [3]"


def made_of(*labels: LabelledPair) -> MadePairs:
    return make_pairs(labels, CHUNKS, alike)


def pairs_of(*labels: LabelledPair) -> dict[str, tuple[str, ...]]:
    """Return positive -> negatives, by the names of the chunks."""
    names = {text: name for name, text in TEXTS.items()}
    return {pair.positive_id: tuple(names[text] for text in pair.negatives) for pair in made_of(*labels).pairs}


def label(
    chunk_id: str,
    value: Label,
    *,
    query: str = "q",
    rater: str = "ann",
    answer: str = "a1",
    text: str | None = None,
    weight: float = 1.0,
) -> LabelledPair:
    """Return what a thumb says of a chunk that the answer drew on."""
    text = TEXTS.get(chunk_id, "") if text is None else text
    return LabelledPair(rater, answer, query, chunk_id, text, value, AT, "rating", weight=weight, cited=True)


def unused(chunk_id: str, *, answer: str = "a1", rater: str = "ann") -> LabelledPair:
    """Return what a thumb up implies of the best-ranked chunk that the answer left unused."""
    return replace(label(chunk_id, -1, answer=answer, rater=rater), cited=False)


def consulted(chunk_id: str) -> LabelledPair:
    """Return what a thumb up says of a chunk that was shown and neither used nor ranked best: nothing."""
    return replace(label(chunk_id, 0), cited=False)


def mark(chunk_id: str, value: Label, *, rater: str = "ann", answer: str = "a1", query: str = "q") -> LabelledPair:
    row = label(chunk_id, value, rater=rater, answer=f"mark:{answer}", query=query, weight=MARK_WEIGHT)
    return replace(row, origin="mark")


def first_alone(placed: Sequence[LabelledPair]) -> SharedLabels:
    """Keep the share of what an answer drew on first; the rest is doubtful."""
    rest = [each for each in placed if each.label == 1 and each.weight <= 0.5]
    return [each for each in placed if each not in rest], rest


def thumb(value: Label, text: str, cited: tuple[int, ...], *, reason: Reason = "") -> list[LabelledPair]:
    """Return the labels of a thumb on an answer that was shown apples, pears and plums."""
    answer = replace(make_answer(HITS, query="q"), text=text, cited=cited)
    return derive_labels(Rating("ann", answer.id, value, True, NOON, reason=reason), answer)
