"""Exports as the other programs' own Python classes write them: LangSmith, Langfuse and Argilla, none of it by hand."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import argilla as rg
import pytest
from argilla.records._io import JsonIO
from langfuse.api import CategoricalScoreV3, ObservationV2, ScoreSubjectV3_Observation, ScoreSubjectV3_Trace
from langfuse.api.commons.types import BooleanScore, CategoricalScore, CorrectionScore
from langfuse.api.core.serialization import convert_and_respect_annotation_metadata
from langsmith.schemas import Feedback, FeedbackSourceBase, Run
from starlette.testclient import TestClient

from rag.feedback.files.programs import import_ratings
from served import QUESTION, Served

AT = datetime(2026, 11, 30, tzinfo=UTC)
ANN, BOB = str(uuid4()), str(uuid4())


@pytest.fixture(scope="module")
def body(served: Served, client: TestClient) -> dict[str, Any]:
    found: dict[str, Any] = served.ask(client, model="thumbtune-duel").json()
    return found


@pytest.fixture(scope="module")
def text(body: dict[str, Any]) -> str:
    found: str = body["choices"][0]["message"]["content"]
    return found


def store(served: Served, path: Path, objects: list[Any]) -> tuple[int, list[str]]:
    """Import a file; return how many ratings were stored, and what is listed."""
    path.write_text(json.dumps(objects, default=str))
    report = import_ratings(path, served.serving.store)
    return report.stored, [str(line) for line in report.unmatched]


def thumbs(served: Served, rater: str) -> list[int]:
    return [rating.value for rating in served.serving.store.feedback.ratings(rater)]


# --- LangSmith -------------------------------------------------------------------------------------------------------


def run_of(inputs: dict[str, Any], outputs: dict[str, Any]) -> Run:
    return Run(
        id=uuid4(), name="chain", run_type="chain", start_time=AT, trace_id=uuid4(), inputs=inputs, outputs=outputs
    )


def feedback_of(run: Run, user: str, score: float | bool | None, kind: str = "app") -> Feedback:
    source = FeedbackSourceBase(type=kind, user_id=UUID(user), user_name="somebody")
    given: dict[str, Any] = {"id": uuid4(), "created_at": AT, "modified_at": AT, "key": "user_score", "score": score}
    return Feedback(**given, run_id=run.id, trace_id=run.trace_id, feedback_source=source)


@pytest.mark.parametrize("known_by", ["id", "text"])
def test_feedback_and_runs_of_langsmith_are_read_as_its_classes_write_them(
    served: Served, body: dict[str, Any], text: str, tmp_path: Path, known_by: str
) -> None:
    ann, bob = str(uuid4()), str(uuid4())
    message = {"kwargs": {"content": text, "response_metadata": {"id": body["id"] if known_by == "id" else "x"}}}
    run = run_of({"messages": [["human", QUESTION]]}, {"generations": [[{"message": message}]]})
    if known_by == "text":
        run = run_of({"question": QUESTION}, {"output": text})
    given = [feedback_of(run, ann, True), feedback_of(run, bob, 0.0), feedback_of(run, bob, 1.0, "model")]
    dumped = [run.model_dump(mode="json"), *(each.model_dump(mode="json") for each in given)]
    stored, listed = store(served, tmp_path / "x.json", dumped)
    assert (stored, len(listed)) == (2, 1)
    assert "is no thumb of a person" in listed[0]
    assert (thumbs(served, f"langsmith:{ann}"), thumbs(served, f"langsmith:{bob}")) == ([1], [-1])


# --- Langfuse --------------------------------------------------------------------------------------------------------


def written(score: Any, how: str) -> Any:  # of its classes
    """Return an object as the Python package dumps it, or as its server sends it."""
    if how == "python":
        return json.loads(score.json())
    return convert_and_respect_annotation_metadata(
        object_=json.loads(score.json()), annotation=type(score), direction="write"
    )


def score_of(kind: type, user: str, **values: Any) -> Any:  # of its classes
    given = {"id": str(uuid4()), "name": "thumb", "source": "ANNOTATION", "timestamp": AT, "environment": "default"}
    return kind(**given, created_at=AT, updated_at=AT, author_user_id=user, **values)


@pytest.mark.parametrize("how", ["python", "server"])
def test_scores_of_langfuse_are_read_by_their_kind(served: Served, text: str, tmp_path: Path, how: str) -> None:
    ann, bob, cleo = str(uuid4()), str(uuid4()), str(uuid4())
    trace = {"id": "t1", "userId": "somebody", "input": {"question": QUESTION}, "output": text}
    scores = [
        score_of(BooleanScore, ann, trace_id="t1", value=0, string_value="False"),
        score_of(CategoricalScore, bob, trace_id="t1", value=0, string_value="good"),  # 0 is its place in no config
        score_of(CorrectionScore, cleo, trace_id="t1", value=0, string_value="The cat drinks water."),
    ]
    kinds = ["BOOLEAN", "CATEGORICAL", "CORRECTION"]
    name = "data_type" if how == "python" else "dataType"
    dumped = [written(score, how) | {name: kind} for score, kind in zip(scores, kinds, strict=True)]
    stored, listed = store(served, tmp_path / "x.json", [trace, *dumped])
    assert (stored, len(listed)) == (2, 1)
    assert [thumbs(served, f"langfuse:{user}") for user in (ann, bob, cleo)] == [[-1], [1], []]


@pytest.mark.parametrize("how", ["python", "server"])
@pytest.mark.parametrize("subject", ["trace", "observation"])
def test_scores_of_langfuse_3_name_a_trace_or_an_observation(
    served: Served, text: str, tmp_path: Path, how: str, subject: str
) -> None:
    ann = str(uuid4())
    root = ObservationV2(
        id="o1",
        trace_id="t1",
        start_time=AT,
        project_id="p",
        type="SPAN",
        is_root_observation=True,
        input=json.dumps({"messages": [{"role": "user", "content": QUESTION}]}),
        output=json.dumps({"answer": text}),
    )
    inner = root.model_copy(update={"id": "o2", "is_root_observation": False, "input": "vectors", "output": "7"})
    about = ScoreSubjectV3_Trace(id="t1") if subject == "trace" else ScoreSubjectV3_Observation(id="o1", trace_id="t1")
    score = score_of(CategoricalScoreV3, ann, project_id="p", value="good", subject=about)
    dumped = [written(inner, how), written(root, how), written(score, how) | {"dataType": "CATEGORICAL"}]
    assert store(served, tmp_path / "x.json", dumped) == (1, [])
    assert thumbs(served, f"langfuse:{ann}") == [1]


# --- Argilla ---------------------------------------------------------------------------------------------------------


def test_records_of_argilla_are_read_as_its_own_writer_writes_them(
    served: Served, body: dict[str, Any], text: str, tmp_path: Path
) -> None:
    ann, bob = str(uuid4()), str(uuid4())
    record = rg.Record(
        fields={"question": QUESTION, "answer": text},
        metadata={"completion_id": body["id"]},
        responses=[
            rg.Response("thumb", "good", user_id=UUID(ann), status="submitted"),
            rg.Response("stars", 1, user_id=UUID(bob), status="submitted"),  # of five: no thumb, and no praise
        ],
    )
    JsonIO.to_json([record], tmp_path / "records.json")
    report = import_ratings(tmp_path / "records.json", served.serving.store)
    assert (report.stored, len(report.unmatched)) == (1, 1)
    assert (thumbs(served, f"argilla:{ann}"), thumbs(served, f"argilla:{bob}")) == ([1], [])
