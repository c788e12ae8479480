"""/train: the training panel: number of rated questions, progress of a running training, and the last result.

Why: the panel keeps no state that it could read. Labels, registry, run folders and the training's status file are read
again for each update, so every tab, a reload and a restarted chat show the same, and trainings that began in a terminal
or ended while no chat was running are shown, too.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from chat.elements.live import LiveElement
from chat.language import Phrase, recognised
from chat.session.context import AppState, RequestContext
from chat.session.payload import Payload, Text
from chat.session.roles import is_admin
from chat.training.process import VERSION, TrainingProcess
from chat.training.ratings_needed import TrainedVersion, ratings_needed, read_trained
from chat.training.report_files import PLOTS, address, find
from rag.errors import TrainingRefused, UnknownVersion
from rag.feedback.credit import KeywordRanks
from rag.feedback.rated_queries import count_rated_now
from rag.models.registry import START_WEIGHTS, Registry, Version
from rag.models.trials import trial_of
from rag.training_results import REPORT_FILE
from rag.training_status import STATE_FILE, Training

ELEMENT = "Training"  # public/elements/Training.jsx
BUSY_SECONDS, IDLE_SECONDS = 0.5, 2.0  # between two updates while a training runs, and while none does
SHOWN_LINES = 6  # of what a training prints, while it runs

log = logging.getLogger("thumbtune")


class StartTraining(Payload):
    """Which training to start: a key of `chat.training.process.ORDERS`."""

    error = TrainingRefused
    order: Annotated[Text, Field(max_length=40)]


class PromoteVersion(Payload):
    """The version to activate."""

    error = UnknownVersion
    version: Annotated[str, Field(pattern=rf"\A(?:{VERSION.pattern})\z")]


class TrainingPanel:
    """The `/train` command and the buttons of its element: one per process, shown in any number of tabs."""

    def __init__(self, app: AppState, trainer: TrainingProcess | None = None) -> None:
        self._app, self._settings = app, app.settings
        self._trainer = trainer or TrainingProcess(app.settings.home)
        self._known: dict[str, Any] = {}  # what changes only with a training, a promotion or a reload
        self._by_hand: dict[str, Any] | None = None
        self._stopping = 0  # id of the process that was asked to stop: that takes a moment
        self._read_at: tuple[object, ...] = ()  # `_stand()` when `_known` was read
        self._watcher: asyncio.Task[None] | None = None
        self._ranks: KeywordRanks | None = None

    async def show(self, context: RequestContext, text: str) -> None:
        """Open the panel."""
        await self._look_up()
        await context.open_place("train", **{ELEMENT: self._props(context)})
        self._watch()

    async def revive(self, context: RequestContext, props: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return current props for an element that was read from the history."""
        await self._look_up()
        return self._props(context)

    async def look(self, context: RequestContext, payload: Mapping[str, Any]) -> dict[str, Any]:
        """Update this session's panels, after a page was opened or has reconnected."""
        await self._look_up()
        for live in context.session.elements:
            if live.name == ELEMENT:
                live.props = self._props(context)
                await live.show()
        self._watch()
        return {}

    async def start(self, context: RequestContext, payload: Mapping[str, Any]) -> dict[str, Any]:
        """Start a training, or a dry run of one."""
        self._require(context)
        context.spend("training")
        self._by_hand = None
        self._trainer.start(StartTraining.read(payload).order)
        return await self._shown(context)

    async def cancel(self, context: RequestContext, payload: Mapping[str, Any]) -> dict[str, Any]:
        """Stop the training that runs."""
        self._require(context)
        self._stopping = self._trainer.cancel().pid
        return await self._shown(context)

    async def promote(self, context: RequestContext, payload: Mapping[str, Any]) -> dict[str, Any]:
        """Activate a version, whatever the gate decided."""
        return await self._switch(context, "promote", PromoteVersion.read(payload).version)

    async def roll_back(self, context: RequestContext, payload: Mapping[str, Any]) -> dict[str, Any]:
        """Activate the model that was active before."""
        return await self._switch(context, "rollback")

    async def _switch(self, context: RequestContext, *words: str) -> dict[str, Any]:
        self._require(context)
        context.spend("training")
        command = " ".join(("python -m train", *words))
        self._by_hand = {"command": command, "busy": True}
        await self._shown(context)
        try:
            done = await self._trainer.by_hand(*words)
            self._by_hand = {"command": command, "busy": False, "ok": done.ok, "told": done.output}
        except BaseException:
            self._by_hand = None
            raise
        finally:
            await self._look_up()
            await self._send()
        return {}

    def _require(self, context: RequestContext) -> None:
        if why := self._why_not(context):
            raise TrainingRefused(why)

    def _why_not(self, context: RequestContext) -> str:
        """Return why a rater may not train here, "" if they may."""
        return "" if is_admin(self._settings, context.rater) else Phrase("process.not_allowed", rater=context.rater)

    async def _shown(self, context: RequestContext) -> dict[str, Any]:
        await self._send()
        self._watch()
        return {}

    # --- watching --------------------------------------------------------------------------------------------------

    def _watch(self) -> None:
        if self._watcher is None or self._watcher.done():
            self._watcher = asyncio.create_task(self._follow())

    async def _follow(self) -> None:
        """Send updates to every tab that shows the panel, for as long as one does."""
        shown: tuple[object, ...] = ()
        while self._watched():
            try:
                shown = await self._send_news(shown)
            except Exception:  # nobody awaits this task; what cannot be read now is read at the next update
                log.exception("the training panel could not be updated")
            await asyncio.sleep(IDLE_SECONDS if self._trainer.under_way() is None else BUSY_SECONDS)

    async def _send_news(self, shown: tuple[object, ...]) -> tuple[object, ...]:
        standing = self._stand()
        if standing != self._read_at:
            await self._look_up()
        news = (*standing, _written(self._settings.home / STATE_FILE))
        if news != shown:
            await self._send()
        return news

    def _stand(self) -> tuple[object, ...]:
        """Return a value that changes when a training begins or ends, or another version becomes active."""
        return self._trainer.under_way() is None, Registry(self._settings.models).stamp()

    def _watched(self) -> list[LiveElement]:
        return [live for live in self._app.elements.values() if live.name == ELEMENT and live.is_watched]

    async def _send(self) -> None:
        now = self._moving()
        for live in self._watched():
            live.props = {**live.props, **self._known, **now}
            await live.show()

    # --- what is shown ---------------------------------------------------------------------------------------------

    def _props(self, context: RequestContext) -> dict[str, Any]:
        return {**self._known, **self._moving(), "refused": self._why_not(context)}

    def _moving(self) -> dict[str, Any]:
        """Return what changes while a training runs: its progress, or how the last one ended."""
        running = self._trainer.under_way()
        last = None if running else self._trainer.last()
        return {"busy": _busy(running, self._stopping), "ended": _ended(last), "byHand": self._by_hand}

    async def _look_up(self) -> None:
        self._read_at = self._stand()
        self._known = await asyncio.to_thread(self._read)

    def _read(self) -> dict[str, Any]:
        """Return the props that come from the tables, the registry and the run folders."""
        registry, corpus = Registry(self._settings.models), self._app.serving.corpus
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
            "told": needed.message,
            "since": before.version.name if before else "",
            "serves": champion.name if champion else START_WEIGHTS,
            "trial": trial.name if (trial := trial_of(self._settings, corpus.folders_id)) else "",
            "back": _previous(registry, corpus.folders_id),
            "last": self._verdict(self._trained(versions[-1])) if versions else None,
        }

    def _count_rated(self) -> int:
        """Return the number of rated queries that a training would count now."""
        serving = self._app.serving
        table = serving.served("base").table
        if self._ranks is None or self._ranks.table != table:
            self._ranks = KeywordRanks(serving.store, table)
        return count_rated_now(serving.store, serving.corpus.id, self._ranks)

    def _trained(self, version: Version) -> TrainedVersion:
        return read_trained(self._settings.runs, version)

    def _verdict(self, last: TrainedVersion) -> dict[str, Any]:
        name, runs = last.version.name, self._settings.runs
        plots = [{"src": address(name, plot), "alt": alt} for plot, alt in PLOTS.items() if find(runs, name, plot)]
        return {
            "version": name,
            "kind": last.version.kind,
            "verdict": last.version.verdict,
            "result": last.result(),
            "reason": recognised(last.metrics.reason) if last.metrics else "",
            "at": _clock_time(last.version.created),
            "table": last.table(),
            "plots": plots,
            "report": address(name, REPORT_FILE) if find(runs, name, REPORT_FILE) else "",
        }


def _written(path: Path) -> int:
    with contextlib.suppress(OSError):
        return path.stat().st_mtime_ns
    return 0


def _previous(registry: Registry, folders: str) -> str:
    """Return what a rollback would activate, "" if there is nothing to go back to."""
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
        "stage": recognised(training.stage),
        "stages": [[recognised(stage), training.passed.get(stage)] for stage in training.stages],
        "bar": {"what": recognised(bar.what), "done": bar.done, "total": bar.total, "left": bar.left_s}
        if bar
        else None,
        "lines": list(training.lines[-SHOWN_LINES:]),
    }


def _ended(training: Training | None) -> dict[str, Any] | None:
    if training is None:
        return None
    return {
        "command": training.command,
        "state": training.state,
        "told": recognised(training.told),
        "lines": list(training.lines),
        "version": training.version,
        "at": _clock_time(training.ended or training.since),
    }


def _clock_time(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M} UTC"
