"""Coverage: which chunks of the documents answers have shown and cited, and which queries have no good answer.

Why it is only a hint: a chunk that no query brought up is either not asked for or not found, and the count does not say
which. It shows where to look.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from rag.columns import AnswerColumns, Flags, Numbers, RatingColumns, Texts, codes, distinct
from rag.records import Chunk, normalise_query


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
    chunks: Iterable[Chunk],
    answers: AnswerColumns,
    ratings: RatingColumns,
    solved: Iterable[str],
    queries: Numbers,
    names: Sequence[str],
) -> Coverage:
    """Return the coverage of these chunks by the answers; `solved` are the queries with a known relevant chunk.

    `queries` and `names` are the `normalised` queries of the answers.
    """
    shown = {chunk.id for chunk in answers.chunks}
    cited = {answers.chunks[nth].id for nth in distinct(answers.hit_chunks[answers.hit_cited]).tolist()}
    by_source: dict[str, list[str]] = {}
    for chunk in chunks:
        by_source.setdefault(chunk.source, []).append(chunk.id)
    documents = [
        DocumentCoverage(source, len(ids), len(shown.intersection(ids)), len(cited.intersection(ids)))
        for source, ids in by_source.items()
    ]
    latest_first = _latest_first(answers, queries)
    known = {normalise_query(query) for query in solved}
    is_known = np.array([name in known for name in names], bool)
    abstained = _abstained(answers, queries, len(names)) & ~is_known
    down = _voted_down(answers, ratings, queries, len(names)) & ~is_known & ~abstained
    return Coverage(
        tuple(sorted(documents, key=lambda document: (-document.never_shown, document.source))),
        len(latest_first),
        tuple(answers.queries[latest_first[abstained[queries[latest_first]]]]),
        tuple(answers.queries[latest_first[down[queries[latest_first]]]]),
    )


def normalised(queries: Texts) -> tuple[Numbers, list[str]]:
    """Return a number for each query, equal for its spellings, and the normalised queries by number."""
    spelt, spellings = codes(queries.tolist())
    numbers, names = codes([normalise_query(each) for each in spellings])
    return numbers[spelt], names


def _latest_first(answers: AnswerColumns, queries: Numbers) -> Numbers:
    """Return the positions of the latest answer to each query, latest first."""
    order = np.argsort(answers.at, kind="stable")[::-1]
    _, first = np.unique(queries[order], return_index=True)
    return order[np.sort(first)]


def _abstained(answers: AnswerColumns, queries: Numbers, many: int) -> Flags:
    """Return of each query whether all answers of its latest duel abstained."""
    duels, _ = codes(answers.duels.tolist())
    order = np.lexsort((answers.at, queries))
    last = np.full(many, -1)
    last[queries[order]] = duels[order]  # the latest one is written last
    is_last = duels == last[queries]
    said = np.bincount(queries[is_last & ~answers.abstained], minlength=many)
    return np.asarray(said == 0)


def _voted_down(answers: AnswerColumns, ratings: RatingColumns, queries: Numbers, many: int) -> Flags:
    """Return of each query whether it has a thumb down or a duel rated "both bad"."""
    thumbs = ratings.targets[(ratings.kinds == "answer") & (ratings.values == -1)]
    choices = ratings.targets[(ratings.kinds == "preference") & (ratings.choices == "both bad")]
    down = np.zeros(many, bool)
    for targets, ids in ((thumbs, answers.ids), (choices, answers.duels)):
        wanted = set(targets.tolist())
        down[queries[[each in wanted for each in ids]] if len(ids) else []] = True
    return down
