"""Run commands in processes forked from one that has imported the libraries already: a chat starts in two seconds.

Each line of standard input is a command as JSON: the module whose `main` runs, its arguments, environment, folder and
log. The answer is the process id on a line of standard output. When a process ends by itself, its exit status is
written next to its log. Why: a kill costs a start, and 200 starts that import everything take an hour on two cores.
"""

from __future__ import annotations

import ctypes
import importlib
import json
import os
import resource
import signal
import subprocess
import sys
import traceback
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
MEMORY_MB = "BENCH_MEMORY_MB"  # in the environment of a command: limits its memory
STEPS = "BENCH_STEPS"  # in the environment of a command: a file for the changes that it makes in its home folder
KILL_AT = "BENCH_KILL_AT"  # in the environment of a command: it is killed before the change of this number
CHANGES = ("os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.link", "os.truncate")  # by name of the audit event
WRITING = os.O_WRONLY | os.O_RDWR
PR_SET_PDEATHSIG = 1  # Linux: a signal for this process when its parent ends
CHAT = "chat"  # as a library: Chainlit with the settings of one home, which it reads when it is imported
# All that reads no setting when it is imported.
LIBRARIES = (
    *("rag.store.store", "rag.answering.service", "rag.indexing.indexer", "rag.retrieval", "rag.models.onnx_embedder"),
    *("sqlalchemy.ext.asyncio", "aiosqlite", "fastapi", "uvicorn", "socketio", "mcp", "openai", "langchain_openai"),
    *("pandas", "plotly.graph_objects", "uvicorn.protocols.websockets.websockets_impl", "literalai", "httpx"),
)
TRAINING = ("torch", "sentence_transformers", "train.pipeline", "datasets", "transformers.trainer", "accelerate")


class Forked:
    """The process that others are forked from."""

    def __init__(self, *libraries: str, environment: Mapping[str, str] = os.environ) -> None:
        command = [sys.executable, "-m", "benchmarks.load.forked", *libraries]
        self._process = subprocess.Popen(
            command,
            cwd=ROOT,
            env={**os.environ, **environment},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self._read()

    def start(
        self, module: str, args: Sequence[str], environment: Mapping[str, str], log: Path, folder: Path = ROOT
    ) -> int:
        """Start `python -m module args` and return its process id, which is its group's, too."""
        assert self._process.stdin
        order = {"module": module, "args": args, "environment": environment, "log": str(log), "folder": str(folder)}
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        return int(self._read())

    def close(self) -> None:
        """End it, and what was forked from it."""
        assert self._process.stdin
        self._process.stdin.close()
        self._process.wait()

    def _read(self) -> str:
        assert self._process.stdout
        return self._process.stdout.readline()


def status_file(log: Path) -> Path:
    """Return where the exit status of a process with this log is."""
    return log.with_suffix(".status")


def run(module: str, args: list[str], environment: dict[str, str], log: str, folder: str) -> None:
    """Run a command in this process, which was forked for it, and end."""
    os.setsid()
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    output = os.open(log, os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o600)
    for stream in (1, 2):
        os.dup2(output, stream)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    for name in [name for name in os.environ if name.startswith(("THUMBTUNE_", "OPENAI_"))]:
        del os.environ[name]
    os.environ.update(environment)
    if more := environment.get(MEMORY_MB):  # of address space than the libraries have taken
        taken = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (taken + int(more) * 1_000_000, resource.RLIM_INFINITY))
    if steps := environment.get(STEPS):
        watch_changes(Path(environment["THUMBTUNE_HOME"]).parent, Path(steps), int(environment.get(KILL_AT, "0")))
    os.chdir(folder)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    sys.argv = [f"{module}/__main__.py", *args]
    if module == "chat":  # indexing at the start would be a process that imports everything
        from chat.training import first_start

        first_start.FirstStart.start = lambda self: self._indexed.set()  # type: ignore[method-assign]
    try:
        name = module if module.startswith("benchmarks.") else f"{module}.__main__"
        status = int(importlib.import_module(name).main(args) or 0)
    except SystemExit as left:
        status = int(left.code or 0) if not isinstance(left.code, str) else 1
    except BaseException:  # noqa: BLE001  # a process that ends shows why
        traceback.print_exc()
        status = 1
    sys.stdout.flush()
    sys.stderr.flush()
    status_file(Path(log)).write_text(str(status))
    os._exit(status)


def watch_changes(folder: Path, log: Path, kill_at: int) -> None:
    """Log each change of a file in a folder before Python makes it, and end by SIGKILL before that of a number.

    LanceDB changes its files without Python, and so without a line here.
    """
    handle, count = os.open(log, os.O_CREAT | os.O_WRONLY | os.O_APPEND), 0

    def change(event: str, args: tuple[object, ...]) -> None:
        nonlocal count
        writes = event == "open" and isinstance(args[2], int) and bool(args[2] & WRITING)
        if not writes and event not in CHANGES:
            return
        path = str(args[1] if event in ("os.rename", "os.link") else args[0])
        if not path.startswith(f"{folder}/") or path == str(log):
            return
        count += 1
        os.write(handle, f"{event} {path.removeprefix(f'{folder}/')}\n".encode())
        if count == kill_at:
            os.killpg(0, signal.SIGKILL)

    sys.addaudithook(change)


def load_chat() -> None:
    """Do what a chat does before it serves, but for reading its tables."""
    from chat.__main__ import chainlit_runner, load
    from chat.web.signin import auth_mode
    from rag.settings import load_settings

    settings = load_settings()
    load(settings, auth_mode(settings))
    chainlit_runner()


def main() -> None:
    """Import, then fork for each line."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for them
    for name in (*LIBRARIES, *sys.argv[1:]):
        load_chat() if name == CHAT else importlib.import_module(name)
    print("ready", flush=True)
    warnings.filterwarnings("ignore", "lancedb fork support")  # nothing of it has run here
    for line in sys.stdin:
        child = os.fork()
        if not child:
            run(**json.loads(line))
        print(child, flush=True)


if __name__ == "__main__":
    main()
