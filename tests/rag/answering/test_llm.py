"""Whole replies of an LLM for background work: temporary errors are retried, permanent ones are not."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler

import pytest
from httpx2 import ReadError

from fakes import Reply, completion, endpoint, refuse, start_stream
from rag.answering.llm import MAX_WAIT, TRIES, Ask, build_ask
from rag.answering.reply_limits import bounded_client
from rag.errors import AnswerFailed, BadSetting, PromptRefused
from rag.settings import Settings


@pytest.fixture
def waits() -> list[float]:
    return []


def busy(retry_after: str = "", status: int = 429, code: str = "rate_limit_exceeded") -> Reply:
    def reply(handler: BaseHTTPRequestHandler, body: dict[str, object]) -> None:
        data = json.dumps({"error": {"message": "sk-secret", "type": "x", "code": code}}).encode()
        handler.send_response(status)
        if retry_after:
            handler.send_header("Retry-After", retry_after)
        handler.send_header("Content-Type", "application/json")
        handler.send_header("Content-Length", str(len(data)))
        handler.end_headers()
        handler.wfile.write(data)

    return reply


def ask_at(url: str, settings: Settings, waits: list[float]) -> Ask:
    served = settings.model_copy(update={"openai_base_url": url, "llm": "openai:fake", "llm_timeout": 5.0})
    return build_ask(served, sleep=waits.append)


def test_the_reply_is_the_whole_text_to_a_plain_prompt(settings: Settings, waits: list[float]) -> None:
    with endpoint(completion("Yes.")) as (url, requests):
        assert ask_at(url, settings, waits)("Is it?") == "Yes."
    assert requests[0]["messages"] == [{"content": "Is it?", "role": "user"}]
    assert (requests[0]["model"], waits) == ("fake", [])


@pytest.mark.parametrize("status", [429, 503])
def test_a_busy_endpoint_is_asked_again_after_retry_after(
    settings: Settings, waits: list[float], status: int, caplog: pytest.LogCaptureFixture
) -> None:
    with endpoint(busy("7", status), busy("0", status), completion("Yes.")) as (url, requests):
        assert ask_at(url, settings, waits)("Is it?") == "Yes."
    assert (waits, len(requests)) == ([7.0, 0.0], 3)
    assert f"(HTTP {status}); next try in 7 s" in caplog.text
    assert "sk-secret" not in caplog.text


def test_a_date_in_retry_after_is_understood(settings: Settings, waits: list[float]) -> None:
    date = format_datetime(datetime.now(UTC) + timedelta(seconds=60), usegmt=True)
    with endpoint(busy(date), completion("Yes.")) as (url, _):
        assert ask_at(url, settings, waits)("Is it?") == "Yes."
    assert 50 < waits[0] <= 60


@pytest.mark.parametrize("retry_after", ["", "soon"])
def test_without_retry_after_the_waits_grow_and_end(settings: Settings, waits: list[float], retry_after: str) -> None:
    with (
        endpoint(busy(retry_after)) as (url, requests),
        pytest.raises(AnswerFailed, match=r"rate or spending limit.*\(HTTP 429\)$"),
    ):
        ask_at(url, settings, waits)("Is it?")
    assert len(requests) == TRIES
    assert all(0 <= wait <= 2**n for n, wait in enumerate(waits))


def test_a_wait_of_hours_is_reported_and_not_waited_for(settings: Settings, waits: list[float]) -> None:
    hours = str(int(MAX_WAIT) + 3_600)
    with endpoint(busy(hours)) as (url, _), pytest.raises(AnswerFailed, match=f"it asks to wait {hours} s"):
        ask_at(url, settings, waits)("Is it?")
    assert waits == []


@pytest.mark.parametrize(
    ("reply", "message"),
    [
        (busy("7", code="insufficient_quota"), "spending limit"),
        (refuse(401), "OPENAI_API_KEY"),
        (refuse(404), "THUMBTUNE_LLM"),
    ],
)
def test_a_permanent_error_fails_at_once(settings: Settings, waits: list[float], reply: Reply, message: str) -> None:
    with endpoint(reply) as (url, requests), pytest.raises(AnswerFailed, match=message) as caught:
        ask_at(url, settings, waits)("Is it?")
    assert (waits, len(requests)) == ([], 1)
    assert not isinstance(caught.value, PromptRefused)
    assert "sk-secret" not in str(caught.value)


@pytest.mark.parametrize("reply", [refuse(400), refuse(422), completion("Half", finish="content_filter")])
def test_a_refused_prompt_has_its_own_error(settings: Settings, waits: list[float], reply: Reply) -> None:
    with endpoint(reply) as (url, requests), pytest.raises(PromptRefused):
        ask_at(url, settings, waits)("Is it?")
    assert len(requests) == 1


def test_a_reply_has_a_length_and_one_that_reached_it_is_not_taken_for_whole(
    settings: Settings, waits: list[float]
) -> None:
    with (
        endpoint(completion('{"question": "Wh', finish="length")) as (url, requests),
        pytest.raises(PromptRefused, match="cut off after 1,024 tokens: raise THUMBTUNE_LLM_MAX_TOKENS"),
    ):
        ask_at(url, settings, waits)("Is it?")
    assert ([request["max_tokens"] for request in requests], waits) == ([1024], [])


def test_an_endpoint_that_is_down_is_retried(settings: Settings, waits: list[float]) -> None:
    with pytest.raises(AnswerFailed, match="is it running"):
        ask_at("http://127.0.0.1:9/v1", settings, waits)("Is it?")
    assert len(waits) == TRIES - 1


def test_a_reply_that_never_ends_is_given_up_after_its_time(settings: Settings, waits: list[float]) -> None:
    def trickle(handler: BaseHTTPRequestHandler, body: dict[str, object]) -> None:
        start_stream(handler)
        with suppress(OSError):
            while not threading.Event().wait(0.05):  # a byte each time, so no read takes long
                handler.wfile.write(b" ")

    quick = settings.model_copy(update={"answer_timeout": 0.2})
    with endpoint(trickle) as (url, requests), pytest.raises(AnswerFailed, match="in time"):
        ask_at(url, quick, waits)("Is it?")
    assert (len(requests), len(waits)) == (TRIES, TRIES - 1)


def test_a_reply_without_end_is_given_up_at_its_size() -> None:
    def pour(handler: BaseHTTPRequestHandler, body: dict[str, object]) -> None:
        start_stream(handler)
        with suppress(OSError):
            while True:
                handler.wfile.write(b" " * 1_000)

    with endpoint(pour) as (url, _), pytest.raises(ReadError, match="more than 10,000 bytes"):
        bounded_client(60.0, most=10_000).post(url, json={})


def pages() -> Iterator[Reply]:
    for data in (b"<html>Welcome to the proxy</html>", b"{}", b'{"choices": []}', b"[]"):

        def reply(handler: BaseHTTPRequestHandler, body: dict[str, object], data: bytes = data) -> None:
            handler.send_response(200)
            handler.send_header("Content-Type", "text/html" if data.startswith(b"<") else "application/json")
            handler.send_header("Content-Length", str(len(data)))
            handler.end_headers()
            handler.wfile.write(data)

        yield reply


@pytest.mark.parametrize("reply", list(pages()))
def test_a_reply_that_is_no_completion_is_an_error(settings: Settings, waits: list[float], reply: Reply) -> None:
    with endpoint(reply) as (url, _), pytest.raises(AnswerFailed, match="OPENAI_BASE_URL"):
        ask_at(url, settings, waits)("Is it?")


def test_without_an_llm_build_ask_raises(settings: Settings) -> None:
    with pytest.raises(BadSetting, match="THUMBTUNE_LLM=extractive"):
        build_ask(settings)
