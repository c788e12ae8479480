"""Backing up a home folder that is in use, and restoring it elsewhere."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest

from bench import wait_for
from rag.__main__ import main
from rag.errors import StoreFailed
from rag.feedback.ratings import rate_answer, repair
from rag.models.registry import Registry
from rag.settings import ROOT, Settings
from rag.store.store import Store, open_store
from rag.upkeep.backup import back_up, backups, check_backup
from rag.upkeep.forgotten import note_forgotten
from rag.upkeep.restore import restore
from rag.upkeep.snapshot import Source, take_snapshot

QUESTION = "Does the cat drink warm milk at night?"


@pytest.fixture
def store(home: Settings) -> Iterator[Store]:
    with closing(open_store(home.lancedb)) as opened:
        yield opened


def answers(capsys: pytest.CaptureFixture[str]) -> list[str]:
    """Return the lines of the answers, sorted, without the seconds that they took: the faster arm is printed first."""
    assert main(["ask", QUESTION]) == 0
    lines = capsys.readouterr().out.splitlines()
    return sorted(line.rpartition(",")[0] if line.endswith(" s") else line for line in lines)


def test_what_was_rated_before_a_backup_is_restored_elsewhere_although_rating_goes_on(
    home: Settings,
    store: Store,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    Registry(home.models).promote(Registry(home.models).versions()[0].folders, "v1")
    main(["index"])
    capsys.readouterr()
    before = answers(capsys)
    acknowledged: list[str] = []
    stop = threading.Event()

    def keep_rating() -> None:
        for n in range(10_000):
            if stop.is_set():
                return
            acknowledged.append(rate_answer(store, rater=f"r{n}", answer_id="answer-1", value=1, blind=True).id)

    rater = threading.Thread(target=keep_rating)
    rater.start()
    try:
        wait_for(lambda: acknowledged)
        for _ in range(3):
            earlier = list(acknowledged)
            report = back_up(home, tmp_path / "backups")
    finally:
        stop.set()
        rater.join()
    assert len(acknowledged) > len(earlier) > 0
    assert main(["backup", "--check", str(tmp_path / "backups")]) == 0
    monkeypatch.setenv("THUMBTUNE_HOME", str(tmp_path / "new"))
    assert main(["restore", str(tmp_path / "backups")]) == 0
    assert f"THUMBTUNE_DOCS={home.docs[0]}" in capsys.readouterr().out
    with closing(open_store(tmp_path / "new" / "lancedb")) as restored:
        ratings = {rating.id for rating in restored.feedback.ratings()}
        assert set(earlier) <= ratings <= {rating.id for rating in store.feedback.ratings()}
        assert restored.feedback.gaps() == []
        repair(restored)
        assert {label.rater for label in restored.feedback.labels()} == {
            each.rater for each in restored.feedback.ratings()
        }
    assert answers(capsys) == before
    assert main(["doctor"]) == 0
    assert report.folder.stat().st_mode & 0o077 == 0
    assert all(path.stat().st_mode & 0o077 == 0 for path in report.folder.rglob("*") if path.is_file())


def test_what_did_not_change_is_linked_and_what_did_is_copied(home: Settings, store: Store, tmp_path: Path) -> None:
    first = back_up(home, tmp_path / "backups")
    assert first.copied == first.files
    rate_answer(store, rater="bob", answer_id="answer-1", value=1, blind=True)
    second = back_up(home, tmp_path / "backups")
    assert 0 < second.copied < 15
    latest, former = backups(tmp_path / "backups")
    assert (latest.folder, former.folder) == (second.folder, first.folder)
    for path in ("chat.db", "models/v1/model.safetensors"):
        assert latest.file(path).stat().st_ino == former.file(path).stat().st_ino
    assert [*check_backup(latest, {}), *check_backup(former, {})] == []


def test_a_table_that_is_compacted_meanwhile_is_taken_in_its_newer_version(
    home: Settings, store: Store, tmp_path: Path
) -> None:
    taken: dict[str, bytes] = {}

    def take(source: Source) -> None:
        if source.path.startswith("lancedb/ratings.lance/data") and not any("ratings.lance" in each for each in taken):
            store.tables.open("ratings").optimize(cleanup_older_than=timedelta(milliseconds=1), delete_unverified=True)
        taken[source.path] = source.file.read_bytes()

    (tmp_path / "scratch").mkdir()
    take_snapshot(home, tmp_path / "scratch", take)
    for path, content in taken.items():
        (tmp_path / "copy" / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "copy" / path).write_bytes(content)
    with closing(open_store(tmp_path / "copy" / "lancedb")) as copy:
        assert copy.feedback.ratings() == store.feedback.ratings()


@pytest.mark.parametrize("harm", ["overwritten", "missing"])
def test_a_file_of_a_backup_that_is_not_as_it_was_is_named_and_not_restored(
    home: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, harm: str
) -> None:
    file = back_up(home, tmp_path / "backups").folder / "home" / "models" / "v1" / "model.safetensors"
    if harm == "missing":
        file.unlink()
    else:
        file.write_bytes(file.read_bytes()[:-1] + b"?")
    assert main(["backup", "--check", str(tmp_path / "backups")]) == 2
    assert capsys.readouterr().out.startswith(f"damaged    {file}: ")
    monkeypatch.setenv("THUMBTUNE_HOME", str(tmp_path / "new"))
    assert main(["restore", str(tmp_path / "backups")]) == 2
    assert (str(file) in (error := capsys.readouterr().err), error.count("\n")) == (True, 1)
    assert [path.name for path in tmp_path.iterdir() if "new" in path.name] == []


def test_a_home_with_something_in_it_is_refused_or_moved_aside_as_it_is(
    home: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    back_up(home, tmp_path / "backups")
    (home.home / "mine").write_text("mine")
    assert main(["restore", str(tmp_path / "backups")]) == 2
    assert "is not empty: set THUMBTUNE_HOME to a new folder" in capsys.readouterr().err
    assert main(["restore", "--replace", str(tmp_path / "backups")]) == 0
    (former,) = tmp_path.glob("home.before-*")
    assert ((former / "mine").read_text(), (home.home / "mine").exists()) == ("mine", False)
    with closing(open_store(home.lancedb)) as restored:
        assert len(restored.feedback.ratings()) == 12


def test_a_backup_cannot_write_outside_the_home_folder(home: Settings, tmp_path: Path) -> None:
    record = back_up(home, tmp_path / "backups").folder / "backup.json"
    row = json.loads(record.read_text())
    row["files"]["../evil"] = row["files"]["chat.db"]
    record.write_text(json.dumps(row))
    with pytest.raises(StoreFailed, match="outside of the home folder"):
        restore(tmp_path / "new", tmp_path / "backups")
    assert not (tmp_path / "evil").exists()


def test_a_killed_backup_leaves_the_former_one_and_the_next_one_clears_up(home: Settings, tmp_path: Path) -> None:
    first = back_up(home, tmp_path / "backups")
    with (home.home / "uploads").open("wb") as big:
        big.truncate(3_000_000_000)
    command = [sys.executable, "-m", "rag", "backup", str(tmp_path / "backups")]
    child = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while not list((tmp_path / "backups").glob(".part-*/home/uploads")):
        assert child.poll() is None
        time.sleep(0.01)
    child.send_signal(signal.SIGKILL)
    child.wait()
    assert [each.folder for each in backups(tmp_path / "backups")] == [first.folder]
    assert list(check_backup(backups(tmp_path / "backups")[0], {})) == []
    (home.home / "uploads").unlink()
    second = back_up(home, tmp_path / "backups")
    assert {path.name for path in (tmp_path / "backups").iterdir()} == {
        ".lock",
        first.folder.name,
        second.folder.name,
    }


def test_a_full_disk_is_one_line_and_the_former_backup_stays(home: Settings, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=8000000", "tmpfs", str(disk)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("mounting a small disk needs root")
    try:
        first = back_up(home, disk)
        (home.home / "uploads").mkdir()
        (home.home / "uploads" / "big.pdf").write_bytes(os.urandom(9_000_000))
        with pytest.raises(StoreFailed, match="the disk is full: former backups are as they were") as failed:
            back_up(home, disk)
        assert "\n" not in str(failed.value)
        assert {path.name for path in disk.iterdir()} == {".lock", first.folder.name}
        assert list(check_backup(backups(disk)[0], {})) == []
    finally:
        subprocess.run(["umount", "--lazy", str(disk)], check=True)


def test_only_the_latest_stay_if_asked_and_none_from_before_a_rater_was_forgotten(
    home: Settings, tmp_path: Path
) -> None:
    folders = []
    for keep in (0, 0, 2):
        folders.append((report := back_up(home, tmp_path / "backups", keep=keep)).folder)
    assert report.removed == (folders[0],)
    note_forgotten(home.home)
    report = back_up(home, tmp_path / "backups")
    assert set(report.removed) == set(folders[1:])
    assert [each.folder for each in backups(tmp_path / "backups")] == [report.folder]


def test_a_backup_of_a_damaged_home_or_into_it_is_refused_in_one_line(
    home: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["backup", str(home.home / "backups")]) == 2
    assert "is in the home folder" in capsys.readouterr().err
    shutil.rmtree(home.lancedb / "ratings.lance" / "_versions")
    assert main(["backup", str(tmp_path / "backups")]) == 2
    assert "table ratings is damaged" in (error := capsys.readouterr().err)
    assert error.count("\n") == 1
    assert backups(tmp_path / "backups") == []


def test_no_key_is_in_the_record_of_a_backup(home: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-planted")
    monkeypatch.setenv("OPENAI_BASE_URL", "http://me:planted@host/v1")
    assert main(["backup", str(tmp_path / "backups")]) == 0
    (backup,) = backups(tmp_path / "backups")
    assert "THUMBTUNE_CHUNK_TOKENS" in backup.settings
    assert "planted" not in (backup.folder / "backup.json").read_text()
    with closing(sqlite3.connect(backup.file("chat.db"))) as threads:
        assert threads.execute("SELECT COUNT(*) FROM threads").fetchone() == (100,)


def test_a_backup_says_that_the_chats_are_in_postgres_and_keeps_their_address_without_its_password(
    home: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("THUMBTUNE_HISTORY", "postgresql://tom:secret@db.lan/chats")
    assert main(["backup", str(tmp_path / "backups")]) == 0
    assert "The chats are in postgresql://tom@db.lan/chats and not in this backup: pg_dump" in capsys.readouterr().out
    (backup,) = backups(tmp_path / "backups")
    assert backup.settings["THUMBTUNE_HISTORY"] == "postgresql://tom@db.lan/chats"
    assert "secret@" not in (backup.folder / "backup.json").read_text()
