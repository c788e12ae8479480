"""A query adapter per group: its gain where two groups want opposite passages for the same words, and its cost.

    python -m benchmarks.learning.groups FILE.json [--cache DIR] [--adapters 1000]

Takes any SQuAD-format file; no question of it is used. The documents are halved by their subject: the first principal
component of their vectors. A query is made of up to four rare words that a passage and its nearest passage of the other
half share: group a wants the passage of the first half, group b that of the second, and each votes for its own and
against the other's. Queries that share a passage are all trained on or all judged. `shared` is what the product learns
from both groups' votes, over what hybrid search has taught it, `all wishes` an adapter for which each query has two
right passages: no votes can say that.
"""

from __future__ import annotations

import argparse
import json
import re
import tempfile
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import psutil

from benchmarks.learning.squad import World, build_world
from rag.evaluation.intervals import paired_bootstrap
from rag.feedback.pairs import alike, make_pairs
from rag.ingest.corpus import load_corpus
from rag.models.arms import Arms
from rag.models.embedder import Embedder, Vectors, adapt, load_embedder
from rag.models.registry import REGISTRY_FILE, Version, group_key
from rag.models.weights import ADAPTER, MATRIX
from rag.records import Label, LabelledPair, content_id
from rag.store.store import open_store
from train.chunk_vectors import table_vectors
from train.tuning.challenger import AdapterFactory, distilled
from train.tuning.hybrid_teacher import make_teacher

GROUPS = ("a", "b")
LABELS = (100, 200, 400)  # queries that each group has voted on
SEEDS = (0, 1)  # which queries these are, and which judge
ASKED, TRIES = 100, 20  # questions whose time is measured, each this often
COLUMNS = ("base", "base in its half", "shared", "all wishes", "its own", "own over shared", "own over all wishes")
SHOWN = 5
RIGHT: Label = 1
WRONG: Label = -1
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)  # of every vote
TESTED, MOST_SHARED = 200, 20  # queries that judge; more of them than this on the same passages are never among them
WORD, RARE, WORDS = re.compile(r"[a-z]{3,}"), 0.05, 4  # a rare word is in at most this share of the chunks
NEAR, COPY = 0.5, 0.95  # cosines of two passages for the same words; from COPY nobody could prefer one


@dataclass(frozen=True, slots=True)
class Wanted:
    """A query, and the row of the chunk that each group wants for it."""

    query: str
    rows: Mapping[str, int]


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.learning.groups", description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, help="a SQuAD-format JSON file")
    parser.add_argument("--cache", type=Path, default=Path("data/bench-learning/full"), help="where the index is kept")
    parser.add_argument("--adapters", type=int, default=0, metavar="N", help="measure memory and time of N adapters")
    given = parser.parse_args()
    world = build_world(given.data, given.cache / given.data.stem)
    print(world.summary(), flush=True)
    model = load_embedder("builtin", world.settings)
    if given.adapters:
        measure_cost(world, model, given.adapters)
        return
    with closing(open_store(world.settings.lancedb)) as store:
        table = store.chunks.table_name(load_corpus(world.settings).id, model.fingerprint)
        vectors = table_vectors(store, table, world.chunks, world.settings.cache)
    half = by_subject(np.array([chunk.document_id for chunk in world.chunks]), vectors)
    wanted = wanted_of(world, vectors, half)
    print(f"{np.count_nonzero(~half)} chunks in half a, {np.count_nonzero(half)} in half b; {len(wanted)} queries")
    print(f"\n| seed | queries | group | {' | '.join(COLUMNS)} |\n|{'---|' * (3 + len(COLUMNS))}", flush=True)
    for seed in SEEDS:
        compare(world, model, vectors, half, divide(wanted, seed), seed)


def by_subject(documents: np.ndarray, vectors: Vectors) -> np.ndarray:
    """Return for each chunk whether its document is in the second half of all chunks along the first component."""
    named, rows = np.unique(documents, return_inverse=True)
    means = np.stack([vectors[rows == n].mean(axis=0) for n in range(len(named))])
    along = np.linalg.svd(means - means.mean(axis=0), full_matrices=False)[2][0]
    place = (means @ along)[rows]
    second: np.ndarray = place > np.median(place)
    return second


def wanted_of(world: World, vectors: Vectors, half: np.ndarray) -> list[Wanted]:
    """Return a query for each passage that shares rare words with its nearest passage of the other half."""
    words = [set(WORD.findall(chunk.text.lower())) for chunk in world.chunks]
    often = Counter(word for some in words for word in some)
    first, second = np.flatnonzero(~half), np.flatnonzero(half)
    cosines = vectors[first] @ vectors[second].T
    nearest = [(int(a), int(second[column])) for a, column in zip(first, cosines.argmax(axis=1), strict=True)]
    nearest += [(int(first[row]), int(b)) for b, row in zip(second, cosines.argmax(axis=0), strict=True)]
    found: dict[str, Wanted] = {}
    for a, b in nearest:
        shared = [word for word in words[a] & words[b] if often[word] <= RARE * len(words)]
        if NEAR <= float(vectors[a] @ vectors[b]) < COPY and len(shared) > 1:
            query = " ".join(sorted(shared, key=lambda word: (often[word], word))[:WORDS])
            found.setdefault(query, Wanted(query, {"a": a, "b": b}))
    return list(found.values())


def divide(wanted: Sequence[Wanted], seed: int) -> tuple[list[Wanted], list[Wanted]]:
    """Return the queries that judge and those to learn from, which share no passage with them; by hashes."""
    parent: dict[int, int] = {}

    def root(row: int) -> int:
        while parent.setdefault(row, row) != row:
            row = parent[row]
        return row

    for each in wanted:
        parent[root(each.rows["a"])] = root(each.rows["b"])
    together: dict[int, list[Wanted]] = {}
    for each in wanted:
        together.setdefault(root(each.rows["a"]), []).append(each)
    test, train = list[Wanted](), list[Wanted]()
    for row in sorted(together, key=lambda row: content_id("divide", str(seed), str(row))):
        few = len(together[row]) <= MOST_SHARED and len(test) < TESTED
        (test if few else train).extend(together[row])
    return test, sorted(train, key=lambda each: content_id("learn", str(seed), each.query))


def compare(
    world: World,
    model: Embedder,
    vectors: Vectors,
    half: np.ndarray,
    divided: tuple[Sequence[Wanted], Sequence[Wanted]],
    seed: int,
) -> None:
    """Print hit_rate@5 of each group's wishes by each model; "in its half" is base where nothing else is searched."""
    test, train = divided
    start = distilled(model, vectors, make_teacher(world.chunks), 0)
    factory, untaught = AdapterFactory(model, world.chunks, vectors, start, 0), adapt(model, start, "distilled")
    of_group = replace(factory, rejects=True)
    for n in [labels for labels in LABELS if labels <= len(train)]:
        votes = {group: votes_of(world, train[:n], group) for group in GROUPS}
        pairs = {group: make_pairs(votes[group], world.chunks, alike).pairs for group in GROUPS}
        learnt = make_pairs([vote for group in GROUPS for vote in votes[group]], world.chunks, alike).pairs
        shared = factory.make(learnt, "shared").embedder if learnt else untaught
        right = [replace(pair, negatives=()) for group in GROUPS for pair in pairs[group]]
        wishes = factory.make(right, "all").embedder
        for group, rows in zip(GROUPS, (~half, half), strict=True):
            own = of_group.make(pairs[group], group).embedder
            hits = {each: found_by(each, vectors, test, group) for each in {model, shared, wishes, own}}
            within = found_by(model, np.where(rows[:, None], vectors, 0), test, group)
            rates = [hits[model], within, hits[shared], hits[wishes], hits[own]]
            row = [str(seed), str(n), group, *(f"{each.mean():.3f}" for each in rates)]
            row += [str(paired_bootstrap(hits[own], hits[other])) for other in (shared, wishes)]
            print(f"| {' | '.join(row)} |", flush=True)


def votes_of(world: World, wanted: Sequence[Wanted], group: str) -> list[LabelledPair]:
    """Return what a group's rater says of both passages of each query."""
    votes = []
    for each in wanted:
        for other in GROUPS:
            chunk, label = world.chunks[each.rows[other]], RIGHT if other == group else WRONG
            votes.append(LabelledPair(group, each.query, each.query, chunk.id, chunk.text, label, NOON, "import"))
    return votes


def found_by(embedder: Embedder, vectors: Vectors, wanted: Sequence[Wanted], group: str) -> np.ndarray:
    """Return for each query 1.0 where the passage that the group wants is among the first five."""
    scores = embedder.embed_queries([each.query for each in wanted]) @ vectors.T
    best = np.argpartition(-scores, SHOWN - 1, axis=1)[:, :SHOWN]
    return np.array([each.rows[group] in row for each, row in zip(wanted, best, strict=True)], dtype=np.float64)


def measure_cost(world: World, model: Embedder, n: int) -> None:
    """Print the memory of n loaded adapters, and the time a question takes above the shared model's."""
    with (
        tempfile.TemporaryDirectory(dir=world.settings.home.parent) as folder,
        closing(open_store(world.settings.lancedb)) as store,
    ):
        settings = world.settings.model_copy(update={"home": Path(folder)})
        corpus = load_corpus(world.settings)
        add_adapters(settings.models, corpus.folders_id, model, n)
        (settings.home / "cache").symlink_to(world.settings.cache)
        began = time.process_time()
        arms = Arms(settings, store, corpus)
        print(f"{n} groups: start {time.process_time() - began:.2f} processor seconds", flush=True)
        queries = [asked.query for asked in world.asked[:ASKED]]
        before = psutil.Process().memory_info().rss
        began = time.process_time()
        served = [arms.current("tuned", f"g{row}") for row in range(n)]
        first = (time.process_time() - began) / n
        held = psutil.Process().memory_info().rss - before
        shared = arms.current("tuned")
        own = [fastest(arms, query, f"g{row % n}") - fastest(arms, query, "") for row, query in enumerate(queries)]
        assert {each.model for each in served} == {f"v{row + 1}" for row in range(n)}
        assert {each.table for each in served} == {shared.table}
        print(f"{held / 1e6:.0f} MB more once all are loaded, {1e3 * first:.2f} ms of processor time to load each")
        middle, high = np.quantile(own, [0.5, 0.95]) * 1e3
        print(f"{middle:.3f} ms a question above the shared model's (median of {len(own)}; 95%: {high:.3f} ms)")


def fastest(arms: Arms, query: str, group: str) -> float:
    """Return the least processor time, of some tries, that a query's vector takes for a group."""
    times = []
    for _ in range(TRIES):
        began = time.process_time()
        arms.current("tuned", group).embedder.embed_queries([query])
        times.append(time.process_time() - began)
    return min(times)


def add_adapters(models: Path, folders: str, model: Embedder, n: int) -> None:
    """Write n groups with an adapter each, of random numbers, into a new folder of models."""
    draw = np.random.default_rng(0)
    versions, champions = list[dict[str, object]](), dict[str, list[str]]()
    for row in range(n):
        name, key = f"v{row + 1}", group_key(folders, f"g{row}")
        folder = models / name
        folder.mkdir(parents=True)
        np.save(folder / MATRIX, draw.normal(scale=0.01, size=(model.dim, model.dim)).astype(np.float32))
        (folder / ADAPTER).write_text(json.dumps({"model": model.reference, "fingerprint": model.query_fingerprint}))
        made = Version(name, key, model.fingerprint, "builtin", "ratings", "promote", "VERDICT", datetime.now(UTC))
        versions.append({**asdict(made), "created": made.created.isoformat()})
        champions[key] = [name]
    (models / REGISTRY_FILE).write_text(json.dumps({"versions": versions, "champions": champions}))


if __name__ == "__main__":
    main()
