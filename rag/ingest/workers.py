"""Parse files in worker processes with limits on time and memory, several at once where there are enough files.

A file that crashes its parser, hangs it or makes it allocate without end costs that file and no more: pebble's
ProcessPool ends the worker, the reason names the limit, and the next file gets a new worker.

Why spawn: LanceDB is not fork-safe. A spawned worker imports pebble, the main module (a few lines here) and the parser
of its format: 0.8 s and 27 MB, where a process with torch and LanceDB takes ten times as much.
"""

from __future__ import annotations

import faulthandler
import logging
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import CancelledError, Future
from concurrent.futures import wait as wait_for
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from rag.errors import StoreFailed, Unreadable, first_line, is_out_of_memory
from rag.ingest.parse_cache import ParseCache
from rag.loaders.builder import LoadedText
from rag.loaders.formats import LOADERS, SLOW_SUFFIXES
from rag.loaders.ocr.extra import seconds_for
from rag.loaders.sniff import sniff

if TYPE_CHECKING:
    from pebble import ProcessPool

SECONDS = 150.0  # for a file: LibreOffice may take 90; the slowest of 2,883 public files, 872 pages of Word, took 12
SECONDS_PER_MB = 30.0  # more for each MB: that file takes 26
MEMORY = 4_000_000_000  # bytes of address space of a worker: half the machine's if less; those files take 0.33 GB
LEAST_MEMORY = 3_000_000_000  # also where that is more than half: text recognition takes 2.5 GB of address space
LARGE = 1_000_000  # bytes: a larger file of a fast format is parsed by a worker as well, in case it hangs
FILES_PER_WORKER = 8  # slow files for which one more worker pays: it starts in 0.8 s, a file takes 0.1 s
BYTES_PER_WORKER = 4_000_000  # or so many bytes of them
MAX_WORKERS = 8  # each takes 100 MB, and one process cuts and embeds what they all read
FILES_AHEAD = 2 * MAX_WORKERS  # two for each
GRACE = 10.0  # seconds after which a worker ends itself, because its parent did not
POLL = 0.1  # seconds between two looks at whether an upload was stopped
STOPPED = "reading it was stopped"
log = logging.getLogger(__name__)
_at_work = threading.Event()  # in a worker process: a file is being parsed


@dataclass(frozen=True, slots=True)
class Parsing:
    """A file that is being parsed. `result` waits for its text, or raises Unreadable with the reason."""

    result: Callable[[], LoadedText]
    is_done: Callable[[], bool] = lambda: True


def parse_here(suffix: str, data: bytes) -> Parsing:
    """Return a file that is parsed in this process, once its result is asked for."""
    return Parsing(cache(lambda: parse(suffix, data)))


def belongs_in_worker(suffix: str, data: bytes) -> bool:
    """Return whether a file is parsed by a worker: its format is a slow one, by name or content, or it is large."""
    return len(data) > LARGE or not SLOW_SUFFIXES.isdisjoint((suffix, sniff(data)))


def worker_count(sizes: Iterable[int]) -> int:
    """Return how many workers pay for files of slow formats of these sizes in bytes; at least 1."""
    known = list(sizes)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    paying = max(len(known) // FILES_PER_WORKER, sum(known) // BYTES_PER_WORKER)
    return max(1, min(cores, MAX_WORKERS, paying))


def memory_limit() -> int:
    """Return the bytes of memory that a worker may take on this machine."""
    if "SC_PHYS_PAGES" not in getattr(os, "sysconf_names", {}):
        return MEMORY
    return min(MEMORY, max(LEAST_MEMORY, os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2))


class WorkerPool:
    """Parses files, in up to `workers` processes that start when they are first needed. Use it as a context manager.

    Files that were parsed before come from `cache`; small files of fast formats are parsed in this process.
    """

    ahead = FILES_AHEAD  # files that are parsed while the first of them is cut into chunks

    def __init__(self, cache: ParseCache, workers: int = 1, *, seconds: float = 0, memory: int = 0) -> None:
        self._cache, self.workers = cache, workers
        self._seconds, self._memory = seconds or SECONDS, memory or memory_limit()
        self._pool: ProcessPool | None = None

    def __enter__(self) -> WorkerPool:
        return self

    def __exit__(self, *raised: object) -> None:
        self.close()

    def load(self, suffix: str, data: bytes) -> LoadedText:
        """Return the text of a file. Raises Unreadable with the reason, also for crash, hang and memory blow-up."""
        return self.submit(suffix, data).result()

    def check(self, suffix: str, data: bytes, is_stopped: Callable[[], bool]) -> None:
        """Parse a file that belongs in a worker into the cache, and raise Unreadable as `load` does.

        `is_stopped` is asked ten times a second; once it says yes, the worker is ended and the file is Unreadable.
        """
        if not belongs_in_worker(suffix, data) or self._cache.read(suffix, data):
            return
        future = self._schedule(suffix, data)
        while not future.done() and not is_stopped():
            wait_for([future], POLL)
        future.cancel()
        self._result(future, suffix, data)

    def submit(self, suffix: str, data: bytes) -> Parsing:
        """Begin to parse a file."""
        if cached := self._cache.read(suffix, data):
            return Parsing(lambda: cached)
        if not belongs_in_worker(suffix, data):
            return parse_here(suffix, data)
        return self._begin(suffix, data)

    def close(self) -> None:
        """End all workers, also those that are parsing."""
        pool, self._pool = self._pool, None
        if pool is not None:
            pool.stop()  # type: ignore[no-untyped-call]  # pebble has no annotation here
            pool.join()

    def _begin(self, suffix: str, data: bytes) -> Parsing:
        """Begin to parse a file that belongs in a worker."""
        future = self._schedule(suffix, data)
        return Parsing(lambda: self._result(future, suffix, data), future.done)

    def _schedule(self, suffix: str, data: bytes) -> Future[LoadedText]:
        if self._pool is None:
            from pebble import ProcessPool

            spawn = multiprocessing.get_context("spawn")
            self._pool = ProcessPool(self.workers, initializer=begin_work, initargs=(self._memory,), context=spawn)
        seconds = self._limit(data)
        return self._pool.schedule(work, (suffix, data, self._cache, seconds + GRACE), timeout=seconds)

    def _limit(self, data: bytes) -> float:
        return self._seconds + SECONDS_PER_MB * len(data) / 1e6 + seconds_for(data)

    def _result(self, future: Future[LoadedText], suffix: str, data: bytes) -> LoadedText:
        """Return a file's text, or raise Unreadable with the reason. Raises StoreFailed if no worker can be started."""
        from pebble import ProcessExpired

        try:
            return future.result()
        except MemoryError:
            reason = f"reading it took more memory than {self._memory / 1e9:.1f} GB: split it"
        except TimeoutError:
            reason = f"reading it took more than {self._limit(data):.0f} s: split it"
        except ProcessExpired as error:
            reason = f"it made its parser crash (status {error.exitcode}), or needed too much memory: save it again"
        except CancelledError:
            raise Unreadable(STOPPED) from None
        except BrokenProcessPool as error:
            raise StoreFailed(
                f"no process can be started to read {suffix} files: see `ulimit -a`, and close other programs"
            ) from error
        raise Unreadable(f"{reason}, or save it in another format")


def parse(suffix: str, data: bytes) -> LoadedText:
    """Return the text of a file, parsed in this process. Raises Unreadable, also for a loader's own error."""
    try:
        return LOADERS[suffix](data)
    except MemoryError:
        raise
    except Exception as error:  # whatever a parser raises costs one file
        if is_out_of_memory(error):  # text recognition says so in its own way
            raise MemoryError from error
        raise unreadable(suffix, error) from error


def unreadable(suffix: str, error: Exception) -> Unreadable:
    """Return the reason for a file whose parser failed; the traceback of its own error is logged."""
    if isinstance(error, Unreadable):
        return error
    log.warning("the parser of %s files failed", suffix, exc_info=error)
    return Unreadable(
        f"its parser failed ({type(error).__name__}: {first_line(error)}): save it again, or in another format"
    )


def begin_work(memory: int) -> None:
    """Prepare a worker process: limit its memory, and end it with its parent, even one that was killed."""
    signal.signal(signal.SIGTERM, _stop)  # pebble's own handler would leave a loader's programs behind
    os.dup2(2, 1)  # a parser that prints must not write into the report
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_after, args=(parent.join,), daemon=True).start()
    _limit_memory(memory)


def work(suffix: str, data: bytes, cache: ParseCache, seconds: float) -> LoadedText:
    """Return the text of a file and cache it: one task of a worker process.

    The process ends itself after so many seconds, even inside a parser's C code: its parent may have been killed. One
    that is terminated lets the loader clean up first, such as LibreOffice's processes.
    """
    faulthandler.dump_traceback_later(seconds, exit=True)
    _at_work.set()
    try:
        loaded = parse(suffix, data)
    except SystemExit:
        os._exit(1)  # and not on to the next file
    finally:
        _at_work.clear()
        faulthandler.cancel_dump_traceback_later()
    cache.write(suffix, data, loaded)
    return loaded


def _stop(*_: object) -> None:
    """End this process: through the loader's clean-up while it parses, else at once."""
    if _at_work.is_set():
        sys.exit(1)
    os._exit(1)


def _end_after(wait: Callable[[], None]) -> None:
    wait()
    os._exit(1)


def _limit_memory(memory: int) -> None:
    """Limit this process's address space; Windows has no such limit, and macOS does not enforce it."""
    try:
        import resource
    except ImportError:
        return
    hard = resource.getrlimit(resource.RLIMIT_AS)[1]
    soft = memory if hard == resource.RLIM_INFINITY else min(memory, hard)
    resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))  # no dumps of 4 GB
