"""What is written is what is read, an upsert never doubles a row, and a failure is one line."""

from __future__ import annotations

import gc
import multiprocessing
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import lancedb
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from lancedb.index import FTS

from fakes import NOON, make_answer, make_chunk, make_hits
from rag.errors import StoreFailed
from rag.records import Document, LabelledPair, Rating, Span, SyntheticPair, chunks_of
from rag.store import text_index
from rag.store.lance.tables import COMPACT_EVERY
from rag.store.schema import RATINGS, SCHEMAS, rating_row, to_arrow
from rag.store.store import Store, open_store
from voting import vote, vote_on_and_on

EYE = np.eye(3, dtype=np.float32)
CHUNKS = [make_chunk("cat"), make_chunk("dog"), make_chunk("it's", source="a 'quoted'\nname.md", page=3)]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = open_store(tmp_path / "lancedb")
    yield store
    store.close()


def test_documents_come_back_as_they_went_in_and_corpora_do_not_mix(store: Store) -> None:
    document = Document("d", "it's\n'quoted'.md", "T", "hash", "some text", (Span(0, 4, "H"), Span(5, 9, "H > I", 2)))
    store.documents.put("one", [document])
    store.documents.put("two", [replace(document, hash="other")])
    assert store.documents.read("one") == [document]
    assert store.documents.hashes("two") == {document.source: "other"}
    store.documents.delete("one", [document.source])
    assert store.documents.read("one") == []
    assert len(store.documents.read("two")) == 1


def test_search_ranks_by_cosine(store: Store) -> None:
    store.chunks.put("t", CHUNKS, EYE)
    hits = store.chunks.search("t", np.array([0.8, 0.6, 0], dtype=np.float32), 2)
    assert [(hit.rank, hit.chunk, round(hit.score, 4)) for hit in hits] == [(1, CHUNKS[0], 0.8), (2, CHUNKS[1], 0.6)]


def test_many_searches_at_once_find_what_one_by_one_finds(store: Store) -> None:
    store.chunks.put("t", CHUNKS, EYE)
    vectors = np.array([[0.8, 0.6, 0], [0, 0.6, 0.8], [0.6, 0, 0.8]], dtype=np.float32)
    for n in range(4):
        one_by_one = [[hit.chunk.id for hit in store.chunks.search("t", vector, 2)] for vector in vectors[:n]]
        assert store.chunks.search_ids("t", vectors[:n], 2) == one_by_one


def test_chunks_are_read_by_their_ids_and_unknown_ones_left_out(store: Store) -> None:
    store.chunks.put("t", CHUNKS, EYE)
    assert store.chunks.get("t", [CHUNKS[2].id, "unknown"]) == [CHUNKS[2]]
    assert store.chunks.get("t", []) == []
    assert store.chunks.get("no such table", [CHUNKS[0].id]) == []


def worded(store: Store, table: str, *texts: str) -> None:
    chunks = [make_chunk(text) for text in texts]
    store.chunks.put(table, chunks, np.tile(np.float32([0.6, 0.8, 0]), (len(chunks), 1)))


def found(store: Store, table: str, query: str, n: int = 5) -> list[str]:
    return [hit.chunk.text for hit in store.chunks.search_text(table, query, EYE[0], n)]


def test_a_search_by_words_ranks_rare_words_first_and_scores_by_cosine(store: Store) -> None:
    worded(store, "t", "the code of the door is ERR-1042", "the door of the house", "the garden")
    store.chunks.build_text_index("t")
    hits = store.chunks.search_text("t", "What is err-1042 of the door?", EYE[0], 2)
    assert [(hit.rank, hit.chunk.text) for hit in hits] == [
        (1, "the code of the door is ERR-1042"),
        (2, "the door of the house"),
    ]
    assert [hit.score for hit in hits] == pytest.approx([0.6, 0.6])
    assert {hit.origin for hit in hits} == {"explore"}


@pytest.mark.skipif(sys.platform != "linux", reason="open files are read from /proc")
def test_a_replaced_text_index_does_not_stay_open(store: Store, tmp_path: Path) -> None:
    def open_indexes() -> int:
        paths = [str(each.readlink()) for each in Path("/proc/self/fd").iterdir() if each.exists()]
        return sum(path.startswith(str(tmp_path)) and "_indices" in path for path in paths)

    other = open_store(tmp_path / "lancedb")  # of another process that adds documents
    for nth in range(5):
        worded(other, "t", f"the door number {nth}")
        other.chunks.build_text_index("t")
        assert found(store, "t", f"number {nth}", 1) == [f"the door number {nth}"]
        store.tables.forget_replaced_indexes()
    other.close()
    del other
    gc.collect()
    assert found(store, "t", "number 4", 1) == ["the door number 4"]
    assert open_indexes() <= 1  # that which serves; without it, five


def test_words_are_found_without_blanks_between_them_and_without_accents(store: Store) -> None:
    worded(store, "t", "東京都に住んでいます", "เครื่อง", "le café", "die Straße")
    store.chunks.build_text_index("t")
    queries = ("東京", "เครื่อง", "CAFE", "strasse")
    assert [found(store, "t", query) for query in queries] == [
        ["東京都に住んでいます"],
        ["เครื่อง"],
        ["le café"],
        ["die Straße"],
    ]


GERMAN = (
    "Das Wettbewerbsrecht der EU ist nicht für die kleinen Firmen gemacht, sagt der Verband.",
    "Die Krankenversicherung zahlt den Aufenthalt im Krankenhaus und die Pflege zu Hause.",
    "Der Hausbesitzer ist für das Dach und die Heizung verantwortlich, nicht der Mieter.",
)


def test_in_german_a_compound_is_found_by_its_parts_and_a_short_word_too(store: Store) -> None:
    worded(store, "t", *GERMAN)
    store.chunks.build_text_index("t")
    assert found(store, "t", "Welches Recht?", 1) == [GERMAN[0]]
    assert found(store, "t", "Besitzer", 1) == [GERMAN[2]]
    assert found(store, "t", "EU", 1) == [GERMAN[0]]


def test_elsewhere_a_part_of_a_word_finds_nothing(store: Store) -> None:
    worded(store, "t", "The bookkeeper of the house is not in the office, and that is the problem with this firm.")
    store.chunks.build_text_index("t")
    assert found(store, "t", "keep") == []
    assert found(store, "t", "office") != []


def test_a_text_index_that_was_built_with_other_options_is_built_again(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    worded(store, "t", "Die Haustür")
    with monkeypatch.context() as earlier:
        earlier.setattr(text_index, "BY_WORDS", FTS(base_tokenizer="whitespace", lower_case=False, stem=False))
        store.chunks.build_text_index("t")
    assert found(store, "t", "haustur") == []
    store.chunks.build_text_index("t")
    assert found(store, "t", "haustur") == ["Die Haustür"]


def test_a_chunk_is_found_by_its_words_before_the_index_is_made_anew(store: Store) -> None:
    worded(store, "t", "cat")
    store.chunks.build_text_index("t")
    worded(store, "t", "dog")
    assert found(store, "t", "dog") == ["dog"]


def test_two_tables_of_the_same_chunks_rank_by_words_alike_whatever_their_history(store: Store) -> None:
    rng = np.random.default_rng(0)
    names = [f"w{n}" for n in range(60)]
    texts = [" ".join(rng.choice(names, rng.integers(3, 30))) for _ in range(120)]
    gone = [" ".join(rng.choice(names, 8)) for _ in range(60)]
    worded(store, "fresh", *texts)
    worded(store, "old", *texts[::-1][:50], *gone)
    store.chunks.build_text_index("old")
    worded(store, "old", *texts)
    store.tables.open("old").optimize()
    store.chunks.delete("old", [make_chunk(text).id for text in gone])
    queries = [" ".join(rng.choice(names, 4)) for _ in range(20)]
    store.chunks.build_text_index("fresh")
    assert [found(store, "old", query) for query in queries] != [found(store, "fresh", query) for query in queries]
    store.chunks.build_text_index("old")
    assert [found(store, "old", query) for query in queries] == [found(store, "fresh", query) for query in queries]


def _index_words(folder: Path) -> None:
    store = open_store(folder)
    worded(store, "t", "cat", "dog")
    store.chunks.build_text_index("t")
    store.close()


def test_two_that_make_the_index_of_words_at_once_both_succeed(store: Store) -> None:
    worded(store, "t", *(f"w{n} cat" for n in range(300)))
    with ThreadPoolExecutor(4) as makers:
        list(makers.map(_index_words, [store.folder] * 8))
    (words,) = store.tables.open("t").list_indices()
    assert words.num_unindexed_rows == 0
    assert found(store, "t", "dog") == ["dog"]


@pytest.fixture(scope="module")
def of_words(tmp_path_factory: pytest.TempPathFactory) -> Store:
    store = open_store(tmp_path_factory.mktemp("words") / "lancedb")
    worded(store, "t", "cat", "dog and bone")
    store.chunks.build_text_index("t")
    return store


HOSTILE = [
    '"',
    '"cat',
    "cat AND (",
    "NOT",
    "text:*",
    "cat~2^9",
    "+-&&||!{}[]",
    "\0",
    " ",
    "",
    "a" * 4_000,
    "w " * 2_000,
]


@given(st.one_of(st.sampled_from(HOSTILE), st.text(st.characters(), max_size=60)))
def test_no_query_by_words_ever_fails(of_words: Store, query: str) -> None:
    assert set(found(of_words, "t", query)) <= {"cat", "dog and bone"}
    assert found(of_words, "t", f"{query} cat")[:1] == ["cat"] or "dog" in query.lower() or "bone" in query.lower()


def test_chunks_and_vectors_are_read_back_in_one_order(store: Store) -> None:
    store.chunks.put("t", CHUNKS, EYE)
    chunks, vectors = store.chunks.read("t")
    assert {chunk.id: tuple(vector) for chunk, vector in zip(chunks, vectors, strict=True)} == {
        chunk.id: tuple(vector) for chunk, vector in zip(CHUNKS, EYE, strict=True)
    }


def test_chunks_can_be_deleted_and_a_table_may_be_empty(store: Store) -> None:
    store.chunks.put("t", [], np.zeros((0, 3), dtype=np.float32))
    assert store.chunks.exists("t")
    assert store.chunks.ids("t") == set()
    store.chunks.put("t", CHUNKS, EYE)
    store.chunks.delete("t", [CHUNKS[0].id])
    assert store.chunks.ids("t") == {chunk.id for chunk in CHUNKS[1:]}


def test_an_answer_keeps_its_hits_and_its_time(store: Store) -> None:
    answer = make_answer(make_hits("cat", "dog"), cited=(2,))
    store.feedback.put_answer(answer)
    found = store.feedback.answer(answer.id)
    assert found is not None
    assert found.at == answer.at
    assert [hit.chunk for hit in found.hits] == [hit.chunk for hit in answer.hits]
    assert [hit.score for hit in found.hits] == pytest.approx([0.9, 0.8])
    assert store.feedback.answer("x' OR '1'='1") is None


def test_a_changed_vote_replaces_the_former_one(store: Store) -> None:
    rating = Rating("ann", "answer", 1, True, NOON)
    store.feedback.put_ratings([rating])
    store.feedback.put_ratings([replace(rating, value=-1)])
    assert store.feedback.ratings() == [replace(rating, value=-1)]


def test_labels_and_synthetic_pairs_come_back_as_they_went_in(store: Store) -> None:
    label = LabelledPair("ann", "answer", "why?", "c", "text", -1, NOON, "rating", rank=None, score=None)
    synthetic = SyntheticPair("why?", "c", "text", "heading")
    store.feedback.put_labels([label])
    store.feedback.put_synthetic([synthetic])
    assert (store.feedback.labels(), store.feedback.synthetic()) == ([label], [synthetic])


def test_a_double_click_from_many_threads_leaves_one_row(store: Store) -> None:
    rating = Rating("ann", "answer", 1, True, NOON)
    with ThreadPoolExecutor(8) as clicks:
        list(clicks.map(lambda _: store.feedback.put_ratings([rating]), range(24)))
    assert store.feedback.ratings() == [rating]


def test_two_processes_voting_at_once_lose_and_double_nothing(tmp_path: Path) -> None:
    spawn = multiprocessing.get_context("spawn")
    voters = [spawn.Process(target=vote, args=(tmp_path / "lancedb", rater)) for rater in ("ann", "bob")]
    for voter in voters:
        voter.start()
    for voter in voters:
        voter.join()
    keys = [(rating.rater, rating.target_id) for rating in open_store(tmp_path / "lancedb").feedback.ratings()]
    assert sorted(keys) == sorted((rater, f"answer-{n}") for rater in ("ann", "bob", "both") for n in range(10))


def test_a_process_that_is_killed_while_it_votes_loses_and_doubles_nothing(tmp_path: Path) -> None:
    spawn, acknowledged = multiprocessing.get_context("spawn"), []
    voters = []
    for rater in ("ann", "bob"):
        ours, theirs = spawn.Pipe(duplex=False)
        voters.append((ours, spawn.Process(target=vote_on_and_on, args=(tmp_path / "lancedb", rater, theirs))))
        voters[-1][1].start()
        theirs.close()
    for ours, voter in voters:
        acknowledged += [ours.recv() for _ in range(10)]
        voter.kill()
        voter.join()
        with suppress(EOFError):
            while True:
                acknowledged.append(ours.recv())
    store = open_store(tmp_path / "lancedb")
    stored = [rating.id for rating in store.feedback.ratings()]
    assert len(stored) == len(set(stored))
    assert set(acknowledged) <= set(stored)
    assert len(stored) - len(acknowledged) <= len(voters)  # written, and not yet acknowledged
    store.close()


def test_a_reader_sees_what_another_connection_wrote(store: Store) -> None:
    assert store.feedback.ratings() == []
    other = open_store(store.folder)
    other.feedback.put_ratings([Rating("ann", "answer", 1, True, NOON)])
    other.close()
    assert len(store.feedback.ratings()) == 1


def test_many_small_writes_are_compacted(store: Store) -> None:
    for n in range(COMPACT_EVERY):
        store.feedback.put_ratings([Rating("ann", f"answer-{n}", 1, True, NOON)])
    store.tables.sync(RATINGS)  # waits for the compaction, which nobody else waits for
    files = list((store.folder / "ratings.lance" / "data").iterdir())
    assert len(store.feedback.ratings()) == COMPACT_EVERY
    stats = store.tables.open("ratings").stats()
    assert stats["fragment_stats"]["num_fragments"] == 1, files


def test_a_large_table_is_compacted_less_often(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rag.store.lance.tables.COMPACT_EVERY", 3)
    monkeypatch.setattr("rag.store.lance.tables.COMPACT_LARGE_EVERY", 6)
    monkeypatch.setattr("rag.store.lance.tables.LARGE_ROWS", 2)
    fragments = []
    for n in range(9):
        store.feedback.put_ratings([Rating("ann", f"answer-{n}", 1, True, NOON)])
        store.tables.sync(RATINGS)
        fragments.append(store.tables.open("ratings").stats()["fragment_stats"]["num_fragments"])
    assert fragments == [1, 2, 1, 2, 3, 4, 5, 6, 1]


def test_a_file_where_the_folder_should_be_is_said_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "home").write_text("")
    with pytest.raises(StoreFailed, match="set THUMBTUNE_HOME to a folder you may write") as caught:
        open_store(tmp_path / "home" / "lancedb")
    assert "\n" not in str(caught.value)


OLD = pa.schema([field for field in SCHEMAS[RATINGS] if field.name not in ("chunk_id", "choice", "query", "text")])
UP = Rating("ann", "answer-1", 1, True, NOON, comment="said before")


def write_old_home(folder: Path, *ratings: Rating) -> None:
    """Write the ratings' table as it was before marks, taught passages and preferences came."""
    rows = [{name: value for name, value in rating_row(each).items() if name in OLD.names} for each in ratings]
    lancedb.connect(folder).create_table(RATINGS, to_arrow(rows, OLD))


def test_a_home_of_an_earlier_version_is_read_and_gets_the_new_columns_with_its_first_write(tmp_path: Path) -> None:
    before = [UP, replace(UP, rater="bob", value=-1)]
    write_old_home(tmp_path, *before)
    store = open_store(tmp_path)
    assert sorted(store.feedback.ratings(), key=lambda rating: rating.rater) == before
    taught = Rating("cy", "taught:q", 1, False, NOON, "taught", chunk_id="c", query="why?", text="so")
    store.feedback.put_ratings([taught])
    assert sorted(store.feedback.ratings(), key=lambda rating: rating.rater) == [*before, taught]
    store.feedback.put_ratings([replace(UP, value=0)])  # it had no such columns when it was written
    assert sorted(store.feedback.ratings(), key=lambda rating: rating.rater) == [
        replace(UP, value=0),
        before[1],
        taught,
    ]
    store.close()


def test_the_target_of_a_rating_is_in_column_answer_id_as_in_the_first_release(tmp_path: Path) -> None:
    texts = {"kind": "preference", "reason": "", "comment": "", "choice": "tuned", "chunk_id": "", "query": ""}
    row = {"id": "r1", "rater": "ann", "answer_id": "duel-1", "value": 1, "blind": True, "at": NOON, **texts}
    lancedb.connect(tmp_path).create_table(RATINGS, to_arrow([row], SCHEMAS[RATINGS]))
    store = open_store(tmp_path)
    preferred = Rating("ann", "duel-1", 1, True, NOON, "preference", choice="tuned")
    assert store.feedback.ratings() == [preferred]
    store.feedback.put_ratings([replace(preferred, target_id="duel-2")])
    assert set(store.tables.arrow(RATINGS)["answer_id"].to_pylist()) == {"duel-1", "duel-2"}
    store.close()


def test_two_processes_that_find_a_home_of_an_earlier_version_both_write(tmp_path: Path) -> None:
    write_old_home(tmp_path, UP)
    stores = [open_store(tmp_path) for _ in range(2)]
    with ThreadPoolExecutor() as pool:
        list(pool.map(lambda n: stores[n].feedback.put_ratings([replace(UP, rater=f"rater {n}")]), range(2)))
    assert {rating.rater for rating in stores[0].feedback.ratings()} == {"ann", "rater 0", "rater 1"}
    for store in stores:
        store.close()


def test_documents_are_listed_and_outlined_without_their_texts(store: Store) -> None:
    first = Document("d1", "b.md", "Bees", "h", "Buzz. Hum.", (Span(0, 5, "Bees"), Span(6, 10, "Bees > Sound", 2)))
    second = Document("d2", "a.md", "", "h", "Empty of chunks.", ())
    store.documents.put("c", [first, second])
    store.documents.put("other", [first])
    assert store.documents.sizes("c") == [("a.md", "", 0), ("b.md", "Bees", 2)]
    assert store.documents.outline("c") == [replace(chunk, text="") for chunk in chunks_of(first)]
    assert store.documents.outline("nothing") == store.documents.sizes("nothing") == []


def test_an_answer_that_was_just_written_is_not_read_from_the_disk_and_one_of_another_process_is(
    tmp_path: Path,
) -> None:
    store, other = open_store(tmp_path), open_store(tmp_path)
    ours, theirs = make_answer(make_hits("one"), id="ours"), make_answer(make_hits("two"), id="theirs")
    store.feedback.add_answer(ours)
    other.feedback.add_answer(theirs)
    other.feedback.add_answer(replace(theirs, id="last"))
    assert {each.id for each in store.feedback.answers()} == {"ours", "theirs", "last"}
    assert {each.id for each in store.feedback.answers(["ours", "theirs", "none"])} == {"ours", "theirs"}
    assert store.feedback.answer("ours") is ours
