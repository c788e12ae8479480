"""What a training reads before it learns: a search by words that needs no index made beforehand."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest

from fakes import NOON
from rag.errors import NotEnoughFeedback
from rag.index import corpus_chunks, load_corpus
from rag.prepare import index
from rag.records import LabelledPair
from rag.settings import Settings
from rag.store import open_store
from train.credit import DEPTH
from train.gather import witness
from train.prospect import Order, prospect


def test_words_bear_witness_also_where_the_base_model_has_no_table_yet(
    settings: Settings, other_tiny_model: Path
) -> None:
    index(settings)
    other = settings.model_copy(update={"base_model": str(other_tiny_model)})
    with closing(open_store(settings.lancedb)) as store:
        corpus = load_corpus(settings).id
        chunk = corpus_chunks(store, corpus)[0]
        said = LabelledPair("ann", "a1", chunk.text, chunk.id, chunk.text, 1, NOON, "rating", cited=True)
        rank_of = witness(store, other, corpus, [said])
    assert rank_of(chunk.text.upper(), chunk.id) == 1
    assert rank_of(chunk.text, "no chunk") == rank_of("what nobody asked", chunk.id) == DEPTH


def test_ratings_of_which_none_can_judge_are_refused_before_anything_is_trained(settings: Settings) -> None:
    things = [(thing, n) for thing in ("cat", "dog", "fish", "bird", "milk", "bone") for n in range(10)]
    for thing, n in things:
        (settings.docs[0] / f"{thing}{n}.txt").write_text(f"The {thing} sleeps in house {n}.")
    index(settings)
    with closing(open_store(settings.lancedb)) as store:
        chunks = {chunk.source: chunk for chunk in corpus_chunks(store, load_corpus(settings).id)}
        labels = []
        for nth, (thing, n) in enumerate(things):  # no word of a query stands in its passage
            chunk = chunks[f"{thing}{n}.txt"]
            labels.append(
                LabelledPair("ann", f"a{nth}", f"zzz q{nth}", chunk.id, chunk.text, 1, NOON, "rating", cited=True)
            )
        store.put_labels(labels)
        with pytest.raises(NotEnoughFeedback, match="none of the rated queries can judge a model"):
            prospect(settings, store, Order())
        assert not prospect(settings, store, Order(promote=True)).trial.qrels.relevant
