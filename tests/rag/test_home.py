"""Who can read a home folder, and which release's it is: as commands make and open it."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from rag.__main__ import main
from rag.home import FORMAT, FORMAT_FILE, open_home
from rag.settings import Settings


@pytest.fixture(autouse=True)
def _open_umask(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in ("home", "base_model", "start_model", "chunk_tokens", "device"):
        monkeypatch.setenv(f"THUMBTUNE_{name.upper()}", str(getattr(settings, name)))
    monkeypatch.setenv("THUMBTUNE_DOCS", str(settings.docs[0]))
    before = os.umask(0o022)
    yield
    os.umask(before)


def modes(home: Path) -> dict[str, int]:
    """Return path -> mode of all that is in a home folder; the tests' shared models are linked into it."""
    inside = (Path(folder, name) for folder, folders, files in os.walk(home) for name in (*folders, *files))
    paths = [home, *(path for path in inside if not path.is_symlink())]
    return {str(path.relative_to(home)): stat.S_IMODE(path.stat().st_mode) for path in paths}


def test_nobody_else_can_read_what_commands_write(settings: Settings, tmp_path: Path) -> None:
    assert main(["index"]) == 0
    assert main(["ask", "Does the cat drink warm milk at night?"]) == 0
    found = modes(settings.home)
    assert len(found) > 10
    assert {path: oct(mode) for path, mode in found.items() if mode & 0o077} == {}


def test_an_older_home_is_made_private_once(settings: Settings) -> None:
    settings.home.chmod(0o755)
    for name in ("chat.db", "runs"):
        (settings.home / name).write_text("")
        (settings.home / name).chmod(0o644)
    outside = settings.docs[0] / "cats.md"
    outside.chmod(0o644)
    (settings.home / "link").symlink_to(outside)
    open_home(settings.home)
    assert {mode & 0o077 for mode in modes(settings.home).values()} == {0}
    assert stat.S_IMODE(outside.stat().st_mode) == 0o644
    (settings.home / "runs").chmod(0o644)
    open_home(settings.home)
    assert modes(settings.home)["runs"] == 0o644


def test_a_setgid_home_stays_open_to_its_group_and_to_nobody_else(settings: Settings) -> None:
    settings.home.chmod(0o2775)
    assert main(["index"]) == 0
    (settings.home / "new").write_text("")
    found = modes(settings.home)
    assert {mode & 0o007 for mode in found.values()} == {0}
    tables = {path: mode for path, mode in found.items() if path.startswith("lancedb/documents")}
    assert tables
    assert {mode & 0o060 for mode in tables.values()} == {0o060}
    assert found["new"] == 0o660


@pytest.mark.parametrize("command", ["index", "stats", "doctor", "review"])
def test_a_home_of_a_newer_release_is_refused_in_one_line_and_not_touched(
    settings: Settings, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    settings.home.joinpath(FORMAT_FILE).write_text(json.dumps({"format": FORMAT + 1}))
    before = modes(settings.home)
    assert main([command]) == 2
    error = capsys.readouterr().err
    assert ("made by a newer release" in error, "update thumbtune" in error, error.count("\n")) == (True, True, 1)
    assert modes(settings.home) == before


def test_a_home_without_a_format_is_of_an_earlier_release_and_gets_one(settings: Settings) -> None:
    for rubbish in ("", "[]", "{}"):
        settings.home.joinpath(FORMAT_FILE).write_text(rubbish)
        open_home(settings.home)
        assert json.loads(settings.home.joinpath(FORMAT_FILE).read_text()) == {"format": FORMAT}
