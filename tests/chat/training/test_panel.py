"""The training panel: what it shows, who may use its buttons, and that every tab follows."""

from __future__ import annotations

import json
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import pytest

from bench import NOON, Bench, version, wait_for
from chat.elements.live import LiveElement
from chat.session.context import AppState, RequestContext, SessionState
from chat.session.thread_store import ThreadStore
from chat.training.panel import ELEMENT, TrainingPanel
from chat.training.process import LOG_FILE
from rag.__main__ import main
from rag.errors import TrainingRefused, UnknownVersion
from rag.evaluation.metrics import MIN_QUERIES
from rag.history import history_of
from rag.indexing.indexer import index
from rag.indexing.update import corpus_chunks
from rag.ingest.corpus import load_corpus
from rag.models.registry import START_WEIGHTS, Registry
from rag.records import Arm, Chunk, LabelledPair
from rag.settings import Settings
from rag.store.store import open_store
from train.context import open_context
from train.dataset.gather import gather_ratings
from train.reporting.results import labels_of


class Serving:
    """The part of the query service that the panel needs: the store, the corpus, and the base model's table."""

    def __init__(self, given: Settings) -> None:
        self.corpus, self.store = load_corpus(given), open_store(given.lancedb)

    def served(self, arm: Arm) -> SimpleNamespace:
        return SimpleNamespace(table=next(iter(self.store.chunks.table_names(self.corpus.id)), ""))


def make_panel(bench: Bench, **settings: Any) -> tuple[TrainingPanel, RequestContext]:
    given = Settings(home=bench.home, docs=(bench.home,), **settings)
    app = AppState(given, cast(Any, Serving(given)), ThreadStore(history_of(given)))
    return TrainingPanel(app, bench.trainer()), RequestContext(app, SessionState(), "ann")


async def test_a_rater_who_is_no_admin_may_view_the_panel_and_nothing_else(bench: Bench) -> None:
    panel, context = make_panel(bench, THUMBTUNE_ADMINS="bob,eve")
    props = await panel.revive(context, {})
    assert "ann may view this page" in props["refused"]
    for act in (panel.start, panel.cancel, panel.promote, panel.roll_back):
        with pytest.raises(TrainingRefused, match="THUMBTUNE_ADMINS"):
            await act(context, {"order": "train", "version": "v1"})
    assert props_for_all(bench)["refused"] == ""


def props_for_all(bench: Bench) -> dict[str, Any]:
    panel, context = make_panel(bench)
    return panel._props(context)


@pytest.mark.parametrize(
    "order", [None, 3, "", ["train"], {"train": 1}, "train; rm -rf /", pytest.param("x" * 10_000, id="huge")]
)
async def test_a_forged_order_starts_no_training(bench: Bench, order: Any) -> None:
    panel, context = make_panel(bench)
    for payload in ({"order": order}, {}, None):
        with pytest.raises(TrainingRefused):
            await panel.start(context, cast(Any, payload))
    assert not (bench.home / LOG_FILE).exists()


@pytest.mark.parametrize(
    "name",
    [
        None,
        3,
        "",
        "v0",
        "../v1",
        "v1 --help",
        "--help",
        "v1\n",
        ["v1"],
        {"v1": 1},
        pytest.param("v1" * 9_999, id="huge"),
    ],
)
async def test_only_the_name_of_a_version_is_promoted(bench: Bench, name: Any) -> None:
    panel, context = make_panel(bench)
    with pytest.raises(UnknownVersion):
        await panel.promote(context, {"version": name})


async def test_the_panel_shows_a_training_and_its_result(bench: Bench) -> None:
    panel, context = make_panel(bench)
    registry = Registry(bench.home / "models")
    corpus = load_corpus(context.app.settings)
    props = await panel.revive(context, {})
    assert (props["rated"], props["enough"], props["last"], props["busy"]) == (0, False, None, None)
    assert (props["serves"], props["back"]) == (START_WEIGHTS, "")
    await panel.start(context, {"order": "dry run"})
    bench.until_tuning()
    busy = panel._props(context)["busy"]
    assert (busy["command"], busy["stage"]) == ("python -m train --dry-run", "tuning")
    assert [stage for stage, seconds in busy["stages"] if seconds is None] == ["tuning"]
    bench.tell("done")
    wait_for(lambda: panel._props(context)["busy"] is None)
    assert panel._props(context)["ended"]["lines"] == ["labels: 60 pairs"]
    for name in ("v1", "v2"):
        registry.add(replace(version(name), folders=corpus.folders_id))
    registry.promote(corpus.folders_id, "v1")
    props = await panel.revive(context, {})
    assert (props["last"]["version"], props["serves"], props["back"]) == ("v2", "v1", START_WEIGHTS)
    assert props["last"]["report"] == ""


class Tab:
    """A browser tab: remembers the last props that it was sent."""

    def __init__(self) -> None:
        self.props: dict[str, Any] = {}

    async def send_element(self, element_dict: Any) -> None:
        self.props = json.loads(json.dumps(element_dict["props"]))  # what cannot be sent fails here


async def test_every_tab_that_shows_it_follows_and_nobody_follows_once_all_are_closed(bench: Bench) -> None:
    panel, context = make_panel(bench)
    tabs = [Tab(), Tab()]
    elements = [LiveElement(ELEMENT, context.app.history.save_element, "t", str(n), props={}) for n in range(2)]
    for n, (tab, live) in enumerate(zip(tabs, elements, strict=True)):
        live.watch(str(n), tab)
        context.app.elements[live.id] = live
    await panel.start(context, {"order": "train"})
    for tab in tabs:
        assert tab.props["busy"]["command"] == "python -m train"
    for n, live in enumerate(elements):
        live.unwatch(str(n))
    assert panel._watcher is not None
    await panel._watcher
    panel._trainer.cancel()


def test_the_panel_and_stats_count_exactly_the_rated_queries_that_a_training_counts(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("home", "base_model", "start_model", "chunk_tokens", "device"):
        monkeypatch.setenv(f"THUMBTUNE_{name.upper()}", str(getattr(settings, name)))
    monkeypatch.setenv("THUMBTUNE_DOCS", str(settings.docs[0]))
    index(settings)
    serving = Serving(settings)
    chunks = corpus_chunks(serving.store, serving.corpus.id)
    night, food, dog = chunks

    def given(query: str, on: Chunk, value: int, origin: str = "mark", rater: str = "ann", **more: Any) -> LabelledPair:
        target = f"answer:{query}" if origin == "rating" else f"{origin}:{query}"
        row = LabelledPair(rater, target, query, on.id, on.text, cast(Any, value), NOON, cast(Any, origin))
        return replace(row, **more)

    def thumb(query: str, on: Chunk, value: int = 1, share: float = 1.0, rater: str = "ann") -> LabelledPair:
        return given(query, on, value, "rating", rater, weight=share, cited=True)

    counted = [
        *(given(f"Which one is number {n}?", dog, 1) for n in range(MIN_QUERIES)),
        given("which one is NUMBER 1", night, 1),  # the same query
        given("Imported?", food, 1, "import", chunk_id="of another system"),
        thumb("bone in the garden?", dog, share=0.4),  # BM25 ranks it first
        thumb("bone in the garden?", night, share=0.6),
    ]
    left_out = [
        *(thumb("xyzzy", each, share=1 / 3) for each in chunks),  # no chunk of these earned the thumb
        given("Tied?", night, 1),
        given("Tied?", night, -1, rater="bob"),
        *(thumb("Overruled?", night, rater=f"rater {n}") for n in range(3)),  # by a mark on the passage itself
        given("Overruled?", night, -1, weight=2.0),
        given("Guessed?", night, -1, "rating"),  # uncited
        thumb("Withdrawn?", night, value=0),
        given("Gone?", night, 1, chunk_id="gone", text="This text is in no document of this corpus, and never was."),
    ]
    serving.store.feedback.put_labels([*counted, *left_out])
    app = AppState(settings, cast(Any, serving), ThreadStore(history_of(settings)))
    gathered = gather_ratings(open_context(settings, serving.store))
    assert gathered.made is not None
    assert labels_of(gathered.labels, gathered.made).queries == MIN_QUERIES + 2
    assert TrainingPanel(app)._read()["rated"] == MIN_QUERIES + 2
    assert main(["stats"]) == 0
    assert f"rated queries with a positive: {MIN_QUERIES + 2}" in capsys.readouterr().out
