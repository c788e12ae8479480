"""python -m benchmarks.loaders.peers FOLDER --python PYTHON: our loaders and those of others on the same files.

PYTHON is the interpreter of an environment with markitdown, unstructured, pymupdf4llm and docling. Of each kind of file
some are drawn by the hash of their names. Measured as in benchmarks.loaders, against the same second readers. A peer is
measured on the kinds that it reads; a file that it cannot read has lost all of its words. docling reads PDF by models
from a hub, so its parser alone reads them; unstructured needs spaCy's en_core_web_sm, which it fetches where it is
missing.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

from benchmarks.loaders import second_readers
from benchmarks.loaders.words import Difference, compare, words
from rag.errors import Unreadable
from rag.loaders.formats import LOADERS

DRAWN = {".pdf": 40, ".docx": 20, ".html": 15, ".pptx": 10, ".xlsx": 10, ".epub": 5}
OFFICE = (".docx", ".html", ".pptx", ".xlsx")
PEERS = {
    "markitdown": tuple(DRAWN),
    "unstructured": (".pdf", *OFFICE),  # EPUB needs pandoc there
    "pymupdf4llm": (".pdf", ".epub"),
    "docling": OFFICE,
    "docling-parse": (".pdf",),
}
LEAST_WORDS = 200  # of a drawn file: most test files hold a line or two
LONGEST = 600  # seconds for all files of a peer
READER = Path(__file__).with_name("peer_read.py")
ROW = "{:14} {:7} {:>6} {:>7} {:>9} {:>8} {:>11} {:>9}"


def main() -> None:
    """Print words lost and invented and processor seconds, by reader and kind."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.loaders.peers", description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--python", required=True, help="interpreter of the environment with the peers")
    arguments = parser.parse_args()
    files = draw(arguments.folder)
    print(ROW.format("reader", "kind", "files", "failed", "words", "lost %", "invented %", "seconds"))
    report("thumbtune", ours([path for paths in files.values() for path in paths]), files)
    for peer, kinds in PEERS.items():
        paths = [path for kind in kinds for path in files.get(kind, [])]
        report(peer, theirs(peer, paths, arguments.python), {kind: files.get(kind, []) for kind in kinds})


def draw(folder: Path) -> dict[str, list[Path]]:
    """Return files by ending that have LEAST_WORDS by a second reader."""
    found: dict[str, list[Path]] = defaultdict(list)
    paths = [path for path in folder.rglob("*") if path.suffix.lower() in DRAWN]
    for path in sorted(paths, key=lambda path: hashlib.sha256(path.name.encode()).hexdigest()):
        kind = path.suffix.lower()
        if len(found[kind]) < DRAWN[kind] and any(
            len(words(text)) >= LEAST_WORDS for text in second_readers.read(path)[:1]
        ):
            found[kind].append(path)
    return {kind: found[kind] for kind in DRAWN}


def ours(paths: Sequence[Path]) -> dict[Path, tuple[str, float]]:
    """Return path -> (text, seconds), read by our loaders in this process."""
    texts = {}
    for path in paths:
        start = time.process_time()
        try:
            text = LOADERS[path.suffix.lower()](path.read_bytes()).text
        except Unreadable:
            text = ""
        texts[path] = text, time.process_time() - start
    return texts


def theirs(peer: str, paths: Sequence[Path], python: str) -> dict[Path, tuple[str, float]]:
    """Return path -> (text, seconds), read by a peer in its own environment."""
    names = "".join(f"{path.resolve()}\n" for path in paths)
    command = [python, str(READER), peer]
    try:
        done = subprocess.run(command, input=names, capture_output=True, text=True, timeout=LONGEST, check=False)
        lines = done.stdout
    except subprocess.TimeoutExpired as error:
        print(f"{peer}: stopped after {LONGEST} s", file=sys.stderr)
        lines = (error.stdout or b"").decode()
    rows = {row["path"]: row for row in map(json.loads, lines.splitlines())}
    return {path: (row["text"], row["seconds"]) for path in paths if (row := rows.get(str(path.resolve()))) is not None}


def report(reader: str, texts: dict[Path, tuple[str, float]], files: dict[str, list[Path]]) -> None:
    """Print a line for each kind and one for all."""
    for kind, paths in files.items():
        _print_line(reader, kind, paths, texts)
    _print_line(reader, "all", [path for paths in files.values() for path in paths], texts)


def _print_line(reader: str, kind: str, paths: Iterable[Path], texts: dict[Path, tuple[str, float]]) -> None:
    tried = [path for path in paths if path in texts]
    found = [(path, _compared(path, texts[path][0])) for path in tried]
    expected = sum(difference.expected for _, difference in found)
    read = sum(difference.read for _, difference in found)
    lost = 100 * sum(difference.lost.total() for _, difference in found) / max(1, expected)
    invented = 100 * sum(difference.invented.total() for _, difference in found) / max(1, read)
    failed = sum(not texts[path][0].strip() for path in tried)
    seconds = sum(texts[path][1] for path in tried)
    cells = (reader, kind, len(tried), failed, expected, f"{lost:.2f}", f"{invented:.2f}", f"{seconds:.1f}")
    print(ROW.format(*cells), flush=True)


def _compared(path: Path, text: str) -> Difference:
    others = second_readers.read(path)
    return compare(text, others, second_readers.third_of(path, others))


if __name__ == "__main__":
    main()
