"""FAISS and Chroma search the vectors made by scale.py: run by the Python of the peers' own environment.

    python peer_search.py "FAISS flat"|"FAISS IVF"|"Chroma" FOLDER

Imports nothing of ours, whose libraries are not there. Prints one line of JSON.
"""

import json
import sys
import time
from pathlib import Path

import numpy as np

K, BATCH = 10, 5_000
PROBES = 16
TEXT = "passage of some words that are neither long nor short " * 10


def main() -> None:
    """Build, search one query at a time, and print what it came to."""
    name, folder = sys.argv[1], Path(sys.argv[2])
    vectors = np.load(folder / "vectors.npy", mmap_mode="r")
    queries, truth = np.load(folder / "queries.npy"), np.load(folder / "truth.npy")
    began = time.perf_counter()
    search = {"FAISS flat": flat, "FAISS IVF": ivf, "Chroma": chroma}[name](vectors, folder)
    build_s = time.perf_counter() - began
    for query in queries[:3]:
        search(query)
    spent, hits = [], []
    for query in queries:
        began = time.perf_counter()
        found = search(query)
        spent.append(time.perf_counter() - began)
        hits.append(found)
    recall = float(np.mean([len(ids & set(map(int, right))) / K for ids, right in zip(hits, truth, strict=True)]))
    status = Path("/proc/self/status").read_text()
    mb = int(next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1]) / 1024
    print(json.dumps({"ms": 1e3 * float(np.median(spent)), "recall": recall, "mb": mb, "build_s": build_s}))


def flat(vectors, folder):
    """Compare with all, in memory."""
    import faiss

    index = faiss.IndexFlatIP(vectors.shape[1])
    for start in range(0, len(vectors), BATCH):
        index.add(np.ascontiguousarray(vectors[start : start + BATCH]))
    return lambda query: set(map(int, index.search(query[None], K)[1][0]))


def ivf(vectors, folder):
    """Compare with PROBES of as many partitions as the root of the number of vectors, in memory."""
    import faiss

    lists = int(len(vectors) ** 0.5)
    index = faiss.index_factory(vectors.shape[1], f"IVF{lists},Flat", faiss.METRIC_INNER_PRODUCT)
    index.train(np.array(vectors[np.random.default_rng(0).permutation(len(vectors))[: 64 * lists]]))
    for start in range(0, len(vectors), BATCH):
        index.add(np.ascontiguousarray(vectors[start : start + BATCH]))
    index.nprobe = PROBES
    return lambda query: set(map(int, index.search(query[None], K)[1][0]))


def chroma(vectors, folder):
    """Let Chroma keep them on disk and find by its graph, with its own defaults but cosine."""
    import chromadb

    client = chromadb.PersistentClient(str(folder / "chroma"))
    table = client.get_or_create_collection("scale", metadata={"hnsw:space": "cosine"})
    if table.count() != len(vectors):
        for start in range(0, len(vectors), BATCH):
            some = vectors[start : start + BATCH]
            numbers = range(start, start + len(some))
            texts = [f"{TEXT}{n}" for n in numbers]
            table.upsert(list(map(str, numbers)), embeddings=some.tolist(), documents=texts)

    def search(query):
        found = table.query([query.tolist()], n_results=K, include=["documents", "distances"])
        return set(map(int, found["ids"][0]))

    return search


if __name__ == "__main__":
    main()
