"""Files go into a corpus that is being served, and out of it; whoever is cut off leaves nothing that stays half."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from office import edit_zip, make_epub
from pdfs import make_pdf
from rag.errors import StoreFailed, UnknownDocument
from rag.indexing.indexer import format_report, index
from rag.indexing.update import (
    changing_documents,
    corpus_chunks,
    is_up_to_date,
    load_corpus,
    update_vectors,
    uploads_folder,
)
from rag.indexing.uploads import MARK, NAME_BYTES, UploadResult, Uploads, clean_name
from rag.ingest.documents import MAX_FILE_BYTES, Skipped, Unchanged
from rag.loaders import Unreadable
from rag.models.arms import Arms
from rag.models.embedder import load_embedder
from rag.models.registry import Registry, Version
from rag.records import ARMS
from rag.retrieval.search import SearchOptions, retrieve
from rag.settings import Settings
from rag.store.store import Store, open_store

BIRDS = "# Birds\n\nBirds eat seed in the cold garden.\n"
Give = Callable[..., Path]


class Cut(Exception):
    """What ends a process in the middle."""


class House:
    """A corpus that is served by two models, and the way into it."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.store: Store = open_store(settings.lancedb)
        self.corpus = load_corpus(settings)
        self.arms = Arms(settings, self.store, self.corpus)
        self.intake = Uploads(settings, self.store, self.arms)

    def sources(self) -> list[str]:
        return list(self.store.documents.hashes(self.corpus.id))

    def files(self) -> list[str]:
        return sorted(path.name for path in self.intake.folder.iterdir())

    def is_up_to_date(self) -> bool:
        return all(is_up_to_date(self.store, self.corpus.id, self.arms.current(arm).table) for arm in ARMS)


@pytest.fixture
def house(settings: Settings, other_tiny_model: Path) -> House:
    two_models = settings.model_copy(update={"base_model": str(other_tiny_model)})
    index(two_models)
    return House(two_models)


@pytest.fixture
def give(tmp_path: Path) -> Give:
    """Return a function that lays a file where Chainlit does: under a name that says nothing."""

    def write(content: str | bytes) -> Path:
        path = tmp_path / "0b1c-uuid.bin"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


# in


def test_a_file_is_found_by_both_arms_in_the_next_question(house: House, give: Give) -> None:
    assert house.intake.take("birds.md", give(BIRDS)) == UploadResult("uploads/birds.md", chunks=1, replaced=False)
    house.intake.index_words()
    for arm in ARMS:
        hits = retrieve(house.store, house.arms.current(arm), "birds seed", SearchOptions())
        assert "uploads/birds.md" in [hit.chunk.source for hit in hits]
    words = house.store.chunks.search_text(house.arms.current("base").table, "seed", retrieve_nothing(house), 5)
    assert [hit.chunk.source for hit in words] == ["uploads/birds.md"]
    assert house.is_level()
    assert house.files() == ["birds.md"]


def retrieve_nothing(house: House):  # type: ignore[no-untyped-def]
    return house.arms.current("base").embedder.embed_queries(["x"])[0]


def test_a_file_is_cut_and_named_as_an_index_run_would_do_it(house: House, give: Give) -> None:
    house.intake.take("birds.md", give(BIRDS + "\n\n" + "the bird finds water in the river " * 40))
    before = corpus_chunks(house.store, house.corpus.id)
    report = index(house.settings)
    assert format_report(report) == "index: unchanged, 3 documents"
    assert corpus_chunks(house.store, house.corpus.id) == before
    house.intake._file("uploads/birds.md").touch()
    house.store.documents.delete(house.corpus.id, ["uploads/birds.md"])
    assert index(house.settings).added == ["uploads/birds.md"]
    assert corpus_chunks(house.store, house.corpus.id) == before


def test_the_same_bytes_again_are_nothing_to_do(house: House, give: Give) -> None:
    house.intake.take("birds.md", give(BIRDS))
    assert house.intake.take("birds.md", give(BIRDS), tell=never) == Unchanged("uploads/birds.md")


def never(done: int, total: int) -> None:
    raise AssertionError("nothing was to be embedded")


def test_other_bytes_under_the_same_name_replace_the_file_and_its_chunks(house: House, give: Give) -> None:
    house.intake.take("birds.md", give(BIRDS))
    taken = house.intake.take("Birds.md", give("# Birds\n\nBirds drink water.\n"))
    assert taken == UploadResult("uploads/birds.md", chunks=1, replaced=True)
    texts = [chunk.text for chunk in corpus_chunks(house.store, house.corpus.id) if chunk.title == "Birds"]
    assert len(texts) == 1
    assert "drink water" in texts[0]
    assert house.is_level()
    assert house.files() == ["birds.md"]


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("rubbish.pdf", b"%PDF-1.4 this is none", "the PDF is broken"),
        ("program.txt", b"MZ\0\0\1\2", "it is not text"),
        ("empty.md", b"", "it is empty"),
        ("blank.md", b"  \n \n", "it has no text"),
        ("program.exe", b"MZ", "this file format is not supported"),
    ],
)
def test_a_file_that_cannot_be_used_changes_nothing_and_says_why(
    house: House, give: Give, name: str, content: bytes, reason: str
) -> None:
    before = house.sources()
    taken = house.intake.take(name, give(content))
    assert isinstance(taken, Skipped)
    assert taken.source == name
    assert reason in taken.reason
    assert house.sources() == before
    assert not house.intake.folder.exists() or house.files() == []


def test_a_file_that_is_too_large_is_not_even_read(house: House, give: Give) -> None:
    path = give("")
    with path.open("wb") as file:
        file.truncate(MAX_FILE_BYTES + 1)  # a hole: takes no space
    taken = house.intake.take("large.txt", path)
    assert isinstance(taken, Skipped)
    assert "it is too large" in taken.reason


def test_a_pdf_keeps_its_pages(house: House, tmp_path: Path) -> None:
    path = tmp_path / "0b1c.bin"
    path.write_bytes(make_pdf("The bird eats seed.", "The fish drinks cold water."))
    house.intake.take("two pages.pdf", path)
    chunks = [chunk for chunk in corpus_chunks(house.store, house.corpus.id) if chunk.source.startswith("uploads/")]
    assert [(chunk.source, chunk.page) for chunk in chunks] == [
        ("uploads/two pages.pdf", 1),
        ("uploads/two pages.pdf", 2),
    ]


def test_what_could_not_be_read_of_a_file_is_told(house: House, give: Give) -> None:
    book = make_epub("<p>The fish swims in the river.</p>", "<p>The bird eats seed.</p>")
    taken = house.intake.take("book.epub", give(edit_zip(book, "OEBPS/book.opf", "text/c2.xhtml", "text/gone.xhtml")))
    assert isinstance(taken, UploadResult)
    assert taken.lost.startswith("1 of its 2 chapters cannot be read")


def test_progress_goes_up_to_all_chunks_of_both_models(house: House, give: Give) -> None:
    seen: list[tuple[int, int]] = []
    taken = house.intake.take("birds.md", give(BIRDS), tell=lambda done, total: seen.append((done, total)))
    assert isinstance(taken, UploadResult)
    assert seen[0] == (0, 2 * taken.chunks)
    assert seen[-1] == (2 * taken.chunks, 2 * taken.chunks)


# names


@pytest.mark.parametrize(
    ("name", "clean"),
    [
        ("report.pdf", "report.pdf"),
        ("REPORT.PDF", "REPORT.PDF"),
        ("../../etc/passwd.txt", "passwd.txt"),
        ("C:\\Users\\me\\notes.md", "notes.md"),
        ("/absolute/notes.md", "notes.md"),
        (".hidden.md", "hidden.md"),
        ("notes.md.", "notes.md"),
        ("two\nlines\t.md", "two lines .md"),
        ("nul\0byte.md", "nul byte.md"),
        ("gnp\u202efdp.txt", "gnp fdp.txt"),
        ("half\ud800.md", "half.md"),
        ('a<b>:"c|d?*.md', "a b c d .md"),
        ("Übung 猫.md", "Übung 猫.md"),
        ("U\u0308bung.md", "Übung.md"),
    ],
)
def test_a_browsers_name_becomes_the_name_of_a_file_in_one_folder(name: str, clean: str) -> None:
    assert clean_name(name) == clean


@pytest.mark.parametrize("name", ["", ".", "..", "/", ".md", "..md", "notes", "notes.exe", "notes.md.exe", "\0", "a/"])
def test_a_name_that_is_no_documents_is_refused(name: str) -> None:
    with pytest.raises(Unreadable, match="this file format is not supported"):
        clean_name(name)


def test_two_long_names_stay_two_that_a_disk_can_hold(tmp_path: Path) -> None:
    names = [clean_name("猫" * 300 + end + ".md") for end in ("one", "two")]
    assert len(set(names)) == 2
    for name in names:
        assert len(name.encode()) <= NAME_BYTES
        assert name.endswith(".md")
        (tmp_path / name).touch()


def test_a_hostile_name_writes_in_the_uploads_folder_only(house: House, give: Give, tmp_path: Path) -> None:
    before = set(tmp_path.rglob("*.md"))
    house.intake.take("../../../evil.md", give(BIRDS))
    assert set(tmp_path.rglob("*.md")) - before == {house.intake.folder / "evil.md"}


def test_a_documents_folder_with_a_folder_called_uploads_keeps_its_own_sources(house: House, give: Give) -> None:
    own = house.settings.docs[0] / "uploads"
    own.mkdir()
    (own / "birds.md").write_text("# Own\n\nBirds of the documents folder.\n")
    house.intake.take("birds.md", give(BIRDS))
    index(house.settings)
    assert {"uploads/birds.md", "./uploads/birds.md"} <= set(house.sources())
    with pytest.raises(UnknownDocument, match="lies in the documents folder"):
        house.intake.remove("./uploads/birds.md")


# out


def test_what_is_removed_is_gone_from_folder_and_tables(house: House, give: Give) -> None:
    before = house.sources()
    house.intake.take("birds.md", give(BIRDS))
    former = house.store.chunks.table_name(house.corpus.id, "0123456789abcdef")  # of a model that served once
    chunks = [chunk for chunk in corpus_chunks(house.store, house.corpus.id) if chunk.title == "Birds"]
    house.store.chunks.put(former, chunks, np.ones((len(chunks), 2), np.float32))
    assert house.store.chunks.ids(former)
    house.intake.remove("uploads/birds.md")
    assert house.sources() == before
    assert not house.store.chunks.ids(former)
    assert house.files() == []
    assert house.is_level()
    hits = retrieve(house.store, house.arms.current("base"), "birds seed", SearchOptions(k=9))
    assert {hit.chunk.source for hit in hits} == {"cats.md", "dogs.md"}
    assert index(house.settings).is_unchanged


@pytest.mark.parametrize("source", ["cats.md", "uploads/gone.md", "uploads/../../cats.md", "/etc/passwd", ""])
def test_only_what_was_dropped_into_the_chat_can_be_removed(house: House, source: str) -> None:
    with pytest.raises(UnknownDocument):
        house.intake.remove(source)
    assert house.sources() == ["cats.md", "dogs.md"]


def test_documents_are_listed_with_what_may_be_removed_first(house: House, give: Give) -> None:
    house.intake.take("zebra.md", give(BIRDS))
    first, *others = house.intake.documents()
    assert (first.source, first.title, first.chunks, first.uploaded) == ("uploads/zebra.md", "Birds", 1, True)
    assert first.added
    assert timedelta(0) <= datetime.now(UTC) - first.added < timedelta(minutes=1)
    assert [(each.source, each.uploaded, each.added) for each in others] == [
        ("cats.md", False, None),
        ("dogs.md", False, None),
    ]


# beside others, and cut off


def test_an_index_run_keeps_uploads_and_embeds_nothing_twice(house: House, give: Give) -> None:
    house.intake.take("birds.md", give(BIRDS))
    (house.settings.docs[0] / "dogs.md").unlink()
    report = index(house.settings)
    assert (report.added, report.changed, report.deleted) == ([], [], ["dogs.md"])
    assert "uploads/birds.md" in house.sources()
    assert index(house.settings).is_unchanged


def test_uploads_of_other_documents_are_not_these(house: House, give: Give, tmp_path: Path) -> None:
    house.intake.take("birds.md", give(BIRDS))
    other = tmp_path / "other"
    other.mkdir()
    (other / "a.md").write_text("The river is blue.")
    settings = house.settings.model_copy(update={"docs": (other,)})
    assert index(settings).added == ["a.md"]


def test_a_documents_folder_that_was_always_empty_is_enough_where_something_was_uploaded(settings: Settings) -> None:
    for file in settings.docs[0].iterdir():
        file.unlink()
    uploads = uploads_folder(settings, load_corpus(settings))
    uploads.mkdir(parents=True)
    (uploads / "birds.md").write_text(BIRDS)
    assert index(settings).added == ["uploads/birds.md"]
    assert index(settings).is_unchanged


def test_an_upload_that_was_cut_off_deletes_nothing_of_a_folder_that_was_emptied_since(
    house: House, give: Give
) -> None:
    before = house.sources()
    house.intake.take("birds.md", give(BIRDS))
    (house.intake.folder / MARK).touch()
    for file in house.settings.docs[0].iterdir():
        file.unlink()
    house.intake.take("birds.md", give(BIRDS))
    assert sorted(house.sources()) == sorted([*before, "uploads/birds.md"])
    assert house.is_level()


def test_whoever_stops_an_upload_while_it_is_embedded_leaves_nothing(house: House, give: Give) -> None:
    def cut(done: int, total: int) -> None:
        raise Cut

    before = house.sources()
    with pytest.raises(Cut):
        house.intake.take("birds.md", give(BIRDS), tell=cut)
    assert (house.sources(), house.files()) == (before, [])


@pytest.mark.parametrize("method", ["documents.put", "chunks.put", "chunks.delete"])
def test_an_upload_that_was_cut_off_is_whole_after_the_next_one(
    house: House, give: Give, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    cut_off(house, monkeypatch, method, lambda: house.intake.take("birds.md", give(BIRDS)))
    assert MARK in house.files()
    House(house.settings).intake.take("fish.md", give("The fish eats seed."))
    assert house.files() == ["birds.md", "fish.md"]
    assert {"uploads/birds.md", "uploads/fish.md"} <= set(house.sources())
    assert house.is_level()


@pytest.mark.parametrize("method", ["documents.delete", "chunks.delete"])
def test_a_removal_that_was_cut_off_is_whole_after_the_next_index_run(
    house: House, give: Give, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    house.intake.take("birds.md", give(BIRDS))
    cut_off(house, monkeypatch, method, lambda: house.intake.remove("uploads/birds.md"))
    index(house.settings)
    assert house.sources() == ["cats.md", "dogs.md"]
    assert house.is_level()


def cut_off(house: House, monkeypatch: pytest.MonkeyPatch, method: str, act: Callable[[], object]) -> None:
    """Let a write fail as it does when the process ends there."""

    def end(*args: object) -> None:
        raise Cut

    with monkeypatch.context() as patch:
        part, name = method.split(".")
        patch.setattr(getattr(house.store, part), name, end)
        with pytest.raises(Cut):
            act()


def test_a_file_waits_for_another_process_that_indexes_and_says_so_in_the_end(
    house: House, give: Give, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rag.indexing.uploads.PATIENCE", 0.01)
    with changing_documents(open_store(house.settings.lancedb)), pytest.raises(StoreFailed, match="another process"):
        house.intake.take("birds.md", give(BIRDS))
    assert "uploads/birds.md" not in house.sources()
    assert isinstance(house.intake.take("birds.md", give(BIRDS)), UploadResult)


def test_a_file_goes_to_the_model_that_was_promoted_while_it_was_embedded(
    house: House, give: Give, tiny_model: Path
) -> None:
    registry = Registry(house.settings.models)
    promoted = house.settings.models / "v1"

    def promote(done: int, total: int) -> None:
        if promoted.exists():
            return
        load_tiny(house, promoted)
        version = Version(
            "v1", house.corpus.folders_id, "f", "start", "ratings", "promote", "VERDICT", datetime.now(UTC)
        )
        registry.add(version)
        registry.promote(house.corpus.folders_id, "v1")

    house.intake.take("birds.md", give(BIRDS), tell=promote)
    assert house.arms.current("tuned").model == "v1"
    assert house.is_level()


def load_tiny(house: House, folder: Path) -> None:
    """Make a version whose weights are new, and its table of what is there so far."""
    from tiny import build_tiny_model

    folder.mkdir(parents=True)
    build_tiny_model(folder, seed=7)
    update_vectors(house.store, house.corpus.id, load_embedder(str(folder), house.settings))
