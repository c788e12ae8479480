"""/v1/chat/completions at the HTTP door: answers, citations, follow-ups, blind duels, and what is refused."""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.testclient import TestClient

from fakes import Slow, completion, endpoint, stream
from rag.answering.evidence.refusals import DONT_KNOW
from rag.answering.service import open_service
from rag.indexing.indexer import index
from rag.records import BLIND_TURN, COMPLETION, OPEN_TURN
from rag.web.hosts import Hosts
from serve import bodies
from serve.app import build_app
from serve.bodies import MOST_BYTES
from serve.completions import drawn_arm
from serve.conversation import Conversation
from served import ANSWER, QUESTION, Served, listening, open_home, wait_until


def chunks_of(response: httpx.Response) -> list[dict[str, Any]]:
    lines = [line.removeprefix("data: ") for line in response.text.splitlines() if line]
    assert lines[-1] == "[DONE]"
    return [json.loads(line) for line in lines[:-1]]


def text_of(chunks: list[dict[str, Any]]) -> str:
    return "".join(chunk["choices"][0]["delta"].get("content", "") for chunk in chunks if chunk["choices"])


def test_the_models_are_listed_and_found_by_name(client: TestClient) -> None:
    listed = client.get("/v1/models").json()
    assert [model["id"] for model in listed["data"]] == ["thumbtune-tuned", "thumbtune-base", "thumbtune-duel"]
    assert client.get("/v1/models/thumbtune-base").json()["object"] == "model"
    assert client.get("/v1/models/gpt-4").json()["error"]["code"] == "model_not_found"


def test_an_answer_cites_its_passages_and_is_stored_before_it_is_read(served: Served, client: TestClient) -> None:
    body = served.ask(client).json()
    (choice,) = body["choices"]
    message = choice["message"]
    assert (choice["finish_reason"], body["model"], body["object"]) == ("stop", "thumbtune-tuned", "chat.completion")
    assert ANSWER in message["content"]
    cited = message["annotations"][0]["url_citation"]
    assert message["content"][cited["start_index"] : cited["end_index"]] == "[1]"
    assert cited["title"] == "Cats"
    passage = client.get(cited["url"])
    assert ANSWER in passage.text
    assert passage.headers["content-type"] == "text/plain; charset=utf-8"
    assert body["usage"]["total_tokens"] == body["usage"]["prompt_tokens"] + body["usage"]["completion_tokens"] > 0
    (stored,) = served.serving.store.feedback.answers_of_duels([body["id"].removeprefix("chatcmpl-")])
    assert (stored.arm, stored.text, stored.query) == ("tuned", message["content"], QUESTION)


def test_a_stream_is_the_same_answer_with_its_sources_first(served: Served, client: TestClient) -> None:
    whole = served.ask(client).json()
    response = served.ask(client, stream=True, stream_options={"include_usage": True})
    assert response.headers["content-type"].startswith("text/event-stream")
    chunks = chunks_of(response)
    assert text_of(chunks) == whole["choices"][0]["message"]["content"]
    assert chunks[0]["choices"][0]["delta"]["role"] == "assistant"
    sources = [chunk["event"]["data"] for chunk in chunks if "event" in chunk]
    assert len(sources) == len(whole["sources"])
    assert not any("sources" in chunk for chunk in chunks)  # Open WebUI would show each twice
    assert sources[0]["document"] == [f"# Cats\n\n{ANSWER}"]
    assert sources[0]["metadata"][0]["rank"] == 1
    deltas = [chunk["choices"][0]["delta"] for chunk in chunks if chunk["choices"]]
    notes = next(delta["annotations"] for delta in deltas if "annotations" in delta)
    assert notes[0]["url_citation"]["title"] == "Cats"
    assert chunks[-2]["choices"][0]["finish_reason"] == "stop"
    assert (chunks[-1]["choices"], chunks[-1]["usage"]) == ([], whole["usage"])
    assert len({chunk["id"] for chunk in chunks}) == 1
    assert not any("usage" in chunk for chunk in chunks_of(served.ask(client, stream=True)))


def test_a_follow_up_is_searched_together_with_what_it_refers_to(served: Served, client: TestClient) -> None:
    messages = [
        {"role": "system", "content": "Answer in rhyme."},
        {"role": "user", "content": QUESTION},
        {"role": "assistant", "content": ANSWER},
        {"role": "user", "content": [{"type": "text", "text": "And why?"}]},
    ]
    body = served.ask(client, messages=messages).json()
    (stored,) = served.serving.store.feedback.answers_of_duels([body["id"].removeprefix("chatcmpl-")])
    assert stored.query == f"{QUESTION} And why?"
    messages += [{"role": "assistant", "content": "It is thirsty."}, {"role": "user", "content": "And then?"}]
    body = served.ask(client, messages=messages).json()
    (stored,) = served.serving.store.feedback.answers_of_duels([body["id"].removeprefix("chatcmpl-")])
    assert stored.query == f"{QUESTION} And then?"


def test_a_duel_draws_one_arm_blind_and_the_same_one_for_a_retry(served: Served, client: TestClient) -> None:
    before = served.n_answers
    bodies = [served.ask(client, model="thumbtune-duel", user=f"u{n}").json() for n in (1, 2, 3, 4, 5, 6, 7, 8, 1)]
    arms = []
    for body in bodies:
        (stored,) = served.serving.store.feedback.answers_of_duels([body["id"].removeprefix("chatcmpl-")])
        arms.append(stored.arm)
        assert "system_fingerprint" not in body
        assert all("distances" not in source for source in body["sources"])
        assert not re.search("tuned|base", json.dumps(body))
    assert set(arms) == {"base", "tuned"}
    assert arms[0] == arms[-1]
    assert served.n_answers == before + len(bodies)


@pytest.mark.parametrize(("model", "compares"), [("thumbtune-tuned", False), ("thumbtune-duel", True)])
def test_a_version_on_trial_may_answer_only_a_duel(
    served: Served, client: TestClient, monkeypatch: pytest.MonkeyPatch, model: str, compares: bool
) -> None:
    told = []
    ask = served.serving.ask
    monkeypatch.setattr(served.serving, "ask", lambda *a, **given: told.append(given["compares"]) or ask(*a, **given))
    served.ask(client, model=model)
    assert told == [compares]


def test_a_duel_while_one_arm_searches_more_documents_is_no_blind_one(
    served: Served, client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def duel() -> str:
        return str(served.ask(client, model="thumbtune-duel").json()["id"]).removeprefix(COMPLETION)

    assert duel().startswith(BLIND_TURN)
    monkeypatch.setattr(served.serving, "is_fair", lambda group="": False)
    assert duel().startswith(OPEN_TURN)


def test_the_draw_is_even() -> None:
    arms = [drawn_arm("key", f"rater {n}", Conversation(QUESTION, ())) for n in range(2_000)]
    assert 900 < arms.count("tuned") < 1_100


@pytest.mark.parametrize(
    ("fields", "status", "code", "param"),
    [
        ({"model": "gpt-4"}, 404, "model_not_found", "model"),
        ({"messages": []}, 400, "invalid_value", "messages"),
        ({"messages": [{"role": "assistant", "content": "x"}]}, 400, "invalid_messages", "messages"),
        ({"messages": [{"role": "user", "content": "   "}]}, 400, "invalid_question", None),
        ({"messages": [{"role": "user", "content": "x" * 5_000}]}, 400, "invalid_question", None),
        ({"messages": [{"role": "wizard", "content": "x"}]}, 400, "invalid_value", "messages.0.role"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, 400, "unsupported_content", None),
        ({"messages": [{"role": "user", "content": "### Task:\nWrite a title."}]}, 400, "unsupported_task", "messages"),
        ({"messages": "hello"}, 400, "invalid_value", "messages"),
        ({"n": 2}, 400, "unsupported_value", "n"),
        ({"response_format": {"type": "json_object"}}, 400, "unsupported_value", "response_format"),
        ({"tools": [], "tool_choice": "required"}, 400, "unsupported_value", "tool_choice"),
        ({"tempurature": 1}, 400, "unknown_parameter", "tempurature"),
        ({"user": "a\nb"}, 400, "invalid_user", "user"),
        ({"stream": "yes please"}, 400, "invalid_value", "stream"),
    ],
)
def test_what_is_wrong_is_one_error_in_openais_shape(
    served: Served, client: TestClient, fields: dict[str, Any], status: int, code: str, param: str | None
) -> None:
    before = served.n_answers
    response = served.ask(client, **fields)
    error = response.json()["error"]
    assert (response.status_code, error["code"], error["param"]) == (status, code, param)
    assert error["type"] == "invalid_request_error"
    assert "\n" not in error["message"]
    assert served.n_answers == before


def test_arguments_that_have_no_effect_are_accepted(served: Served, client: TestClient) -> None:
    fields = {"temperature": 0.7, "top_p": 1, "max_tokens": 50, "tools": [{"type": "function"}], "tool_choice": "auto"}
    assert served.ask(client, **fields, n=1, seed=1, stop=["x"], metadata={"a": "b"}).status_code == 200


@pytest.mark.parametrize(
    ("content", "headers", "status", "code"),
    [
        (b"{}", {"content-type": "text/plain"}, 415, "unsupported_content_type"),
        (b"{}", {}, 415, "unsupported_content_type"),
        (b"{not json", {"content-type": "application/json"}, 400, "invalid_json"),
        (b"[1]", {"content-type": "application/json"}, 400, "invalid_json"),
        (b"[" * 200_000, {"content-type": "application/json"}, 400, "invalid_json"),
        (b"\xff\xfe", {"content-type": "application/json; charset=utf-8"}, 400, "invalid_json"),
        (b"{}", {"content-type": "application/json"}, 400, "missing_required_parameter"),
        (b"x" * (MOST_BYTES + 1), {"content-type": "application/json"}, 413, "request_too_large"),
    ],
    ids=["text", "no type", "cut", "list", "deep", "bytes", "empty", "huge"],
)
def test_a_body_that_cannot_be_read_is_told_so(
    client: TestClient, content: bytes, headers: dict[str, str], status: int, code: str
) -> None:
    response = client.post("/v1/chat/completions", content=content, headers=headers)
    assert (response.status_code, response.json()["error"]["code"]) == (status, code)


@pytest.mark.parametrize("stream", [False, True])
def test_half_of_an_emoji_in_a_conversation_is_no_failure(served: Served, client: TestClient, stream: bool) -> None:
    turns = [("user", f"{QUESTION} \ud83d"), ("assistant", "cut \ud83d"), ("user", f"{QUESTION} And \ud83d?")]
    body = {
        "model": "thumbtune-tuned",
        "messages": [{"role": role, "content": text} for role, text in turns],
        "stream": stream,
    }
    sent = client.post("/v1/chat/completions", content=json.dumps(body), headers={"content-type": "application/json"})
    assert sent.status_code == 200
    assert ANSWER in sent.text
    assert all("\ud83d" not in answer.query for answer in served.serving.store.feedback.answers())


def test_a_body_that_does_not_come_is_given_up(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies, "SECONDS", 0.1)
    head = ["POST /v1/feedback HTTP/1.1", "Host: localhost", "Content-Type: application/json", "Content-Length: 9"]
    with (
        listening(build_app(served.api(), Hosts())) as url,
        socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2])), timeout=30) as slow,
    ):
        slow.sendall("\r\n".join([*head, "", "{"]).encode())
        assert b" 408 " in slow.recv(1_000)


def test_a_huge_body_without_a_length_is_cut_off(served: Served) -> None:
    def endless() -> Iterator[bytes]:
        for _ in range(100):
            yield b"x" * 1_000_000

    with listening(build_app(served.api(), Hosts())) as url, httpx.Client(base_url=url, timeout=60) as client:
        try:
            response = client.post(
                "/v1/chat/completions", content=endless(), headers={"content-type": "application/json"}
            )
            assert response.status_code == 413
        except httpx.WriteError:  # it was still being sent when the server had answered
            pass
        assert client.get("/v1/models").status_code == 200


def test_what_no_route_has_is_json_and_not_a_page(client: TestClient) -> None:
    assert client.get("/v1/nothing").json()["error"]["code"] == "unknown_url"
    for method, path in (("GET", "/"), ("POST", "/chat/completions"), ("GET", "/models")):  # a base URL without /v1
        response = client.request(method, path)
        assert (response.status_code, response.json()["error"]["code"]) == (404, "unknown_url")
        assert "base URL ends with it" in response.json()["error"]["message"]
    wrong = client.get("/v1/chat/completions")
    assert (wrong.status_code, wrong.headers["allow"]) == (405, "POST")
    assert client.get("/v1/passages/chatcmpl-0/1").status_code == 404
    assert client.get(f"/v1/passages/chatcmpl-0/{'9' * 5_000}").status_code == 404


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"host": "evil.example"}, 421),
        ({"origin": "http://evil.example"}, 403),
        ({"sec-fetch-site": "cross-site"}, 403),
    ],
)
def test_other_hosts_and_pages_of_other_sites_are_refused(
    served: Served, client: TestClient, headers: dict[str, str], status: int
) -> None:
    body = {"model": "thumbtune-tuned", "messages": [{"role": "user", "content": QUESTION}]}
    response = client.post("/v1/chat/completions", json=body, headers=headers)
    assert response.status_code == status
    assert response.json()["error"]["type"] == "invalid_request_error"


def with_llm(tmp_path: Path, tiny_model: Path, shared_exports: Path, url: str) -> Served:
    settings = open_home(
        tmp_path, tiny_model, shared_exports, llm="openai:fake", openai_base_url=url, openai_api_key="x", llm_retries=0
    )
    index(settings)
    return Served(settings, open_service(settings))


def test_an_llms_tokens_are_streamed_and_its_failures_are_errors(
    tmp_path: Path, tiny_model: Path, shared_exports: Path
) -> None:
    replies = (
        stream("Cats drink ", "warm ", "milk [", "1]."),
        stream("Cats drink ", finish="length"),
        stream("Cats ", finish=None, done=False),
        completion("no stream"),
    )
    with endpoint(*replies) as (url, _):
        served = with_llm(tmp_path, tiny_model, shared_exports, url)
        client = served.client()
        chunks = chunks_of(served.ask(client, stream=True))
        assert text_of(chunks) == "Cats drink warm milk [1]."
        assert served.n_answers == 1
        assert chunks_of(served.ask(client, stream=True))[-1]["choices"][0]["finish_reason"] == "length"
        cut = chunks_of(served.ask(client, stream=True))
        assert cut[-1]["error"]["code"] == "answer_failed"
        failed = served.ask(client)
        assert (failed.status_code, failed.json()["error"]["type"]) == (502, "server_error")
        assert served.n_answers == 1
        served.serving.close()


@pytest.mark.parametrize("streaming", [True, False])
def test_a_client_that_hangs_up_stops_the_answer_and_nothing_is_stored(
    tmp_path: Path, tiny_model: Path, shared_exports: Path, streaming: bool
) -> None:
    slow = Slow()
    with endpoint(slow) as (url, _):
        served = with_llm(tmp_path, tiny_model, shared_exports, url)
        body = {"model": "thumbtune-tuned", "messages": [{"role": "user", "content": QUESTION}], "stream": streaming}
        with listening(build_app(served.api(), Hosts())) as server:
            client = httpx.Client(base_url=server, timeout=60)
            if streaming:
                with client.stream("POST", "/v1/chat/completions", json=body) as response:
                    next(line for line in response.iter_lines() if '{"content": "' in line)
            else:
                with pytest.raises(httpx.ReadTimeout):
                    client.post("/v1/chat/completions", json=body, timeout=httpx.Timeout(60, read=2.0))
            client.close()
            wait_until(slow.hung_up.is_set)
        assert served.n_answers == 0
        served.serving.close()


def test_a_question_that_the_documents_do_not_answer_cites_nothing(served: Served, client: TestClient) -> None:
    body = served.ask(client, messages=[{"role": "user", "content": "zebra quantum?"}]).json()
    message = body["choices"][0]["message"]
    if message["content"] == DONT_KNOW:
        assert message["annotations"] == []
