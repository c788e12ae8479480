"""Compare.jsx is served as one file with all its parts; the browser tests run it."""

from __future__ import annotations

from pathlib import Path

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from chat.elements.jsx import CARD_FILE, card_route, read_card
from rag.settings import ROOT

ELEMENTS = ROOT / "public" / "elements"


def test_the_card_is_served_with_every_part_once() -> None:
    app = FastAPI()
    app.router.routes.append(card_route(ELEMENTS))
    served = TestClient(app).get(f"/public/elements/{CARD_FILE}").text
    parts = list((ELEMENTS / "card").glob("*.jsx"))
    assert parts
    assert [served.count(part.read_text("utf-8").rstrip("\n")) for part in parts] == [1] * len(parts)
    assert "// include" not in served


def test_a_missing_part_is_an_error(tmp_path: Path) -> None:
    (tmp_path / CARD_FILE).write_text("a();\n  // include card/gone.jsx\nb();\n")
    with pytest.raises(FileNotFoundError, match=r"gone\.jsx"):
        read_card(tmp_path)
    (tmp_path / "card").mkdir()
    (tmp_path / "card" / "gone.jsx").write_text("here();\n")
    assert read_card(tmp_path) == "a();\nhere();\nb();\n"
