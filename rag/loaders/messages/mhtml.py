"""Read web pages saved as one file, .mhtml: the page, its frames, and none of its pictures."""

from __future__ import annotations

import email.policy
from dataclasses import replace
from email.parser import BytesParser

from rag.errors import Unreadable
from rag.loaders.builder import DocumentBuilder, LoadedText
from rag.loaders.decoding import line_of
from rag.loaders.messages.letter import add_loaded, joined
from rag.loaders.messages.mail import text_of_part
from rag.loaders.web.html import load_html

MAX_PAGES = 50  # frames


def load_mhtml(data: bytes) -> LoadedText:
    """Read a saved web page. Raises Unreadable if it holds no page."""
    try:
        parts = list(BytesParser(policy=email.policy.compat32).parsebytes(data.lstrip()).walk())
    except RecursionError:
        raise Unreadable("its parts are nested without end") from None
    pages: list[LoadedText] = []
    notes: list[str] = []
    lost: list[str] = []
    for part in [part for part in parts if part.get_content_type() in ("text/html", "application/xhtml+xml")]:
        if len(pages) == MAX_PAGES:
            lost.append(f"only the first {MAX_PAGES} of its frames are read")
            break
        text, note = text_of_part(part)
        try:
            pages.append(load_html(text.encode("utf-8", "ignore")))
            notes.append(note)
        except Unreadable as error:
            lost.append(f"a frame of it: {error}" if pages else "")
            reason = error
    if not pages:
        raise reason if any(lost) or lost == [""] else Unreadable("it holds no web page: save the page again")
    page = pages[0]
    if len(pages) > 1:
        builder = DocumentBuilder()
        for each in pages:
            add_loaded(builder, each)
        page = replace(builder.build(page.title), date=page.date)
    title = page.title or line_of(str(parts[0]["Subject"] or ""))
    return replace(page, title=title, note=joined(notes), lost=joined(lost))
