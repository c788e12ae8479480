"""Uploads are added to and removed from a corpus that is being served."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from pathlib import Path

import numpy as np
import pytest

import hostile
from office import edit_zip, make_epub
from pdfs import make_pdf
from rag.errors import UnknownDocument
from rag.indexing.indexer import format_report, index
from rag.indexing.update import (
    corpus_chunks,
    uploads_folder,
)
from rag.indexing.uploads import UploadResult
from rag.ingest import workers
from rag.ingest.corpus import load_corpus
from rag.ingest.documents import MAX_FILE_BYTES, Skipped, Unchanged
from rag.records import ARMS
from rag.retrieval.search import SearchOptions, retrieve
from rag.settings import Settings
from uploads import BIRDS, App, Give

# adding


def test_both_arms_find_an_uploaded_file_with_the_next_query(app: App, give: Give) -> None:
    assert app.uploads.add("birds.md", give(BIRDS)) == UploadResult("uploads/birds.md", chunks=1, replaced=False)
    app.uploads.update_text_index()
    for arm in ARMS:
        hits = retrieve(app.store, app.arms.current(arm), "birds seed", SearchOptions())
        assert "uploads/birds.md" in [hit.chunk.source for hit in hits]
    words = app.store.chunks.search_text(app.arms.current("base").table, "seed", retrieve_nothing(app), 5)
    assert [hit.chunk.source for hit in words] == ["uploads/birds.md"]
    assert app.is_up_to_date()
    assert app.files() == ["birds.md"]


def retrieve_nothing(app: App):  # type: ignore[no-untyped-def]
    return app.arms.current("base").embedder.embed_queries(["x"])[0]


def test_an_upload_is_chunked_and_named_as_by_an_index_run(app: App, give: Give) -> None:
    app.uploads.add("birds.md", give(BIRDS + "\n\n" + "the bird finds water in the river " * 40))
    before = corpus_chunks(app.store, app.corpus.id)
    report = index(app.settings)
    assert format_report(report) == "index: unchanged, 3 documents\nMarkdown: 3 read"
    assert corpus_chunks(app.store, app.corpus.id) == before
    app.uploads._file("uploads/birds.md").touch()
    app.store.documents.delete(app.corpus.id, ["uploads/birds.md"])
    assert index(app.settings).added == ["uploads/birds.md"]
    assert corpus_chunks(app.store, app.corpus.id) == before


def test_the_same_bytes_again_are_unchanged(app: App, give: Give) -> None:
    app.uploads.add("birds.md", give(BIRDS))
    assert app.uploads.add("birds.md", give(BIRDS), progress=never) == Unchanged("uploads/birds.md")


def never(done: int, total: int) -> None:
    raise AssertionError("nothing was to be embedded")


def test_other_bytes_under_the_same_name_replace_the_file_and_its_chunks(app: App, give: Give) -> None:
    app.uploads.add("birds.md", give(BIRDS))
    outcome = app.uploads.add("Birds.md", give("# Birds\n\nBirds drink water.\n"))
    assert outcome == UploadResult("uploads/birds.md", chunks=1, replaced=True)
    texts = [chunk.text for chunk in corpus_chunks(app.store, app.corpus.id) if chunk.title == "Birds"]
    assert len(texts) == 1
    assert "drink water" in texts[0]
    assert app.is_up_to_date()
    assert app.files() == ["birds.md"]


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("rubbish.pdf", b"%PDF-1.4 this is none", "the PDF is broken"),
        ("program.txt", b"MZ\0\0\1\2", "it is not text"),
        ("empty.md", b"", "it is empty"),
        ("blank.md", b"  \n \n", "it has no text"),
        ("program.exe", b"MZ", ".exe files are not read: docs/how-to/your-own-documents.md lists what is"),
    ],
)
def test_an_unusable_file_changes_nothing_and_is_skipped_with_the_reason(
    app: App, give: Give, name: str, content: bytes, reason: str
) -> None:
    before = app.sources()
    outcome = app.uploads.add(name, give(content))
    assert isinstance(outcome, Skipped)
    assert outcome.source == name
    assert reason in outcome.reason
    assert app.sources() == before
    assert not app.uploads.folder.exists() or app.files() == []


def test_a_file_that_is_too_large_is_not_read(app: App, give: Give) -> None:
    path = give("")
    with path.open("wb") as file:
        file.truncate(MAX_FILE_BYTES + 1)  # a hole: takes no space
    outcome = app.uploads.add("large.txt", path)
    assert isinstance(outcome, Skipped)
    assert "it is too large" in outcome.reason


def test_a_pdf_keeps_its_pages(app: App, tmp_path: Path) -> None:
    path = tmp_path / "0b1c.bin"
    path.write_bytes(make_pdf("The bird eats seed.", "The fish drinks cold water."))
    app.uploads.add("two pages.pdf", path)
    chunks = [chunk for chunk in corpus_chunks(app.store, app.corpus.id) if chunk.source.startswith("uploads/")]
    assert [(chunk.source, chunk.page) for chunk in chunks] == [
        ("uploads/two pages.pdf", 1),
        ("uploads/two pages.pdf", 2),
    ]


def test_an_upload_notes_what_could_not_be_read(app: App, give: Give) -> None:
    book = make_epub("<p>The fish swims in the river.</p>", "<p>The bird eats seed.</p>")
    outcome = app.uploads.add("book.epub", give(edit_zip(book, "OEBPS/book.opf", "text/c2.xhtml", "text/gone.xhtml")))
    assert isinstance(outcome, UploadResult)
    assert outcome.lost.startswith("1 of its 2 chapters cannot be read")


def test_progress_counts_the_chunks_of_both_models(app: App, give: Give) -> None:
    calls: list[tuple[int, int]] = []
    outcome = app.uploads.add("birds.md", give(BIRDS), progress=lambda done, total: calls.append((done, total)))
    assert isinstance(outcome, UploadResult)
    assert calls[0] == (0, 2 * outcome.chunks)
    assert calls[-1] == (2 * outcome.chunks, 2 * outcome.chunks)


# removing


def test_a_removed_upload_is_gone_from_folder_and_tables(app: App, give: Give) -> None:
    before = app.sources()
    app.uploads.add("birds.md", give(BIRDS))
    former = app.store.chunks.table_name(app.corpus.id, "0123456789abcdef")  # of a former model
    chunks = [chunk for chunk in corpus_chunks(app.store, app.corpus.id) if chunk.title == "Birds"]
    app.store.chunks.put(former, chunks, np.ones((len(chunks), 2), np.float32))
    assert app.store.chunks.ids(former)
    app.uploads.remove("uploads/birds.md")
    assert app.sources() == before
    assert not app.store.chunks.ids(former)
    assert app.files() == []
    assert app.is_up_to_date()
    hits = retrieve(app.store, app.arms.current("base"), "birds seed", SearchOptions(k=9))
    assert {hit.chunk.source for hit in hits} == {"cats.md", "dogs.md"}
    assert index(app.settings).is_unchanged


@pytest.mark.parametrize("source", ["cats.md", "uploads/gone.md", "uploads/../../cats.md", "/etc/passwd", ""])
def test_only_uploads_can_be_removed(app: App, source: str) -> None:
    with pytest.raises(UnknownDocument):
        app.uploads.remove(source)
    assert app.sources() == ["cats.md", "dogs.md"]


def test_documents_are_listed_with_uploads_first(app: App, give: Give) -> None:
    app.uploads.add("zebra.md", give(BIRDS))
    first, *others = app.uploads.documents()
    assert (first.source, first.title, first.chunks, first.uploaded) == ("uploads/zebra.md", "Birds", 1, True)
    assert first.added
    assert timedelta(0) <= datetime.now(UTC) - first.added < timedelta(minutes=1)
    assert [(each.source, each.uploaded, each.added) for each in others] == [
        ("cats.md", False, None),
        ("dogs.md", False, None),
    ]


# together with an index run


def test_an_index_run_keeps_uploads_and_embeds_nothing_twice(app: App, give: Give) -> None:
    app.uploads.add("birds.md", give(BIRDS))
    (app.settings.docs[0] / "dogs.md").unlink()
    report = index(app.settings)
    assert (report.added, report.changed, report.deleted) == ([], [], ["dogs.md"])
    assert "uploads/birds.md" in app.sources()
    assert index(app.settings).is_unchanged


def test_uploads_belong_to_their_documents_folders(app: App, give: Give, tmp_path: Path) -> None:
    app.uploads.add("birds.md", give(BIRDS))
    other = tmp_path / "other"
    other.mkdir()
    (other / "a.md").write_text("The river is blue.")
    settings = app.settings.model_copy(update={"docs": (other,)})
    assert index(settings).added == ["a.md"]


def test_an_always_empty_documents_folder_is_fine_if_there_are_uploads(settings: Settings) -> None:
    for file in settings.docs[0].iterdir():
        file.unlink()
    uploads = uploads_folder(settings, load_corpus(settings))
    uploads.mkdir(parents=True)
    (uploads / "birds.md").write_text(BIRDS)
    assert index(settings).added == ["uploads/birds.md"]
    assert index(settings).is_unchanged


# hostile files


@pytest.mark.parametrize(
    ("word", "why"),
    [
        ("exit", "it made its parser crash"),
        ("spin", "reading it took more than 2 s"),
        ("eat", "reading it took more memory than 1.0 GB"),
    ],
)
def test_a_file_that_crashes_or_hangs_its_parser_is_refused_and_the_next_is_added(
    app: App, give: Give, monkeypatch: pytest.MonkeyPatch, word: str, why: str
) -> None:
    monkeypatch.setattr(workers, "begin_work", hostile.begin_work)
    monkeypatch.setattr(workers, "SECONDS", 2.0)
    monkeypatch.setattr(workers, "MEMORY", 1_000_000_000)
    for refused in (
        app.uploads.check("x.pdf", give(word)),
        app.uploads.add("x.pdf", give(word)),
    ):
        assert isinstance(refused, Skipped)
        assert refused.reason.startswith(why)
    assert app.uploads.check("y.pdf", give("Birds eat seed.")) is None
    assert isinstance(app.uploads.add("y.pdf", give("Birds eat seed.")), UploadResult)
    assert app.files() == ["y.pdf"]


def test_an_upload_and_its_removal_are_in_the_report(app: App, give: Give) -> None:
    app.uploads.add("scan.pdf", give(make_pdf("Birds eat seed.", "", "")))
    app.uploads.add("birds.txt", give("Die Vögel fressen Körner im Garten, und schön ist es.\n".encode("cp1252")))
    report = app.uploads.report()
    assert report
    assert report.lines() == ["Markdown: 2 read", "PDF: 1 read in part", "text: 1 read (1 with a note)"]
    assert [record.source for record in report.files if record.state == "read in part"] == ["uploads/scan.pdf"]
    assert [line for line in report.details() if "guessed from its bytes" in line]
    app.uploads.remove("uploads/scan.pdf")
    after = app.uploads.report()
    assert after
    assert after.lines() == ["Markdown: 2 read", "text: 1 read (1 with a note)"]
    assert index(app.settings).files == after


# messages


def message(*attached: tuple[str, bytes]) -> bytes:
    mail = EmailMessage()
    mail["Subject"], mail["From"] = "Seed", "ann@example.org"
    mail.set_content("The bill is attached.")
    for name, content in attached:
        mail.add_attachment(content, maintype="application", subtype="octet-stream", filename=name)
    return mail.as_bytes()


def test_an_uploaded_message_is_added_and_removed_with_its_attachments(app: App, give: Give) -> None:
    attached = {"bill.md": b"Seed costs 412 Euro.", "notes.txt": b"Pay soon.", "x.ics": b"x", "bad.pdf": b"x"}
    added = app.uploads.add("seed.eml", give(message(*attached.items())))
    assert isinstance(added, UploadResult)
    assert added.chunks == sum(each.chunks for each in app.uploads.documents() if each.uploaded)
    assert not added.replaced
    assert added.lost == ("bad.pdf: the PDF is broken: open it in a viewer and save it again; x.ics is of another kind")
    inside = ["uploads/seed.eml", "uploads/seed.eml/bill.md", "uploads/seed.eml/notes.txt"]
    assert app.sources()[-3:] == inside
    assert app.is_up_to_date()
    report = app.uploads.report()
    assert report
    lines = ["Markdown: 3 read", "PDF: 1 skipped", "e-mail: 1 read", "text: 1 read"]
    assert report.lines() == [*lines, "1 file of other kinds left out: .ics 1"]
    after = index(app.settings)
    assert after.is_unchanged
    assert after.files == report
    with pytest.raises(UnknownDocument, match="is an attachment: remove the message"):
        app.uploads.remove(inside[1])
    shorter = message(("bill.md", b"Seed costs 500 Euro."))
    again = app.uploads.add("seed.eml", give(shorter))
    assert isinstance(again, UploadResult)
    assert (again.replaced, again.lost) == (True, "")
    assert app.sources()[-2:] == inside[:2]
    assert app.uploads.add("seed.eml", give(shorter)) == Unchanged(inside[0])
    app.uploads.remove(inside[0])
    assert not [source for source in app.sources() if source.startswith("uploads/")]
    assert app.is_up_to_date()
    gone = app.uploads.report()
    assert gone
    assert gone.lines() == ["Markdown: 2 read"]
    assert index(app.settings).files == gone
