"""A training as a real process: started, found by other chats, cancelled; why it ended."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from bench import NOON, PATIENCE, Bench, wait_for
from chat.training.process import LOG_FILE, TrainingProcess
from rag.errors import TrainingRefused
from rag.training_status import Training, read_training, write_training


def is_over(trainer: TrainingProcess) -> bool:
    return trainer.under_way() is None


def test_a_training_is_started_and_found_by_other_chats(bench: Bench) -> None:
    trainer = bench.trainer()
    begun = trainer.start("fast")
    assert begun.command == "python -m train --fast"
    assert trainer.under_way() is not None  # also before it has written anything
    bench.until_tuning()
    found = bench.trainer().under_way()  # as another process of the chat would
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
    with pytest.raises(TrainingRefused, match=r"already running \(process \d+ since .*: python -m train"):
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
    os.kill(training.pid, signal.SIGSTOP)  # or it may write its status again
    (bench.home / "training.json").write_text(
        (bench.home / "training.json").read_text().replace(str(training.started), str(training.started - 3600))
    )
    with pytest.raises(TrainingRefused, match="nothing to cancel"):
        bench.trainer().cancel()
    os.kill(training.pid, 0)  # it is still there
    os.kill(training.pid, signal.SIGKILL)


@pytest.mark.parametrize(
    ("word", "state", "message"),
    [
        ("few", "refused", "7 rated queries, need 50"),
        ("crash", "failed", "ZeroDivisionError: nothing to divide"),
        ("vanish", "failed", "killed by signal 9"),
    ],
)
def test_why_a_training_ended_is_in_its_status(bench: Bench, word: str, state: str, message: str) -> None:
    trainer = bench.trainer()
    trainer.start("train")
    bench.until_tuning()
    bench.tell(word)
    wait_for(lambda: is_over(trainer))
    last = trainer.last()
    assert last is not None
    assert last.state == state
    assert message in last.told
    if word == "crash":
        assert last.lines[-1] == "ZeroDivisionError: nothing to divide"
        assert len(last.lines) > 2  # the traceback, from the log


def test_a_failed_training_counts_as_running_until_its_traceback_is_printed(tmp_path: Path) -> None:
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
    last = bench.trainer().last()  # as another chat reads it, without the exit code
    assert last is not None
    assert (last.state, "without an error message" in last.told) == ("failed", True)
    trainer.start("fast")
    bench.until_tuning()
    bench.tell("done")


def test_the_error_of_a_process_that_ends_before_training_is_shown(tmp_path: Path) -> None:
    trainer = TrainingProcess(
        tmp_path, (sys.executable, "-c", "import sys; sys.exit('error: THUMBTUNE_K=0: give 1 or more')")
    )
    trainer.start("train")
    wait_for(lambda: is_over(trainer))
    last = trainer.last()
    assert last is not None
    assert (last.state, last.told) == ("refused", "THUMBTUNE_K=0: give 1 or more")


def test_an_unknown_kind_of_training_starts_nothing(bench: Bench) -> None:
    with pytest.raises(TrainingRefused, match="is not a kind of training"):
        bench.trainer().start("train; rm -rf /")
    assert not (bench.home / LOG_FILE).exists()


async def test_a_version_is_activated_by_the_same_command_as_in_a_terminal(bench: Bench) -> None:
    trainer = bench.trainer()
    back = await trainer.by_hand("rollback")
    assert (back.ok, back.output) == (True, "start weights serves now")
    wrong = await trainer.by_hand("promote", "v9")
    assert (wrong.ok, wrong.output) == (False, "v9: no such version")


def test_the_stage_of_a_training_is_the_first_that_is_not_done() -> None:
    first = Training("python -m train", 1, 1.0, NOON)
    assert first.stage == ""
    assert replace(first, stages=("a", "b"), passed={"a": 1.0}).stage == "b"
