"""BEIR folders: what other tools publish is read, what we write they can load, and nothing is dropped unsaid."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from labels import CHUNKS, DOCUMENTS, TEXTS, make_label
from rag.errors import BadLabels
from rag.feedback.files.beir import Passage, Score, read_beir, write_beir
from rag.feedback.files.import_export import export_labels, read_labels
from rag.records import content_id
from rag.store.store import open_store

QUERIES = [{"_id": "q1", "text": "what does a cat drink?"}, {"_id": "q2", "text": "who keeps a bone?"}]
CORPUS = [
    {"_id": "d1", "title": "Cats", "text": "The cat drinks warm milk at night, in the garden."},
    {"_id": "d2", "title": "Dogs", "text": "The dog keeps one bone in the old garden house."},
    {"_id": "d3", "title": "", "text": "Fish swim."},
]
HEADER = "query-id\tcorpus-id\tscore"


def make_folder(folder: Path, **qrels: list[str]) -> Path:
    (folder / "qrels").mkdir(parents=True)
    (folder / "queries.jsonl").write_text("\n".join(map(json.dumps, QUERIES)))
    (folder / "corpus.jsonl").write_text("\n".join(map(json.dumps, CORPUS)))
    for split, rows in qrels.items():
        (folder / "qrels" / f"{split}.tsv").write_text("\n".join(rows) + "\n")
    return folder


def load_as_beir_does(folder: Path) -> tuple[dict[str, dict[str, str]], dict[str, str], dict[str, dict[str, int]]]:
    """Return corpus, queries and qrels as beir's GenericDataLoader(folder).load() does, line by line."""
    corpus = {row["_id"]: row for row in map(json.loads, (folder / "corpus.jsonl").open(encoding="utf8"))}
    texts = {row["_id"]: row["text"] for row in map(json.loads, (folder / "queries.jsonl").open(encoding="utf8"))}
    qrels: dict[str, dict[str, int]] = {}
    rows = csv.reader((folder / "qrels" / "test.tsv").open(encoding="utf-8"), delimiter="\t")
    next(rows)
    for query_id, corpus_id, score in rows:
        qrels.setdefault(query_id, {})[corpus_id] = int(score)
    return corpus, {query_id: texts[query_id] for query_id in qrels}, qrels


def test_every_split_is_read_and_a_score_above_0_is_a_positive(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "beir", train=[HEADER, "q1\td1\t2", "q1\td2\t0"], test=[HEADER, "q2\td2\t1"])
    read = read_labels(folder, DOCUMENTS)
    said = {(label.query, label.text[:7], label.label, label.rater) for label in read.labels}
    assert said == {
        ("what does a cat drink?", "The cat", 1, "import"),
        ("what does a cat drink?", "The dog", -1, "import"),
        ("who keeps a bone?", "The dog", 1, "import"),
    }
    assert (read.found, read.unmatched) == (3, ())


def test_a_qrels_file_without_a_header_loses_no_row(tmp_path: Path) -> None:
    (judgement,) = read_beir(make_folder(tmp_path / "beir", dev=["q1\td1\t1"]))
    assert (judgement.where, judgement.label) == ("qrels/dev.tsv line 1", 1)


def test_what_corpus_or_queries_lack_is_listed_and_left_out(tmp_path: Path) -> None:
    rows = ["q1\td1\t1", "q1\td9\t1", "q9\td1\t1", "q1\td3\t1", "q2\td4\t1"]
    folder = make_folder(tmp_path / "beir", test=[HEADER, *rows])
    with (folder / "corpus.jsonl").open("a") as file:
        file.write('\n{"_id": "d4", "title": "Only a title", "text": ""}\n')
    read = read_labels(folder, DOCUMENTS)
    assert [str(line) for line in read.unmatched] == [
        "qrels/test.tsv line 3: 'what does a cat drink?': passage 'd9' is not in corpus.jsonl",
        "qrels/test.tsv line 4: 'q9': query 'q9' is not in queries.jsonl",
        "qrels/test.tsv line 5: 'what does a cat drink?': waits, for none of these documents holds 'Fish swim.'",
        "qrels/test.tsv line 6: 'who keeps a bone?': passage 'd4' has no text in corpus.jsonl",
    ]
    assert (len(read.labels), read.found) == (2, 1)


def test_ids_may_be_numbers(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "beir", test=[HEADER, "7\td1\t1"])
    (folder / "queries.jsonl").write_text('{"_id": 7, "text": "seven?"}')
    assert [judgement.query for judgement in read_beir(folder)] == ["seven?"]


@pytest.mark.parametrize(
    ("file", "text", "message"),
    [
        ("qrels/test.tsv", f"{HEADER}\nq1 d1 1\n", "test.tsv line 2: 'q1 d1 1' is not query-id, corpus-id and score"),
        ("qrels/test.tsv", "q1\t0\td1\t1\n", "test.tsv line 1: .* with tabs between"),
        ("qrels/test.tsv", f"{HEADER}\nq1\td1\tyes\n", "line 2: the score must be a whole number, not 'yes'"),
        ("qrels/test.tsv", f"{HEADER}\n", "no labels in it"),
        ("corpus.jsonl", '{"_id": "d1", "text": 5}', "corpus.jsonl line 1: text must be a text, not 5"),
        ("corpus.jsonl", '{"id": "d1", "text": "a"}', "corpus.jsonl line 1: it has no _id"),
        ("queries.jsonl", "{", "queries.jsonl line 1: '{' is not JSON"),
    ],
)
def test_a_bad_file_in_a_folder_is_named_with_its_line(tmp_path: Path, file: str, text: str, message: str) -> None:
    folder = make_folder(tmp_path / "beir", test=[HEADER, "q1\td1\t1"])
    (folder / file).write_text(text)
    with pytest.raises(BadLabels, match=message):
        read_labels(folder, DOCUMENTS)


@pytest.mark.parametrize(("gone", "message"), [("corpus.jsonl", "corpus.jsonl: there is no such"), ("qrels", "qrels/")])
def test_a_folder_that_is_not_beirs_is_said(tmp_path: Path, gone: str, message: str) -> None:
    folder = make_folder(tmp_path / "beir", test=[HEADER, "q1\td1\t1"])
    (folder / gone).rename(tmp_path / "elsewhere")
    with pytest.raises(BadLabels, match=message):
        read_labels(folder, DOCUMENTS)


def test_what_is_written_loads_as_beir_loads_it(tmp_path: Path) -> None:
    passages = [Passage("p1", "Ein Titel", 'Text mit "Zitat",\tTab\nund\u2028Zeilen')]
    write_beir(tmp_path / "beir", passages, {"q": "für wen?"}, [Score("q", "p1", 1)])
    corpus, queries, qrels = load_as_beir_does(tmp_path / "beir")
    assert corpus == {"p1": {"_id": "p1", "title": "Ein Titel", "text": 'Text mit "Zitat",\tTab\nund\u2028Zeilen'}}
    assert (queries, qrels) == ({"q": "für wen?"}, {"q": {"p1": 1}})


def test_an_export_has_all_chunks_texts_that_are_gone_and_one_score_for_each_query_and_passage(tmp_path: Path) -> None:
    store = open_store(tmp_path / "lancedb")
    cited, uncited = {"origin": "rating", "cited": True}, {"origin": "rating", "cited": False}
    store.feedback.put_labels(
        [
            make_label(TEXTS[0], 1),  # a mark beats two thumbs on answers
            *(make_label(TEXTS[0], -1, rater=rater, **cited) for rater in ("bob", "eve")),
            make_label(TEXTS[1], 1, rater="bob", **cited),  # a citation beats two guesses
            *(make_label(TEXTS[1], -1, rater=rater, **uncited) for rater in ("ann", "eve")),
            make_label(TEXTS[2], 1),  # a draw is dropped
            make_label(TEXTS[2], -1, rater="bob"),
            make_label("A page that is gone.", -1),
        ]
    )
    report = export_labels(tmp_path / "beir", store, DOCUMENTS)
    store.close()
    corpus, queries, qrels = load_as_beir_does(tmp_path / "beir")
    gone = content_id("A page that is gone.")
    assert set(corpus) == {*(chunk.id for chunk in CHUNKS), gone}
    assert list(queries.values()) == ["why?"]
    assert list(qrels.values()) == [{CHUNKS[0].id: 1, CHUNKS[1].id: 1, gone: 0}]
    assert (report.labels, report.queries, report.ties) == (3, 1, 1)
