"""Objects of a shared home: conditional puts, and each failure of a store in one line."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import lancedb
import pytest

from object_store import BUCKET, faulty
from rag.__main__ import main
from rag.errors import BadSetting, StoreFailed
from rag.shared_home import objects as module
from rag.shared_home.objects import Changed, Objects, lance_options
from rag.shared_home.probe import require_conditions


def test_an_object_is_read_as_it_was_put(objects: Objects, tmp_path: Path) -> None:
    assert objects.get("a/b.json") is None
    objects.put("a/b.json", b"one")
    found = objects.get("a/b.json")
    assert found
    assert found.data == b"one"
    assert objects.get_unless("a/b.json", found.stamp) == (None, True)
    assert [(each.name, each.size) for each in objects.listing("a")] == [("a/b.json", 3)]
    assert objects.folders("") == ["a"]
    objects.get_file("a/b.json", tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == b"one"
    objects.delete("a/b.json")
    objects.delete("a/b.json")
    assert objects.get_unless("a/b.json", found.stamp) == (None, False)


def test_of_two_writers_one_is_refused(objects: Objects) -> None:
    first = objects.put_new("x", b"one")
    with pytest.raises(Changed):
        objects.put_new("x", b"two")
    objects.put_changed("x", b"three", first)
    with pytest.raises(Changed):
        objects.put_changed("x", b"four", first)
    found = objects.get("x")
    assert found
    assert found.data == b"three"


def test_a_put_whose_answer_was_lost_is_no_conflict(objects: Objects, s3: str, monkeypatch: pytest.MonkeyPatch) -> None:
    puts: list[str] = []

    def lose_first(method: str, path: str) -> str:
        puts.extend([path] * (method == "PUT"))
        return "after 503 SlowDown" if method == "PUT" and len(puts) % 2 else ""

    with faulty(s3, lose_first) as endpoint:
        monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
        through = Objects(objects.address)
        first = through.put_new("x", b"one")
        through.put_changed("x", b"two", first)
    assert len(puts) == 4
    assert (found := objects.get("x"))
    assert found.data == b"two"


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        ("404 NoSuchBucket", "there is no such bucket or container: create it, or correct THUMBTUNE_HOME"),
        ("403 AccessDenied", "the store refuses these credentials"),
        ("403 RequestTimeTooSkewed", "the clocks of this machine and of the store differ"),
        ("503 SlowDown", "the store is throttling or failing, after 1 tries"),
        ("501 NotImplemented", "the store does not know something that a shared home needs"),
    ],
)
@pytest.mark.parametrize(
    "act", [lambda o: o.get("x"), lambda o: o.put_new("x", b"1"), lambda o: o.listing("x"), lambda o: o.delete("x")]
)
def test_a_failing_store_is_one_line_with_the_next_step(
    answer: str, says: str, act: Callable[[Objects], object], objects: Objects, s3: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "RETRIES", 1)
    with faulty(s3, lambda method, path: answer) as endpoint:
        monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
        with pytest.raises(StoreFailed) as raised:
            act(Objects(objects.address))
    assert str(raised.value).startswith(f"{objects.address}: {says}")
    assert "\n" not in str(raised.value)


def test_a_bucket_that_is_not_there_is_named(objects: Objects) -> None:
    with pytest.raises(StoreFailed, match=r"s3://no-such-bucket/x: there is no such bucket .*NoSuchBucket"):
        Objects("s3://no-such-bucket/x").get("home.json")


def test_a_server_that_is_down_is_one_line(objects: Objects, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "RETRIES", 1)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    with pytest.raises(StoreFailed, match="the store cannot be reached: check the network, and AWS_ENDPOINT_URL"):
        Objects(objects.address).get("x")


@pytest.mark.parametrize("given", ["127.0.0.1:4599", "localhost:4599", "http://", "https://a b.example"])
def test_an_endpoint_that_is_no_address_is_named(
    address: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], given: str
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", given)
    monkeypatch.setenv("THUMBTUNE_HOME", address)
    assert main(["stats"]) == 2
    said = capsys.readouterr().err
    assert said == f"error: AWS_ENDPOINT_URL={given}: no address of a store: write http://HOST:PORT or https://HOST\n"


def test_a_store_that_is_not_amazons_needs_no_region(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_REGION")
    Objects(address).put("x", b"one")
    options = lance_options(address)
    lancedb.connect(address, storage_options=options).create_table("t", [{"a": 1}])
    assert lancedb.connect(address, storage_options=options).open_table("t").count_rows() == 1


@pytest.mark.parametrize("text", ["Received redirect without LOCATION, this normally indicates", "PermanentRedirect"])
def test_a_bucket_in_another_region_is_told_apart_from_a_store_that_is_gone(objects: Objects, text: str) -> None:
    assert "the bucket is in another region: set AWS_REGION" in str(objects.failed(OSError(f"{text} in connection")))


def test_throttling_now_and_then_is_nothing_to_worry_about(
    objects: Objects, s3: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def every_third(method: str, path: str) -> str:
        asked.append(path)
        return "" if len(asked) % 3 == 0 else ("503 SlowDown" if len(asked) % 2 else "500 InternalError")

    with faulty(s3, every_third) as endpoint:
        monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
        through = Objects(objects.address)
        stamp = through.put_new("x", b"1")
        stamp = through.put_changed("x", b"2", stamp)
    assert (found := objects.get("x"))
    assert found.data == b"2"


def test_the_extra_is_named_where_it_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "obstore", None)
    with pytest.raises(BadSetting, match=r"s3://b/p: object storage needs obstore: pip install 'thumbtune\[s3\]'"):
        Objects("s3://b/p")


def test_a_store_that_honours_conditions_passes_and_is_left_clean(objects: Objects) -> None:
    require_conditions(objects)
    assert objects.listing("") == []


@pytest.mark.parametrize("ignored", ["if-none-match", "if-match"])
def test_a_store_that_ignores_conditions_is_refused_by_name(
    ignored: str, objects: Objects, s3: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with faulty(s3, lambda method, path: "", without=ignored) as endpoint:
        monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
        with pytest.raises(StoreFailed) as raised:
            require_conditions(Objects(f"s3://{BUCKET}/probed"))
    assert f"the store ({endpoint}) does not honour conditional puts" in str(raised.value)
