"""What changes a home folder by hand refuses while a chat, a training or indexing runs on it."""

from __future__ import annotations

import os
import shutil
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
from rag.upkeep.restore import restore

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
        assert [file.stem.partition("-")[0] for file in (home.home / CHATS).iterdir()] == [str(os.getpid())]
    assert list((home.home / CHATS).iterdir()) == []


RESTORE = """if True:
    import os, signal, sys
    from pathlib import Path
    from rag.upkeep import restore
    home, backups, before = sys.argv[1:]
    def before_rename(event, args):
        if event == "os.rename" and str(args[1]) == before:
            os.kill(os.getpid(), signal.SIGKILL)
    sys.addaudithook(before_rename)
    restore.restore(Path(home), Path(backups), replace=True)"""


def restore_until(target: Path, home: Path, backups: Path) -> int:
    """Restore until a file or folder is given this name; return the exit status."""
    command = [sys.executable, "-c", RESTORE, str(home), str(backups), str(target)]
    return subprocess.run(command, cwd=ROOT, check=False).returncode


@pytest.mark.parametrize("last", ["lancedb", "home.json", ".restored"])
def test_a_restoring_into_an_empty_folder_that_is_killed_is_finished_or_begun_again(
    home: Settings, backups: Path, last: str
) -> None:
    inode = empty(home.home)
    assert restore_until(home.home / last, home.home, backups) == -signal.SIGKILL
    if last == ".restored":  # not all files were there
        restore(home.home, backups)
    store = open_store(home.lancedb)
    assert len(store.feedback.ratings()) == 12
    store.close()
    assert home.home.stat().st_ino == inode  # a mount point stays
    assert {path.name for path in home.home.iterdir()}.isdisjoint({".restoring", ".restored"})


def test_a_mount_point_is_filled_and_not_renamed(home: Settings, backups: Path, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "tmpfs", str(disk)], capture_output=True, check=False).returncode:
        pytest.skip("mounting a disk needs root")
    try:
        assert restore(disk, backups)[1] is None
        store = open_store(disk / "lancedb")
        assert len(store.feedback.ratings()) == 12
        store.close()
        with pytest.raises(StoreFailed, match="mount point of a disk and cannot be moved aside: empty it"):
            restore(disk, backups, replace=True)
    finally:
        subprocess.run(["umount", "--lazy", str(disk)], check=True)


def empty(home: Path) -> int:
    """Leave nothing in a home folder; return its inode."""
    shutil.rmtree(home)
    home.mkdir()
    return home.stat().st_ino


def test_a_restoring_that_is_killed_between_its_two_renames_is_finished_by_the_next_start(
    home: Settings, backups: Path
) -> None:
    killed = restore_until(home.home, home.home, backups)
    assert (killed, home.home.exists()) == (-signal.SIGKILL, False)
    store = open_store(home.lancedb)
    assert len(store.feedback.ratings()) == 12
    store.close()
    assert not [path for path in home.home.parent.iterdir() if path.name.startswith(f".{home.home.name}")]


def test_two_chats_of_the_same_process_id_as_in_two_containers_run_on_one_home(home: Settings) -> None:
    with chat_running(home.home), chat_running(home.home):
        assert len(list((home.home / CHATS).iterdir())) == 2
        both = f"process {os.getpid()}, {os.getpid()}"
        with pytest.raises(StoreFailed, match=both), only_user(home.home):
            pass
    with only_user(home.home):
        assert list((home.home / CHATS).iterdir()) == []
