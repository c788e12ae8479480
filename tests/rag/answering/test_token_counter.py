"""Tokens are counted if tiktoken's file is cached, else estimated; nothing ever waits for the download."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path

import pytest

from rag.answering import token_counter
from rag.settings import Settings


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(tmp_path / "tiktoken"))
    (tmp_path / "tiktoken").mkdir()
    return tmp_path / "tiktoken"


@pytest.mark.usefixtures("cache")
def test_without_the_file_tokens_are_estimated_high(settings: Settings) -> None:
    counter = token_counter.TokenCounter(settings)
    assert not counter.is_exact
    assert counter("") == 0
    assert counter("four") == 2
    assert counter("日本") == 2


def test_a_damaged_file_is_neither_used_nor_deleted(settings: Settings, cache: Path) -> None:
    (cache / token_counter.CACHE_NAME).write_text("half a file")
    assert not token_counter.TokenCounter(settings).is_exact
    assert (cache / token_counter.CACHE_NAME).read_text() == "half a file"


def test_the_cache_name_and_hash_are_those_of_tiktoken() -> None:
    import inspect

    from tiktoken_ext import openai_public

    source = inspect.getsource(openai_public.o200k_base)
    address = source.split('load_tiktoken_bpe(\n        "', 1)[1].split('"', 1)[0]
    assert hashlib.sha1(address.encode()).hexdigest() == token_counter.CACHE_NAME
    assert token_counter.SHA256 in source


def test_with_the_file_tokens_are_counted_and_special_tokens_are_plain_text(
    settings: Settings, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ranks = b"".join(base64.b64encode(bytes([byte])) + b" %d\n" % byte for byte in range(256))
    ranks += base64.b64encode(b"th") + b" 256\n" + base64.b64encode(b"the") + b" 257\n"
    (cache / token_counter.CACHE_NAME).write_bytes(ranks)
    monkeypatch.setattr(token_counter, "SHA256", hashlib.sha256(ranks).hexdigest())
    monkeypatch.setattr("tiktoken.load.check_hash", lambda data, expected: True)
    monkeypatch.setattr("tiktoken.registry.ENCODINGS", {})
    counter = token_counter.TokenCounter(settings)
    assert counter.is_exact
    assert counter("the") == 1
    assert counter("<|endoftext|>") == len("<|endoftext|>")


@pytest.mark.usefixtures("cache")
def test_after_a_failed_download_tokens_are_estimated(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tiktoken.registry.ENCODINGS", {})
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")  # nothing listens there: refused at once
    counter = token_counter.TokenCounter(settings)
    counter.fetch().join()
    assert not counter.is_exact
