"""Write what `thumbtune demo` ships, from a home folder with a query adapter trained on the documentation's questions.

`THUMBTUNE_HOME=folder python -m benchmarks.learning.demo_data VERSION`, after `python -m rag index` and
`python -m train --bootstrap --fast`. docs/log.md has what it measured.

`THUMBTUNE_HOME=thumbtune-demo THUMBTUNE_DOCS=.../site-packages/thumbtune/docs python -m benchmarks.learning.demo_data
vectors` writes only the vectors again, from a demo that an installed wheel has made: its pages name other commands than
those of a checkout, so vectors of a checkout are of no use for them.
"""

from __future__ import annotations

import shutil
import sys

import numpy as np

from rag.ingest.corpus import load_corpus
from rag.models.arms import Arms
from rag.models.weights import ADAPTER, MATRIX
from rag.settings import Settings, load_settings
from rag.store.store import open_store
from thumbtune.demo.seeding import DATA, VECTORS, key
from train.dataset.earlier_versions import HELD_OUT


def write(settings: Settings, version: str) -> None:
    """Copy a version's adapter and list of held-out questions, if one is named, and all vectors in 16 bits."""
    store = open_store(settings.lancedb)
    table = Arms(settings, store, load_corpus(settings)).current("base").table
    chunks, vectors = store.chunks.read(table)
    store.close()
    DATA.mkdir(exist_ok=True)
    if version:
        folder = settings.models / version
        for name in (ADAPTER, HELD_OUT):
            shutil.copy(folder / name, DATA)
        np.save(DATA / MATRIX, np.load(folder / MATRIX).astype(np.float16))
    keys = np.array([key(chunk.embedded) for chunk in chunks], np.uint64)
    np.savez(DATA / VECTORS, keys=keys, vectors=np.asarray(vectors).astype(np.float16))


if __name__ == "__main__":
    write(load_settings(), "" if sys.argv[1] == "vectors" else sys.argv[1])
