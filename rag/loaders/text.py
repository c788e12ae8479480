"""Read plain text and source code.

Why no parser for code: one per language would take a hundred megabytes, and a chunk of 128 tokens holds only a dozen
lines. Code is cut at blank lines, where authors separate the parts of a program.
"""

from __future__ import annotations

import re

from rag.errors import Unreadable
from rag.loaders.blocks import PARAGRAPH, Block, Section, paragraphs, split
from rag.loaders.builder import LoadedText
from rag.loaders.decoding import decode_noting, normalise, shorten_leaders

TERMINAL = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-Z\\-_])")  # escapes
BOLD = re.compile(r"([^\n\x08])(?:\x08\1)+|([\u1100-\U0003ffff])(?:\x08\x08\2)+")  # as nroff writes it; wide letters
UNDERLINED = re.compile(r"_\x08([^\n\x08])|([^\n\x08])\x08_")
MINIFIED = 500  # characters per line on average; hand-written code has 30 to 40


def load_text(data: bytes) -> LoadedText:
    """Read plain text as paragraphs, without headings, as a terminal shows it. Raises Unreadable for binary data."""
    decoded = decode_noting(data)
    text = normalise(shorten_leaders(as_a_terminal_shows(decoded.text)))
    return LoadedText(text, (Section(paragraphs(text, 0, len(text))),), note=decoded.note)


def load_log(data: bytes) -> LoadedText:
    """Read a log: plain text whose lines stay lines, without a terminal's colours. Raises Unreadable."""
    decoded = decode_noting(data)
    text = normalise(as_a_terminal_shows(decoded.text))
    blocks = tuple(Block(start, end, "code") for start, end in split(text, 0, len(text), PARAGRAPH))
    return LoadedText(text, (Section(blocks),), note=decoded.note)


def as_a_terminal_shows(text: str) -> str:
    """Return a text without escapes for colours, and with one letter where several were printed over each other."""
    text = TERMINAL.sub("", text)
    if "\b" not in text:
        return text
    text = UNDERLINED.sub(r"\1\2", BOLD.sub(r"\1\2", text))
    return "\n".join(_last_printed(line) if "\b" in line else line for line in text.split("\n"))


def _last_printed(line: str) -> str:
    """Return a line whose backspaces were carried out: what comes later stands in its place."""
    cells, at = list[str](), 0
    for char in line:
        if char == "\b":
            at = max(0, at - 1)
            continue
        cells[at : at + 1] = char
        at += 1
    return "".join(cells)


def load_code(data: bytes) -> LoadedText:
    """Read source code unchanged, as blocks between blank lines. Raises Unreadable for minified or generated code."""
    decoded = decode_noting(data)
    text = normalise(decoded.text)
    if len(text) > MINIFIED * (text.count("\n") + 1):
        raise Unreadable(f"it looks generated or minified: its lines have more than {MINIFIED} characters on average")
    blocks = tuple(Block(start, end, "code") for start, end in split(text, 0, len(text), PARAGRAPH))
    return LoadedText(text, (Section(blocks),), note=decoded.note)
