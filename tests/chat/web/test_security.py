"""Headers that keep foreign scripts out, and the doors of Chainlit that nobody needs stay shut."""

from __future__ import annotations

import asyncio

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route, WebSocketRoute
from starlette.testclient import TestClient
from starlette.types import Message, Receive, Scope, Send
from starlette.websockets import WebSocket, WebSocketDisconnect

from chat.web.security import SecurityMiddleware, security_headers

METHODS = ["GET", "POST", "PUT", "DELETE"]


async def anything(request: Request) -> PlainTextResponse:
    return PlainTextResponse("passed")


async def socket(websocket: WebSocket) -> None:
    await websocket.accept()
    await websocket.send_text("passed")
    await websocket.close()


@pytest.fixture
def client() -> TestClient:
    app = Starlette(routes=[WebSocketRoute("/ws", socket), Route("/{path:path}", anything, methods=METHODS)])
    app.add_middleware(SecurityMiddleware)
    return TestClient(app)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("PUT", "/project/element"),
        ("PUT", "/project/element/"),
        ("DELETE", "/project/element"),
        ("PUT", "/feedback"),
        ("DELETE", "/feedback"),
        ("PUT", "/project/thread/share"),
        ("GET", "/project/share/0b1c"),
        ("POST", "/mcp"),
        ("DELETE", "/mcp"),
    ],
)
def test_a_route_that_the_room_does_not_use_is_closed(client: TestClient, method: str, path: str) -> None:
    assert client.request(method, path).status_code == 403


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/"), ("POST", "/project/action"), ("PUT", "/project/thread"), ("GET", "/project/element"), ("GET", "/x")],
)
def test_what_the_room_uses_is_open(client: TestClient, method: str, path: str) -> None:
    assert client.request(method, path).text == "passed"


@pytest.mark.parametrize(
    ("site", "mode", "method", "status"),
    [
        ("same-origin", "cors", "POST", 200),
        ("none", "navigate", "GET", 200),
        ("cross-site", "navigate", "GET", 200),  # somebody followed a link to the chat
        ("cross-site", "navigate", "POST", 403),  # a form of another site
        ("cross-site", "cors", "POST", 403),
        ("same-site", "cors", "GET", 403),  # another program on another port of this machine
    ],
)
def test_only_our_own_page_may_call(client: TestClient, site: str, mode: str, method: str, status: int) -> None:
    headers = {"Sec-Fetch-Site": site, "Sec-Fetch-Mode": mode}
    assert client.request(method, "/project/action", headers=headers).status_code == status


@pytest.mark.parametrize(("length", "status"), [(b"10", 200), (b"110000000", 200), (b"110000001", 413), (b"x", 413)])
def test_a_file_that_no_document_can_be_is_refused_before_it_is_read(length: bytes, status: int) -> None:
    assert answered("POST", "/project/file", [(b"content-length", length)]) == status
    assert answered("POST", "/project/file/", [(b"content-length", length)]) == status
    assert answered("POST", "/project/action", [(b"content-length", length)]) == 200


def test_a_file_that_does_not_say_its_size_is_refused() -> None:
    assert answered("POST", "/project/file", [(b"transfer-encoding", b"chunked")]) == 413


def answered(method: str, path: str, headers: list[tuple[bytes, bytes]]) -> int:
    """Return the status of a request whose headers are these, whatever its body (an HTTP client would mend them)."""
    seen: list[int] = []

    async def pass_on(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})

    async def send(message: Message) -> None:
        seen.extend([message["status"]] if message["type"] == "http.response.start" else [])

    async def receive() -> Message:
        raise AssertionError("nothing was to be read")

    scope = {"type": "http", "method": method, "path": path, "headers": headers, "scheme": "http"}
    asyncio.run(SecurityMiddleware(pass_on)(scope, receive, send))
    return seen[0]


def test_a_dropped_file_is_never_opened_as_a_page_of_ours(client: TestClient) -> None:
    headers = client.get("/project/file/0b1c").headers
    assert headers["content-security-policy"].startswith("sandbox; default-src 'none'")
    assert headers["content-disposition"] == "attachment"
    assert headers["x-content-type-options"] == "nosniff"


def test_a_socket_that_another_site_opens_is_refused(client: TestClient) -> None:
    with client.websocket_connect("/ws", headers={"Sec-Fetch-Site": "same-origin"}) as ours:
        assert ours.receive_text() == "passed"
    with (
        pytest.raises(WebSocketDisconnect),
        client.websocket_connect("/ws", headers={"Sec-Fetch-Site": "cross-site"}),
    ):
        pass


def test_every_response_has_a_policy_that_names_no_other_host(client: TestClient) -> None:
    policy = client.get("/").headers["content-security-policy"]
    assert "default-src 'self'" in policy
    assert "img-src 'self' data: blob:" in policy
    assert "frame-ancestors 'none'" in policy
    assert "http:" not in policy
    assert "*" not in policy


@pytest.mark.parametrize("host", ["", "a b", "x; script-src *", "evil'"])
def test_a_host_that_is_none_gets_no_place_in_the_policy(host: str) -> None:
    assert security_headers(host)["content-security-policy"] == security_headers("")["content-security-policy"]
    assert "ws://localhost:8000" in security_headers("localhost:8000")["content-security-policy"]
