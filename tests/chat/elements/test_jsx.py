"""Each element is served as one file with all its parts; the browser tests run them."""

from __future__ import annotations

from pathlib import Path

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from chat.elements.jsx import INCLUDE, elements_route, read_element
from rag.settings import ROOT

ELEMENTS = ROOT / "public" / "elements"


@pytest.mark.parametrize("name", ["Compare", "Training", "Review", "Source", "Teach"])
def test_an_element_is_served_with_every_part_once(name: str) -> None:
    served = client().get(f"/public/elements/{name}.jsx").text
    parts = [ELEMENTS / part for part in INCLUDE.findall((ELEMENTS / f"{name}.jsx").read_text("utf-8"))]
    assert parts
    assert [served.count(part.read_text("utf-8").rstrip("\n")) for part in parts] == [1] * len(parts)
    assert "// include" not in served


def test_every_part_belongs_to_an_element() -> None:
    named = {part for path in ELEMENTS.glob("*.jsx") for part in INCLUDE.findall(path.read_text("utf-8"))}
    assert named == {path.relative_to(ELEMENTS).as_posix() for path in ELEMENTS.glob("*/*.jsx")}


@pytest.mark.parametrize("name", ["Nothing", "..%2Fapp", "card%2Fanswer"])
def test_what_is_no_element_is_not_served(name: str) -> None:
    assert client().get(f"/public/elements/{name}.jsx").status_code == 404


def client() -> TestClient:
    app = FastAPI()
    app.router.routes.append(elements_route(ELEMENTS))
    return TestClient(app)


def test_a_missing_part_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "Compare.jsx").write_text("a();\n  // include card/gone.jsx\nb();\n")
    with pytest.raises(FileNotFoundError, match=r"gone\.jsx"):
        read_element(tmp_path, "Compare")
    (tmp_path / "card").mkdir()
    (tmp_path / "card" / "gone.jsx").write_text("here();\n")
    assert read_element(tmp_path, "Compare") == "a();\nhere();\nb();\n"
