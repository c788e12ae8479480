"""What a training reads before it learns: a search by words that needs no index made beforehand."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

from fakes import NOON
from rag.index import corpus_chunks, load_corpus
from rag.prepare import index
from rag.records import LabelledPair
from rag.settings import Settings
from rag.store import open_store
from train.credit import DEPTH
from train.gather import witness


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
