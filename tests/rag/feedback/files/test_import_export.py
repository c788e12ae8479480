"""Labels from elsewhere find their chunk, count once, a bad file changes nothing, and what goes out comes in again."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fakes import NOON
from labels import CHUNKS, DOCUMENTS, TEXTS, make_document, make_label
from rag.errors import BadLabels
from rag.feedback.chunk_matching import ChunkMatcher
from rag.feedback.files.import_export import export_labels, import_labels, read_labels
from rag.feedback.files.jsonl import write_jsonl
from rag.records import Chunk, LabelledPair, chunks_of, normalise_query
from rag.store.store import Store, open_store

CAT = {"query": "what does a cat drink?", "text": "The cat drinks warm milk at night, in the garden.", "label": 1}


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = open_store(tmp_path / "lancedb")
    yield store
    store.close()


def write(path: Path, *lines: object) -> Path:
    path.write_text("\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines))
    return path


def meant(labels: Sequence[LabelledPair], chunks: Sequence[Chunk] = CHUNKS) -> list[str | None]:
    """Return the id of the chunk that each label means, as training finds it."""
    anchors = ChunkMatcher(chunks)
    return [anchors.find(label.chunk_id, label.text) for label in labels]


@pytest.mark.parametrize(
    "text",
    [
        "The cat drinks warm   milk at night, in the garden.",
        "The cat drinks warm milk at night, in the",
        "Before. The cat drinks warm milk at night, in the garden. The dog keeps no bone.",
    ],
)
def test_a_text_finds_its_chunk_whatever_blanks_and_size_it_has(tmp_path: Path, store: Store, text: str) -> None:
    read = import_labels(write(tmp_path / "labels.jsonl", CAT | {"text": text}), store, DOCUMENTS)
    assert (read.found, read.unmatched, meant(store.feedback.labels())) == (1, (), [CHUNKS[0].id])


LONG = "The office opens at 9 – on “working days” only. Files of the first floor are kept for ten years in the cellar."


@pytest.mark.parametrize(
    "text",
    [
        'The office opens at 9 - on "working days" only. Files of the first floor are kept for ten years in',
        "The of\u00adfice opens at 9 — on «working days» only. Files of the ﬁrst ﬂoor are kept for ten years",
        "The office opens at ９ –\u00a0on “working\ndays” only. **Files** of the `first` floor are kept",
    ],
)
def test_a_text_finds_its_chunk_whatever_its_typography(text: str) -> None:
    (chunk,) = chunks_of(make_document(LONG))
    assert ChunkMatcher([chunk]).find("", text) == chunk.id


@pytest.mark.parametrize(("start", "end", "holder"), [(10, 75, 0), (30, 97, 1), (0, 106, 0)])
def test_a_text_across_a_chunk_border_means_the_chunk_that_holds_most_of_it(
    tmp_path: Path, store: Store, start: int, end: int, holder: int
) -> None:
    text = DOCUMENTS[0].text[start:end]
    read = import_labels(write(tmp_path / "l.jsonl", CAT | {"text": text}), store, DOCUMENTS)
    assert (read.found, read.unmatched, read.crossing) == (1, (), 1)
    assert meant(store.feedback.labels()) == [CHUNKS[holder].id]


def test_a_short_text_is_found_where_it_stands_once_and_else_the_line_says_how_often(tmp_path: Path) -> None:
    lines = [CAT | {"text": text} for text in ("drinks warm", "The", "birds")]
    read = read_labels(write(tmp_path / "l.jsonl", *lines), DOCUMENTS)
    assert read.found == 1
    assert [line.why for line in read.unmatched] == [
        "waits, for 'The' stands at 2 places: give more of the text to say which is meant",
        "waits, for none of these documents holds 'birds'",
    ]


def test_thousands_of_labels_find_their_chunks_and_foreign_texts_find_none() -> None:
    texts = [" ".join(f"word{n * k % 9973}" for k in range(1, 60)) for n in range(1, 3000)]
    chunks = [chunk for n, text in enumerate(texts) for chunk in chunks_of(make_document(text, source=f"{n}.md"))]
    matcher = ChunkMatcher(chunks)
    assert all(matcher.find("", chunk.text[40:300]) == chunk.id for chunk in chunks)
    assert not any(matcher.find("", f"{chunk.text[40:60]} elsewhere {n} " * 5) for n, chunk in enumerate(chunks))


def test_a_text_that_is_nowhere_is_listed_and_waits_until_the_documents_hold_it(tmp_path: Path, store: Store) -> None:
    fish = CAT | {"text": "Fish swim."}
    read = import_labels(write(tmp_path / "l.jsonl", fish | {"query": "q"}, fish), store, DOCUMENTS)
    _, line = read.unmatched
    assert str(line) == "line 2: 'what does a cat drink?': waits, for none of these documents holds 'Fish swim.'"
    assert (len(read.labels), read.found, line.waits) == (2, 0, True)
    later = chunks_of(make_document(*TEXTS, "Fish swim."))
    assert (meant(store.feedback.labels()), meant(store.feedback.labels(), later)) == ([None] * 2, [later[3].id] * 2)


def test_a_place_means_the_text_that_stands_there(tmp_path: Path, store: Store) -> None:
    place = {"query": "what does a cat drink?", "document": "a.md", "start": 4, "end": 48, "label": 1}
    read = import_labels(write(tmp_path / "l.jsonl", place), store, DOCUMENTS)
    (label,) = store.feedback.labels()
    assert (label.text, read.found, read.unmatched) == (TEXTS[0][4:48], 1, ())
    assert meant([label]) == [CHUNKS[0].id]


@pytest.mark.parametrize(
    ("start", "end", "holder"),
    [
        (8, 14, 0),  # "drinks": too short to be found by itself
        (40, 97, 1),  # the end of the first chunk and nearly all of the second: no chunk lies in it, it lies in none
        (97, 105, 2),
    ],
)
def test_a_place_that_would_not_be_found_by_its_text_means_the_chunk_it_lies_in_most(
    tmp_path: Path, start: int, end: int, holder: int
) -> None:
    place = {"query": "q", "document": "a.md", "start": start, "end": end, "label": 1}
    read = read_labels(write(tmp_path / "l.jsonl", place), DOCUMENTS)
    assert [label.text for label in read.labels] == [TEXTS[holder]]


def test_a_place_in_one_of_two_documents_that_say_the_same_means_its_own_chunk(tmp_path: Path) -> None:
    same = "Whatever a cat says, it says it at four in the morning."
    documents = [make_document(same + " Twice.", source="a.md"), make_document(same + " And loudly.", source="b.md")]
    place = {"query": "q", "document": "b.md", "start": 0, "end": len(same), "label": 1}
    (label,) = read_labels(write(tmp_path / "l.jsonl", place), documents).labels
    assert label.text == same + " And loudly."


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"document": "gone.md"}, "left out, for no document 'gone.md' is indexed"),
        ({"end": 200}, "left out, for 'a.md' ends at 106, before 200"),
        ({"start": 49, "end": 51}, "left out, for 'a.md' has only blanks from 49 to 51"),
    ],
)
def test_what_is_no_place_in_a_document_is_listed_and_not_stored(
    tmp_path: Path, store: Store, change: dict[str, object], why: str
) -> None:
    place = {"query": "where?", "document": "a.md", "start": 0, "end": 20, "label": 1}
    read = import_labels(write(tmp_path / "l.jsonl", CAT, place | change), store, DOCUMENTS)
    assert [str(line) for line in read.unmatched] == [f"line 2: 'where?': {why}"]
    assert [label.query for label in store.feedback.labels()] == [CAT["query"]]
    assert (read.found, read.unmatched[0].waits) == (1, False)


def test_where_a_line_has_a_text_and_a_place_the_text_counts(tmp_path: Path) -> None:
    line = CAT | {"document": "gone.md", "start": 3, "end": 9}
    read = read_labels(write(tmp_path / "l.jsonl", line), DOCUMENTS)
    assert (read.labels[0].text, read.unmatched) == (CAT["text"], ())


def test_the_same_file_twice_leaves_the_same_rows(tmp_path: Path, store: Store) -> None:
    file = write(tmp_path / "l.jsonl", CAT, CAT | {"query": "what is warm?"}, CAT | {"rater": "bob", "label": -1})
    import_labels(file, store, DOCUMENTS)
    first = sorted(store.feedback.labels(), key=lambda label: label.id)
    import_labels(file, store, DOCUMENTS)
    assert sorted(store.feedback.labels(), key=lambda label: label.id) == first
    assert sorted((label.rater, label.label) for label in first) == [("bob", -1), ("import", 1), ("import", 1)]


def test_of_two_lines_on_the_same_thing_the_last_counts_and_that_is_told(tmp_path: Path, store: Store) -> None:
    file = write(tmp_path / "l.jsonl", CAT, CAT | {"query": "What does a cat  drink", "label": -1})
    read = import_labels(file, store, DOCUMENTS)
    assert ([label.label for label in store.feedback.labels()], len(read.labels), read.repeated) == ([-1], 1, 1)


def test_rater_and_time_are_taken_where_given(tmp_path: Path, store: Store) -> None:
    other = {"rater": "bob", "at": "2026-01-02T13:00:00+01:00"}
    file = write(tmp_path / "l.jsonl", CAT | other, CAT | {"rater": None, "at": None, "query": "q"})
    import_labels(file, store, DOCUMENTS)
    bob, nobody = sorted(store.feedback.labels(), key=lambda label: label.rater)
    assert (bob.rater, bob.at.isoformat(), bob.origin) == ("bob", "2026-01-02T12:00:00+00:00", "import")
    assert (nobody.rater, nobody.at.year) == ("import", 1970)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{not json", "'{not json' is not JSON"),
        ("[" * 100_000, "is not JSON"),
        ({"query": "q", "text": "t"}, "needs an object with query, text and label"),
        ({"query": "q", "label": 1, "document": "a.md", "start": 1}, "or with document, start and end"),
        ([1], r"'\[1\]' is no object"),
        (CAT | {"label": 2}, "label must be 1, 0 or -1, not 2"),
        (CAT | {"label": True}, "not True"),
        (CAT | {"label": "1"}, "not '1'"),
        (CAT | {"query": " "}, "query must be a text"),
        (CAT | {"text": "\ud800"}, "is not JSON"),
        (CAT | {"at": "yesterday"}, "at must be a time such as 2026-11-23T10:00:00Z, not 'yesterday'"),
        (CAT | {"at": 5}, "not 5"),
        (CAT | {"at": "0001-01-01T00:00:00+10:00"}, "out of range"),
        (CAT | {"rater": ["bob"]}, r"rater must be a name, not \['bob'\]"),
        ({"query": "q", "label": 1, "document": "a.md", "start": 9, "end": 9}, "not 9 and 9"),
        ({"query": "q", "label": 1, "document": "a.md", "start": -1, "end": 9}, "not -1 and 9"),
        ({"query": "q", "label": 1, "document": "a.md", "start": 0, "end": "9"}, "not 0 and '9'"),
    ],
)
def test_a_bad_line_is_named_and_nothing_is_imported(tmp_path: Path, store: Store, line: object, message: str) -> None:
    with pytest.raises(BadLabels, match=message) as caught:
        import_labels(write(tmp_path / "l.jsonl", CAT, line), store, DOCUMENTS)
    assert str(caught.value).startswith(f"{tmp_path / 'l.jsonl'} line 2: ")
    assert str(caught.value).endswith("fix the line and import again")
    assert store.feedback.labels() == []


def test_a_missing_an_empty_and_a_binary_file_are_said(tmp_path: Path, store: Store) -> None:
    (tmp_path / "empty.jsonl").write_text("\n")
    (tmp_path / "binary.jsonl").write_bytes(b"\xff\xfe\x00")
    for name, message in [("none.jsonl", "no such file"), ("empty.jsonl", "no labels"), ("binary.jsonl", "UTF-8")]:
        with pytest.raises(BadLabels, match=message):
            import_labels(tmp_path / name, store, DOCUMENTS)


def test_an_export_names_the_text_the_place_of_today_and_who_said_it(tmp_path: Path, store: Store) -> None:
    gone = make_label("A page that is gone.", -1, at=NOON + timedelta(1), rater="bob", origin="taught", weight=2.5)
    store.feedback.put_labels([make_label(TEXTS[1]), gone, make_label(TEXTS[2], 0)])
    report = export_labels(tmp_path / "out.jsonl", store, DOCUMENTS)
    lines = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    noon = NOON.isoformat()
    here = {"query": "why?", "text": TEXTS[1], "document": "a.md", "start": 51, "end": 98, "label": 1}
    away = {"query": "why?", "text": "A page that is gone.", "label": -1}
    assert lines == [
        here | {"rater": "ann", "at": noon, "origin": "mark", "weight": 1.0},
        away | {"rater": "bob", "at": noon.replace("02T", "03T"), "origin": "taught", "weight": 2.5},
    ]
    assert (report.labels, report.queries) == (2, 1)


def test_what_was_said_of_the_passage_itself_outlives_a_thumb_that_came_later(tmp_path: Path, store: Store) -> None:
    thumb = make_label(label=1, origin="rating", answer_id="another", at=NOON + timedelta(1))
    store.feedback.put_labels([make_label(label=-1), thumb])
    export_labels(tmp_path / "out.jsonl", store, DOCUMENTS)
    assert [label.label for label in read_labels(tmp_path / "out.jsonl", DOCUMENTS).labels] == [-1]


@pytest.mark.parametrize("name", ["labels.jsonl", "folder"])
def test_a_guess_is_not_exported_for_it_would_come_back_as_a_judgement(tmp_path: Path, store: Store, name: str) -> None:
    cited = make_label(TEXTS[0], origin="rating", cited=True, answer_id="a1")
    unused = make_label(TEXTS[1], label=-1, origin="rating", cited=False, answer_id="a1")
    blamed = make_label(TEXTS[2], label=-1, origin="rating", cited=True, answer_id="a2")
    store.feedback.put_labels([cited, unused, blamed])
    export_labels(tmp_path / name, store, DOCUMENTS)
    read = read_labels(tmp_path / name, DOCUMENTS).labels
    assert {each.text for each in read} == {cited.text, blamed.text}


@pytest.mark.parametrize("name", ["labels.jsonl", "folder"])
def test_nothing_is_overwritten_and_a_failed_export_leaves_nothing(tmp_path: Path, store: Store, name: str) -> None:
    with pytest.raises(BadLabels, match="no labels to export"):
        export_labels(tmp_path / name, store, DOCUMENTS)
    store.feedback.put_labels([make_label()])
    export_labels(tmp_path / name, store, DOCUMENTS)
    with pytest.raises(BadLabels, match="nothing is overwritten"):
        export_labels(tmp_path / name, store, DOCUMENTS)
    (tmp_path / "file").write_text("")
    with pytest.raises(BadLabels, match="cannot be written"):
        export_labels(tmp_path / "file" / name, store, DOCUMENTS)
    with pytest.raises(BadLabels, match=r"ends in '\.csv'"):
        export_labels(tmp_path / "labels.csv", store, DOCUMENTS)
    assert {path.name for path in tmp_path.iterdir()} == {"file", "home.json", "lancedb", name}


TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=30).filter(str.strip)
LABELS = st.builds(
    make_label,
    TEXT | st.sampled_from(TEXTS),
    st.sampled_from([1, -1]),
    rater=TEXT,
    query=TEXT,
    at=st.datetimes(datetime(1970, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC)),
    weight=st.floats(0.25, 4, width=16),
)


@given(st.lists(LABELS, min_size=1, max_size=5))
def test_whatever_is_written_is_read_again_by_rater_query_text_label_and_time(labels: list[LabelledPair]) -> None:
    def said(rows: list[LabelledPair]) -> dict[tuple[str, str, str], tuple[object, ...]]:
        return {(row.rater, normalise_query(row.query), row.text): (row.label, row.at) for row in rows}

    with tempfile.TemporaryDirectory() as folder:
        write_jsonl(Path(folder) / "l.jsonl", [(label, None) for label in labels])
        assert said(list(read_labels(Path(folder) / "l.jsonl", DOCUMENTS).labels)) == said(labels)


@pytest.mark.parametrize("name", ["labels.jsonl", "beir"])
def test_an_export_read_into_a_fresh_home_says_the_same_of_the_same_chunks(
    tmp_path: Path, store: Store, name: str
) -> None:
    def said(labels: Sequence[LabelledPair]) -> set[tuple[str, str | None, int]]:
        return {(row.query, chunk, row.label) for row, chunk in zip(labels, meant(labels), strict=True)}

    gone = make_label("A page that is gone.", query="what is gone?")
    rows = [make_label(TEXTS[0]), make_label(TEXTS[1], -1), make_label(TEXTS[2], query="Was heißt\u2028kurz?"), gone]
    store.feedback.put_labels(rows)
    export_labels(tmp_path / name, store, DOCUMENTS)
    fresh = open_store(tmp_path / "fresh")
    read = import_labels(tmp_path / name, fresh, DOCUMENTS)
    assert said(fresh.feedback.labels()) == said(rows)
    assert (len(fresh.feedback.labels()), [line.query for line in read.unmatched]) == (4, ["what is gone?"])
    fresh.close()
