"""Measure both models of the demo on the questions that the adapter has never seen, and say what that means."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from rag.evaluation.intervals import Interval, Tally, paired_bootstrap, win_tie_loss
from rag.evaluation.metrics import GATE, Values, evaluate_run
from rag.ingest.corpus import load_corpus
from rag.models.arms import Arms
from rag.records import ARMS, Arm, Chunk, Qrels
from rag.settings import Settings
from rag.store.store import Store, open_store
from thumbtune.demo.seeding import held_out
from train.dataset.held_out import key_of
from train.synthetic.from_documents import from_questions, read_questions

HITS, DEPTH = "hit_rate@5", 10


@dataclass(frozen=True, slots=True)
class Measured:
    """Both arms' values per question, the ranks of the right passage (0: not among the first ten), and the interval."""

    questions: tuple[str, ...]
    values: Mapping[Arm, Mapping[str, Values]]
    ranks: Mapping[Arm, tuple[int, ...]]
    gain: Interval
    tally: Tally

    def lines(self) -> Iterator[str]:
        """Yield the result in words."""
        n, (base, tuned) = len(self.questions), (self.values[arm] for arm in ARMS)
        yield f"Measured now, on {n} questions about these pages that the tuned model has never seen:"
        yield (
            f"  it ranks the passage that answers higher for {self.tally.wins}, as high for {self.tally.ties}, "
            f"lower for {self.tally.losses}"
        )
        yield f"  it is among the first five for {base[HITS].mean():.0%} (base) and {tuned[HITS].mean():.0%} (tuned)"
        verdict = "more than chance explains" if self.gain.low > 0 else "which chance may explain"
        yield (
            f"  {GATE}, which counts every rank: {base[GATE].mean():.3f} and {tuned[GATE].mean():.3f}, a gain of "
            f"{self.gain.mean:.3f} with a 95% interval from {self.gain.low:.3f} to {self.gain.high:.3f}: {verdict}"
        )
        for question, before, after in self.examples():
            yield f'  for example "{question}": {place(before)} before, {place(after)} now'

    def examples(self, most: int = 2) -> list[tuple[str, int, int]]:
        """Return the questions that gained most, with both ranks."""
        base, tuned = (self.values[arm][GATE] for arm in ARMS)
        order = np.argsort(base - tuned, kind="stable")[:most]
        return [(self.questions[n], self.ranks["base"][n], self.ranks["tuned"][n]) for n in order if tuned[n] > base[n]]


def place(rank: int) -> str:
    """Return a rank in words."""
    return f"passage {rank}" if rank else "not among ten"


def measure(settings: Settings) -> Measured:
    """Search for each held-out question with both arms and compare. Raises NotIndexed and StoreFailed."""
    store = open_store(settings.lancedb)
    try:
        return _measure(settings, store)
    finally:
        store.close()


def _measure(settings: Settings, store: Store) -> Measured:
    arms = Arms(settings, store, load_corpus(settings))
    chunks = store.chunks.read(arms.current("base").table)[0]
    qrels = held_out_qrels(settings, chunks)
    questions = list(qrels.relevant)
    values: dict[Arm, Mapping[str, Values]] = {}
    ranks: dict[Arm, tuple[int, ...]] = {}
    for arm in ARMS:
        served = arms.current(arm)
        found = store.chunks.search_ids(served.table, served.embedder.embed_queries(questions), DEPTH)
        values[arm] = evaluate_run(dict(zip(questions, found, strict=True)), qrels)
        ranks[arm] = tuple(
            next((rank for rank, id_ in enumerate(ids, 1) if id_ in qrels.relevant[question]), 0)
            for question, ids in zip(questions, found, strict=True)
        )
    base, tuned = (values[arm][GATE] for arm in ARMS)
    same = {passage: n for n, passage in enumerate(sorted({min(ids) for ids in qrels.relevant.values()}))}
    groups = np.array([same[min(ids)] for ids in qrels.relevant.values()])  # questions on one passage are no sample
    return Measured(
        tuple(questions), values, ranks, paired_bootstrap(tuned, base, groups=groups), win_tie_loss(tuned, base)
    )


def held_out_qrels(settings: Settings, chunks: list[Chunk]) -> Qrels:
    """Return the held-out questions whose passage is among the chunks, with the chunks that answer them."""
    apart = held_out()
    asked = [each for each in read_questions(settings.docs) if each.source and key_of(each.question) in apart]
    relevant: dict[str, set[str]] = {}
    for pair in from_questions(asked, chunks):
        relevant.setdefault(pair.query, set()).add(pair.chunk_id)
    return Qrels({query: frozenset(ids) for query, ids in relevant.items()})
