"""Votes as scores, received by stand-ins for LangSmith's and Langfuse's servers."""

from __future__ import annotations

import base64
import json
import logging
import os
from collections.abc import Iterator
from datetime import UTC, datetime
from uuid import UUID

import pytest
from langfuse import Langfuse as LangfuseClient

from collectors import FeedbackServer
from rag.answering.duel import new_run
from rag.errors import BadSetting
from rag.records import ARMS, SIDES, Answer, Choice, Label, Rating
from rag.settings import Settings
from rag.tracing.scores import send_vote, start_scores, stop_scores
from served import listening

AT = datetime(2026, 11, 30, tzinfo=UTC)
BEGAN = 1_796_000_000_123_000_000  # nanoseconds
ANSWERS = [
    Answer(new_run(BEGAN).hex, "d1", arm, side, "v1", "x", "What?", (), "That.", (), False, 0.1, 0.2, AT)
    for arm, side in zip(ARMS, SIDES, strict=True)
]
BASE, TUNED = ANSWERS


def thumb(value: Label, answer: Answer = TUNED, rater: str = "ann") -> None:
    send_vote(Rating(rater, answer.id, value, True, AT, comment="secret words"), [answer])


def preference(choice: Choice) -> None:
    value: Label = 1 if choice else 0
    send_vote(Rating("ann", "d1", value, True, AT, "preference", choice=choice), ANSWERS)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[FeedbackServer]:
    server = FeedbackServer()
    for name in [name for name in os.environ if name.startswith(("LANGSMITH", "LANGCHAIN", "LANGFUSE"))]:
        monkeypatch.delenv(name)
    with listening(server.app) as url:
        monkeypatch.setenv("LANGSMITH_ENDPOINT", url)
        monkeypatch.setenv("LANGSMITH_API_KEY", "key")
        monkeypatch.setenv("LANGFUSE_BASE_URL", url)
        monkeypatch.setenv("LANGFUSE_PUBLIC_KEY", "pk")
        monkeypatch.setenv("LANGFUSE_SECRET_KEY", "sk")
        yield server
        stop_scores()


def test_a_thumb_is_one_score_of_its_run_in_langsmith_whatever_it_becomes(server: FeedbackServer) -> None:
    start_scores(Settings(scores="langsmith"))
    thumb(1)
    thumb(-1, rater="bob")
    thumb(-1)
    stop_scores()
    assert {(each["run_id"], each["key"]) for each in server.feedback.values()} == {(str(UUID(TUNED.id)), "thumb")}
    assert [each["score"] for each in server.feedback.values()] == [0, 0]
    assert all(each["session_id"] for each in server.feedback.values())
    sent = json.dumps(list(server.feedback.values()))
    assert not [word for word in ("ann", "bob", "secret", "What?", "That.") if word in sent.replace("annotation", "")]
    start_scores(Settings(scores="langsmith"))
    thumb(0)
    thumb(0, rater="never voted")
    stop_scores()
    assert len(server.feedback) == 1


def test_a_preference_is_a_score_of_both_runs(server: FeedbackServer) -> None:
    start_scores(Settings(scores="langsmith"))
    preference("tuned")
    stop_scores()
    scores = {each["run_id"]: each["score"] for each in server.feedback.values()}
    assert scores == {str(UUID(TUNED.id)): 1, str(UUID(BASE.id)): 0}
    start_scores(Settings(scores="langsmith"))
    preference("tie")
    stop_scores()
    assert server.feedback == {}


def test_a_thumb_is_a_score_of_its_trace_in_langfuse_in_the_shape_that_its_own_client_sends(
    server: FeedbackServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    start_scores(Settings(scores="langfuse", spans="on"))
    thumb(1)
    thumb(-1)
    stop_scores()
    (ours,) = server.scores.values()
    assert server.authorizations == {f"Basic {base64.b64encode(b'pk:sk').decode()}"}
    at = datetime.fromisoformat(ours["timestamp"])
    client = LangfuseClient()  # by the same variables
    client.create_score(
        name="thumb", value=0, trace_id=TUNED.id, score_id=ours["id"], data_type="BOOLEAN", timestamp=at
    )
    client.shutdown()
    theirs = server.scores[ours["id"]]
    assert {name: theirs[name] for name in ours if name != "timestamp"} == {
        name: value for name, value in ours.items() if name != "timestamp"
    }
    start_scores(Settings(scores="langfuse", spans="on"))
    thumb(0)
    thumb(0)
    stop_scores()
    assert server.scores == {}


def test_a_server_that_is_gone_costs_a_line_in_the_log(
    server: FeedbackServer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("LANGFUSE_BASE_URL", "http://127.0.0.1:9")
    start_scores(Settings(scores="langfuse", spans="on"))
    with caplog.at_level(logging.WARNING):
        thumb(1)
        stop_scores()
    assert "a score was not sent to langfuse" in caplog.text


def test_langfuse_needs_the_traces_of_our_spans() -> None:
    with pytest.raises(BadSetting, match="set THUMBTUNE_SPANS=on"):
        start_scores(Settings(scores="langfuse"))


def test_keys_that_are_missing_are_one_line(server: FeedbackServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LANGFUSE_SECRET_KEY")
    with pytest.raises(BadSetting, match="set LANGFUSE_BASE_URL, LANGFUSE_PUBLIC_KEY and LANGFUSE_SECRET_KEY"):
        start_scores(Settings(scores="langfuse", spans="on"))
