"""Questions that the documents do not answer: voted by raters, or written about other documents."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from rag.records import Answer, Rating, Reason, content_id, normalise_query
from rag.settings import ROOT, Settings
from rag.store.store import Store
from train.synthetic.from_documents import (
    Question,
    read_questions,
)

ENOUGH_KNOWN = 20  # questions without an answer; of fewer, one more or less moves the recall by over 5 points


NOT_THERE: Reason = "not in the documents"


WRITTEN, VOTED, FOREIGN = "written", "voted", "foreign"


def voted_unanswerable(ratings: Iterable[Rating], answers: Mapping[str, Answer], answered: Iterable[str]) -> list[str]:
    """Return the queries of which more raters say that the documents do not answer them than anything else.

    That is said by a thumb down with this reason, and by a thumb up on "I do not know". `answered` are queries with a
    right chunk, whatever was said of an answer that did not show it.
    """
    spelt: dict[str, str] = {}
    heard: dict[str, set[str]] = {}
    not_there: dict[str, set[str]] = {}
    for rating in ratings:
        answer = answers.get(rating.target_id)
        if answer and rating.kind == "answer" and rating.value:
            key = normalise_query(answer.query)
            spelt.setdefault(key, answer.query)
            heard.setdefault(key, set()).add(rating.rater)
            if rating.reason == NOT_THERE or (rating.value == 1 and answer.abstained):
                not_there.setdefault(key, set()).add(rating.rater)
    known = {normalise_query(query) for query in answered}
    return [spelt[key] for key, raters in not_there.items() if key not in known and 2 * len(raters) > len(heard[key])]


MOST_FOREIGN = 100  # questions; their share below a threshold is then known to 10 points either way


def unanswerable_queries(
    settings: Settings, store: Store, questions: Sequence[Question], answered: Sequence[str] = ()
) -> dict[str, list[str]]:
    """Return queries that the documents do not answer, by kind: listed as such in a file of questions, or voted so.

    Where these are few, questions of the documents that ship with the app stand in: they are about something else.
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
    """Return questions of the app's own documents, by hash; none where these are among what is searched."""
    own = ROOT / "docs"
    if any(own.is_relative_to(folder) or folder.is_relative_to(own) for folder in map(Path.resolve, settings.docs)):
        return []
    asked = [each.question for each in read_questions([own]) if each.source]
    return sorted(asked, key=lambda query: content_id("foreign", query))[:MOST_FOREIGN]
