"""Source code -> text that is cut at blank lines, where people put the seams of a program.

No parser: one for each language would cost a hundred megabytes, and a chunk of 128 tokens holds a dozen lines anyway.
"""

from __future__ import annotations

import re

from rag.errors import Unreadable
from rag.loaders.blocks import PARAGRAPH, Block, Section, paragraphs, split
from rag.loaders.builder import LoadedText, decode, normalise

SUFFIXES = re.findall(
    r"\S+",
    """.py .js .mjs .ts .jsx .tsx .java .kt .scala .c .h .cc .cpp .hpp .cs .go .rs .swift .rb .php .pl .lua .r .jl
    .sh .bash .ps1 .sql .css .scss .vue .yaml .yml .toml .ini .tf .proto""",
)
MINIFIED = 500  # characters a line has on average; people write 30 to 40


def load_code(data: bytes) -> LoadedText:
    """Read source code as it stands. Raises Unreadable for what a program made of it."""
    text = normalise(decode(data))
    if len(text) > MINIFIED * (text.count("\n") + 1):
        raise Unreadable(f"it is no code for people: its lines have more than {MINIFIED} characters on average")
    blocks = tuple(Block(start, end, "code") for start, end in split(text, 0, len(text), PARAGRAPH))
    return LoadedText(text, (Section(blocks),))


def load_text(data: bytes) -> LoadedText:
    """Read plain text: paragraphs, no headings."""
    text = normalise(decode(data))
    return LoadedText(text, (Section(paragraphs(text, 0, len(text))),))
