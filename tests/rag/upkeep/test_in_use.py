"""What changes a home folder by hand refuses while a chat, a training or indexing runs on it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from filelock import FileLock

from rag.__main__ import main
from rag.errors import StoreFailed
from rag.settings import ROOT, Settings
from rag.store.store import open_store
from rag.training_status import LOCK_FILE
from rag.upkeep.backup import back_up
from rag.upkeep.in_use import CHATS, INDEX_LOCK, chat_running, only_user

CHAT = "from rag.upkeep.in_use import chat_running\nwith chat_running(Path(sys.argv[1])): print(1, flush=True); input()"


@pytest.fixture
def backups(home: Settings, tmp_path: Path) -> Path:
    back_up(home, tmp_path / "backups")
    (home.models / "registry.json").write_text("rubbish")
    return tmp_path / "backups"


def refused(argv: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    assert main(argv) == 2
    (line,) = capsys.readouterr().err.splitlines()
    return line


def test_repairing_and_restoring_wait_for_a_chat_but_not_for_a_killed_one(
    home: Settings, backups: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = [sys.executable, "-c", f"import sys\nfrom pathlib import Path\n{CHAT}", str(home.home)]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as chat:
        assert chat.stdout
        assert chat.stdout.readline() == b"1\n"
        for argv in (["doctor", "--repair"], ["restore", "--replace", str(backups)]):
            assert f"a chat runs on it (process {chat.pid}): stop it first" in refused(argv, capsys)
        assert (home.models / "registry.json").read_text() == "rubbish"
        chat.kill()
    assert list((home.home / CHATS).iterdir())
    assert main(["doctor", "--repair"]) == 0
    assert list((home.home / CHATS).iterdir()) == []
    assert main(["restore", "--replace", str(backups)]) == 0


@pytest.mark.parametrize(("lock", "why"), [(LOCK_FILE, "a training runs on it"), (INDEX_LOCK, "are being indexed")])
def test_repairing_and_restoring_wait_for_trainings_and_indexing(
    home: Settings, backups: Path, capsys: pytest.CaptureFixture[str], lock: str, why: str
) -> None:
    with FileLock(home.home / lock):
        for argv in (["doctor", "--repair"], ["restore", "--replace", str(backups)]):
            assert why in refused(argv, capsys)


def test_no_chat_starts_while_a_home_is_repaired(home: Settings) -> None:
    with only_user(home.home), pytest.raises(StoreFailed, match="is being repaired"), chat_running(home.home):
        pass
    with chat_running(home.home):
        assert [file.stem for file in (home.home / CHATS).iterdir()] == [str(os.getpid())]
    assert list((home.home / CHATS).iterdir()) == []


def test_a_restoring_that_is_killed_between_its_two_renames_is_finished_by_the_next_start(
    home: Settings, backups: Path
) -> None:
    code = """if True:
        import os, signal, sys
        from pathlib import Path
        from rag.upkeep import restore
        def before_rename(event, args):
            if event == "os.rename" and str(args[1]) == sys.argv[1]:
                os.kill(os.getpid(), signal.SIGKILL)
        sys.addaudithook(before_rename)
        restore.restore(Path(sys.argv[1]), Path(sys.argv[2]), replace=True)"""
    killed = subprocess.run([sys.executable, "-c", code, str(home.home), str(backups)], cwd=ROOT, check=False)
    assert (killed.returncode, home.home.exists()) == (-signal.SIGKILL, False)
    store = open_store(home.lancedb)
    assert len(store.feedback.ratings()) == 12
    store.close()
    assert not [path for path in home.home.parent.iterdir() if path.name.startswith(f".{home.home.name}")]
