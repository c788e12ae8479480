"""Worker processes whose loader of PDF files does what its file says: crash, hang, allocate without end."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path
from typing import Any, cast

from rag.ingest import workers
from rag.loaders import formats
from rag.loaders.builder import LoadedText
from rag.loaders.text import load_text

begin_ordinary_work = workers.begin_work


def begin_work(memory: int) -> None:
    """Prepare a worker process as the product does, then replace its loader."""
    begin_ordinary_work(memory)
    cast(dict[str, Any], formats.LOADERS)[".pdf"] = load


def begin_in_vain(memory: int) -> None:
    """Fail as on a machine that has no memory or process left."""
    raise OSError("no process left")


def load(data: bytes) -> LoadedText:  # noqa: C901  # a case for each fault
    """Do what the first word of a file says; write this process's id where "sleep" is followed by a path."""
    words = data.decode().removeprefix("%PDF-").split()
    match words[0]:
        case "abort":
            os.abort()
        case "exit":
            os._exit(7)
        case "sleep":
            if words[1:]:
                Path(words[1]).write_text(f"{os.getpid()}\n")
            time.sleep(60)
        case "program":
            with subprocess.Popen(["sleep", "60"]) as program:
                try:
                    Path(words[1]).write_text(f"{program.pid}\n")
                    program.wait()
                finally:
                    program.kill()
        case "spin":
            while True:
                pass
        case "eat":
            return cast(LoadedText, [bytes(10**8) for _ in range(10**3)])
        case "arena":
            raise RuntimeError("BFCArena::AllocateRawInternal Failed to allocate memory for requested buffer of size 9")
        case "bug":
            raise KeyError("page")
        case "print":
            print("noise", flush=True)
    return load_text(" ".join(words).encode())
