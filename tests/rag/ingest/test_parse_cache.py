"""What was parsed is kept; what is kept and cannot be read is parsed anew."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from rag.ingest import parse_cache as parsed
from rag.ingest.parse_cache import Parsed

PAGE = b"<html><body><article><h1>Birds</h1><p>Birds eat seed in the garden.</p></article></body></html>"
GOOD = {"text": "x", "sections": [], "title": "", "lost": "", "date": ""}


@pytest.fixture
def parsings(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """Return what is parsed from now on."""
    seen: list[bytes] = []
    load = parsed.LOADERS[".html"]
    monkeypatch.setitem(parsed.LOADERS, ".html", lambda data: seen.append(data) or load(data))
    return seen


def damaged(kept: bytes) -> bytes:
    """Return a compressed file whose blocks are of no known type: its first byte after the head says so."""
    return kept[:10] + b"\xff" * 8 + kept[18:]


def test_what_one_loader_reads_is_kept_or_not_whatever_the_name_ends_in() -> None:
    costly = {parsed.LOADERS[suffix] for suffix in parsed.COSTLY}
    assert {suffix for suffix, load in parsed.LOADERS.items() if load in costly} == parsed.COSTLY


def test_a_file_is_parsed_once(tmp_path: Path, parsings: list[bytes]) -> None:
    first = Parsed(tmp_path).extract(".html", PAGE)
    assert Parsed(tmp_path).extract(".html", PAGE) == first
    assert len(parsings) == 1


@pytest.mark.parametrize(
    "row",
    [[], None, "text", {}, {**GOOD, "sections": None}, {**GOOD, "sections": [{"blocks": [{"what": 1}]}]}],
    ids=str,
)
def test_what_is_kept_in_another_shape_is_parsed_anew(tmp_path: Path, parsings: list[bytes], row: object) -> None:
    first = Parsed(tmp_path).extract(".html", PAGE)
    (kept,) = tmp_path.iterdir()
    kept.write_bytes(gzip.compress(json.dumps(row).encode()))
    assert [Parsed(tmp_path).extract(".html", PAGE) for _ in range(2)] == [first, first]
    assert len(parsings) == 2  # and kept again


@pytest.mark.parametrize("damage", [damaged, lambda kept: kept[:-9], lambda kept: b"", lambda kept: b"no gzip"])
def test_a_damaged_file_is_parsed_anew(tmp_path: Path, parsings: list[bytes], damage: object) -> None:
    first = Parsed(tmp_path).extract(".html", PAGE)
    (kept,) = tmp_path.iterdir()
    kept.write_bytes(damage(kept.read_bytes()))  # type: ignore[operator]
    assert [Parsed(tmp_path).extract(".html", PAGE) for _ in range(2)] == [first, first]
    assert len(parsings) == 2
