"""Kill the real chat while raters vote: `python -m benchmarks.load.kills [KILLS [MINUTES]]`.

What was acknowledged must be there.

Each round starts `python -m chat` on the same home, lets RATERS ask and rate by sockets as browsers do (thumbs with
comments, preferences, marks, taught passages), and ends it with SIGKILL at a random moment. The chat must start again
by itself, and when the tables are read, after every LOOK_EVERY kills, each acknowledged rating must be there once, with
its last acknowledged value or a later one. The chat is forked from a process that has the libraries loaded (`forked`),
without the background indexing of a start, which `stage_faults` kills.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
import uuid
from collections import Counter
from collections.abc import Mapping
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any
from urllib.request import urlopen

import aiohttp

from benchmarks.load.forked import CHAT, ROOT, Forked, status_file
from benchmarks.load.raters import Asked, Rater
from rag.feedback.ratings import repair
from rag.records import Rating
from rag.store.store import Store, open_store

sys.path.insert(0, str(ROOT / "tests" / "support"))
from driver import free_port
from tiny import build_tiny_model

KILLS = 40
MINUTES = 12.0  # no kill after that
RATERS = 2  # who press four buttons at once, so that eight votes are in flight
BUTTONS = ("vote A", "vote B", "choose", "teach or mark")  # each changes other ratings: their order is known
LOOK_EVERY = 5  # kills: what is missing once stays missing
VOTING = (0.05, 2.0)  # seconds from the first acknowledged vote to the kill
START_SECONDS = 120.0
ANIMALS, WEATHER = ("cat", "dog", "bird", "fish"), ("cold", "warm", "wet")
Target = tuple[str, ...]  # kind of rating, then what was rated
Value = tuple[str, object]  # of a rating: its kind and what it says


@dataclass
class Expected:
    """What was sent to be stored of one target, in order, and how many of it were acknowledged."""

    sent: list[Value] = field(default_factory=list)
    acknowledged: int = 0


@dataclass
class Ledger:
    """All that was sent and acknowledged, by target."""

    targets: dict[Target, Expected] = field(default_factory=dict)
    votes: int = 0
    in_flight: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    seconds: list[float] = field(default_factory=list)

    async def send(
        self, rater: Rater, key: tuple[str, ...], value: Value, name: str, payload: Mapping[str, Any]
    ) -> None:
        """Rate, and note it as sent before and as acknowledged after the chat's answer."""
        expected = self.targets.setdefault(key, Expected())
        expected.sent.append(value)
        self.in_flight += 1
        seconds, answer = await rater.act(name, payload)
        self.in_flight -= 1
        if "error" in answer:
            self.refused[str(answer["error"])] += 1
            expected.sent.pop()
        else:
            expected.acknowledged = len(expected.sent)
            self.votes += 1
            self.seconds.append(seconds)


async def rate_on(rater: Rater, asked: Asked, ledger: Ledger, question: str, button: str) -> None:
    """Press one of a card's buttons again and again."""
    draw = random.Random()
    passages = (await rater.act("find", {"answer": asked.answers["A"], "query": "garden"}))[1]["passages"]
    while True:
        answer, value = asked.answers[button[-1] if button[-1] in "AB" else "A"], draw.choice([1, -1])
        if button.startswith("vote"):
            comment = draw.choice(["", "twice as long"])
            said = ("answer", (value, comment if value < 0 else ""))
            sent = {"answer": answer, "value": value, "comment": comment}
            await ledger.send(rater, ("answer", answer), said, "vote", sent)
        elif button == "choose":
            choice = draw.choice(["A", "B", "tie", "both bad"])
            sent = {"answer": answer, "choice": choice}
            await ledger.send(rater, ("preference", answer), ("preference", choice), "choose", sent)
        elif draw.random() < 0.5:
            rank = draw.choice([1, 2])
            sent = {"answer": answer, "rank": rank, "value": value}
            await ledger.send(rater, ("source", answer, str(rank)), ("source", value), "mark", sent)
        else:
            chunk = draw.choice(passages)["chunk"]
            sent = {"answer": answer, "chunk": chunk, "value": 1}
            await ledger.send(rater, ("taught", question, chunk), ("taught", 1), "teach", sent)


async def rate_until_killed(url: str, pid: int, ledger: Ledger) -> int:
    """Let raters in, kill the chat after a random while of votes, and return how many votes were in flight then."""
    raters = [Rater(url) for _ in range(RATERS)]
    voting = []
    try:
        for rater in raters:
            await rater.__aenter__()
        questions = [f"where does the {random.choice(ANIMALS)} sleep {uuid.uuid4().hex}" for _ in raters]
        asked = await asyncio.gather(*(rater.ask(each) for rater, each in zip(raters, questions, strict=True)))
        voting = [
            asyncio.create_task(rate_on(rater, card, ledger, text, button))
            for rater, card, text in zip(raters, asked, questions, strict=True)
            for button in BUTTONS
        ]
        began, until = ledger.votes, random.uniform(*VOTING)
        while ledger.votes == began:
            await asyncio.sleep(0.01)
            for task in voting:
                if task.done():
                    task.result()
        await asyncio.sleep(until)
        in_flight = ledger.in_flight
        os.killpg(pid, signal.SIGKILL)
        for ended in await asyncio.gather(*voting, return_exceptions=True):
            if not isinstance(ended, aiohttp.ClientError | OSError):
                raise RuntimeError(f"a rater ended otherwise: {ended!r}")
        return in_flight
    finally:
        for rater in raters:
            with suppress(AttributeError, aiohttp.ClientError, OSError):
                await rater.__aexit__(None, None, None)
        ledger.in_flight = 0


def wait_until_served(url: str, log: Path) -> float:
    """Return after how many seconds the chat answers. Raises RuntimeError where it needs a hand."""
    began = time.perf_counter()
    while time.perf_counter() - began < START_SECONDS and not status_file(log).exists():
        with suppress(OSError), urlopen(f"{url}/health", timeout=5):
            return time.perf_counter() - began
        time.sleep(0.05)
    raise RuntimeError(f"the chat did not start again: {log.read_text()[-3000:]}")


def faults(store: Store, ledger: Ledger) -> list[str]:
    """Return what of the acknowledged ratings is missing, doubled or another one than was sent."""
    ratings = store.feedback.ratings()
    found = [f"{n} rows of rating {key}" for key, n in Counter(each.id for each in ratings).items() if n > 1]
    answers = {answer.id: answer for answer in store.feedback.answers()}
    duels = {answer.duel: {} for answer in answers.values()}  # type: dict[str, dict[str, str]]
    for answer in answers.values():
        duels[answer.duel][answer.arm] = answer.side
    by_key: dict[Target, list[Rating]] = {}
    for each in ratings:
        key = {"taught": (each.query, each.chunk_id), "source": (each.query, each.chunk_id)}.get(each.kind)
        by_key.setdefault((each.kind, *(key or (each.target_id,))), []).append(each)
    for target, expected in ledger.targets.items():
        if not expected.acknowledged:
            continue
        answer = answers.get(target[1])
        if target[0] == "source":  # each passage once, wherever it was marked; the two places may share a row
            if not by_key.get(("source", answer.query, answer.hits[int(target[2]) - 1].chunk.id) if answer else ()):
                found.append(f"missing: {target}")
            continue
        key = ("preference", answer.duel) if target[0] == "preference" and answer else target
        said = [_said(each, duels) for each in by_key.get(key, ())]
        possible = expected.sent[expected.acknowledged - 1 :]
        if len(said) != 1 or said[0] not in possible:
            found.append(f"{target}: {said} instead of {possible}")
    return found


def look(folder: Path, ledger: Ledger) -> list[str]:
    """Return `faults` of the chat's tables."""
    with closing(open_store(folder / "home" / "lancedb")) as store:
        return faults(store, ledger)


def _said(rating: Rating, duels: Mapping[str, Mapping[str, str]]) -> Value:
    if rating.kind == "answer":
        return "answer", (rating.value, rating.comment)
    if rating.kind == "preference":
        return "preference", duels[rating.target_id].get(rating.choice, rating.choice)
    return rating.kind, rating.value


def make_home(folder: Path) -> dict[str, str]:
    """Write documents and a tiny model, index them, and return the settings of a chat with them."""
    (folder / "model").mkdir()
    build_tiny_model(folder / "model", seed=0)
    (folder / "docs").mkdir()
    for number, weather in enumerate(WEATHER):
        parts = [f"# {animal} {number}\n\nThe {animal} sleeps in the {weather} garden {number}." for animal in ANIMALS]
        (folder / "docs" / f"{weather}.md").write_text("\n\n".join(parts))
    environment = {
        "THUMBTUNE_HOME": str(folder / "home"),
        "THUMBTUNE_DOCS": str(folder / "docs"),
        "THUMBTUNE_BASE_MODEL": str(folder / "model"),
        "THUMBTUNE_START_MODEL": str(folder / "model"),
        "THUMBTUNE_LLM": "extractive",
        "THUMBTUNE_DEVICE": "cpu",
        "THUMBTUNE_HOST": "127.0.0.1",
        "THUMBTUNE_PORT": str(free_port()),
    }
    subprocess.run([sys.executable, "-m", "rag", "index"], env={**os.environ, **environment}, cwd=ROOT, check=True)
    return environment


def main() -> int:
    """Kill, and print what was lost."""
    wanted, minutes = int(sys.argv[1]) if len(sys.argv) > 1 else KILLS, float(sys.argv[2]) if sys.argv[2:] else MINUTES
    end = time.monotonic() + minutes * 60
    ledger, starts, in_flight, lost = Ledger(), list[float](), list[int](), list[str]()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        environment = make_home(folder)
        forked = Forked(CHAT, environment=environment)
        url = f"http://127.0.0.1:{environment['THUMBTUNE_PORT']}"
        for number in range(wanted):
            if time.monotonic() > end:
                break
            log = folder / f"chat-{number}.log"
            pid = forked.start("chat", [], environment, log)
            starts.append(wait_until_served(url, log))
            in_flight.append(asyncio.run(rate_until_killed(url, pid, ledger)))
            if number % LOOK_EVERY == LOOK_EVERY - 1:
                lost += look(folder, ledger)
                print(f"{number + 1} kills, {ledger.votes} acknowledged, {len(lost)} faults", flush=True)
        lost += look(folder, ledger)
        store = open_store(folder / "home" / "lancedb")
        repaired, again = repair(store), repair(store)
        labels = Counter(label.id for label in store.feedback.labels())
        with closing(sqlite3.connect(folder / "home" / "chat.db")) as history:
            integrity = history.execute("PRAGMA integrity_check").fetchone()[0]
        forked.close()
    print(
        json.dumps(
            {
                "kills": len(in_flight),
                "acknowledged": ledger.votes,
                "targets": len(ledger.targets),
                "in flight at a kill": [min(in_flight), median(in_flight), max(in_flight)],
                "kills without a vote in flight": in_flight.count(0),
                "refused": dict(ledger.refused),
                "faults": lost,
                "labels written by repair, and by a second one": [repaired, again],
                "doubled labels": sum(n > 1 for n in labels.values()),
                "chat.db": integrity,
                "start, median and longest (s)": [round(median(starts), 1), round(max(starts), 1)],
                "vote, median (s)": round(median(ledger.seconds), 3),
            },
            indent=1,
        )
    )
    return 1 if lost or again or integrity != "ok" else 0


if __name__ == "__main__":
    sys.exit(main())
