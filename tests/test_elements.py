"""The elements of the page (public/elements): what can be said of their source without a browser."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from rag.settings import ROOT

ELEMENTS = sorted((ROOT / "public" / "elements").glob("*.jsx"))
EFFECT = re.compile(r"\buse(?:Layout|Insertion)?Effect\(")
BLOCK = re.compile(r"\buse(?:Layout|Insertion)?Effect\(\(\) => \{\n")


@pytest.mark.parametrize("element", ELEMENTS, ids=lambda path: path.name)
def test_an_effect_returns_nothing_by_accident(element: Path) -> None:
    """React calls whatever an effect returns when it is over; `() => value` returns whatever the value is one day."""
    source = element.read_text()
    assert len(BLOCK.findall(source)) == len(EFFECT.findall(source))
