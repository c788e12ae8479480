"""What a single wrong mark costs a document: `python -m benchmarks.loaders.one_mark FILE ... [--tries 20]`.

One punctuation mark of a text document is deleted or doubled, as people mistype it, and the words that its loader reads
are compared with those of the whole document. A try fails if more than LEAST words and PART of all are gone and neither
an error nor a note of what is lost says so. Words go that tables repeat: look at what is named.
"""

from __future__ import annotations

import argparse
import random
from collections import Counter
from pathlib import Path

from benchmarks.loaders.words import words
from rag.errors import Unreadable
from rag.loaders.formats import LOADERS

PART, LEAST = 0.08, 12
MOST = 60_000  # characters of a document that are read: each try reads them again
AROUND = 30  # characters beside a mark that are printed


def main() -> None:
    """Print, for each suffix, how many tries there were and which failed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE")
    parser.add_argument("--tries", type=int, default=20, help="for each file (default: %(default)s)")
    given = parser.parse_args()
    tried, failed = Counter[str](), Counter[str]()
    draw = random.Random(0)
    for path in given.files:
        text = path.read_text("utf-8", errors="ignore")[:MOST]
        marks = [at for at, char in enumerate(text) if not char.isalnum() and not char.isspace()]
        if path.suffix not in LOADERS or not marks:
            continue
        whole = LOADERS[path.suffix](text.encode())
        known = Counter(words(whole.text))
        for _ in range(given.tries):
            at, again = draw.choice(marks), draw.random() < 0.5
            tried[path.suffix] += 1
            try:
                read = LOADERS[path.suffix]((text[:at] + text[at] * 2 * again + text[at + 1 :]).encode())
            except Unreadable:
                continue
            gone = (known - Counter(words(read.text))).total()
            if gone > PART * known.total() + LEAST and read.lost == whole.lost:
                failed[path.suffix] += 1
                how = "doubled" if again else "deleted"
                print(f"{gone / known.total():.0%} gone: {path}, {text[at]!r} {how} in", end=" ")
                print(repr(text[max(0, at - AROUND) : at + AROUND]))
    for suffix, number in tried.items():
        print(f"{suffix}: {number} tries, {failed[suffix]} lost words without a word")


if __name__ == "__main__":
    main()
