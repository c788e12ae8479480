"""A stand-in for Argilla's server: as much of its API as its Python package needs to push a dataset and to fetch it."""

from __future__ import annotations

from collections import defaultdict
from typing import Any
from uuid import uuid4

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

Json = dict[str, Any]
NOW = "2026-11-30T12:00:00"


class ArgillaServer:
    """What was pushed: `records` as they were sent, each with its responses. `app` answers the package's requests."""

    def __init__(self) -> None:
        self.user = {"id": str(uuid4()), "username": "owner", "role": "owner"}
        self.workspace = {"id": str(uuid4()), "name": "default", "inserted_at": NOW, "updated_at": NOW}
        self.datasets: dict[str, Json] = {}
        self.parts: dict[tuple[str, str], list[Json]] = defaultdict(list)
        self.records: list[Json] = []
        self.app = Starlette(
            routes=[
                Route("/api/v1/me", self._me),
                Route("/api/v1/me/workspaces", self._workspaces),
                Route("/api/v1/me/datasets", self._list),
                Route("/api/v1/workspaces/{id}", self._workspace),
                Route("/api/v1/datasets", self._create, methods=["POST"]),
                Route("/api/v1/datasets/{id}", self._dataset, methods=["GET", "PATCH"]),
                Route("/api/v1/datasets/{id}/publish", self._dataset, methods=["PUT"]),
                Route("/api/v1/datasets/{id}/records/bulk", self._upsert, methods=["PUT"]),
                Route("/api/v1/datasets/{id}/records", self._fetch),
                Route("/api/v1/datasets/{id}/{part}", self._part, methods=["GET", "POST"]),
                Route("/api/v1/me/datasets/{id}/{part}", self._part),
            ]
        )

    def answer(self, user: str, question: str, values: list[str | None]) -> None:
        """Let a person answer the records in turn, where a value is given."""
        for record, value in zip(self.records, values, strict=True):
            if value:
                given = {"values": {question: {"value": value}}, "status": "submitted", "user_id": user}
                record["responses"].append(given)

    async def _me(self, request: Request) -> JSONResponse:
        return JSONResponse(self.user)

    async def _workspaces(self, request: Request) -> JSONResponse:
        return JSONResponse({"items": [self.workspace]})

    async def _workspace(self, request: Request) -> JSONResponse:
        return JSONResponse(self.workspace)

    async def _list(self, request: Request) -> JSONResponse:
        return JSONResponse({"items": list(self.datasets.values())})

    async def _create(self, request: Request) -> JSONResponse:
        dataset = {**await request.json(), "id": str(uuid4())}
        self.datasets[dataset["id"]] = dataset
        return JSONResponse(dataset, 201)

    async def _dataset(self, request: Request) -> JSONResponse:
        dataset = self.datasets[request.path_params["id"]]
        if request.method == "PATCH":
            dataset.update({name: value for name, value in (await request.json()).items() if value is not None})
        return JSONResponse(dataset)

    async def _part(self, request: Request) -> JSONResponse:
        parts = self.parts[request.path_params["id"], request.path_params["part"]]
        if request.method == "GET":
            return JSONResponse({"items": parts})
        parts.append({**await request.json(), "id": str(uuid4()), "dataset_id": request.path_params["id"]})
        return JSONResponse(parts[-1], 201)

    async def _upsert(self, request: Request) -> JSONResponse:
        items = (await request.json())["items"]
        ids = {part["name"]: part["id"] for part in self.parts[request.path_params["id"], "questions"]}
        assert all(each["question_id"] in ids.values() for item in items for each in item["suggestions"])
        self.records += [{**item, "id": str(uuid4()), "responses": item["responses"] or []} for item in items]
        return JSONResponse({"items": self.records[-len(items) :], "updated": []})

    async def _fetch(self, request: Request) -> JSONResponse:
        start, count = int(request.query_params["offset"]), int(request.query_params["limit"])
        return JSONResponse({"items": self.records[start : start + count]})
