"""Memory and time of a training as the documents grow to a million chunks.

Texts are drawn from a vocabulary with frequencies as in text (Zipf), vectors at random: a training computes with them
as with any, and learns nothing. So nothing has to be embedded but the queries, and what is measured is what grows with
the corpus. Each training runs in a process of its own, through the command line; read are its peak of resident memory,
and of what the operating system cannot take back (pages of mapped files it can).
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa

from rag.indexing.update import update_vectors
from rag.ingest.corpus import load_corpus
from rag.models.embedder import load_embedder
from rag.records import Chunk, Document, LabelledPair, Span, chunks_of, content_id
from rag.settings import ROOT, Settings
from rag.store import schema
from rag.store.store import open_store

CHUNKS = (50_000, 200_000, 1_000_000)
PER_DOCUMENT, WORDS, VOCABULARY = 100, 80, 60_000
QUERIES, QUERY_WORDS = 700, 8
BATCH = 20_000  # chunks written at once
POLL = 0.05  # seconds


@dataclass
class Peak:
    """The most memory that a process held, in MB: in all, and without pages of mapped files."""

    resident: float = 0.0
    anonymous: float = 0.0

    def read(self, pid: int) -> None:
        """Take notice of what a process holds now; it may have ended."""
        try:
            lines = Path(f"/proc/{pid}/status").read_text().splitlines()
        except (FileNotFoundError, ProcessLookupError):
            return
        kb = {name: int(rest.split()[0]) for name, _, rest in (line.partition(":") for line in lines) if "kB" in rest}
        self.resident = max(self.resident, kb.get("VmHWM", 0) / 1024)
        self.anonymous = max(self.anonymous, kb.get("RssAnon", 0) / 1024)


def settings_of(folder: Path) -> Settings:
    """Return the settings of a home for these measurements."""
    (folder / "docs").mkdir(parents=True, exist_ok=True)
    docs = (folder / "docs",)
    return Settings(home=folder / "home", docs=docs, base_model="builtin", start_model="builtin", device="cpu")


def make_home(folder: Path, chunks: int) -> None:
    """Write documents, vectors and labels, unless they are there."""
    settings, rng = settings_of(folder), np.random.default_rng(0)
    done = folder / "made"
    if done.exists():
        return
    corpus, model = load_corpus(settings), load_embedder("builtin", settings)
    vocabulary = np.array([f"{content_id('word', str(n))[: 3 + n % 7]}" for n in range(VOCABULARY)])
    chances = 1.0 / np.arange(10, VOCABULARY + 10)
    chances /= chances.sum()
    labels: list[LabelledPair] = []
    with closing(open_store(settings.lancedb)) as store:
        table = store.chunks.table_name(corpus.id, model.fingerprint)
        for first in range(0, chunks, BATCH):
            words = vocabulary[rng.choice(VOCABULARY, size=(BATCH, WORDS), p=chances)]
            texts = [" ".join(row) + "." for row in words]
            documents = [
                document_of(f"{(first + start) // PER_DOCUMENT:06d}.txt", texts[start : start + PER_DOCUMENT])
                for start in range(0, BATCH, PER_DOCUMENT)
            ]
            made = [chunk for document in documents for chunk in chunks_of(document)]
            vectors = rng.normal(size=(len(made), model.dim)).astype(np.float32)
            store.documents.put(corpus.id, documents)
            vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
            store.chunks.put(table, [], vectors[:0])
            store.tables.open(table).add(rows_of(made, vectors))  # not upserted: all are new
            step = max(1, chunks // QUERIES)
            labels += [
                LabelledPair(
                    *("maker", "", " ".join(chunk.text.split()[:QUERY_WORDS]), chunk.id, chunk.text, 1),
                    *(datetime.now(UTC), "import"),
                )
                for n, chunk in enumerate(made, first)
                if n % step == 0
            ]
        store.feedback.put_labels(labels)
        update_vectors(store, corpus.id, model)  # no vector index: a training searches exactly
    done.touch()


def rows_of(chunks: list[Chunk], vectors: np.ndarray) -> pa.Table:
    """Return the rows of chunks with their vectors."""
    flat = pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), vectors.shape[1])
    columns = {name: [getattr(chunk, name) for chunk in chunks] for name in schema.CHUNK_COLUMNS}
    return pa.table({**columns, "vector": flat}, schema=schema.chunk_schema(vectors.shape[1]))


def document_of(source: str, texts: list[str]) -> Document:
    """Return a document of these passages."""
    spans, start = [], 0
    for text in texts:
        spans.append(Span(start, start + len(text)))
        start += len(text) + 2
    return Document(content_id(source), source, "", content_id(source, "hash"), "\n\n".join(texts), tuple(spans))


def measure(folder: Path, options: list[str]) -> tuple[Peak, float, str]:
    """Run a training; return its memory, its seconds and its last line."""
    settings, peak = settings_of(folder), Peak()
    given = {"THUMBTUNE_HOME": settings.home, "THUMBTUNE_DOCS": settings.docs[0], "THUMBTUNE_DEVICE": "cpu"}
    env = {**os.environ, **{name: str(value) for name, value in given.items()}, "PYTHONPATH": str(ROOT)}
    began, pipe = time.monotonic(), subprocess.PIPE
    command = [sys.executable, "-m", "train", *options]
    with subprocess.Popen(command, env=env, stdout=pipe, stderr=subprocess.STDOUT, text=True) as process:
        while process.poll() is None:
            peak.read(process.pid)
            time.sleep(POLL)
        assert process.stdout is not None
        last = process.stdout.read().strip().splitlines()[-1]
    return peak, time.monotonic() - began, last


def main() -> None:
    """Print a row for each number of chunks."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.learning.large")
    parser.add_argument("folder", type=Path, help="for the homes, 2.5 GB for a million chunks")
    parser.add_argument("chunks", type=int, nargs="*", default=CHUNKS)
    parser.add_argument("--options", default="--fast", help="of the training (default: %(default)s)")
    given = parser.parse_args()
    print("| chunks | peak MB | of it not mapped from files | seconds | last line |\n|---|---|---|---|---|")
    for chunks in given.chunks:
        folder = given.folder / str(chunks)
        make_home(folder, chunks)
        peak, seconds, last = measure(folder, given.options.split())
        print(f"| {chunks:,} | {peak.resident:,.0f} | {peak.anonymous:,.0f} | {seconds:.0f} | {last} |", flush=True)


if __name__ == "__main__":
    main()
