"""Per-query diff: the queries that the challenger won and lost by most, with what both models retrieved.

Why each hit is marked right, wrong or not judged: a hit that nobody judged counts as wrong, so a measured loss may be a
gain. A reader can see which.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from rag.evaluation.metrics import Values, judged_for
from rag.records import Chunk, Qrels
from train.judging.evaluate import POOL
from train.reporting.markdown import plain, table

MOST = 10  # queries shown, won and lost each
HITS = 3  # per model; an answer uses five, three are enough to see the difference
EXCERPT = 120  # characters of a chunk
RIGHT, WRONG, UNJUDGED = "✓ right", "✗ wrong", "? not judged"


@dataclass(frozen=True, slots=True)
class Side:
    """One of the two models: its ranking per query, and the gate's metric (queries,) in the order of the qrels."""

    name: str
    ranked: Mapping[str, Sequence[str]]
    values: Values


def largest_differences(champion: Side, challenger: Side, *, best: bool) -> list[int]:
    """Return the rows of the queries that the challenger won (or lost) by most, largest difference first."""
    gained = (challenger.values - champion.values) * (1 if best else -1)
    return [int(row) for row in np.argsort(-gained, kind="stable") if gained[row] > 0][:MOST]


def format_query_diff(
    champion: Side, challenger: Side, qrels: Qrels, chunks: Mapping[str, Chunk], *, best: bool
) -> str:
    """Return these queries as Markdown: a table, then the hits of both models per query."""
    rows = largest_differences(champion, challenger, best=best)
    if not rows:
        return "None."
    queries = list(qrels.relevant)
    sides = (champion, challenger)
    head = ["", "query", *(title for side in sides for title in (plain(side.name), "right chunk"))]
    overview = [
        [str(n), plain(queries[row]), *(cell for side in sides for cell in _placed(side, row, queries[row], qrels))]
        for n, row in enumerate(rows, 1)
    ]
    details = [
        f"### {n}. {plain(queries[row])}\n\n{_retrieved(queries[row], sides, qrels, chunks)}"
        for n, row in enumerate(rows, 1)
    ]
    return "\n\n".join([table(head, overview), *details])


def excerpt(text: str) -> str:
    """Return the first EXCERPT characters of a text, cut at a word if possible."""
    line = " ".join(text.split())
    if len(line) <= EXCERPT:
        return line
    cut = line[:EXCERPT]
    return f"{cut[: cut.rfind(' ')] if ' ' in cut else cut}…"


def _placed(side: Side, row: int, query: str, qrels: Qrels) -> tuple[str, str]:
    """Return the value of the gate's metric, and the rank of the first relevant chunk."""
    ranks = [rank for rank, chunk_id in enumerate(side.ranked[query], 1) if chunk_id in qrels.relevant[query]]
    return f"{side.values[row]:.2f}", f"rank {ranks[0]}" if ranks else f"below rank {POOL}"


def _retrieved(query: str, sides: Sequence[Side], qrels: Qrels, chunks: Mapping[str, Chunk]) -> str:
    first = [side.ranked[query][:HITS] for side in sides]
    rows = [
        [str(rank), *(_hit(query, ids[rank - 1], qrels, chunks) if rank <= len(ids) else "" for ids in first)]
        for rank in range(1, HITS + 1)
    ]
    return table(["rank", *(plain(side.name) for side in sides)], rows)


def _hit(query: str, chunk_id: str, qrels: Qrels, chunks: Mapping[str, Chunk]) -> str:
    chunk = chunks[chunk_id]
    judged = chunk_id in judged_for(qrels, query)
    mark = RIGHT if chunk_id in qrels.relevant[query] else WRONG if judged else UNJUDGED
    heading = chunk.heading.rpartition(" > ")[2]
    page = f"page {chunk.pages}" if chunk.pages else ""
    where = " › ".join(part for part in (chunk.source, page, heading) if part)
    return f"**{mark}** {plain(where)}: {plain(excerpt(_below(heading, chunk.text)))}"


def _below(heading: str, text: str) -> str:
    """Return a chunk's text without its own heading line, which is shown already."""
    first, _, rest = text.strip().partition("\n")
    return rest if rest.strip() and first.strip("# ") == heading else text
