"""python -m train in processes of its own: stopped, resumed, several at once."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from rag.ingest.corpus import load_corpus
from rag.models.registry import Registry, Version
from rag.settings import ROOT, Settings
from rag.training_status import read_training
from train.__main__ import main
from train.progress import TUNING
from train.tuning.trainer import COMPLETE_MARKER
from train_world import EPOCHS, World, champion, files


@contextmanager
def training(settings: Settings, world: World, *args: str) -> Iterator[subprocess.Popen[str]]:
    """Start `python -m train` and wait until it tunes."""
    given = {name: value for name, value in os.environ.items() if not name.startswith(("THUMBTUNE_", "MPL"))}
    user = settings.home.parent / "user"
    user.mkdir()
    env = {
        **given,
        **world.environment(settings.home),
        "PYTHONPATH": str(ROOT),
        "PYTHONDONTWRITEBYTECODE": "1",
        "OMP_NUM_THREADS": "1",
        "HOME": str(user),
        "TMPDIR": str(user),
    }
    command = [sys.executable, "-m", "train", *args]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, cwd=settings.home, env=env, stdout=pipe, stderr=pipe, text=True) as process:
        try:
            assert process.stdout is not None
            started = next((line for line in process.stdout if line.startswith("training ")), None)
            assert started, process.stderr and process.stderr.read()
            yield process
        finally:
            process.kill()


def test_a_training_that_is_stopped_leaves_all_as_it_was_and_goes_on_where_it_was(use, world: World, capsys) -> None:
    settings = use("labelled")
    before = files(settings)
    checkpoints = settings.cache / "training"
    with training(settings, world, "--epochs", EPOCHS) as process:
        process.send_signal(signal.SIGSTOP)  # else it may be over before a busy machine comes to the next line
        assert main([]) == 2  # meanwhile nobody else may train
        assert f"a training is under way already (process {process.pid} since" in capsys.readouterr().err
        process.send_signal(signal.SIGCONT)
        while not list(checkpoints.glob(f"*/checkpoint-*/{COMPLETE_MARKER}")) and process.poll() is None:
            time.sleep(0.01)
        process.send_signal(signal.SIGTERM)  # not SIGINT: a shell's background jobs are started deaf to that
        out, err = process.communicate(timeout=60)
    assert process.returncode == 130, out + err
    assert err == "stopped: the current model stays active; the same command resumes the training\n"
    left = {name for name in files(settings) ^ before if not name.startswith(("lancedb/", "cache/training/"))}
    assert left == {"training.lock", "training.json"}
    status = read_training(settings.home)
    assert status is not None
    assert (status.pid, status.state, status.stage) == (process.pid, "stopped", TUNING)
    assert Registry(settings.models).versions() == []
    assert main(["--epochs", EPOCHS]) == 0
    uninterrupted = Registry(world.trained / "models").version("v1")
    assert Registry(settings.models).version("v1").fingerprint == uninterrupted.fingerprint
    assert not list(checkpoints.glob("*"))


def test_whoever_stops_a_training_politely_stops_it_as_ctrl_c_does(use) -> None:
    use("labelled")
    assert main(["list"]) == 0
    assert signal.getsignal(signal.SIGTERM) is signal.default_int_handler


def test_a_version_promoted_by_hand_meanwhile_is_not_overruled(use, world: World) -> None:
    settings = use("labelled")
    registry, folders = Registry(settings.models), load_corpus(settings).folders_id
    now = datetime(2026, 1, 1, tzinfo=UTC)
    with training(settings, world, "--epochs", EPOCHS) as process:
        process.send_signal(signal.SIGSTOP)
        registry.add(Version("v9", folders, "f", str(world.model), "ratings", "keep", "by hand", now))
        registry.promote(folders, "v9")
        process.send_signal(signal.SIGCONT)
        out, _ = process.communicate(timeout=120)
    assert process.returncode == 0
    verdict = re.match(r"VERDICT: keep start weights, not (v\d+) \| ", out.splitlines()[-1])
    assert verdict, out
    assert "another version was promoted during this training" in (settings.runs / verdict[1] / "report.md").read_text()
    assert champion(settings) == "v9"
    assert not list((settings.home.parent / "user").rglob("*"))  # all state is under THUMBTUNE_HOME


def test_two_processes_of_torchrun_make_one_version_and_say_so_once(use, world: World) -> None:
    settings = use("labelled")
    given = {name: value for name, value in os.environ.items() if not name.startswith("THUMBTUNE_")}
    env = {**given, **world.environment(settings.home), "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    done = subprocess.run(
        [*torchrun, "-m", "train", "--epochs", "1"],
        cwd=settings.home,
        env=env,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert [line.partition(" ")[0] for line in done.stdout.splitlines()].count("VERDICT:") == 1
    assert [version.name for version in Registry(settings.models).versions()] == ["v1"]
