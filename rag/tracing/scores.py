"""Votes on answers as scores in the traces of LangSmith or Langfuse. Off unless THUMBTUNE_SCORES names one.

An answer's id is that of its run in LangSmith, and of the trace that its span begins (rag.tracing.spans). Scores are
sent in the background, in turn, after the vote is on disk: one that cannot be sent is logged, and the vote stays. No
text and no name is sent.
"""

from __future__ import annotations

import atexit
import base64
import json
import logging
import os
import queue
import threading
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Protocol
from uuid import NAMESPACE_OID, UUID, uuid5

from rag.errors import BadSetting
from rag.records import Answer, Rating, content_id

if TYPE_CHECKING:
    from rag.settings import Settings

THUMB, PREFERRED = "thumb", "preferred"  # names of the scores: 1 for up or the better answer, 0 for the other
SECONDS = 10.0  # for a request, and for what is left when the process ends
MOST_WAITING = 10_000  # scores; beyond that, the other side is gone for good

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Score:
    """A score of a run. `value` None takes it back. The same rater's next vote on the answer has the same id."""

    id: UUID
    run: UUID
    name: str
    value: int | None

    @property
    def at(self) -> datetime:
        """Return when the run began, as its id says: a score's time must stay the same when its value changes."""
        return datetime.fromtimestamp((self.run.int >> 80) / 1000, UTC)


class Backend(Protocol):
    """Where scores go."""

    def send(self, score: Score) -> None:
        """Create or change a score, or take it back. Raises any error."""


def scores_of(rating: Rating, answers: Sequence[Answer]) -> list[Score]:
    """Return the scores of a rating: a thumb's, or one for each answer of a compared pair; none of other ratings.

    Answers of an earlier release have no run.
    """
    if rating.kind == "answer":
        values = {answer.id: {1: 1, -1: 0}.get(rating.value) for answer in answers}
        name = THUMB
    elif rating.kind == "preference":
        decided = rating.choice in ("base", "tuned")
        values = {answer.id: int(answer.arm == rating.choice) if decided else None for answer in answers}
        name = PREFERRED
    else:
        return []
    runs = {id_: UUID(id_) for id_ in values if len(id_) == 32}
    return [
        Score(uuid5(NAMESPACE_OID, content_id(rating.rater, name, id_)), run, name, values[id_])
        for id_, run in runs.items()
    ]


class LangSmith:
    """LangSmith, by its own package and its environment variables."""

    def __init__(self) -> None:
        from langsmith import Client
        from langsmith.utils import LangSmithNotFoundError, get_tracer_project

        self._client, self._missing, self._project = Client(), LangSmithNotFoundError, get_tracer_project()
        self._session: UUID | None = None

    def send(self, score: Score) -> None:
        try:
            if score.value is None:
                self._client.delete_feedback(score.id)
            else:
                self._client.update_feedback(score.id, score=score.value)
        except self._missing:
            if score.value is not None:
                self._create(score)

    def _create(self, score: Score) -> None:
        if self._session is None:
            self._session = self._client.read_project(project_name=self._project).id
        self._client.create_feedback(
            score.run, score.name, score=score.value, feedback_id=score.id, session_id=self._session
        )


class Langfuse:
    """Langfuse, by its public API: a score that is sent again with the same id and time is changed."""

    def __init__(self) -> None:
        names = ("LANGFUSE_PUBLIC_KEY", "LANGFUSE_SECRET_KEY")
        keys = [os.environ.get(name, "") for name in names]
        address = os.environ.get("LANGFUSE_BASE_URL") or os.environ.get("LANGFUSE_HOST") or ""
        if not all(keys) or urllib.parse.urlsplit(address).scheme not in ("http", "https"):
            raise BadSetting(f"THUMBTUNE_SCORES=langfuse: set LANGFUSE_BASE_URL, {' and '.join(names)}")
        self._url = f"{address.rstrip('/')}/api/public/scores"
        self._headers = {
            "authorization": f"Basic {base64.b64encode(':'.join(keys).encode()).decode()}",
            "content-type": "application/json",
        }

    def send(self, score: Score) -> None:
        body = {
            "id": str(score.id),
            "traceId": score.run.hex,
            "name": score.name,
            "value": score.value,
            "dataType": "BOOLEAN",
            "timestamp": score.at.isoformat(timespec="milliseconds"),
        }
        if score.value is not None:
            self._request("POST", self._url, json.dumps(body).encode())
            return
        try:
            self._request("DELETE", f"{self._url}/{score.id}")
        except urllib.error.HTTPError as error:
            if error.code != 404:
                raise

    def _request(self, method: str, url: str, body: bytes | None = None) -> None:
        request = urllib.request.Request(url, body, self._headers, method=method)  # its scheme is checked
        with urllib.request.urlopen(request, timeout=SECONDS) as response:
            response.read()


class Scores:
    """Sends scores in a thread of its own, one after the other."""

    def __init__(self, backend: Backend, name: str) -> None:
        self._backend, self._name = backend, name
        self._waiting: queue.Queue[Score] = queue.Queue(MOST_WAITING)
        threading.Thread(target=self._run, name="scores", daemon=True).start()

    def put(self, scores: Sequence[Score]) -> None:
        """Send scores later."""
        for score in scores:
            try:
                self._waiting.put_nowait(score)
            except queue.Full:
                log.warning("%s takes no scores: a vote is not shown there", self._name)

    def join(self, seconds: float = SECONDS) -> None:
        """Wait until all are sent, at most so long."""
        waiter = threading.Thread(target=self._waiting.join, daemon=True)
        waiter.start()
        waiter.join(seconds)

    def _run(self) -> None:
        while True:
            score = self._waiting.get()
            try:
                self._backend.send(score)
            except Exception as error:  # noqa: BLE001  # of a library and a network: the vote is stored whatever it is
                log.warning("a score was not sent to %s (%s): the vote itself is stored", self._name, error)
            finally:
                self._waiting.task_done()


@dataclass
class _Switch:
    """The sender of this process, None while scores are off."""

    sender: Scores | None = None


_switch = _Switch()


def start_scores(settings: Settings) -> None:
    """Send votes from now on, as THUMBTUNE_SCORES says. Raises BadSetting where keys are missing."""
    if settings.scores == "off" or _switch.sender:
        return
    if settings.scores == "langfuse" and settings.spans == "off":
        raise BadSetting("THUMBTUNE_SCORES=langfuse: set THUMBTUNE_SPANS=on, too: scores need its traces")
    backend = Langfuse() if settings.scores == "langfuse" else LangSmith()
    _switch.sender = Scores(backend, settings.scores)
    atexit.register(_switch.sender.join)


def stop_scores() -> None:
    """Wait for what is left, and send no more."""
    if _switch.sender:
        _switch.sender.join()
    _switch.sender = None


def send_vote(rating: Rating, answers: Sequence[Answer]) -> None:
    """Send a stored rating's scores, where that is on."""
    if _switch.sender:
        _switch.sender.put(scores_of(rating, answers))
