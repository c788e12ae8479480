"""Spans of our own, received by an OTLP collector over HTTP: off by default, no text unless it is asked for."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from collectors import Collector
from rag.answering.duel import new_run
from served import open_home

PROGRAM = """
import sys
from rag.tracing.spans import stop_spans
from thumbtune import Home
for spans in ("off", "on", "text"):
    home = Home(base_model=sys.argv[1], start_model=sys.argv[1], chunk_tokens=32, device="cpu", spans=spans)
    if spans == "off":
        home.index()
    both = home.compare("Does the cat drink warm milk?")
    home.rate(both["tuned"], 1, rater="ann of all", comment="exactly her words")
    home.search("What does the dog keep?", arm="base")
    home.close()
    stop_spans()
    print(both["tuned"].duel, both["base"].id, both["tuned"].id)
"""


def test_searches_answers_and_ratings_are_spans_with_arm_version_and_duel_and_texts_only_where_asked_for(
    tmp_path: Path, tiny_model: Path, shared_exports: Path
) -> None:
    settings, collector = open_home(tmp_path, tiny_model, shared_exports), Collector()
    given = {"THUMBTUNE_HOME": str(settings.home), "THUMBTUNE_DOCS": str(settings.docs[0])}
    with collector.listening() as url:
        environment = {**os.environ, **given, "OTEL_EXPORTER_OTLP_ENDPOINT": url}
        command = [sys.executable, "-c", PROGRAM, str(tiny_model)]
        ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert "Traceback" not in ended.stderr
    (off, *_), (on, *ids), (text, *_) = (line.split() for line in ended.stdout.splitlines())
    assert off not in {known["thumbtune.duel"] for _, known in collector.named("thumbtune.answer")}
    assert collector.services == {"thumbtune"}
    for duel, says in ((on, False), (text, True)):
        answers = {
            known["thumbtune.arm"]: (span, known)
            for span, known in collector.named("thumbtune.answer")
            if known["thumbtune.duel"] == duel
        }
        for arm in ("base", "tuned"):
            span, known = answers[arm]
            assert known["thumbtune.version"]
            if duel == on:
                assert span.trace_id.hex() == ids[arm == "tuned"]  # by which a score finds its trace
            (inside,) = [
                known for each, known in collector.named("thumbtune.retrieve") if each.parent_span_id == span.span_id
            ]
            assert (inside["thumbtune.arm"], inside["thumbtune.hits"]) == (arm, known["thumbtune.hits"])
            assert ("milk" in str(known), "milk" in str(inside)) == (says, says)
        (rated,) = [known for _, known in collector.named("thumbtune.rate") if known["thumbtune.duel"] == duel]
        assert (rated["thumbtune.arm"], rated["thumbtune.value"], rated["thumbtune.blind"]) == ("tuned", 1, False)
        assert rated["thumbtune.version"] == answers["tuned"][1]["thumbtune.version"]
        assert ("exactly her words" in str(rated)) == says
    alone = [known for span, known in collector.named("thumbtune.retrieve") if not span.parent_span_id]
    assert [known["thumbtune.arm"] for known in alone] == ["base", "base"]
    assert b"ann of all" not in b"".join(collector.bodies)


def test_a_runs_id_has_a_time_and_version_7_and_does_not_tell_the_order() -> None:
    began = 1_796_000_000_123_000_000  # nanoseconds
    runs = [new_run(began) for _ in range(200)]
    assert {(run.version, run.variant) for run in runs} == {(7, "specified in RFC 4122")}
    assert {run.int >> 80 for run in runs} == {began // 1_000_000}
    assert runs != sorted(runs)
    assert len(set(runs)) == 200


def test_a_package_that_is_missing_is_one_line() -> None:
    program = (
        "import sys; sys.modules['opentelemetry'] = None\n"
        "from rag.settings import load_settings\nfrom rag.tracing.spans import start_spans\n"
        "from rag.errors import BadSetting\n"
        "try:\n    start_spans(load_settings())\nexcept BadSetting as error:\n    print(error)"
    )
    command = [sys.executable, "-c", program]
    ended = subprocess.run(
        command, env={**os.environ, "THUMBTUNE_SPANS": "on"}, capture_output=True, text=True, check=True
    )
    assert ended.stdout.startswith("THUMBTUNE_SPANS=on: opentelemetry is missing: pip install 'thumbtune[otel]'")
