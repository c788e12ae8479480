"""A server for other programs with two documents, and real HTTP in front of it."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import uvicorn
from starlette.testclient import TestClient

from rag.answering.service import QueryService
from rag.models.onnx_embedder import exports
from rag.settings import Settings
from rag.web.hosts import Hosts
from serve.app import Api, build_app, open_api

SECRET = "s" * 64
QUESTION = "Does the cat drink warm milk at night?"
ANSWER = "The cat drinks warm milk at night."


@dataclass
class Served:
    """A home that is served, and what stands in it."""

    settings: Settings
    serving: QueryService

    def api(self, **values: Any) -> Api:
        return open_api(self.settings.model_copy(update=values), self.serving, SECRET)

    def client(self, key: str = "", **values: Any) -> TestClient:
        """Return a client of the server with these settings."""
        app = build_app(self.api(**values), Hosts())
        headers = {"authorization": f"Bearer {key}"} if key else {}
        return TestClient(app, base_url="http://localhost:8000", headers=headers, raise_server_exceptions=False)

    def ask(self, client: TestClient, **fields: Any) -> httpx.Response:
        body = {"model": "thumbtune-tuned", "messages": [{"role": "user", "content": QUESTION}], **fields}
        return client.post("/v1/chat/completions", json=body)

    @property
    def n_answers(self) -> int:
        return len(self.serving.store.feedback.answers())


def open_home(folder: Path, model: Path, shared_exports: Path, **values: Any) -> Settings:
    (folder / "home" / "cache").mkdir(parents=True)
    exports(folder / "home" / "cache").symlink_to(shared_exports, target_is_directory=True)
    docs = folder / "docs"
    docs.mkdir()
    (docs / "cats.md").write_text("# Cats\n\nThe cat drinks warm milk at night.\n\n## Food\n\nCats eat fish.\n")
    (docs / "dogs.md").write_text("# Dogs\n\nThe dog keeps one bone in the garden.\n")
    given = {"base_model": str(model), "start_model": str(model), "chunk_tokens": 32, "device": "cpu", **values}
    return Settings(home=folder / "home", docs=(docs,), **given)


@contextmanager
def listening(app: Any) -> Iterator[str]:
    """Serve an app on a free port, as `thumbtune serve` does; yield its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=port, log_level="warning"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    wait_until(lambda: server.started)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join()


def wait_until(holds: Callable[[], bool], seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "it never held"
        time.sleep(0.02)
