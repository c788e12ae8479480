"""Cost of ten times the documents: time to index, time for one more file, disk, memory, and search time.

Why fake vectors, drawn by a hash of the text: embedding costs the same for each chunk, and would hide what grows faster
than the corpus.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.retrieval.scale import most_mb, result_of, timed
from rag.indexing.update import read_files, update_documents, update_vector_index, update_vectors
from rag.ingest.corpus import load_corpus
from rag.models.embedder import Progress, Vectors
from rag.settings import Settings
from rag.store.store import Store, open_store

FILES = (1_000, 10_000, 50_000)  # of two chunks each
QUICK_FILES = (100, 1_000)
DIM = 384
SETTLE = 4.0  # seconds; what was written a moment ago is read again


class Frozen:
    """An embedder whose vectors are drawn by a hash of the text, and whose tokens are words."""

    reference, fingerprint, query_fingerprint, dim, max_tokens = "frozen", "frozen", "frozen", DIM, 256

    def count_tokens(self, texts: list[str]) -> list[int]:
        """Return the words of each text."""
        return [len(re.findall(r"\S+", text)) + 2 for text in texts]

    def embed_queries(self, queries: list[str]) -> Vectors:
        """Return a vector for each text."""
        return self.embed_documents(queries)

    def embed_documents(self, texts: list[str], progress: Progress | None = None) -> Vectors:
        """Return a vector for each text."""
        seeds = [int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") for text in texts]
        rows = [np.random.default_rng(seed).normal(size=DIM).astype(np.float32) for seed in seeds]
        vectors = np.array(rows, dtype=np.float32).reshape(len(texts), DIM)
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def growth(*, quick: bool) -> None:
    """Print a row for each number of files; each is measured in a process of its own."""
    print("| files | chunks | index s | nothing new s | one more file s | MB on disk | peak MB | search ms |")
    print("|---|---|---|---|---|---|---|---|")
    for files in QUICK_FILES if quick else FILES:
        found = result_of([sys.executable, "-m", "benchmarks.retrieval.growth", files])
        print(
            f"| {files:,} | {found['chunks']:,} | {found['index_s']:.1f} | {found['again_s']:.2f} "
            f"| {found['one_s']:.2f} | {found['disk_mb']:.0f} | {found['peak_mb']:.0f} | {found['search_ms']:.1f} |",
            flush=True,
        )


def measure(files: int) -> dict[str, Any]:
    """Write so many files, index them, index again, add one, and search."""
    model = Frozen()
    with tempfile.TemporaryDirectory() as folder:
        home, docs = Path(folder, "home"), Path(folder, "docs")
        write(docs, files)
        settings = Settings(home=home, docs=(docs,), base_model="builtin", start_model="builtin")
        store = open_store(settings.lancedb)
        table, index_s = run(settings, store, model)
        time.sleep(SETTLE)
        run(settings, store, model)
        _, again_s = run(settings, store, model)
        (docs / "one-more.md").write_text(text_of(-1))
        _, one_s = run(settings, store, model)
        update_vector_index(store, table, model)
        peak = most_mb()
        queries = model.embed_queries([f"query {n}" for n in range(50)])
        search_ms = 1e3 * timed(lambda n: store.chunks.search(table, queries[n], 10), len(queries))
        chunks = len(store.chunks.ids(table))
        disk = sum(path.stat().st_size for path in home.rglob("*") if path.is_file()) / 1e6
        store.close()
    return {
        **{"chunks": chunks, "index_s": index_s, "again_s": again_s, "one_s": one_s},
        **{"disk_mb": disk, "peak_mb": peak, "search_ms": search_ms},
    }


def run(settings: Settings, store: Store, model: Frozen) -> tuple[str, float]:
    """Bring the index level as the product does, and return the table and the seconds it took."""
    corpus, began = load_corpus(settings), time.perf_counter()
    known = store.documents.hashes(corpus.id)
    update_documents(store, corpus, read_files(settings, corpus, known, (model.count_tokens, 128)))
    table = update_vectors(store, corpus.id, model)
    return table, time.perf_counter() - began


def write(docs: Path, files: int) -> None:
    """Write files of two chunks, a hundred to a folder."""
    for n in range(files):
        path = docs / f"{n // 100}" / f"{n}.md"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text_of(n))


def text_of(number: int) -> str:
    """Return a text of two sections of 100 words."""
    rng = np.random.default_rng(number + 1)
    words = [" ".join(f"w{word}" for word in rng.integers(5_000, size=100)) for _ in range(2)]
    return "".join(f"# Section {number} {part}\n\n{text}.\n\n" for part, text in enumerate(words))


def main() -> None:
    """Measure one number of files in this process: what `growth` starts."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.retrieval.growth")
    parser.add_argument("files", type=int)
    print(json.dumps(measure(parser.parse_args().files)))


if __name__ == "__main__":
    main()
