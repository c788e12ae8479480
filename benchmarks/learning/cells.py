"""Cells: one training each, through the product's own import, chains, feedback and training, evaluated and cached.

Why: a cell keeps the value of every test question, not a mean. So any two cells can be compared by a paired interval
later, without training again.
"""

from __future__ import annotations

import asyncio
import json
import random
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import aclosing, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.learning.squad import Asked, Part, World
from rag.answering.duel import Done
from rag.answering.service import open_service
from rag.errors import NotEnoughFeedback
from rag.evaluation.intervals import Interval, paired_bootstrap
from rag.evaluation.metrics import GATE, Values
from rag.feedback.files.import_export import import_labels
from rag.feedback.ratings import rate_answer
from rag.indexing.update import update_vectors
from rag.ingest.corpus import load_corpus
from rag.models.embedder import Embedder, Vectors, load_embedder
from rag.models.weights import read_dense_weight
from rag.records import ARMS, CHOICES, SIDES, Answer, Choice, Label, content_id
from rag.settings import Search, Settings
from rag.store.store import Store, open_store
from train.chunk_vectors import table_vectors
from train.context import open_context
from train.dataset.plan import TrainingOptions, TrainingPlan, make_plan
from train.judging.evaluate import KeywordSearch, ScoredCandidate, judge, keyword_search
from train.pipeline import TrainingOutcome, run_training
from train.progress import StageReporter
from train.recipe import matryoshka_dims

HIT = "hit_rate@5"
METRICS = (HIT, GATE)
OPPOSITE: dict[Label, Label] = {1: -1, -1: 1}
NEVER = 1_000  # beyond every place of a citation
JUDGED: tuple[Part, ...] = ("test", "validation")


@dataclass(frozen=True, slots=True)
class Rater:
    """A simulated crowd: `votes` of the `raters` rate each answer, `flips` of the thumbs are wrong, one may be mean."""

    name: str = "clean"
    flips: float = 0.0
    raters: int = 1
    votes: int = 1
    spiteful: bool = False

    def thumbs(self, answer: Answer, gold: frozenset[str]) -> list[tuple[str, Label]]:
        """Return who says what: up when a passage that the answer cites holds the span of the right answer."""
        cited = {hit.chunk.id for hit in answer.hits if hit.rank in answer.rests_on}
        right: Label = 1 if cited & gold else -1
        draw = random.Random(content_id(self.name, answer.query, answer.arm))
        said: list[tuple[str, Label]] = []
        for number in draw.sample(range(self.raters), self.votes):
            wrong = draw.random() < self.flips or (self.spiteful and number == 0)
            said.append((f"rater-{number}", OPPOSITE[right] if wrong else right))
        return said

    def preference(self, duel: tuple[Answer, Answer], gold: frozenset[str]) -> Choice:
        """Return which answer is preferred, base or tuned: the one that cites a right passage, or cites it earlier.

        Of a share of `flips` of the duels something else is said, each other choice as often.
        """
        base, tuned = (_first_right(answer, gold) for answer in duel)
        right: Choice = "base" if base < tuned else "tuned" if tuned < base else "tie" if base < NEVER else "both bad"
        draw = random.Random(content_id(self.name, duel[0].query, "preference"))
        others = [choice for choice in CHOICES if choice and choice != right]
        return draw.choice(others) if draw.random() < self.flips else right


def _first_right(answer: Answer, gold: frozenset[str]) -> int:
    """Return at which place an answer cites a right passage first, from 0; NEVER if it cites none."""
    chunks = {hit.rank: hit.chunk.id for hit in answer.hits}
    return next((place for place, rank in enumerate(answer.rests_on) if chunks[rank] in gold), NEVER)


class Cells:
    """The cells of one data set. `cell` computes what the cache lacks; the rest is what cells are made of."""

    def __init__(self, folder: Path, world: World, *, quick: bool) -> None:
        self.folder, self.world, self.quick = folder, world, quick
        (folder / "cells").mkdir(parents=True, exist_ok=True)

    def cell(self, name: str, compute: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """Return a cell by its name, from the cache or computed now; a broken-off one leaves nothing."""
        path = self.folder / "cells" / f"{name}.json"
        if not path.exists():
            began, cpu = time.monotonic(), time.process_time()
            result = {**compute(), "wall_s": time.monotonic() - began, "cpu_s": time.process_time() - cpu}
            draft = path.with_suffix(".draft")
            draft.write_text(json.dumps(result))
            draft.replace(path)
        return json.loads(path.read_text())

    def base(self, search: Search = "dense") -> dict[str, Any]:
        """Return the cell of the off-the-shelf model, by dense or hybrid search."""

        def compute() -> dict[str, Any]:
            settings = self.world.settings.model_copy(update={"search": search})
            embedder = load_embedder(settings.base_model, settings)
            with closing(open_store(settings.lancedb)) as store:
                context = open_context(settings, store)
                table = update_vectors(store, context.corpus.id, embedder)
                vectors = table_vectors(store, table, context.chunks, settings.cache)
                return self.judged(embedder, vectors, keyword_search(context, embedder))

        return self.cell("base" if search == "dense" else "base-hybrid", compute)

    def judged(
        self,
        embedder: Embedder,
        vectors: Vectors,
        keywords: KeywordSearch | None = None,
        dense_weight: float | None = None,
    ) -> dict[str, Any]:
        """Return a model's values per question of documents that nothing was learnt from; with keywords, by hybrid."""
        found: dict[str, Any] = {}
        for part in JUDGED:
            qrels = self.world.qrels(part)
            queries = embedder.embed_queries(list(qrels.relevant))
            entered = {"model": ScoredCandidate("model", queries, vectors, dense_weight)}
            scores = judge(entered, qrels, self.world.chunks, matryoshka_dims, keywords)["model"]
            found[part] = {str(dim): {m: values[m].tolist() for m in METRICS} for dim, values in scores.items()}
        return found

    def gain(self, cell: dict[str, Any], over: dict[str, Any] | None = None, metric: str = HIT) -> Interval:
        """Return the gain of a cell over another one, by default base, on the test questions at full dimension."""
        return paired_bootstrap(values_of(cell, metric), values_of(over or self.base(), metric))

    @contextmanager
    def home(self, **changes: object) -> Iterator[tuple[Settings, Store]]:
        """Give a copy of the indexed home, with the documents where they are, and its open tables."""
        home = self.folder / f"home-{time.monotonic_ns()}"
        shutil.copytree(self.world.settings.home, home)
        settings = self.world.settings.model_copy(update={"home": home, **changes})
        try:
            with closing(open_store(settings.lancedb)) as store:
                yield settings, store
        finally:
            shutil.rmtree(home, ignore_errors=True)

    def label(self, settings: Settings, store: Store, asked: Sequence[Asked]) -> None:
        """Import the right chunks of some questions as labels."""
        texts = {chunk.id: chunk.text for chunk in self.world.chunks}
        lines = [{"query": a.query, "text": texts[i], "label": 1} for a in asked for i in sorted(a.gold)]
        path = settings.home / "labels.jsonl"
        path.write_text("\n".join(map(json.dumps, lines)))
        import_labels(path, store, store.documents.read(load_corpus(settings).id))

    def learn(
        self, settings: Settings, store: Store, options: TrainingOptions, plan: TrainingPlan | None = None
    ) -> dict[str, Any]:
        """Train as the product does, judge the challenger as the settings search, and return both with what it took.

        Where the product would refuse to train, what it says is returned in its place. With hybrid search the cell
        `usual` has the values without the learnt weight.
        """
        cpu = time.process_time()
        context = open_context(settings, store)
        try:
            plan = plan or make_plan(context, options)
        except NotEnoughFeedback as error:
            return {"refused": str(error).partition(":")[0]}
        learned = run_training(context, options, plan, StageReporter(lambda line: None))
        assert learned, "a cell is measured by one process"
        spent = time.process_time() - cpu
        embedder, keywords = (
            learned.trained.embedder,
            keyword_search(context, load_embedder(settings.base_model, settings)),
        )
        weight = read_dense_weight(str(settings.models / learned.version.name))
        found = {**self.judged(embedder, learned.vectors, keywords, weight), "weight": weight}
        if keywords:
            found["usual"] = self.judged(embedder, learned.vectors, keywords)
        return {**found, **outcome_of(learned), "train_cpu_s": spent}

    def ask(self, settings: Settings, asked: Sequence[Asked], rater: Rater) -> dict[str, int]:
        """Ask both arms through the chains that serve, and store what the rater says of each answer."""
        return asyncio.run(_ask(settings, asked, rater))


def values_of(cell: dict[str, Any], metric: str = HIT, part: Part = "test", dim: int | None = None) -> Values:
    """Return a cell's values per question."""
    by_dim = cell[part]
    return np.array(by_dim[str(dim or max(map(int, by_dim)))][metric])


def outcome_of(learned: TrainingOutcome) -> dict[str, Any]:
    """Return of a training what the tables need."""
    facts = {key: value for key, value in learned.trained.facts.items() if isinstance(value, int | float | str)}
    return {
        "pairs": len(learned.trained.pairs),
        "verdict": learned.version.verdict,
        "summary": learned.version.summary,
        "facts": facts,
    }


async def _ask(settings: Settings, asked: Sequence[Asked], rater: Rater) -> dict[str, int]:
    serving = open_service(settings)
    gold = {each.query: each.gold for each in asked}
    counts = {"up": 0, "down": 0}
    sides = dict(zip(ARMS, SIDES, strict=True))
    try:
        for each in asked:
            duel = content_id("duel", each.query)
            async with aclosing(serving.ask(each.query, sides=sides, duel_id=duel)) as events:
                async for event in events:
                    if not isinstance(event, Done):
                        continue
                    for who, value in rater.thumbs(event.answer, gold[each.query]):
                        rate_answer(
                            serving.store,
                            rater=who,
                            answer_id=event.answer.id,
                            value=1 if value > 0 else -1,
                            blind=True,
                        )
                        counts["up" if value > 0 else "down"] += 1
    finally:
        serving.close()
    return counts
