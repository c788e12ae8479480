"""Parse files in worker processes with limits on time and memory, several at once where there are enough files.

A file that crashes its parser, hangs it or makes it allocate without end costs that file and no more: its worker is
ended, the reason names the limit, and the next file gets a new worker. A worker reads requests from its stdin and ends
with it, so a parent that was killed leaves no process behind.

Why no fork and no multiprocessing: LanceDB is not fork-safe, and a spawned child of multiprocessing imports the main
module again, which is all of Chainlit in a running chat. A worker imports the parser of its format and nothing else.
"""

from __future__ import annotations

import logging
import os
import pickle
import signal
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import IO, Any

from rag.errors import Unreadable, first_line
from rag.ingest.parse_cache import ParseCache
from rag.loaders.builder import LoadedText
from rag.loaders.formats import LOADERS, SLOW_SUFFIXES

SECONDS = 120.0  # for a file: the slowest of 1,751 real ones took 61 s, a picture with text takes 2 to 5
SECONDS_PER_MB = 30.0  # more for each MB: a scanned book has 0.2 MB a page, which text recognition reads in 5 s
MEMORY = 4_000_000_000  # bytes of address space of a worker; 2 million cells took 1.2 GB, and half the machine at most
LARGE = 1_000_000  # bytes: a larger file of a fast format is parsed by a worker as well, in case it hangs
FILES_PER_WORKER = 8  # slow files for which one more worker pays: it starts in half a second, a file takes 0.1 s
BYTES_PER_WORKER = 4_000_000  # or so many bytes of them
MAX_WORKERS = 8  # each takes 100 MB, and one process cuts and embeds what they all read
POLL = 0.1  # seconds between two looks at whether an upload was stopped
PARENT = "PARSING_FOR_PID"  # variable by which a worker knows its parent, which may end before the worker has started
LENGTH = struct.Struct("!Q")
ROOT = Path(__file__).resolve().parent.parent.parent
Request = tuple[str, bytes, str, float, int]  # suffix, bytes, cache folder, seconds, bytes of memory
log = logging.getLogger(__name__)


def belongs_in_worker(suffix: str, data: bytes) -> bool:
    """Return whether a file is parsed by a worker: its parser is a large one, or the file is large."""
    return suffix in SLOW_SUFFIXES or len(data) > LARGE


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
    return min(MEMORY, os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2)


class WorkerPool:
    """Parses files, in up to `workers` processes that start when they are first needed. Use it as a context manager.

    Files that were parsed before come from `cache`; small files of fast formats are parsed in this process.
    """

    def __init__(
        self,
        cache: ParseCache,
        workers: int = 1,
        *,
        seconds: float = SECONDS,
        memory: int = 0,
        command: tuple[str, ...] = (),
    ) -> None:
        self._cache, self.workers = cache, workers
        self._seconds, self._memory, self._command = seconds, memory or memory_limit(), command
        self._threads: ThreadPoolExecutor | None = None
        self._idle: list[Worker] = []
        self._all: set[Worker] = set()
        self._lock = threading.Lock()
        self._closed = False

    def __enter__(self) -> WorkerPool:
        return self

    def __exit__(self, *raised: object) -> None:
        self.close()

    def load(self, suffix: str, data: bytes, is_stopped: Callable[[], bool] = lambda: False) -> LoadedText:
        """Return the text of a file. Raises Unreadable with the reason, also for crash, hang and memory blow-up.

        `is_stopped` is asked ten times a second while a worker parses; once it says yes, the worker is ended and the
        file is Unreadable.
        """
        future = self.submit(suffix, data)
        while not future.done() and not is_stopped():
            _wait(future, POLL)
        if not future.done():
            self.close()
        return future.result()

    def submit(self, suffix: str, data: bytes) -> Future[LoadedText]:
        """Return the future of a file's text, which raises as `load` does."""
        if cached := self._cache.read(suffix, data):
            return _done(lambda: cached)
        if not belongs_in_worker(suffix, data):
            return _done(lambda: parse(self._cache, suffix, data))
        with self._lock:
            if self._threads is None:
                self._threads = ThreadPoolExecutor(self.workers, thread_name_prefix="parsing")
        return self._threads.submit(self._parse, suffix, data)

    def close(self) -> None:
        """End all workers, also those that are parsing; their files are Unreadable."""
        with self._lock:
            self._closed = True
            workers, self._all, self._idle = self._all, set(), []
        for worker in workers:
            worker.end()
        if self._threads is not None:
            self._threads.shutdown(wait=True, cancel_futures=True)

    def _parse(self, suffix: str, data: bytes) -> LoadedText:
        worker = self._take()
        seconds = self._seconds + SECONDS_PER_MB * len(data) / 1e6
        try:
            answer = worker.ask((suffix, data, os.fspath(self._cache.folder), seconds, self._memory), seconds)
        except OSError:
            answer = Unreadable(worker.why_it_ended(seconds, self._memory))
        if worker.is_usable:
            with self._lock:
                self._idle.append(worker)
        else:
            worker.end()
            with self._lock:
                self._all.discard(worker)
        if isinstance(answer, Unreadable):
            raise answer
        return answer

    def _take(self) -> Worker:
        with self._lock:
            if self._closed:
                raise Unreadable("reading it was stopped")
            if self._idle:
                return self._idle.pop()
            worker = Worker(self._command or (sys.executable, "-P", "-c", BOOT, os.fspath(ROOT)))
            self._all.add(worker)
            return worker


class Worker:
    """One process, which parses one file at a time."""

    def __init__(self, command: tuple[str, ...]) -> None:
        # a group of its own: Ctrl-C reaches the parent only, which ends its workers
        env = {**os.environ, PARENT: str(os.getpid())}
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True, env=env
        )
        self._timed_out = self._ended = False
        self.is_usable = True

    def ask(self, request: Request, seconds: float) -> LoadedText | Unreadable:
        """Return the worker's answer. Raises OSError where it ended without one, or was ended after `seconds`."""
        assert self._process.stdin
        assert self._process.stdout
        clock = threading.Timer(seconds, self._time_out)
        clock.daemon = True
        clock.start()
        try:
            _send(self._process.stdin, request)
            answer: LoadedText | Unreadable | MemoryError = _receive(self._process.stdout)
        except OSError:
            self.is_usable = False
            raise
        finally:
            clock.cancel()
        if isinstance(answer, MemoryError):  # its heap may stay large: start a fresh one
            self.is_usable = False
            return Unreadable(too_large(request[4]))
        return answer

    def why_it_ended(self, seconds: float, memory: int) -> str:
        """Return the reason for the file that a worker was reading when it ended."""
        if self._ended:
            return "reading it was stopped"
        status = self._process.wait()
        if self._timed_out or status == -getattr(signal, "SIGALRM", 0):
            return f"reading it took more than {seconds:.0f} s: split it, or save it in another format"
        name = signal.Signals(-status).name if status < 0 else f"status {status}"
        more = f", or needed more than {memory / 1e9:.1f} GB of memory" if status < 0 else ""
        return f"it made its parser crash ({name}){more}: save it again, or in another format"

    def end(self) -> None:
        """End the process at once, whatever it does."""
        self._ended = True
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                try:
                    pipe.close()
                except OSError:  # a request that nobody reads any more
                    log.debug("a worker ended while it was sent a file")

    def _time_out(self) -> None:
        self._timed_out = True
        self._process.kill()


def too_large(memory: int) -> str:
    """Return the reason for a file that takes more memory than a worker may have."""
    return f"reading it took more memory than {memory / 1e9:.1f} GB: split it, or save it in another format"


def parse(cache: ParseCache, suffix: str, data: bytes) -> LoadedText:
    """Return the text of a file, parsed in this process. Raises Unreadable, also for a loader's own error."""
    try:
        loaded = LOADERS[suffix](data)
    except (Unreadable, MemoryError):
        raise
    except Exception as error:  # whatever a parser raises costs one file, and its traceback is logged
        log.warning("the loader of %s files failed", suffix, exc_info=True)
        raise Unreadable(
            f"its parser failed ({type(error).__name__}: {first_line(error)}): save it again, or in another format"
        ) from error
    cache.write(suffix, data, loaded)
    return loaded


BOOT = "import sys; sys.path.insert(0, sys.argv[1]); from rag.ingest.workers import work; work()"


def work() -> None:
    """Answer requests until stdin ends: the life of a worker process."""
    requests, answers = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # a parser that prints must not write into an answer
    threading.Thread(target=_end_with_parent, args=(int(os.environ[PARENT]),), daemon=True).start()
    limited = False
    while True:
        try:
            suffix, data, folder, seconds, memory = _receive(requests)
        except OSError:  # the parent has gone or needs no more
            return
        limited = limited or _limit_memory(memory)
        _limit_time(seconds + 1)  # the parent's clock comes first, unless the parent was killed
        answer: LoadedText | Unreadable | MemoryError
        try:
            answer = parse(ParseCache(Path(folder)), suffix, data)
        except Unreadable as error:
            answer = Unreadable(str(error))
        except MemoryError:
            answer = MemoryError()
        del data
        _limit_time(0)
        try:
            _send(answers, answer)
        except OSError:
            return


def _limit_memory(memory: int) -> bool:
    """Limit this process's address space; Windows has no such limit, and macOS does not enforce it."""
    try:
        import resource
    except ImportError:
        return True
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    if hard != resource.RLIM_INFINITY:
        memory = min(memory, hard)
    resource.setrlimit(resource.RLIMIT_AS, (memory, hard))
    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))  # no dumps of 4 GB
    return True


def _limit_time(seconds: float) -> None:
    """Let the system end this process after so many seconds, even inside a parser's C code; 0: never."""
    if hasattr(signal, "setitimer"):
        signal.setitimer(signal.ITIMER_REAL, seconds)


def _end_with_parent(parent: int) -> None:
    """End this process within a second of its parent, whatever it is parsing."""
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)


def _send(pipe: IO[bytes], message: object) -> None:
    data = pickle.dumps(message, pickle.HIGHEST_PROTOCOL)
    pipe.write(LENGTH.pack(len(data)))
    pipe.write(data)
    pipe.flush()


def _receive(pipe: IO[bytes]) -> Any:  # noqa: ANN401  # the two ends agree
    """Return a message. Raises EOFError as OSError where the other end has gone."""
    head = pipe.read(LENGTH.size)
    if len(head) < LENGTH.size:
        raise BrokenPipeError("the other process has ended")
    size = LENGTH.unpack(head)[0]
    data = pipe.read(size)
    if len(data) < size:
        raise BrokenPipeError("the other process has ended")
    return pickle.loads(data)  # from our own process


def _done(make: Callable[[], LoadedText]) -> Future[LoadedText]:
    """Return a future that has its result, or the reason why there is none."""
    future: Future[LoadedText] = Future()
    try:
        future.set_result(make())
    except Unreadable as error:
        future.set_exception(error)
    except MemoryError:
        future.set_exception(Unreadable("it does not fit into this machine's memory: split it"))
    return future


def _wait(future: Future[LoadedText], seconds: float) -> None:
    try:
        future.exception(seconds)
    except TimeoutError:
        return
