"""The one HTML page of the chat, as Chainlit makes it, without what it would fetch from other hosts.

Chainlit's page names a font and a stylesheet for formulas on other hosts. The content policy blocks both, and the
browser says so in its console at every visit; here they are taken out, so that the console shows real trouble only.
"""

from __future__ import annotations

import re

from chainlit.server import get_html_template
from fastapi.responses import HTMLResponse
from fastapi.routing import APIRoute, APIRouter

EVERY_PATH = "/{full_path:path}"  # Chainlit's last route: the page, whatever the path
ELSEWHERE = re.compile(r"""\s*<link\b[^>]*\bhref=["'](?:https?:)?//[^>]*>""")
ROOT_TAG = re.compile(r"<html\b")


def without_other_hosts(html: str, way: str) -> str:
    """Return a page that links to no other host, and tells the stylesheet by which way people come in."""
    return ROOT_TAG.sub(f'<html data-signin="{way}"', ELSEWHERE.sub("", html), count=1)


def serve_page(router: APIRouter, way: str) -> None:
    """Serve the page in place of Chainlit's own; made once, as nothing in it changes while the chat runs."""
    html = without_other_hosts(get_html_template(""), way)  # type: ignore[no-untyped-call]

    async def page() -> HTMLResponse:
        return HTMLResponse(html)

    (nth,) = [n for n, route in enumerate(router.routes) if getattr(route, "path", "") == EVERY_PATH]
    router.routes[nth] = APIRoute(EVERY_PATH, page, methods=["GET"])
