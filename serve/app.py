"""The routes for other programs, beside the chat on its port or in a server of their own."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from rag.answering.service import QueryService
from rag.feedback.outside import answer_of
from rag.records import ARMS
from rag.settings import Settings
from rag.web.hosts import FORBIDDEN, Guard, Hosts, from_another_site, refuse
from rag.web.rate_limits import Networks
from serve.access import ANY, Access, named_person
from serve.bodies import read_body, read_json
from serve.citations import PASSAGES, makes_sources_of_annotations, passage_text
from serve.completions import MODELS, Asker, ChatRequest, complete, unless_gone
from serve.errors import NOT_ALLOWED, NOT_FOUND, UNAVAILABLE, ApiError, api_error
from serve.feedback import Feedback, store_feedback, store_openwebui
from serve.keys import LOCAL, Client, KeyRing
from serve.metrics import CONTENT_TYPE, Metrics
from serve.retrieval import EmbeddingsRequest, RerankRequest, Retrieval, Slices, embed, rerank, retrieve_records

if TYPE_CHECKING:
    from mcp.server.fastmcp import FastMCP

PREFIXES = ("/v1/",)  # of the paths of this server: they are no pages, and no cookie is set for them
PATHS = ("/retrieval", "/metrics", "/ready", "/mcp")  # the others; /health is Chainlit's beside the chat
OWNER = "thumbtune"
OK = 200
METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE"]
PLAIN = {"x-content-type-options": "nosniff", "content-security-policy": "default-src 'none'; frame-ancestors 'none'"}
Plain = Callable[[Request], Awaitable[Response]]
Handler = Callable[[Request, Client], Awaitable[Response]]


OTHER = "other"  # in the metrics: paths that no route has
MCP = "/mcp"  # beside the chat in place of Chainlit's own route, by which a browser could add tool servers


@dataclass(frozen=True)
class Api:
    """What the routes share. `secret` is the home's key, `public` the address that people type, "" where the request
    says it.
    """

    settings: Settings
    serving: QueryService
    access: Access
    secret: str
    metrics: Metrics
    public: str = ""
    slices: Slices = field(default_factory=Slices)

    def base_url(self, request: Request) -> str:
        """Return the address of this server as its client knows it."""
        return (self.public or str(request.base_url)).rstrip("/")

    def asker(self, request: Request, client: Client, person: str) -> Asker:
        """Return who asks."""
        annotated = not makes_sources_of_annotations(request.headers)
        return Asker(client.rater(person), self.secret, self.base_url(request), self.metrics.answer, annotated)

    def group(self, client: Client, person: str = "") -> str:
        """Return the group of who asks."""
        return self.serving.group_of(client.rater(person))

    # --- the routes --------------------------------------------------------------------------------------------------

    async def models(self, request: Request, client: Client) -> Response:
        """List the models."""
        return JSONResponse({"object": "list", "data": [_model(name) for name in MODELS]})

    async def model(self, request: Request, client: Client) -> Response:
        """Return one model."""
        name = request.path_params["model"]
        if name not in MODELS:
            raise ApiError(NOT_FOUND, f"The model '{name[:100]}' does not exist.", "model_not_found", "model")
        return JSONResponse(_model(name))

    async def completions(self, request: Request, client: Client) -> Response:
        """Answer the last message of a conversation."""
        sent = await read_body(request, ChatRequest)
        sent.check()
        person = named_person(request, sent.user)
        self.access.spend(client, "ask", person)
        return await complete(self.serving, request, sent, self.asker(request, client, person))

    async def feedback(self, request: Request, client: Client) -> Response:
        """Store a thumb and marks on passages; answer when they are on disk."""
        sent = await read_body(request, Feedback)
        person = named_person(request, sent.rater)
        self.access.spend(client, "rate")
        rater = client.rater(person)
        return JSONResponse(await asyncio.to_thread(store_feedback, self.serving.store, rater, sent))

    async def webhook(self, request: Request, client: Client) -> Response:
        """Store a feedback as Open WebUI has it, with the snapshot of its chat."""
        given = await read_json(request)
        self.access.spend(client, "rate")
        return JSONResponse(await asyncio.to_thread(store_openwebui, self.serving.store, client.name, given))

    async def retrieval(self, request: Request, client: Client) -> Response:
        """Search for Dify."""
        sent = await read_body(request, Retrieval)
        self.access.spend(client, "retrieve")
        return JSONResponse(await asyncio.to_thread(retrieve_records, self.serving, sent, self.group(client)))

    async def embeddings(self, request: Request, client: Client) -> Response:
        """Embed texts."""
        sent = await read_body(request, EmbeddingsRequest)
        self.access.spend(client, "retrieve")
        group = self.group(client, named_person(request, sent.user))
        return JSONResponse(await unless_gone(request, embed(self.serving, self.slices, sent, group)))

    async def reranking(self, request: Request, client: Client) -> Response:
        """Put documents in order."""
        sent = await read_body(request, RerankRequest)
        self.access.spend(client, "retrieve")
        return JSONResponse(await unless_gone(request, rerank(self.serving, self.slices, sent)))

    async def numbers(self, request: Request, client: Client) -> Response:
        """Return the numbers for a monitor."""
        self.access.spend(client, "metrics")
        text = await asyncio.to_thread(self.metrics.text)
        return Response(text, media_type=CONTENT_TYPE)

    async def health(self, request: Request) -> Response:
        """Say that the process answers."""
        return JSONResponse({"status": "ok"})

    async def ready(self, request: Request) -> Response:
        """Say whether a question could be answered now: both arms have a model and its table."""
        for arm in ARMS:
            served = self.serving.served(arm)
            if not await asyncio.to_thread(self.serving.store.chunks.exists, served.table):
                raise ApiError(UNAVAILABLE, f"The index of arm {arm} is missing.", "not_indexed")
        if self.serving.arms.trouble:  # it answers, by the former model
            return JSONResponse({"status": "degraded", "detail": "a newly promoted model does not serve"})
        return JSONResponse({"status": "ready"})

    def admit(self, request: Request | None, scope: str) -> Client:
        """Return who calls a tool that needs a scope, counted. Raises ApiError, TooMany."""
        if request is None:
            return LOCAL
        client = self.access.client_of(request, scope)
        self.access.spend(client, scope)
        return client

    @cached_property
    def mcp(self) -> FastMCP:
        """Return the MCP server, which is imported when somebody uses it: it takes half a second."""
        from serve.mcp_server import Tools, build_mcp

        return build_mcp(Tools(self.serving, self.secret, self.admit, self.metrics.answer))

    async def passage(self, request: Request) -> Response:
        """Show a passage of an answer to whoever has its address."""
        completion = request.path_params["completion"]
        answer = await asyncio.to_thread(answer_of, self.serving.store, completion)
        rank = request.path_params["rank"]  # a text: a number of 5,000 digits is none that Python reads
        hit = next((hit for hit in answer.hits if str(hit.rank) == rank), None) if answer else None
        if hit is None:
            raise ApiError(NOT_FOUND, "There is no such passage.", "passage_not_found")
        return PlainTextResponse(passage_text(hit), headers=PLAIN)


def open_api(settings: Settings, serving: QueryService, secret: str, proxies: Networks = ()) -> Api:
    """Return what the routes need. Raises BadSetting for a wrong THUMBTUNE_API_KEYS, StoreFailed for its file."""
    keys = KeyRing(settings)
    _ = keys.is_empty  # reads the file: a damaged one is an error now, and not at the first request
    return Api(settings, serving, Access(settings, keys, proxies), secret, Metrics(serving), settings.public_url)


def api_routes(api: Api) -> list[BaseRoute]:
    """Return all routes; the last ones answer what no route has, as JSON and not as a page of the chat."""
    return [
        _route(api, "/v1/models", api.models, "GET", "ask"),
        _route(api, "/v1/models/{model}", api.model, "GET", "ask"),
        _route(api, "/v1/chat/completions", api.completions, "POST", "ask"),
        _route(api, "/v1/feedback", api.feedback, "POST", "rate"),
        _route(api, "/v1/feedback/openwebui", api.webhook, "POST", "rate"),
        _route(api, "/v1/embeddings", api.embeddings, "POST", "retrieve"),
        _route(api, "/v1/rerank", api.reranking, "POST", "retrieve"),
        _route(api, "/retrieval", api.retrieval, "POST", "retrieve"),
        _route(api, "/metrics", api.numbers, "GET", "metrics"),
        Route(MCP, _McpRoute(api)),
        Route("/ready", _answered(api.ready, api.metrics, "/ready"), methods=["GET"]),
        Route(PASSAGES + "/{completion}/{rank}", _answered(api.passage, api.metrics, PASSAGES), methods=["GET"]),
        *(
            Route(prefix + "{rest:path}", _answered(_unknown, api.metrics, prefix), methods=METHODS)
            for prefix in PREFIXES
        ),
    ]


def build_app(api: Api, hosts: Hosts) -> Starlette:
    """Return the server of its own, behind the guard of hosts and origins."""
    other = Route("/{rest:path}", _answered(_unknown, api.metrics, OTHER), methods=METHODS)
    app = Starlette(routes=[Route("/health", api.health), *api_routes(api), other])
    app.add_middleware(GuardMiddleware, hosts=hosts)
    return app


def is_api(path: str) -> bool:
    """Return whether a path is one of this server, and not of the chat beside it."""
    return path.startswith(PREFIXES) or path in PATHS


class GuardMiddleware:
    """ASGI middleware: refuse other hosts and pages of other origins, with an error in OpenAI's shape."""

    def __init__(self, app: ASGIApp, hosts: Hosts) -> None:
        self.app, self._guard = app, Guard(hosts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or answer 403 or 421."""
        if scope["type"] == "http":
            headers = Headers(scope=scope)
            refused = self._guard.refused(scope, headers)
            if not refused and from_another_site(scope, headers):
                refused = "A page of another site may not ask this server.", FORBIDDEN
            if refused:
                await refuse(scope, receive, send, *refused)
                return
        await self.app(scope, receive, send)


class _McpRoute:
    """The ASGI app of /mcp: a POST with a key of any scope, as each tool asks for its own. Nothing is sent unasked."""

    def __init__(self, api: Api) -> None:
        self._api = api

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on to the MCP server, or answer 401 or 405."""
        request = Request(scope, receive)
        try:
            if request.method != "POST":
                raise ApiError(NOT_ALLOWED, "Use POST for /mcp.", "method_not_allowed", headers={"allow": "POST"})
            self._api.access.client_of(request, ANY)
        except Exception as error:  # noqa: BLE001  # api_error logs what is not the client's
            failed = api_error(error)
            self._api.metrics.request(MCP, failed.status)
            await failed.response()(scope, receive, send)
            return
        from serve.mcp_server import handle_mcp

        self._api.metrics.request(MCP, OK)
        await handle_mcp(self._api.mcp, scope, receive, send)


def _route(api: Api, path: str, handle: Handler, method: str, scope: str) -> Route:
    """Return a route for clients with a scope."""

    async def admitted(request: Request) -> Response:
        if request.method not in (method, "HEAD" if method == "GET" else method):
            raise ApiError(NOT_ALLOWED, f"Use {method} for {path}.", "method_not_allowed", headers={"allow": method})
        return await handle(request, api.access.client_of(request, scope))

    return Route(path, _answered(admitted, api.metrics, path), methods=METHODS)


def _answered(handle: Plain, metrics: Metrics, route: str) -> Plain:
    """Return a handler that counts its requests, and whose errors are responses in OpenAI's shape."""

    async def answered(request: Request) -> Response:
        try:
            response = await handle(request)
        except Exception as error:  # noqa: BLE001  # api_error logs what is not the client's
            response = api_error(error).response()
        metrics.request(route, response.status_code)
        return response

    return answered


async def _unknown(request: Request) -> Response:
    path = request.url.path
    hint = "" if path.startswith(PREFIXES) else " OpenAI's routes begin with /v1: a client's base URL ends with it."
    raise ApiError(NOT_FOUND, f"Unknown request URL: {request.method} {path[:200]}.{hint}", "unknown_url")


def _model(name: str) -> dict[str, object]:
    return {"id": name, "object": "model", "created": 0, "owned_by": OWNER}
