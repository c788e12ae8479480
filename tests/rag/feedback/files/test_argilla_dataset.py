"""Labels to Argilla and back, through Argilla's own Python package and a stand-in for its server."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import argilla as rg
import pytest

from argilla_server import ArgillaServer
from fakes import NOON
from labels import DOCUMENTS, make_label
from rag.__main__ import main
from rag.errors import BadLabels
from rag.feedback.files.import_export import export_to_argilla, import_labels
from rag.records import LabelledPair
from rag.store.store import Store, open_store
from served import listening


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = open_store(tmp_path / "lancedb")
    yield store
    store.close()


@pytest.fixture
def argilla() -> Iterator[tuple[ArgillaServer, rg.Argilla]]:
    server = ArgillaServer()
    with listening(server.app) as url:
        yield server, rg.Argilla(api_url=url, api_key="owner.apikey", retries=0)


def rows() -> list[LabelledPair]:
    """Return labels of every kind: two raters who disagree, withdrawn, guessed, of a preference, of odd characters."""
    first = make_label()
    return [
        first,
        replace(first, rater="bob", label=-1, weight=0.3333, cited=True, rank=3, score=0.25, arm="tuned", side="B"),
        replace(first, rater="cleo", label=0, reason="wrong source", blind=True, model="v3"),
        replace(first, chunk_id="c2", text="Never judged.", label=-1, origin="rating", cited=False),
        replace(first, answer_id="prefer:d", origin="preference", text="line\u2028one\r\ntwo", at=NOON),
    ]


def sorted_labels(store: Store) -> list[LabelledPair]:
    return sorted(store.feedback.labels(), key=lambda label: label.id)


def test_labels_come_back_from_argilla_as_they_were_and_with_what_people_said_there(
    tmp_path: Path, store: Store, argilla: tuple[ArgillaServer, rg.Argilla]
) -> None:
    server, client = argilla
    store.feedback.put_labels(rows())
    before = sorted_labels(store)
    assert export_to_argilla(tmp_path / "out", store).labels == len(rows())
    dataset = rg.Dataset.from_disk(str(tmp_path / "out"), workspace="default", client=client)
    suggested = {record.fields["passage"]: dict(record.suggestions.to_dict()) for record in dataset.records}
    assert suggested["Never judged."] == {}
    assert suggested["line\u2028one\r\ntwo"]["relevant"]["value"] == "yes"
    ann, odd = str(uuid4()), str(uuid4())
    passages = [record.fields["passage"] for record in dataset.records]
    server.answer(ann, "relevant", ["no" if text == "Never judged." else None for text in passages])
    server.answer(odd, "relevant", ["perhaps" if text == "Never judged." else None for text in passages])
    (tmp_path / "back").mkdir()
    dataset.to_disk(str(tmp_path / "back"))
    for home in ("other", "lancedb"):  # into the home that it came from nothing is doubled
        target = store if home == "lancedb" else open_store(tmp_path / home)
        read = import_labels(tmp_path / "back", target, DOCUMENTS)
        import_labels(tmp_path / "back" / "records.json", target, DOCUMENTS)
        assert [label for label in sorted_labels(target) if label.rater != f"argilla:{ann}"] == before
        (said,) = [label for label in target.feedback.labels() if label.rater == f"argilla:{ann}"]
        assert (said.text, said.label, said.origin) == ("Never judged.", -1, "import")
        assert [line.where.endswith(odd) for line in read.unmatched if not line.waits] == [True]
        if target is not store:
            target.close()


def test_the_settings_are_those_that_argilla_writes(
    tmp_path: Path, store: Store, argilla: tuple[ArgillaServer, rg.Argilla]
) -> None:
    store.feedback.put_labels(rows())
    export_to_argilla(tmp_path / "out", store)
    ours = rg.Settings.from_json(tmp_path / "out" / ".argilla" / "settings.json")
    theirs = rg.Settings(
        guidelines="Does the passage answer the question?",
        allow_extra_metadata=True,
        fields=[rg.TextField(name="question", title="Question"), rg.TextField(name="passage", title="Passage")],
        questions=[
            rg.LabelQuestion(
                name="relevant", title="Does the passage answer the question?", labels={"yes": "Yes", "no": "No"}
            )
        ],
    )
    assert without_ids(ours.serialize()) == without_ids(theirs.serialize())
    assert without_ids(json.loads((tmp_path / "out" / ".argilla" / "settings.json").read_text())).keys() >= {
        "fields",
        "questions",
        "distribution",
    }


def without_ids(given: Any) -> Any:
    if isinstance(given, dict):
        known = {"id", "dataset_id", "inserted_at", "updated_at"}
        return {name: without_ids(each) for name, each in given.items() if name not in known}
    return [without_ids(each) for each in given] if isinstance(given, list) else given


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("fields", {"question": "", "passage": "x"}),
        ("fields", {"question": 7, "passage": "x"}),
        ("metadata", {"thumbtune_labels": "{"}),
        ("metadata", {"thumbtune_labels": [{"at": "2026"}]}),
        ("metadata", {"thumbtune_labels": [{"at": "2026-01-01T00:00:00+00:00", "label": 7}]}),
    ],
)
def test_a_damaged_record_imports_nothing(tmp_path: Path, store: Store, name: str, value: object) -> None:
    store.feedback.put_labels(rows())
    export_to_argilla(tmp_path / "out", store)
    file = tmp_path / "out" / "records.json"
    records = json.loads(file.read_text())
    records[-1][name] = value
    file.write_text(json.dumps(records))
    other = open_store(tmp_path / "other")
    with pytest.raises(BadLabels, match=f"entry {len(records)}"):
        import_labels(tmp_path / "out", other, DOCUMENTS)
    assert other.feedback.labels() == []
    other.close()


def test_the_commands_write_and_read_a_dataset_of_argilla(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("THUMBTUNE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("THUMBTUNE_DOCS", str(tmp_path / "docs"))
    (tmp_path / "docs").mkdir()
    (tmp_path / "labels.jsonl").write_text(json.dumps({"query": "who?", "text": "Somebody.", "label": 1}) + "\n")
    assert main(["import", str(tmp_path / "labels.jsonl")]) == 0
    assert main(["export", str(tmp_path / "out"), "--as", "argilla"]) == 0
    assert "exported 1 label on 1 query" in capsys.readouterr().out
    shutil.rmtree(tmp_path / "home")
    assert main(["import", str(tmp_path / "out")]) == 0
    assert "imported 1 label" in capsys.readouterr().out
