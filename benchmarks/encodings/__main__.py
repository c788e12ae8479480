"""Measure how many short texts in old encodings are read to the letter: `python -m benchmarks.encodings --django DIR`.

DIR is the unpacked wheel of Django 5.2 (`pip download django==5.2 --no-deps`), GNOME the unpacked package
gnome-user-docs of Debian. Thai and Bulgarian, of which GNOME has no text, are tried on files that are not counted.
"""

from __future__ import annotations

import argparse
import random
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from benchmarks.encodings.texts import ENCODINGS, UNSPACED, held_out
from rag.errors import Unreadable
from rag.loaders.decoding import decode

SIZES = (40, 80, 200, 1000)  # bytes
SAMPLES = 6  # of a language, encoding and size
TRIES = 400


def main() -> None:
    """Print the share that is read to the letter, by size, language and encoding."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.encodings", description=__doc__)
    parser.add_argument("--django", type=Path, required=True)
    parser.add_argument("--gnome", type=Path, required=True)
    given = parser.parse_args()
    right = defaultdict[str, list[bool]](list)
    for language, encoding, size, text, data in samples(given.django, given.gnome, random.Random(1)):
        is_right = _read(data) == text
        for key in (f"{size} bytes", language, encoding, "all"):
            right[key].append(is_right)
    for key, results in right.items():
        print(f"{key:14} {100 * sum(results) / len(results):5.1f}% of {len(results)}")


def samples(django: Path, gnome: Path, chance: random.Random) -> Iterator[tuple[str, str, int, str, bytes]]:
    """Yield (language, encoding, size, text, bytes) of random parts of the held-out texts."""
    for language, encodings in ENCODINGS.items():
        paragraphs = held_out(language, django, gnome)
        chance.shuffle(paragraphs)
        whole = "\n".join(paragraphs)
        for encoding in encodings:
            for size in SIZES:
                found = (_part(whole, language, encoding, size, chance) for _ in range(TRIES))
                kept = (text for text in found if len(text) >= size / 5 and not text.isascii())
                for text, _ in zip(kept, range(SAMPLES), strict=False):
                    yield language, encoding, size, text, text.encode(encoding)


def _part(whole: str, language: str, encoding: str, size: int, chance: random.Random) -> str:
    start = chance.randrange(max(1, len(whole) - 2 * size))
    start = whole.find("\n" if language in UNSPACED else " ", start) + 1
    data = whole[start : start + 2 * size].encode(encoding, "ignore")
    return data[:size].decode(encoding, "ignore")


def _read(data: bytes) -> str:
    try:
        return decode(data)
    except Unreadable:
        return ""


if __name__ == "__main__":
    main()
