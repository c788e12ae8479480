"""Serve Chainlit's HTML page in the browser's language and without links to other hosts.

Why: Chainlit's page links a font and a stylesheet for formulas on other hosts. The content security policy blocks both,
and the browser would log two errors in its console at each page load.
"""

from __future__ import annotations

import re
from typing import Annotated

from chainlit.server import get_html_template
from fastapi import Header
from fastapi.responses import HTMLResponse
from fastapi.routing import APIRoute, APIRouter

from chat.language import language_for, languages
from chat.web.language_file import script_address
from chat.web.security import inline_hashes

EVERY_PATH = "/{full_path:path}"  # Chainlit's last route: the page, for any path
ELSEWHERE = re.compile(r"""\s*<link\b[^>]*\bhref=["'](?:https?:)?//[^>]*>""")
ROOT_TAG = re.compile(r"<html\b")
LANGUAGE = re.compile(r'(<html\b[^>]*?\blang=)"[^"]*"(.*?<head\b[^>]*>)', re.DOTALL)


def without_other_hosts(html: str, way: str) -> str:
    """Return the page without links to other hosts, with the sign-in mode in `data-signin` for the stylesheet."""
    return ROOT_TAG.sub(f'<html data-signin="{way}"', ELSEWHERE.sub("", html), count=1)


def with_texts(html: str, language: str) -> str:
    """Return the page with its language, and with the script of its texts before all others."""
    script = f'<script src="{script_address(language)}"></script>'
    return LANGUAGE.sub(lambda found: f'{found[1]}"{language}"{found[2]}{script}', html, count=1)


def serve_page(router: APIRouter, way: str) -> tuple[str, ...]:
    """Replace Chainlit's page route; return the hashes of the page's inline scripts.

    Each language's page is built once, as it does not change while the chat runs.
    """
    html = without_other_hosts(get_html_template(""), way)  # type: ignore[no-untyped-call]
    pages = {language: with_texts(html, language) for language in languages()}

    async def page(accept_language: Annotated[str, Header()] = "") -> HTMLResponse:
        return HTMLResponse(pages[language_for(accept_language)], headers={"vary": "accept-language"})

    (nth,) = [n for n, route in enumerate(router.routes) if getattr(route, "path", "") == EVERY_PATH]
    router.routes[nth] = APIRoute(EVERY_PATH, page, methods=["GET"])
    return inline_hashes(html)
