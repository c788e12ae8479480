"""Files of Word and PowerPoint 97 to 2003: what is run, and what is said without LibreOffice."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from office import make_docx, make_pptx
from rag.errors import Unreadable
from rag.loaders.formats import LOADERS
from rag.loaders.office import legacy
from rag.loaders.ole import SIGNATURE

OLD = SIGNATURE + b"\0" * 600  # what the file holds is the program's business


@pytest.fixture
def office(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Put a program named soffice on an otherwise empty PATH; its script is to be written."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in ("cp", "sleep", "env", "sh"):
        (folder / name).symlink_to(shutil.which(name) or name)
    monkeypatch.setenv("PATH", str(folder))
    return folder / "soffice"


def write(program: Path, script: str) -> None:
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)


def test_without_libreoffice_the_reason_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(legacy, "PLACES", ())
    with pytest.raises(Unreadable, match=r"^install LibreOffice, or save it as \.docx$"):
        LOADERS[".doc"](OLD)
    with pytest.raises(Unreadable, match=r"^install LibreOffice, or save it as \.pptx$"):
        LOADERS[".ppt"](OLD)


@pytest.mark.parametrize(
    ("suffix", "new", "converted"),
    [(".doc", "docx", make_docx("They sleep.")), (".ppt", "pptx", make_pptx(("They sleep.", "", "")))],
)
def test_a_file_is_read_by_way_of_its_new_format(
    suffix: str, new: str, converted: bytes, office: Path, tmp_path: Path
) -> None:
    (tmp_path / "made").write_bytes(converted)
    write(office, f'cp {tmp_path}/made "$PWD/file.{new}"; echo "$@" > {tmp_path}/options; env > {tmp_path}/env')
    loaded = LOADERS[suffix](OLD)
    assert "They sleep." in loaded.text
    assert loaded.note == "converted by LibreOffice"
    options = (tmp_path / "options").read_text()
    folder = Path(options.split()[-1]).parent
    assert f"--headless --norestore --nologo --nolockcheck --convert-to {new} --outdir {folder}" in options
    assert f"-env:UserInstallation=file://{folder}/profile" in options
    assert "https_proxy=http://127.0.0.1:9" in (tmp_path / "env").read_text()  # nothing is fetched
    assert not folder.exists()


def test_what_libreoffice_cannot_read_says_so(office: Path) -> None:
    write(office, "exit 1")
    with pytest.raises(Unreadable, match=r"LibreOffice cannot read it: .* save it as \.docx"):
        LOADERS[".doc"](OLD)


def test_a_program_that_hangs_is_ended_with_its_children(
    office: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(office, f"sleep 300 & echo $! > {tmp_path}/child; wait")
    monkeypatch.setattr(legacy, "MAX_SECONDS", 0.5)
    start = time.monotonic()
    with pytest.raises(Unreadable, match=r"LibreOffice needs more than 0\.5 seconds"):
        LOADERS[".doc"](OLD)
    assert time.monotonic() - start < 30
    child = int((tmp_path / "child").read_text())
    state = Path(f"/proc/{child}/stat")
    assert not state.exists() or state.read_text().split()[2] == "Z"


def test_a_program_ends_with_the_process_that_started_it(tmp_path: Path) -> None:
    folder = tmp_path / "bin"
    folder.mkdir()
    write(folder / "soffice", f"echo $$ > {tmp_path}/started; sleep 300")
    code = "import sys; from rag.loaders.office.legacy import convert; convert(sys.argv[1], b'x', 'doc', 'docx')"
    parent = subprocess.Popen([sys.executable, "-c", code, str(folder / "soffice")], cwd=Path.cwd())
    deadline = time.monotonic() + 60
    while not (tmp_path / "started").exists() or not (tmp_path / "started").read_text().strip():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    parent.kill()
    parent.wait()
    child = Path(f"/proc/{(tmp_path / 'started').read_text().strip()}")
    while child.exists() and "Z (zombie)" not in (child / "status").read_text():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.parametrize("data", [b"They sleep.", b"PK\x03\x04", b"\0\1\2"])
def test_a_file_that_is_certainly_no_old_office_file_is_not_given_to_libreoffice(data: bytes, office: Path) -> None:
    write(office, "exit 1")
    with pytest.raises(Unreadable, match=r"it is no \.doc file, or it is damaged: save it as \.docx"):
        LOADERS[".doc"](data)


@pytest.mark.skipif(not legacy.find_office(), reason="LibreOffice is not installed")
def test_libreoffice_itself_keeps_headings_and_tables(tmp_path: Path) -> None:
    (tmp_path / "a.docx").write_bytes(make_docx("# Fees", [["City", "Fee"], ["Rome", "5"]], "They sleep."))
    options = ["--headless", f"-env:UserInstallation={(tmp_path / 'profile').as_uri()}", "--convert-to", "doc"]
    command = [legacy.find_office(), *options, "--outdir", str(tmp_path), str(tmp_path / "a.docx")]
    subprocess.run(command, check=True, capture_output=True, timeout=120, env={**os.environ, "HOME": str(tmp_path)})
    loaded = LOADERS[".doc"]((tmp_path / "a.doc").read_bytes())
    assert loaded.text == "# Fees\n\n| City | Fee |\n| --- | --- |\n| Rome | 5 |\n\nThey sleep.\n\n"
    assert loaded.sections[0].heading == "Fees"
