"""Archives: each file is a document; zip bombs, path traversal and encrypted files are skipped with a reason."""

from __future__ import annotations

import zipfile
from io import BytesIO
from pathlib import Path

import pytest

from office import edit_zip, make_docx, make_zip
from pdfs import make_pdf
from rag.errors import Unreadable
from rag.ingest.archives import MAX_RATIO, unpack
from rag.ingest.documents import Outcome, Skipped, Unchanged, ingest
from rag.loaders.safe_zip import MAX_PARTS, open_zip, repack
from rag.records import Document

SUFFIXES, NESTED = (".md", ".pdf"), (".zip", ".urls")


def outcomes(folder: Path, known: dict[str, str] | None = None) -> list[Outcome]:
    def words(texts: list[str]) -> list[int]:
        return [len(text.split()) + 2 for text in texts]

    return list(ingest([folder], known=known or {}, count_tokens=words, chunk_tokens=32))


def unpacked(data: bytes, max_file: int = 10_000_000) -> dict[str, bytes | str]:
    return {
        name: content if isinstance(content, bytes) else str(content)
        for name, content in unpack(data, SUFFIXES, NESTED, max_file)
    }


def test_each_file_of_an_archive_is_a_document(tmp_path: Path) -> None:
    inner = {"a.md": "# Cats\n\nThey sleep.", "sub/b.PDF": make_pdf("Dogs bark."), "c.docx": make_docx("Fish swim.")}
    (tmp_path / "pets.zip").write_bytes(make_zip(inner))
    documents = [outcome for outcome in outcomes(tmp_path) if isinstance(outcome, Document)]
    assert [(document.source, document.text.split()[-1]) for document in documents] == [
        ("pets.zip/a.md", "sleep."),
        ("pets.zip/sub/b.PDF", "bark."),
        ("pets.zip/c.docx", "swim."),
    ]
    known = {document.source: document.hash for document in documents}
    assert outcomes(tmp_path, known) == [Unchanged(document.source) for document in documents]


def test_a_bad_file_in_an_archive_is_skipped_and_the_others_are_read(tmp_path: Path) -> None:
    (tmp_path / "pets.zip").write_bytes(make_zip({"a.md": "MZ\0", "b.md": "Cats sleep.", "c.zip": "x"}))
    bad, good, nested = outcomes(tmp_path)
    assert isinstance(good, Document)
    assert bad == Skipped("pets.zip/a.md", "it is not text: it has NUL bytes, like a binary file")
    assert isinstance(nested, Skipped)
    assert "inside an archive" in nested.reason


def test_hidden_files_and_folders_and_unknown_suffixes_are_left_out() -> None:
    names = ["a.md", ".b.md", "__MACOSX/a.md", "x/.git/c.md", "d.gif", "README"]
    assert list(unpacked(make_zip(dict.fromkeys(names, "text"))).values()) == [
        b"text",
        "hidden",
        "tools",
        "hidden",
        "kind",
        "kind",
    ]


@pytest.mark.parametrize("name", ["../a.md", "/etc/a.md", "x/../../a.md", "..\\a.md", "C:/a.md"])
def test_a_path_that_leads_out_of_the_archive_is_refused(name: str) -> None:
    (reason,) = unpacked(make_zip({name: "text"})).values()
    assert "leads out of the archive" in str(reason)


def test_windows_paths_are_understood() -> None:
    assert unpacked(make_zip({"sub\\a.md": "text"})) == {"sub/a.md": b"text"}


def test_a_zip_bomb_is_not_unpacked() -> None:
    data = make_zip({"a.md": b"a" * 20_000_000, "b.md": b"a" * 5_000_000, "c.md": "fine"})
    reasons = unpacked(data)
    assert "it is too large: 20 MB" in str(reasons["a.md"])
    assert f"more than {MAX_RATIO} times its size" in str(reasons["b.md"])
    assert reasons["c.md"] == b"fine"


def test_a_part_larger_than_its_declared_size_is_refused_as_damaged() -> None:
    data = bytearray(make_zip({"a.md": b"cat " * 1000}))
    entry = data.index(b"PK\x01\x02")
    data[entry + 24 : entry + 28] = (40).to_bytes(4, "little")  # the size in the directory
    assert "cannot be unpacked" in str(unpacked(bytes(data))["a.md"])


def test_an_archive_with_too_many_or_too_large_parts_is_refused() -> None:
    with pytest.raises(Unreadable, match=f"the limit is {MAX_PARTS:,}"):
        open_zip(make_zip({f"{n}.md": "" for n in range(MAX_PARTS + 1)}), 1_000)
    with pytest.raises(Unreadable, match=r"it unpacks to 3 MB, the limit is 2"):
        open_zip(make_zip({"a.md": b"a" * 3_000_000}), 2_000_000)


def test_an_encrypted_file_is_refused() -> None:
    data = bytearray(make_zip({"a.md": "text"}))
    for mark, at in ((b"PK\x01\x02", 8), (b"PK\x03\x04", 6)):
        data[data.index(mark) + at] |= 1
    assert "it is encrypted" in str(unpacked(bytes(data))["a.md"])


def test_the_second_file_of_the_same_name_is_refused() -> None:
    data = BytesIO()
    with zipfile.ZipFile(data, "w") as packed:
        packed.writestr("a.md", "one")
        with pytest.warns(UserWarning, match="Duplicate"):
            packed.writestr("a.md", "two")
    first, second = unpack(data.getvalue(), SUFFIXES, NESTED, 1_000)
    assert first == ("a.md", b"one")
    assert "same name" in str(second[1])


def test_a_utf8_name_without_the_utf8_flag_is_decoded() -> None:
    data = make_zip({"aa.md": "text"}).replace(b"aa.md", "é.md".encode())
    assert list(unpacked(data)) == ["é.md"]


@pytest.mark.parametrize(
    "data", [b"", b"PK", b"plain text", pytest.param(make_zip({"a.md": "x"})[:-10], id="cut off")]
)  # without the id, the zip's time would be part of the test's name, which would differ between workers
def test_a_file_that_is_no_archive_is_refused(data: bytes) -> None:
    with pytest.raises(Unreadable, match="it is damaged"):
        unpacked(data)


def test_an_office_file_is_repacked_without_its_pictures() -> None:
    clean = repack(make_zip({"a.xml": "<a/>", "media/b.png": b"x" * 100}), 1_000)
    with zipfile.ZipFile(clean) as opened:
        assert {name: opened.read(name) for name in opened.namelist()} == {"a.xml": b"<a/>", "media/b.png": b""}


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "utf-16-be"])
def test_entities_are_found_in_any_encoding(encoding: str) -> None:
    with pytest.raises(Unreadable, match="declares XML entities"):
        repack(make_zip({"a.xml": "<!DOCTYPE a><a/>".encode(encoding)}), 1_000)


def test_editing_a_part_changes_that_part_only() -> None:
    data = edit_zip(make_zip({"a.md": "one", "b.md": "two"}), "a.md", "one", "three")
    assert unpacked(data) == {"a.md": b"three", "b.md": b"two"}
