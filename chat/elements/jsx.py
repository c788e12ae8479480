"""Serve the elements in public/elements together with their parts, each as one file.

Why: Chainlit evaluates a custom element as a single file that cannot import another one. An element names its parts in
lines such as `// include card/answer.jsx`; each such line is replaced by the part.
"""

from __future__ import annotations

import re
from pathlib import Path

from fastapi import HTTPException
from fastapi.responses import PlainTextResponse
from fastapi.routing import APIRoute

INCLUDE = re.compile(r"^ *// include ((?:card|parts)/[a-z]+\.jsx)$", re.MULTILINE)
NAME = re.compile(r"[A-Z][A-Za-z]*")


def elements_route(elements: Path) -> APIRoute:
    """Return the route that serves the elements' files; `elements` is the folder public/elements."""

    def serve(name: str) -> PlainTextResponse:
        if not (NAME.fullmatch(name) and (elements / f"{name}.jsx").is_file()):
            raise HTTPException(404, "no such element")
        return PlainTextResponse(read_element(elements, name), headers={"cache-control": "no-cache"})

    return APIRoute("/public/elements/{name}.jsx", serve, response_model=None)


def read_element(elements: Path, name: str) -> str:
    """Return an element's file with its parts. Raises FileNotFoundError for a part that is missing."""
    text = (elements / f"{name}.jsx").read_text("utf-8")
    return INCLUDE.sub(lambda line: (elements / line[1]).read_text("utf-8").rstrip("\n"), text)
