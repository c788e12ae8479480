"""A message as subject, people, date, bodies and attachments, and its text."""

from __future__ import annotations

import html
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import PurePosixPath
from typing import Literal

from rag.errors import Unreadable
from rag.loaders.blocks import PARAGRAPH, split
from rag.loaders.builder import DocumentBuilder, LoadedText
from rag.loaders.decoding import line_of, normalise, one_line
from rag.loaders.web.html import load_html

MAX_NAME = 120  # characters of an attachment's name, which becomes part of a source
MAX_SHOWN = 20  # names of attachments in the text
UNSAFE = re.compile(r"[\x00-\x1f\x7f/\\:*?\"<>|]+")
TAG = re.compile(r"<(?:br|/p|/div|/tr|/li|/h\d)\b[^>]*>", re.IGNORECASE)
MARKUP = re.compile(r"<!--.*?-->|<(script|style|head)\b.*?</\1>|<[^>]*>", re.IGNORECASE | re.DOTALL)
PLAIN_STUB = 0.1  # share of the words of the HTML body: a plain one with fewer only says "use another program"

Attachment = tuple[str, bytes | Unreadable]  # (name, content)


@dataclass(slots=True)
class Letter:
    """A message before it becomes text. `people` are lines such as ("From", "Ann <ann@example.org>")."""

    subject: str = ""
    people: list[tuple[str, str]] = field(default_factory=list)
    date: str = ""
    bodies: list[tuple[Literal["plain", "html"], str]] = field(default_factory=list)
    attachments: list[Attachment] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)

    def load(self) -> LoadedText:
        """Return the text: subject as heading, people and date, the bodies, and the names of the attachments."""
        builder = DocumentBuilder()
        builder.heading(1, self.subject)
        builder.add("\n".join(f"{name}: {line_of(value)}" for name, value in self.people))
        for kind, body in self.bodies:
            if kind == "plain":
                add_paragraphs(builder, normalise(body))
            else:
                _add_html(builder, body)
        names = [name for name, _ in named(self.attachments)]
        if names:
            more = f" and {len(names) - MAX_SHOWN} more" if len(names) > MAX_SHOWN else ""
            builder.add(f"Attachments: {', '.join(names[:MAX_SHOWN])}{more}")
        loaded = builder.build(one_line(self.subject))
        return replace(loaded, date=self.date, lost="; ".join(self.lost), note="; ".join(dict.fromkeys(self.notes)))


def choose_body(plain: str, page: str) -> tuple[Literal["plain", "html"], str]:
    """Return the plain body, or the HTML one where the plain one is empty or only says that there is another."""
    if not page or len(plain.split()) > PLAIN_STUB * len(MARKUP.sub(" ", page).split()):
        return "plain", plain
    return "html", page


def add_paragraphs(builder: DocumentBuilder, text: str) -> None:
    """Add plain text, one block per paragraph."""
    for start, end in split(text, 0, len(text), PARAGRAPH):
        builder.add(text[start:end])


def add_loaded(builder: DocumentBuilder, loaded: LoadedText, below: int = 0) -> None:
    """Add the blocks of another document, its headings `below` levels deeper."""
    for section in loaded.sections:
        for block in section.blocks:
            text = loaded.text[block.start : block.end].strip("\n")
            if block.kind == "heading" and text.startswith("#"):
                title = text.lstrip("#")
                builder.heading(len(text) - len(title) + below, title)
            else:
                builder.add(text, block.kind)


def named(attachments: Iterable[Attachment]) -> Iterator[Attachment]:
    """Yield the attachments under names that are safe in a path and of which none is used twice."""
    used = Counter[str]()
    for name, content in attachments:
        safe = UNSAFE.sub("_", line_of(name)).strip(" ._") or "attachment"
        stem, suffix = PurePosixPath(safe).stem[:MAX_NAME], PurePosixPath(safe).suffix[:12]
        used[f"{stem}{suffix}"] += 1
        again = used[f"{stem}{suffix}"]
        yield f"{stem} ({again}){suffix}" if again > 1 else f"{stem}{suffix}", content


def joined(notes: Sequence[str]) -> str:
    """Return notes as one, each once."""
    return "; ".join(dict.fromkeys(filter(None, notes)))


def _add_html(builder: DocumentBuilder, page: str) -> None:
    """Add an HTML body by the loader of web pages; where it finds no main text, without its tags."""
    try:
        add_loaded(builder, load_html(page.encode("utf-8", "ignore")), 1)
    except Unreadable:
        add_paragraphs(builder, html.unescape(MARKUP.sub("", TAG.sub("\n\n", page))))
