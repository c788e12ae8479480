"""Serve the page's texts: public/language.js with the texts of one language, at /language/<language>.js.

How it works, the page behind the button of that name, is a file per language: chainlit.md, chainlit_de-DE.md and so on.
"""

from __future__ import annotations

import hashlib
import json
from functools import cache
from pathlib import Path

from fastapi import HTTPException
from fastapi.responses import Response
from fastapi.routing import APIRoute

from chat.language import language_for, languages, texts
from rag.settings import ROOT

SCRIPT = ROOT / "public" / "language.js"
ADDRESS = "/language"
IMMUTABLE = "public, max-age=31536000, immutable"  # the address has the content's hash


@cache
def script(language: str) -> str:
    """Return the script that the page loads for a language."""
    known = json.dumps(texts(language), ensure_ascii=False)
    return f"{SCRIPT.read_text('utf-8')}\nthumbtune.start({json.dumps(language)}, {known});\n"


def script_address(language: str) -> str:
    """Return the URL of the script, which changes with its content."""
    return f"{ADDRESS}/{language}.js?v={hashlib.sha256(script(language).encode()).hexdigest()[:12]}"


def how_it_works(root: str, language: str) -> str:
    """Return "How it works" in the language of a browser, in place of Chainlit's function, which knows no fallback."""
    own = Path(root) / f"chainlit_{language_for(language)}.md"
    return (own if own.is_file() else Path(root) / "chainlit.md").read_text("utf-8")


def language_route() -> APIRoute:
    """Return the route of the scripts. The sign-in page needs it, too, so it is open."""

    def serve(language: str) -> Response:
        if language not in languages():
            raise HTTPException(404, f"no texts in this language; there are {', '.join(languages())}")
        return Response(script(language), media_type="text/javascript", headers={"cache-control": IMMUTABLE})

    return APIRoute(f"{ADDRESS}/{{language}}.js", serve, response_model=None)
