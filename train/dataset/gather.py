"""Collect training data: pairs from ratings, or synthetic pairs from the documents where nobody has rated yet.

This module reads the tables, questions.jsonl and the LLM's questions. rag.feedback.pairs, train.synthetic and
train.dataset.split decide what the rows mean.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain

from rag.cli import counted
from rag.errors import NotEnoughFeedback
from rag.evaluation.metrics import MIN_QUERIES
from rag.feedback.credit import KeywordRanks, RankOf, judged_queries, may_judge, unranked
from rag.feedback.pairs import MadePairs, alike, count_queries, rated_pairs, synthetic_to_pairs
from rag.feedback.ratings import repair
from rag.groups import read_groups
from rag.indexing.update import update_vectors
from rag.models.embedder import load_embedder
from rag.models.registry import START_WEIGHTS
from rag.records import LabelledPair, Pair, SyntheticPair, normalise_query
from train.context import TrainingContext
from train.dataset.split import require_enough
from train.dataset.synthetic_split import divide
from train.dataset.unanswerable import unanswerable_queries
from train.synthetic.from_documents import (
    MOST_MADE,
    from_clozes,
    from_definitions,
    from_headings,
    from_questions,
    read_questions,
    synthetic_weight,
)

KINDS = {  # of the summary, with the origins of their pairs
    "questions": ("questions", "llm"),
    "headings": ("heading",),
    "definitions": ("definition",),
    "sentences": ("cloze",),
}
ENOUGH_ASKED = 200  # questions; a fifth is held out, and of these 20 must be left to be a regression set


@dataclass(frozen=True, slots=True)
class TrainingData:
    """Pairs for training and testing, pairs for training only (`extra`), and a summary of their origin.

    `general` are synthetic pairs from the documents, to test on queries that nobody rated. `labels` and `made` are set
    where there are ratings. `absent` are queries that the documents do not answer, by kind (abstention.KINDS), and
    `unasked` the normalised synthetic queries that no user would ask (headings, definitions, sentences). `judging` are
    the normalised synthetic queries that judge a bootstrap.
    """

    pairs: Sequence[Pair]
    extra: Sequence[Pair]
    summary: str
    general: Sequence[Pair] = ()
    labels: Sequence[LabelledPair] = ()
    made: MadePairs | None = None
    absent: Mapping[str, Sequence[str]] = field(default_factory=dict)
    unasked: frozenset[str] = frozenset()
    judging: frozenset[str] = frozenset()

    @property
    def judged(self) -> Mapping[str, frozenset[str]]:
        """Return the judged chunk ids of each normalised query."""
        return self.made.judged if self.made else {}


def gather_ratings(context: TrainingContext, written: Sequence[SyntheticPair] = ()) -> TrainingData:
    """Return the pairs from ratings, and those of synthetic questions as `extra`. Raises NotEnoughFeedback.

    `written` are the pairs of the LLM's questions. The more rated queries, the less a synthetic pair weighs.
    """
    store, settings, chunks = context.store, context.settings, context.chunks
    repair(store)
    labels = of_group(context, store.feedback.labels())
    rank_of = keyword_ranks(context, labels)
    made = rated_pairs(labels, chunks, alike, rank_of)
    require_enough(made.pairs, len(made.retired), context.group)
    pairs = may_judge(made.pairs, labels, rank_of, settings.explore)
    summary = f"labels{f' of group {context.group}' if context.group else ''}: {_count(pairs)}"
    if train_only := count_queries(pairs) - count_queries([pair for pair in pairs if pair.judges]):
        theirs = "its passage was" if train_only == 1 else "their passages were"
        summary += (
            f"; for training only: {counted(train_only, 'query', 'queries')}, since {theirs} found by a model alone"
        )
    if made.ties:
        summary += f"; left out, since raters disagree: {counted(made.ties, 'chunk')}"
    if made.retired:
        summary += f"; {len(made.retired)} labels point at text no longer in these documents"
    questions = read_questions(settings.docs)
    asked = [*from_questions(questions, chunks), *written]
    replay = synthetic_to_pairs(asked, synthetic_weight(count_queries(made.pairs)))
    general = synthetic_to_pairs(asked if len(asked) >= ENOUGH_ASKED else [*asked, *from_headings(chunks, MOST_MADE)])
    absent = unanswerable_queries(settings, store, questions, [pair.query for pair in made.pairs])
    return TrainingData(pairs, replay, summary, general, labels, made, absent)


def of_group(context: TrainingContext, labels: Sequence[LabelledPair]) -> Sequence[LabelledPair]:
    """Return the labels of the group's raters; all where the training is for everybody."""
    if not context.group:
        return labels
    groups = read_groups(context.settings.home)
    return [label for label in labels if groups.of(label.rater) == context.group]


def keyword_ranks(context: TrainingContext, labels: Sequence[LabelledPair]) -> RankOf:
    """Return the BM25 ranks for the judged queries, from the base model's table; updates the table first."""
    if not judged_queries(labels):
        return unranked
    base = load_embedder(context.settings.base_model, context.settings)
    return KeywordRanks(context.store, update_vectors(context.store, context.corpus.id, base)).of(labels)


def gather_synthetic(context: TrainingContext, written: Sequence[SyntheticPair] = ()) -> TrainingData:
    """Return synthetic pairs from the documents, after writing them to their table. Raises NotEnoughFeedback.

    Where enough questions were written, other kinds gained nothing (measured: docs/log.md) and are left out. Else
    headings, definitions and sentences judge and teach, too (train.dataset.synthetic_split); of the last two at most as
    many teach as of the first, where there are enough of these.
    """
    store, settings, chunks = context.store, context.settings, context.chunks
    questions = read_questions(settings.docs)
    asked = [*from_questions(questions, chunks), *written]
    made: list[list[SyntheticPair]] = []
    if count_queries(asked) < MIN_QUERIES:
        made = [from_headings(chunks), from_definitions(chunks), from_clozes(chunks)]
    if (queries := count_queries([*asked, *chain(*made)])) < MIN_QUERIES:
        raise NotEnoughFeedback(
            f"{queries} queries can be made from these documents, need {MIN_QUERIES}: the "
            f"{START_WEIGHTS} serve until answers are rated"
        )
    parts = divide(asked, made)
    training = list(chain(*parts.training))
    used = [*asked, *parts.judging, *training]
    store.feedback.put_synthetic(used)
    kinds = {kind: [pair for pair in used if pair.origin in origins] for kind, origins in KINDS.items()}
    summary = "; ".join(f"{kind}: {_count(pairs)}" for kind, pairs in kinds.items() if pairs)
    found = {pair.query for pair in asked}
    gone = [question.question for question in questions if question.source and question.question not in found]
    if gone:
        summary += f"; {len(gone)} questions name a section that is gone, such as {gone[0]!r}"
    unasked = parts.queries - {normalise_query(pair.query) for pair in asked}
    absent = unanswerable_queries(settings, store, questions)
    rest = [pair for pair in training if pair.origin != "heading"]
    best = [pair for pair in training if pair.origin == "heading"]
    if count_queries([*asked, *best]) < MIN_QUERIES:
        best, rest = training, []
    return TrainingData(
        synthetic_to_pairs([*asked, *parts.judging, *best]),
        synthetic_to_pairs(rest),
        summary,
        absent=absent,
        unasked=unasked,
        judging=parts.queries,
    )


def _count(pairs: Sequence[Pair | SyntheticPair]) -> str:
    return f"{len(pairs)} pairs on {count_queries(pairs)} queries"
