"""Security headers; requests with other Hosts or Origins, or to unused routes, are refused."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route, WebSocketRoute
from starlette.testclient import TestClient
from starlette.types import Message, Receive, Scope, Send
from starlette.websockets import WebSocket, WebSocketDisconnect

from chat.web.security import WORKS, SecurityMiddleware, inline_hashes, security_headers
from rag.errors import BadSetting
from rag.settings import ROOT, load_settings
from rag.web.hosts import Hosts, allowed_hosts

METHODS = ["GET", "POST", "PUT", "DELETE"]


async def anything(request: Request) -> PlainTextResponse:
    return PlainTextResponse("passed")


async def socket(websocket: WebSocket) -> None:
    await websocket.accept()
    await websocket.send_text("passed")
    await websocket.close()


@pytest.fixture
def client() -> TestClient:
    return browser_at("http://localhost:8000", Hosts())


def browser_at(url: str, hosts: Hosts) -> TestClient:
    """Return a client of a chat at this address that is served under these names."""
    sockets = [WebSocketRoute(path, socket) for path in ("/ws", "/ws/socket.io/")]
    app = Starlette(routes=[*sockets, Route("/{path:path}", anything, methods=[*METHODS, "OPTIONS"])])
    app.add_middleware(SecurityMiddleware, hosts=hosts)
    return TestClient(app, base_url=url)


@pytest.fixture
def hosts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Hosts]:
    monkeypatch.chdir(tmp_path)  # away from a developer's .env
    return lambda **values: allowed_hosts(load_settings(**values))


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
    ],
)
def test_a_route_that_the_chat_does_not_use_is_closed(client: TestClient, method: str, path: str) -> None:
    assert client.request(method, path).status_code == 403


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/"), ("POST", "/project/action"), ("PUT", "/project/thread"), ("GET", "/project/element"), ("GET", "/x")],
)
def test_a_route_that_the_chat_uses_is_open(client: TestClient, method: str, path: str) -> None:
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
def test_a_file_that_is_too_large_is_refused_before_it_is_read(length: bytes, status: int) -> None:
    assert answered("POST", "/project/file", [(b"content-length", length)]) == status
    assert answered("POST", "/project/file/", [(b"content-length", length)]) == status


@pytest.mark.parametrize("path", ["/project/action", "/login", "/ws/socket.io/"])
def test_a_request_that_is_no_upload_has_a_limit_too_whatever_it_says_of_its_length(path: str) -> None:
    assert answered("POST", path, [(b"content-length", b"4000000")]) == 200
    assert answered("POST", path, [(b"content-length", b"4000001")]) == 413
    app = Starlette(routes=[Route("/{path:path}", read_all, methods=METHODS)])
    app.add_middleware(SecurityMiddleware, hosts=Hosts())
    read.clear()
    sent = TestClient(app, base_url="http://localhost:8000").post(path, content=(b"x" * 1_000_000 for _ in range(50)))
    assert sent.status_code == 413
    assert sum(read) <= 4_000_000


@pytest.mark.parametrize("path", ["/project/action", "/project/file"])
async def test_a_request_that_is_never_sent_to_its_end_is_given_up(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SENT_SECONDS", "UPLOAD_SECONDS"):
        monkeypatch.setattr(f"chat.web.security.{name}", 0.05)
    parts, sent = [{"type": "http.request", "body": b"a", "more_body": True}], list[Message]()

    async def receive() -> Message:
        return parts.pop() if parts else await asyncio.sleep(60, {"type": "http.disconnect"})

    async def send(message: Message) -> None:
        sent.append(message)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await Request(scope, receive).body()

    headers = [(b"content-length", b"10")]
    scope = {"type": "http", "method": "POST", "path": path, "headers": headers, "scheme": "http"}
    await SecurityMiddleware(app, Hosts())(scope, receive, send)
    assert sent[0]["status"] == 408


read: list[int] = []


async def read_all(request: Request) -> PlainTextResponse:
    async for part in request.stream():
        read.append(len(part))
    return PlainTextResponse("passed")


def test_a_file_without_a_content_length_is_refused() -> None:
    assert answered("POST", "/project/file", [(b"transfer-encoding", b"chunked")]) == 413


def answered(method: str, path: str, headers: list[tuple[bytes, bytes]]) -> int:
    """Return the status of a request whose headers are these, whatever its body (an HTTP client would fix them)."""
    statuses: list[int] = []

    async def pass_on(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})

    async def send(message: Message) -> None:
        statuses.extend([message["status"]] if message["type"] == "http.response.start" else [])

    async def receive() -> Message:
        raise AssertionError("nothing was to be read")

    scope = {"type": "http", "method": method, "path": path, "headers": headers, "scheme": "http"}
    asyncio.run(SecurityMiddleware(pass_on, Hosts())(scope, receive, send))
    return statuses[0]


def test_an_uploaded_file_is_never_opened_as_a_page_of_the_chat(client: TestClient) -> None:
    headers = client.get("/project/file/0b1c").headers
    assert headers["content-security-policy"].startswith("sandbox; default-src 'none'")
    assert headers["content-disposition"] == "attachment"
    assert headers["x-content-type-options"] == "nosniff"


def test_the_worker_that_reads_pdfs_may_neither_evaluate_code_nor_connect_elsewhere(client: TestClient) -> None:
    worker = client.get("/public/pdf/pdf.worker.min.mjs").headers
    assert worker["content-security-policy"] == WORKS["content-security-policy"]
    assert "'unsafe-eval'" not in WORKS["content-security-policy"]
    assert "worker-src 'self'" in client.get("/").headers["content-security-policy"]
    shipped = (ROOT / "public/pdf").glob("*.mjs")
    assert not [path.name for path in shipped if re.search(r"\bnew Function\(|\beval\(", path.read_text("utf-8"))]


def test_a_websocket_from_another_site_is_refused(client: TestClient) -> None:
    assert opens(client, **{"Sec-Fetch-Site": "same-origin"})
    assert not opens(client, **{"Sec-Fetch-Site": "cross-site"})


# --- Host ----------------------------------------------------------------------------------------------------------


def opens(client: TestClient, path: str = "/ws", **headers: str) -> bool:
    """Return whether a websocket is accepted."""
    try:
        with client.websocket_connect(str(client.base_url).replace("http", "ws", 1) + path, headers=headers) as ours:
            return ours.receive_text() == "passed"
    except WebSocketDisconnect:
        return False


@pytest.mark.parametrize(
    ("url", "values", "served"),
    [
        ("http://localhost:8000", {}, True),
        ("http://LOCALHOST", {}, True),
        ("http://127.0.0.1:9", {}, True),  # a tunnel's port, or Docker's
        ("http://[::1]:8000", {}, True),
        ("http://evil.test:8000", {}, False),
        ("http://localhost.evil.test", {}, False),
        ("http://192.168.1.5:8000", {}, False),
        ("http://chat.example.org", {"hosts": "chat.example.org, other"}, True),
        ("http://other:8000", {"hosts": "chat.example.org, other"}, True),
        ("http://a.chat.example.org", {"hosts": "chat.example.org"}, False),
        ("http://192.168.1.5:8000", {"hosts": "192.168.1.5"}, True),
        ("http://[fe80::1]:8000", {"hosts": "fe80::1"}, True),
        ("http://chat.example.org", {"CHAINLIT_URL": "https://Chat.example.org/"}, True),
        ("http://192.168.1.5:8000", {"host": "0.0.0.0"}, True),  # an address cannot be rebound
        ("http://[fe80::1]:8000", {"host": "::"}, True),
        ("http://localhost:8000", {"host": "0.0.0.0"}, True),
        ("http://evil.test:8000", {"host": "0.0.0.0"}, False),
        ("http://box.lan:8000", {"host": "box.lan"}, True),
    ],
)
def test_a_chat_is_served_under_its_own_names_only(
    hosts: Callable[..., Hosts], url: str, values: dict[str, str], served: bool
) -> None:
    client = browser_at(url, hosts(**values))
    assert (client.get("/").status_code, opens(client)) == ((200, True) if served else (421, False))
    assert client.get("/health").status_code == (200 if served else 421)


def test_a_refused_host_is_answered_with_the_setting_that_allows_it(client: TestClient) -> None:
    detail = client.get("/", headers={"Host": "evil.test:8000"}).json()["detail"]
    assert detail.startswith("No chat is served as 'evil.test'. If this is its name, set THUMBTUNE_HOSTS=evil.test and")


def test_two_hosts_in_one_request_are_refused_and_a_probe_without_one_is_not() -> None:
    assert answered("GET", "/health", []) == 200
    assert answered("GET", "/health", [(b"host", b"localhost")]) == 200
    assert answered("GET", "/health", [(b"host", b"localhost"), (b"host", b"evil.test")]) == 421


@pytest.mark.parametrize("name", ["https://chat.example.org", "chat.example.org:8443", "*", "a b"])
def test_an_invalid_host_setting_is_an_error(hosts: Callable[..., Hosts], name: str) -> None:
    with pytest.raises(BadSetting, match=r"THUMBTUNE_HOSTS: .* is not a host name: give it as chat\.example\.org"):
        hosts(hosts=name)


def test_a_public_url_without_a_scheme_is_an_error(hosts: Callable[..., Hosts]) -> None:
    with pytest.raises(BadSetting, match=r"CHAINLIT_URL='chat\.example\.org': give the whole address"):
        hosts(CHAINLIT_URL="chat.example.org")


# --- Origin --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("origin", "ours"),
    [
        ("http://localhost:8000", True),
        ("HTTP://LocalHost:8000", True),
        ("http://localhost:8190", False),  # another program of this machine
        ("http://localhost", False),
        ("http://127.0.0.1:8000", False),
        ("http://evil.test:8000", False),
        ("http://localhost:8000.evil.test", False),
        ("http://evil.test#localhost:8000", False),
        ("http://evil@localhost:8000", False),
        ("chrome-extension://localhost:8000", False),
        ("null", False),
        ("", False),
    ],
)
def test_only_a_page_of_the_chat_opens_its_websocket_or_changes_anything(
    client: TestClient, origin: str, ours: bool
) -> None:
    sent = {"Origin": origin}
    expected = 200 if ours else 403
    assert opens(client, **sent) == ours
    assert opens(client, "/ws/socket.io/", **sent) == ours
    for method in ("POST", "PUT", "DELETE", "OPTIONS"):
        assert client.request(method, "/project/thread", headers=sent).status_code == expected
    for transport in ("GET", "POST"):
        assert client.request(transport, "/ws/socket.io/", headers=sent).status_code == expected
    assert client.get("/", headers=sent).status_code == 200


def test_a_client_without_an_origin_is_served(client: TestClient) -> None:
    assert opens(client)
    assert client.post("/project/action").text == client.get("/ws/socket.io/").text == "passed"


def test_a_second_origin_in_one_request_is_refused(client: TestClient) -> None:
    both = [("Origin", "http://localhost:8000"), ("Origin", "http://evil.test")]
    assert client.post("/project/action", headers=both).status_code == 403  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("asked", "origin", "ours"),
    [
        ("https://chat.example.org", "https://chat.example.org", True),  # the proxy says X-Forwarded-Proto
        ("https://chat.example.org", "http://chat.example.org", False),
        ("http://chat.example.org", "https://chat.example.org", True),  # it ends TLS and says nothing
        ("http://chat.example.org:8443", "https://chat.example.org:8443", True),
        ("http://chat.example.org", "https://chat.example.org:8443", False),  # it has passed on Host without the port
        ("http://chat.example.org", "https://other.example.org", False),
    ],
)
def test_behind_a_proxy_the_public_page_is_accepted(asked: str, origin: str, ours: bool) -> None:
    client = browser_at(asked, Hosts(frozenset({"chat.example.org"})))
    assert opens(client, Origin=origin) == ours
    assert client.post("/project/action", headers={"Origin": origin}).status_code == (200 if ours else 403)


def test_a_proxy_that_changes_the_host_needs_the_public_url(
    hosts: Callable[..., Hosts], caplog: pytest.LogCaptureFixture
) -> None:
    sent = {"Origin": "https://chat.example.org:8443", "X-Forwarded-Host": "chat.example.org:8443"}
    refused = [browser_at("http://localhost:8000", hosts()).post("/login", headers=sent) for _ in range(3)]
    assert [answer.status_code for answer in refused] == [403] * 3
    assert "set CHAINLIT_URL to the address that people type" in refused[0].json()["detail"]
    assert "refused a page of 'https://chat.example.org:8443' to 'localhost:8000'" in caplog.text
    served = browser_at("http://localhost:8000", hosts(CHAINLIT_URL="https://chat.example.org:8443"))
    assert served.post("/login", headers=sent).status_code == 200
    assert served.post("/login", headers={"Origin": "https://chat.example.org"}).status_code == 403


def test_an_origin_that_is_refused_repeatedly_is_logged_once(
    client: TestClient, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(3):
        opens(client, Origin="http://localhost:8190")
    assert len(caplog.records) == 1


# --- headers -------------------------------------------------------------------------------------------------------


def test_every_response_has_a_policy_that_names_no_other_host(client: TestClient) -> None:
    policy = client.get("/").headers["content-security-policy"]
    assert "default-src 'self'" in policy
    assert "img-src 'self' data: blob:" in policy
    assert "frame-ancestors 'none'" in policy
    assert "http:" not in policy
    assert "*" not in policy


def test_only_the_scripts_of_our_own_pages_run() -> None:
    page = "<script>\nlet a = 1\n</script><script src='x.js'></script><script>b()</script>"
    first, second = inline_hashes(page)
    assert first == "'sha256-" + base64.b64encode(hashlib.sha256(b"\nlet a = 1\n").digest()).decode() + "'"
    policy = security_headers("localhost", (first, second))["content-security-policy"]
    assert f"script-src 'self' 'unsafe-eval' {first} {second};" in policy
    assert "'unsafe-inline'" not in policy.split("script-src")[1].split(";")[0]


@pytest.mark.parametrize(
    ("page", "ours"),
    [
        ("http://192.168.1.5:8000", True),
        ("http://192.168.1.5:8190", False),
        ("http://192.168.1.6:8000", False),
        ("http://box.lan:8000", False),
    ],
)
def test_in_a_network_without_tls_only_the_chats_own_page_acts(page: str, ours: bool) -> None:
    client = browser_at("http://192.168.1.5:8000", Hosts(any_address=True))  # browsers send no Sec-Fetch-* there
    assert opens(client, "/ws/socket.io/", Origin=page) == ours
    assert client.post("/project/action", headers={"Origin": page}).status_code == (200 if ours else 403)


@pytest.mark.parametrize("host", ["", "a b", "x; script-src *", "evil'"])
def test_an_invalid_host_is_not_in_the_policy(host: str) -> None:
    assert security_headers(host)["content-security-policy"] == security_headers("")["content-security-policy"]
    assert "ws://localhost:8000" in security_headers("localhost:8000")["content-security-policy"]
