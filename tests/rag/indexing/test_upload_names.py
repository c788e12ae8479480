"""Names of uploaded files: a browser's name becomes a safe one, and none leaves the uploads folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from rag.errors import UnknownDocument, Unreadable
from rag.indexing.indexer import index
from rag.indexing.uploads import NAME_BYTES, clean_name
from uploads import BIRDS, App, Give


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
def test_a_browsers_file_name_becomes_a_safe_name(name: str, clean: str) -> None:
    assert clean_name(name) == clean


@pytest.mark.parametrize("name", ["", ".", "..", "/", ".md", "..md", "notes", "notes.exe", "notes.md.exe", "\0", "a/"])
def test_a_name_without_a_supported_suffix_is_refused(name: str) -> None:
    with pytest.raises(Unreadable, match=r"files .*are not read"):
        clean_name(name)


def test_different_long_names_stay_different_when_shortened(tmp_path: Path) -> None:
    names = [clean_name("猫" * 300 + end + ".md") for end in ("one", "two")]
    assert len(set(names)) == 2
    for name in names:
        assert len(name.encode()) <= NAME_BYTES
        assert name.endswith(".md")
        (tmp_path / name).touch()


def test_a_hostile_name_writes_only_into_the_uploads_folder(app: App, give: Give, tmp_path: Path) -> None:
    before = set(tmp_path.rglob("*.md"))
    app.uploads.add("../../../evil.md", give(BIRDS))
    assert set(tmp_path.rglob("*.md")) - before == {app.uploads.folder / "evil.md"}


def test_a_folder_called_uploads_in_the_documents_folder_keeps_its_own_sources(app: App, give: Give) -> None:
    own = app.settings.docs[0] / "uploads"
    own.mkdir()
    (own / "birds.md").write_text("# Own\n\nBirds of the documents folder.\n")
    app.uploads.add("birds.md", give(BIRDS))
    index(app.settings)
    assert {"uploads/birds.md", "./uploads/birds.md"} <= set(app.sources())
    with pytest.raises(UnknownDocument, match="is in the documents folder"):
        app.uploads.remove("./uploads/birds.md")
