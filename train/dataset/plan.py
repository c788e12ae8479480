"""Training plan: options, available labels, train/test splits (all that `--dry-run` shows).

Making a plan takes seconds and writes derived tables only.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from rag.errors import NotEnoughFeedback
from rag.records import Pair, Qrels, content_id, normalise_query
from train.context import TrainingContext
from train.dataset.earlier_versions import known_sides
from train.dataset.folds import EvaluationSplits, plan_splits
from train.dataset.gather import TrainingData, gather_ratings, gather_synthetic
from train.dataset.held_out import HeldOut, hold_out_groups
from train.dataset.split import Split, split
from train.recipe import LossName
from train.synthetic.llm_questions import QuestionJournal

Kind = Literal["ratings", "bootstrap"]


@dataclass(frozen=True, slots=True)
class TrainingOptions:
    """The options of a training. 0 and empty `dims` select the measured default."""

    kind: Kind = "ratings"
    fast: bool = False
    epochs: int = 0
    batch: int = 0
    seed: int = 0
    loss: LossName = "matryoshka"
    dims: tuple[int, ...] = ()
    lora: int = 0
    serve_dim: int = 0
    promote: bool = False
    report_to: tuple[str, ...] = ()  # experiment trackers, by transformers' names
    cross_fit: bool = True  # the benchmark's cells that need no verdict do without


@dataclass(frozen=True, slots=True)
class TrainingPlan:
    """The data for a training and its train/test splits."""

    gathered: TrainingData
    evaluation: EvaluationSplits
    spent: int = 0  # queries that would judge, had no earlier version been trained on them or on their passages

    @property
    def examples(self) -> list[Pair]:
        """Return the training pairs: those from ratings, and at most as many synthetic ones."""
        return with_replay(self.evaluation.main)

    def summary(self) -> str:
        """Return two lines: one on the labels, one on the train/test split."""
        main, examples = self.evaluation.main, self.examples
        tested = f"testing on {len(self.evaluation.qrels)} queries ({self.evaluation.kind})"
        text = f"split: training on {len(examples)} examples, {tested}"
        if main.leaks:
            text += f"; {main.leaks} more pairs left out, since their passage answers a test query"
        if self.spent:
            text += (
                f"; {self.spent} more queries would be test queries, had no earlier version been trained on them or on "
                "their passages"
            )
        if extra := len(examples) - len(main.train):
            text += f"; {extra} of the examples are synthetic and never test queries"
        with_negative = sum(bool(pair.negatives) for pair in examples)
        return f"{self.gathered.summary}\n{text}; {with_negative} have a negative from a rater"


def make_plan(context: TrainingContext, options: TrainingOptions) -> TrainingPlan:
    """Return the data of a training and its train/test splits. Raises NotEnoughFeedback."""
    settings, chunks = context.settings, context.chunks
    written = QuestionJournal(settings.home, context.corpus.id, settings.answerer).pairs(chunks)
    gathered = gather_ratings(context, written) if options.kind == "ratings" else gather_synthetic(context, written)
    held_out, spent = HeldOut(gathered.judging), 0
    if options.kind == "ratings":
        known = known_sides(context.registry, context.corpus.folders_id, [context.group])
        held_out = hold_out_groups(gathered.pairs, known)
        spent = len(hold_out_groups(gathered.pairs).judge - held_out.judge) if known.trained else 0
    if options.kind == "ratings" and options.cross_fit:
        evaluation = plan_splits(gathered.pairs, gathered.extra, chunks, held_out)
    else:  # the first start of the chat waits for the bootstrap: no time for folds
        main = split(gathered.pairs, gathered.extra, chunks, held_out)
        evaluation = EvaluationSplits("held out", (main,), held_out)
    if not evaluation.qrels.relevant and not options.promote:
        raise NotEnoughFeedback(
            "none of the rated queries can be a test query: their passages were found by a model alone, which cannot "
            "judge models. Import labels, or train with --promote and compare the answers yourself"
        )
    return TrainingPlan(gathered, evaluation, spent)


def with_replay(part: Split) -> list[Pair]:
    """Return a split's training pairs, and at most as many of its `extra` pairs, sampled by hash.

    Why sampled: a file of questions goes page by page, so its first ones would cover a few pages only.
    """
    sampled = sorted(part.extra, key=lambda pair: content_id("replay", pair.query, pair.positive_id))
    return [*part.train, *sampled[: len(part.train)]]


def with_judged(qrels: Qrels, gathered: TrainingData) -> Qrels:
    """Return the qrels with all judged chunks, less those that are positive in a pair but not reliable enough."""
    unsure = {(normalise_query(pair.query), pair.positive_id) for pair in gathered.pairs}
    judged = {}
    for query, relevant in qrels.relevant.items():
        key = normalise_query(query)
        others = {i for i in gathered.judged.get(key, ()) if (key, i) not in unsure}
        judged[query] = relevant | others
    return Qrels(qrels.relevant, judged)
