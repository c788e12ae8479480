"""The parse cache: a file is parsed once; a damaged entry is parsed again."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from rag.ingest import workers
from rag.ingest.parse_cache import ParseCache
from rag.ingest.workers import work
from rag.loaders.builder import LoadedText

PAGE = b"<html><body><article><h1>Birds</h1><p>Birds eat seed in the garden.</p></article></body></html>"
GOOD = {"text": "x", "sections": [], "title": "", "lost": "", "date": ""}


def load(folder: Path) -> LoadedText:
    """Return the page as a worker process returns it."""
    cache = ParseCache(folder)
    return cache.read(".html", PAGE) or work(".html", PAGE, cache, 60)


@pytest.fixture
def parsings(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """Return the list of files that are parsed from now on."""
    parsed: list[bytes] = []
    parse = workers.parse
    monkeypatch.setattr(workers, "parse", lambda suffix, data: parsed.append(data) or parse(suffix, data))
    return parsed


def damaged(cached: bytes) -> bytes:
    """Return a gzip file whose deflate block has an invalid type: the first byte after the header is damaged."""
    return cached[:10] + b"\xff" * 8 + cached[18:]


def test_a_file_is_parsed_once(tmp_path: Path, parsings: list[bytes]) -> None:
    first = load(tmp_path)
    assert load(tmp_path) == first
    assert len(parsings) == 1


@pytest.mark.parametrize(
    "row",
    [[], None, "text", {}, {**GOOD, "sections": None}, {**GOOD, "sections": [{"blocks": [{"what": 1}]}]}],
    ids=str,
)
def test_an_entry_of_another_shape_is_parsed_again(tmp_path: Path, parsings: list[bytes], row: object) -> None:
    first = load(tmp_path)
    (cached,) = tmp_path.iterdir()
    cached.write_bytes(gzip.compress(json.dumps(row).encode()))
    assert [load(tmp_path) for _ in range(2)] == [first, first]
    assert len(parsings) == 2  # and cached again


@pytest.mark.parametrize("damage", [damaged, lambda cached: cached[:-9], lambda cached: b"", lambda cached: b"no gzip"])
def test_a_damaged_entry_is_parsed_again(tmp_path: Path, parsings: list[bytes], damage: object) -> None:
    first = load(tmp_path)
    (cached,) = tmp_path.iterdir()
    cached.write_bytes(damage(cached.read_bytes()))  # type: ignore[operator]
    assert [load(tmp_path) for _ in range(2)] == [first, first]
    assert len(parsings) == 2
