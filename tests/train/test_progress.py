"""The published progress of a training: complete, at most twice a second, with its final state."""

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
    PREPARING,
    REPORTING,
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
def status(tmp_path: Path, time: Time) -> Progress:
    return Progress(tmp_path, this_process("python -m train"), time)


def test_a_training_names_its_process_and_when_that_started(status: Progress, tmp_path: Path) -> None:
    observed = read_training(tmp_path)
    assert observed is not None
    assert (observed.pid, observed.command, observed.state) == (os.getpid(), "python -m train", "running")
    assert observed.is_running
    assert observed.who.startswith(f"process {os.getpid()} since 20")


def test_an_id_that_another_process_has_by_now_is_not_the_training(status: Progress) -> None:
    assert is_process(os.getpid(), status.training.started)
    assert not is_process(os.getpid(), status.training.started - 60)
    assert not is_process(2**22 + 1, status.training.started)


def test_the_stage_is_the_first_planned_one_that_is_not_over(status: Progress, tmp_path: Path, time: Time) -> None:
    status.plan(stages(2))
    assert status.training.stage == GATHERING
    time.now += 3
    status.done(GATHERING)
    time.now += 4.5
    status.done(PREPARING)
    observed = read_training(tmp_path)
    assert observed is not None
    assert (observed.stage, dict(observed.passed)) == (TUNING, {GATHERING: 3.0, PREPARING: 4.5})
    assert observed.stages[3:] == ("judging, part 1 of 2", "judging, part 2 of 2", REPORTING)


def test_the_time_left_follows_from_what_was_done_since_the_first_step(status: Progress, time: Time) -> None:
    status.step("tuning", 40, 100)  # a resumed training starts its bar there
    assert status.training.bar is not None
    assert status.training.bar.left_s is None
    time.now += 10
    status.step("tuning", 60, 100)
    assert status.training.bar.left_s == 20.0  # 20 steps took 10 s, and 40 are left
    status.step("embedding (v1)", 1, 50)
    assert status.training.bar.left_s is None
    status.step("embedding (v1)", 50, 50)
    assert status.training.bar is None


def test_steps_are_written_twice_a_second_at_most(status: Progress, tmp_path: Path, time: Time) -> None:
    observed = []
    for done in range(1, 41):
        time.now += EVERY_SECONDS / 4
        status.step("tuning", done, 100)
        training = read_training(tmp_path)
        assert training is not None
        observed.append(training.bar.done if training.bar else 0)
    assert len(set(observed) - {0}) == 10


def test_only_the_last_lines_are_kept(status: Progress) -> None:
    for n in range(LINES + 5):
        status.line(f"line {n}\nand its second half")
    assert len(status.training.lines) == LINES
    assert status.training.lines[-1] == "and its second half"


@pytest.mark.parametrize(
    ("error", "state", "said"),
    [
        (NotEnoughFeedback("7 rated queries"), "refused", "7 rated queries"),
        (KeyboardInterrupt(), "stopped", STOPPED),
        (ZeroDivisionError("no"), "failed", "ZeroDivisionError: no"),
    ],
)
def test_an_error_is_recorded_as_the_final_state_and_raised(
    error: BaseException, state: str, said: str, tmp_path: Path
) -> None:
    with pytest.raises(type(error)), publish_progress(tmp_path, "python -m train"):
        raise error
    observed = read_training(tmp_path)
    assert observed is not None
    assert (observed.state, observed.told, observed.is_running) == (state, said, False)
    assert observed.ended is not None


def test_a_version_that_was_made_is_named(tmp_path: Path) -> None:
    with publish_progress(tmp_path, "python -m train"):
        progress.now().end("done", version="v3")
    observed = read_training(tmp_path)
    assert observed is not None
    assert (observed.state, observed.version) == ("done", "v3")


def test_clock_and_bars_tell_the_progress_of_their_process(tmp_path: Path) -> None:
    with publish_progress(tmp_path, "python -m train") as status:
        StageReporter(print).done("gathering")
        embedding = bar("embedding (v1)")
        embedding(0, 64)
        embedding(32, 64)
        assert status.training.bar is not None
        assert (
            status.training.bar.what,
            status.training.bar.done,
            status.training.bar.total,
        ) == ("embedding (v1)", 32, 64)
        embedding(32, 64)
        assert status.training.bar is None
    assert list(status.training.passed) == ["gathering"]


def test_without_a_home_nothing_is_written(tmp_path: Path) -> None:
    with publish_progress(None, "python -m train"):
        StageReporter(print).done("gathering")
    assert not list(tmp_path.iterdir())


def test_a_full_disk_costs_the_view_and_not_the_training(tmp_path: Path) -> None:
    with publish_progress(tmp_path / "missing", "python -m train") as status:
        status.done("gathering")
    assert status.training.state == "done"


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"pid": 1}', "null"])
def test_a_file_that_is_no_training_is_none(text: str, tmp_path: Path) -> None:
    (tmp_path / STATE_FILE).write_text(text)
    assert read_training(tmp_path) is None


def test_the_file_is_replaced_whole(status: Progress, tmp_path: Path) -> None:
    write_training(tmp_path, status.training)
    assert [path.name for path in tmp_path.iterdir()] == [STATE_FILE]
    assert json.loads((tmp_path / STATE_FILE).read_text())["command"] == "python -m train"
