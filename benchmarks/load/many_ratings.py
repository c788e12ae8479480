"""Rate a home that has many ratings: `python -m benchmarks.load.many_ratings [RATINGS]`.

Answers are stored and rated one by one at the start and at the end; what lies between is written in large steps, since
one by one it would take hours, and is compacted as it would be. Prints the time of an answer and of a rating, the
disk's use, the largest while ratings come in and after a minute and two without one, as a ratio to the data of the
tables once they are compacted, and the seconds of the scoreboard (the first look, which compares the texts of each
duel, and the next one after a rating) and of the labels that a training reads.

The same rows written in one step take less, since the passages repeat and equal ones in one step are stored once; that
size is printed, too.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from statistics import median

import numpy as np

from benchmarks.load.forked import ROOT
from rag.evaluation.duel_columns import Compared
from rag.evaluation.scoreboard import Scoreboard, make_scoreboard
from rag.feedback.ratings import derive_labels, rate_answer, repair
from rag.records import Answer, Hit, Rating
from rag.store import schema
from rag.store.durability import KEEP_OLD_FEEDBACK
from rag.store.store import Store, open_store

sys.path.insert(0, str(ROOT / "tests" / "support"))
from fakes import NOON, make_answer, make_hits

RATINGS = 100_000
ONE_BY_ONE = int(os.environ.get("ONE_BY_ONE", "1000"))
STEP, LOOK_EVERY = 2_000, 20
WORDS = "bees swarm in late spring when the colony runs out of room and the old queen leaves around noon"
MB = 1e6


@cache
def shown(seed: int) -> tuple[Hit, ...]:
    """Return five passages of 80 words."""
    draw = np.random.default_rng(seed)
    return make_hits(*(" ".join(draw.choice(WORDS.split(), 80)) for _ in range(5)))


def answer_of(number: int) -> Answer:
    """Return an answer of one side of a duel."""
    arm = "base" if number % 2 else "tuned"
    query, key = f"question {number // 2}", f"answer-{number}"
    made = make_answer(shown(number % 500), cited=(1, 3), query=query, arm=arm, id=key)
    side = "A" if (number + number // 2) % 2 else "B"
    return replace(made, duel=f"duel-{number // 2}", side=side, model="builtin" if arm == "base" else "v1")


def rating_of(number: int) -> Rating:
    """Return the rating of that answer; one rater rates both answers of a duel."""
    return Rating(f"rater-{number // 2 % 50}", f"answer-{number}", 1 if number % 3 else -1, True, NOON)


def in_steps(store: Store, start: int, stop: int) -> None:
    """Write answers and ratings with their labels, many at once."""
    for first in range(start, stop, STEP):
        numbers = range(first, min(first + STEP, stop))
        answers, ratings = [answer_of(number) for number in numbers], [rating_of(number) for number in numbers]
        store.tables.upsert(schema.ANSWERS, map(schema.answer_row, answers))
        store.feedback.put_ratings(ratings)
        labels = [derive_labels(rating, answer) for rating, answer in zip(ratings, answers, strict=True)]
        store.feedback.put_labels([label for each in labels for label in each])


def one_by_one(
    store: Store, start: int, stop: int, largest: list[float] | None = None
) -> tuple[list[float], list[float]]:
    """Store and rate answers; return the seconds that each answer and each rating took.

    `largest` gets the bytes of the tables as they grow.
    """
    answers, ratings, removed = list[float](), list[float](), time.monotonic()
    for number in range(start, stop):
        answer, rating = answer_of(number), rating_of(number)
        if largest is not None and number % LOOK_EVERY == 0:
            largest.append(size(store.folder))
        if time.monotonic() - removed > 60:
            store.tables.remove_old_versions()  # as a chat does
            removed = time.monotonic()
        answers.append(seconds(lambda answer=answer: store.feedback.add_answer(answer)))
        ratings.append(
            seconds(
                lambda rating=rating: rate_answer(
                    store, rater=rating.rater, answer_id=rating.target_id, value=rating.value, blind=True
                )
            )
        )
    return answers, ratings


def seconds(action: Callable[[], object]) -> float:
    """Return how long an action takes."""
    began = time.perf_counter()
    action()
    return time.perf_counter() - began


def size(folder: Path) -> float:
    """Return the bytes of a folder's files."""
    return float(sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()))


def look(store: Store, compared: Compared) -> Scoreboard:
    """Return the scoreboard, as a chat computes it after each change."""
    feedback = store.feedback
    columns = feedback.rating_columns(), feedback.answer_columns()
    return make_scoreboard(*columns, [], feedback.solved_queries(), base="builtin", tuned="v1", compared=compared)


def row(name: str, times: Sequence[float]) -> str:
    """Return a line of the table."""
    p99 = float(np.quantile(times, 0.99))
    return f"| {name} | {median(times) * 1e3:.0f} | {p99 * 1e3:.0f} | {max(times) * 1e3:.0f} |"


def main() -> None:
    """Print the table."""
    n = int(sys.argv[1]) if len(sys.argv) > 1 else RATINGS
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "lancedb"
        store = open_store(folder)
        first = one_by_one(store, 0, ONE_BY_ONE)
        in_steps(store, ONE_BY_ONE, n - ONE_BY_ONE)
        sizes = list[float]()
        last = one_by_one(store, n - ONE_BY_ONE, n, sizes)
        print("| | median ms | p99 ms | longest ms |\n|---|---|---|---|")
        for what, start, end in zip(("answer", "rating"), first, last, strict=True):
            print(row(f"{what}, first {ONE_BY_ONE:,}", start))
            print(row(f"{what}, last {ONE_BY_ONE:,} of {n:,}", end))
            print(f"p99 of {what}s: {np.quantile(end, 0.99) / np.quantile(start, 0.99):.2f} times", flush=True)
        at_the_end = {table: size(folder / f"{table}.lance") for table in store.tables.names()}
        for minute in (1, 2):  # the first one compacts what was written since the last compaction
            time.sleep(KEEP_OLD_FEEDBACK.total_seconds() + 1)
            store.tables.remove_old_versions()
            store.tables.sync(schema.RATINGS)  # waits for it
            print(f"after {minute} minutes: {size(folder) / MB:.1f} MB", flush=True)
        data = 0.0
        for table, used in at_the_end.items():
            compacted = size(folder / f"{table}.lance" / "data")
            data += compacted
            print(
                f"{table}: {used / MB:.1f} MB on disk, {used / compacted:.1f} times the {compacted / MB:.1f} MB of data"
            )
        copy = open_store(Path(name) / "copy")
        for table in at_the_end:
            copy.tables.upsert(table, store.tables.rows(table))
        print(
            f"all: {sum(at_the_end.values()) / data:.1f} times the {data / MB:.1f} MB of data, at most "
            f"{max(sizes) / data:.1f} times; written in one step {size(copy.folder) / MB:.1f} MB",
            flush=True,
        )
        compared: Compared = {}
        first_look, next_look = (seconds(lambda: look(store, compared)) for _ in range(2))
        print(f"scoreboard: {first_look:.1f} s, then {next_look:.1f} s; repair: {seconds(lambda: repair(store)):.1f} s")
        store.close()


if __name__ == "__main__":
    main()
