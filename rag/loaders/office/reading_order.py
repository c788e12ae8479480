"""Put the boxes of a slide into reading order, where their order in the file is clearly another one.

Why not simply from top to bottom: three cards side by side, each a heading over a text, are in the right order in the
file. So a box only moves before another one if it stands above it in the same column, or left of it in the same row.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

SHARED = 0.5  # of the smaller box's width or height: so much in common is the same column or row
MAX_BOXES = 300  # of a slide; the order of more, as in a drawing, says nothing
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Box:
    """The place of a shape on its slide, in any unit; y grows downwards."""

    left: float
    top: float
    right: float
    bottom: float


def in_reading_order(items: Sequence[T], boxes: Sequence[Box | None]) -> list[T]:
    """Return items in their order, but each after those that stand above it or left of it; None has no place."""
    if len(items) > MAX_BOXES:
        return list(items)
    before = [
        {other for other, place in enumerate(boxes) if box and place and other != at and _precedes(place, box)}
        for at, box in enumerate(boxes)
    ]
    waiting, order = list(range(len(items))), list[int]()
    while waiting:
        free = (at for at in waiting if not before[at].intersection(waiting))
        following = next(free, waiting[0])  # a circle is cut where the file begins it
        waiting.remove(following)
        order.append(following)
    return [items[at] for at in order]


def _precedes(one: Box, other: Box) -> bool:
    """Return whether a box ends above another one of its column, or left of another one of its row."""
    if one.bottom <= other.top:
        return _shared(one.left, one.right, other.left, other.right)
    return one.right <= other.left and _shared(one.top, one.bottom, other.top, other.bottom)


def _shared(start: float, end: float, other_start: float, other_end: float) -> bool:
    smaller = min(end - start, other_end - other_start)
    return smaller > 0 and min(end, other_end) - max(start, other_start) >= SHARED * smaller
