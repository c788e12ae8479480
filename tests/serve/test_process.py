"""The server as a process of its own, and beside the chat on its port."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from rag.settings import ROOT, Settings
from served import QUESTION, wait_until

BODY = {"model": "thumbtune-duel", "messages": [{"role": "user", "content": QUESTION}]}
HEAVY = ("torch", "chainlit", "transformers", "plotly", "matplotlib", "scipy")
BESIDE = """
import json, sys
from chat.__main__ import chainlit_runner
chainlit_runner()
import chainlit_app
from chainlit.server import app
from starlette.testclient import TestClient

client = TestClient(app, base_url="http://localhost:8000")
models, page = client.get("/v1/models"), client.get("/")
asked = client.post("/v1/chat/completions", json=json.loads(sys.argv[1]))
unknown = client.get("/v1/nothing")
host = client.get("/v1/models", headers={"host": "evil.example"})
print("\\n" + json.dumps([
    models.status_code, "set-cookie" in models.headers, "set-cookie" in page.headers, asked.status_code,
    unknown.json()["error"]["code"], host.status_code, host.json()["error"]["code"],
]), flush=True)
import os
os._exit(0)
"""


@pytest.fixture
def environment(settings: Settings, tmp_path: Path) -> dict[str, str]:
    """Return the environment of a process with these settings, whose models are the built-in one."""
    values = {
        "PYTHONPATH": str(ROOT),
        "CHAINLIT_APP_ROOT": str(tmp_path),
        "THUMBTUNE_HOME": str(settings.home),
        "THUMBTUNE_DOCS": str(settings.docs[0]),
    }
    environment = {**os.environ, **values}
    subprocess.run([sys.executable, "-m", "rag", "index"], check=True, env=environment, capture_output=True)
    return environment


def test_the_server_answers_loads_nothing_heavy_and_ends_when_told(environment: dict[str, str], tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = tmp_path / "log.txt"
    with log.open("w") as out:
        server = subprocess.Popen(
            [sys.executable, "-X", "importtime", "-m", "serve"],
            env={**environment, "THUMBTUNE_PORT": str(port)},
            stdout=out,
            stderr=out,
        )
    try:
        wait_until(lambda: f"http://localhost:{port}/v1" in log.read_text() or server.poll() is not None)
        client = httpx.Client(
            base_url=f"http://localhost:{port}", timeout=60, transport=httpx.HTTPTransport(retries=20)
        )
        url = f"http://localhost:{port}/v1/chat/completions"
        assert client.post(url, json=BODY).json()["object"] == "chat.completion"
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait(30)
    assert server.returncode == 143
    imported = {line.rpartition("|")[2].strip() for line in log.read_text().splitlines() if "|" in line}
    assert "starlette" in imported
    assert not imported & set(HEAVY)


def test_a_server_that_nobody_could_ask_does_not_start(environment: dict[str, str]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "serve"],
        env={**environment, "THUMBTUNE_HOST": "0.0.0.0"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert "make one with `thumbtune keys add NAME`" in line


def test_the_chat_serves_the_same_routes_without_a_cookie(environment: dict[str, str]) -> None:
    done = subprocess.run(
        [sys.executable, "-c", BESIDE, json.dumps(BODY)], capture_output=True, text=True, env=environment, cwd=ROOT
    )
    assert done.stdout, done.stderr
    seen = json.loads(done.stdout.splitlines()[-1])
    assert seen == [200, False, True, 200, "unknown_url", 421, "refused"], done.stderr
