"""Ratings leave and enter by a file: one's own for everybody, those of others for admins."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from chainlit.auth import get_current_user
from chainlit.user import User
from fastapi import APIRouter, FastAPI
from starlette.testclient import TestClient

from chat.actions.rate import mark, vote
from chat.actions.rating_files import ADDRESS, MOST_BYTES, rating_routes
from chat.session.context import RequestContext


def client(context: RequestContext, *admins: str) -> TestClient:
    """Return a browser of the context's rater, where only these are admins."""
    app = FastAPI()
    settings = context.app.settings.model_copy(update={"admins": admins})
    app.include_router(APIRouter(routes=rating_routes(replace(context.app, settings=settings))))
    app.dependency_overrides[get_current_user] = lambda: User(identifier=context.rater)
    return TestClient(app)


async def test_what_is_exported_can_be_imported_and_is_ones_own(context: RequestContext) -> None:
    assert client(context).get(ADDRESS).status_code == 404
    await mark(context, {"answer": "of base", "rank": 1, "value": 1})
    await mark(replace(context, rater="bob"), {"answer": "of base", "rank": 2, "value": 1})
    file = client(context).get(ADDRESS)
    assert file.headers["content-disposition"] == 'attachment; filename="my-ratings.jsonl"'
    (line,) = map(json.loads, file.text.splitlines())
    assert (line["query"], line["label"], line["rater"]) == ("why?", 1, "ann")
    reply = client(context).post(ADDRESS, content=file.content)
    assert reply.json() == {"found": 1, "queries": 1, "waiting": 0, "left_out": 0, "repeated": 0, "lines": []}
    labels = context.app.serving.store.feedback.labels()
    assert sorted((label.rater, label.origin) for label in labels if label.label) == [
        ("ann", "import"),
        ("ann", "mark"),
        ("bob", "mark"),
    ]


async def test_ratings_of_others_are_for_who_may_train(context: RequestContext) -> None:
    await vote(replace(context, rater="bob"), {"answer": "of base", "value": 1})
    assert client(context, "bob").get(f"{ADDRESS}?of=all").status_code == 403
    everything = client(context, "ann").get(f"{ADDRESS}?of=all").content
    assert client(context).get(f"{ADDRESS}?of=all").content == everything  # without a list everybody may train
    for trainer, rater in (("bob", "ann"), ("ann", "bob")):  # who may not speaks for nobody else
        assert client(context, trainer).post(ADDRESS, content=everything).status_code == 200
        imported = {each.rater for each in context.app.serving.store.feedback.labels() if each.origin == "import"}
        assert rater in imported


def test_a_file_that_cannot_be_used_changes_nothing_and_says_why(context: RequestContext) -> None:
    good = {"query": "why?", "text": "nothing of the kind anywhere", "label": 1}
    for data, status, why in (
        (json.dumps(good).encode() + b"\nno json\n", 200, "Line 2: 'no json' is not JSON"),
        (b"", 200, "The file: no labels in it"),
        (b"\xff\xfe", 200, "cannot be read as UTF-8"),
        (b"x" * (MOST_BYTES + 1), 413, "more than 10 MB"),
    ):
        reply = client(context).post(ADDRESS, content=data)
        assert (reply.status_code, why in reply.json()["error"]) == (status, True), reply.json()
        assert "/tmp" not in reply.json()["error"]
    assert not context.app.serving.store.feedback.labels()
    waiting = client(context).post(ADDRESS, content=json.dumps(good).encode()).json()
    assert (waiting["found"], waiting["waiting"]) == (0, 1)
    assert "none of these documents holds" in waiting["lines"][0]


def test_without_a_user_there_is_no_file(context: RequestContext) -> None:
    browser = client(context)
    browser.app.dependency_overrides[get_current_user] = lambda: None  # type: ignore[attr-defined]
    assert browser.get(ADDRESS).status_code == browser.post(ADDRESS, content=b"{}").status_code == 403


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_stranger_is_refused_before_anything_is_read(context: RequestContext, method: str) -> None:
    app = FastAPI()
    app.router.routes.extend(rating_routes(context.app))
    assert TestClient(app).request(method, ADDRESS).status_code in (401, 403)
