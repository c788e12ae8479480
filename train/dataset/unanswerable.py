"""Collect questions that the documents do not answer: listed in a file, voted by raters, or about other documents."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from rag.records import Answer, Rating, Reason, content_id, normalise_query
from rag.settings import ROOT, Settings
from rag.store.store import Store
from train.synthetic.from_documents import Question, read_questions

ENOUGH_KNOWN = 20  # questions without an answer; with fewer, each one moves the recall by over 5 points
NOT_THERE: Reason = "not in the documents"
WRITTEN, VOTED, FOREIGN = "written", "voted", "foreign"


def voted_unanswerable(ratings: Iterable[Rating], answers: Mapping[str, Answer], answered: Iterable[str]) -> list[str]:
    """Return the queries that a majority of their raters call unanswerable.

    A vote is a thumb down with the reason "not in the documents", or a thumb up on "I do not know". `answered` are
    queries with a relevant chunk; they are never returned.
    """
    spelling: dict[str, str] = {}
    raters_of: dict[str, set[str]] = {}
    not_there: dict[str, set[str]] = {}
    for rating in ratings:
        answer = answers.get(rating.target_id)
        if answer and rating.kind == "answer" and rating.value:
            key = normalise_query(answer.query)
            spelling.setdefault(key, answer.query)
            raters_of.setdefault(key, set()).add(rating.rater)
            if rating.reason == NOT_THERE or (rating.value == 1 and answer.abstained):
                not_there.setdefault(key, set()).add(rating.rater)
    known = {normalise_query(query) for query in answered}
    return [
        spelling[key] for key, raters in not_there.items() if key not in known and 2 * len(raters) > len(raters_of[key])
    ]


MOST_FOREIGN = 100  # questions; the share below a threshold is then known to within 10 points


def unanswerable_queries(
    settings: Settings, store: Store, questions: Sequence[Question], answered: Sequence[str] = ()
) -> dict[str, list[str]]:
    """Return queries that the documents do not answer, by kind: written in a questions.jsonl, or voted by raters.

    Where there are fewer than ENOUGH_KNOWN, questions about the app's own documents are added.
    """
    known = {normalise_query(query) for query in answered}
    written = [each.question for each in questions if not each.source and normalise_query(each.question) not in known]
    ratings = store.feedback.ratings()
    answers = {answer.id: answer for answer in store.feedback.answers(rating.target_id for rating in ratings)}
    found = {WRITTEN: written, VOTED: voted_unanswerable(ratings, answers, [*answered, *written])}
    if sum(map(len, found.values())) < ENOUGH_KNOWN:
        found[FOREIGN] = _foreign(settings)
    return {kind: queries for kind, queries in found.items() if queries}


def _foreign(settings: Settings) -> list[str]:
    """Return a sample of questions about the app's own documents; none where these are among the indexed ones."""
    own = ROOT / "docs"
    if any(own.is_relative_to(folder) or folder.is_relative_to(own) for folder in map(Path.resolve, settings.docs)):
        return []
    asked = [each.question for each in read_questions([own]) if each.source]
    return sorted(asked, key=lambda query: content_id("foreign", query))[:MOST_FOREIGN]
