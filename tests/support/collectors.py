"""Servers that others' tracers send to: an OTLP collector over HTTP, and stand-ins for LangSmith and Langfuse."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any
from uuid import uuid4

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from served import listening

Json = dict[str, Any]


class Collector:
    """An OTLP collector: `spans` are those that were sent, by OpenTelemetry's own message types."""

    def __init__(self) -> None:
        self.spans: list[Any] = []
        self.services: set[str] = set()
        self.bodies: list[bytes] = []

    @contextmanager
    def listening(self) -> Iterator[str]:
        """Yield the address for OTEL_EXPORTER_OTLP_ENDPOINT."""
        with listening(Starlette(routes=[Route("/v1/traces", self._traces, methods=["POST"])])) as url:
            yield url

    def named(self, name: str) -> list[tuple[Any, Json]]:
        """Return the spans of a name, each with its attributes."""
        return [(span, attributes_of(span)) for span in self.spans if span.name == name]

    async def _traces(self, request: Request) -> Response:
        body = await request.body()
        body = gzip.decompress(body) if request.headers.get("content-encoding") == "gzip" else body
        self.bodies.append(body)
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            self.services |= {
                each.value.string_value for each in resource.resource.attributes if each.key == "service.name"
            }
            for scope in resource.scope_spans:
                self.spans += scope.spans
        return Response(media_type="application/x-protobuf")


def attributes_of(span: Any) -> Json:
    return {each.key: getattr(each.value, each.value.WhichOneof("value")) for each in span.attributes}


class FeedbackServer:
    """A stand-in for the feedback of LangSmith and the scores of Langfuse: `feedback` and `scores` by their ids."""

    def __init__(self) -> None:
        self.feedback: dict[str, Json] = {}
        self.scores: dict[str, Json] = {}
        self.times: dict[str, datetime] = {}
        self.authorizations: set[str] = set()
        self.requests: list[str] = []
        self.app = Starlette(
            routes=[
                Route("/info", self._info),
                Route("/sessions", self._sessions),
                Route("/feedback", self._create, methods=["POST"]),
                Route("/feedback/{id}", self._change, methods=["PATCH", "DELETE"]),
                Route("/api/public/scores", self._score, methods=["POST"]),
                Route("/api/public/scores/{id}", self._unscore, methods=["DELETE"]),
            ]
        )

    async def _info(self, request: Request) -> JSONResponse:
        return JSONResponse({"version": "0.13.0"})

    async def _sessions(self, request: Request) -> JSONResponse:
        project = {"id": str(uuid4()), "name": request.query_params["name"], "tenant_id": str(uuid4())}
        return JSONResponse([{**project, "start_time": "2026-11-30T00:00:00+00:00", "reference_dataset_id": None}])

    async def _create(self, request: Request) -> JSONResponse:
        given = await request.json()
        self.requests.append("create")
        self.feedback[given["id"]] = given
        return JSONResponse(given)

    async def _change(self, request: Request) -> JSONResponse:
        self.requests.append(request.method)
        name = request.path_params["id"]
        if name not in self.feedback:
            return JSONResponse({"detail": "Feedback not found"}, 404)
        if request.method == "DELETE":
            return JSONResponse(self.feedback.pop(name))
        self.feedback[name] |= await request.json()
        return JSONResponse(self.feedback[name])

    async def _score(self, request: Request) -> JSONResponse:
        body = json.loads(await request.body())
        self.authorizations.add(request.headers["authorization"])
        given = body if isinstance(body, list) else [body]
        for each in given:
            at = datetime.fromisoformat(each["timestamp"])
            assert self.times.setdefault(each["id"], at) == at  # else there would be a second one
            self.scores[each["id"]] = each
        return JSONResponse({"id": given[-1]["id"]})

    async def _unscore(self, request: Request) -> JSONResponse:
        found = self.scores.pop(request.path_params["id"], None)
        return JSONResponse({"message": "gone"}, 200 if found else 404)
