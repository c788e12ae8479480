"""Read plain text and source code.

Why no parser for code: one per language would take a hundred megabytes, and a chunk of 128 tokens holds only a dozen
lines. Code is cut at blank lines, where authors separate the parts of a program.
"""

from __future__ import annotations

import re

from rag.errors import Unreadable
from rag.loaders.blocks import PARAGRAPH, Block, Section, paragraphs, split
from rag.loaders.builder import LoadedText
from rag.loaders.decoding import decode_noting, normalise

TERMINAL = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-Z\\-_])")  # escapes
MINIFIED = 500  # characters per line on average; hand-written code has 30 to 40


def load_text(data: bytes) -> LoadedText:
    """Read plain text as paragraphs, without headings. Raises Unreadable for binary data."""
    decoded = decode_noting(data)
    text = normalise(decoded.text)
    return LoadedText(text, (Section(paragraphs(text, 0, len(text))),), note=decoded.note)


def load_log(data: bytes) -> LoadedText:
    """Read a log: plain text whose lines stay lines, without a terminal's colours. Raises Unreadable."""
    decoded = decode_noting(data)
    text = normalise(TERMINAL.sub("", decoded.text))
    blocks = tuple(Block(start, end, "code") for start, end in split(text, 0, len(text), PARAGRAPH))
    return LoadedText(text, (Section(blocks),), note=decoded.note)


def load_code(data: bytes) -> LoadedText:
    """Read source code unchanged, as blocks between blank lines. Raises Unreadable for minified or generated code."""
    decoded = decode_noting(data)
    text = normalise(decoded.text)
    if len(text) > MINIFIED * (text.count("\n") + 1):
        raise Unreadable(f"it looks generated or minified: its lines have more than {MINIFIED} characters on average")
    blocks = tuple(Block(start, end, "code") for start, end in split(text, 0, len(text), PARAGRAPH))
    return LoadedText(text, (Section(blocks),), note=decoded.note)
