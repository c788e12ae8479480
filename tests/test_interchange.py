"""Labels from elsewhere find their chunk, count once, and a bad file changes nothing."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from fakes import make_chunk
from rag.errors import BadLabels
from rag.interchange import import_labels
from rag.store import Store, open_store
from train.pairs import make_pairs

CHUNKS = [
    make_chunk("The cat drinks warm milk\nat night, in the garden."),
    make_chunk("The dog keeps one bone in the old garden house."),
]
CAT = {"query": "what does a cat drink?", "text": "The cat drinks warm milk at night, in the garden.", "label": 1}


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = open_store(tmp_path / "lancedb")
    yield store
    store.close()


def write(path: Path, *lines: object) -> Path:
    path.write_text("\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines))
    return path


@pytest.mark.parametrize(
    "text",
    [
        "The cat drinks warm   milk at night, in the garden.",
        "The cat drinks warm milk at night, in the",
        "Before. The cat drinks warm milk at night, in the garden. The dog keeps no bone.",
    ],
)
def test_a_text_finds_its_chunk_whatever_blanks_and_size_it_has(tmp_path: Path, store: Store, text: str) -> None:
    report = import_labels(write(tmp_path / "labels.jsonl", CAT | {"text": text}), store, CHUNKS)
    (pair,) = make_pairs(store.labels(), CHUNKS).pairs
    assert (report.found, pair.positive_id) == (1, CHUNKS[0].id)


def test_a_text_that_is_nowhere_waits_until_the_documents_hold_it(tmp_path: Path, store: Store) -> None:
    report = import_labels(write(tmp_path / "l.jsonl", CAT | {"text": "Fish swim."}), store, CHUNKS)
    (label,) = store.labels()
    assert (report.labels, report.found, label.text) == (1, 0, "Fish swim.")
    assert make_pairs(store.labels(), CHUNKS).pairs == ()
    assert len(make_pairs(store.labels(), [*CHUNKS, make_chunk("Fish swim.")]).pairs) == 1


def test_the_same_file_twice_leaves_the_same_rows(tmp_path: Path, store: Store) -> None:
    file = write(tmp_path / "l.jsonl", CAT, CAT | {"query": "what is warm?"}, CAT | {"rater": "bob", "label": -1})
    import_labels(file, store, CHUNKS)
    first = sorted(store.labels(), key=lambda label: label.id)
    import_labels(file, store, CHUNKS)
    assert sorted(store.labels(), key=lambda label: label.id) == first
    assert sorted((label.rater, label.label) for label in first) == [("bob", -1), ("import", 1), ("import", 1)]


def test_rater_and_time_are_taken_where_given(tmp_path: Path, store: Store) -> None:
    import_labels(write(tmp_path / "l.jsonl", CAT | {"rater": "bob", "at": "2026-01-02T13:00:00+01:00"}), store, CHUNKS)
    (label,) = store.labels()
    assert (label.rater, label.at.isoformat(), label.origin) == ("bob", "2026-01-02T12:00:00+00:00", "import")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{not json", "line 2"),
        ({"query": "q", "text": "t"}, "needs an object with query, text and label"),
        ([1], "needs an object"),
        (CAT | {"label": 2}, "label must be 1, 0 or -1, not 2"),
        (CAT | {"label": True}, "not True"),
        (CAT | {"query": " "}, "query must be a text"),
        (CAT | {"at": "yesterday"}, "yesterday"),
    ],
)
def test_a_bad_line_is_named_and_nothing_is_imported(tmp_path: Path, store: Store, line: object, message: str) -> None:
    with pytest.raises(BadLabels, match=message) as caught:
        import_labels(write(tmp_path / "l.jsonl", CAT, line), store, CHUNKS)
    assert "line 2" in str(caught.value)
    assert store.labels() == []


def test_a_missing_an_empty_and_a_binary_file_are_said(tmp_path: Path, store: Store) -> None:
    (tmp_path / "empty.jsonl").write_text("\n")
    (tmp_path / "binary.jsonl").write_bytes(b"\xff\xfe\x00")
    for name, message in [("none.jsonl", "no such file"), ("empty.jsonl", "no labels"), ("binary.jsonl", "UTF-8")]:
        with pytest.raises(BadLabels, match=message):
            import_labels(tmp_path / name, store, CHUNKS)
