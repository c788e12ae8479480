"""Store and read answers, ratings, labels (`training_pairs`) and synthetic pairs."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Iterable, Sequence

from lancedb import col, lit

from rag.records import IMPORTED, MARKED, PREFERRED, Answer, LabelledPair, Rating, SyntheticPair
from rag.store import schema
from rag.store.lance import IN_LIST, LanceTables

ON_ANSWERS = ("answer", "source")  # kinds of ratings whose target is an answer
LATEST = 500  # answers kept in memory, about 5 MB
DELETED = "answers-deleted"  # in the tables' folder: a file that changes whenever answers are deleted


class FeedbackStore:
    """Answers, what raters said of them, and the labels derived from that."""

    def __init__(self, tables: LanceTables) -> None:
        self._tables = tables
        self._latest: OrderedDict[str, Answer] = OrderedDict()  # answers written here, which never change
        self._deleted = self._last_deletion()
        self._lock = threading.Lock()

    def add_answer(self, answer: Answer) -> None:
        """Write a finished answer, whose id is new. The latest are kept in memory: a rating reads its answer often."""
        self._tables.append(schema.ANSWERS, [schema.answer_row(answer)])
        self._remember(answer)

    def put_answer(self, answer: Answer) -> None:
        """Write an answer, which may be there already."""
        self._tables.upsert(schema.ANSWERS, [schema.answer_row(answer)])
        self._remember(answer)

    def _remember(self, answer: Answer) -> None:
        with self._lock:
            self._latest[answer.id] = answer
            while len(self._latest) > LATEST:
                self._latest.popitem(last=False)

    def answer(self, answer_id: str) -> Answer | None:
        """Return one answer, or None where there is none of this id."""
        return next(iter(self.answers([answer_id])), None)

    def answers(self, ids: Iterable[str] | None = None) -> list[Answer]:
        """Return the answers of these ids, or all."""
        if ids is not None:
            wanted = set(ids)
            with self._lock:
                if self._deleted != (last := self._last_deletion()):
                    self._deleted = last
                    self._latest.clear()
                latest = [self._latest[answer_id] for answer_id in sorted(wanted) if answer_id in self._latest]
            return [*latest, *self._answers_by("id", wanted - {answer.id for answer in latest})]
        table = self._tables.arrow(schema.ANSWERS, None)
        return [] if table is None else list(schema.read_answers(table))

    def answers_of_duels(self, ids: Iterable[str]) -> list[Answer]:
        """Return the answers of these duels."""
        return self._answers_by("duel", ids)

    def put_ratings(self, ratings: Sequence[Rating]) -> None:
        """Write ratings in one atomic step; a rater's previous rating of the same target is replaced."""
        self._tables.upsert(schema.RATINGS, [schema.rating_row(rating) for rating in ratings])

    def put_rated(self, rating: Rating, labels: Sequence[LabelledPair]) -> None:
        """Write a rating, then the labels derived from it; both are on disk when this returns."""
        rows = {schema.RATINGS: [schema.rating_row(rating)], schema.TRAINING_PAIRS: map(schema.keyed_row, labels)}
        self._tables.upsert_each(rows)

    def rating(self, rating_id: str) -> Rating | None:
        """Return one rating, or None where there is none of this id."""
        rows = self._tables.rows(schema.RATINGS, col("id") == lit(rating_id))
        return schema.read_rating(rows[0]) if rows else None

    def ratings(self, rater: str = "") -> list[Rating]:
        """Return the ratings of a rater, or all, withdrawn ones (value 0) included."""
        where = col("rater") == lit(rater) if rater else None
        return [schema.read_rating(row) for row in self._tables.rows(schema.RATINGS, where)]

    def put_labels(self, labels: Sequence[LabelledPair]) -> None:
        """Write rows of `training_pairs`; a rater's previous label of the same chunk and answer is replaced."""
        self._tables.upsert(schema.TRAINING_PAIRS, [schema.keyed_row(label) for label in labels])

    def labels(self, query: str | None = None) -> list[LabelledPair]:
        """Return the rows of `training_pairs`, all or those of a query in this spelling."""
        where = None if query is None else col("query") == lit(query)
        return [schema.read_label(row) for row in self._tables.rows(schema.TRAINING_PAIRS, where)]

    def solved_queries(self) -> set[str]:
        """Return the queries that have a positive label, other than of a preference: the better answer may be wrong."""
        rows = self._tables.rows(schema.TRAINING_PAIRS, col("label") == lit(1), ["query", "origin"])
        return {row["query"] for row in rows if row["origin"] != "preference"}

    def put_synthetic(self, pairs: Sequence[SyntheticPair]) -> None:
        """Write rows of `synthetic_pairs`."""
        self._tables.upsert(schema.SYNTHETIC_PAIRS, [schema.keyed_row(pair) for pair in pairs])

    def synthetic(self) -> list[SyntheticPair]:
        """Return all rows of `synthetic_pairs`."""
        return [schema.read_synthetic(row) for row in self._tables.rows(schema.SYNTHETIC_PAIRS)]

    def gaps(self) -> list[str]:
        """Return what newer tables refer to and an older or missing table lacks, one line each; empty if all is there.

        A rating is written before the labels derived from it, and an answer before its ratings.
        """
        labels = self._tables.rows(schema.TRAINING_PAIRS, col("origin") != lit("import"), ["rater", "answer_id"])
        ratings = self._tables.rows(schema.RATINGS, columns=["rater", "kind", schema.TARGET_COLUMN])
        answers = {row["id"] for row in self._tables.rows(schema.ANSWERS, columns=["id"])}
        rated = {(row["rater"], row[schema.TARGET_COLUMN]) for row in ratings}
        derived = [(row["rater"], row["answer_id"].removeprefix(MARKED).removeprefix(PREFERRED)) for row in labels]
        orphans = sum(each not in rated and not each[1].startswith(IMPORTED) for each in derived)
        unknown = sum(row["kind"] in ON_ANSWERS and row[schema.TARGET_COLUMN] not in answers for row in ratings)
        lines = []
        if orphans:
            lines.append(f"ratings: {len(ratings):,}, but {orphans:,} pairs were derived from ratings that are gone")
        if unknown:
            lines.append(f"answers: {len(answers):,}, but {unknown:,} ratings are of answers that are gone")
        return lines

    def delete_rater(self, rater: str) -> tuple[int, int]:
        """Delete a rater's ratings, then the labels derived from them; return how many of each.

        In this order, since labels are derived from ratings: if interrupted in between, a second call finishes it.
        """
        return (
            self._tables.delete_rater(schema.RATINGS, rater),
            self._tables.delete_rater(schema.TRAINING_PAIRS, rater),
        )

    def delete_answers(self, ids: Sequence[str]) -> None:
        """Delete answers for good; a call with none removes what an earlier one has left in older versions."""
        self._tables.erase(schema.ANSWERS, list(ids), "duel")
        self._tables.run(lambda: (self._tables.folder / DELETED).write_text(str(time.time_ns())))

    def _last_deletion(self) -> int:
        """Return what changes when any process deletes answers; takes 2 µs."""
        try:
            return (self._tables.folder / DELETED).stat().st_mtime_ns
        except FileNotFoundError:
            return 0

    def _answers_by(self, column: str, values: Iterable[str]) -> list[Answer]:
        wanted = sorted(set(values))
        parts = [col(column).isin(wanted[start : start + IN_LIST]) for start in range(0, len(wanted), IN_LIST)]
        found = [self._tables.arrow(schema.ANSWERS, part) for part in parts]
        return [answer for table in found if table is not None for answer in schema.read_answers(table)]
