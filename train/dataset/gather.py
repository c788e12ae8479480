"""What a training has to go on: pairs from the raters, or from the documents where nobody has rated yet.

Here the tables are read, the file of questions and what an LLM wrote; what the rows mean is decided in pairs,
synthesize and split.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from rag.errors import NotEnoughFeedback, NotIndexed
from rag.evaluation.metrics import MIN_QUERIES
from rag.feedback.ratings import repair
from rag.indexing.update import corpus_chunks, update_vectors
from rag.models.embedder import load_embedder
from rag.models.registry import START_WEIGHTS
from rag.records import Chunk, LabelledPair, Pair, SyntheticPair, normalise_query
from rag.settings import Settings
from rag.store.store import Store
from train.dataset.credit import DEPTH, Witness, credit, may_judge
from train.dataset.pairs import MadePairs, make_pairs, synthetic_to_pairs
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


def indexed_chunks(store: Store, corpus_id: str) -> list[Chunk]:
    """Return the chunks of the documents, or raise NotIndexed where there are none."""
    chunks = corpus_chunks(store, corpus_id)
    if not chunks:
        raise NotIndexed("these documents are not indexed yet: run `python -m rag index`")
    return chunks


def gather_ratings(
    store: Store, settings: Settings, corpus_id: str, chunks: Sequence[Chunk], written: Sequence[SyntheticPair] = ()
) -> TrainingData:
    """Return the pairs that raters made, and as replay those of questions that nobody asked. Raises NotEnoughFeedback.

    `written` are the pairs of questions that an LLM wrote. What is replayed weighs less as ratings come in.
    """
    repair(store)
    labels = store.feedback.labels()
    rank_of = witness(store, settings, corpus_id, labels)
    made = make_pairs(labels, chunks, alike, lambda placed: credit(placed, rank_of))
    require_enough(made.pairs, len(made.retired))
    pairs = may_judge(made.pairs, labels, rank_of, settings.explore)
    told = f"labels: {_count(pairs)}"
    if unheard := _queries(pairs) - _queries([pair for pair in pairs if pair.judges]):
        told += f"; {unheard} queries only teach: what answers them was seen because a model ranked it"
    if made.drawn:
        told += f"; raters are split on {made.drawn} chunks, which are left out"
    if made.retired:
        told += f"; {len(made.retired)} labels point at text no longer in these documents"
    questions = read_questions(settings.docs)
    asked = [*from_questions(questions, chunks), *written]
    replay = synthetic_to_pairs(asked, synthetic_weight(_queries(made.pairs)))
    general = synthetic_to_pairs(asked if len(asked) >= ENOUGH_ASKED else [*asked, *from_headings(chunks)])
    absent = unanswerable_queries(settings, store, questions, [pair.query for pair in made.pairs])
    return TrainingData(pairs, replay, told, general, labels, made, absent)


def witness(store: Store, settings: Settings, corpus_id: str, labels: Sequence[LabelledPair]) -> Witness:
    """Return the rank by words of a chunk for a query that was rated; the queries are searched for here, once."""
    queries = {normalise_query(x.query): x.query for x in labels if x.label and x.origin in ("rating", "mark")}
    ranks: dict[tuple[str, str], int] = {}
    if queries:
        base = load_embedder(settings.base_model, settings)
        table, nowhere = update_vectors(store, corpus_id, base), np.zeros(base.dim, np.float32)
        for key, query in queries.items():
            for hit in store.chunks.search_text(table, query, nowhere, DEPTH):
                ranks[key, hit.chunk.id] = hit.rank
    return lambda query, chunk_id: ranks.get((normalise_query(query), chunk_id), DEPTH)


def gather_synthetic(
    store: Store, settings: Settings, chunks: Sequence[Chunk], written: Sequence[SyntheticPair] = ()
) -> TrainingData:
    """Return the pairs that need no rater, after writing them to their table. Raises NotEnoughFeedback.

    The best queries there are enough of judge: questions, else headings too, else sentences, which any model finds
    nearly always, since their chunk holds them. Where there are enough questions the rest teaches nothing more
    (measured: docs/log.md), and is left out.
    """
    questions = read_questions(settings.docs)
    asked = [*from_questions(questions, chunks), *written]
    made = SyntheticSources(asked)
    if _queries(asked) < MIN_QUERIES:
        made = SyntheticSources(asked, from_headings(chunks), from_definitions(chunks), from_clozes(chunks))
    store.feedback.put_synthetic([*made.asked, *made.headings, *made.definitions, *made.clozes])
    best = [*made.asked, *made.headings]
    rest = [*made.definitions, *made.clozes]
    judging, extra = (best, rest) if _queries(best) >= MIN_QUERIES else ([*best, *rest], [])
    if _queries(judging) < MIN_QUERIES:
        raise NotEnoughFeedback(
            f"{_queries(judging)} queries can be made from these documents, need {MIN_QUERIES}: the {START_WEIGHTS} "
            "serve until answers are rated"
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
    return f"{len(pairs)} pairs on {_queries(pairs)} queries"


def _queries(pairs: Sequence[Pair | SyntheticPair]) -> int:
    return len({normalise_query(pair.query) for pair in pairs})
