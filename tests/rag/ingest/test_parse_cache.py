"""What was parsed is kept; what is kept and cannot be read is parsed anew."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from rag.ingest import parse_cache
from rag.ingest.parse_cache import ParseCache

PAGE = b"<html><body><article><h1>Birds</h1><p>Birds eat seed in the garden.</p></article></body></html>"
GOOD = {"text": "x", "sections": [], "title": "", "lost": "", "date": ""}


@pytest.fixture
def parsings(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """Return what is parsed from now on."""
    seen: list[bytes] = []
    load = parse_cache.LOADERS[".html"]
    monkeypatch.setitem(parse_cache.LOADERS, ".html", lambda data: seen.append(data) or load(data))
    return seen


def damaged(kept: bytes) -> bytes:
    """Return a compressed file whose blocks are of no known type: its first byte after the head says so."""
    return kept[:10] + b"\xff" * 8 + kept[18:]


def test_what_one_loader_reads_is_kept_or_not_whatever_the_name_ends_in() -> None:
    costly = {parse_cache.LOADERS[suffix] for suffix in parse_cache.COSTLY}
    assert {suffix for suffix, load in parse_cache.LOADERS.items() if load in costly} == parse_cache.COSTLY


def test_a_file_is_parsed_once(tmp_path: Path, parsings: list[bytes]) -> None:
    first = ParseCache(tmp_path).extract(".html", PAGE)
    assert ParseCache(tmp_path).extract(".html", PAGE) == first
    assert len(parsings) == 1


@pytest.mark.parametrize(
    "row",
    [[], None, "text", {}, {**GOOD, "sections": None}, {**GOOD, "sections": [{"blocks": [{"what": 1}]}]}],
    ids=str,
)
def test_what_is_kept_in_another_shape_is_parsed_anew(tmp_path: Path, parsings: list[bytes], row: object) -> None:
    first = ParseCache(tmp_path).extract(".html", PAGE)
    (kept,) = tmp_path.iterdir()
    kept.write_bytes(gzip.compress(json.dumps(row).encode()))
    assert [ParseCache(tmp_path).extract(".html", PAGE) for _ in range(2)] == [first, first]
    assert len(parsings) == 2  # and kept again


@pytest.mark.parametrize("damage", [damaged, lambda kept: kept[:-9], lambda kept: b"", lambda kept: b"no gzip"])
def test_a_damaged_file_is_parsed_anew(tmp_path: Path, parsings: list[bytes], damage: object) -> None:
    first = ParseCache(tmp_path).extract(".html", PAGE)
    (kept,) = tmp_path.iterdir()
    kept.write_bytes(damage(kept.read_bytes()))  # type: ignore[operator]
    assert [ParseCache(tmp_path).extract(".html", PAGE) for _ in range(2)] == [first, first]
    assert len(parsings) == 2
