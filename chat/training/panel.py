"""/train: what there is to learn from, a training while it runs, and its verdict, in one element.

The idea a reader would miss: nothing that is shown is remembered here. It is read anew from the tables, the registry,
the runs' folders and what a training writes of itself, so every tab, a reload and a chat that was started anew show the
same, also of a training that began in a terminal, or ended while no chat was there to see it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from chat.elements.live import LiveElement
from chat.session.context import AppState, RequestContext
from chat.training.process import VERSION, TrainingProcess
from chat.training.ratings_needed import TrainedVersion, ratings_needed, read_trained
from chat.training.report_files import PLOTS, address, find
from rag.errors import TrainingRefused, UnknownVersion
from rag.feedback.credit import KeywordRanks
from rag.feedback.pairs import count_rated
from rag.feedback.ratings import current_labels
from rag.indexing.update import corpus_chunks
from rag.models.registry import START_WEIGHTS, Registry, Version
from rag.records import Chunk, LabelledPair
from rag.store.store import Store
from rag.training_results import REPORT_FILE
from rag.training_status import STATE_FILE, Training

ELEMENT = "Training"  # public/elements/Training.jsx
BUSY_SECONDS, IDLE_SECONDS = 0.5, 2.0  # between two looks while a training runs, and while none does
SHOWN_LINES = 6  # of what a training prints, while it runs

log = logging.getLogger("thumbtune")


class TrainingPanel:
    """What `/train` and the buttons of its element do. One for a house; the element is in any number of tabs."""

    def __init__(self, house: AppState, trainer: TrainingProcess | None = None) -> None:
        self._house, self._settings = house, house.settings
        self._trainer = trainer or TrainingProcess(house.settings.home)
        self._known: dict[str, Any] = {}  # what only changes with a training, a promotion or a look
        self._by_hand: dict[str, Any] | None = None
        self._stopping = 0  # the process that was told to stop: that takes it a moment
        self._standing: tuple[object, ...] = ()  # what was so when that was read
        self._watcher: asyncio.Task[None] | None = None
        self._ranks: KeywordRanks | None = None

    async def show(self, visit: RequestContext, text: str) -> None:
        """Show the element in a message of its own."""
        await self._look_up()
        await visit.show_element(ELEMENT, self._props(visit))
        self._watch()

    async def revive(self, visit: RequestContext, props: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return what an element that was read from the history shows today."""
        await self._look_up()
        return self._props(visit)

    async def look(self, visit: RequestContext, payload: Mapping[str, Any]) -> dict[str, Any]:
        """Bring this session's elements up to date: a page was opened, or its connection is back."""
        await self._look_up()
        for live in visit.room.elements:
            if live.name == ELEMENT:
                live.props = self._props(visit)
                await live.show()
        self._watch()
        return {}

    async def start(self, visit: RequestContext, payload: Mapping[str, Any]) -> dict[str, Any]:
        """Start a training, or a dry run of one."""
        self._require(visit)
        self._by_hand = None
        self._trainer.start(str(payload.get("order")))
        return await self._shown(visit)

    async def cancel(self, visit: RequestContext, payload: Mapping[str, Any]) -> dict[str, Any]:
        """Stop the training that runs."""
        self._require(visit)
        self._stopping = self._trainer.cancel().pid
        return await self._shown(visit)

    async def promote(self, visit: RequestContext, payload: Mapping[str, Any]) -> dict[str, Any]:
        """Let a version serve, whatever the gate said."""
        name = payload.get("version")
        if not isinstance(name, str) or not VERSION.fullmatch(name):
            raise UnknownVersion(f"{str(name)[:40]!r} is no version: reload the page, then promote")
        return await self._put_in_place(visit, "promote", name)

    async def roll_back(self, visit: RequestContext, payload: Mapping[str, Any]) -> dict[str, Any]:
        """Go back to what served before."""
        return await self._put_in_place(visit, "rollback")

    async def _put_in_place(self, visit: RequestContext, *words: str) -> dict[str, Any]:
        self._require(visit)
        command = " ".join(("python -m train", *words))
        self._by_hand = {"command": command, "busy": True}
        await self._shown(visit)
        try:
            done = await self._trainer.by_hand(*words)
            self._by_hand = {"command": command, "busy": False, "ok": done.ok, "told": done.told}
        except BaseException:
            self._by_hand = None
            raise
        finally:
            await self._look_up()
            await self._send()
        return {}

    def _require(self, visit: RequestContext) -> None:
        if why := self._why_not(visit):
            raise TrainingRefused(why)

    def _why_not(self, visit: RequestContext) -> str:
        """Return why a rater may not train here, "" where he may."""
        if not self._settings.trainers or visit.rater in self._settings.trainers:
            return ""
        return (
            f"{visit.rater} may look, not train or promote: who runs this chat can add this name to THUMBTUNE_TRAINERS"
        )

    async def _shown(self, visit: RequestContext) -> dict[str, Any]:
        await self._send()
        self._watch()
        return {}

    # --- watching --------------------------------------------------------------------------------------------------

    def _watch(self) -> None:
        if self._watcher is None or self._watcher.done():
            self._watcher = asyncio.create_task(self._follow())

    async def _follow(self) -> None:
        """Send what changes to every tab that shows it, for as long as one does."""
        shown: tuple[object, ...] = ()
        while self._watched():
            try:
                shown = await self._send_news(shown)
            except Exception:  # nobody awaits this task; what cannot be read now is read at the next look
                log.exception("a training could not be followed")
            await asyncio.sleep(IDLE_SECONDS if self._trainer.under_way() is None else BUSY_SECONDS)

    async def _send_news(self, shown: tuple[object, ...]) -> tuple[object, ...]:
        standing = self._stand()
        if standing != self._standing:
            await self._look_up()
        news = (*standing, _written(self._settings.home / STATE_FILE))
        if news != shown:
            await self._send()
        return news

    def _stand(self) -> tuple[object, ...]:
        """Return what differs once a training begins or ends, or another model serves."""
        return self._trainer.under_way() is None, Registry(self._settings.models).stamp()

    def _watched(self) -> list[LiveElement]:
        return [live for live in self._house.elements.values() if live.name == ELEMENT and live.is_watched]

    async def _send(self) -> None:
        now = self._moving()
        for live in self._watched():
            live.props = {**live.props, **self._known, **now}
            await live.show()

    # --- what is shown ---------------------------------------------------------------------------------------------

    def _props(self, visit: RequestContext) -> dict[str, Any]:
        return {**self._known, **self._moving(), "refused": self._why_not(visit)}

    def _moving(self) -> dict[str, Any]:
        """Return what changes while a training runs: how far it is, or how the last one ended."""
        running = self._trainer.under_way()
        last = None if running else self._trainer.last()
        return {"busy": _busy(running, self._stopping), "ended": _ended(last), "byHand": self._by_hand}

    async def _look_up(self) -> None:
        self._standing = self._stand()
        self._known = await asyncio.to_thread(self._read)

    def _read(self) -> dict[str, Any]:
        """Return what the tables, the registry and the runs' folders say."""
        registry, corpus = Registry(self._settings.models), self._house.serving.corpus
        versions = [version for version in registry.versions() if version.folders == corpus.folders_id]
        by_ratings = [version for version in versions if version.kind == "ratings"]
        champion = registry.champion(corpus.folders_id)
        before = self._trained(by_ratings[-1]) if by_ratings else None
        needed = ratings_needed(self._count_rated(), before)
        return {
            "rated": needed.rated,
            "fresh": needed.new,
            "target": needed.target,
            "enough": needed.enough,
            "told": needed.told,
            "since": before.version.name if before else "",
            "serves": champion.name if champion else START_WEIGHTS,
            "back": _previous(registry, corpus.folders_id),
            "last": self._verdict(self._trained(versions[-1])) if versions else None,
        }

    def _count_rated(self) -> int:
        """Return the number of rated queries that a training would count now."""
        serving = self._house.serving
        table = serving.served("base").table
        if self._ranks is None or self._ranks.table != table:
            self._ranks = KeywordRanks(serving.store, table)
        labels = current_labels(serving.store)
        chunks = _chunks_for(labels, serving.store, serving.corpus.id)
        return count_rated(labels, chunks, self._ranks.of(labels))

    def _trained(self, version: Version) -> TrainedVersion:
        return read_trained(self._settings.runs, version)

    def _verdict(self, last: TrainedVersion) -> dict[str, Any]:
        name, runs = last.version.name, self._settings.runs
        plots = [{"src": address(name, plot), "alt": alt} for plot, alt in PLOTS.items() if find(runs, name, plot)]
        return {
            "version": name,
            "kind": last.version.kind,
            "verdict": last.version.verdict,
            "summary": last.version.summary,
            "reason": last.metrics.reason if last.metrics else "",
            "at": _clock_time(last.version.created),
            "table": last.table(),
            "plots": plots,
            "report": address(name, REPORT_FILE) if find(runs, name, REPORT_FILE) else "",
        }


def _written(path: Path) -> int:
    with contextlib.suppress(OSError):
        return path.stat().st_mtime_ns
    return 0


def _chunks_for(labels: Sequence[LabelledPair], store: Store, corpus_id: str) -> list[Chunk]:
    """Return the chunks in which to find those of the labels: their texts are read only where an id is gone."""
    chunks = store.documents.outline(corpus_id)
    known = {chunk.id for chunk in chunks}
    gone = any(label.label and label.chunk_id not in known for label in labels)
    return corpus_chunks(store, corpus_id) if gone else chunks


def _previous(registry: Registry, folders: str) -> str:
    """Return what a rollback would let serve, "" where there is nothing to go back to."""
    try:
        before = registry.previous(folders)
    except UnknownVersion:
        return ""
    return before.name if before else START_WEIGHTS


def _busy(training: Training | None, stopping: int) -> dict[str, Any] | None:
    if training is None:
        return None
    bar = training.bar
    return {
        "command": training.command,
        "stopping": training.pid == stopping,
        "elapsed": round(max(0.0, time.time() - training.since.timestamp())),
        "stage": training.stage,
        "stages": [[stage, training.passed.get(stage)] for stage in training.stages],
        "bar": {"what": bar.what, "done": bar.done, "total": bar.total, "left": bar.left_s} if bar else None,
        "lines": list(training.lines[-SHOWN_LINES:]),
    }


def _ended(training: Training | None) -> dict[str, Any] | None:
    if training is None:
        return None
    return {
        "command": training.command,
        "state": training.state,
        "told": training.told,
        "lines": list(training.lines),
        "version": training.version,
        "at": _clock_time(training.ended or training.since),
    }


def _clock_time(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M} UTC"
