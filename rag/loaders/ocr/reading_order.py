"""Recognised boxes of text -> lines in reading order: the page straightened, rows put together, columns apart.

Why not the order of a PDF's lines (rag.loaders.pdf.layout): a scan has no drawing order, and the lines of two columns
rarely stand at the same height.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from rag.loaders.pdf.characters import HYPHENS
from rag.loaders.pdf.layout import MIN_COLUMN_CHARS, MIN_COLUMN_LINES, Line, Segment

ONE_ROW = 0.5  # heights between the middles of two boxes in one row, at most
CROSSING = 0.3  # share of the boxes that may run across the gap between two columns, as titles and tables do
TOUCHING = 0.5  # heights by which a box may reach into the gap, tilt and dirt being what they are


@dataclass(frozen=True, slots=True)
class Box:
    """A piece of text and its corners: (x, y) of upper left, upper right, lower right, lower left; y runs upwards."""

    text: str
    corners: tuple[tuple[float, float], ...]


def in_reading_order(boxes: Sequence[Box]) -> list[Line]:
    """Return the text as lines, two columns one after the other; a page that is tilted is straightened first."""
    tilt = _tilt(boxes)
    return _with_hyphens(_ordered([_segment(box, tilt) for box in boxes]))


def _tilt(boxes: Sequence[Box]) -> float:
    """Return the angle of most text, in radians, anticlockwise."""
    angles = []
    for box in boxes:
        (left, left_y), (right, right_y) = box.corners[0], box.corners[1]
        angles += [math.atan2(right_y - left_y, right - left)] * max(1, len(box.text) // 10)  # short ones say little
    return median(angles) if angles else 0.0


def _segment(box: Box, tilt: float) -> Segment:
    cos, sin = math.cos(tilt), math.sin(tilt)
    xs = [x * cos + y * sin for x, y in box.corners]
    ys = sorted(y * cos - x * sin for x, y in box.corners)
    return Segment(box.text, min(xs), max(xs), sum(ys[:2]) / 2, sum(ys[2:]) / 2)


def _ordered(segments: list[Segment]) -> list[Line]:
    """Return the lines of a part of a page: its columns, between what runs across them, else its rows."""
    columns = _columns(segments)
    if columns is None:
        return _rows(segments)
    left, right, across = columns
    lines: list[Line] = []
    for row in [*_rows(across), None]:
        bottom = _middle(row.segments[0]) if row else -math.inf
        for column in (left, right):
            above = [segment for segment in column if _middle(segment) > bottom]
            column[:] = [segment for segment in column if _middle(segment) <= bottom]
            lines += _ordered(above)
        lines += [row] if row else []
    return lines


def _columns(segments: Sequence[Segment]) -> tuple[list[Segment], list[Segment], list[Segment]] | None:
    """Return what stands left and right of the gap between two columns of prose, and across it; None without one."""
    best, most = None, MIN_COLUMN_LINES - 1
    for edge in sorted({segment.left for segment in segments}):
        left = [part for part in segments if part.right <= edge + TOUCHING * part.height and part.left < edge]
        right = [part for part in segments if part.left >= edge - TOUCHING * part.height and part not in left]
        crossing = len(segments) - len(left) - len(right)
        shorter = min(len(left), len(right))
        is_gap = shorter > most and crossing <= CROSSING * len(segments)
        if is_gap and _is_prose(left) and _is_prose(right):
            best, most = (left, right), shorter
    if best is None:
        return None
    inside = {id(segment) for side in best for segment in side}
    return *best, [segment for segment in segments if id(segment) not in inside]


def _is_prose(column: Sequence[Segment]) -> bool:
    """Return whether boxes are lines of prose and not cells of a table: long enough, one a row, one below the other."""
    long = sum(len(segment.text) for segment in column) >= MIN_COLUMN_CHARS * len(column)
    return long and len(_rows(column)) > 0.7 * len(column)


def _rows(segments: Sequence[Segment]) -> list[Line]:
    """Return the boxes row by row, from top to bottom and from left to right."""
    rows: list[list[Segment]] = []
    for segment in sorted(segments, key=_middle, reverse=True):
        last = rows[-1][-1] if rows else None
        if last and _middle(last) - _middle(segment) < ONE_ROW * min(last.height, segment.height):
            rows[-1].append(segment)
        else:
            rows.append([segment])
    return [Line(sorted(row, key=lambda segment: segment.left)) for row in rows]


def _middle(segment: Segment) -> float:
    return (segment.bottom + segment.top) / 2


def _with_hyphens(lines: list[Line]) -> list[Line]:
    """Mark the hyphens at line ends as PDFium does, so that divided words are joined; in place."""
    for line in lines[:-1]:
        last = line.segments[-1]
        if last.text.endswith("-") and last.text[-2:-1].isalpha():
            last.text = last.text[:-1] + HYPHENS[0]
    return lines
