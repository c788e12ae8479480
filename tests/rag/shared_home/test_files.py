"""Small files, and folders that never change, of a shared home."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from object_store import faulty
from rag.errors import StoreFailed
from rag.shared_home import files
from rag.shared_home import home as home_module
from rag.shared_home import objects as objects_module
from rag.shared_home.folders import fetch_folder, put_folder
from rag.shared_home.home import SharedHome
from rag.shared_home.objects import Objects


def test_of_changes_at_once_none_is_lost(objects: Objects, tmp_path: Path) -> None:
    def count(name: str) -> None:
        shared = SharedHome(objects.address, tmp_path / name).file(tmp_path / name / "models" / "registry.json")
        for _ in range(5):
            shared.change(lambda data: str(int(data or b"0") + 1).encode())

    threads = [threading.Thread(target=count, args=(f"m{n}",)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (found := objects.get("models/registry.json"))
    assert found.data == b"20"


def test_a_running_chat_follows_changes_and_does_not_wait_for_a_store_that_fails(
    objects: Objects, s3: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(home_module, "FRESH_SECONDS", 0.1)
    monkeypatch.setattr(objects_module, "RETRIES", 1)
    objects.put("groups.txt", b"one")
    is_down = False
    with faulty(s3, lambda method, path: "503 SlowDown" if is_down else "") as endpoint:
        monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
        home = SharedHome(objects.address, tmp_path)
        shared = home.file(tmp_path / "groups.txt")
        assert shared.refresh().read_bytes() == b"one"
        home.start_following()
        try:
            objects.put("groups.txt", b"two")
            began = time.monotonic()
            while shared.refresh().read_bytes() != b"two":
                assert time.monotonic() - began < 10
                time.sleep(0.02)
            is_down = True
            while not caplog.records:
                assert time.monotonic() - began < 20
                time.sleep(0.02)
            began = time.monotonic()
            assert shared.refresh().read_bytes() == b"two"
            assert time.monotonic() - began < 0.05
            is_down = False
            objects.put("groups.txt", b"three")
            while shared.refresh().read_bytes() != b"three":
                assert time.monotonic() - began < 20
                time.sleep(0.02)
        finally:
            home.stop_following()
    assert [each.message for each in caplog.records if "what other machines change" in each.message]


def test_a_file_is_looked_at_once_in_a_while(objects: Objects, s3: str, tmp_path: Path, monkeypatch) -> None:
    asked: list[str] = []
    with faulty(s3, lambda method, path: asked.append(path) or "") as endpoint:  # type: ignore[func-returns-value]
        monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
        shared = SharedHome(objects.address, tmp_path).file(tmp_path / "groups.txt")
        for _ in range(20):
            assert not shared.refresh().exists()
        assert len(asked) == 1
        monkeypatch.setattr(files, "FRESH_SECONDS", 0.0)
        shared.refresh()
        assert len(asked) == 2


def make_folder(folder: Path) -> Path:
    (folder / "bert").mkdir(parents=True)
    (folder / "bert" / "model.safetensors").write_bytes(b"w" * 100_000)
    (folder / "README.md").write_text("card")
    (folder / ".draft").write_text("not this")
    return folder


def test_a_folder_is_fetched_as_it_was_put(objects: Objects, tmp_path: Path) -> None:
    put_folder(objects, "models/v1", make_folder(tmp_path / "a" / "v1"))
    (tmp_path / "b").mkdir()
    assert fetch_folder(objects, "models/v1", tmp_path / "b" / "v1")
    assert (tmp_path / "b" / "v1" / "bert" / "model.safetensors").read_bytes() == b"w" * 100_000
    assert (tmp_path / "b" / "v1" / "README.md").read_text() == "card"
    assert not (tmp_path / "b" / "v1" / ".draft").exists()
    for each in objects.listing("models"):
        objects.delete(each.name)
    assert fetch_folder(objects, "models/v1", tmp_path / "b" / "v1")  # it is in the cache, and nobody is asked


def test_a_folder_that_is_nowhere_is_not_made(objects: Objects, tmp_path: Path) -> None:
    assert not fetch_folder(objects, "models/v9", tmp_path / "v9")
    assert list(tmp_path.iterdir()) == []


def test_two_versions_of_one_name_are_refused(objects: Objects, tmp_path: Path) -> None:
    put_folder(objects, "models/v1", make_folder(tmp_path / "a" / "v1"))
    put_folder(objects, "models/v1", tmp_path / "a" / "v1")  # the same again is nothing new
    other = make_folder(tmp_path / "b" / "v1")
    (other / "README.md").write_text("another")
    with pytest.raises(StoreFailed, match="models/v1: another process has made it meanwhile"):
        put_folder(objects, "models/v1", other)


def test_a_folder_whose_upload_was_cut_off_is_not_there(objects: Objects, tmp_path: Path) -> None:
    put_folder(objects, "models/v1", make_folder(tmp_path / "a" / "v1"))
    objects.delete("models/v1.files.json")
    assert not fetch_folder(objects, "models/v1", tmp_path / "v1")


def test_what_was_changed_in_the_store_is_not_used(objects: Objects, tmp_path: Path) -> None:
    put_folder(objects, "models/v1", make_folder(tmp_path / "a" / "v1"))
    objects.put("models/v1/bert/model.safetensors", b"something else")
    with pytest.raises(StoreFailed, match="is not what was put there"):
        fetch_folder(objects, "models/v1", tmp_path / "v1")
    assert not (tmp_path / "v1").exists()


def test_a_list_that_names_a_file_elsewhere_is_refused(objects: Objects, tmp_path: Path) -> None:
    objects.put("models/v1.files.json", b'{"files": {"../../evil": "00"}}')
    with pytest.raises(StoreFailed, match="names a file outside its folder"):
        fetch_folder(objects, "models/v1", tmp_path / "in" / "v1")
