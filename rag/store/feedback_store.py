"""Store and read answers, ratings, labels (`training_pairs`) and synthetic pairs; keep the former three in memory."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, timedelta
from typing import Any, Generic, TypeVar

from lancedb import col, lit

from rag.columns import AnswerColumns, RatingColumns
from rag.home_address import put_back, refreshed
from rag.records import IMPORTED, MARKED, PREFERRED, Answer, LabelledPair, Rating, SyntheticPair
from rag.store import schema
from rag.store.lance.tables import IN_LIST, LanceTables

ON_ANSWERS = ("answer", "source")  # kinds of ratings whose target is an answer
LATEST = 500  # answers kept in memory, about 5 MB
DELETED = "answers-deleted"  # in the tables' folder: a file that changes whenever answers are deleted
OVERLAP = timedelta(minutes=10)  # before the latest answer that is known: another process may write one late
HELD_ROWS = 20_000  # of a table that is kept in memory; 20 MB of ratings
T = TypeVar("T", Rating, LabelledPair)


class HeldRows(Generic[T]):
    """A table's records in memory, by id and by one of their fields, as they are at a version. Thread-safe.

    Why: with a hundred ratings since the last compaction, reading those of one rater takes 37 ms of processor time, and
    each question and each rating asks three times. What this process writes is added; after any other write, all of it
    is read again.
    """

    def __init__(
        self, tables: LanceTables, name: str, read: Callable[[schema.Row], T], key: Callable[[T], str]
    ) -> None:
        self._tables, self._name = tables, name
        self._read: Callable[[schema.Row], T] = read
        self._key: Callable[[T], str] = key
        self._version = 0  # of the records; 0 for none
        self._too_many = False
        self._records: dict[str, T] = {}
        self._by_key: dict[str, dict[str, T]] = {}
        self._lock = threading.Lock()
        tables.on_upsert(name, self._add)

    def all(self) -> list[T] | None:
        """Return all records, in no order; None where they are too many to be held."""
        self._wait()
        with self._lock:
            return list(self._records.values()) if self._is_current() else None

    def of(self, key: str) -> list[T] | None:
        """Return the records of a key, as `all`."""
        self._wait()
        with self._lock:
            return list(self._by_key.get(key, {}).values()) if self._is_current() else None

    def with_id(self, record_id: str) -> list[T] | None:
        """Return the record of an id in a list, which is empty where there is none, or None, as `all`."""
        self._wait()
        with self._lock:
            return (
                [self._records[each] for each in (record_id,) if each in self._records] if self._is_current() else None
            )

    def _wait(self) -> None:
        """Wait for a write of this process that is just being made: its rows are added, which is less than reading."""
        if self._tables.version_or_none(self._name) != self._version:
            with self._tables.committing:
                pass

    def _add(self, before: int, after: int, rows: Any) -> None:  # noqa: ANN401  # an Arrow table
        with self._lock:
            if before != self._version or after != before + 1:  # another process has written, too
                return
            self._put(rows.to_pylist())
            self._version = after if len(self._records) <= HELD_ROWS else 0

    def _put(self, rows: Iterable[schema.Row]) -> None:
        for row in rows:
            record_id, record = row["id"], self._read(row)
            if old := self._records.get(record_id):
                del self._by_key[self._key(old)][record_id]
            self._records[record_id] = record
            self._by_key.setdefault(self._key(record), {})[record_id] = record

    def _is_current(self) -> bool:
        """Return whether the records are those of the newest version; read them if they are not."""
        version = self._tables.version_or_none(self._name)
        if version == self._version and (version or not self._records):
            return True
        self._version, self._records, self._by_key = 0, {}, {}
        if not version:
            return True
        if self._too_many or self._tables.count(self._name) > HELD_ROWS:
            self._too_many = True
            return False
        self._put(self._tables.rows(self._name))
        self._version = version if self._tables.version_or_none(self._name) == version else 0
        return True


class HeldAnswers:
    """All answers by columns, as they were last read; of later ones only those are read. Thread-safe.

    Why: answers never change, and LanceDB reads the ids of their passages only together with the texts: 250 MB of
    100,000 answers, 0.4 s of processor time for each look at the scoreboard.
    """

    def __init__(self, tables: LanceTables) -> None:
        self._tables = tables
        self._known: AnswerColumns | None = None
        self._at: tuple[int, int] | None = None  # the last deletion, and the table's version or an older one
        self._lock = threading.Lock()

    def read(self, deletion: int) -> AnswerColumns:
        """Return all answers. `deletion` changes whenever answers are deleted."""
        with self._lock:
            at = deletion, self._tables.version_or_none(schema.ANSWERS)
            if self._known is None or self._at != at:
                self._known = self._later(self._known) if self._known and self._at and self._at[0] == deletion else None
                self._known = self._read() if self._known is None else self._known
                self._at = at
            return self._known

    def _later(self, known: AnswerColumns) -> AnswerColumns | None:
        """Return what is known and what was written since; None where some of it is older than expected."""
        count = self._tables.count(schema.ANSWERS)
        found = self._read(col("at") >= lit(known.at.max().item().replace(tzinfo=UTC) - OVERLAP))
        both = known.followed_by(found.without(set(known.ids.tolist())))
        return both if len(both) >= count else None

    def _read(self, where: Any = None) -> AnswerColumns:  # noqa: ANN401
        columns = schema.ANSWER_COLUMNS
        return self._tables.read_columns(schema.ANSWERS, columns, schema.read_answer_columns, where)


class FeedbackStore:
    """Answers, what raters said of them, and the labels derived from that."""

    def __init__(self, tables: LanceTables) -> None:
        self._tables = tables
        self._ratings = HeldRows(tables, schema.RATINGS, schema.read_rating, lambda rating: rating.rater)
        self._labels = HeldRows(tables, schema.TRAINING_PAIRS, schema.read_label, lambda label: label.query)
        self._latest: OrderedDict[str, Answer] = OrderedDict()  # answers written here, which never change
        self._columns = HeldAnswers(tables)
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

    def answer_columns(self) -> AnswerColumns:
        """Return all answers by columns, without the texts of their passages."""
        return self._columns.read(self._last_deletion())

    def rating_columns(self) -> RatingColumns:
        """Return all ratings by columns, withdrawn ones (value 0) included."""
        return self._tables.read_columns(schema.RATINGS, schema.RATING_COLUMNS, schema.read_rating_columns)

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
        found = self._ratings.with_id(rating_id)
        if found is None:
            rows = self._tables.rows(schema.RATINGS, col("id") == lit(rating_id))
            found = [schema.read_rating(row) for row in rows]
        return found[0] if found else None

    def ratings(self, rater: str = "") -> list[Rating]:
        """Return the ratings of a rater, or all, withdrawn ones (value 0) included."""
        held = self._ratings.of(rater) if rater else self._ratings.all()
        if held is not None:
            return held
        where = col("rater") == lit(rater) if rater else None
        return [schema.read_rating(row) for row in self._tables.rows(schema.RATINGS, where)]

    def put_labels(self, labels: Sequence[LabelledPair]) -> None:
        """Write rows of `training_pairs`; a rater's previous label of the same chunk and answer is replaced."""
        self._tables.upsert(schema.TRAINING_PAIRS, [schema.keyed_row(label) for label in labels])

    def labels(self, query: str | None = None) -> list[LabelledPair]:
        """Return the rows of `training_pairs`, all or those of a query in this spelling."""
        if query is not None and (held := self._labels.of(query)) is not None:
            return held
        where = None if query is None else col("query") == lit(query)
        return [schema.read_label(row) for row in self._tables.rows(schema.TRAINING_PAIRS, where)]

    def solved_queries(self) -> set[str]:
        """Return the queries that have a positive label, other than of a preference: the better answer may be wrong."""
        where = (col("label") == lit(1)) & (col("origin") != lit("preference"))
        found = self._tables.arrow(schema.TRAINING_PAIRS, where, ["query"])
        return set() if found is None else set(found["query"].unique().to_pylist())

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
        marker = self._tables.folder / DELETED
        self._tables.run(lambda: marker.write_text(str(time.time_ns())))
        put_back(marker, over=True)

    def _last_deletion(self) -> int:
        """Return what changes when any process deletes answers; takes 2 µs."""
        try:
            return refreshed(self._tables.folder / DELETED).stat().st_mtime_ns
        except FileNotFoundError:
            return 0

    def _answers_by(self, column: str, values: Iterable[str]) -> list[Answer]:
        wanted = sorted(set(values))
        parts = [col(column).isin(wanted[start : start + IN_LIST]) for start in range(0, len(wanted), IN_LIST)]
        found = [self._tables.arrow(schema.ANSWERS, part) for part in parts]
        return [answer for table in found if table is not None for answer in schema.read_answers(table)]
