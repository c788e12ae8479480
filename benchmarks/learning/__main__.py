"""What learning gains, on data that nobody here wrote: labels, ratings, noise, cold start, and never a worse model.

    python -m benchmarks.learning FILE.json [--cache DIR] [--seeds N] [--only PART ...]     (QUICK=1: a small variant)

Takes any SQuAD-format file. Everything goes through the product's own ingest, chains, feedback and training; the rater
is simulated: up when a passage that the answer cites holds the answer's span. A cell is measured once and kept in the
cache, so a run that breaks off goes on where it was. Gains are over base, on questions about documents that no label is
on.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from benchmarks.learning.cells import Cells
from benchmarks.learning.parts import PARTS
from benchmarks.learning.squad import Few, build_world

DEFAULT_CACHE = Path("data/bench-learning")


def main() -> None:
    """Measure what the cache lacks, part by part, and print each part's table when it is complete."""
    given = _parser().parse_args()
    quick = os.environ.get("QUICK", "") not in ("", "0")
    cache = given.cache / ("quick" if quick else "full")
    world = build_world(given.data, cache / given.data.stem, QUICK if quick else None)
    cells = Cells(cache / given.data.stem, world, quick=quick)
    print(world.summary(), flush=True)
    for name in given.only or PARTS:
        print(f"\n## {name}\n", flush=True)
        PARTS[name](cells, given.seeds)


QUICK = Few(24, 240)  # fewer leave too few rated questions to train on; the intervals are wide


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.learning", description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, help="a SQuAD-format JSON file")
    parser.add_argument("--cache", type=Path, default=DEFAULT_CACHE, help="where cells are kept (default: %(default)s)")
    parser.add_argument("--seeds", type=int, default=2, help="trainings per cell of the first part")
    parser.add_argument("--only", nargs="+", choices=PARTS, help="some parts instead of all")
    return parser


if __name__ == "__main__":
    sys.exit(main())
