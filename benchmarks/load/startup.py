"""Measure what starting costs: commands as ratios to importing three libraries, the chat's start and its idle memory.

`python -m benchmarks.load.startup`; BENCH_CODE=folder measures another checkout, BENCH_HOME=folder an existing home,
QUICK=1 runs each once. Wall-clock seconds hang on what else the machine does, so processor seconds stand next to them.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median

import psutil

from benchmarks.load.chat_process import ROOT, answers, free_port

REFERENCE = "import lancedb, onnxruntime, langchain_openai"
COMMANDS = {  # command -> the most it may cost, as a ratio to the reference's wall-clock time
    "rag --help": 0.15,
    "train --help": 0.15,
    "thumbtune --help": 0.15,
    "rag stats": 0.6,
    "train list": 0.6,
    "rag ask": 1.5,
}
QUESTION = "How do I import labels?"
RUNS = 1 if os.environ.get("QUICK") else 3
IDLE_SECONDS = 10.0  # after the page answers; what is compared in the background is done by then
START_SECONDS = 600.0
Cost = tuple[float, float]  # wall-clock and processor seconds


def run(command: Sequence[str], environment: Mapping[str, str]) -> Cost:
    """Run a Python command to its end and return what it cost. Raises CalledProcessError."""
    before, began = os.times(), time.perf_counter()
    subprocess.run([sys.executable, *command], env=environment, check=True, stdout=subprocess.DEVNULL)
    wall, after = time.perf_counter() - began, os.times()
    used = after.children_user + after.children_system - before.children_user - before.children_system
    return wall, used


def typical(costs: Sequence[Cost]) -> Cost:
    """Return the medians."""
    return median(wall for wall, _ in costs), median(cpu for _, cpu in costs)


def start_chat(environment: Mapping[str, str]) -> tuple[Cost, float]:
    """Start the chat until its page answers; return what that cost, and its memory (RSS, MB) when it is idle."""
    port = free_port()
    given = {**environment, "THUMBTUNE_HOST": "127.0.0.1", "THUMBTUNE_PORT": str(port)}
    began = time.perf_counter()
    with subprocess.Popen([sys.executable, "-m", "chat"], env=given, stdout=subprocess.DEVNULL) as chat:
        try:
            while not answers(f"http://127.0.0.1:{port}/"):
                if chat.poll() is not None or time.perf_counter() - began > START_SECONDS:
                    raise RuntimeError(f"the chat did not start: exit code {chat.poll()}")
                time.sleep(0.1)
            wall, process = time.perf_counter() - began, psutil.Process(chat.pid)
            times = process.cpu_times()
            cpu = times.user + times.system + times.children_user + times.children_system
            time.sleep(IDLE_SECONDS)
            return (wall, cpu), process.memory_info().rss / 1e6
        finally:
            chat.send_signal(signal.SIGTERM)


def main() -> None:
    """Print the ratios, the chat's second start, and its idle memory."""
    code = Path(os.environ.get("BENCH_CODE", ROOT)).resolve()
    with tempfile.TemporaryDirectory() as folder:
        environment = {
            **os.environ,
            "PYTHONPATH": str(code),
            "THUMBTUNE_HOME": os.environ.get("BENCH_HOME", folder),
            "THUMBTUNE_DOCS": str(ROOT / "docs" / "how-to"),
            "THUMBTUNE_LLM": "extractive",
        }
        run(["-m", "rag", "index"], environment)
        run(["-m", "train", "--bootstrap"], environment)
        costs: dict[str, list[Cost]] = {REFERENCE: [], **{command: [] for command in COMMANDS}}
        for _ in range(RUNS):  # in turns, so that a busy minute is shared
            costs[REFERENCE].append(run(["-c", REFERENCE], environment))
            for command in COMMANDS:
                given = ["-m", *command.split(), *([QUESTION] if command == "rag ask" else [])]
                costs[command].append(run(given, environment))
        wall, cpu = typical(costs[REFERENCE])
        print(f"{REFERENCE}: {wall:.2f} s, {cpu:.2f} processor s\n")
        print("| command | ratio of wall-clock time | ratio of processor time | at most |\n|---|---|---|---|")
        for command, most in COMMANDS.items():
            ours, used = typical(costs[command])
            print(f"| {command} | {ours / wall:.2f} | {used / cpu:.2f} | {most} |")
        starts = [start_chat(environment) for _ in range(RUNS)]
        (ours, used), memory = typical([cost for cost, _ in starts]), median(memory for _, memory in starts)
        ratios = f"ratios {ours / wall:.2f}, {used / cpu:.2f}"
        print(f"\nsecond start of the chat: {ours:.1f} s, {used:.1f} processor s; {ratios}")
        print(f"memory of the idle chat: {memory:.0f} MB")


if __name__ == "__main__":
    main()
