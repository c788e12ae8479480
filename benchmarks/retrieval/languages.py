"""hit_rate@5 by language: XQuAD asks the same questions in English, German, Spanish, Chinese and Arabic.

Each language is a corpus of its own (240 paragraphs) with the built-in model, which was trained on English. All
questions are asked, since nothing is trained here; a chunk that holds half of the answer is right.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import numpy as np

from benchmarks.learning.squad import Few, World, build_world
from benchmarks.retrieval.options import HIT, WAYS, serve
from rag.evaluation.intervals import paired_bootstrap
from rag.evaluation.metrics import evaluate_run
from rag.records import Qrels
from rag.retrieval.search import retrieve
from rag.store.store import Store, open_store

K = 5
LANGUAGES = ("en", "de", "es", "zh", "ar")
SEARCHES = ("dense", "dense + explore", "hybrid")
QUICK_DOCUMENTS = Few(24)


def languages(data: Path, cache: Path, *, quick: bool = False) -> None:
    """Print hit_rate@5 of each search in each language, and what hybrid adds to dense with its 95% interval."""
    print(f"| language | questions | chunks | {' | '.join(SEARCHES)} | BM25 alone | hybrid - dense |")
    print("|---|---|---|---|---|---|---|---|")
    for language in LANGUAGES:
        folder = cache / ("quick" if quick else "full") / f"xquad-{language}"
        world = build_world(data / f"xquad.{language}.json", folder, QUICK_DOCUMENTS if quick else None)
        print(_row(language, world), flush=True)


def _row(language: str, world: World) -> str:
    qrels = Qrels({asked.query: asked.gold for asked in world.asked})
    with closing(open_store(world.settings.lancedb)) as store:
        served = serve(world, store, world.settings.base_model, list(qrels.relevant))
        scores = {
            name: _hit_rates(
                qrels, lambda query, way=WAYS[name]: [hit.chunk.id for hit in retrieve(store, served, query, way)]
            )
            for name in SEARCHES
        }
        scores["BM25 alone"] = _hit_rates(qrels, lambda query: _bm25(store, served.table, query))
    gain = paired_bootstrap(scores["hybrid"], scores["dense"])
    cells = " | ".join(f"{rates.mean():.3f}" for rates in scores.values())
    interval = f"{gain.mean:+.3f} [{gain.low:+.3f}, {gain.high:+.3f}]"
    return f"| {language} | {len(qrels.relevant)} | {len(world.chunks)} | {cells} | {interval} |"


def _bm25(store: Store, table: str, query: str) -> list[str]:
    return list(store.chunks.keyword_scores(table, query, K))


def _hit_rates(qrels: Qrels, find: Callable[[str], list[str]]) -> np.ndarray:
    return evaluate_run({query: find(query) for query in qrels.relevant}, qrels)[HIT]
