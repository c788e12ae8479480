"""The passages of an answer as other front ends show them.

Open WebUI shows `source` events (`{"event": {"type": "source", ...}}`) of a stream and links [n] in the text to the
nth source: so all hits are sent, by rank, before the text. A whole response has them as `sources`. OpenAI's shape is
`annotations` of type url_citation, with the place of each citation in the text.

A passage has an address that needs no key, since a front end opens it in a browser: the answer's id in it is random,
and only who was given the answer knows it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rag.answering.evidence.citations import CITATION
from rag.records import Answer, Hit

OPEN_WEBUI = ("x-openwebui-user-id", "x-openwebui-chat-id", "x-openwebui-user-jwt")  # headers, if it forwards people
ITS_AGENT = "aiohttp/"  # all that tells it from others if it does not
PASSAGES = "/v1/passages"
NUMBER = re.compile(r"\d+")


class Citations:
    """The passages of one answer, whose addresses begin with `base`. A blind one shows no scores: each model has its
    own scale of them.
    """

    def __init__(self, base: str, completion: str, *, blind: bool) -> None:
        self._base, self._completion, self._blind = base, completion, blind

    def url(self, rank: int) -> str:
        """Return the address of the passage at a rank."""
        return f"{self._base}{PASSAGES}/{self._completion}/{rank}"

    def sources(self, hits: Sequence[Hit]) -> list[dict[str, Any]]:
        """Return the hits as Open WebUI's sources, by rank."""
        return [self._source(hit) for hit in hits]

    def annotations(self, answer: Answer) -> list[dict[str, Any]]:
        """Return OpenAI's annotations: each citation in the text, and each sentence drawn from a passage uncited."""
        hits = {hit.rank: hit for hit in answer.hits}
        found = [place for place in _places(answer) if place[2] in hits]
        return [
            {
                "type": "url_citation",
                "url_citation": {
                    "url": self.url(rank),
                    "title": place_of(hits[rank]),
                    "start_index": start,
                    "end_index": end,
                },
            }
            for start, end, rank in sorted(found)
        ]

    def _source(self, hit: Hit) -> dict[str, Any]:
        url, chunk = self.url(hit.rank), hit.chunk
        metadata = {"source": url, "name": place_of(hit), "external": True, "file": chunk.source, "rank": hit.rank}
        if chunk.page is not None:
            metadata["page"] = chunk.page
        source: dict[str, Any] = {
            "source": {"id": url, "name": place_of(hit), "url": url},
            "document": [chunk.shown],
            "metadata": [metadata],
        }
        if not self._blind:
            source["distances"] = [round(hit.score, 4)]
        return source


def makes_sources_of_annotations(headers: Mapping[str, str]) -> bool:
    """Return whether a client seems to be Open WebUI: of each annotation in a stream it shows one more source, with the
    title for a text.
    """
    return any(name in headers for name in OPEN_WEBUI) or ITS_AGENT in headers.get("user-agent", "")


def place_of(hit: Hit) -> str:
    """Return where a passage stands, for people: document, section and page."""
    chunk = hit.chunk
    page = f"page {chunk.pages}" if chunk.pages else ""
    return ", ".join(filter(None, [chunk.name, chunk.section, page]))


def passage_text(hit: Hit) -> str:
    """Return a passage as plain text below the name of its place."""
    return f"{place_of(hit)}\n{hit.chunk.source}\n\n{hit.chunk.shown}\n"


def _places(answer: Answer) -> Iterator[tuple[int, int, int]]:
    """Yield start, end and rank of what rests on a passage."""
    for mark in CITATION.finditer(answer.text):
        for number in NUMBER.findall(mark[1]):
            if int(number) in answer.cited:
                yield mark.start(), mark.end(), int(number)
    for each in answer.evidence or ():
        if each.kind == "attributed":
            yield each.start, each.end, each.rank
