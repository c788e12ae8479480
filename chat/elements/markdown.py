"""Convert an answer's text to Markdown for Chainlit: citations become links, and no text is lost.

Why: Chainlit reads ":word" as a directive and drops it, so such a colon is escaped outside code and URLs. It fetches an
image without a click, so an image becomes a link. A citation of an existing passage becomes a link to
`#passage-<rank>`, which Compare.jsx opens. One that does not support its sentence, and a passage found for a sentence
without a citation, become links that end in what they are.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import partial

from rag.answering.evidence.citations import CITATION, CODE
from rag.records import Evidence

NO_WORD = "\u200b"  # Chainlit draws its blinking cursor at this character
FROM, WRONG, ENDED = "\ue000", "\ue001", "\ue002"  # stand for links until the text around them is escaped
CODE_OR_CITATION = re.compile(rf"(?P<code>{CODE.pattern})|{CITATION.pattern}", re.DOTALL)
IMAGE = re.compile(r"!(?=\[)")
TOKENS = re.compile(
    rf"(?P<escaped>\\.)|(?P<code>{CODE.pattern})"
    r"|(?P<url>https?://[^\s)>\]]+)"
    rf"|(?P<cite>{CITATION.pattern})"
    rf"|{FROM}(?P<drawn>\d+){ENDED}|{WRONG}(?P<wrong>\d+){ENDED}"
    rf"|(?P<colon>:)(?=[A-Za-z:])|(?P<image>{IMAGE.pattern})",
    re.DOTALL,
)


def as_markdown(text: str, n_hits: int, evidence: Sequence[Evidence] = ()) -> str:
    """Return an answer as Markdown for Chainlit; a citation of none of the `n_hits` passages stays plain text."""

    def replace(token: re.Match[str]) -> str:
        if token["colon"] or token["image"]:
            return rf"\{token[0]}"
        if token["code"] and token["fence"] and token.start() and token.string[token.start() - 1] != "\n":
            return IMAGE.sub(r"!\\", token[0])  # a fence within a line is none to the page
        if token["cite"]:
            return re.sub(r"\d+", lambda number: _link(number[0], n_hits), token["cite"][1:-1])
        if token["drawn"]:
            return _named_link(f"from passage {token['drawn']}", token["drawn"], n_hits, "attributed")
        if token["wrong"]:
            return _named_link(f"{token['wrong']} not supported", token["wrong"], n_hits, "unsupported")
        return token[0]

    return TOKENS.sub(replace, _with_evidence(text, evidence).replace(NO_WORD, ""))


def _with_evidence(text: str, evidence: Sequence[Evidence]) -> str:
    """Return a text with what was found out about its statements, where it is shown."""
    for each in sorted(evidence, key=lambda found: (found.start, found.kind == "unsupported"), reverse=True):
        statement, rest = text[each.start : each.end], text[each.end :]
        if each.kind == "unsupported":
            statement = CODE_OR_CITATION.sub(partial(_flagged, each.rank), statement)
        elif not _goes_on(each, evidence, text):
            at = len(statement.rstrip("| \t")) if statement.endswith("|") else len(statement)  # inside a table's cell
            gap = "\n\n" if statement.endswith(("```", "~~~")) else " "
            statement = f"{statement[:at]}{gap}{FROM}{each.rank}{ENDED}{statement[at:]}"
        text = text[: each.start] + statement + rest
    return text


def _flagged(rank: int, found: re.Match[str]) -> str:
    return f"{WRONG}{rank}{ENDED}" if found[0] == f"[{rank}]" else found[0]


def _goes_on(this: Evidence, evidence: Sequence[Evidence], text: str) -> bool:
    """Return whether the next statement follows at once and was drawn from the same passage: that one is marked."""
    return any(
        each.kind == "attributed"
        and each.rank == this.rank
        and text[this.end : each.start].isspace()
        and text.count("\n", this.end, each.start) < 2
        for each in evidence
    )


def _link(number: str, n_hits: int) -> str:
    return f"[{number}](#passage-{int(number)})" if 1 <= int(number) <= n_hits else rf"\[{number}\]"


def _named_link(name: str, rank: str, n_hits: int, kind: str) -> str:
    return f"[{name}](#passage-{rank}-{kind})" if int(rank) <= n_hits else f"({name})"
