"""Coverage: which chunks of the documents answers have shown and cited, and which queries have no good answer.

Why it is only a hint: a chunk that no query brought up is either not asked for or not found, and the count does not say
which. It shows where to look.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from rag.records import Answer, Chunk, Rating, normalise_query


@dataclass(frozen=True, slots=True)
class DocumentCoverage:
    """A current document: how many chunks it has, how many some answer has shown, and how many one has cited."""

    source: str
    chunks: int
    shown: int
    cited: int

    @property
    def never_shown(self) -> int:
        """Return how many chunks no answer has ever shown."""
        return self.chunks - self.shown


@dataclass(frozen=True, slots=True)
class Coverage:
    """The coverage of the current documents, and the number of distinct queries.

    `abstained` are queries that both arms declined the last time, `voted_down` those with a thumb down or "both bad".
    Both lists have only queries without a known relevant chunk, latest first, and no query is in both.
    """

    documents: tuple[DocumentCoverage, ...]
    queries: int
    abstained: tuple[str, ...]
    voted_down: tuple[str, ...]

    @property
    def chunks(self) -> int:
        """Return how many chunks the documents have."""
        return sum(document.chunks for document in self.documents)

    @property
    def never_shown(self) -> int:
        """Return how many of the chunks no answer has ever shown."""
        return sum(document.never_shown for document in self.documents)

    @property
    def uncited(self) -> tuple[str, ...]:
        """Return the documents that no answer has ever cited."""
        return tuple(document.source for document in self.documents if not document.cited)


def measure_coverage(
    chunks: Iterable[Chunk], answers: Sequence[Answer], ratings: Iterable[Rating], solved: Iterable[str]
) -> Coverage:
    """Return the coverage of these chunks by the answers; `solved` are the queries with a known relevant chunk."""
    shown = {hit.chunk.id for answer in answers for hit in answer.hits}
    cited = {hit.chunk.id for answer in answers for hit in answer.hits if hit.rank in answer.rests_on}
    by_source: dict[str, list[str]] = {}
    for chunk in chunks:
        by_source.setdefault(chunk.source, []).append(chunk.id)
    documents = [
        DocumentCoverage(source, len(ids), len(shown.intersection(ids)), len(cited.intersection(ids)))
        for source, ids in by_source.items()
    ]
    latest_first = _latest_first(answers)
    known = {normalise_query(query) for query in solved}
    abstained = _abstained(answers) - known
    down = _voted_down(answers, ratings) - known - abstained
    return Coverage(
        tuple(sorted(documents, key=lambda document: (-document.never_shown, document.source))),
        len(latest_first),
        tuple(query for key, query in latest_first.items() if key in abstained),
        tuple(query for key, query in latest_first.items() if key in down),
    )


def _latest_first(answers: Iterable[Answer]) -> dict[str, str]:
    """Return normalised query -> query as last typed, latest first."""
    latest: dict[str, str] = {}
    for answer in sorted(answers, key=lambda each: each.at, reverse=True):
        latest.setdefault(normalise_query(answer.query), answer.query)
    return latest


def _abstained(answers: Iterable[Answer]) -> AbstractSet[str]:
    """Return the queries of whose latest duel all answers abstained."""
    last: dict[str, list[Answer]] = {}
    for answer in sorted(answers, key=lambda each: each.at):
        duel = last.setdefault(normalise_query(answer.query), [])
        if duel and duel[0].duel != answer.duel:
            duel.clear()
        duel.append(answer)
    return {query for query, duel in last.items() if all(answer.abstained for answer in duel)}


def _voted_down(answers: Iterable[Answer], ratings: Iterable[Rating]) -> AbstractSet[str]:
    """Return the queries with a thumb down or a duel rated "both bad"."""
    query_of = {target: answer.query for answer in answers for target in (answer.id, answer.duel)}
    down = {
        query_of.get(rating.target_id, "")
        for rating in ratings
        if (rating.kind == "answer" and rating.value == -1)
        or (rating.kind == "preference" and rating.choice == "both bad")
    }
    return {normalise_query(query) for query in down if query}
