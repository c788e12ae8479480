"""What a training has to go on: pairs from the raters, or from the documents where nobody has rated yet.

Here the tables are read and the file of questions; what the rows mean is decided in pairs, synthesize and split.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rag.errors import NotEnoughFeedback, NotIndexed
from rag.feedback import repair
from rag.index import corpus_chunks
from rag.records import Chunk, Pair, SyntheticPair, normalise_query
from rag.registry import START_WEIGHTS
from rag.settings import Settings
from rag.store import Store
from train.pairs import make_pairs, synthetic_to_pairs
from train.split import MIN_QUERIES, require_enough
from train.synthesize import from_clozes, from_headings, from_questions, read_questions


@dataclass(frozen=True, slots=True)
class Gathered:
    """Pairs that teach and judge, pairs that only teach, and what to tell of where they came from."""

    pairs: Sequence[Pair]
    extra: Sequence[Pair]
    told: str


def indexed_chunks(store: Store, corpus_id: str) -> list[Chunk]:
    """Return the chunks of the documents, or raise NotIndexed where there are none."""
    chunks = corpus_chunks(store, corpus_id)
    if not chunks:
        raise NotIndexed("these documents are not indexed yet: run `python -m rag index`")
    return chunks


def gather_ratings(store: Store, settings: Settings, chunks: Sequence[Chunk]) -> Gathered:
    """Return the pairs that raters made, and as replay those of the file of questions. Raises NotEnoughFeedback."""
    repair(store)
    rated = make_pairs(store.labels(), chunks)
    require_enough(rated.pairs, rated.lost)
    told = f"labels: {_count(rated.pairs)}"
    if rated.drawn:
        told += f"; raters are split on {rated.drawn} chunks, which are left out"
    if rated.lost:
        told += f"; {rated.lost} labels point at text no longer in these documents"
    asked = from_questions(read_questions(settings.docs), chunks)
    return Gathered(rated.pairs, synthetic_to_pairs(asked), told)


def gather_synthetic(store: Store, settings: Settings, chunks: Sequence[Chunk]) -> Gathered:
    """Return the pairs that need no rater, after writing them to their table. Raises NotEnoughFeedback.

    The best queries there are enough of judge: questions, else headings too, else sentences, which any model finds
    nearly always, since their chunk holds them. Where there are enough questions the rest teaches nothing more
    (measured: docs/log.md), and is left out.
    """
    questions = read_questions(settings.docs)
    asked, headings, clozes = from_questions(questions, chunks), from_headings(chunks), from_clozes(chunks)
    if _queries(asked) >= MIN_QUERIES:
        headings, clozes = [], []
    store.put_synthetic([*asked, *headings, *clozes])
    best = [*asked, *headings]
    judging, extra = (best, clozes) if _queries(best) >= MIN_QUERIES else ([*best, *clozes], [])
    if _queries(judging) < MIN_QUERIES:
        raise NotEnoughFeedback(
            f"{_queries(judging)} queries can be made from these documents, need {MIN_QUERIES}: the {START_WEIGHTS} "
            "serve until answers are rated"
        )
    kinds = {"questions": asked, "headings": headings, "sentences": clozes}
    told = "; ".join(f"{kind}: {_count(pairs)}" for kind, pairs in kinds.items() if pairs)
    found = {pair.query for pair in asked}
    gone = [question.question for question in questions if question.source and question.question not in found]
    if gone:
        told += f"; {len(gone)} questions name a section that is gone, such as {gone[0]!r}"
    return Gathered(synthetic_to_pairs(judging), synthetic_to_pairs(extra), told)


def _count(pairs: Sequence[Pair | SyntheticPair]) -> str:
    return f"{len(pairs)} pairs on {_queries(pairs)} queries"


def _queries(pairs: Sequence[Pair | SyntheticPair]) -> int:
    return len({normalise_query(pair.query) for pair in pairs})
