"""Count the headings and list items of an OpenDocument file and write their numbers as it shows them: "1.2", "(b)".

Method: OpenDocument 1.3 part 3, 5.3 (lists), 16.30 (list styles) and 19.880 (continued numbering).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from rag.loaders.office.word_numbering import numeral
from rag.loaders.opendocument.package import Element, Styles, count_of, get, name_of

STYLES = {"1": "decimal", "a": "lowerLetter", "A": "upperLetter", "i": "lowerRoman", "I": "upperRoman"}
PLACE = re.compile(r"%(\d+)%")
BULLET = "-"


@dataclass(slots=True)
class Counts:
    """The last number of each level of one list; `style` is the name of its list style."""

    style: str
    levels: dict[int, int] = field(default_factory=dict)


class Numbering:
    """The lists of one part of a file."""

    def __init__(self, styles: Styles) -> None:
        self._styles = styles
        self._levels = {name: _levels(style) for name, style in styles.lists.items()}
        self._outline = _levels(styles.outline)
        self._headings = Counts("")
        self._by_id, self._by_style = dict[str, Counts](), dict[str, Counts]()

    def begin(self, element: Element, paragraph_style: str) -> Counts:
        """Return the counts of a list that is not in another one: new ones, or those of the list that it continues."""
        style = get(element, "text:style-name") or self._styles.list_name(paragraph_style)
        continued = get(element, "text:continue-list")
        before = self._by_id.get(continued) if continued else None
        if before is None and get(element, "text:continue-numbering") == "true":
            before = self._by_style.get(style)
        counts = before or Counts(style)
        self._by_id[get(element, "xml:id")] = self._by_style[style] = counts
        return counts

    def heading(self, element: Element, level: int) -> str:
        """Count a heading and return its number, "" if headings of its level have none."""
        if level not in self._outline or get(element, "text:is-list-header") == "true":
            return ""
        start = count_of(element, "text:start-value", -1) if get(element, "text:restart-numbering") == "true" else -1
        return _label(self._outline, _step(self._headings.levels, level, self._outline, start), level)

    def item(self, counts: Counts, style: str, level: int, item: Element) -> str:
        """Count an item on a level, from 1, and return its number; a bullet is "-"."""
        levels = self._levels.get(style or counts.style) or {}
        shape = levels.get(level)
        numbers = _step(counts.levels, level, levels, count_of(item, "text:start-value", -1))
        if shape is None or name_of(shape) != "text:list-level-style-number":
            return BULLET
        return _label(levels, numbers, level) or BULLET


def _levels(style: Element | None) -> dict[int, Element]:
    if style is None:
        return {}
    return {count_of(each, "text:level"): each for each in style if get(each, "text:level")}


def _step(numbers: dict[int, int], level: int, levels: Mapping[int, Element], start: int) -> Mapping[int, int]:
    """Count one on a level; levels below begin again, levels above that were passed over have their first number."""
    first = _start(levels, level)
    numbers[level] = start if start >= 0 else numbers.get(level, first - 1) + 1
    for below in [each for each in numbers if each > level]:
        del numbers[below]
    for above in range(1, level):
        numbers.setdefault(above, _start(levels, above))
    return numbers


def _start(levels: Mapping[int, Element], level: int) -> int:
    return count_of(levels[level], "text:start-value") if level in levels else 1


def _label(levels: Mapping[int, Element], numbers: Mapping[int, int], level: int) -> str:
    """Return the number of a level with those above it that the level shows, its prefix and suffix."""
    shape = levels[level]
    own = _numeral(shape, numbers[level])
    if not own:
        return ""
    pattern = get(shape, "loext:num-list-format") or get(shape, "style:num-list-format")
    if PLACE.search(pattern):
        return PLACE.sub(lambda found: _of(levels, numbers, int(found[1])), pattern).strip()
    first = level - count_of(shape, "text:display-levels") + 1
    above = (_of(levels, numbers, each) for each in range(max(1, first), level))
    joined = ".".join([*filter(None, above), own])
    return f"{get(shape, 'style:num-prefix')}{joined}{get(shape, 'style:num-suffix')}".strip()


def _of(levels: Mapping[int, Element], numbers: Mapping[int, int], level: int) -> str:
    return _numeral(levels[level], numbers.get(level, 1)) if level in levels else ""


def _numeral(shape: Element, number: int) -> str:
    style = get(shape, "style:num-format")
    return numeral(number, STYLES.get(style, "decimal")) if style else ""
