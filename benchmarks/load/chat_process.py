"""Run the chat that a load benchmark measures, and read its processor time, memory, handles and blocked loop."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

import psutil

ROOT = Path(__file__).resolve().parents[2]
START_SECONDS = 600.0


@dataclass(frozen=True)
class ChatProcess:
    """A running chat."""

    url: str
    home: Path
    process: psutil.Process
    blocked_file: Path

    @property
    def cpu_s(self) -> float:
        """Return its processor seconds so far."""
        times = self.process.cpu_times()
        return float(times.user + times.system)

    @property
    def rss_mb(self) -> float:
        """Return its memory."""
        return float(self.process.memory_info().rss) / 1e6

    def blocked(self) -> dict[str, Any]:
        """Return what `watched_chat` found since the last call of `forget_blocked`."""
        time.sleep(1.0)  # it writes twice a second
        found: dict[str, Any] = json.loads(self.blocked_file.read_text())
        return found

    def forget_blocked(self) -> None:
        """Count blocked callbacks from now on."""
        self.blocked_file.unlink(missing_ok=True)
        time.sleep(1.0)


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


def answers(address: str) -> bool:
    """Return whether a page answers."""
    try:
        with urlopen(address, timeout=5) as reply:
            return bool(reply.status == 200)
    except (URLError, OSError):
        return False


@contextmanager
def running_chat(folder: Path, **settings: str) -> Iterator[ChatProcess]:
    """Run a chat on a copy of the home BENCH_HOME, or on a new one that is indexed and trained first.

    BENCH_CODE=folder runs another checkout. Its log is log.txt in `folder`.
    """
    code = Path(os.environ.get("BENCH_CODE", ROOT)).resolve()
    home, port = folder / "home", free_port()
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith(("OPENAI_", "THUMBTUNE_"))},
        "PYTHONPATH": os.pathsep.join((str(code), str(ROOT))),
        "THUMBTUNE_HOME": str(home),
        "THUMBTUNE_HOST": "127.0.0.1",
        "THUMBTUNE_PORT": str(port),
        "THUMBTUNE_DOCS": os.environ.get("BENCH_DOCS", str(ROOT / "docs")),
        "THUMBTUNE_LLM": "extractive",
        **settings,
    }
    if "BENCH_HOME" in os.environ:
        shutil.copytree(os.environ["BENCH_HOME"], home)
    else:
        for command in ("rag index", "train --bootstrap"):
            subprocess.run(
                [sys.executable, "-m", *command.split()], env=environment, check=True, stdout=subprocess.DEVNULL
            )
    url, blocked = f"http://127.0.0.1:{port}", folder / "blocked.json"
    command = [sys.executable, "-m", "benchmarks.load.watched_chat", str(blocked)]
    with (
        (folder / "log.txt").open("a") as log,
        subprocess.Popen(command, env=environment, cwd=folder, stdout=log, stderr=subprocess.STDOUT) as chat,
    ):
        try:
            began = time.perf_counter()
            while not answers(f"{url}/health"):
                if chat.poll() is not None or time.perf_counter() - began > START_SECONDS:
                    raise RuntimeError(f"the chat did not start: {(folder / 'log.txt').read_text()[-2000:]}")
                time.sleep(0.1)
            yield ChatProcess(url, home, psutil.Process(chat.pid), blocked)
        finally:
            chat.send_signal(signal.SIGTERM)
