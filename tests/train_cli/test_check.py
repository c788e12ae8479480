"""python -m rag check: confirmed passages as regression tests; a promotion breaks none that is not waived."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from fakes import make_chunk
from rag.__main__ import main
from rag.feedback.pins import Pin, holds, read_pins, write_pins
from rag.settings import Settings
from train.__main__ import main as train_main
from train_world import World, champion


def save(settings: Settings, capsys: pytest.CaptureFixture[str]) -> list[Pin]:
    assert main(["check", "--save"]) == 0
    pins = read_pins(settings.home / "pins.jsonl")
    assert f"{len(pins)} pins in {settings.home / 'pins.jsonl'}, {len(pins)} of them new" in capsys.readouterr().out
    assert main(["check"]) == 0
    assert capsys.readouterr().out.startswith(f"{len(pins)} pins: {len(pins)} hold, 0 broken (tuned, ")
    return pins


def test_a_deleted_and_a_changed_passage_break_their_pins_and_a_renamed_file_does_not(
    use, world: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys
) -> None:
    settings = use("labelled")
    pins = save(settings, capsys)
    deleted, changed, renamed = pins[:3]
    docs = tmp_path / "docs"
    docs.mkdir()
    for path in world.docs.iterdir():
        (docs / path.name).write_text(path.read_text())
    (docs / deleted.source).unlink()
    (docs / changed.source).write_text(changed.text.replace(changed.text.split()[2], "unicorn"))
    (docs / renamed.source).rename(docs / "renamed.txt")
    monkeypatch.setenv("THUMBTUNE_DOCS", str(docs))
    assert main(["index"]) == 0
    capsys.readouterr()
    assert main(["check"]) == 1
    out = capsys.readouterr().out
    assert f"broken  {deleted.query!r}: {deleted.source} is gone" in out
    assert f"broken  {changed.query!r}: its passage in {changed.source} was changed or deleted" in out
    assert repr(renamed.query) not in out
    assert f"{len(pins)} pins: {len(pins) - 2} hold, 2 broken" in out
    for pin in (deleted, changed):
        assert main(["check", "--waive", pin.query.upper(), "rewritten in May"]) == 0
    capsys.readouterr()
    assert main(["check"]) == 0
    out = capsys.readouterr().out
    assert f"waived  {deleted.query!r}: {deleted.source} is gone (waived: rewritten in May)" in out
    assert "0 broken, 2 waived" in out


def test_a_promotion_breaks_no_pin_that_is_not_waived(use, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    settings = use("trained")
    for name, value in {"K": "1", "EXPLORE": "0"}.items():  # else both models show what keyword search finds
        monkeypatch.setenv(f"THUMBTUNE_{name}", value)
    pins = save(settings, capsys)
    assert main(["check", "--arm", "base"]) == 1
    lost = [line.split("'")[1] for line in capsys.readouterr().out.splitlines() if line.startswith("broken")]
    assert 0 < len(lost) < len(pins)
    assert train_main(["promote", "start", "weights"]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"error: start weights breaks {len(lost)} pin")
    assert f"now ('{lost[0]}'" in error
    assert champion(settings) == "v1"
    assert train_main(["--fast", "--promote", "--seed", "3"]) == 0
    for query in lost:
        assert main(["check", "--waive", query, "the old wording"]) == 0
    assert train_main(["promote", "start", "weights"]) == 0
    assert champion(settings) is None


@pytest.mark.parametrize(
    ("lines", "args", "message"),
    [
        ([], [], "pins.jsonl: no pins in it: make some of your labels with `python -m rag check --save`"),
        ([{"query": "q", "text": "t"}], [], "pins.jsonl line 1: no pin ("),
        (
            [{"query": "q", "text": 3, "source": "s"}],
            [],
            "pins.jsonl line 1: query, text, source, answer and waived must",
        ),
        ([], ["--waive", "never asked", "because"], "'never asked' has no pin: give a question as "),
    ],
)
def test_what_is_no_pin_is_said_in_one_line(use, capsys, lines: list[dict[str, object]], args: list[str], message: str):
    settings = use("labelled")
    (settings.home / "pins.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert main(["check", *args]) == 2
    assert message in capsys.readouterr().err


TEXT = "The warranty of the pump ends after four years, and that of the seals after one year."


def test_a_hit_holds_a_pin_with_half_of_its_passage_and_all_of_its_answer():
    pin = Pin("how long is the warranty", TEXT, "pump.md", answer="four years")
    assert holds(pin, ["something else", f"Before it. {TEXT} After it."])
    assert holds(pin, [TEXT[:60]])
    assert holds(pin, [f"Before it. {TEXT[:60]}"])
    assert not holds(pin, [TEXT[:30]])
    assert not holds(pin, [TEXT[40:]])
    assert holds(replace(pin, answer=""), [TEXT[40:]])
    assert not holds(pin, [TEXT.replace("four", "two")])
    assert not holds(pin, [])


def test_pins_are_read_as_they_were_written(tmp_path: Path):
    pins = [Pin("q", make_chunk("text").text, "a.md"), Pin("r", "t", "b.md", "answer", "waived")]
    write_pins(tmp_path / "pins.jsonl", pins)
    assert read_pins(tmp_path / "pins.jsonl") == pins
    assert read_pins(tmp_path / "none.jsonl") == []
