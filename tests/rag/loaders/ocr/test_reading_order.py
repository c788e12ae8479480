"""Recognised boxes in reading order."""

from __future__ import annotations

import math

from rag.loaders.ocr.reading_order import Box, in_reading_order

LEFT = ["The harbour office opens at seven", "in the morning on workdays and", "closes at noon on Saturdays, the",
        "fee for a berth is paid at night", "to the master of the harbour."]  # fmt: skip
RIGHT = ["Boats longer than twelve metres", "must ask the pilot before they", "enter, who answers on channel",
         "nine from six until midnight,", "on Sundays from eight onwards."]  # fmt: skip


def box(x: float, y: float, text: str, tilt: float = 0.0) -> Box:
    """Return text of 10 points a letter and 20 high, whose lower left is at (x, y), on a page turned by `tilt`."""
    corners = [(x, y + 20), (x + 10 * len(text), y + 20), (x + 10 * len(text), y), (x, y)]
    cos, sin = math.cos(tilt), math.sin(tilt)
    return Box(text, tuple((x * cos - y * sin, x * sin + y * cos) for x, y in corners))


def texts(boxes: list[Box]) -> list[str]:
    return [line.text for line in in_reading_order(boxes)]


def test_rows_are_read_from_the_top_and_cells_from_the_left() -> None:
    assert texts([box(300, 503, "31.50"), box(40, 500, "Oak"), box(40, 560, "Wood"), box(300, 558, "Price")]) == [
        "Wood Price",
        "Oak 31.50",
    ]


def test_columns_whose_lines_stand_at_other_heights_are_read_one_after_the_other() -> None:
    boxes = [box(40, 700 - 30 * n, text) for n, text in enumerate(LEFT)]
    boxes += [box(460, 688 - 30 * n, text) for n, text in enumerate(RIGHT)]
    title, note = (
        box(40, 760, "A title that runs across both of the columns"),
        box(40, 480, "And a note below, as wide as both of the columns"),
    )
    assert texts([note, *boxes, title]) == [title.text, *LEFT, *RIGHT, note.text]


def test_a_table_is_read_row_by_row() -> None:
    boxes = [box(x, 700 - 30 * n, f"{name} {n}") for n in range(6) for x, name in ((40, "Room"), (400, "Seats"))]
    assert texts(boxes)[:2] == ["Room 0 Seats 0", "Room 1 Seats 1"]


def test_a_tilted_page_is_straightened_first() -> None:
    boxes = [
        box(x, 700 - 26 * n, f"{name} number {n}", tilt=0.1) for n in range(3) for x, name in ((40, "a"), (700, "b"))
    ]
    assert texts(boxes) == [f"a number {n} b number {n}" for n in range(3)]


def test_a_hyphen_at_a_lines_end_is_marked_and_one_after_a_blank_is_not() -> None:
    lines = texts([box(40, 700, "infor-"), box(40, 670, "mation -"), box(40, 640, "end-")])
    assert lines == ["infor\x02", "mation -", "end-"]


def test_no_boxes_are_no_lines() -> None:
    assert in_reading_order([]) == []
