"""An S3 server on loopback (ministack), with a bucket, and a proxy before it that injects faults."""

from __future__ import annotations

import http.client
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from driver import free_port

BUCKET = "thumbtune"
KEYS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_REGION": "us-east-1"}
START_SECONDS = 60.0
Fault = Callable[[str, str], str]  # method and path -> what happens, see `faulty`


@contextmanager
def s3_server(folder: Path) -> Iterator[str]:
    """Run an S3 server that honours conditional puts, with an empty bucket; yield its endpoint."""
    port = free_port()
    environment = {**os.environ, "BIND_HOST": "127.0.0.1", "GATEWAY_PORT": str(port), "SERVICES": "s3"}
    with (folder / "ministack.log").open("wb") as log:
        server = subprocess.Popen(
            [sys.executable, "-m", "ministack"], cwd=folder, env=environment, stdout=log, stderr=subprocess.STDOUT
        )
    try:
        put_bucket(port)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.kill()
        server.wait()


def put_bucket(port: int, name: str = BUCKET) -> None:
    """Create a bucket as soon as the server answers."""
    for left in reversed(range(int(START_SECONDS * 10))):
        try:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
            connection.request("PUT", f"/{name}")
            assert connection.getresponse().status == 200
            return
        except OSError:
            if not left:
                raise
            time.sleep(0.1)


@contextmanager
def faulty(endpoint: str, fault: Fault, without: str = "") -> Iterator[str]:
    """Run a proxy before a server; yield its endpoint.

    `fault` says for each request what happens: "503 SlowDown" or another status and code is the answer instead; "after
    503 SlowDown" is the answer although the request was carried out; "" passes it on. `without` is a header that the
    server does not get.
    """

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _any(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            what = fault(self.command, self.path)
            if what and not what.startswith("after "):
                self._refuse(what)
                return
            connection = http.client.HTTPConnection(endpoint.removeprefix("http://"), timeout=60)
            headers = {
                name: value for name, value in self.headers.items() if name.lower() not in ("connection", without)
            }
            connection.request(self.command, self.path, body, headers)
            reply = connection.getresponse()
            data = reply.read()
            if what:
                self._refuse(what.removeprefix("after "))
                return
            self.send_response_only(reply.status)
            for name, value in reply.getheaders():
                if name.lower() not in ("content-length", "transfer-encoding", "connection"):
                    self.send_header(name, value)
            length = reply.getheader("Content-Length") if self.command == "HEAD" else str(len(data))
            self.send_header("Content-Length", length or "0")
            self.end_headers()
            self.wfile.write(data)

        def _refuse(self, what: str) -> None:
            status, _, code = what.partition(" ")
            data = f"<Error><Code>{code}</Code><Message>{code}</Message></Error>".encode()
            self.send_response_only(int(status))
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(data)

        do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = _any

        def log_message(self, format: str, *args: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
