"""Fill a home with rated duels, for the screenshots: `python -m benchmarks.browser.seed`, with THUMBTUNE_HOME set.

Asks the held-out questions of docs/questions.jsonl, which the first training has not learnt from, through the chains
that serve, and rates the answers as a simulated person would who knows the correct passage. So the scoreboard's numbers
are measured, not made up; only the raters are, and the days on which they rated.
"""

from __future__ import annotations

import asyncio
import json
import random
import re
from collections.abc import Mapping, Sequence
from contextlib import aclosing
from datetime import UTC, datetime, timedelta

from rag.answering.duel import Done
from rag.answering.service import QueryService, open_service
from rag.evaluation.win_rates import differ
from rag.feedback.ratings import prefer, rate_answer
from rag.records import ARMS, SIDES, Answer, Arm, Choice, content_id
from rag.settings import ROOT, load_settings
from train.dataset.held_out import is_held_out

QUESTIONS = ROOT / "docs" / "questions.jsonl"
RATERS = ("ann", "bob", "eve")
MOST = 130  # questions: some 100 of them find different passages, enough for an interval that excludes one half
DAYS = 14  # that the ratings are spread over, so that the scoreboard has a trend to draw
SENTENCES = 4  # of tuned's answer; with more of them its picture is cut off


def main() -> None:
    """Ask MOST of the held-out questions, unless they are answered here, and rate the answers."""
    settings = load_settings(llm="extractive")
    service = open_service(settings)
    try:
        asyncio.run(rate_all(service, known_answers()))
        duels = pair_up(service.store.feedback.answers())
        print(f"{len(duels)} duels, {sum(differ(*arms.values()) for arms in duels.values())} with different passages")
    finally:
        service.close()


def known_answers() -> dict[str, str]:
    """Return question -> a phrase of the section that answers it, for the held-out questions that have an answer."""
    lines = [json.loads(line) for line in QUESTIONS.read_text("utf-8").splitlines()]
    held_out = [each for each in lines if each["source"] and is_held_out(each["question"])]
    random.Random(0).shuffle(held_out)  # the file is sorted by page
    return {each["question"]: each["answer"] for each in held_out[:MOST]}


async def rate_all(service: QueryService, known: Mapping[str, str]) -> None:
    """Ask each question unless it is answered here, and rate both answers at a time within the last DAYS days."""
    stored = pair_up(service.store.feedback.answers())
    now = datetime.now(UTC)
    for number, (question, phrase) in enumerate(known.items()):
        answers = stored.get(duel_id(question)) or await ask(service, question)
        rate(service, answers, phrase, now - timedelta(days=DAYS * (1 - number / len(known))))


def duel_id(question: str) -> str:
    """Return the id under which a question's duel is stored."""
    return content_id("seeded duel", question)


async def ask(service: QueryService, question: str) -> dict[Arm, Answer]:
    """Return both arms' answers, with the sides drawn by a hash of the question."""
    draw = random.Random(content_id("sides", question))
    sides = dict(zip(ARMS, draw.sample(SIDES, len(SIDES)), strict=True))
    async with aclosing(service.ask(question, sides=sides, duel_id=duel_id(question))) as events:
        return {event.arm: event.answer async for event in events if isinstance(event, Done)}


def rate(service: QueryService, answers: Mapping[Arm, Answer], phrase: str, at: datetime) -> None:
    """Say which answer is better, and thumb each up or down by whether it cites the correct passage."""
    if len(answers) < len(ARMS):
        return
    rater = random.Random(answers["base"].query).choice(RATERS)
    choice = judge(answers, phrase)
    prefer(service.store, rater=rater, duel_id=answers["base"].duel, choice=choice, blind=True, at=at)
    for answer in answers.values():
        right = any(phrase in hit.chunk.text for hit in answer.hits if hit.rank in answer.rests_on)
        value = 1 if right else -1
        rate_answer(service.store, rater=rater, answer_id=answer.id, value=value, blind=True, at=at)


def judge(answers: Mapping[Arm, Answer], phrase: str) -> Choice:
    """Return the arm that ranks the correct passage higher; "tie" for the same rank, "both bad" for none."""
    base, tuned = rank_of(phrase, answers["base"]), rank_of(phrase, answers["tuned"])
    if base == tuned:
        return "tie" if base else "both bad"
    return "tuned" if tuned and (not base or tuned < base) else "base"


def rank_of(phrase: str, answer: Answer) -> int:
    """Return the rank, from 1, of the first shown passage that holds a phrase; 0 where none does."""
    return next((hit.rank for hit in answer.hits if phrase in hit.chunk.text), 0)


def pair_up(answers: Sequence[Answer]) -> dict[str, dict[Arm, Answer]]:
    """Return duel -> its two answers."""
    duels: dict[str, dict[Arm, Answer]] = {}
    for answer in answers:
        duels.setdefault(answer.duel, {})[answer.arm] = answer
    return {duel: arms for duel, arms in duels.items() if len(arms) == len(ARMS)}


def telling_question(answers: Sequence[Answer]) -> tuple[str, str]:
    """Return a question that tuned answers better, and the sentence that tuned's answer begins with.

    Its answer is shown by tuned and not by base. Of those, the one whose two answers have the fewest sentences in
    common, the shorter one of equals. Raises LookupError where
    there is none: then the tuned arm has learnt nothing that a picture could show.
    """
    known, found = known_answers(), []
    for arms in pair_up(answers).values():
        question = arms["tuned"].query
        tuned, base = sentences(arms["tuned"]), sentences(arms["base"])
        wins = question in known and judge(arms, known[question]) == "tuned"
        plain = not set(tuned[0]) & set("`*_[")  # it is looked for on the page, where markup is gone
        right = known.get(question, "") in arms["tuned"].text and known.get(question, "") not in arms["base"].text
        if wins and plain and right and tuned[0] not in arms["base"].text and len(tuned) <= SENTENCES:
            found.append((len({*tuned} & {*base}), len(tuned) + len(base), question, tuned[0]))
    if not found:
        raise LookupError("no question that tuned answers better than base: is a version promoted in this home?")
    _, _, question, sentence = min(found)
    return question, sentence


def sentences(answer: Answer) -> list[str]:
    """Return the sentences of an extractive answer, a paragraph each, without their citations."""
    return [re.sub(r"\s*\[\d+\]", "", line) for line in answer.text.split("\n\n")]


if __name__ == "__main__":
    main()
