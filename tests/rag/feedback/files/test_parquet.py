"""Labels to Parquet and back: every row as it was, nothing doubled, and a bad file changes nothing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fakes import NOON
from labels import DOCUMENTS, make_label
from rag.errors import BadLabels
from rag.feedback.files.import_export import export_labels, import_labels
from rag.records import LabelledPair
from rag.store.store import Store, open_store


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = open_store(tmp_path / "lancedb")
    yield store
    store.close()


def rows() -> list[LabelledPair]:
    """Return labels of every kind: withdrawn, shared among chunks, of a preference, with and without rank."""
    first = make_label()
    return [
        first,
        replace(first, chunk_id="c2", label=-1, weight=0.3333, cited=True, rank=3, score=0.25, arm="tuned", side="B"),
        replace(first, rater="bob", label=0, reason="wrong source", blind=True, model="v3"),
        replace(first, answer_id="prefer:d", origin="preference", text="line\u2028one\r\ntwo", at=NOON),
    ]


def with_column(table: pa.Table, name: str, value: object) -> pa.Table:
    return table.set_column(table.column_names.index(name), name, pa.array([value] * len(table)))


def sorted_labels(store: Store) -> list[LabelledPair]:
    return sorted(store.feedback.labels(), key=lambda label: label.id)


def test_every_label_comes_back_as_it_was(tmp_path: Path, store: Store) -> None:
    store.feedback.put_labels(rows())
    before = sorted_labels(store)
    report = export_labels(tmp_path / "out.parquet", store, DOCUMENTS)
    assert report.labels == len(rows())
    other = open_store(tmp_path / "other")
    import_labels(tmp_path / "out.parquet", other, DOCUMENTS)
    assert sorted_labels(other) == before
    other.close()


def test_an_import_into_the_same_home_doubles_nothing(tmp_path: Path, store: Store) -> None:
    store.feedback.put_labels(rows())
    before = sorted_labels(store)
    export_labels(tmp_path / "out.parquet", store, DOCUMENTS)
    import_labels(tmp_path / "out.parquet", store, DOCUMENTS)
    assert sorted_labels(store) == before


def test_nothing_is_overwritten(tmp_path: Path, store: Store) -> None:
    store.feedback.put_labels(rows())
    (tmp_path / "out.parquet").write_text("mine")
    with pytest.raises(BadLabels, match="is there already"):
        export_labels(tmp_path / "out.parquet", store, DOCUMENTS)
    assert (tmp_path / "out.parquet").read_text() == "mine"


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda table: table.drop_columns(["text"]), "no column 'text'"),
        (lambda table: with_column(table, "label", 2), "a label is 2"),
        (lambda table: with_column(table, "origin", "x"), "origin is 'x'"),
        (lambda table: with_column(table, "query", None), "'query' has an"),
        (lambda table: with_column(table, "label", "good"), "good"),
    ],
    ids=["column", "label", "origin", "empty", "type"],
)
def test_a_file_that_is_not_ours_imports_nothing(tmp_path: Path, store: Store, change: object, why: str) -> None:
    assert callable(change)
    other = open_store(tmp_path / "other")
    other.feedback.put_labels(rows()[:1])
    export_labels(tmp_path / "out.parquet", other, DOCUMENTS)
    other.close()
    pq.write_table(change(pq.read_table(tmp_path / "out.parquet")), tmp_path / "bad.parquet")
    with pytest.raises(BadLabels, match=why):
        import_labels(tmp_path / "bad.parquet", store, DOCUMENTS)
    assert store.feedback.labels() == []


def test_a_file_that_is_no_parquet_or_not_there_is_one_line(tmp_path: Path, store: Store) -> None:
    (tmp_path / "no.parquet").write_text("query,text,label")
    for name in ("no.parquet", "missing.parquet"):
        with pytest.raises(BadLabels, match=name) as raised:
            import_labels(tmp_path / name, store, DOCUMENTS)
        assert "\n" not in str(raised.value)
