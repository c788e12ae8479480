"""The page links to no other host and has its sign-in mode in an attribute; nothing else of it changes."""

from __future__ import annotations

import re

from chainlit.server import get_html_template, router
from fastapi import APIRouter, FastAPI
from fastapi.routing import APIRoute
from starlette.testclient import TestClient

from chat.web.index_page import EVERY_PATH, serve_page, without_other_hosts

PAGE = """<html lang="en"><head>
<link rel="preconnect" href="https://fonts.example" />
<link
  rel="stylesheet" href='//cdn.example/katex.css'
/>
<link rel="stylesheet" crossorigin href="/assets/index.css">
<meta property="og:url" content="https://chat.example"></head></html>"""


def test_links_to_other_hosts_are_removed_and_own_links_stay() -> None:
    assert without_other_hosts(PAGE, "cookie") == (
        '<html data-signin="cookie" lang="en"><head>\n<link rel="stylesheet" crossorigin href="/assets/index.css">\n'
        '<meta property="og:url" content="https://chat.example"></head></html>'
    )


def test_chainlits_page_fetches_nothing_from_elsewhere_and_keeps_what_it_needs() -> None:
    theirs = get_html_template("")  # type: ignore[no-untyped-call]
    ours = without_other_hosts(theirs, "password")
    fetched = re.compile(r"""<(?:link|script|img)\b[^>]*(?:href|src)=["']([^"']+)""")
    assert [
        url for url in fetched.findall(theirs) if url.startswith("http")
    ]  # else chat/web/index_page.py is not needed any more
    assert fetched.findall(ours) == [url for url in fetched.findall(theirs) if not url.startswith("http")]


async def nothing() -> dict[str, str]:
    return {}


def test_every_path_without_another_route_is_the_page() -> None:
    assert [route for route in router.routes if getattr(route, "path", "") == EVERY_PATH]  # serve_page counts on it
    routes = APIRouter(routes=[APIRoute(path, nothing) for path in ("/health", EVERY_PATH)])
    serve_page(routes, "oauth")
    app = FastAPI()
    app.include_router(routes)
    client = TestClient(app)
    assert client.get("/health").json() == {}
    for path in ("/", "/thread/0b1c", "/login"):
        assert '<html data-signin="oauth"' in client.get(path).text
