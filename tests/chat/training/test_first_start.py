"""The first start: index and first training as child processes of an open chat, and the line about them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from bench import wait_for
from chat.training import first_start
from chat.training.first_start import FirstStart, in_words, share_done, training_line
from rag.ingest.corpus import load_corpus
from rag.models.registry import Registry, Version
from rag.settings import ROOT, Settings
from rag.training_status import Bar, Training, read_training, this_process, write_training

# Stands in for `python -m`: its words are in the file calls.txt of the home, and it does what the files there say.
COMMAND = """
import os, sys, time
from dataclasses import replace
from pathlib import Path
from rag import cli
from rag.indexing.running import publish_indexing
from rag.training_status import this_process, write_training
import threading

home, words = Path(os.environ["HOME_OF_TEST"]), sys.argv[1:]
threading.Thread(target=cli._end_with, args=(int(os.environ[cli.PARENT]),), daemon=True).start()
with (home / "calls.txt").open("a") as calls:
    print(*words, file=calls)

def wait_while(name):
    while (home / name).exists():
        time.sleep(0.02)

if words == ["rag", "index"]:
    with publish_indexing(home) as status:
        status.expect(["a.md", "b.md", "c.zip"])
        status.read("a.md")
        status.read("c.zip/in.md")
        status.embedded(1.0)
        status.searchable()
        wait_while("hold-index")
        if (home / "fail-index").exists():
            sys.exit(2)
else:
    training = this_process("python -m train --bootstrap")
    write_training(home, training)
    wait_while("hold-train")
    if (home / "fail-train").exists():
        if (home / "fail-once").exists():
            (home / "fail-train").unlink()
        write_training(home, replace(training, state="refused", told="v1 cannot be written: free some space"))
        sys.exit(2)
    write_training(home, replace(training, state="done", lines=("bootstrap: 12 queries can be made, need 50",)))
"""


@pytest.fixture
def home(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME_OF_TEST", str(settings.home))
    monkeypatch.setattr(first_start, "PATIENCE", 0.0)
    settings.home.mkdir(exist_ok=True)
    (tmp_path / "command.py").write_text(COMMAND)
    return settings.home


@pytest.fixture
def first(settings: Settings, home: Path, tmp_path: Path) -> Iterator[FirstStart]:
    first = FirstStart(settings, (sys.executable, str(tmp_path / "command.py")))
    yield first
    first.stop()


def calls(home: Path) -> list[str]:
    path = home / "calls.txt"
    return path.read_text().splitlines() if path.exists() else []


def test_the_chat_opens_while_the_rest_is_indexed_and_trains_when_that_is_done(first: FirstStart, home: Path) -> None:
    (home / "hold-index").touch()
    (home / "hold-train").touch()
    first.start()
    assert first.wait_until_searchable() == 0
    assert first.progress().state == "indexing"
    wait_for(lambda: "2 of 3 files" in first.progress().text)
    (home / "hold-index").unlink()
    wait_for(lambda: first.progress().state == "training")
    assert first.progress().text == "First model: starting. Until then both sides use the same model."
    (home / "hold-train").unlink()
    wait_for(lambda: first.progress().state == "ready")
    assert first.progress().text == (
        "No first training: these documents give too few questions to learn from. Your ratings will do it."
    )
    assert calls(home) == ["rag index", "train --bootstrap --fast"]


def test_documents_that_have_a_model_are_not_trained_on_again(
    first: FirstStart, home: Path, settings: Settings
) -> None:
    registry, folders = Registry(settings.models), load_corpus(settings).folders_id
    registry.add(Version("v1", folders, "f", "builtin", "bootstrap", "keep", "VERDICT: keep v1", datetime.now(UTC)))
    first.start()
    wait_for(lambda: calls(home) == ["rag index"] and first.progress().state == "idle")
    assert first.wait_until_searchable() == 0


def test_a_first_model_without_enough_evidence_is_said_to_be_on_trial(
    first: FirstStart, home: Path, settings: Settings
) -> None:
    (home / "hold-train").touch()
    first.start()
    wait_for(lambda: first.progress().state == "training")
    registry, folders = Registry(settings.models), load_corpus(settings).folders_id
    registry.add(Version("v1", folders, "f", "builtin", "bootstrap", "keep", "VERDICT: keep", datetime.now(UTC)))
    registry.try_out(folders, "v1")
    (home / "hold-train").unlink()
    wait_for(lambda: first.progress().state == "ready")
    assert first.progress().version == "v1"
    assert first.progress().text.startswith("v1 is on trial: it finds the passages of one side.")


def test_an_index_that_fails_before_the_chat_opens_is_its_exit_status(
    first: FirstStart, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(first_start, "PATIENCE", 60.0)
    (home / "fail-index").touch()
    first.start()
    assert first.wait_until_searchable() == 2
    assert calls(home) == ["rag index"]


def test_an_index_that_fails_in_an_open_chat_is_said_and_nothing_is_trained(first: FirstStart, home: Path) -> None:
    (home / "hold-index").touch()
    (home / "fail-index").touch()
    first.start()
    assert first.wait_until_searchable() == 0
    (home / "hold-index").unlink()
    wait_for(lambda: first.progress().state == "failed")
    assert first.progress().text.startswith("Not all documents are indexed: the terminal shows why.")
    assert calls(home) == ["rag index"]


def test_a_training_that_fails_is_said_with_its_reason(
    first: FirstStart, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (home / "fail-train").touch()
    first.start()
    wait_for(lambda: first.progress().state == "failed")
    expected = "The first training failed: v1 cannot be written: free some space. The next start tries it again."
    assert first.progress().text == expected
    assert capsys.readouterr().err == f"{expected}\n"


def test_a_training_that_is_killed_is_said(first: FirstStart, home: Path) -> None:
    (home / "hold-train").touch()
    first.start()
    wait_for(lambda: read_training(home) is not None)
    training = read_training(home)
    assert training is not None
    os.kill(training.pid, signal.SIGKILL)
    wait_for(lambda: first.progress().state == "failed")
    assert "killed by signal 9 (Killed); 9 often means out of memory" in first.progress().text


def test_stopping_the_chat_stops_the_training(first: FirstStart, home: Path) -> None:
    (home / "hold-train").touch()
    first.start()
    wait_for(lambda: read_training(home) is not None)
    first.stop()
    training = read_training(home)
    assert training is not None
    assert not training.is_running
    assert first.progress().state != "failed"  # nobody is there to read it


def test_two_chats_never_train_at_once(first: FirstStart, home: Path, settings: Settings) -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as other:
        write_training(home, replace(this_process("python -m train"), pid=other.pid, started=time.time()))
        first.start()
        wait_for(lambda: first.progress().state == "training")
        time.sleep(0.5)
        assert calls(home) == ["rag index"]
        other.communicate(b"\n")
    wait_for(lambda: first.progress().state == "ready")  # it ended without a model, so this chat trained
    assert calls(home) == ["rag index", "train --bootstrap --fast"]


def test_a_training_on_another_machine_is_waited_for_also_one_that_began_first(
    first: FirstStart, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    is_elsewhere = iter([False, True, True, False, False])  # looked at before ours, after it was refused, and so on
    monkeypatch.setattr(first_start, "trains_elsewhere", lambda home: next(is_elsewhere))
    monkeypatch.setattr(first_start, "ELSEWHERE_SECONDS", 0.1)
    (home / "fail-train").touch()
    (home / "fail-once").touch()
    first.start()
    wait_for(lambda: first.progress().state == "ready")
    assert calls(home) == ["rag index", "train --bootstrap --fast", "train --bootstrap --fast"]


def test_a_chat_that_is_killed_takes_its_training_along(home: Path, settings: Settings, tmp_path: Path) -> None:
    (home / "hold-train").touch()
    code = f"""
import os, time
from chat.training.first_start import FirstStart
from rag.settings import Settings
settings = Settings(home={str(settings.home)!r}, docs=({str(settings.docs[0])!r},))
FirstStart(settings, ({sys.executable!r}, {str(tmp_path / "command.py")!r})).start()
time.sleep(60)
"""
    with subprocess.Popen([sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": str(ROOT)}) as chat:
        wait_for(lambda: read_training(home) is not None)
        chat.kill()
    training = read_training(home)
    assert training is not None
    wait_for(lambda: not training.is_running)


STAGES = ("gathering", "base, champion and hard negatives", "tuning", "judging, part 1 of 1", "verdict and report")


def running(**changed: object) -> Training:
    training = replace(this_process("python -m train --bootstrap"), stages=STAGES, since=ago(60))
    return replace(training, **changed)  # type: ignore[arg-type]


def ago(seconds: float) -> datetime:
    return datetime.now(UTC) - timedelta(seconds=seconds)


def test_the_share_grows_with_each_stage_and_within_one_and_ends_below_1() -> None:
    passed = dict.fromkeys(STAGES, 1.0)
    shares = [
        share_done(running()),
        share_done(running(passed=dict(list(passed.items())[:2]))),
        share_done(running(passed=dict(list(passed.items())[:2]), bar=Bar("tuning", 5, 10, 1.0))),
        share_done(running(passed=dict(list(passed.items())[:3]))),
        share_done(running(passed=passed)),
    ]
    assert shares == sorted(set(shares))
    assert (shares[0], shares[-1]) == (0.0, 0.99)


def test_a_training_is_one_line_in_plain_words() -> None:
    line = training_line(running(passed={"gathering": 1.0}, bar=Bar("made queries", 5, 10, 1.0)))
    assert line == "First model: 31%, ready in about 2 minutes."
    assert training_line(None) == "First model: starting."
    assert training_line(running(state="done")) == "First model: ending."


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(3, "less than a minute"), (50, "about a minute"), (89, "about a minute"), (100, "about 2 minutes")],
)
def test_a_time_is_said_in_words(seconds: float, words: str) -> None:
    assert in_words(seconds) == words
