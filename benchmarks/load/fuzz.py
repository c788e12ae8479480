"""Feed damaged files to the loaders: `python -m benchmarks.load.fuzz FOLDER [MINUTES] [SUFFIX ...]`.

FOLDER has one folder of sample files for each suffix, as FOLDER/pdf. Each try changes a sample's bytes, or those of one
file of its archive, and loads it in a process with little memory and little time. A fault is a crash, a load that takes
longer, memory that runs out, or an error other than Unreadable; the input of each is kept in the folder that is named.
Why no coverage-guided fuzzer: most of the formats are read by compiled libraries, which it does not see.
"""

from __future__ import annotations

import io
import multiprocessing
import os
import random
import resource
import signal
import sys
import tempfile
import time
import traceback
import zipfile
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path

import psutil

from rag.errors import Unreadable
from rag.ingest.workers import belongs_in_worker
from rag.loaders.formats import LOADERS

MINUTES = 5.0
SECONDS = 20.0  # of processor time for a load; the samples take one or two
WAITING = 600.0  # seconds without a word, however busy the machine is
MEMORY_MB = 1_500  # of address space on top of what the libraries take
MOST_BYTES = 400_000  # of a sample: larger ones take long however they are damaged
SAMPLES = 40  # of a suffix
TOKENS = (
    *(
        b"\x00",
        b"\xff\xfe",
        b"\xf0\x9f\x92",
        b"-1",
        b"0",
        b"4294967296",
        b"99999999999999999999",
        b"%s",
        b"../",
        b"NaN",
    ),
    *(
        b"<",
        b"</",
        b"<!--",
        b"]]>",
        b"<![CDATA[",
        b"&amp;" * 20,
        b"&#x110000;",
        b'"',
        b"'",
        b"\\",
        b"{" * 99,
        b"[" * 999,
    ),
    *(b"<div>" * 500, b"> " * 500, b"- " * 400, b"`" * 300, b"*" * 3000, b"_" * 3000, b"[![](" * 300, b"|" * 3000),
    *(b"{{" * 400, b"{|\n" * 300, b"\\begin{a}" * 300, b"{\\rtf" * 300, b"\n" * 5000, b" " * 20000, b"a" * 50000),
    *(
        b" obj<<",
        b"stream\r\n",
        b"/Length 99999999",
        b"/Kids[1 0 R]",
        b"xref",
        b"PK\x03\x04",
        b"\r\n--",
        b"=?utf-8?q?=",
    ),
)
Change = Callable[[random.Random, bytes], bytes]


@dataclass
class Counts:
    """What came of the tries of one suffix."""

    tries: int = 0
    loaded: int = 0
    refused: int = 0
    slowest: float = 0.0
    faults: Counter[str] = field(default_factory=Counter)


def flip(draw: random.Random, data: bytes) -> bytes:
    """Change some bytes."""
    changed = bytearray(data)
    for _ in range(draw.choice((1, 3, 20, 200))):
        changed[draw.randrange(len(changed))] = draw.randrange(256)
    return bytes(changed)


def cut(draw: random.Random, data: bytes) -> bytes:
    """Remove a part."""
    start, stop = sorted(draw.randrange(len(data) + 1) for _ in range(2))
    return data[:start] + data[stop:]


def end(draw: random.Random, data: bytes) -> bytes:
    """Remove the end."""
    return data[: draw.randrange(len(data))]


def repeat(draw: random.Random, data: bytes) -> bytes:
    """Repeat a part."""
    start = draw.randrange(len(data))
    part = data[start : start + draw.choice((1, 10, 200, 5000))]
    return data[:start] + part * min(draw.choice((2, 20, 500)), 200_000 // len(part) + 1) + data[start:]


def insert(draw: random.Random, data: bytes) -> bytes:
    """Insert what parsers take for structure."""
    for _ in range(draw.choice((1, 4))):
        start = draw.randrange(len(data) + 1)
        data = data[:start] + draw.choice(TOKENS) + data[start:]
    return data


def swap(draw: random.Random, data: bytes) -> bytes:
    """Exchange two parts."""
    first, second, third = sorted(draw.randrange(len(data) + 1) for _ in range(3))
    return data[:first] + data[second:third] + data[first:second] + data[third:]


CHANGES: Sequence[Change] = (flip, cut, end, repeat, insert, insert, swap)


def damage(draw: random.Random, data: bytes) -> bytes:
    """Return a file with one to three changes, by half within its archive if it is one."""
    if data.startswith(b"PK\x03\x04") and draw.random() < 0.7:
        try:
            return in_archive(draw, data)
        except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
            pass  # a sample that is damaged already
    for _ in range(draw.choice((1, 1, 2, 3))):
        data = draw.choice(CHANGES)(draw, data) if data else b"a"
    return data


def in_archive(draw: random.Random, data: bytes) -> bytes:
    """Return an archive with one of its files changed."""
    written = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as read, zipfile.ZipFile(written, "w", zipfile.ZIP_DEFLATED) as write:
        names = [each.filename for each in read.infolist() if each.file_size]
        texts = [name for name in names if name.endswith((".xml", ".rels", ".xhtml", ".html", ".opf", ".ncx"))]
        changed = draw.choice(texts or names)
        for each in read.infolist():
            content = read.read(each)
            write.writestr(each.filename, draw.choice(CHANGES)(draw, content) if each.filename == changed else content)
    return written.getvalue()


def work(suffix: str, samples: Sequence[Path], seed: int, pipe: Connection) -> None:
    """Load damaged samples for ever; send what came of each, its seed and the processor seconds. Its own process."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    sys.stdout = sys.stderr = open(os.devnull, "w")  # noqa: SIM115, PTH123  # until this process ends
    os.dup2(sys.stdout.fileno(), 1)
    os.dup2(sys.stdout.fileno(), 2)
    taken = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (taken + MEMORY_MB * 1_000_000, resource.RLIM_INFINITY))
    contents = [path.read_bytes() for path in samples]
    while True:
        draw = random.Random(seed)
        data = damage(draw, draw.choice(contents))
        pipe.send(("try", seed, "", time.process_time()))
        try:
            LOADERS[suffix](data)
            pipe.send(("loaded", seed, "", time.process_time()))
        except Unreadable:
            pipe.send(("refused", seed, "", time.process_time()))
        except BaseException as error:  # noqa: BLE001  # all of them are looked for
            where = traceback.extract_tb(error.__traceback__)[-1]
            text = f"{type(error).__name__} in {Path(where.filename).name}:{where.lineno}: {str(error)[:100]}"
            pipe.send(("error", seed, text, time.process_time()))
        seed += 1


class Fuzzer:
    """Loads damaged samples of one suffix, in a process that is started again after each crash and hang."""

    def __init__(self, suffix: str, samples: Sequence[Path], kept: Path) -> None:
        self.suffix, self.samples, self.kept = suffix, samples, kept
        self.counts, self.slowest = Counts(), 0  # the seed of the slowest
        self._seed = 0

    def run(self, seconds: float) -> None:
        """Try for so long."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            self._run_process(until)

    def _run_process(self, until: float) -> None:
        ours, theirs = multiprocessing.Pipe()
        started = (self.suffix, self.samples, self._seed, theirs)
        process = multiprocessing.get_context("fork").Process(target=work, args=started)
        process.start()
        theirs.close()
        began, heard = 0.0, time.monotonic()
        try:
            while time.monotonic() < until:
                if not ours.poll(1.0):
                    if processor_seconds(process.pid) - began > SECONDS or time.monotonic() - heard > WAITING:
                        self._fault(f"more than {SECONDS:.0f} s")
                        return
                    continue
                what, self._seed, text, spent = ours.recv()
                heard = time.monotonic()
                if what != "try":
                    self._seed += 1
                    self._count(what, text, spent - began)
                began = spent
        except EOFError:
            process.join()
            self._fault(f"crash ({process.exitcode})")
        finally:
            process.kill()
            process.join()

    def _count(self, what: str, text: str, seconds: float) -> None:
        self.counts.tries += 1
        if seconds > self.counts.slowest:
            self.counts.slowest, self.slowest = seconds, self._seed - 1
        self.counts.loaded += what == "loaded"
        self.counts.refused += what == "refused"
        if what == "error":
            self._fault(text, self._seed - 1)

    def _fault(self, text: str, seed: int | None = None) -> None:
        if not self.counts.faults[text]:
            self.keep(self._seed if seed is None else seed)
        self.counts.faults[text] += 1
        self._seed += seed is None

    def keep(self, seed: int) -> Path:
        """Write the input of a seed to a file."""
        file, draw = self.kept / f"{self.suffix[1:]}-{seed}{self.suffix}", random.Random(seed)
        file.write_bytes(damage(draw, draw.choice([path.read_bytes() for path in self.samples])))
        return file


def processor_seconds(pid: int) -> float:
    """Return the processor time that a process has taken; 0 where it is gone."""
    try:
        times = psutil.Process(pid).cpu_times()
    except psutil.Error:
        return 0.0
    return times.user + times.system


def samples_of(folder: Path) -> list[Path]:
    """Return sample files, the same ones each time."""
    found = sorted(path for path in folder.rglob("*") if path.is_file() and 0 < path.stat().st_size <= MOST_BYTES)
    return random.Random(0).sample(found, min(SAMPLES, len(found)))


def main() -> int:
    """Print what came of each suffix; return 1 where a fault was found."""
    folder = Path(sys.argv[1])
    minutes = float(sys.argv[2]) if len(sys.argv) > 2 else MINUTES
    suffixes = sys.argv[3:] or sorted(s for each in folder.iterdir() if (s := f".{each.name}") in LOADERS)
    if not sys.argv[3:]:  # a killed loader would leave a LibreOffice behind
        suffixes = [suffix for suffix in suffixes if "legacy" not in getattr(LOADERS[suffix], "module", "legacy")]
    kept = Path(tempfile.mkdtemp(prefix="fuzz-"))
    wrong, tries = 0, 0
    for suffix in suffixes:
        if not (samples := samples_of(folder / suffix[1:])):
            continue
        with suppress(Unreadable):  # what it imports, it imports once
            LOADERS[suffix](samples[0].read_bytes())
        fuzzer = Fuzzer(suffix, samples, kept)
        fuzzer.run(minutes * 60 / len(suffixes))
        counts = fuzzer.counts
        where = "in a worker" if belongs_in_worker(suffix, samples[0].read_bytes()) else "in the main process"
        print(
            f"{suffix} ({where}): {counts.tries:,} files, {counts.loaded:,} loaded, {counts.refused:,} refused, "
            f"slowest {counts.slowest:.1f} s ({fuzzer.keep(fuzzer.slowest).name})",
            flush=True,
        )
        for text, n in counts.faults.most_common(12):
            print(f"  {n} times {text}", flush=True)
        wrong, tries = wrong + sum(counts.faults.values()), tries + counts.tries
    print(f"{tries:,} files, {wrong} faults; inputs in {kept}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
