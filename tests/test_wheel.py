"""The wheel works without a checkout: built, installed without its dependencies, used in an empty folder."""

from __future__ import annotations

import json
import os
import re
import site
import subprocess
import sys
import time
import urllib.error
import urllib.request
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from driver import free_port
from rag.settings import ROOT

pytestmark = pytest.mark.e2e
MOST_BYTES = 15_000_000
START_SECONDS = 120.0
CAT = "# Cats\n\nA cat drinks water and a little milk.\n\n# Dogs\n\nA dog eats bones and meat.\n"
IMPORT_ALL = """
import importlib, pkgutil, sys, thumbtune
OURS = {"thumbtune", "rag", "train", "chat", "serve", "chainlit_app"}
names = [each.name for each in pkgutil.walk_packages(thumbtune.__path__, "thumbtune.")]
for name in names:
    if not name.endswith(("chainlit_app", "__main__")):
        try:
            importlib.import_module(name)
        except ModuleNotFoundError as error:  # of an extra that is not installed here
            if (error.name or "").partition(".")[0] in OURS:
                raise
print(len(names), *sorted({"rag", "train", "chat", "serve"} & set(sys.modules)))
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(out), str(ROOT)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    (built,) = out.glob("*.whl")
    assert list(out.glob("*.tar.gz"))  # the wheel was built from it, so all that a wheel needs is in it
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return an environment with the wheel, another distribution's `rag`, and the packages of this environment.

    The checkout is not on its path: a folder named in a .pth file is searched, its own .pth files are not.
    """
    folder = tmp_path_factory.mktemp("venv")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    python = folder / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "--python", str(python), "--disable-pip-version-check", "install", "--no-index"]
    subprocess.run([*pip, "--no-deps", "--quiet", str(wheel)], check=True)
    (packages,) = folder.glob("lib/python*/site-packages")
    (packages / "dependencies.pth").write_text("\n".join(site.getsitepackages()))
    (packages / "rag").mkdir()
    (packages / "rag" / "__init__.py").write_text("raise ImportError('this is another distribution')\n")
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with documents and nothing else; no file of a checkout is below or above it."""
    papers = tmp_path_factory.mktemp("anywhere") / "papers"
    papers.mkdir()
    (papers.parent / "chainlit").mkdir()
    (papers / "animals.md").write_text(CAT)
    return papers.parent


@pytest.fixture(scope="module")
def environment(tiny_model: Path) -> dict[str, str]:
    """Return the environment of somebody who installed the wheel; with a tiny model, which is quick to load."""
    kept = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "CHAINLIT_APP_ROOT")}
    model = str(tiny_model)
    return {**kept, "THUMBTUNE_LLM": "extractive", "THUMBTUNE_BASE_MODEL": model, "THUMBTUNE_START_MODEL": model}


@pytest.fixture
def run(installed: Path, folder: Path, environment: dict[str, str]) -> Callable[..., str]:
    """Return what runs the installed command in the folder and returns what it printed."""

    def run(*words: str, status: int = 0, **settings: str) -> str:
        command = [str(installed / "bin" / "thumbtune"), *words]
        env = {**environment, **settings}
        done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, timeout=600, check=False)
        assert done.returncode == status, done.stdout + done.stderr
        return done.stdout + done.stderr

    return run


def get(address: str, **headers: str) -> bytes:
    with urllib.request.urlopen(urllib.request.Request(address, headers=headers), timeout=30) as answer:
        body: bytes = answer.read()
    return body


def test_the_wheel_is_small_and_holds_one_package(wheel: Path) -> None:
    assert wheel.stat().st_size < MOST_BYTES
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.partition("/")[0].partition("-")[0] for name in names} == {"thumbtune"}
    assert "thumbtune/docs/log.md" not in names  # and `make chat` leaves it out by docs/.thumbtuneignore
    assert {"thumbtune/.chainlit/config.toml", "thumbtune/public/app.js", "thumbtune/docs/questions.jsonl"} <= {*names}
    assert not [name for name in names if name.endswith((".png", ".pyc"))]


def test_each_question_of_the_wheel_names_a_section_that_holds_its_answer(wheel: Path) -> None:
    files = zipfile.ZipFile(wheel)
    questions = [json.loads(line) for line in files.read("thumbtune/docs/questions.jsonl").decode().splitlines()]
    pages = {name: files.read(name).decode() for name in files.namelist() if name.endswith(".md")}
    answerable = [question for question in questions if question["source"]]
    assert len(answerable) > 100
    assert not [
        question
        for question in answerable
        if not re.search(
            rf"^#+ {re.escape(question['section'])}$", pages[f"thumbtune/docs/{question['source']}"], re.MULTILINE
        )
    ]


def test_no_text_of_the_wheel_tells_to_run_what_only_a_checkout_has(wheel: Path) -> None:
    files = zipfile.ZipFile(wheel)
    told = re.compile(r"python -m (?:rag|train|chat|serve)\b|`make (?:chat|ocr|local-llm)")
    texts = [name for name in files.namelist() if name.endswith((".py", ".md", ".json", ".jsonl", ".js", ".jsx"))]
    assert not [name for name in texts if name.startswith("thumbtune/") and told.search(files.read(name).decode())]


def test_every_module_imports_beside_another_package_named_rag(
    installed: Path, folder: Path, environment: dict[str, str]
) -> None:
    """An import of a module by the name that it has in a checkout would find the other package, or nothing."""
    done = subprocess.run(
        [installed / "bin" / "python", "-c", IMPORT_ALL],
        cwd=folder,
        env={**environment, "CHAINLIT_APP_ROOT": str(folder / "chainlit")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    count, *strays = done.stdout.split()
    assert int(count) > 200
    assert not strays


def test_commands_work_in_an_empty_folder(run: Callable[..., str], folder: Path) -> None:
    (folder / "email.py").write_text("raise ImportError('a file of the user')\n")
    helped = run("--help")
    assert all(
        f"    {name} " in helped for name in ("chat", "index", "ask", "train", "serve", "demo", "doctor", "push")
    )
    assert run("--version").startswith("thumbtune ")
    assert "THUMBTUNE_HOME=data" in run("settings")
    out = run("index", "papers")
    assert "thumbtune chat " in out
    assert (folder / "data" / "home.json").exists()
    docs = {"THUMBTUNE_DOCS": "papers"}
    assert "animals.md" in run("ask", "What does the cat drink?", **docs)
    assert "start weights" in run("train", "list", **docs)
    assert "see `thumbtune train list`" in run("train", "show", "v9", status=2, **docs)
    assert "index" in run("doctor", **docs)
    assert "thumbtune settings" in run("stats", status=2, THUMBTUNE_K="none")


def test_the_chat_opens_with_documents_as_an_argument(
    installed: Path, folder: Path, environment: dict[str, str]
) -> None:
    port = free_port()
    log = folder / "chat.log"
    with log.open("wb") as output:
        chat = subprocess.Popen(
            [installed / "bin" / "thumbtune", "chat", "papers"],
            cwd=folder,
            env={**environment, "THUMBTUNE_PORT": str(port), "THUMBTUNE_HOST": "127.0.0.1"},
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        address = f"http://127.0.0.1:{port}"
        page = wait_for(address, chat, log)
        assert "public/app.js" in page
        assert b"thumbtune" in get(f"{address}/public/app.js")
        assert b"export default" in get(f"{address}/public/elements/Compare.jsx")
        texts = json.loads(get(f"{address}/project/translations", **{"Accept-Language": "de"}))
        assert texts["translation"]["chat"]["watermark"]
        assert not list(packages_of(installed).rglob(".files"))
    finally:
        chat.terminate()
        chat.wait(60)
    assert "Traceback" not in log.read_text()


def packages_of(installed: Path) -> Path:
    (packages,) = installed.glob("lib/python*/site-packages")
    return packages / "thumbtune"


def wait_for(address: str, chat: subprocess.Popen[bytes], log: Path) -> str:
    for _ in attempts():
        assert chat.poll() is None, log.read_text()
        try:
            return get(address).decode()
        except urllib.error.URLError:
            time.sleep(0.2)  # between two looks, as a browser's user would
    raise AssertionError(log.read_text())


def attempts() -> Iterator[float]:
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until:
        yield time.monotonic()
