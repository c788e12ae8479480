"""A chat's threads share few arenas of malloc, and memory that was freed goes back to the system."""

from __future__ import annotations

import asyncio
import ctypes
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from chat.session.memory import ARENAS, trim_now_and_then

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="about glibc's malloc")
BLOCK, BLOCKS = 100_000, 2_000  # too small to be mapped one by one: 200 MB of the heap
THREADS = """
import ctypes, os, sys, threading
from chat.session.memory import limit_arenas
{call}
libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
together = threading.Barrier(9)
def take():
    libc.malloc(50_000)
    together.wait()
    together.wait()
threads = [threading.Thread(target=take, daemon=True) for _ in range(8)]
for each in threads:
    each.start()
together.wait()
libc.fdopen.restype = ctypes.c_void_p
out = ctypes.c_void_p(libc.fdopen(1, b"w"))
libc.malloc_info(0, out)
libc.fflush(out)
os._exit(0)
"""


def arenas_of_eight_threads(call: str) -> int:
    ran = subprocess.run([sys.executable, "-c", THREADS.format(call=call)], capture_output=True, text=True, check=True)
    return ran.stdout.count("<heap nr=")


def test_the_threads_of_a_chat_share_few_arenas() -> None:
    assert arenas_of_eight_threads("limit_arenas()") <= ARENAS < arenas_of_eight_threads("")


def resident_mb() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 // 1_000_000


async def test_freed_memory_is_given_back_to_the_system() -> None:
    libc = ctypes.CDLL(None)
    libc.malloc.restype, libc.free.argtypes = ctypes.c_void_p, [ctypes.c_void_p]
    blocks = [libc.malloc(BLOCK) for _ in range(BLOCKS)]
    for block in blocks:
        ctypes.memset(block, 1, BLOCK)
    for block in blocks[:-1]:  # the last one is the end of the heap, below which nothing is given back by itself
        libc.free(block)
    kept = resident_mb()
    task = asyncio.create_task(trim_now_and_then(0.01))
    async with asyncio.timeout(60):
        while resident_mb() > kept - 100:
            await asyncio.sleep(0.01)
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
    libc.free(blocks[-1])
