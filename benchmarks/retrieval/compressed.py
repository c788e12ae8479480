"""An index of compressed vectors (IVF_RQ), compared again by the full ones, beside one of full vectors (IVF_FLAT).

    nice python -m benchmarks.retrieval.compressed FOLDER --chunks 1000000 [--kinds IVF_FLAT IVF_RQ] [--keep]

The table lies in that folder, or in the home at THUMBTUNE_HOME where that is an address (s3://BUCKET/PATH).
Vectors, queries and true neighbours are those of `scale`. Each index is built in a process of its own, which says its
processor seconds and the most memory that it held; then a fresh process finds the cheapest setting with enough recall,
and another one searches by it: first with none of the table's files in the page cache, then until all partitions were
read. Memory is given in two parts: what the process itself holds, and mapped files, which the system can take back.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import lancedb
import numpy as np

from benchmarks.retrieval import scale
from benchmarks.retrieval.scale import BLOCK, DIM, TABLE, K
from rag.home_address import cache_of, is_address, shared_home
from rag.store import schema as tables
from rag.store import vector_index
from rag.store.durability import compact
from rag.store.lance.tables import METADATA_BYTES
from rag.store.store import open_store

KINDS = ("IVF_FLAT", "IVF_RQ")
COLD, WARM = 30, 1_000  # searches
DOCUMENT = 20  # chunks
FOLDED = 2_000  # rows that are added to the index at once
Setting = dict[str, int]


def main() -> None:
    """Run all steps, each in a process of its own, and print a line of JSON for each."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.retrieval.compressed")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--chunks", type=int, default=100_000)
    parser.add_argument("--kinds", nargs="+", default=KINDS, choices=KINDS)
    parser.add_argument("--keep", action="store_true", help="keep the table")
    parser.add_argument("--step", nargs="+", help="run this step only: what a whole run starts")
    given = parser.parse_args()
    if given.step:
        print(json.dumps(STEPS[given.step[0]](given.folder, *given.step[1:])))
        return
    made = given.folder / f"vectors-{given.chunks}"
    scale.make_vectors(made, given.chunks)
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} at the start", flush=True)
    _step(made, "write")
    for kind in given.kinds:
        _step(made, "build", kind)
        setting = _step(made, "choose", kind)["setting"]
        if setting:
            _step(made, "search", kind, json.dumps(setting))
            _step(made, "search", kind, json.dumps(setting), "256")
            _step(made, "add", kind, json.dumps(setting))
    if not given.keep:
        shutil.rmtree(made)


def _step(made: Path, *step: str) -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks.retrieval.compressed", made, "--step", *step]
    found = scale.result_of(command)
    print(json.dumps({"step": " ".join(step), **found}), flush=True)
    return found


def write(made: Path) -> dict[str, Any]:
    """Write a table of the product's own shape."""
    store, schema = open_store(_tables(made)), tables.chunk_schema(DIM)
    if store.chunks.exists(TABLE):
        return {"already": True}
    spent, vectors = _Spent(), np.load(made / "vectors.npy", mmap_mode="r")
    store.chunks.put(TABLE, [], vectors[:0])
    for start in range(0, len(vectors), BLOCK):
        store.tables.open(TABLE).add(scale.rows(start, vectors[start : start + BLOCK], schema))
    compact(store.tables.open(TABLE))  # or the first folding would pay for it
    store.close()
    return {**spent(), "table_mb": _size(_tables(made))}


def build(made: Path, kind: Any) -> dict[str, Any]:
    """Build one index, without measuring its recall."""
    table = _table(made)
    before, spent = _size(_tables(made)), _Spent()
    vector_index._create(table, vector_index._config(kind, table.count_rows()))
    done = spent()
    return {**done, "index_mb": _size(_tables(made)) - before}


def choose(made: Path, kind: str) -> dict[str, Any]:
    """Find the setting that reads the least and has enough recall on the odd queries; give its recall on the even."""
    table = _table(made)
    queries, truth = np.load(made / "queries.npy"), np.load(made / "truth.npy")
    spent, tried = _Spent(), []
    for setting in _settings(kind):
        recall = _recall(table, queries[::2], truth[::2], setting)
        tried.append([*setting.values(), round(recall, 4)])
        if recall >= vector_index.ENOUGH:
            return {**spent(), "setting": setting, "held_out": _recall(table, queries[1::2], truth[1::2], setting),
                    "tried": tried}  # fmt: skip
    return {**spent(), "setting": None, "tried": tried}


def search(made: Path, kind: str, setting: str, cache_mb: str = "") -> dict[str, Any]:
    """Search one question at a time, cold and then warm, and return times and memory."""
    del kind
    how, queries, truth = json.loads(setting), np.load(made / "queries.npy"), np.load(made / "truth.npy")
    vectors = np.load(made / "vectors.npy", mmap_mode="r")
    more = np.array(vectors[np.random.default_rng(5).choice(len(vectors), WARM)])
    del vectors  # or its pages count as mapped files
    _evict(made)
    table = _table(made, cache_mb)
    memory = {"start": _memory()}
    cold = [_timed(table, query, how)[0] for query in queries[:COLD]]
    memory["cold"] = _memory()
    asked = len(more)
    for query in more:
        _timed(table, query, how)
    memory["warm"] = _memory()
    spent = _Spent()
    timed = [_timed(table, query, how) for query in queries]
    done = spent()
    recall = float(np.mean([len(ids & set(map(int, right))) / K for (_, ids), right in zip(timed, truth, strict=True)]))
    return {
        "first_ms": round(cold[0], 1),
        "cold_ms": round(float(np.median(cold)), 1),
        "warm_ms": round(float(np.median([ms for ms, _ in timed])), 1),
        "warm_cpu_ms": round(1e3 * done["cpu_s"] / len(queries), 1),
        "recall": recall,
        "asked": asked,
        "memory": memory,
    }


def add(made: Path, kind: str, setting: str) -> dict[str, Any]:
    """Add a document as the product does, then as many rows as it folds into the index at once, and fold them."""
    store, how = open_store(_tables(made)), json.loads(setting)
    n, rng, schema = store.chunks.count(TABLE), np.random.default_rng(hash(kind) % 1000), tables.chunk_schema(DIM)
    vectors = -np.array(np.load(made / "vectors.npy", mmap_mode="r")[:FOLDED])  # far from the queries' neighbours
    vectors += rng.normal(size=vectors.shape).astype(np.float32) * 0.1 / DIM**0.5
    documents = []
    for start in range(0, 5 * DOCUMENT, DOCUMENT):
        spent = _Spent()
        store.tables.upsert(TABLE, scale.rows(n + start, vectors[start : start + DOCUMENT], schema).to_pylist(), schema)
        documents.append(spent())
    table = store.tables.open(TABLE)
    table.add(scale.rows(n + 5 * DOCUMENT, vectors[5 * DOCUMENT :], schema))
    query = np.load(made / "queries.npy")
    before = [_timed(table, each, how)[0] for each in query[:50]]
    spent = _Spent()
    compact(table)
    folding = spent()
    found = [_timed(table, vector, how)[1] for vector in vectors[:100]]
    after = [_timed(table, each, how)[0] for each in query[:50]]
    return {
        "document_cpu_ms": [round(1e3 * each["cpu_s"]) for each in documents],
        "document_ms": [round(1e3 * each["s"]) for each in documents],
        "ms_before_folding": round(float(np.median(before[10:])), 1),
        "ms_after_folding": round(float(np.median(after[10:])), 1),
        "folding": folding,
        "new_found": sum(n + at in ids for at, ids in enumerate(found)),
        "outside": vector_index._outside(table),
    }


def _settings(kind: str) -> Iterator[Setting]:
    """Yield settings: of a compressed index first those that compare few rows again."""
    for probes in vector_index.PROBES:
        for refine in (0,) if kind == "IVF_FLAT" else vector_index.REFINES:
            yield {"probes": probes, "refine": refine}


def _query(table: Any, vectors: np.ndarray, how: Setting, columns: list[str]) -> Any:
    query = table.search(vectors).distance_type("cosine").select(columns).limit(K).nprobes(how["probes"])
    return query.refine_factor(how["refine"]) if how["refine"] else query


def _recall(table: Any, queries: np.ndarray, truth: np.ndarray, how: Setting) -> float:
    found: list[set[int]] = [set() for _ in queries]
    for row in _query(table, queries, how, ["id", "_distance"]).to_list():
        found[row.get("query_index", 0)].add(int(row["id"], 16))
    return float(np.mean([len(ids & set(map(int, right))) / K for ids, right in zip(found, truth, strict=True)]))


def _timed(table: Any, vector: np.ndarray, how: Setting) -> tuple[float, set[int]]:
    began = time.perf_counter()
    rows = _query(table, vector, how, [*tables.CHUNK_COLUMNS, "_distance"]).to_list()
    return 1e3 * (time.perf_counter() - began), {int(row["id"], 16) for row in rows}


def _table(made: Path, cache_mb: str = "") -> Any:
    """Open the table as the product does; with at most so much of its index in memory where that is given."""
    folder = _tables(made)
    home = shared_home(folder.parent)
    where = home.tables.connection if home else {"uri": folder}
    limit = {"index_cache_size_bytes": int(cache_mb) * 1_000_000} if cache_mb else {}
    session = lancedb.Session(metadata_cache_size_bytes=METADATA_BYTES, **limit)
    return lancedb.connect(**where, session=session).open_table(TABLE)


def _tables(made: Path) -> Path:
    """Return the folder of the tables, or that which stands for it where the home is an address."""
    home = os.environ.get("THUMBTUNE_HOME", "")
    return (cache_of(home) if is_address(home) else made) / "lancedb"


class _Spent:
    """Seconds and processor seconds since it was made, and the most memory that the process itself held meanwhile."""

    def __init__(self) -> None:
        self._at, self._cpu, self._most = time.perf_counter(), time.process_time(), _memory()[0]
        self._ended = threading.Event()
        self._watch = threading.Thread(target=self._look, daemon=True)
        self._watch.start()

    def _look(self) -> None:
        while not self._ended.wait(0.2):
            self._most = max(self._most, _memory()[0])

    def __call__(self) -> dict[str, float]:
        self._ended.set()
        self._watch.join()
        return {"s": round(time.perf_counter() - self._at, 2), "cpu_s": round(time.process_time() - self._cpu, 2),
                "own_mb": max(self._most, _memory()[0]), "peak_mb": round(scale.most_mb())}  # fmt: skip


def _memory() -> tuple[int, int]:
    """Return MB of this process's own, and of mapped files."""
    lines = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    own, mapped = (int(lines[name].split()[0]) // 1024 for name in ("RssAnon", "RssFile"))
    return own, mapped


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) // 1_000_000


def _evict(made: Path) -> None:
    """Drop the table's files from the system's page cache."""
    for path in _tables(made).rglob("*"):
        if path.is_file():
            with path.open("rb") as file:
                os.fdatasync(file.fileno())
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


STEPS = {"write": write, "build": build, "choose": choose, "search": search, "add": add}

if __name__ == "__main__":
    main()
