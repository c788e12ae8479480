"""Marks in the text of a document that the page draws (public/elements/parts/marks.jsx)."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Literal

from rag.answering.quotable import fence_before
from rag.loaders.formats import LOADERS, suffix_of

Form = Literal["markdown", "marked", "plain"]  # how marks are drawn: all of Markdown, those of blocks and code, none
PLAIN = ("text", "log", "source code", "PDF", "picture", "YAML", "data")  # kinds of text without marks


def form_of(source: str) -> Form:
    """Return what marks the text of a document has, by its kind: loaders write headings, lists, tables and code so."""
    loader = LOADERS.get(suffix_of(PurePosixPath(source)))
    kind = loader.kind if loader else "web page" if "://" in source else ""
    if kind in PLAIN or not kind:
        return "plain"
    return "markdown" if kind == "Markdown" else "marked"


def fence_of(text: str, source: str) -> str:
    """Return the code fence that a cut of a document lacks at its begin, "" where it begins outside of code."""
    return "" if form_of(source) == "plain" else fence_before(text)
