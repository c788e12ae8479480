"""Read README, CHANGES and the like without an ending in the markup that they show, else as plain text."""

from __future__ import annotations

import re
from dataclasses import replace
from importlib import import_module

from rag.loaders.builder import LoadedText
from rag.loaders.decoding import decode, normalise
from rag.loaders.text import load_text

SAMPLE = 100_000  # characters
ENOUGH = 2  # signs of a markup; a single one may be chance
SIGNS = {  # at the begin of a line; what plain text may have, too, such as underlined titles and "* item", is none
    "reStructuredText": (
        "rst",
        r"\.\. [A-Za-z][\w-]*:: |\.\. _[^:\n]+: \S|[^\n`]*`[^`\n]+ <[^>\n]+>`_|[^\n`]*:[a-z]+:`[^`\n]+`"
        r"|\.\. (?:code|code-block|note|warning|contents|image)::|[^\n`]*``[^`\n]+``",
    ),
    "AsciiDoc": (
        "adoc",
        r"={2,5} [A-Z]|\[(?:source|NOTE|TIP|WARNING|quote|horizontal)[^\]\n]*\]\n|(?:image|include)::\S+\["
        r"|[^\n]*\bhttps?://[^\s\[]+\[[^\]\n]+\]",
    ),
    "Org": ("org", r"#\+[A-Za-z_]{4,}:? |:PROPERTIES:\n|[^\n]*\[\[[^\]\n]+\]\[[^\]\n]+\]\]"),
    "Markdown": ("markdown", r"#{1,6} [A-Z]|```|[^\n]*\w\]\((?:https?:|[#./\w])[^)\s]*\)"),
}
FUNCTIONS = {"rst": "load_rst", "adoc": "load_adoc", "org": "load_org", "markdown": "load_markdown"}
MODULES = {"adoc": "asciidoc"}
FIRST = {  # what only a file in this markup begins with
    "AsciiDoc": re.compile(r"\s*= \S[^\n]*\n"),
    "Org": re.compile(r"\s*(?:#\+TITLE:|-\*- *(?:mode: *)?org)", re.IGNORECASE),
    "Markdown": re.compile(r"\s*# \S[^\n]*\n\n"),
    "reStructuredText": re.compile(r"\s*\.\. [\w-]+::"),
}


def load_readme(data: bytes) -> LoadedText:
    """Read a text by the markup that it shows most signs of. Raises Unreadable for binary data."""
    markup = markup_of(normalise(decode(data))[:SAMPLE])
    if not markup:
        return load_text(data)
    name = SIGNS[markup][0]
    module = import_module(f"{__package__}.{MODULES.get(name, name)}")
    loaded: LoadedText = getattr(module, FUNCTIONS[name])(data)
    return replace(loaded, note="; ".join(filter(None, (f"read as {markup}", loaded.note))))


def markup_of(text: str) -> str:
    """Return the markup of a text, "" if it shows none."""
    counts = {markup: len(re.findall(f"^(?:{pattern})", text, re.M)) for markup, (_, pattern) in SIGNS.items()}
    for markup, pattern in FIRST.items():
        counts[markup] += ENOUGH * bool(pattern.match(text))
    best = max(counts, key=lambda markup: counts[markup])
    return best if counts[best] >= ENOUGH else ""
