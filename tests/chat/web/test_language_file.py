"""The page gets its texts in the browser's language, and "How it works" too."""

from __future__ import annotations

import re

import pytest
from fastapi import FastAPI
from fastapi.routing import APIRouter
from starlette.testclient import TestClient

from chat.language import languages
from chat.web.index_page import EVERY_PATH, serve_page
from chat.web.language_file import how_it_works, language_route, script, script_address
from rag.settings import ROOT


@pytest.fixture
def client() -> TestClient:
    async def nothing() -> None: ...

    router = APIRouter()
    router.add_api_route(EVERY_PATH, nothing)
    serve_page(router, "cookie")
    app = FastAPI()
    app.router.routes.append(language_route())
    app.include_router(router)
    return TestClient(app)


@pytest.mark.parametrize(("accepted", "language"), [("de-AT", "de-DE"), ("es", "es"), ("ja", "en-US")])
def test_the_page_is_in_the_browsers_language_and_loads_its_texts_first(
    client: TestClient, accepted: str, language: str
) -> None:
    answer = client.get("/", headers={"accept-language": accepted})
    assert f'lang="{language}"' in answer.text
    assert answer.headers["vary"] == "accept-language"
    first = re.findall(r"<script[^>]*>", answer.text)[0]
    assert first == f'<script src="{script_address(language)}">'
    assert client.get(script_address(language)).text == script(language)


def test_there_is_no_script_of_a_language_without_texts(client: TestClient) -> None:
    answer = client.get("/language/fr-FR.js")
    assert answer.status_code == 404
    assert "de-DE" in answer.json()["detail"]


@pytest.mark.parametrize("language", languages())
def test_how_it_works_is_there_in_every_language(language: str) -> None:
    name = "chainlit.md" if language == "en-US" else f"chainlit_{language}.md"
    assert how_it_works(str(ROOT), language) == (ROOT / name).read_text("utf-8")
