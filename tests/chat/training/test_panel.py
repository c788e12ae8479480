"""A training as the chat sees it: a real process, started, found by anybody, stopped; and what the element is told."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from chat.session.context import AppState, RequestContext, SessionState
from chat.session.thread_store import ThreadStore
from chat.training.panel import ELEMENT, TrainingPanel, _chunks_for
from chat.training.process import LOG_FILE, TrainingProcess
from chat.training.ratings_needed import TrainedVersion, ratings_needed, read_trained
from chat.training.report_files import find
from rag.errors import TrainingRefused, UnknownVersion
from rag.evaluation.metrics import MIN_QUERIES
from rag.feedback.credit import unranked
from rag.feedback.pairs import count_rated
from rag.indexing.indexer import index
from rag.indexing.update import corpus_chunks, load_corpus
from rag.models.registry import START_WEIGHTS, Registry, Version
from rag.records import Arm, Chunk, LabelledPair
from rag.settings import ROOT, Settings
from rag.store.store import open_store
from rag.training_results import METRICS_FILE, REPORT_FILE, TrainingMetrics
from rag.training_status import Training, read_training, write_training
from train.context import open_context
from train.dataset.gather import gather_ratings
from train.reporting.results import labels_of

NOON = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
PATIENCE = 30.0  # seconds; a busy machine takes long to start Python
# A training that learns nothing and tells itself as the real one does. It waits for a line in a pipe, or for its end.
SCRIPT = """
import os, signal, sys
from pathlib import Path
signal.signal(signal.SIGTERM, signal.default_int_handler)
from rag.errors import NotEnoughFeedback
from train.progress import publish_progress
home, words = Path(sys.argv[1]), sys.argv[2:]
if words[:1] == ["promote"]:
    sys.exit(print(f"error: {words[1]}: no such version") or 2)
if words[:1] == ["rollback"]:
    sys.exit(print("start weights serves now"))
try:
    with publish_progress(home, "python -m train " + " ".join(words)) as progress:
        progress.plan(["gathering", "tuning"])
        progress.done("gathering")
        progress.line("labels: 60 pairs")
        what = (home / "pipe").open().readline().strip()
        if what == "few":
            raise NotEnoughFeedback("7 rated queries, need 50")
        if what == "crash":
            raise ZeroDivisionError("nothing to divide")
        if what == "vanish":
            os.kill(os.getpid(), 9)
except NotEnoughFeedback as error:
    sys.exit(print(f"error: {error}") or 2)
except KeyboardInterrupt:
    sys.exit(130)
"""


def wait_for(what: Callable[[], Any]) -> Any:
    """Return what a process has come to, once it has."""
    never = threading.Event()
    for _ in range(int(PATIENCE / 0.02)):
        if found := what():
            return found
        never.wait(0.02)
    pytest.fail("the process did not come to it")


class Bench:
    """A home, and trainers whose training does what a test writes into its pipe."""

    def __init__(self, home: Path) -> None:
        self.home = home
        home.mkdir()
        os.mkfifo(home / "pipe")
        (home / "script.py").write_text(SCRIPT)
        self.program = (sys.executable, str(home / "script.py"), str(home))

    def trainer(self) -> TrainingProcess:
        return TrainingProcess(self.home, self.program)

    def tell(self, word: str) -> None:
        with (self.home / "pipe").open("w") as pipe:
            pipe.write(word + "\n")

    def stage(self) -> str:
        seen = read_training(self.home)
        return seen.stage if seen and seen.is_running else ""

    def until_tuning(self) -> None:
        wait_for(lambda: self.stage() == "tuning")


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    bench = Bench(tmp_path / "home")
    yield bench
    left = read_training(bench.home)
    if left and left.is_running:
        os.kill(left.pid, signal.SIGKILL)


def is_over(trainer: TrainingProcess) -> bool:
    return trainer.under_way() is None


def test_a_training_is_started_and_found_by_whoever_looks(bench: Bench) -> None:
    trainer = bench.trainer()
    begun = trainer.start("fast")
    assert begun.command == "python -m train --fast"
    assert trainer.under_way() is not None  # also before it has written anything
    bench.until_tuning()
    found = bench.trainer().under_way()  # as another process of the chat, or this one started anew, would
    assert found is not None
    assert (found.pid, found.command, found.stage) == (begun.pid, "python -m train --fast", "tuning")
    bench.tell("done")
    wait_for(lambda: is_over(trainer))
    last = bench.trainer().last()
    assert last is not None
    assert (last.state, last.lines) == ("done", ("labels: 60 pairs",))


def test_a_second_training_is_refused_whoever_started_the_first(bench: Bench) -> None:
    bench.trainer().start("train")
    bench.until_tuning()
    with pytest.raises(TrainingRefused, match=r"under way already \(process \d+ since .*: python -m train"):
        bench.trainer().start("train")
    bench.tell("done")


def test_a_training_that_was_started_in_a_terminal_is_found_and_cancelled(bench: Bench) -> None:
    with subprocess.Popen([*bench.program, "--epochs", "3"]) as terminal:
        bench.until_tuning()
        trainer = bench.trainer()
        found = trainer.under_way()
        assert found is not None
        assert (found.pid, found.command) == (terminal.pid, "python -m train --epochs 3")
        trainer.cancel()
        assert terminal.wait(PATIENCE) == 130
    last = trainer.last()
    assert last is not None
    assert last.state == "stopped"


def test_a_training_survives_the_chat_that_started_it(bench: Bench) -> None:
    start = f"TrainingProcess(Path({str(bench.home)!r}), {bench.program!r}).start('train')"
    code = f"from chat.training.process import TrainingProcess\nfrom pathlib import Path\n{start}"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=PATIENCE)  # has ended when this returns
    bench.until_tuning()
    found = bench.trainer().under_way()
    assert found is not None
    assert os.getpgid(found.pid) == found.pid != os.getpgid(0)  # so that no signal to a terminal's group reaches it
    bench.trainer().cancel()
    wait_for(lambda: is_over(bench.trainer()))


def test_cancelling_stops_it_as_ctrl_c_does(bench: Bench) -> None:
    trainer = bench.trainer()
    trainer.start("train")
    bench.until_tuning()
    trainer.cancel()
    wait_for(lambda: is_over(trainer))
    last = trainer.last()
    assert last is not None
    assert (last.state, last.told.partition(":")[0]) == ("stopped", "stopped")
    with pytest.raises(TrainingRefused, match="nothing to cancel"):
        trainer.cancel()


def test_a_process_that_only_has_the_id_of_a_training_is_not_stopped(bench: Bench) -> None:
    bench.trainer().start("train")
    bench.until_tuning()
    training = read_training(bench.home)
    assert training is not None
    (bench.home / "training.json").write_text(
        (bench.home / "training.json").read_text().replace(str(training.started), str(training.started - 3600))
    )
    with pytest.raises(TrainingRefused, match="nothing to cancel"):
        bench.trainer().cancel()
    os.kill(training.pid, 0)  # it is still there
    os.kill(training.pid, signal.SIGKILL)


@pytest.mark.parametrize(
    ("word", "state", "told"),
    [
        ("few", "refused", "7 rated queries, need 50"),
        ("crash", "failed", "ZeroDivisionError: nothing to divide"),
        ("vanish", "failed", "killed by signal 9"),
    ],
)
def test_why_a_training_ended_is_told_in_words(bench: Bench, word: str, state: str, told: str) -> None:
    trainer = bench.trainer()
    trainer.start("train")
    bench.until_tuning()
    bench.tell(word)
    wait_for(lambda: is_over(trainer))
    last = trainer.last()
    assert last is not None
    assert last.state == state
    assert told in last.told
    if word == "crash":
        assert last.lines[-1] == "ZeroDivisionError: nothing to divide"
        assert len(last.lines) > 2  # the traceback, from the log


def test_a_training_that_has_failed_is_under_way_until_it_has_printed_why(tmp_path: Path) -> None:
    trainer = TrainingProcess(tmp_path, (sys.executable, "-c", "import time; time.sleep(600)"))
    begun = trainer.start("train")
    write_training(tmp_path, replace(begun, state="failed"))
    assert not is_over(trainer)
    os.kill(begun.pid, signal.SIGKILL)
    wait_for(lambda: is_over(trainer))


def test_a_killed_training_blocks_no_other(bench: Bench) -> None:
    trainer = bench.trainer()
    trainer.start("train")
    bench.until_tuning()
    bench.tell("vanish")
    wait_for(lambda: is_over(trainer))
    seen = bench.trainer().last()  # as another chat sees it, which knows no exit code
    assert seen is not None
    assert (seen.state, "without a word" in seen.told) == ("failed", True)
    trainer.start("fast")
    bench.until_tuning()
    bench.tell("done")


def test_what_a_process_says_that_ends_before_it_can_train_is_told(tmp_path: Path) -> None:
    trainer = TrainingProcess(
        tmp_path, (sys.executable, "-c", "import sys; sys.exit('error: THUMBTUNE_K=0: give 1 or more')")
    )
    trainer.start("train")
    wait_for(lambda: is_over(trainer))
    last = trainer.last()
    assert last is not None
    assert (last.state, last.told) == ("refused", "THUMBTUNE_K=0: give 1 or more")


def test_what_is_no_order_starts_nothing(bench: Bench) -> None:
    with pytest.raises(TrainingRefused, match="is no training"):
        bench.trainer().start("train; rm -rf /")
    assert not (bench.home / LOG_FILE).exists()


async def test_a_version_is_put_in_place_by_the_command_that_a_terminal_would_run(bench: Bench) -> None:
    trainer = bench.trainer()
    back = await trainer.by_hand("rollback")
    assert (back.ok, back.told) == (True, "start weights serves now")
    wrong = await trainer.by_hand("promote", "v9")
    assert (wrong.ok, wrong.told) == (False, "v9: no such version")


# --- how far it is to a verdict --------------------------------------------------------------------------------------


def version(name: str = "v2", verdict: str = "keep", kind: str = "ratings", folders: str = "f") -> Version:
    return Version(name, folders, "print", "builtin", cast(Any, kind), cast(Any, verdict), f"VERDICT: {name}", NOON)


def seen(rated: int, more: int | None, verdict: str = "keep") -> TrainedVersion:
    return TrainedVersion(version(verdict=verdict), TrainingMetrics("", rated, more, {}, {}, {}, None))


def test_below_the_minimum_the_meter_runs_to_where_a_training_can_start() -> None:
    now = ratings_needed(12, None)
    assert (now.target, now.enough, now.new) == (MIN_QUERIES, False, 12)
    assert now.told.startswith("38 more until a training can start")


def test_before_a_first_training_nobody_knows_how_many_a_verdict_takes() -> None:
    now = ratings_needed(60, None)
    assert (now.target, now.enough) == (None, True)
    assert "not known before a first training" in now.told


def test_after_a_keep_the_meter_runs_to_what_the_last_verdict_was_missing() -> None:
    now = ratings_needed(70, seen(60, more=45))
    assert (now.new, now.target) == (10, 105)
    assert now.told.startswith("About 35 more rated questions make a verdict likely")
    assert ratings_needed(110, seen(60, more=45)).told.startswith("You have the extra ratings that v2 needed")


def test_more_of_the_same_is_not_promised_to_decide_where_it_would_not() -> None:
    now = ratings_needed(70, seen(60, more=None))
    assert now.target is None
    assert "more of the same would not decide it" in now.told


def test_after_a_promotion_the_next_gain_is_not_known() -> None:
    now = ratings_needed(70, seen(60, more=None, verdict="promote"))
    assert now.target is None
    assert "is not known before" in now.told


def chunk(n: int) -> Chunk:
    text = f"The passage with number {n} stands here for itself alone."
    return Chunk(f"c{n}", "d", "a.md", "A", "", None, text, 0, len(text))


def label(query: str, n: int, value: int = 1, rater: str = "ann", **more: Any) -> LabelledPair:
    given = {"origin": "mark", "weight": 1.0, **more}
    return LabelledPair(rater, f"mark:{query}", query, f"c{n}", chunk(n).text, cast(Any, value), NOON, **given)


def test_a_query_counts_once_and_only_with_a_right_passage_of_these_documents() -> None:
    chunks = [chunk(1), chunk(2)]
    labels = [
        label("What is one?", 1),
        label("what is ONE?", 2),  # the same query
        label("What is two?", 2, value=-1),
        label("What is gone?", 7),
        label("Taken back", 1, value=0),
        label("Split", 1),
        label("Split", 1, value=-1, rater="bob"),
        label("Guessed", 1, value=-1, origin="rating"),
    ]
    assert count_rated(labels, chunks, unranked) == 1


def test_the_table_has_the_three_models_at_full_dimension(tmp_path: Path) -> None:
    full = {"hit_rate@1": 0.5, "hit_rate@5": 0.75, "mrr@10": 0.625, "ndcg@10": 0.6, "map": 0.1}
    means = {role: {"32": dict.fromkeys(full, 0.0), "384": full} for role in ("base", "champion", "challenger")}
    names = {"base": "builtin", "champion": "v1", "challenger": "v2"}
    (tmp_path / "v2").mkdir()
    (tmp_path / "v2" / METRICS_FILE).write_text(json.dumps({"means": means, "models": names}))
    table = read_trained(tmp_path, version()).table()
    assert table[0] == ["", "model", "hit_rate@1", "hit_rate@5", "mrr@10", "ndcg@10"]
    assert table[3] == ["challenger", "v2", "0.500", "0.750", "0.625", "0.600"]
    assert read_trained(tmp_path, version("v7")).table() == []  # its folder is gone


# --- what the browser may have of a run -----------------------------------------------------------------------------


def test_only_the_report_and_its_plots_leave_a_runs_folder(tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    for name in (REPORT_FILE, METRICS_FILE, "quality-by-dimension.svg"):
        (runs / "v1").mkdir(parents=True, exist_ok=True)
        (runs / "v1" / name).touch()
    (tmp_path / REPORT_FILE).touch()
    assert find(runs, "v1", REPORT_FILE) == runs / "v1" / REPORT_FILE
    assert find(runs, "v1", "quality-by-dimension.svg") is not None
    for place in (
        ("v1", METRICS_FILE),
        ("v2", REPORT_FILE),
        ("..", REPORT_FILE),
        ("v1/..", REPORT_FILE),
        ("v1", "../../" + REPORT_FILE),
    ):
        assert find(runs, *place) is None


# --- the element ----------------------------------------------------------------------------------------------------


class Serving:
    """The part of the query service that the element needs: the store, the corpus, and the base model's table."""

    def __init__(self, given: Settings) -> None:
        self.corpus, self.store = load_corpus(given), open_store(given.lancedb)

    def served(self, arm: Arm) -> SimpleNamespace:
        return SimpleNamespace(table=next(iter(self.store.chunks.table_names(self.corpus.id)), ""))


def desk(bench: Bench, **settings: Any) -> tuple[TrainingPanel, RequestContext]:
    given = Settings(home=bench.home, docs=(bench.home,), **settings)
    house = AppState(given, cast(Any, Serving(given)), ThreadStore(given.chat_db))
    return TrainingPanel(house, bench.trainer()), RequestContext(house, SessionState(), "ann")


async def test_who_is_not_named_among_the_trainers_may_look_and_is_told_why_not_more(bench: Bench) -> None:
    room, visit = desk(bench, trainers=("bob", "eve"))
    props = await room.revive(visit, {})
    assert "ann may look" in props["refused"]
    for act in (room.start, room.cancel, room.promote, room.roll_back):
        with pytest.raises(TrainingRefused, match="THUMBTUNE_TRAINERS"):
            await act(visit, {"order": "train", "version": "v1"})
    assert room_of_all(bench)["refused"] == ""


def room_of_all(bench: Bench) -> dict[str, Any]:
    room, visit = desk(bench)
    return room._props(visit)


@pytest.mark.parametrize("name", [None, 3, "", "v0", "../v1", "v1 --help", "--help"])
async def test_only_what_looks_like_a_version_is_promoted(bench: Bench, name: Any) -> None:
    room, visit = desk(bench)
    with pytest.raises(UnknownVersion):
        await room.promote(visit, {"version": name})


async def test_the_element_tells_what_a_training_comes_to(bench: Bench) -> None:
    room, visit = desk(bench)
    registry = Registry(bench.home / "models")
    corpus = load_corpus(visit.house.settings)
    props = await room.revive(visit, {})
    assert (props["rated"], props["enough"], props["last"], props["busy"]) == (0, False, None, None)
    assert (props["serves"], props["back"]) == (START_WEIGHTS, "")
    await room.start(visit, {"order": "dry run"})
    bench.until_tuning()
    busy = room._props(visit)["busy"]
    assert (busy["command"], busy["stage"]) == ("python -m train --dry-run", "tuning")
    assert [stage for stage, seconds in busy["stages"] if seconds is None] == ["tuning"]
    bench.tell("done")
    wait_for(lambda: room._props(visit)["busy"] is None)
    assert room._props(visit)["ended"]["lines"] == ["labels: 60 pairs"]
    for name in ("v1", "v2"):
        registry.add(replace(version(name), folders=corpus.folders_id))
    registry.promote(corpus.folders_id, "v1")
    props = await room.revive(visit, {})
    assert (props["last"]["version"], props["serves"], props["back"]) == ("v2", "v1", START_WEIGHTS)
    assert props["last"]["report"] == ""


class Tab:
    """A browser tab: remembers the last props that it was sent."""

    def __init__(self) -> None:
        self.props: dict[str, Any] = {}

    async def send_element(self, element_dict: Any) -> None:
        self.props = json.loads(json.dumps(element_dict["props"]))  # what cannot be sent fails here


async def test_every_tab_that_shows_it_follows_and_nobody_follows_once_all_are_closed(bench: Bench) -> None:
    from chat.elements.live import LiveElement

    room, visit = desk(bench)
    tabs = [Tab(), Tab()]
    elements = [LiveElement(ELEMENT, visit.house.history.save_element, "t", str(n), props={}) for n in range(2)]
    for n, (tab, live) in enumerate(zip(tabs, elements, strict=True)):
        live.watch(str(n), tab)
        visit.house.elements[live.id] = live
    await room.start(visit, {"order": "train"})
    for tab in tabs:
        assert tab.props["busy"]["command"] == "python -m train"
    for n, live in enumerate(elements):
        live.unwatch(str(n))
    assert room._watcher is not None
    await room._watcher
    room._trainer.cancel()


def test_a_training_is_told_apart_from_one_that_began_later() -> None:
    first = Training("python -m train", 1, 1.0, NOON)
    assert first.stage == ""
    assert replace(first, stages=("a", "b"), passed={"a": 1.0}).stage == "b"


def test_texts_of_documents_are_read_only_where_a_labelled_passage_is_gone(settings: Settings) -> None:
    index(settings)
    store, corpus = open_store(settings.lancedb), load_corpus(settings)
    first, *_ = corpus_chunks(store, corpus.id)
    known = replace(label("What?", 1), chunk_id=first.id, text=first.text)
    gone = replace(known, chunk_id="gone")
    assert {each.text for each in _chunks_for([known], store, corpus.id)} == {""}
    assert first in _chunks_for([known, gone], store, corpus.id)
    for labels in ([known], [gone]):
        assert count_rated(labels, _chunks_for(labels, store, corpus.id), unranked) == 1


def test_the_panel_counts_exactly_the_rated_queries_that_a_training_counts(settings: Settings) -> None:
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
    house = AppState(settings, cast(Any, serving), ThreadStore(settings.chat_db))
    gathered = gather_ratings(open_context(settings, serving.store))
    assert gathered.made is not None
    assert labels_of(gathered.labels, gathered.made).queries == MIN_QUERIES + 2
    assert TrainingPanel(house)._read()["rated"] == MIN_QUERIES + 2
