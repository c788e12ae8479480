"""Fuzz loaders by the code that an input reaches: `python -m benchmarks.load.atheris_loaders FOLDER [SUFFIX ...]`.

FOLDER has one folder of small sample files for each suffix, as FOLDER/html. atheris (libFuzzer) changes them, keeps
what reaches new Python code, and goes on from there; of an archive it changes one of the files inside, of a PDF what
one of its streams packs. A fault is a crash, more than SLOW seconds of processor time, more than MEMORY_MB, or an error
other than Unreadable; the input of each is kept. `--seconds` of processor time are for each suffix. atheris is no part
of the installation: see benchmarks/load/__init__.py.

Why fuzz.py beside it: compiled parsers show no coverage, and it is a hundred times as fast on them. Of `.doc` and
`.ppt` this sees what comes before LibreOffice; what LibreOffice makes of them is read as `.docx` and `.pptx`.
"""

from __future__ import annotations

import argparse
import io
import json
import random
import re
import resource
import subprocess
import sys
import tempfile
import time
import traceback
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from hashlib import sha1
from pathlib import Path

from rag.errors import Unreadable

MODULE = "benchmarks.load.atheris_loaders"
SECONDS = 120.0
SLOW = 10.0  # of processor time: instrumented code takes two to five times as long
HANG = 120  # seconds of wall-clock time after which libFuzzer ends the process
MEMORY_MB = 2_000
MOST_BYTES = 60_000  # of a sample: larger ones cost tries
MAX_FILE = 10_000_000  # bytes of a file in an archive
ENDINGS = {  # by how libFuzzer names the input that ended its process
    "crash": "crash",
    "timeout": f"more than {HANG} s",
    "oom": f"more than {MEMORY_MB} MB",
}
INSTRUMENTED = (
    *("rag", "mammoth", "openpyxl", "pptx", "docutils", "pylatexenc", "mwparserfromhell", "striprtf", "xlrd"),
    *("olefile", "oxmsg", "pypdfium2", "yaml", "email", "html", "csv", "zipfile", "markdown_it"),
)
STREAM = re.compile(rb"stream\r?\n(.*?)\r?\nendstream", re.DOTALL)  # of a PDF
TEXTS = (".xml", ".rels", ".xhtml", ".html", ".opf", ".ncx")


@dataclass
class Found:
    """What came of one suffix."""

    tries: int = 0
    reached: list[int] = field(default_factory=list)  # edges of the Python code, at the start and as they grew
    slowest: float = 0.0
    faults: Counter[str] = field(default_factory=Counter)


def contents(suffix: str, data: bytes) -> Iterator[tuple[str, bytes]]:
    """Yield the documents in a file, as indexing opens them: itself, or those of a zip, a mailbox or a message."""
    from rag.ingest.archives import expand  # here, so that the code is instrumented when it is imported

    for _, inner, content in expand(f"file{suffix}", suffix, data, (".zip", ".mbox"), MAX_FILE):
        if isinstance(content, bytes):
            yield inner, content


def load(suffix: str, data: bytes) -> None:
    """Load a file and what it contains; raises what no caller expects."""
    from rag.loaders.formats import LOADERS

    with suppress(Unreadable):
        for inner, content in contents(suffix, data):
            if inner in LOADERS:
                with suppress(Unreadable):
                    LOADERS[inner](content)


def changed_archive(data: bytes, seed: int, change: Callable[[bytes], bytes]) -> bytes:
    """Return an archive with one of its files changed. Raises what zipfile raises for one that is damaged."""
    draw, written = random.Random(seed), io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(data)) as read,
        zipfile.ZipFile(written, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as write,
    ):
        names = [each.filename for each in read.infolist() if 0 < each.file_size < MAX_FILE]
        chosen = draw.choice([name for name in names if name.endswith(TEXTS)] or names)
        for each in read.infolist():
            content = read.read(each)
            write.writestr(each.filename, change(content) if each.filename == chosen else content)
    return written.getvalue()


def changed_pdf(data: bytes, seed: int, change: Callable[[bytes], bytes]) -> bytes:
    """Return a PDF with one of its streams changed as it was before it was packed. Raises what zlib raises."""
    packed = [found for found in STREAM.finditer(data) if found[1][:1] == b"x"]
    chosen = random.Random(seed).choice(packed)
    return data[: chosen.start(1)] + zlib.compress(change(zlib.decompress(chosen[1])), 1) + data[chosen.end(1) :]


def is_text(data: bytes) -> bool:
    """Return whether bytes are UTF-8."""
    try:
        return bool(data.decode())
    except UnicodeDecodeError:
        return False


class Target:
    """What libFuzzer calls: loads each input, and prints a line of JSON for each fault and each slower load."""

    def __init__(self, suffix: str, kept: Path) -> None:
        self._suffix, self._kept = suffix, kept
        self._seen: set[str] = set()
        self._slowest = 0.0

    def load(self, data: bytes) -> None:
        """Load an input."""
        began = time.process_time()
        try:
            load(self._suffix, data)
        except Exception as error:  # noqa: BLE001  # all of them are looked for
            where = traceback.extract_tb(error.__traceback__)[-1]
            self._report(f"{type(error).__name__} in {Path(where.filename).name}:{where.lineno}: {error}"[:150], data)
        spent = time.process_time() - began
        if spent > SLOW:
            self._report(f"more than {SLOW:.0f} s of processor time", data)
        if spent > self._slowest + 0.1:
            self._slowest = spent
            self._keep("slowest", data)
            print(json.dumps({"slowest": spent}), flush=True)

    def change(self, data: bytes, max_size: int, seed: int) -> bytes:
        """Return a changed input; of an archive or a PDF, mostly with one of its parts changed."""
        from atheris import Mutate

        if data.startswith(b"PK\x03\x04") and seed % 4:
            with suppress(Exception):  # whatever zipfile and zlib raise for one that is damaged already
                changed = changed_archive(data, seed, lambda part: bytes(Mutate(part, len(part) + 1_000)))
                return changed if len(changed) <= max_size else data
        if data.startswith(b"%PDF") and seed % 4:
            with suppress(Exception):  # where no stream is packed, or one is damaged already
                changed = changed_pdf(data, seed, lambda part: bytes(Mutate(part, len(part) + 1_000)))
                return changed if len(changed) <= max_size else data
        changed = bytes(Mutate(data, max_size))
        if seed % 8 and is_text(data):  # else nearly all tries would be spent on guessing encodings
            return changed.decode("utf-8", "ignore").encode() or b"a"
        return changed

    def _report(self, text: str, data: bytes) -> None:
        if text not in self._seen:
            self._seen.add(text)
            self._keep(sha1(data).hexdigest()[:12], data)
        print(json.dumps({"fault": text}), flush=True)

    def _keep(self, name: str, data: bytes) -> None:
        (self._kept / f"{self._suffix[1:]}-{name}{self._suffix}").write_bytes(data)


def fuzz(suffix: str, samples: Path, kept: Path, options: list[str]) -> None:
    """Try until libFuzzer's time is over, which ends the process."""
    import atheris

    with atheris.instrument_imports(include=list(INSTRUMENTED), exclude=["rag.loaders.encoding_guess"]):
        for sample in sorted(samples.iterdir()):
            load(suffix, sample.read_bytes())
    target = Target(suffix, kept)
    atheris.Setup([sys.argv[0], *options], target.load, custom_mutator=target.change)
    atheris.Fuzz()


def run(suffix: str, samples: list[Path], seconds: float, kept: Path) -> Found:
    """Fuzz one suffix in a process that is started again after each crash and hang."""
    found, until = Found(), processor_seconds() + seconds
    with tempfile.TemporaryDirectory(prefix="atheris-") as name:
        corpus, starts = Path(name) / "corpus", Path(name) / "samples"
        corpus.mkdir()
        starts.mkdir()
        for nth, sample in enumerate(samples):
            (starts / f"{nth}{suffix}").write_bytes(sample.read_bytes())
        while (left := int(until - processor_seconds())) > 0:  # its own limit is by the clock, which is never less
            options = [
                *(f"-max_total_time={left}", f"-timeout={HANG}", f"-rss_limit_mb={MEMORY_MB}", "-print_final_stats=1"),
                *(f"-max_len={2 * MOST_BYTES}", f"-artifact_prefix={kept}/{suffix[1:]}-", str(corpus), str(starts)),
            ]
            command = [sys.executable, "-m", MODULE, str(starts), suffix, "--kept", str(kept)]
            before = set(kept.iterdir())
            ended = subprocess.run([*command, "--", *options], capture_output=True, text=True, errors="replace")
            read_output(ended.stdout + ended.stderr, found)
            new = {path.name.split("-")[1] for path in set(kept.iterdir()) - before if path.name.count("-") > 1}
            for kind in new & set(ENDINGS):
                found.faults[ENDINGS[kind]] += 1
            if ended.returncode and not new & set(ENDINGS):
                found.faults[f"ended with {ended.returncode}: {ended.stderr.strip().splitlines()[-1:]}"] += 1
                break
    return found


def processor_seconds() -> float:
    """Return what the processes that have ended took, with those that they waited for."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def read_output(text: str, found: Found) -> None:
    """Add what a process has printed."""
    for line in text.splitlines():
        if line.startswith("{"):
            said = json.loads(line)
            found.faults.update([said["fault"]] if "fault" in said else [])
            found.slowest = max(found.slowest, said.get("slowest", 0.0))
        elif edges := re.match(r"#\d+\s.* cov: (\d+)", line):
            found.reached.append(int(edges[1]))
        elif tries := re.match(r"stat::number_of_executed_units:\s+(\d+)", line):
            found.tries += int(tries[1])


def small(folder: Path) -> list[Path]:
    """Return the sample files that are small enough."""
    return sorted(path for path in folder.iterdir() if path.is_file() and 0 < path.stat().st_size <= MOST_BYTES)


def main() -> int:
    """Print what came of each suffix; return 1 where a fault was found."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("suffixes", nargs="*")
    parser.add_argument("--seconds", type=float, default=SECONDS)
    parser.add_argument("--kept", type=Path, help="the folder of faults, of a process that fuzzes")
    own, options = (sys.argv[1:], []) if "--" not in sys.argv else split_at(sys.argv[1:], "--")
    given = parser.parse_args(own)
    if given.kept:
        fuzz(given.suffixes[0], given.folder, given.kept, options)
        return 0
    kept = Path(tempfile.mkdtemp(prefix="atheris-faults-"))
    wrong = 0
    for suffix in given.suffixes or sorted(f".{each.name}" for each in given.folder.iterdir()):
        if not (samples := small(given.folder / suffix[1:])):
            print(f"{suffix}: no sample of at most {MOST_BYTES:,} bytes", flush=True)
            continue
        before = processor_seconds()
        found = run(suffix, samples, given.seconds, kept)
        start, end = (found.reached[0], max(found.reached)) if found.reached else (0, 0)
        print(
            f"{suffix}: {processor_seconds() - before:.0f} s, {len(samples)} samples, {found.tries:,} tries, "
            f"{start:,} to {end:,} edges reached, slowest {found.slowest:.1f} s",
            flush=True,
        )
        for text, n in found.faults.most_common(12):
            print(f"  {n} times {text}", flush=True)
        wrong += sum(found.faults.values())
    print(f"{wrong} faults; inputs in {kept}")
    return 1 if wrong else 0


def split_at(words: list[str], mark: str) -> tuple[list[str], list[str]]:
    """Return the words before and after a mark."""
    at = words.index(mark)
    return words[:at], words[at + 1 :]


if __name__ == "__main__":
    sys.exit(main())
