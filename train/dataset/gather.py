"""What a training has to go on: pairs from the raters, or from the documents where nobody has rated yet.

Here the tables are read, the file of questions and what an LLM wrote; what the rows mean is decided in pairs,
synthesize and split.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from rag.errors import NotEnoughFeedback
from rag.evaluation.metrics import MIN_QUERIES
from rag.feedback.credit import KeywordRanks, RankOf, judged_queries, may_judge, unranked
from rag.feedback.pairs import MadePairs, count_queries, rated_pairs, synthetic_to_pairs
from rag.feedback.ratings import repair
from rag.indexing.update import update_vectors
from rag.models.embedder import load_embedder
from rag.models.registry import START_WEIGHTS
from rag.records import LabelledPair, Pair, SyntheticPair, normalise_query
from train.context import TrainingContext
from train.dataset.split import alike, require_enough
from train.dataset.unanswerable import unanswerable_queries
from train.synthetic.from_documents import (
    from_clozes,
    from_definitions,
    from_headings,
    from_questions,
    read_questions,
    synthetic_weight,
)

ENOUGH_ASKED = 200  # questions; a fifth is held out, and of these 20 must be left to be a regression set


@dataclass(frozen=True, slots=True)
class TrainingData:
    """Pairs that teach and judge, pairs that only teach, and what to tell of where they came from.

    `general` are pairs of queries made from the documents, for a look at what nobody rated. `labels` and `made` are
    there where raters spoke. `absent` are queries that the documents do not answer, by kind (abstention.KINDS), and
    `unasked` the normalised ones that were made of the documents' own words, as nobody asks.
    """

    pairs: Sequence[Pair]
    extra: Sequence[Pair]
    told: str
    general: Sequence[Pair] = ()
    labels: Sequence[LabelledPair] = ()
    made: MadePairs | None = None
    absent: Mapping[str, Sequence[str]] = field(default_factory=dict)
    unasked: frozenset[str] = frozenset()

    @property
    def judged(self) -> Mapping[str, frozenset[str]]:
        """Return for a normalised query the chunks that somebody looked at."""
        return self.made.judged if self.made else {}


@dataclass(frozen=True, slots=True)
class SyntheticSources:
    """Queries that nobody asked, by what they were made from."""

    asked: list[SyntheticPair]
    headings: list[SyntheticPair] = field(default_factory=list)
    definitions: list[SyntheticPair] = field(default_factory=list)
    clozes: list[SyntheticPair] = field(default_factory=list)


def gather_ratings(context: TrainingContext, written: Sequence[SyntheticPair] = ()) -> TrainingData:
    """Return the pairs made from ratings, and as replay those of synthetic questions. Raises NotEnoughFeedback.

    `written` are the pairs of questions that an LLM wrote. Replayed pairs weigh less as ratings come in.
    """
    store, settings, chunks = context.store, context.settings, context.chunks
    repair(store)
    labels = store.feedback.labels()
    rank_of = keyword_ranks(context, labels)
    made = rated_pairs(labels, chunks, alike, rank_of)
    require_enough(made.pairs, len(made.retired))
    pairs = may_judge(made.pairs, labels, rank_of, settings.explore)
    told = f"labels: {_count(pairs)}"
    if unheard := count_queries(pairs) - count_queries([pair for pair in pairs if pair.judges]):
        told += f"; {unheard} queries only teach: what answers them was seen because a model ranked it"
    if made.drawn:
        told += f"; raters are split on {made.drawn} chunks, which are left out"
    if made.retired:
        told += f"; {len(made.retired)} labels point at text no longer in these documents"
    questions = read_questions(settings.docs)
    asked = [*from_questions(questions, chunks), *written]
    replay = synthetic_to_pairs(asked, synthetic_weight(count_queries(made.pairs)))
    general = synthetic_to_pairs(asked if len(asked) >= ENOUGH_ASKED else [*asked, *from_headings(chunks)])
    absent = unanswerable_queries(settings, store, questions, [pair.query for pair in made.pairs])
    return TrainingData(pairs, replay, told, general, labels, made, absent)


def keyword_ranks(context: TrainingContext, labels: Sequence[LabelledPair]) -> RankOf:
    """Return the BM25 ranks for the judged queries, from the base model's table, which is brought up to date first."""
    if not judged_queries(labels):
        return unranked
    base = load_embedder(context.settings.base_model, context.settings)
    return KeywordRanks(context.store, update_vectors(context.store, context.corpus.id, base)).of(labels)


def gather_synthetic(context: TrainingContext, written: Sequence[SyntheticPair] = ()) -> TrainingData:
    """Return the pairs that need no rater, after writing them to their table. Raises NotEnoughFeedback.

    The best queries there are enough of judge: questions, else headings too, else sentences, which any model finds
    nearly always, since their chunk holds them. Where there are enough questions the rest teaches nothing more
    (measured: docs/log.md), and is left out.
    """
    store, settings, chunks = context.store, context.settings, context.chunks
    questions = read_questions(settings.docs)
    asked = [*from_questions(questions, chunks), *written]
    made = SyntheticSources(asked)
    if count_queries(asked) < MIN_QUERIES:
        made = SyntheticSources(asked, from_headings(chunks), from_definitions(chunks), from_clozes(chunks))
    store.feedback.put_synthetic([*made.asked, *made.headings, *made.definitions, *made.clozes])
    best = [*made.asked, *made.headings]
    rest = [*made.definitions, *made.clozes]
    judging, extra = (best, rest) if count_queries(best) >= MIN_QUERIES else ([*best, *rest], [])
    if count_queries(judging) < MIN_QUERIES:
        raise NotEnoughFeedback(
            f"{count_queries(judging)} queries can be made from these documents, need {MIN_QUERIES}: the "
            f"{START_WEIGHTS} serve until answers are rated"
        )
    kinds = {
        "questions": made.asked,
        "headings": made.headings,
        "definitions": made.definitions,
        "sentences": made.clozes,
    }
    told = "; ".join(f"{kind}: {_count(pairs)}" for kind, pairs in kinds.items() if pairs)
    found = {pair.query for pair in asked}
    gone = [question.question for question in questions if question.source and question.question not in found]
    if gone:
        told += f"; {len(gone)} questions name a section that is gone, such as {gone[0]!r}"
    real = {normalise_query(pair.query) for pair in asked}
    unasked = frozenset(normalise_query(pair.query) for pair in judging) - real
    absent = unanswerable_queries(settings, store, questions)
    return TrainingData(synthetic_to_pairs(judging), synthetic_to_pairs(extra), told, absent=absent, unasked=unasked)


def _count(pairs: Sequence[Pair | SyntheticPair]) -> str:
    return f"{len(pairs)} pairs on {count_queries(pairs)} queries"
