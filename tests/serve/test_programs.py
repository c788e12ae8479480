"""Ratings that other programs export, or send by a webhook: matched, stored once; what matches nothing is listed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from rag.records import Rating
from served import QUESTION, Served
from thumbtune.__main__ import main

USER = "8a7c0f6e-0000-4000-8000-000000000001"


def openwebui(body: dict[str, Any], rating: int, *, sources: bool = True, user: str = USER) -> dict[str, Any]:
    """Return a feedback as Open WebUI 0.12 exports it."""
    message = {
        "id": "m2",
        "parentId": "m1",
        "role": "assistant",
        "content": body["choices"][0]["message"]["content"],
        "model": body["model"],
        **({"sources": body["sources"]} if sources else {}),
    }
    messages = {"m1": {"id": "m1", "parentId": None, "role": "user", "content": QUESTION}, "m2": message}
    return {
        "id": f"f-{user}-{rating}",
        "user_id": user,
        "version": 0,
        "type": "rating",
        "data": {"rating": rating, "model_id": body["model"], "reason": "not_factually_correct", "comment": "no"},
        "meta": {"chat_id": "c1", "message_id": "m2", "arena": False},
        "snapshot": {"chat": {"id": "c1", "chat": {"history": {"messages": messages, "currentId": "m2"}}}},
        "created_at": 1_767_225_600,
        "updated_at": 1_767_225_601,
    }


def ratings(served: Served, rater: str) -> list[Rating]:
    return served.serving.store.feedback.ratings(rater)


@pytest.fixture
def body(served: Served, client: TestClient) -> dict[str, Any]:
    found: dict[str, Any] = served.ask(client, model="thumbtune-duel", user="somebody").json()
    return found


def test_a_webhook_of_open_webui_is_matched_by_the_passages_that_it_kept(
    served: Served, client: TestClient, body: dict[str, Any]
) -> None:
    sent = openwebui(body, -1)
    for _ in range(2):
        assert client.post("/v1/feedback/openwebui", json=sent).json()["stored"] == 1
    (rating,) = ratings(served, f"local:{USER}")
    assert (rating.value, rating.blind, rating.comment) == (-1, True, "not_factually_correct: no")
    assert rating.at.isoformat() == "2026-01-01T00:00:01+00:00"
    stranger = openwebui({**body, "choices": [{"message": {"content": "Something else."}}]}, 1, sources=False)
    refused = client.post("/v1/feedback/openwebui", json=stranger)
    assert (refused.status_code, refused.json()["error"]["code"]) == (404, "completion_not_found")
    listed = client.post("/v1/feedback/openwebui", json=[sent, stranger]).json()
    assert (listed["stored"], len(listed["unmatched"])) == (1, 1)
    assert client.post("/v1/feedback/openwebui", json={"hello": 1}).json()["error"]["code"] == "invalid_feedback"
    assert client.post("/v1/feedback/openwebui", json=7).json()["error"]["code"] == "invalid_feedback"


def exports(body: dict[str, Any]) -> dict[str, tuple[list[dict[str, Any]], str]]:
    """Return the export of each program, and the rater whose thumb up is in it."""
    text, completion = body["choices"][0]["message"]["content"], body["id"]
    run = {
        "id": "r1",
        "run_type": "llm",
        "inputs": {"messages": [{"role": "user", "content": QUESTION}]},
        "outputs": {"generations": [{"message": {"kwargs": {"content": text, "id": completion}}}]},
    }
    score = {"run_id": "r1", "key": "user_score", "score": 1.0, "feedback_source": {"type": "app", "user_id": "ann"}}
    judged = {**score, "score": 0.0, "feedback_source": {"type": "model"}}
    trace = {"id": "t1", "userId": "bob", "input": QUESTION, "output": text, "metadata": {}}
    thumb = {"id": "s1", "traceId": "t1", "name": "thumb", "value": 1, "dataType": "BOOLEAN", "source": "API"}
    return {
        "openwebui": ([openwebui(body, 1, sources=False)], f"openwebui:{USER}"),
        "langsmith": ([run, score, judged], "langsmith:ann"),
        "langfuse": ([trace, thumb, {**thumb, "id": "s2", "source": "EVAL"}], "langfuse:bob"),
        "argilla": (
            [
                {
                    "id": "x",
                    "fields": {"question": QUESTION, "answer": text},
                    "metadata": {"completion_id": completion},
                    "responses": {
                        "quality": [{"value": "good", "user_id": "cleo"}, {"value": "so-so", "user_id": "d"}]
                    },
                }
            ],
            "argilla:cleo",
        ),
    }


@pytest.mark.parametrize("program", ["openwebui", "langsmith", "langfuse", "argilla"])
@pytest.mark.parametrize("suffix", [".json", ".jsonl"])
def test_an_export_is_imported_once_and_what_matches_nothing_is_listed(
    served: Served,
    body: dict[str, Any],
    program: str,
    suffix: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    objects, rater = exports(body)[program]
    lines = "\n".join(map(json.dumps, objects))
    (tmp_path / f"export{suffix}").write_text(lines if suffix == ".jsonl" else json.dumps(objects))
    monkeypatch.setenv("THUMBTUNE_HOME", str(served.settings.home))
    monkeypatch.setenv("THUMBTUNE_DOCS", str(served.settings.docs[0]))
    for _ in range(2):
        assert main(["import", str(tmp_path / f"export{suffix}")]) == 0
    out = capsys.readouterr().out
    assert "imported 1 of" in out
    if program != "openwebui":
        assert "is no thumb of a person" in out
    stored = [each for each in ratings(served, rater) if each.target_id == _answer_id(served, body)]
    assert [each.value for each in stored] == [1]


def _answer_id(served: Served, body: dict[str, Any]) -> str:
    (answer,) = served.serving.store.feedback.answers_of_duels([body["id"].removeprefix("chatcmpl-")])
    return answer.id


def test_a_file_that_is_no_export_is_one_line(
    served: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("THUMBTUNE_HOME", str(served.settings.home))
    for text in ('[{"a": 1}]', "{", "[1]", "7"):
        (tmp_path / "x.json").write_text(text)
        assert main(["import", str(tmp_path / "x.json")]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith("error: ")
