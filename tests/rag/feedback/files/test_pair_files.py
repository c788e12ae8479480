"""Pairs to sentence-transformers and back: `datasets` loads the files as they are, and its trainer takes them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sentence_transformers import SentenceTransformer, SentenceTransformerTrainer, SentenceTransformerTrainingArguments
from sentence_transformers.sentence_transformer.losses import MultipleNegativesRankingLoss

from fakes import make_answer
from labels import DOCUMENTS, TEXTS
from rag.__main__ import main
from rag.errors import BadLabels
from rag.feedback.files.import_export import import_labels
from rag.feedback.files.pair_files import export_pairs
from rag.feedback.ratings import rate_answer
from rag.ingest.corpus import load_corpus
from rag.records import Hit, Pair, chunks_of
from rag.settings import Settings
from rag.store.store import Store, open_store

MILK, BONE = "The cat drinks warm milk at night.", "The dog keeps one bone in the garden."
PAIRS = [
    Pair("what does a cat drink?", "c1", MILK, (BONE, "Cats eat\u2028fish.")),
    Pair("what does a dog keep?", "d1", BONE),
]
BUILDERS = {".jsonl": "json", ".parquet": "parquet"}


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = open_store(tmp_path / "lancedb")
    yield store
    store.close()


def load(path: Path) -> datasets.Dataset:
    """Load a file as any user of sentence-transformers does."""
    return datasets.load_dataset(
        BUILDERS[path.suffix], data_files=str(path), split="train", cache_dir=str(path.parent / "cache")
    )


def write(path: Path, *rows: dict[str, object]) -> Path:
    if path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(list(rows)), path)
    else:
        path.write_text("\n".join(map(json.dumps, rows)))
    return path


def said(store: Store) -> dict[tuple[str, str], int]:
    return {(label.query, label.text): label.label for label in store.feedback.labels()}


@pytest.mark.parametrize("suffix", BUILDERS)
def test_pairs_and_triplets_have_only_the_columns_of_the_loss(tmp_path: Path, suffix: str) -> None:
    report = export_pairs(tmp_path / f"p{suffix}", PAIRS, "pairs")
    assert (report.rows, report.queries, report.without, report.negatives) == (2, 2, 0, 2)
    assert load(tmp_path / f"p{suffix}").to_list() == [{"anchor": p.query, "positive": p.positive} for p in PAIRS]
    report = export_pairs(tmp_path / f"t{suffix}", PAIRS, "triplets")
    assert (report.rows, report.queries, report.without, report.negatives) == (2, 1, 1, 0)
    triplets = load(tmp_path / f"t{suffix}")
    assert triplets.column_names == ["anchor", "positive", "negative"]
    assert triplets["negative"][:] == [*PAIRS[0].negatives]


def test_the_trainer_of_sentence_transformers_takes_both_files(tmp_path: Path, tiny_model: Path) -> None:
    model = SentenceTransformer(str(tiny_model), device="cpu")
    for shape in ("pairs", "triplets"):
        export_pairs(tmp_path / f"{shape}.parquet", PAIRS, shape)
        args = SentenceTransformerTrainingArguments(
            output_dir=str(tmp_path / shape), max_steps=1, save_strategy="no", report_to="none", use_cpu=True
        )
        trainer = SentenceTransformerTrainer(
            model, args, load(tmp_path / f"{shape}.parquet"), loss=MultipleNegativesRankingLoss(model)
        )
        assert trainer.train().global_step == 1


@pytest.mark.parametrize("suffix", BUILDERS)
def test_what_was_exported_comes_back_as_labels(tmp_path: Path, store: Store, suffix: str) -> None:
    export_pairs(tmp_path / f"t{suffix}", PAIRS, "triplets")
    for _ in range(2):
        read = import_labels(tmp_path / f"t{suffix}", store, DOCUMENTS)
    query = PAIRS[0].query
    assert said(store) == {(query, MILK): 1, **{(query, text): -1 for text in PAIRS[0].negatives}}
    assert read.repeated == 0


@pytest.mark.parametrize("suffix", BUILDERS)
def test_files_of_public_data_sets_are_read_by_their_own_names(tmp_path: Path, store: Store, suffix: str) -> None:
    rows = [
        {"question": "q", "answer": TEXTS[0], "negative_1": TEXTS[1], "negative_2": None},
        {"question": "Q ", "answer": TEXTS[1], "negative_1": "x", "negative_2": "y"},
    ]
    read = import_labels(write(tmp_path / f"mined{suffix}", *rows), store, DOCUMENTS)
    assert {label.text: label.label for label in store.feedback.labels()} == {
        TEXTS[0]: 1,
        TEXTS[1]: 1,  # a positive of the second row is no negative of the first
        "x": -1,
        "y": -1,
    }
    assert (read.found, [line.where for line in read.unmatched]) == (
        2,
        [f"{'line' if suffix == '.jsonl' else 'row'} 2"] * 2,
    )


@pytest.mark.parametrize("suffix", BUILDERS)
@pytest.mark.parametrize("row", [{"positive": " "}, {"negative": ""}, {"anchor": None}], ids=str)
def test_a_bad_row_imports_nothing(tmp_path: Path, store: Store, suffix: str, row: dict[str, object]) -> None:
    good = {"anchor": "q", "positive": "p", "negative": "n"}
    (name,) = row
    place = "line 2" if suffix == ".jsonl" else "row 2"
    with pytest.raises(BadLabels, match=f"{place}: {name} must be a text, not .*nothing was imported"):
        import_labels(write(tmp_path / f"bad{suffix}", good, good | row), store, DOCUMENTS)
    assert store.feedback.labels() == []


def test_what_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    for path, pairs, shape, why in (
        ("p.csv", PAIRS, "pairs", "ends in '.csv'"),
        ("p.jsonl", [], "pairs", "no pairs to export"),
        ("p.jsonl", PAIRS[1:], "triplets", "--as pairs"),
    ):
        with pytest.raises(BadLabels, match=why):
            export_pairs(tmp_path / path, pairs, shape)
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def indexed(settings: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Settings:
    """Return the settings of a home that is indexed, as commands find them in their environment."""
    for name in ("home", "base_model", "start_model", "chunk_tokens", "device"):
        monkeypatch.setenv(f"THUMBTUNE_{name.upper()}", str(getattr(settings, name)))
    monkeypatch.setenv("THUMBTUNE_DOCS", str(settings.docs[0]))
    assert main(["index"]) == 0
    capsys.readouterr()
    return settings


@pytest.mark.parametrize("suffix", BUILDERS)
def test_the_commands_take_pairs_in_and_give_those_of_a_training(
    tmp_path: Path, indexed: Settings, capsys: pytest.CaptureFixture[str], suffix: str
) -> None:
    team = {"anchor": "who drinks milk?", "positive": MILK, "negative": BONE}
    lone = {"anchor": "who keeps a bone?", "positive": BONE, "negative": None}
    gone = {"anchor": "who swims?", "positive": "Fish swim in the pond behind the house every day.", "negative": None}
    assert main(["import", str(write(tmp_path / f"team{suffix}", team, lone, gone))]) == 0
    assert "imported 4 labels, 3 of them on passages" in capsys.readouterr().out
    assert main(["export", str(tmp_path / f"out{suffix}"), "--as", "triplets"]) == 0
    out = capsys.readouterr().out
    assert "exported 1 triplet on 1 query" in out
    assert "1 positives without a negative are left out" in out
    assert "1 labels are left out: their text is no longer in these documents" in out
    (row,) = load(tmp_path / f"out{suffix}").to_list()
    assert (row["anchor"], MILK in row["positive"], BONE in row["negative"]) == (team["anchor"], True, True)
    assert main(["export", str(tmp_path / f"out{suffix}"), "--as", "pairs"]) == 2
    assert "is there already" in capsys.readouterr().err


def test_a_thumb_gives_the_triplet_that_it_trains(
    tmp_path: Path, indexed: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    store = open_store(indexed.lancedb)
    documents = store.documents.read(load_corpus(indexed).id)
    chunks = [chunk for document in documents for chunk in chunks_of(document)]
    right = next(chunk for chunk in chunks if MILK in chunk.text)
    wrong = next(chunk for chunk in chunks if BONE in chunk.text)
    answer = make_answer([Hit(right, 1, 0.9), Hit(wrong, 2, 0.8)], cited=(1,), query="what is warm?")
    store.feedback.put_answer(answer)
    rate_answer(store, rater="ann", answer_id=answer.id, value=1, blind=True)
    store.close()
    assert main(["export", str(tmp_path / "out.parquet"), "--as", "triplets"]) == 0
    assert "exported 1 triplet on 1 query" in capsys.readouterr().out
    expected = {"anchor": "what is warm?", "positive": right.text, "negative": wrong.text}
    assert load(tmp_path / "out.parquet").to_list() == [expected]
