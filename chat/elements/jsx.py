"""Serve Compare.jsx together with its parts, as one file.

Why: Chainlit evaluates a custom element as a single file that cannot import another one. Compare.jsx names its parts in
lines such as `// include card/answer.jsx`; each such line is replaced by the part.
"""

from __future__ import annotations

import re
from pathlib import Path

from fastapi.responses import PlainTextResponse
from fastapi.routing import APIRoute

CARD_FILE = "Compare.jsx"
INCLUDE = re.compile(r"^ *// include (card/[a-z]+\.jsx)$", re.MULTILINE)


def card_route(elements: Path) -> APIRoute:
    """Return the route that serves the card's file; `elements` is the folder public/elements."""

    def serve() -> PlainTextResponse:
        return PlainTextResponse(read_card(elements), headers={"cache-control": "no-cache"})

    return APIRoute(f"/public/elements/{CARD_FILE}", serve, response_model=None)


def read_card(elements: Path) -> str:
    """Return Compare.jsx with its parts. Raises FileNotFoundError for a part that is missing."""
    text = (elements / CARD_FILE).read_text("utf-8")
    return INCLUDE.sub(lambda line: (elements / line[1]).read_text("utf-8").rstrip("\n"), text)
