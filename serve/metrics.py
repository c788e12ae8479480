"""Numbers for Prometheus: requests, answers and how long they took, ratings, what serves. No text, no names."""

from __future__ import annotations

from collections import Counter as Count
from collections.abc import Iterator

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily, InfoMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from rag.answering.service import QueryService
from rag.records import ARMS, Answer

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 180)  # to THUMBTUNE_ANSWER_TIMEOUT
VALUES = {1: "up", -1: "down", 0: "withdrawn"}


class Metrics:
    """What one server counts since it was started, and what its tables hold now."""

    def __init__(self, serving: QueryService) -> None:
        self._registry = CollectorRegistry()
        self._registry.register(_Stored(serving))
        self._requests = Counter(
            "thumbtune_requests", "Requests, by route and status.", ["route", "status"], registry=self._registry
        )
        self._answers = Counter(
            "thumbtune_answers", "Answers, by the model that was asked.", ["model"], registry=self._registry
        )
        self._first = self._seconds("thumbtune_first_token_seconds", "From the question to the first token.")
        self._total = self._seconds("thumbtune_answer_seconds", "From the question to the end of the answer.")

    def _seconds(self, name: str, text: str) -> Histogram:
        return Histogram(name, text, ["model"], buckets=SECONDS, registry=self._registry)

    def request(self, route: str, status: int) -> None:
        """Count a request."""
        self._requests.labels(route, str(status)).inc()

    def answer(self, model: str, answer: Answer) -> None:
        """Count a finished answer."""
        self._answers.labels(model).inc()
        self._first.labels(model).observe(answer.first_token_s)
        self._total.labels(model).observe(answer.total_s)

    def text(self) -> bytes:
        """Return all numbers in Prometheus's text format."""
        return generate_latest(self._registry)


class _Stored(Collector):
    """What the tables hold at the moment of reading."""

    def __init__(self, serving: QueryService) -> None:
        self._serving = serving

    def describe(self) -> Iterator[Metric]:
        return iter(())

    def collect(self) -> Iterator[Metric]:
        ratings = GaugeMetricFamily("thumbtune_ratings", "Stored ratings.", labels=["kind", "value"])
        counts = Count((each.kind, VALUES[each.value]) for each in self._serving.store.feedback.ratings())
        for (kind, value), n in sorted(counts.items()):
            ratings.add_metric([kind, value], n)
        yield ratings
        models: dict[str, str] = {arm: self._serving.served(arm).model for arm in ARMS}
        yield InfoMetricFamily("thumbtune_serving", "The model of each arm.", models)
