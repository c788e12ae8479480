"""Compute the numbers of Word's headings, clauses and list items as Word shows them: "1.2", "(b)", "iv."

Word stores how a level is numbered, not the numbers; mammoth counts each list from 1. Method: ECMA-376 part 1, 17.9.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from rag.loaders.office.ooxml import Element, attribute, child, is_on, local

LEVELS = 9
ROMAN = ((1000, "m"), (900, "cm"), (500, "d"), (400, "cd"), (100, "c"), (90, "xc"), (50, "l"), (40, "xl"), (10, "x"),
         (9, "ix"), (5, "v"), (4, "iv"), (1, "i"))  # fmt: skip
ORDINALS = {1: "st", 2: "nd", 3: "rd"}
UNITS = re.findall(
    r"\w+",
    """zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen
    eighteen nineteen""",
)
TENS = ("", "", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
FIRST_WORDS = dict(zip(UNITS[1:4], ("first", "second", "third"), strict=True)) | {
    "five": "fifth", "eight": "eighth", "nine": "ninth", "twelve": "twelfth"
}  # fmt: skip
HAN, RUSSIAN = "〇一二三四五六七八九", "абвгдежзиклмнопрстуфхцчшщыэюя"
ENCLOSED = {"decimalEnclosedCircle": 0x2460, "decimalEnclosedParen": 0x2474, "decimalEnclosedFullstop": 0x2488}


@dataclass(slots=True)
class Level:
    """How one level of a list is numbered; `text` is a pattern such as "%1.%2"."""

    style: str = "decimal"
    text: str = ""
    start: int = 1
    restart: int | None = None  # the level, from 1, whose items restart this one; 0 for never
    legal: bool = False  # all numbers of the pattern as 1, 2, 3
    paragraph_style: str = ""


@dataclass(slots=True)
class _List:
    """A list definition in use (w:num): its levels and where it counts: lists of one `abstract` continue each other."""

    abstract: str
    levels: dict[int, Level]
    starts: dict[int, int] = field(default_factory=dict)  # overrides, taken when the list is first used


class Numbering:
    """Counts the numbered paragraphs of a document; call `label` once for each in their order."""

    def __init__(self, numbering: Element, styles: Element) -> None:
        """Read the roots of word/numbering.xml and word/styles.xml; an empty element where there is none."""
        self._styles = {attribute(each, "styleId"): each for each in styles if local(each) == "style"}
        self._lists = _lists(numbering, self._styles)
        self._by_style = {
            (number, level.paragraph_style): index
            for number, found in self._lists.items()
            for index, level in found.levels.items()
            if level.paragraph_style
        }
        default = (
            key for key, each in self._styles.items()
            if attribute(each, "default") == "1" and attribute(each, "type") == "paragraph"
        )  # fmt: skip
        self._default = next(default, "")
        self._counts = dict[str, dict[int, int]]()  # abstract list -> level -> last number
        self._used = set[tuple[str, int]]()

    def place(self, properties: Element | None) -> tuple[str, int] | None:
        """Return a paragraph's (list, level) by its properties or its style; None if it is not numbered."""
        number, level = _own(properties)
        style = attribute(child(properties, "pStyle"), "val") or self._default
        if not number:
            number, inherited, named = self._of_style(style)
            level = inherited if level is None else level
            level = self._by_style.get((number, named), level)
        found = self._lists.get(number)
        if number in ("", "0") or found is None:
            return None
        return number, min(max(level or 0, 0), LEVELS - 1)

    def is_bullet(self, number: str, level: int) -> bool:
        """Return whether the items of a level have a mark, such as a dot, and no number."""
        found = self._lists[number].levels.get(level)
        return found is not None and found.style == "bullet"

    def label(self, number: str, level: int) -> str:
        """Count one item and return its number as shown, such as "1.2"; "" for a level that shows nothing."""
        listed = self._lists[number]
        counts = self._counts.setdefault(listed.abstract, {})
        if (number, level) not in self._used:
            self._used.add((number, level))
            if level in listed.starts:
                counts[level] = listed.starts[level] - 1
        shape = listed.levels.get(level) or Level(text=f"%{level + 1}.")
        counts[level] = counts.get(level, shape.start - 1) + 1
        for above in range(level):
            counts.setdefault(above, (listed.levels.get(above) or Level()).start)
        for below in [each for each in counts if each > level]:
            restart = (listed.levels.get(below) or Level()).restart
            if restart is None or (restart and level < restart):
                del counts[below]
        return re.sub(r"%(\d)", lambda found: self._number(listed, counts, int(found[1]) - 1, shape.legal), shape.text)

    def _number(self, listed: _List, counts: Mapping[int, int], level: int, legal: bool) -> str:
        shape = listed.levels.get(level) or Level()
        return numeral(counts.get(level, shape.start), "decimal" if legal else shape.style)

    def _of_style(self, style: str) -> tuple[str, int | None, str]:
        """Return the list and level of a style or of one that it is based on, and the style that names the list."""
        level: int | None = None
        for _ in range(LEVELS + 2):
            element = self._styles.get(style)
            if element is None:
                break
            number, own = _own(child(element, "pPr"))
            level = own if level is None else level
            if number:
                return number, level, style
            style = attribute(child(element, "basedOn"), "val")
        return "", level, ""


def _own(properties: Element | None) -> tuple[str, int | None]:
    """Return (list, level) as properties state them themselves: "" and None for what they do not state."""
    numbering = child(properties, "numPr")
    level = attribute(child(numbering, "ilvl"), "val")
    return attribute(child(numbering, "numId"), "val"), int(level) if level.isdigit() else None


def _lists(numbering: Element, styles: Mapping[str, Element]) -> dict[str, _List]:
    """Return all lists by number; one that only names a style has the levels of that style's list."""
    abstract = {attribute(each, "abstractNumId"): each for each in numbering if local(each) == "abstractNum"}
    numbers = {attribute(each, "numId"): each for each in numbering if local(each) == "num"}

    def of(number: Element) -> str:
        return attribute(child(number, "abstractNumId"), "val")

    def resolve(key: str) -> str:
        link = attribute(child(abstract.get(key), "numStyleLink"), "val")
        named = _own(child(styles.get(link), "pPr"))[0] if link else ""
        target = of(numbers[named]) if named in numbers else ""
        return target if target in abstract else key

    found = {}
    for key, number in numbers.items():
        if of(number) not in abstract:
            continue
        base = resolve(of(number))
        listed = _List(base, _levels(abstract[base]))
        for override in (each for each in number if local(each) == "lvlOverride"):
            index, start = attribute(override, "ilvl"), attribute(child(override, "startOverride"), "val")
            listed.levels |= _levels(override)
            if index.isdigit() and start.isdigit():
                listed.starts[int(index)] = int(start)
        found[key] = listed
    return found


def _levels(parent: Element) -> dict[int, Level]:
    levels = {}
    for element in (each for each in parent if local(each) == "lvl"):
        index, start = attribute(element, "ilvl"), attribute(child(element, "start"), "val")
        restart = attribute(child(element, "lvlRestart"), "val")
        if index.isdigit():
            levels[int(index)] = Level(
                style=_style(child(element, "numFmt")),
                text=attribute(child(element, "lvlText"), "val"),
                start=int(start) if start.isdigit() else 0,
                restart=int(restart) if restart.isdigit() else None,
                legal=is_on(child(element, "isLgl")),
                paragraph_style=attribute(child(element, "pStyle"), "val"),
            )
    return levels


def _style(element: Element | None) -> str:
    """Return the numeral style of a level; "custom" ones such as 001, 002 are named by their pattern."""
    style = attribute(element, "val") or "decimal"
    return attribute(element, "format").partition(",")[0] if style == "custom" else style


def numeral(number: int, style: str) -> str:
    """Return a number in one of Word's numeral styles (ECMA-376 part 1, 17.18.59); unknown ones as digits."""
    if style in ("none", "bullet"):
        return ""
    if style.startswith("0") or style == "decimalZero":
        return str(number).zfill(2 if style == "decimalZero" else len(style))
    if number < 1:
        return str(number)
    if style in ("lowerLetter", "upperLetter", "russianLower", "russianUpper"):
        letters = RUSSIAN if style.startswith("russian") else "abcdefghijklmnopqrstuvwxyz"
        times, index = divmod(number - 1, len(letters))
        text = letters[index] * min(times + 1, 20)
        return text.upper() if "pper" in style else text
    if style in ("lowerRoman", "upperRoman"):
        text = roman(number)
        return text.upper() if style == "upperRoman" else text
    if style in ENCLOSED and number <= 20:
        return chr(ENCLOSED[style] + number - 1)
    if style == "ordinal":
        return f"{number}{'th' if number % 100 in (11, 12, 13) else ORDINALS.get(number % 10, 'th')}"
    if style in ("cardinalText", "ordinalText") and number < 100:
        return _words(number, style == "ordinalText")
    if style in ("chineseCounting", "chineseCountingThousand", "ideographDigital", "japaneseCounting",
                 "taiwaneseCounting",
                 "japaneseDigitalTenThousand", "koreanDigital2") and number < 100:  # fmt: skip
        tens, unit = divmod(number, 10)
        return (HAN[tens] if tens > 1 else "") + ("十" if tens else "") + (HAN[unit] if unit else "")
    return f"-{number}-" if style == "numberInDash" else str(number)


def roman(number: int) -> str:
    """Return a number from 1 in Roman numerals, in lower case."""
    text = ""
    for value, letters in ROMAN:
        times, number = divmod(number, value)
        text += letters * min(times, 50)
    return text


def _words(number: int, ordinal: bool) -> str:
    """Return a number below 100 in English words, capitalised as Word does: Twenty-one, Twenty-first."""
    tens, unit = divmod(number, 10)
    words = [UNITS[number]] if number < len(UNITS) else [TENS[tens], *([UNITS[unit]] if unit else [])]
    if ordinal:
        last = words[-1]
        words[-1] = FIRST_WORDS.get(last, last[:-1] + "ieth" if last.endswith("y") else last + "th")
    return "-".join(words).capitalize()
