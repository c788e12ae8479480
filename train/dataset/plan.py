"""Training plan: options, available labels, train/test splits. All that `--dry-run` shows.

It takes seconds, and writes only what is derived from other tables each time.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from rag.errors import NotEnoughFeedback
from rag.records import Pair, Qrels, content_id, normalise_query
from train.context import TrainingContext
from train.dataset.folds import EvaluationSplits, plan_splits
from train.dataset.gather import TrainingData, gather_ratings, gather_synthetic
from train.dataset.split import Split, split
from train.recipe import LossName
from train.synthetic.llm_questions import QuestionJournal

Kind = Literal["ratings", "bootstrap"]


@dataclass(frozen=True, slots=True)
class TrainingOptions:
    """The options of a training. 0, and no dims, select the measured default."""

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
    """The data that a training would use, and the splits that would judge it."""

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


def make_plan(context: TrainingContext, options: TrainingOptions) -> TrainingPlan:
    """Return the data of a training and the splits that judge it. Raises NotEnoughFeedback."""
    settings, chunks = context.settings, context.chunks
    written = QuestionJournal(settings.home, context.corpus.id, settings.answerer).pairs(chunks)
    gathered = gather_ratings(context, written) if options.kind == "ratings" else gather_synthetic(context, written)
    if options.kind == "ratings" and options.cross_fit:
        trial = plan_splits(gathered.pairs, gathered.extra, chunks)
    else:  # a newcomer waits for the bootstrap: no fold is worth that
        trial = EvaluationSplits("held out", (split(gathered.pairs, gathered.extra, chunks),))
    if not trial.qrels.relevant and not options.promote:
        raise NotEnoughFeedback(
            "none of the rated queries can judge a model: their passages were seen because a model ranked them. Import "
            "labels, or train with --promote and judge by eye"
        )
    return TrainingPlan(gathered, trial)


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
