"""A command loads only what it needs: which heavy libraries are imported once it has run, in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from rag.settings import ROOT, Settings
from thumbtune.__main__ import main

HEAVY = (
    "torch sentence_transformers transformers lancedb pyarrow langchain_core langchain_openai openai onnxruntime "
    "chainlit plotly matplotlib scipy httpx pydantic tokenizers lance_namespace_urllib3_client.api"
).split()
REPORT = f"""
import json, runpy, sys
sys.argv = sys.argv[1:]
try:
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
except SystemExit as end:
    status = end.code
print("\\n" + json.dumps([status, [name for name in {HEAVY} if name in sys.modules]]))
"""
STORE = {"lancedb", "pyarrow", "pydantic"}
CHAT = """
import asyncio, gc, json, sys
from chat.__main__ import chainlit_runner
chainlit_runner()
import chainlit_app

async def answer():
    await chainlit_app.on_startup()
    from rag.records import ARMS, SIDES
    serving = chainlit_app.state.serving
    async for event in serving.ask("what does the cat drink?", sides=dict(zip(ARMS, SIDES)), duel_id="0" * 16):
        last = type(event).__name__
    return last

last = asyncio.run(answer())
left_alone = gc.isenabled() and gc.get_freeze_count() > 5 * len(gc.get_objects())
loaded = [name for name in sys.argv[1:] if name in sys.modules]
print("\\n" + json.dumps([last, asyncio.Task.__module__, left_alone, loaded]), flush=True)
import os
os._exit(0)
"""


@pytest.fixture
def environment(settings: Settings, tmp_path: Path) -> dict[str, str]:
    """Return the environment of a process with these settings, whose models are the built-in one."""
    return {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "CHAINLIT_APP_ROOT": str(tmp_path),
        "THUMBTUNE_HOME": str(settings.home),
        "THUMBTUNE_DOCS": str(settings.docs[0]),
        "THUMBTUNE_LLM": "extractive",
    }


def loads(environment: dict[str, str], *command: str) -> set[str]:
    """Run a command that must succeed, and return which heavy libraries its process has imported."""
    done = subprocess.run([sys.executable, "-c", REPORT, *command], capture_output=True, text=True, env=environment)
    assert done.stdout, done.stderr
    status, names = json.loads(done.stdout.splitlines()[-1])
    assert not status, done.stderr
    return set(names)


@pytest.mark.parametrize(
    "command", ["rag --help", "train --help", "chat --help", "thumbtune --help", "thumbtune train --help"]
)
def test_help_loads_no_library(environment: dict[str, str], command: str) -> None:
    assert loads(environment, *command.split()) == set()


def test_what_commands_load(environment: dict[str, str]) -> None:
    subprocess.run([sys.executable, "-m", "rag", "index"], check=True, env=environment, capture_output=True)
    assert loads(environment, "train", "list") == {"pydantic"}
    assert loads(environment, "rag", "stats") == STORE
    answering = STORE | {"onnxruntime", "tokenizers", "langchain_core"}
    assert loads(environment, "rag", "index") <= answering | {"httpx"}
    assert loads(environment, "rag", "ask", "what does the cat drink?") <= answering | {"httpx"}
    done = subprocess.run(
        [sys.executable, "-c", CHAT, *HEAVY], capture_output=True, text=True, env=environment, cwd=ROOT
    )
    assert done.stdout, done.stderr
    last, tasks, left_alone, names = json.loads(done.stdout.splitlines()[-1])
    assert last == "Done", done.stderr
    assert tasks == "_asyncio"  # not those of nest_asyncio, which are in Python
    assert left_alone  # by garbage collections: one that looks at all that is loaded stops everybody
    forbidden = {"torch", "sentence_transformers", "transformers", "scipy", "matplotlib", "plotly"}
    assert not forbidden & set(names)


def test_one_command_lists_all_commands(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(["--help"])
    assert end.value.code == 0
    listed = capsys.readouterr().out
    for name in "chat index ask stats import export forget review doctor train".split():
        assert f"\n    {name} " in listed


def test_the_version_is_that_of_the_project(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--version"])
    version = capsys.readouterr().out.removeprefix("thumbtune ").strip()
    assert f'version = "{version}"' in (ROOT / "pyproject.toml").read_text()


def test_one_command_runs_the_commands_of_each_program(
    capsys: pytest.CaptureFixture[str], settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("THUMBTUNE_HOME", str(settings.home))
    monkeypatch.setenv("THUMBTUNE_DOCS", str(settings.docs[0]))
    assert main(["train", "list"]) == 0
    assert "start weights" in capsys.readouterr().out
    assert main(["train", "show", "v9"]) == 2
    assert "error: v9: no such version" in capsys.readouterr().err
    monkeypatch.setenv("THUMBTUNE_DOCS", str(settings.home / "nowhere"))
    assert main(["index"]) == 2
