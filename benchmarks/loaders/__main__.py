"""Measure what the loaders lose and invent on a folder of real files, against second readers; by kind.

python -m benchmarks.loaders FOLDER [--list]: words that occur nowhere in what was read, those that only one of two
second readers has (alone), words that no second reader has, and the files beyond 2%. The folder is yours: public test
files of docling, unstructured, markitdown, tika, pandoc, pdf.js and others were used (docs/log.md); none is part of
this repository.
"""

from __future__ import annotations

import argparse
from collections import Counter, defaultdict
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

from benchmarks.loaders.measuring import Result, measure

LOOK_AT = 0.02  # of a file's words; each file beyond it is looked at
ROW = "{:10} {:>6} {:>8} {:>9} {:>9} {:>8} {:>8} {:>9} {:>7} {:>9}"


def main() -> None:
    """Print the table by kind, and with --list each file beyond LOOK_AT."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.loaders", description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--list", action="store_true", help="each file beyond 2%%, with the words")
    parser.add_argument("--processes", type=int, default=1)
    arguments = parser.parse_args()
    by_kind = defaultdict(list)
    paths = sorted(path for path in arguments.folder.rglob("*") if path.is_file())
    with ProcessPoolExecutor(arguments.processes, mp_context=get_context("spawn")) as pool:
        for path, future in [(path, pool.submit(measure, path)) for path in paths]:
            try:
                by_kind[path.suffix[1:].lower()].append(future.result())
            except Exception as error:  # noqa: BLE001  # a crash is a finding, the other files are still measured
                by_kind[path.suffix[1:].lower()].append(Result(path, None, 0.0, f"CRASH {error!r}"))
    print(
        ROW.format(
            "kind", "files", "compared", "words", "lost %", "alone %", "fewer %", "invented %", "> 2%", "CPU ms/file"
        )
    )
    for kind, results in sorted(by_kind.items()):
        _print_row(kind, results)
    everything = [result for results in by_kind.values() for result in results]
    _print_row("all", everything)
    explained = sum((result.difference.explained for result in everything if result.difference), Counter())
    print(
        "the same words written in another way, not counted:", ", ".join(f"{n} {rule}" for rule, n in explained.items())
    )
    if arguments.list:
        for results in by_kind.values():
            _print_list(results)


def _print_row(kind: str, results: list[Result]) -> None:
    found = [result.difference for result in results if result.difference]
    expected = sum(difference.expected for difference in found)
    read = sum(difference.read for difference in found)
    lost, alone, fewer, invented = (
        100 * amount / max(1, whole)
        for amount, whole in (
            (sum(difference.lost.total() for difference in found), expected),
            (sum(difference.alone.total() for difference in found), expected),
            (sum(difference.fewer for difference in found), expected),
            (sum(difference.invented.total() for difference in found), read),
        )
    )
    beyond = sum(max(difference.lost_share, difference.invented_share) > LOOK_AT for difference in found)
    cost = 1000 * sum(result.seconds for result in results) / max(1, len(results))
    print(
        ROW.format(
            kind,
            len(results),
            len(found),
            expected,
            f"{lost:.3f}",
            f"{alone:.3f}",
            f"{fewer:.2f}",
            f"{invented:.3f}",
            beyond,
            f"{cost:.0f}",
        )
    )


def _print_list(results: list[Result]) -> None:
    """Print each file beyond LOOK_AT, the most words lost or invented first, and each that was not read."""
    beyond = [
        (result.path.name, found)
        for result in results
        if (found := result.difference) and max(found.lost_share, found.invented_share) > LOOK_AT
    ]
    for name, found in sorted(beyond, key=lambda each: -each[1].lost.total() - each[1].invented.total()):
        lost, invented = (" ".join(list(bag)[:12]) for bag in (found.lost, found.invented))
        print(f"{name}: lost {found.lost.total()} of {found.expected} [{lost}]", end=" ")
        print(f"invented {found.invented.total()} of {found.read} [{invented}]")
    for result in results:
        if result.reason:
            print(f"{result.path.name}: not read: {result.reason}")


if __name__ == "__main__":
    main()
