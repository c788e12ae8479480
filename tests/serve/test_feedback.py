"""/v1/feedback at the HTTP door: stored once, matched to its answer, under the rater's own name."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
from starlette.testclient import TestClient

from rag.records import Rating
from rag.web.hosts import Hosts
from serve.app import build_app
from serve.keys import add_key, keys_file
from served import QUESTION, Served, listening

JSON = {"content-type": "application/json"}


def answered(served: Served, client: TestClient, model: str = "thumbtune-tuned") -> str:
    body: dict[str, Any] = served.ask(client, model=model).json()
    return str(body["id"])


def ratings(served: Served, rater: str) -> list[Rating]:
    return served.serving.store.feedback.ratings(rater)


def test_a_thumb_up_makes_labels_of_the_stored_answer(served: Served, client: TestClient) -> None:
    completion = answered(served, client)
    sent = {"completion_id": completion, "thumb": "up", "rater": "ann", "comment": "thanks"}
    response = client.post("/v1/feedback", json=sent)
    assert response.json() == {
        "object": "feedback",
        "completion_id": completion,
        "rater": "local:ann",
        "thumb": 1,
        "stored": 1,
    }
    (rating,) = ratings(served, "local:ann")
    assert (rating.value, rating.blind, rating.comment) == (1, False, "thanks")
    labels = [label for label in served.serving.store.feedback.labels() if label.rater == "local:ann"]
    assert 1 in {label.label for label in labels}


def test_the_same_feedback_again_changes_nothing_and_another_replaces_it(served: Served, client: TestClient) -> None:
    completion = answered(served, client)
    sent = {"completion_id": completion, "thumb": -1, "rater": "bob", "reason": "incomplete", "comment": "too short"}
    for _ in range(3):
        assert client.post("/v1/feedback", json=sent).json()["stored"] == 1
    (first,) = ratings(served, "local:bob")
    assert (first.value, first.reason) == (-1, "incomplete")
    client.post("/v1/feedback", json={"completion_id": completion, "thumb": "down", "rater": "bob"})
    assert ratings(served, "local:bob") == [first]  # a reason that is not sent again stays
    client.post("/v1/feedback", json={"completion_id": completion, "thumb": "up", "rater": "bob"})
    (changed,) = ratings(served, "local:bob")
    assert (changed.value, changed.reason, changed.comment) == (1, "", "")
    client.post("/v1/feedback", json={"completion_id": completion, "thumb": "none", "rater": "bob"})
    (withdrawn,) = ratings(served, "local:bob")
    assert withdrawn.value == 0


def test_a_thumb_on_a_drawn_arm_is_a_blind_vote_that_tells_nothing(served: Served, client: TestClient) -> None:
    sent = {"completion_id": answered(served, client, "thumbtune-duel"), "thumb": "up", "rater": "cleo"}
    response = client.post("/v1/feedback", json=sent)
    assert "base" not in response.text
    assert "tuned" not in response.text
    (rating,) = ratings(served, "local:cleo")
    assert rating.blind


def test_passages_are_marked_by_rank_or_by_their_address(served: Served, client: TestClient) -> None:
    body = served.ask(client).json()
    url = body["sources"][1]["source"]["url"]
    sent = {"completion_id": body["id"], "rater": "dan", "relevant": [1], "wrong": [url]}
    assert client.post("/v1/feedback", json=sent).json() | {"completion_id": ""} == {
        "object": "feedback",
        "completion_id": "",
        "rater": "local:dan",
        "thumb": None,
        "stored": 2,
    }
    assert sorted(rating.value for rating in ratings(served, "local:dan")) == [-1, 1]
    client.post("/v1/feedback", json={"completion_id": body["id"], "rater": "dan", "unmark": [1]})
    assert sorted(rating.value for rating in ratings(served, "local:dan")) == [-1, 0]


@pytest.mark.parametrize(
    ("fields", "status", "code"),
    [
        ({"completion_id": "chatcmpl-0123456789abcdef"}, 404, "completion_not_found"),
        ({"completion_id": "chatcmpl-blind-0123456789abcdef"}, 404, "completion_not_found"),
        ({"completion_id": "' OR 1=1"}, 404, "completion_not_found"),
        ({"thumb": "sideways"}, 400, "invalid_value"),
        ({"thumb": True}, 400, "invalid_value"),
        ({"thumb": None}, 400, "missing_required_parameter"),
        ({"relevant": [99]}, 400, "invalid_rating"),
        ({"relevant": [1], "wrong": [1]}, 400, "invalid_value"),
        ({"relevant": ["http://x/y"]}, 400, "invalid_value"),
        ({"reason": "incomplete"}, 400, "invalid_value"),
        ({"comment": "x" * 1_001}, 400, "invalid_value"),
        ({"rater": "x" * 129}, 400, "invalid_user"),
        ({"rater": "ann\nbob"}, 400, "invalid_user"),
        ({"thumbs": "up"}, 400, "unknown_parameter"),
    ],
)
def test_what_is_wrong_stores_nothing(
    served: Served, client: TestClient, fields: dict[str, Any], status: int, code: str
) -> None:
    before = len(served.serving.store.feedback.ratings())
    sent = {"completion_id": answered(served, client), "thumb": "up", "rater": "eve", **fields}
    response = client.post("/v1/feedback", json=sent)
    assert (response.status_code, response.json()["error"]["code"]) == (status, code)
    assert len(served.serving.store.feedback.ratings()) == before


def test_half_of_an_emoji_is_stored_as_a_character_that_stands_for_it(served: Served, client: TestClient) -> None:
    sent = {"completion_id": answered(served, client), "thumb": "up", "rater": "fay \ud83d", "comment": "cut \ud83d"}
    assert client.post("/v1/feedback", content=json.dumps(sent), headers=JSON).status_code == 200
    (rating,) = ratings(served, "local:fay \ufffd")
    assert rating.comment == "cut \ufffd"


def test_raters_of_two_programs_stay_apart_by_name(served: Served) -> None:
    home = served.settings.home
    web, bot = (served.client(add_key(home, name, ["ask", "rate"])) for name in ("web", "bot"))
    completion = answered(served, web)
    web.post("/v1/feedback", json={"completion_id": completion, "thumb": 1}, headers={"x-openwebui-user-id": "ann"})
    bot.post("/v1/feedback", json={"completion_id": completion, "thumb": -1, "rater": "ann"})
    bot.post("/v1/feedback", json={"completion_id": completion, "thumb": -1})
    keys_file(home).unlink()
    found = {rater: ratings(served, rater)[0].value for rater in ("web:ann", "bot:ann", "bot:anonymous")}
    assert found == {"web:ann": 1, "bot:ann": -1, "bot:anonymous": -1}


def test_two_clients_with_one_key_at_once_lose_and_double_nothing(served: Served) -> None:
    """Two copies of a program share its key: people stay apart by name, and who names none is one rater."""
    home, before = served.settings.home, served.n_answers
    key = add_key(home, "copies", ["ask", "rate"])
    try:
        with listening(build_app(served.api(), Hosts())) as url, ThreadPoolExecutor(2) as both:

            def use(person: str) -> list[str]:
                with httpx.Client(base_url=url, headers={"authorization": f"Bearer {key}"}, timeout=60) as client:
                    asked = {"model": "thumbtune-tuned", "messages": [{"role": "user", "content": QUESTION}]}
                    ids = [client.post("/v1/chat/completions", json=asked).json()["id"] for _ in range(4)]
                    for id_ in ids:
                        for sent in ({"thumb": 1, "rater": person}, {"thumb": -1}):
                            answer = client.post("/v1/feedback", json={"completion_id": id_, **sent})
                            assert answer.json()["stored"] == 1
                    return ids

            first, second = both.map(use, ("gil", "hal"))
    finally:
        keys_file(home).unlink()
    assert served.n_answers == before + 8
    assert len({*first, *second}) == 8
    assert [len(ratings(served, f"copies:{person}")) for person in ("gil", "hal", "anonymous")] == [4, 4, 8]
