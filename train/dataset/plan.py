"""What was asked for and what there is to go on: labels, the trial they allow, and what would be learnt from.

Nothing here costs more than seconds or writes anything that is not derived anew each time: `--dry-run` ends with it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from rag.errors import NotEnoughFeedback
from rag.indexing.update import load_corpus
from rag.ingest.documents import Corpus
from rag.records import Chunk, Pair, Qrels, content_id, normalise_query
from rag.settings import Settings
from rag.store.store import Store
from train.dataset.folds import EvaluationSplits, plan_splits
from train.dataset.gather import TrainingData, gather_ratings, gather_synthetic, indexed_chunks
from train.dataset.split import Split, split
from train.recipe import LossName
from train.synthetic.llm_questions import QuestionJournal

Kind = Literal["ratings", "bootstrap"]


@dataclass(frozen=True, slots=True)
class TrainingOptions:
    """What a user asked for. 0, and no dims, leave the choice to what was measured."""

    kind: Kind = "ratings"
    fast: bool = False
    epochs: int = 0
    seed: int = 0
    loss: LossName = "matryoshka"
    dims: tuple[int, ...] = ()
    lora: int = 0
    serve_dim: int = 0
    promote: bool = False
    cross_fit: bool = True  # the benchmark's cells that need no verdict do without


@dataclass(frozen=True, slots=True)
class TrainingPlan:
    """What a training would go on: the labels, and by what it would be judged."""

    corpus: Corpus
    chunks: Sequence[Chunk]
    gathered: TrainingData
    trial: EvaluationSplits

    @property
    def examples(self) -> list[Pair]:
        """Return the pairs to learn from: those of the raters, and of the others at most as many."""
        return with_replay(self.trial.main)

    def told(self) -> str:
        """Return it in words, a line on the labels and one on the split."""
        main, judging = self.trial.main, len(self.trial.qrels)
        told = f"split: {judging} queries judge, {self.trial.kind}; {len(main.train)} pairs to train on"
        if main.leaks:
            told += f" ({main.leaks} left out: they lead to a chunk of a held-out query)"
        if more := len(self.examples) - len(main.train):
            told += f", {more} added that judge nothing"
        rated = sum(bool(pair.negatives) for pair in self.examples)
        return f"{self.gathered.told}\n{told}; {rated} have a negative from a rater"


def make_plan(settings: Settings, store: Store, order: TrainingOptions) -> TrainingPlan:
    """Return what a training would go on. Raises NotIndexed, NotEnoughFeedback."""
    corpus = load_corpus(settings)
    chunks = indexed_chunks(store, corpus.id)
    written = QuestionJournal(settings.home, corpus.id, settings.answerer).pairs(chunks)
    if order.kind == "ratings":
        gathered = gather_ratings(store, settings, corpus.id, chunks, written)
    else:
        gathered = gather_synthetic(store, settings, chunks, written)
    if order.kind == "ratings" and order.cross_fit:
        trial = plan_splits(gathered.pairs, gathered.extra, chunks)
    else:  # a newcomer waits for the bootstrap: no fold is worth that
        trial = EvaluationSplits("held out", (split(gathered.pairs, gathered.extra, chunks),))
    if not trial.qrels.relevant and not order.promote:
        raise NotEnoughFeedback(
            "none of the rated queries can judge a model: their passages were seen because a model ranked them. Import "
            "labels, or train with --promote and judge by eye"
        )
    return TrainingPlan(corpus, chunks, gathered, trial)


def with_replay(part: Split) -> list[Pair]:
    """Return a split's pairs to learn from, and of those that nobody asked at most as many, from all over.

    A file of questions goes page by page: its first ones would be of a few pages only.
    """
    anywhere = sorted(part.extra, key=lambda pair: content_id("replay", pair.query, pair.positive_id))
    return [*part.train, *anywhere[: len(part.train)]]


def with_judged(qrels: Qrels, gathered: TrainingData) -> Qrels:
    """Return the qrels with the chunks that raters looked at, less those of which they were half sure."""
    half = {(normalise_query(pair.query), pair.positive_id) for pair in gathered.pairs}
    judged = {}
    for query, relevant in qrels.relevant.items():
        key = normalise_query(query)
        looked = {i for i in gathered.judged.get(key, ()) if (key, i) not in half}
        judged[query] = relevant | looked
    return Qrels(qrels.relevant, judged)
