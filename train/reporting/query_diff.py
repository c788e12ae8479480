"""The queries that challenger and champion differ on most, with what each of them retrieved.

The idea a reader would miss: a loss by these numbers may be a gain. A hit that nobody judged counts as wrong, and who
reads it here sees at once whether it is; so each hit is told apart as right, judged wrong, or not judged.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from rag.evaluation.metrics import Values, judged_for
from rag.records import Chunk, Qrels
from train.judging.evaluate import POOL
from train.reporting.markdown import plain, table

MOST = 10  # queries won, and queries lost
HITS = 3  # of each model; five of them are read by an answerer, three show where it went
EXCERPT = 120  # characters of a chunk
RIGHT, WRONG, UNJUDGED = "✓ right", "✗ wrong", "? not judged"


@dataclass(frozen=True, slots=True)
class Side:
    """One of two models: what it ranked per query, and the gate's metric per query of the qrels, in their order."""

    name: str
    ranked: Mapping[str, Sequence[str]]
    values: Values


def largest_differences(champion: Side, challenger: Side, *, best: bool) -> list[int]:
    """Return the rows of the queries that the challenger won, or lost, by most, the furthest first."""
    gained = (challenger.values - champion.values) * (1 if best else -1)
    return [int(row) for row in np.argsort(-gained, kind="stable") if gained[row] > 0][:MOST]


def format_query_diff(
    champion: Side, challenger: Side, qrels: Qrels, chunks: Mapping[str, Chunk], *, best: bool
) -> str:
    """Return those queries as Markdown: all of them in one table, then what each model retrieved."""
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
    """Return the start of a text, up to a whole word where there is one to stop at."""
    line = " ".join(text.split())
    if len(line) <= EXCERPT:
        return line
    cut = line[:EXCERPT]
    return f"{cut[: cut.rfind(' ')] if ' ' in cut else cut}…"


def _placed(side: Side, row: int, query: str, qrels: Qrels) -> tuple[str, str]:
    """Return the value of the gate's metric, and the rank of the first right chunk."""
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
    page = f"page {chunk.page}" if chunk.page else ""
    where = " › ".join(part for part in (chunk.source, page, heading) if part)
    return f"**{mark}** {plain(where)}: {plain(excerpt(_below(heading, chunk.text)))}"


def _below(heading: str, text: str) -> str:
    """Return a chunk's text without the line of its own heading, which is told already."""
    first, _, rest = text.strip().partition("\n")
    return rest if rest.strip() and first.strip("# ") == heading else text
