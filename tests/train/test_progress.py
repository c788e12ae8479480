"""What a training tells of itself: whole, not too often, and up to its end, whatever that is."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from rag.errors import NotEnoughFeedback
from rag.training_status import STATE_FILE, is_process, read_training, this_process, write_training
from train import progress
from train.progress import (
    EVERY_SECONDS,
    GATHERING,
    LINES,
    MEETING,
    SETTLING,
    STOPPED,
    TUNING,
    Progress,
    StageReporter,
    bar,
    publish_progress,
    stages,
)


class Time:
    """A clock that a test turns."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def told(tmp_path: Path, time: Time) -> Progress:
    return Progress(tmp_path, this_process("python -m train"), time)


def test_a_training_names_its_process_and_when_that_started(told: Progress, tmp_path: Path) -> None:
    seen = read_training(tmp_path)
    assert seen is not None
    assert (seen.pid, seen.command, seen.state) == (os.getpid(), "python -m train", "running")
    assert seen.is_running
    assert seen.who.startswith(f"process {os.getpid()} since 20")


def test_an_id_that_another_process_has_by_now_is_not_the_training(told: Progress) -> None:
    assert is_process(os.getpid(), told.training.started)
    assert not is_process(os.getpid(), told.training.started - 60)
    assert not is_process(2**22 + 1, told.training.started)


def test_the_stage_is_the_first_planned_one_that_is_not_over(told: Progress, tmp_path: Path, time: Time) -> None:
    told.plan(stages(2))
    assert told.training.stage == GATHERING
    time.now += 3
    told.done(GATHERING)
    time.now += 4.5
    told.done(MEETING)
    seen = read_training(tmp_path)
    assert seen is not None
    assert (seen.stage, dict(seen.passed)) == (TUNING, {GATHERING: 3.0, MEETING: 4.5})
    assert seen.stages[3:] == ("judging, part 1 of 2", "judging, part 2 of 2", SETTLING)


def test_the_time_left_follows_from_what_was_done_since_the_first_step(told: Progress, time: Time) -> None:
    told.step("tuning", 40, 100)  # a training that goes on where it was begins its bar there
    assert told.training.bar is not None
    assert told.training.bar.left_s is None
    time.now += 10
    told.step("tuning", 60, 100)
    assert told.training.bar.left_s == 20.0  # 20 steps took 10 s, and 40 are left
    told.step("embedding (v1)", 1, 50)
    assert told.training.bar.left_s is None
    told.step("embedding (v1)", 50, 50)
    assert told.training.bar is None


def test_steps_are_written_twice_a_second_at_most(told: Progress, tmp_path: Path, time: Time) -> None:
    seen = []
    for done in range(1, 41):
        time.now += EVERY_SECONDS / 4
        told.step("tuning", done, 100)
        training = read_training(tmp_path)
        assert training is not None
        seen.append(training.bar.done if training.bar else 0)
    assert len(set(seen) - {0}) == 10


def test_only_the_last_lines_are_kept(told: Progress) -> None:
    for n in range(LINES + 5):
        told.line(f"line {n}\nand its second half")
    assert len(told.training.lines) == LINES
    assert told.training.lines[-1] == "and its second half"


@pytest.mark.parametrize(
    ("error", "state", "said"),
    [
        (NotEnoughFeedback("7 rated queries"), "refused", "7 rated queries"),
        (KeyboardInterrupt(), "stopped", STOPPED),
        (ZeroDivisionError("no"), "failed", "ZeroDivisionError: no"),
    ],
)
def test_an_end_in_an_error_is_told_and_the_error_goes_on(
    error: BaseException, state: str, said: str, tmp_path: Path
) -> None:
    with pytest.raises(type(error)), publish_progress(tmp_path, "python -m train"):
        raise error
    seen = read_training(tmp_path)
    assert seen is not None
    assert (seen.state, seen.told, seen.is_running) == (state, said, False)
    assert seen.ended is not None


def test_a_version_that_was_made_is_named(tmp_path: Path) -> None:
    with publish_progress(tmp_path, "python -m train"):
        progress.now().end("done", version="v3")
    seen = read_training(tmp_path)
    assert seen is not None
    assert (seen.state, seen.version) == ("done", "v3")


def test_clock_and_bars_tell_the_progress_of_their_process(tmp_path: Path) -> None:
    with publish_progress(tmp_path, "python -m train") as told:
        StageReporter(print).done("gathering")
        embedding = bar("embedding (v1)")
        embedding(0, 64)
        embedding(32, 64)
        assert told.training.bar is not None
        assert (told.training.bar.what, told.training.bar.done, told.training.bar.total) == ("embedding (v1)", 32, 64)
        embedding(32, 64)
        assert told.training.bar is None
    assert list(told.training.passed) == ["gathering"]


def test_where_nobody_reads_nothing_is_written(tmp_path: Path) -> None:
    with publish_progress(None, "python -m train"):
        StageReporter(print).done("gathering")
    assert not list(tmp_path.iterdir())


def test_a_full_disk_costs_the_view_and_not_the_training(tmp_path: Path) -> None:
    with publish_progress(tmp_path / "missing", "python -m train") as told:
        told.done("gathering")
    assert told.training.state == "done"


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"pid": 1}', "null"])
def test_a_file_that_is_no_training_is_none(text: str, tmp_path: Path) -> None:
    (tmp_path / STATE_FILE).write_text(text)
    assert read_training(tmp_path) is None


def test_the_file_is_replaced_whole(told: Progress, tmp_path: Path) -> None:
    write_training(tmp_path, told.training)
    assert [path.name for path in tmp_path.iterdir()] == [STATE_FILE]
    assert json.loads((tmp_path / STATE_FILE).read_text())["command"] == "python -m train"
