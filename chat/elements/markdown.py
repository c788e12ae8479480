"""Convert an answer's text to Markdown for Chainlit: citations become links, and no text is lost.

Why: Chainlit reads ":word" as a directive and drops it, so such a colon is escaped outside code and URLs. A citation of
an existing passage becomes a link to `#passage-<rank>`, which Compare.jsx opens. A link that is relative to the quoted
document would be dead here, so only its text is kept.
"""

from __future__ import annotations

import re

from rag.answering.citations import CITATION, CODE

NO_WORD = "\u200b"  # Chainlit draws its blinking cursor at this character
TOKENS = re.compile(
    rf"(?P<code>{CODE.pattern})"
    r"|(?P<relative>\[(?P<words>[^\[\]\n]+)\]\((?!https?://|mailto:|/)[^()\s]+\))"
    r"|(?P<url>https?://[^\s)>\]]+)"
    rf"|(?P<cite>{CITATION.pattern})"
    r"|(?P<colon>:)(?=[A-Za-z:])",
    re.DOTALL,
)


def as_markdown(text: str, n_hits: int) -> str:
    """Return an answer as Markdown for Chainlit; a citation of none of the `n_hits` passages stays plain text."""

    def replace(token: re.Match[str]) -> str:
        if token["relative"]:
            return as_markdown(token["words"], n_hits)
        if token["colon"]:
            return r"\:"
        if token["cite"]:
            return re.sub(r"\d+", lambda number: _link(number[0], n_hits), token["cite"][1:-1])
        return token[0]

    return TOKENS.sub(replace, text.replace(NO_WORD, ""))


def _link(number: str, n_hits: int) -> str:
    return f"[{number}](#passage-{int(number)})" if 1 <= int(number) <= n_hits else rf"\[{number}\]"
