"""Retrieval at the HTTP door: Dify's contract, embeddings, reranking; health and numbers."""

from __future__ import annotations

import base64
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import httpx
import numpy as np
import pytest
from starlette.testclient import TestClient

from rag.retrieval.rerank import Reranker
from rag.web.hosts import Hosts
from serve import retrieval
from serve.app import build_app
from serve.keys import add_key, keys_file
from serve.retrieval import SLICE
from served import ANSWER, QUESTION, Served, listening, wait_until

DIFY = {"knowledge_id": "thumbtune-tuned", "query": QUESTION, "retrieval_setting": {"top_k": 2, "score_threshold": 0.0}}


def test_dify_gets_records_by_its_contract(client: TestClient) -> None:
    sent = {**DIFY, "metadata_condition": None, "something_new": 1}
    records = client.post("/retrieval", json=sent).json()["records"]
    assert len(records) == 2
    assert any(ANSWER in record["content"] for record in records)
    for record in records:
        assert record.keys() == {"content", "score", "title", "metadata"}
        assert 0 <= record["score"] <= 1
        assert record["metadata"]["path"].endswith(".md")
    all_of_them = {**DIFY, "retrieval_setting": {"top_k": 5, "score_threshold": 1.1}}
    assert client.post("/retrieval", json=all_of_them).json() == {"records": []}
    filtered = {**DIFY, "query": f"{QUESTION} in:dogs.md"}
    assert {r["metadata"]["path"] for r in client.post("/retrieval", json=filtered).json()["records"]} == {"dogs.md"}


@pytest.mark.parametrize(
    ("fields", "status", "code"),
    [
        ({"knowledge_id": "other"}, 404, 2001),
        ({"query": " "}, 400, None),
        ({"retrieval_setting": {"top_k": 51}}, 400, None),
        ({"metadata_condition": {"conditions": [{"name": "a"}]}}, 400, None),
    ],
)
def test_dify_is_told_what_is_wrong(client: TestClient, fields: dict[str, Any], status: int, code: int | None) -> None:
    response = client.post("/retrieval", json={**DIFY, **fields})
    assert (response.status_code, response.json().get("error_code")) == (status, code)


def test_dify_is_told_of_a_wrong_key(served: Served) -> None:
    add_key(served.settings.home, "dify", ["retrieve"])
    response = served.client("wrong").post("/retrieval", json=DIFY)
    keys_file(served.settings.home).unlink()
    assert (response.status_code, response.json()["error_code"]) == (401, 1002)


def test_embeddings_are_those_of_the_model_that_serves(served: Served, client: TestClient) -> None:
    texts = ["Cats eat fish.", QUESTION]
    sent = {"model": "thumbtune-tuned", "input": texts, "input_type": "document"}
    body = client.post("/v1/embeddings", json=sent).json()
    vectors = np.array([row["embedding"] for row in body["data"]], np.float32)
    embedder = served.serving.served("tuned").embedder
    np.testing.assert_allclose(vectors, embedder.embed_documents(texts), atol=1e-6)
    query = client.post("/v1/embeddings", json={**sent, "input": QUESTION, "input_type": "query"}).json()
    np.testing.assert_allclose(query["data"][0]["embedding"], embedder.embed_queries([QUESTION])[0], atol=1e-6)
    encoded = client.post("/v1/embeddings", json={**sent, "encoding_format": "base64"}).json()["data"][1]["embedding"]
    np.testing.assert_array_equal(np.frombuffer(base64.b64decode(encoded), "<f4"), vectors[1])
    assert body["usage"]["prompt_tokens"] > 0


@pytest.mark.parametrize(
    ("fields", "status", "code"),
    [
        ({"model": "thumbtune-duel"}, 404, "model_not_found"),
        ({"input": []}, 400, "invalid_value"),
        ({"input": ""}, 400, "invalid_value"),
        ({"input": [1, 2]}, 400, "invalid_value"),
        ({"input": ["x"] * 2_049}, 400, "invalid_value"),
        ({"dimensions": 7}, 400, "unsupported_value"),
        ({"input_type": "poem"}, 400, "invalid_value"),
    ],
)
def test_wrong_embeddings_are_refused(client: TestClient, fields: dict[str, Any], status: int, code: str) -> None:
    response = client.post("/v1/embeddings", json={"model": "thumbtune-base", "input": "x", **fields})
    assert (response.status_code, response.json()["error"]["code"]) == (status, code)


@pytest.mark.parametrize(
    ("given", "param", "reason"),
    [
        ([], "input", "at least 1 item"),
        ("", "input", "at least 1 character"),
        (["x", ""], "input.1", "at least 1 character"),
        ([[1, 2]], "input", "check_embedding_ctx_length=False"),
        ([1, 2], "input", "not numbers of another model's tokens"),
        ({"text": "x"}, "input", "valid string"),
    ],
)
def test_what_is_wrong_with_texts_to_embed_is_named_by_what_was_sent(
    client: TestClient, given: Any, param: str, reason: str
) -> None:
    """LangChain's embeddings send tokens unless told otherwise."""
    error = client.post("/v1/embeddings", json={"model": "thumbtune-base", "input": given}).json()["error"]
    assert error["param"] == param
    assert reason in error["message"]
    assert "constrained" not in error["message"]


def test_long_embeddings_let_others_have_their_turn(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    embedder, turns = served.serving.served("tuned").embedder, list[str]()
    real, begun = embedder.embed_documents, threading.Event()

    def embed(texts: list[str]) -> Any:
        turns.append(texts[0])
        begun.set()
        return real(texts)

    monkeypatch.setattr(embedder, "embed_documents", embed)
    sent = {"model": "thumbtune-tuned", "input": ["long"] * 40 * SLICE}
    with listening(build_app(served.api(), Hosts())) as url, httpx.Client(base_url=url, timeout=60) as client:
        with ThreadPoolExecutor() as clients:
            long = [clients.submit(client.post, "/v1/embeddings", json=sent) for _ in range(2)]
            begun.wait(60)
            assert client.post("/v1/embeddings", json={**sent, "input": "short"}).status_code == 200
            done = len(turns)
            assert [len(each.result().json()["data"]) for each in long] == [40 * SLICE] * 2
        assert turns.index("short") < done < 20
        begun.clear()
        with pytest.raises(httpx.ReadTimeout):
            client.post("/v1/embeddings", json=sent, timeout=0.01)
        begun.wait(60)
        wait_until(lambda: client.post("/v1/embeddings", json={**sent, "input": "last"}).status_code == 200)
        assert turns[-1] == "last"
        assert len(turns) < 110  # the request whose client had gone was given up


def test_more_long_embeddings_than_can_wait_are_refused(
    client: TestClient, served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retrieval, "MOST_WAITING", 0)
    response = client.post("/v1/embeddings", json={"model": "thumbtune-tuned", "input": "x"})
    assert (response.status_code, response.headers["retry-after"]) == (429, "5")


def test_reranking_needs_a_reranker(client: TestClient) -> None:
    response = client.post("/v1/rerank", json={"query": "cats", "documents": ["a", {"text": "b"}]})
    assert (response.status_code, response.json()["error"]["code"]) == (404, "no_reranker")


def test_a_reranker_puts_documents_in_order(
    served: Served, client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    by_length = Reranker("by-length", lambda query, texts: [float(len(text)) for text in texts])
    options = replace(served.serving.search_options, reranker=by_length)
    monkeypatch.setattr(served.serving, "search_options", options)
    sent = {"query": "cats", "documents": ["aa", {"text": "aaaa"}, "a"], "top_n": 2, "return_documents": True}
    assert client.post("/v1/rerank", json=sent).json() == {
        "object": "list",
        "model": "by-length",
        "results": [
            {"index": 1, "relevance_score": 4.0, "document": {"text": "aaaa"}},
            {"index": 0, "relevance_score": 2.0, "document": {"text": "aa"}},
        ],
    }
    wrong = client.post("/v1/rerank", json={"query": "cats", "documents": [{"title": "x"}]})
    assert wrong.json()["error"]["param"] == "documents"


def test_the_server_says_that_it_is_alive_and_ready(client: TestClient) -> None:
    assert client.get("/health").json() == {"status": "ok"}
    assert client.get("/ready").json() == {"status": "ready"}


def test_numbers_for_a_monitor_have_no_text_and_no_names(served: Served, client: TestClient) -> None:
    completion = served.ask(client, user="a-person").json()["id"]
    client.post("/v1/feedback", json={"completion_id": completion, "thumb": "up", "rater": "a-person"})
    client.get("/v1/nothing")
    text = client.get("/metrics").text
    for line in (
        'thumbtune_answers_total{model="thumbtune-tuned"} 1.0',
        'thumbtune_requests_total{route="/v1/chat/completions",status="200"} 1.0',
        'thumbtune_requests_total{route="/v1/",status="404"} 1.0',
        'thumbtune_first_token_seconds_count{model="thumbtune-tuned"} 1.0',
        'thumbtune_ratings{kind="answer",value="up"} 1.0',
    ):
        assert line in text
    assert "a-person" not in text
    assert "milk" not in text


def test_numbers_need_their_own_scope(served: Served) -> None:
    asker, monitor = (served.client(add_key(served.settings.home, name, [name])) for name in ("ask", "metrics"))
    assert asker.get("/metrics").status_code == 403
    assert monitor.get("/metrics").status_code == 200
    keys_file(served.settings.home).unlink()
