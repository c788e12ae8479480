"""What retrieval costs and finds, part by part, compared with named peers in one run.

    python -m benchmarks.retrieval [--only PART ...] [--data FILE.json] [--cache DIR] [--sizes N ...]

indexing: a folder of text files to an index, compared with LangChain with Chroma and LlamaIndex; scale: question to
hits at 10,000 to a million chunks, compared with Chroma, FAISS and LanceDB's exact search; growth: what ten times the
documents cost; options: what each kind of search finds on questions of a SQuAD-format file; languages: the same
questions in five languages (XQuAD). QUICK=1 is small.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from pathlib import Path

from benchmarks.learning.squad import build_world
from benchmarks.retrieval.growth import growth
from benchmarks.retrieval.indexing import indexing
from benchmarks.retrieval.languages import languages
from benchmarks.retrieval.options import QUICK, options
from benchmarks.retrieval.scale import scale

DEFAULT_CACHE = Path("data/bench-retrieval")
DEFAULT_XQUAD = Path("../shared/data/xquad")
DEFAULT_DATA = Path("../shared/data/covidqa/200423_covidQA.json")


def main() -> None:
    """Run the parts, and print each one's table."""
    given = _parser().parse_args()
    quick = os.environ.get("QUICK", "") not in ("", "0")
    given.cache.mkdir(parents=True, exist_ok=True)
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} at the start", flush=True)
    for name in given.only or PARTS:
        print(f"\n## {name}\n", flush=True)
        PARTS[name](given, quick)


def _indexing(given: argparse.Namespace, quick: bool) -> None:
    if _has_data(given):
        indexing(given.data, given.cache, quick=quick)


def _scale(given: argparse.Namespace, quick: bool) -> None:
    scale(given.cache, quick=quick, sizes=given.sizes)


def _growth(given: argparse.Namespace, quick: bool) -> None:
    growth(quick=quick)


def _options(given: argparse.Namespace, quick: bool) -> None:
    if _has_data(given):
        folder = given.cache / ("quick" if quick else "full") / given.data.stem
        options(build_world(given.data, folder, QUICK if quick else None))


def _languages(given: argparse.Namespace, quick: bool) -> None:
    if given.xquad.is_dir():
        languages(given.xquad, given.cache, quick=quick)
    else:
        print(f"left out: there is no {given.xquad}; name a folder of xquad.LANGUAGE.json files with --xquad")


def _has_data(given: argparse.Namespace) -> bool:
    if not given.data.exists():
        print(f"left out: there is no {given.data}; name a SQuAD-format file with --data")
    return bool(given.data.exists())


PARTS: dict[str, Callable[[argparse.Namespace, bool], None]] = {
    "indexing": _indexing,
    "scale": _scale,
    "growth": _growth,
    "options": _options,
    "languages": _languages,
}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.retrieval", description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=PARTS, help="some parts instead of all")
    parser.add_argument("--data", type=Path, default=DEFAULT_DATA, help="a SQuAD-format JSON file")
    parser.add_argument("--xquad", type=Path, default=DEFAULT_XQUAD, help="a folder of xquad.LANGUAGE.json files")
    parser.add_argument("--cache", type=Path, default=DEFAULT_CACHE, help="where what is made is kept")
    parser.add_argument("--sizes", nargs="+", type=int, default=(), help="numbers of chunks, for the part on scale")
    return parser


if __name__ == "__main__":
    sys.exit(main())
