"""Experiment trackers get the curve of a training; one that fails costs at most its curve."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from transformers import TrainerCallback
from transformers.integrations import get_available_reporting_integrations
from transformers.integrations.integration_utils import INTEGRATION_TO_CALLBACK

from rag.errors import BadSetting, TrainingRefused
from rag.models.embedder import load_trainable
from rag.records import Pair
from rag.settings import Settings
from train.__main__ import main
from train.recipe import Recipe
from train.tuning.reporters import check_reporters
from train.tuning.trainer import Run, tune

PAIRS = [Pair(f"where is thing {n}", f"c{n}", f"place {n} keeps thing {n}", (f"cold {n}",)) for n in range(32)]
RECIPE = Recipe(epochs=1, batch=8, rate=1e-4, dims=(32, 16))


class Tracker(TrainerCallback):
    """A tracker that keeps what it gets, and breaks where it is told to."""

    breaks = ""
    seen: list[Any]

    def __init__(self) -> None:
        if self.breaks == "made":
            raise RuntimeError("no such project")

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if self.breaks == "begin":
            raise ConnectionError("no route to host\nat all")
        self.seen.append((args.run_name, args.to_json_string()))

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any], **_: Any) -> None:
        if self.breaks == "log":
            raise ConnectionError("it went away")
        self.seen.append(logs)


@pytest.fixture
def tracker(monkeypatch: pytest.MonkeyPatch) -> type[Tracker]:
    monkeypatch.setitem(INTEGRATION_TO_CALLBACK, "tracker", Tracker)
    monkeypatch.setattr(Tracker, "seen", [], raising=False)
    return Tracker


def run(settings: Settings, lines: list[str] | None = None) -> int:
    model = load_trainable(settings.start_model, settings)
    return tune(model, PAIRS, RECIPE, run=Run("v7", ["tracker"], (lines if lines is not None else []).append)).steps


def test_a_tracker_gets_the_version_s_name_and_its_loss_and_no_text(settings: Settings, tracker: type[Tracker]) -> None:
    steps = run(settings)
    (name, arguments), *logs = tracker.seen
    curve = [log["loss"] for log in logs if "loss" in log]
    assert (name, len(curve)) == ("v7", steps)
    assert all(loss > 0 for loss in curve)
    assert "learning_rate" in logs[0]
    assert not any(PAIRS[0].query in text or PAIRS[0].positive in text for text in (arguments, str(logs)))


@pytest.mark.parametrize(("breaks", "why"), [("made", "no such project"), ("begin", "no route to host")])
def test_a_tracker_that_cannot_start_ends_the_training_with_one_line(
    settings: Settings, tracker: type[Tracker], monkeypatch: pytest.MonkeyPatch, breaks: str, why: str
) -> None:
    monkeypatch.setattr(tracker, "breaks", breaks)
    with pytest.raises(TrainingRefused, match=f"--report-to tracker: it cannot start .{why}.: check its settings"):
        run(settings)


def test_a_tracker_that_fails_later_costs_its_curve_and_not_the_training(
    settings: Settings, tracker: type[Tracker], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tracker, "breaks", "log")
    lines: list[str] = []
    assert run(settings, lines) > 1
    assert lines == ["tracker gets no more of this training: it went away"]


def test_a_tracker_that_is_unknown_or_not_installed_is_one_line() -> None:
    missing = next(name for name in INTEGRATION_TO_CALLBACK if name not in get_available_reporting_integrations())
    with pytest.raises(BadSetting, match=r"no such tracker: choose from .*tensorboard"):
        check_reporters(["tensorbord"])
    with pytest.raises(BadSetting, match=f"--report-to {missing}: its package is not installed"):
        check_reporters([missing])


def test_the_command_refuses_before_it_reads_anything(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("THUMBTUNE_HOME", str(tmp_path / "home"))
    assert main(["--report-to", "tensorbord"]) == 2
    assert main(["--fast", "--report-to", "tensorboard"]) == 2
    assert main(["--fast", "--batch", "8"]) == 2
    first, second, third = capsys.readouterr().err.splitlines()
    assert "no such tracker" in first
    assert "--fast fits an adapter" in second
    assert "--fast fits an adapter" in third
    assert not (tmp_path / "home").exists()
