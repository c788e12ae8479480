"""Marks that are opened and never closed: read in a time that grows with the file, not with its square."""

from __future__ import annotations

import time

import pytest

from rag.errors import Unreadable
from rag.loaders.formats import LOADERS

MANY = 20_000
WIKI = ("<ref>", "<pre>", "<div>", "{|\n", "{{a|", "[http://a ", "<!--")
TEX = (r"\begin{verbatim}", r"\begin{comment}", r"\iffalse ", r"\newtheorem{", r"\input{", r"\author[", r"\verb")


@pytest.mark.parametrize(("suffix", "mark"), [*((".wiki", mark) for mark in WIKI), *((".tex", mark) for mark in TEX)])
def test_unclosed_marks_cost_no_more_than_their_number(suffix: str, mark: str) -> None:
    start = time.process_time()
    try:
        text = LOADERS[suffix](f"Boats. {mark * MANY}".encode()).text
    except Unreadable:
        text = "Boats."
    assert text.startswith("Boats.")
    assert time.process_time() - start < 6  # they took 15 to 60 seconds


def test_unclosed_marks_stay_as_they_are_written() -> None:
    wiki = "Boats " + "a <ref> b [http://c d {| e\n" * 60 + "f <ref>g</ref> <code>h[</code>"
    text = LOADERS[".wiki"](wiki.encode()).text
    assert "a <ref> b [http://c d {| e" in text
    assert "`h[`" in text
    assert not any("\ue000" <= letter <= "\uf8ff" for letter in text)


@pytest.mark.parametrize(
    ("suffix", "data"),
    [
        (".md", "<b>b</b>" + "`" * 500 + " a" * 100_000),
        (".md", "<b>b</b>" + "\\( x " * 20_000),
        (".html", "<table><tr><td>a</td><td>" * 400 + "<p>b</p>" * 4_000),
    ],
    ids=["an open code span", "open formulas", "nested tables"],
)
def test_what_fuzzing_found_costs_no_more_than_its_size(suffix: str, data: str) -> None:
    start = time.process_time()
    LOADERS[suffix](data.encode())
    assert time.process_time() - start < 3  # files of this size took 5 to 20 seconds
