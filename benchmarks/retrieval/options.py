"""What the retrieval options find, on questions that nobody here wrote: part (3) of benchmarks/retrieval.py.

    python -m benchmarks.retrieval.options FILE.json [--cache DIR] [--model REFERENCE] [--part test]


Takes any SQuAD-format file, as benchmarks.learning does, and the product's own tables and search. A figure is
the mean over the questions, a difference is paired by question, with its 95% interval. Questions are asked of all
documents. `--model` names a tuned model to measure next to the built-in one; its chunks are embedded first.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from time import perf_counter

import numpy as np

from benchmarks.learning.squad import Few, Part, World, build_world
from rag.evaluation.intervals import paired_bootstrap
from rag.evaluation.metrics import GATE, evaluate_run
from rag.indexing.update import update_vectors
from rag.ingest.corpus import load_corpus
from rag.models.arms import ServedModel
from rag.models.embedder import Embedder, load_embedder
from rag.records import Qrels
from rag.retrieval.search import SearchOptions, retrieve
from rag.store.store import Store, open_store

HIT, K_OF = "hit_rate@5", {"hit_rate@5": 5, GATE: 10}  # a metric is measured where k is what it looks at
WAYS: Mapping[str, SearchOptions] = {
    "dense": SearchOptions(explore=0),
    "dense + explore": SearchOptions(),
    "hybrid": SearchOptions(search="hybrid"),
    "dense, MMR 0.7": SearchOptions(explore=0, mmr=0.7),
}
QUICK = Few(24)
Scores = dict[str, np.ndarray]


def main() -> None:
    """Build the world where it is not there yet, and print the table."""
    given = _parser().parse_args()
    quick = os.environ.get("QUICK", "") not in ("", "0")
    folder = given.cache / ("quick" if quick else "full") / given.data.stem
    world = build_world(given.data, folder, QUICK if quick else None)
    print(world.summary(), flush=True)
    options(world, given.model, given.part)


def options(world: World, tuned: str = "", part: Part = "test", ways: Mapping[str, SearchOptions] = WAYS) -> None:
    """Print, for the base model and a tuned one where it is named, what each kind of search finds."""
    qrels = world.qrels(part)
    print(f"\n{len(qrels.relevant)} questions to {part}; differences to dense of the same model, with 95% intervals\n")
    print("| model | found by | hit_rate@5 | difference | ndcg@10 | difference | ms a question |")
    print("|---|---|---|---|---|---|---|")
    with closing(open_store(world.settings.lancedb)) as store:
        for name, reference in {"base": world.settings.base_model, "tuned": tuned}.items():
            if reference:
                served = serve(world, store, reference, list(qrels.relevant))
                for line in _lines(name, lambda options, served=served: measure(store, served, qrels, options), ways):
                    print(line, flush=True)


def serve(world: World, store: Store, reference: str, queries: list[str]) -> ServedModel:
    """Return a model as it would serve, its queries embedded beforehand: what is timed is the search."""
    embedder = load_embedder(reference, world.settings)
    table = update_vectors(store, load_corpus(world.settings).id, embedder)
    return ServedModel("base", reference, _Remembered(embedder, queries), table)  # type: ignore[arg-type]


def measure(store: Store, served: ServedModel, qrels: Qrels, options: SearchOptions) -> tuple[Scores, float]:
    """Return each metric per question, and the milliseconds of a search for five."""
    scores, ms = {}, 0.0
    for metric, k in K_OF.items():
        started = perf_counter()
        hits = {query: retrieve(store, served, query, replace(options, k=k)) for query in qrels.relevant}
        ms = ms or (perf_counter() - started) * 1000 / len(hits)
        run = {query: [hit.chunk.id for hit in found] for query, found in hits.items()}
        scores[metric] = evaluate_run(run, qrels)[metric]
    return scores, ms


def _lines(
    name: str, measured: Callable[[SearchOptions], tuple[Scores, float]], ways: Mapping[str, SearchOptions]
) -> list[str]:
    lines, first = [], Scores()
    for label, options in ways.items():
        scores, ms = measured(options)
        first = first or scores
        cells = []
        for metric in K_OF:
            gain = paired_bootstrap(scores[metric], first[metric])
            gain_text = f"{gain.mean:+.3f} [{gain.low:+.3f}, {gain.high:+.3f}]" if scores is not first else "-"
            cells += [f"{scores[metric].mean():.3f}", gain_text]
        lines.append(f"| {name} | {label} | {' | '.join(cells)} | {ms:.0f} |")
    return lines


class _Remembered:
    """An embedder that has embedded its queries."""

    def __init__(self, embedder: Embedder, queries: list[str]) -> None:
        self._known = dict(zip(queries, embedder.embed_queries(queries), strict=True))

    def embed_queries(self, queries: list[str]) -> np.ndarray:
        return np.array([self._known[query] for query in queries])


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.retrieval.options", description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, help="a SQuAD-format JSON file")
    parser.add_argument("--cache", type=Path, default=Path("data/bench-learning"), help="where the index is kept")
    parser.add_argument("--model", default="", help="a tuned model to measure as well")
    parser.add_argument("--part", choices=["train", "validation", "test"], default="test", help="which questions")
    return parser


if __name__ == "__main__":
    sys.exit(main())
