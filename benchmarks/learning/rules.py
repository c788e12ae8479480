"""Rules for sharing a thumb up among chunks: the labels it makes -> those that are trained on.

"Outright" means as if somebody had marked the chunk: BM25 ranks are not used, so each rule is compared as it stands.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from rag.records import LabelledPair

ALL_RANKS = 50


def _outright(labels: Sequence[LabelledPair], weight: float | None = None) -> list[LabelledPair]:
    """Return the positives as marks, so that BM25 ranks do not change their weights; the negative stays."""
    return [
        replace(label, origin="mark", weight=weight or label.weight) if label.label == 1 else label for label in labels
    ]


def _first_cited(labels: Sequence[LabelledPair]) -> list[LabelledPair]:
    most = max((label.weight for label in labels if label.label == 1), default=0.0)
    return _outright([label for label in labels if label.label != 1 or label.weight == most], 1.0)


def _shown(labels: Sequence[LabelledPair], ranks: int) -> list[LabelledPair]:
    shown = [replace(label, label=1, cited=True) for label in labels if (label.rank or 1) <= ranks]
    return _outright(shown, 1.0)


RULES: dict[str, Callable[[Sequence[LabelledPair]], list[LabelledPair]]] = {  # of a thumb up
    "what stands out by order and words; best unused as negative": list,
    "the same, without that negative": lambda labels: [label for label in labels if label.label == 1],
    "all cited, shared by order alone; the negative": _outright,
    "the first cited; the negative": _first_cited,
    "all cited, each whole; the negative": lambda labels: _outright(labels, 1.0),
    "each shown": lambda labels: _shown(labels, ALL_RANKS),
    "the first shown": lambda labels: _shown(labels, 1),
}
