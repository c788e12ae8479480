"""What `python -m chat` checks before it starts, and how it says what is wrong."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from chat.__main__ import keep_own
from rag.errors import BadSetting, StoreFailed
from rag.home import check_home
from rag.settings import ROOT
from rag.web.listen import check_port


@pytest.fixture
def busy_port() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def run_chat(cwd: Path, **settings: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "PYTHONPATH": str(ROOT), "THUMBTUNE_HOME": str(cwd / "home"), **settings}
    command = [sys.executable, "-m", "chat"]
    return subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, timeout=120, check=False)


def test_a_port_in_use_is_one_line_with_the_next_port_and_exit_2(tmp_path: Path, busy_port: int) -> None:
    done = run_chat(tmp_path, THUMBTUNE_PORT=str(busy_port), THUMBTUNE_HOST="127.0.0.1")
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert f"port {busy_port} on 127.0.0.1 is in use" in line
    assert f"THUMBTUNE_PORT={busy_port + 1} make chat" in line
    assert not (tmp_path / "home").exists()


def test_a_home_that_is_a_file_is_one_line_and_exit_2(tmp_path: Path) -> None:
    (tmp_path / "home").write_text("mine")
    done = run_chat(tmp_path, THUMBTUNE_PORT=str(free_port()))
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert str(tmp_path / "home") in line
    assert "THUMBTUNE_HOME" in line
    assert (tmp_path / "home").read_text() == "mine"


def test_documents_that_are_not_there_are_one_line_and_exit_2(tmp_path: Path) -> None:
    done = run_chat(tmp_path, THUMBTUNE_PORT=str(free_port()), THUMBTUNE_DOCS=str(tmp_path / "nowhere"))
    assert done.returncode == 2
    assert str(tmp_path / "nowhere") in done.stderr
    assert "Not all documents are indexed" not in done.stdout + done.stderr  # no chat is open that could answer
    assert "Traceback" not in done.stderr


def test_a_setting_that_cannot_work_is_one_line_and_exit_2(tmp_path: Path) -> None:
    done = run_chat(tmp_path, THUMBTUNE_PORT="99999")
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert "THUMBTUNE_PORT" in line


def test_a_network_without_sign_in_is_one_line_and_exit_2(tmp_path: Path) -> None:
    done = run_chat(tmp_path, THUMBTUNE_HOST="0.0.0.0", THUMBTUNE_PORT=str(free_port()))
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: THUMBTUNE_HOST='0.0.0.0' without sign-in: everyone who can reach it could read")
    assert "THUMBTUNE_OPEN=yes" in line
    assert not (tmp_path / "home").exists()


def test_a_network_that_is_open_on_purpose_is_warned_of_before_anything_else(tmp_path: Path) -> None:
    port, nowhere = str(free_port()), str(tmp_path / "nowhere")  # so it ends here, after the warning
    done = run_chat(
        tmp_path, THUMBTUNE_HOST="0.0.0.0", THUMBTUNE_PORT=port, THUMBTUNE_OPEN="yes", THUMBTUNE_DOCS=nowhere
    )
    (warning,) = done.stdout.splitlines()
    expected = f"Warning: no sign-in on 0.0.0.0:{port}: everyone who can reach it can read the documents."
    assert warning == expected
    assert nowhere in done.stderr


def test_a_host_name_that_is_none_is_one_line_and_exit_2(tmp_path: Path) -> None:
    done = run_chat(tmp_path, THUMBTUNE_HOSTS="https://chat.example.org", THUMBTUNE_PORT=str(free_port()))
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert "THUMBTUNE_HOSTS: 'https://chat.example.org' is not a host name" in line


def test_a_free_port_is_fine_and_an_unknown_host_is_told() -> None:
    check_port("localhost", free_port())
    with pytest.raises(BadSetting, match=r"no\.such\.host\.invalid"):
        check_port("no.such.host.invalid", 8000)


def test_an_address_of_another_machine_is_told() -> None:
    with pytest.raises(BadSetting, match=r"cannot listen on 192\.0\.2\.1"):
        check_port("192.0.2.1", 8000)


def test_a_home_is_made_with_nothing_but_its_format(tmp_path: Path) -> None:
    check_home(tmp_path / "new" / "home")
    assert [path.name for path in (tmp_path / "new" / "home").iterdir()] == ["home.json"]


def test_a_home_that_cannot_be_made_is_told_with_its_path(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreFailed, match=f"{tmp_path}/file: is a file, not a folder"):
        check_home(tmp_path / "file" / "home")


def test_translations_that_chainlit_copies_go_and_our_own_stay(tmp_path: Path) -> None:
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    for folder in (ours, theirs):
        folder.mkdir()
        for name in ("en-US.json", "de-DE.json", "zh-CN.json"):
            (folder / name).write_text("{}")
    (ours / "en-US.json").write_text('{"chat": {}}')
    (ours / "de-DE.json").write_text('{"chat": {"own": "words"}}')
    (ours / "tlh.json").write_text("{}")
    keep_own(ours, theirs)
    assert sorted(path.name for path in ours.iterdir()) == ["de-DE.json", "en-US.json", "tlh.json"]


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])
