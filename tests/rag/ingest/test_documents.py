"""Files become documents with stable names and ids; a bad file is skipped and the others are read."""

from __future__ import annotations

import errno
import hashlib
import os
import tracemalloc
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path

import pytest

from pdfs import ENCRYPTED, make_pdf
from rag.errors import NoDocuments, Unreadable
from rag.ingest.corpus import Corpus, corpus_of
from rag.ingest.discovery import SourceFile
from rag.ingest.documents import MAX_FILE_BYTES, Outcome, Remark, Skipped, Unchanged, ingest, read_document
from rag.records import Document, chunks_of, content_id

TEXT = "# Cats\n\nCats sleep.\n"
PROC_MEM = Path("/proc/self/mem")  # a regular file that even root cannot read from its start


def words(texts: list[str]) -> list[int]:
    return [len(text.split()) + 2 for text in texts]


def write(path: Path, content: str | bytes = TEXT) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def outcomes(*folders: Path, known: dict[str, str] | None = None) -> list[Outcome]:
    return list(ingest(folders, known=known or {}, count_tokens=words, chunk_tokens=32))


def reason(path: Path) -> str:
    """Return why a file is skipped; check that a good file in the same folder is indexed."""
    write(path.parent / "zz good.md")
    skipped, good = outcomes(path.parent)
    assert isinstance(good, Document)
    assert isinstance(skipped, Skipped)
    return skipped.reason


def test_files_of_several_formats_become_documents(tmp_path: Path) -> None:
    write(tmp_path / "a.md")
    write(tmp_path / "sub" / "b.TXT", "Dogs bark.")
    write(tmp_path / "c.html", "<html><body><article><h1>Birds</h1><p>Birds sing.</p></article></body></html>")
    write(tmp_path / "d.pdf", make_pdf("Fish swim.", "Fish eat."))
    documents = [outcome for outcome in outcomes(tmp_path) if isinstance(outcome, Document)]
    assert [(document.source, document.title) for document in documents] == [
        ("a.md", "Cats"),
        ("c.html", "Birds"),
        ("d.pdf", "d"),
        ("sub/b.TXT", "b"),
    ]
    chunks = [chunk for document in documents for chunk in chunks_of(document)]
    assert [(chunk.text, chunk.heading, chunk.page) for chunk in chunks] == [
        ("# Cats\n\nCats sleep.", "Cats", None),
        ("# Birds\n\nBirds sing.", "Birds", None),
        ("Fish swim.", "", 1),
        ("Fish eat.", "", 2),
        ("Dogs bark.", "", None),
    ]


def test_a_sentence_over_a_page_break_has_both_pages_and_what_follows_its_own(tmp_path: Path) -> None:
    write(
        tmp_path / "a.pdf",
        make_pdf("Cats sleep. The deposit is returned to the tenant", "within fourteen days. Dogs bark."),
    )
    (document,) = (outcome for outcome in outcomes(tmp_path) if isinstance(outcome, Document))
    over, after = chunks_of(document)
    assert (over.pages, over.shown) == (
        "1–2",
        "Cats sleep. The deposit is returned to the tenant within fourteen days.",
    )
    assert (after.page, after.pages, after.shown) == (2, "2", "Dogs bark.")


def test_a_chunk_that_begins_after_the_turn_of_a_page_is_on_the_next_one(tmp_path: Path) -> None:
    path = write(
        tmp_path / "a.pdf", make_pdf("Cats sleep and", "go on, and so do all other beasts, as we know. Dogs bark.")
    )
    document, _ = read_document("a.pdf", path, count_tokens=words, chunk_tokens=6)
    first, *others = [chunk.pages for chunk in chunks_of(document)]
    assert (first, set(others)) == ("1–2", {"2"})


def test_a_documents_id_is_of_its_source_and_its_hash_of_its_bytes(tmp_path: Path) -> None:
    path = write(tmp_path / "a.md")
    document, _ = read_document("x/a.md", path, count_tokens=words, chunk_tokens=32)
    assert document.id == content_id("x/a.md")
    assert document.hash == hashlib.sha256(TEXT.encode()).hexdigest()


def test_a_file_whose_bytes_are_known_is_not_parsed(tmp_path: Path) -> None:
    write(tmp_path / "a.md")
    write(tmp_path / "b.pdf", b"not even a PDF")
    known = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in tmp_path.iterdir()}
    assert outcomes(tmp_path, known=known) == [Unchanged("a.md"), Unchanged("b.pdf")]


def test_a_file_whose_bytes_changed_is_read_again(tmp_path: Path) -> None:
    write(tmp_path / "a.md")
    (document,) = outcomes(tmp_path, known={"a.md": "another hash"})
    assert isinstance(document, Document)


def test_outcomes_are_yielded_one_by_one_so_that_the_caller_may_stop(tmp_path: Path) -> None:
    write(tmp_path / "a.md")
    write(tmp_path / "b.md")
    started: list[str] = []

    def progress(files: list[SourceFile]) -> Iterator[SourceFile]:
        assert len(files) == 2
        for file in files:
            started.append(file[0])
            yield file

    stream = ingest([tmp_path], known={}, count_tokens=words, chunk_tokens=32, progress=progress)
    assert isinstance(next(stream), Document)
    assert started == ["a.md"]


@pytest.mark.parametrize("name", ['it\'s "quoted".md', "two\nlines.md", "tab\tand $HOME; rm.md", "日本 é.md", "%20.md"])
def test_odd_file_names_work(tmp_path: Path, name: str) -> None:
    write(tmp_path / name, "Cats sleep.")
    (document,) = outcomes(tmp_path)
    assert isinstance(document, Document)
    assert document.source == name
    assert document.title == " ".join(name.removesuffix(".md").split())


def test_a_file_name_that_is_no_utf8_gets_a_source_that_is(tmp_path: Path) -> None:
    try:
        Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.md")).write_text("Cats sleep.")
    except OSError:
        pytest.skip("this file system refuses such names")
    (document,) = outcomes(tmp_path)
    assert isinstance(document, Document)
    assert (document.source, document.title) == ("caf\\xe9.md", "caf\\xe9")


# missing folders


@pytest.mark.parametrize("make", [lambda p: None, lambda p: p.mkdir(), lambda p: write(p / "a.gif")])
def test_the_error_names_a_folder_that_is_missing_or_has_no_documents(tmp_path: Path, make: object) -> None:
    folder = tmp_path / "my docs"
    make(folder)  # type: ignore[operator]
    with pytest.raises(NoDocuments, match="my docs"):
        outcomes(folder)


# unusable files: each is skipped with a reason, and the others are indexed


@pytest.mark.parametrize(
    ("name", "content", "why"),
    [
        ("a.md", b"", "it is empty"),
        ("a.md", b" \n\n\t\n", "it has no text"),
        ("a.md", b"---\ntitle: x\n---\n", "it has no text"),
        ("a.txt", b"MZ\x90\0\x03", "it is not text: it has NUL bytes"),
        ("a.pdf", b"%PDF-1.4 broken", "the PDF is broken"),
        ("a.pdf", make_pdf(""), "the PDF has no text"),
        (
            "a.pdf",
            ENCRYPTED.read_bytes(),
            "the PDF is encrypted",
        ),
        ("a.html", b"<html><body></body></html>", "no main text was found"),
    ],
)
def test_a_bad_file_is_skipped_with_its_reason(tmp_path: Path, name: str, content: bytes, why: str) -> None:
    write(tmp_path / name, content)
    assert reason(tmp_path / name).startswith(why)


def test_a_mostly_scanned_file_is_indexed_with_a_note(tmp_path: Path) -> None:
    write(tmp_path / "a.pdf", make_pdf("Cats sleep.", "", ""))
    document, skipped = outcomes(tmp_path)
    assert isinstance(document, Document)
    assert isinstance(skipped, Remark)
    assert skipped.lost.startswith("2 of its 3 pages have no text")


def test_a_file_that_is_too_large_is_not_read_at_all(tmp_path: Path) -> None:
    path = write(tmp_path / "a.md")
    os.truncate(path, 2 * MAX_FILE_BYTES)
    tracemalloc.start()
    try:
        assert reason(path) == "it is too large: 200 MB, the limit for a document is 100 MB; split it"
        assert tracemalloc.get_traced_memory()[1] < MAX_FILE_BYTES / 10
    finally:
        tracemalloc.stop()


def test_a_fifo_does_not_block(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.md")
    assert reason(tmp_path / "a.md") == "it is not a regular file"


def test_the_reason_for_a_broken_link_names_its_target(tmp_path: Path) -> None:
    (tmp_path / "a.md").symlink_to("nowhere.md")
    assert reason(tmp_path / "a.md") == "it is a link to 'nowhere.md', which is gone"


def test_a_link_to_itself_is_skipped(tmp_path: Path) -> None:
    (tmp_path / "a.md").symlink_to("a.md")
    assert reason(tmp_path / "a.md").startswith("it cannot be opened: ")


@pytest.mark.skipif(not PROC_MEM.exists(), reason="needs Linux's /proc")
def test_a_file_that_fails_while_it_is_read_is_skipped(tmp_path: Path) -> None:
    (tmp_path / "a.md").symlink_to(PROC_MEM)
    (skipped,) = outcomes(tmp_path / "a.md")  # named itself, a link may lead anywhere
    assert isinstance(skipped, Skipped)
    assert skipped.reason.startswith("it cannot be opened: ")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_files_without_permission_are_skipped(tmp_path: Path) -> None:
    write(tmp_path / "a.md").chmod(0)
    write(tmp_path / "b" / "a.md").parent.chmod(0)
    write(tmp_path / "c.md")
    assert [type(outcome) for outcome in outcomes(tmp_path)] == [Skipped, Skipped, Document]


def test_a_folder_without_permission_is_skipped_with_a_reason_even_for_root(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "a.md")
    closed = write(tmp_path / "lost+found" / "b.md").parent
    scandir, stat = os.scandir, os.stat

    def refuse(path: object, *given: object, act: object = None, **named: object) -> object:
        if closed in (where := Path(path), *where.parents) and (act is scandir or where != closed):  # type: ignore[arg-type]
            raise PermissionError(errno.EACCES, "Permission denied", os.fspath(where))
        return act(path, *given, **named)  # type: ignore[operator]

    monkeypatch.setattr(os, "scandir", partial(refuse, act=scandir))
    monkeypatch.setattr(os, "stat", partial(refuse, act=stat))
    document, skipped = outcomes(tmp_path)
    assert isinstance(document, Document)
    assert skipped == Skipped("lost+found", "it cannot be opened: Permission denied")


def test_a_file_that_vanishes_after_it_was_found_is_skipped(tmp_path: Path) -> None:
    write(tmp_path / "a.md")
    write(tmp_path / "b.md")

    def vanish(files: list[SourceFile]) -> Iterable[SourceFile]:
        (tmp_path / "a.md").unlink()
        return files

    stream = ingest([tmp_path], known={}, count_tokens=words, chunk_tokens=32, progress=vanish)
    assert [getattr(outcome, "reason", None) for outcome in stream] == ["it is gone", None]


def test_read_document_raises_the_reason(tmp_path: Path) -> None:
    with pytest.raises(Unreadable, match="it is gone"):
        read_document("a.md", tmp_path / "a.md", count_tokens=words, chunk_tokens=32)


# the corpus


def test_the_corpus_id_does_not_depend_on_how_a_folder_is_written(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path)
    assert (
        corpus_of([tmp_path / "x" / ".."], 128, "t")
        == corpus_of([tmp_path], 128, "t")
        == corpus_of([tmp_path / "link"], 128, "t")
    )


def test_other_chunking_gives_another_corpus_of_the_same_folders(tmp_path: Path) -> None:
    corpora: list[Corpus] = [corpus_of([tmp_path], *cutting) for cutting in ((128, "t"), (64, "t"), (128, "u"))]
    assert len({corpus.id for corpus in corpora}) == 3
    assert len({corpus.folders_id for corpus in corpora}) == 1
    assert corpus_of([tmp_path, tmp_path / "x"], 128, "t").folders_id != corpora[0].folders_id
