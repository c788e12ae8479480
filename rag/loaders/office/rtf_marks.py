"""Mark what striprtf drops or fuses in Rich Text: list numbers, cells, headings, notes, text boxes, page headers.

Marks are noncharacters of Unicode, which no text contains, written in their escaped form
before striprtf reads the file.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

CELL, ROW, INNER_CELL, INNER_ROW, IN_CELL, LINE = map(chr, range(0xFDD0, 0xFDD6))
LABEL, END_OF_LABEL, STORY, END_OF_STORY = map(chr, range(0xFDD6, 0xFDDA))
LEVELS = tuple(map(chr, range(0xFDDA, 0xFDE3)))  # of a list item, at the end of its paragraph
HEADINGS = tuple(map(chr, range(0xFDE3, 0xFDEC)))  # levels of a heading, at the end of its paragraph
NOTE, COMMENT, HEADER, FOOTER = map(chr, range(0xFDEC, 0xFDF0))  # what a story is
KIND = {
    "footnote": NOTE,
    "annotation": COMMENT,
    **dict.fromkeys(("header", "headerf", "headerl", "headerr"), HEADER),
    **dict.fromkeys(("footer", "footerf", "footerl", "footerr"), FOOTER),
}
OPENED = ("shp", "shpinst", "shptxt", "do", "dptxbxtext", "nesttableprops")  # have text, and striprtf skips them
BOXES = ("shptxt", "dptxbxtext")
SIMPLE = {"cell": CELL, "row": ROW, "nestcell": INNER_CELL, "nestrow": INNER_ROW, "line": LINE}
TOKEN = re.compile(r"\\([a-zA-Z]{1,32})(-?\d{1,10})?[ ]?|\\'[0-9a-fA-F]{2}|\\.|[{}]|[^\\{}]+|\\", re.DOTALL)


@dataclass(slots=True)
class _Group:
    """What holds within a pair of braces. `ends` is the mark to write at its end."""

    in_table: bool = False
    in_story: bool = False
    level: int = 0
    heading: int = 0
    ends: str = ""


class Marker:
    """Rewrites one file."""

    def __init__(self) -> None:
        self._groups = [_Group()]
        self._parts: list[str] = []
        self._cells = 0  # that the row has so far
        self._notes = 0
        self._in_note = False

    def mark(self, rtf: str) -> str:
        """Return the file with marks."""
        at = 0
        while at < len(rtf):
            token = TOKEN.match(rtf, at)
            if token is None:
                break
            at = token.end()
            if token[1] == "bin" and token[2]:
                at += max(0, int(token[2]))
            elif token[1]:
                self._word(token[1], token[2] or "", token[0])
            else:
                self._other(token[0])
        return "".join(self._parts)

    def _other(self, token: str) -> None:
        if token == "{":
            self._groups.append(replace(self._groups[-1], ends=""))
        elif token == "}" and len(self._groups) > 1:
            ended = self._groups.pop().ends
            self._put(ended)
            self._in_note = self._in_note and ended != END_OF_STORY
        elif token in ("\\\n", "\\\r"):
            self._paragraph()
            return
        elif token in ("\\-", "\\_"):
            token = "-" if token == "\\_" else ""
        self._parts.append(token)

    def _word(self, word: str, number: str, token: str) -> None:
        group = self._groups[-1]
        if word == "par":
            self._paragraph()
        elif word in SIMPLE and group.in_story:
            self._put(LINE)
        elif word in SIMPLE:
            self._cells = {"cell": self._cells + 1, "row": 0}.get(word, self._cells)
            self._put(SIMPLE[word])
        elif word in ("listtext", "pntext"):
            self._put(LABEL)
            group.ends = END_OF_LABEL
        elif word in KIND:
            self._open("")
            self._put(STORY + KIND[word])
            group.ends, group.in_story = END_OF_STORY, True
            if KIND[word] == NOTE:
                self._notes += 1
                self._in_note = True
                self._parts.append(f"[{self._notes}] ")
        elif word == "chftn":
            self._parts.append("" if self._in_note else f"[{self._notes + 1}]")
        elif word in OPENED:
            self._open("")
            if word in BOXES:
                self._paragraph()
                group.heading = group.level = 0
        else:
            self._state(group, word, number)
            self._parts.append(token)

    def _state(self, group: _Group, word: str, number: str) -> None:
        if word == "pard":
            group.in_table, group.level, group.heading = False, 0, 0
        elif word == "intbl" or (word == "itap" and number.strip("0")):
            group.in_table = True
        elif word == "ilvl":
            group.level = min(int(number or 0), len(LEVELS) - 1) if number.isdigit() else 0
        elif word == "outlinelevel":
            group.heading = int(number) + 1 if number.isdigit() and int(number) < len(HEADINGS) else 0

    def _paragraph(self) -> None:
        group = self._groups[-1]
        if group.in_table or group.in_story or self._cells:
            self._put(IN_CELL)
            return
        self._put(HEADINGS[group.heading - 1] if group.heading else LEVELS[group.level])
        self._parts.append("\\par ")

    def _open(self, word: str) -> None:
        """Make striprtf read a group that it skips: without its name and the mark for programs that do not know it."""
        if self._parts and self._parts[-1] == "\\*":
            self._parts.pop()
        self._parts.append(word)

    def _put(self, marks: str) -> None:
        self._parts += [f"\\u{ord(mark)}\\plain " for mark in marks]
