"""Search time as a corpus grows to a million chunks, compared with Chroma, FAISS and LanceDB's exact search.

The vectors are made here: points in clusters, in 384 dimensions of falling weight, so that about 26 of them count, as
in text; a query is another point of some cluster. Each system searches them in its own process, one after the other,
and reports time, hits and peak memory. Recall is against exact search.

Why times are given as multiples of the time that torch takes to embed one question in the same run: a busy machine is
slow for all of them.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from rag.models.embedder import Embedder, load_embedder
from rag.settings import Settings
from rag.store import schema as tables
from rag.store.store import open_store
from rag.store.vector_index import K

SIZES = (10_000, 100_000, 1_000_000)
QUICK_SIZES = (10_000,)
DIM, QUERIES, BLOCK = 384, 200, 50_000
FEW = 30  # queries that are asked where each takes a second
PER_CLUSTER, SPREAD = 100, 0.7
TABLE = "chunks__scale"
TEXT = "passage of some words that are neither long nor short " * 10
PEERS = Path(__file__).parent / "peers.txt"
PEER_SEARCH = Path(__file__).parent / "peer_search.py"
SLOW_BUILD = 200_000  # vectors; Chroma took 164 s for 100,000 of them on a busy core
BUILD, OURS, EXACT, FLAT, IVF, CHROMA = "build", "thumbtune", "LanceDB exact", "FAISS flat", "FAISS IVF", "Chroma"


def scale(folder: Path, *, quick: bool, sizes: Sequence[int] = ()) -> None:
    """Print the table of all systems at all sizes."""
    python = peers(folder / "peers")
    print("| chunks | system | search ms (p50) | embedding ms | search / embedding | recall@10 | peak MB | build s |")
    print("|---|---|---|---|---|---|---|---|")
    model = load_embedder("builtin", Settings(base_model="builtin", start_model="builtin"))
    for n in sizes or (QUICK_SIZES if quick else SIZES):
        made = folder / f"vectors-{n}"
        make_vectors(made, n)
        built = result_of([sys.executable, "-m", "benchmarks.retrieval.scale", BUILD, made])
        print(f"{n:,} chunks: {built['index']}; building it held {built['mb']:.0f} MB", file=sys.stderr, flush=True)
        for name in (OURS, EXACT, FLAT, IVF, CHROMA):
            if name == CHROMA and n > SLOW_BUILD:
                print(f"| {n:,} | {name} | not built: its graph of 100,000 took 164 s | | | | | |")
                continue
            command = (
                [sys.executable, "-m", "benchmarks.retrieval.scale"] if name in (OURS, EXACT) else [python, PEER_SEARCH]
            )
            embed_ms = embedding_ms(model)  # each time: the machine may have become busy
            found = result_of([*command, name, made])
            times = found["ms"] / embed_ms
            measured = f"{found['ms']:.2f} | {embed_ms:.1f} | {times:.2f} | {found['recall']:.4f} | {found['mb']:.0f}"
            print(f"| {n:,} | {name} | {measured} | {found['build_s']:.1f} |", flush=True)


def peers(folder: Path) -> Path:
    """Return the Python of an environment of the peers' own, made by venv and pip where it is not there yet."""
    python, marker = folder / "bin" / "python", folder / "installed.txt"
    if not marker.exists() or marker.read_text() != PEERS.read_text():
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        subprocess.run([python, "-m", "pip", "--quiet", "install", "--requirement", PEERS], check=True)
        marker.write_text(PEERS.read_text())
    return python


def embedding_ms(model: Embedder) -> float:
    """Return the median time in which a model embeds one question."""
    question = "how long does the virus stay on surfaces of plastic and steel"
    return 1e3 * timed(lambda n: model.embed_queries([f"{question} {n}"]), 50)


def timed(act: Callable[[int], object], times: int) -> float:
    """Return the median seconds of an action, after three that do not count."""
    for n in range(3):
        act(-n)
    spent = []
    for n in range(times):
        began = time.perf_counter()
        act(n)
        spent.append(time.perf_counter() - began)
    return float(np.median(spent))


def make_vectors(folder: Path, n: int) -> None:
    """Write n vectors, the queries, and the true neighbours of these, unless they are there."""
    if (folder / "truth.npy").exists():
        return
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    weights = (1.0 / np.arange(1, DIM + 1)).astype(np.float32)
    centres = rng.normal(size=(max(1, n // PER_CLUSTER), DIM)).astype(np.float32)

    def points(count: int) -> np.ndarray:
        own = rng.normal(size=(count, DIM)).astype(np.float32)
        found = (centres[rng.integers(len(centres), size=count)] + SPREAD * own) * weights
        return found / np.linalg.norm(found, axis=1, keepdims=True)

    queries = points(QUERIES)
    best = np.full((QUERIES, K), -2.0, np.float32)
    ids = np.zeros((QUERIES, K), np.int64)
    vectors = np.lib.format.open_memmap(folder / "vectors.npy", "w+", np.float32, (n, DIM))
    for start in range(0, n, BLOCK):
        block = vectors[start : start + BLOCK] = points(min(BLOCK, n - start))
        scores = np.hstack([best, queries @ block.T])
        numbers = np.hstack([ids, np.tile(np.arange(start, start + len(block)), (QUERIES, 1))])
        order = np.argpartition(-scores, K - 1, axis=1)[:, :K]
        best, ids = (np.take_along_axis(each, order, axis=1) for each in (scores, numbers))
    vectors.flush()
    np.save(folder / "queries.npy", queries)
    np.save(folder / "truth.npy", ids)


def result_of(command: Sequence[object], **more: str) -> dict[str, Any]:
    """Run a command, with more in its environment, and return the JSON in its last line."""
    silent = {"ANONYMIZED_TELEMETRY": "False", "HF_HUB_OFFLINE": "1"}
    environment = {**os.environ, "PYTHONPATH": str(PEERS.parents[2]), **silent, **more}
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, env=environment)
    if done.returncode:
        raise SystemExit(f"{command}: {done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def search_ours(folder: Path, name: str) -> dict[str, Any]:
    """Search as the product does, by the index it chose or exactly, and return what it came to."""
    built = json.loads((folder / "build.json").read_text())
    queries, truth = np.load(folder / "queries.npy"), np.load(folder / "truth.npy")
    store = open_store(folder / "lancedb")
    if name == EXACT:
        queries, truth = queries[:FEW], truth[:FEW]
    found: list[set[int]] = [set() for _ in queries]

    def search(n: int) -> None:
        if name == EXACT:
            (ids,) = store.chunks.search_ids(TABLE, queries[[n]], K)
        else:
            ids = [hit.chunk.id for hit in store.chunks.search(TABLE, queries[n], K)]
        found[n] = {int(chunk_id, 16) for chunk_id in ids}

    ms = 1e3 * timed(search, len(queries))
    return search_cost(ms, found, truth, built["index_s"] if name == OURS else 0.0, built["index"])


def build_ours(folder: Path) -> dict[str, Any]:
    """Write a table of the product's own shape, and let it choose its index, measured with points of the table.

    In a process of its own: building may hold more memory than searching, which is what is asked for.
    """
    if (folder / "build.json").exists():
        return json.loads((folder / "build.json").read_text())
    shutil.rmtree(folder / "lancedb", ignore_errors=True)
    vectors = np.load(folder / "vectors.npy", mmap_mode="r")
    store = open_store(folder / "lancedb")
    schema = tables.chunk_schema(DIM)
    store.chunks.put(TABLE, [], vectors[:0])
    for start in range(0, len(vectors), BLOCK):  # added, not upserted: rows are new, and embedding is not asked for
        some = vectors[start : start + BLOCK]
        store.tables.open(TABLE).add(rows(start, some, schema))
    began = time.perf_counter()
    rng = np.random.default_rng(1)
    sample = vectors[np.sort(rng.choice(len(vectors), QUERIES, replace=False))]
    sample = sample + rng.normal(size=sample.shape).astype(np.float32) * 1.5 / DIM**0.5  # as far off as questions are
    index = store.chunks.build_vector_index(TABLE, sample)
    spent = time.perf_counter() - began
    store.close()
    facts = {"index": str(index or "exact search"), "index_s": spent, "mb": most_mb()}
    (folder / "build.json").write_text(json.dumps(facts))
    return facts


def rows(first: int, vectors: np.ndarray, schema: pa.Schema) -> pa.Table:
    """Return rows of a table of chunks, numbered from `first`, with texts of about the length that text has."""
    numbers = range(first, first + len(vectors))
    texts = [f"{TEXT}{n}" for n in numbers]
    columns: dict[str, Any] = {
        "id": [f"{n:016x}" for n in numbers],
        "document_id": [f"{n // 20:016x}" for n in numbers],
        "source": [f"{n // 20}.md" for n in numbers],
        "text": texts,
        "start": [0] * len(texts),
        "end": list(map(len, texts)),
        "vector": pa.FixedSizeListArray.from_arrays(np.ascontiguousarray(vectors).ravel(), DIM),
    }
    empty = pa.nulls(len(texts))
    return pa.table([pa.array(columns.get(field.name, empty)).cast(field.type) for field in schema], schema=schema)


def search_cost(ms: float, found: Sequence[set[int]], truth: np.ndarray, build_s: float, index: str) -> dict[str, Any]:
    """Return latency and recall of a search, with the most memory that this process held."""
    recall = float(np.mean([len(ids & set(map(int, right))) / K for ids, right in zip(found, truth, strict=True)]))
    return {"ms": ms, "recall": recall, "mb": most_mb(), "build_s": build_s, "index": index}


def most_mb() -> float:
    """Return the most memory that this process has held so far; getrusage would count what its parent held, too."""
    status = Path("/proc/self/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1]) / 1024


def main() -> None:
    """Run one system in this process: what `scale` starts."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.retrieval.scale")
    parser.add_argument("system", choices=(BUILD, OURS, EXACT))
    parser.add_argument("folder", type=Path)
    given = parser.parse_args()
    done = build_ours(given.folder) if given.system == BUILD else search_ours(given.folder, given.system)
    print(json.dumps(done))


if __name__ == "__main__":
    main()
