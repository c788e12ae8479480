"""Scoreboards with known numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

from fakes import NOON, make_answer, make_chunk
from rag.columns import AnswerColumns, RatingColumns
from rag.evaluation.duel_columns import Winner
from rag.evaluation.scoreboard import Scoreboard, make_scoreboard
from rag.records import Answer, Chunk, Hit, Rating


def chunk(text: str, source: str = "a.md") -> Chunk:
    return make_chunk(text, source, "Chapter")


def duel(n: int, source: str = "a.md") -> list[Answer]:
    """Return two answers written from one chunk each; tuned has the longer text and the right side."""
    base = make_answer([Hit(chunk("one", source), 1, 0.5)], arm="base", cited=(1,), id=f"base{n}", query=f"What {n}?")
    tuned = make_answer(
        [Hit(chunk("two", source), 1, 0.5)], arm="tuned", cited=(1,), id=f"tuned{n}", query=f"What {n}?"
    )
    return [
        replace(base, duel=f"duel{n}"),
        replace(tuned, duel=f"duel{n}", model="v1", text=tuned.text + " And more."),
    ]


def preference(n: int, choice: Winner, rater: str = "rater-ann") -> Rating:
    return Rating(rater, f"duel{n}", 1, True, NOON + timedelta(days=n % 3), kind="preference", choice=choice)


def board(
    ratings: Sequence[Rating], answers: Sequence[Answer], chunks: Sequence[Chunk] = (), tuned: str = "v1"
) -> Scoreboard:
    """Return the board of these records."""
    columns = RatingColumns.of(ratings), AnswerColumns.of(answers)
    return make_scoreboard(*columns, chunks, [], base="builtin", tuned=tuned)


def full_board(source: str = "a.md", tuned: str = "v1") -> Scoreboard:
    """Return a board of 20 duels: tuned won 14, base 4, one tie, one both bad."""
    winners: list[Winner] = [*["tuned"] * 14, *["base"] * 4, "tie", "both bad"]  # type: ignore[list-item]
    answers = [answer for n in range(20) for answer in duel(n, source)]
    ratings = [preference(n, winner, f"rater-{n % 3}") for n, winner in enumerate(winners)]
    chunks = [chunk("one", source), chunk("never shown", source)]
    return board(ratings, answers, chunks, tuned)


def empty_board() -> Scoreboard:
    return board([], [], [chunk("one")])
