"""Split pairs into train and held-out (train.dataset.held_out), without leakage through shared chunks.

Why holding out queries is not enough: a training query with the same positive chunk leaks the answer. So a training
pair is left out if its positive, or a near duplicate of it, answers a held-out query.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from rag.errors import NotEnoughFeedback
from rag.evaluation.metrics import MIN_QUERIES
from rag.feedback.pairs import count_queries
from rag.records import Chunk, Pair, Qrels, normalise_query
from train.dataset.held_out import HeldOut, is_held_out, most_reliable
from train.dataset.near_duplicates import chunks_containing, copies_of


@dataclass(frozen=True, slots=True)
class Split:
    """Training pairs and test queries. `extra` pairs are for training only; `leaks` is the number of pairs left out."""

    train: tuple[Pair, ...]
    extra: tuple[Pair, ...]
    held_out: Qrels
    leaks: int


def require_enough(pairs: Iterable[Pair], lost: int = 0, group: str = "") -> None:
    """Raise NotEnoughFeedback below MIN_QUERIES queries; `lost` labels gave no pair, all are of `group` if named."""
    n, whose = count_queries(pairs), f" by group {group}" if group else ""
    if n < MIN_QUERIES:
        raise NotEnoughFeedback(
            f"{n} rated queries with a positive{whose}, need {MIN_QUERIES}: rate more answers, or import labels with "
            "`python -m rag import FILE`"
            + (f" ({lost} labels point at text no longer in these documents)" if lost else "")
        )


def split(pairs: Sequence[Pair], extra: Sequence[Pair], chunks: Sequence[Chunk], held_out: HeldOut) -> Split:
    """Hold out the queries of `pairs` that judge, and remove leaking pairs from the rest of `pairs` and `extra`.

    `extra` are synthetic pairs, for training only; those that their own hash holds out are left for testing on general
    queries. Raises NotEnoughFeedback where nothing is left to train on.
    """
    held = [pair for pair in pairs if pair.judges and held_out.judges(pair.query)]
    asked = [pair for pair in pairs if pair.query not in held_out]
    made = [pair for pair in extra if not is_held_out(pair.query) and pair.query not in held_out]
    return hold_out(held, asked, made, chunks)


def hold_out(judging: Sequence[Pair], asked: Sequence[Pair], extra: Sequence[Pair], chunks: Sequence[Chunk]) -> Split:
    """Return a split that tests on the queries of `judging` and trains on those other pairs that do not leak.

    A chunk with the same text as a positive is relevant as well.
    """
    held_out = qrels_of(judging, chunks)
    train = without_leaks(asked, held_out, chunks)
    if not train:
        raise NotEnoughFeedback(
            f"all {len(asked)} pairs to train on have a passage that answers a held-out query: rate answers from "
            "other documents, too"
        )
    return Split(train, without_leaks(extra, held_out, chunks), held_out, len(asked) - len(train))


def without_leaks(pairs: Sequence[Pair], held_out: Qrels, chunks: Sequence[Chunk]) -> tuple[Pair, ...]:
    """Return the pairs whose query is not held out and whose chunk (or near duplicate, or part) answers no such query.

    The pairs may be another training's, such as the champion's, and have chunks that no longer exist.
    """
    texts = {chunk.id: chunk.text for chunk in chunks}
    judged = {chunk_id for relevant in held_out.relevant.values() for chunk_id in relevant}
    trained = {text for pair in pairs for text in (pair.positive, texts.get(pair.positive_id, ""))}
    originals = [texts[chunk_id] for chunk_id in sorted(judged)]
    copies = copies_of(originals, trained) | chunks_containing(originals, trained)
    queries = {normalise_query(query) for query in held_out.relevant}
    return tuple(
        pair
        for pair in pairs
        if normalise_query(pair.query) not in queries
        and pair.positive_id not in judged
        and copies.isdisjoint((pair.positive, texts.get(pair.positive_id, "")))  # a cloze is less than its chunk
    )


def qrels_of(pairs: Sequence[Pair], chunks: Sequence[Chunk]) -> Qrels:
    """Return the qrels of pairs: per query the positive chunks, and those with exactly the same text."""
    wanted = {pair.positive_id for pair in pairs}
    texts = {chunk.id: _plain(chunk.text) for chunk in chunks if chunk.id in wanted}
    same: dict[str, set[str]] = {text: set() for text in texts.values()}
    for chunk in chunks:
        if (text := _plain(chunk.text)) in same:
            same[text].add(chunk.id)
    relevant: dict[str, frozenset[str]] = {}
    spelling: dict[str, str] = {}
    for pair in most_reliable(pairs):
        query = spelling.setdefault(normalise_query(pair.query), pair.query)
        relevant[query] = relevant.get(query, frozenset()) | same[texts[pair.positive_id]]
    return Qrels(relevant)


def _plain(text: str) -> str:
    return " ".join(text.split())
