"""Payload models of the actions: one per button of the cards, the search, the review queue and the document list."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from chat.elements.card import SideChoice
from chat.session.payload import Id, Payload, Rank, Taught, Text, Value
from rag.errors import BadQuery, UnknownDocument
from rag.records import Reason
from rag.settings import Search as SearchMode

MAX_COMMENT = 1_000  # characters: a paragraph; a page is no comment on an answer
MAX_SCOPE = 8  # documents and folders that questions are restricted to, as in public/picker.js
MAX_SOURCE = 4_096  # characters of a document's path: Linux's PATH_MAX


class Vote(Payload):
    """A thumb on an answer. A reason or comment that is not sent stays as it was."""

    answer: Id
    value: Value
    reason: Reason = ""
    comment: Annotated[Text, Field(max_length=MAX_COMMENT)] = ""

    def explanation(self, reason: Reason, comment: str) -> tuple[Reason, str]:
        """Return reason and comment to store, given those of the rating so far; only a thumb down has any."""
        if self.value != -1:
            return "", ""
        sent = self.model_fields_set
        return self.reason if "reason" in sent else reason, self.comment.strip() if "comment" in sent else comment


class Preference(Payload):
    """Which side of a card is better: A, B, tie, both bad, or "" to withdraw. `answer` is either one of the card."""

    answer: Id
    choice: SideChoice


class Mark(Payload):
    """Whether the passage at this rank under an answer is relevant."""

    answer: Id
    rank: Rank
    value: Value


class OpenPassage(Payload):
    """The passage at this rank under an answer, to be shown in its document."""

    answer: Id
    rank: Rank


class Reask(Payload):
    """A query to ask as it is, without the questions before it."""

    error = BadQuery
    query: Text


class Scope(Payload):
    """The documents and folders that questions are restricted to, by their paths."""

    error = BadQuery
    scope: Annotated[list[Annotated[Text, Field(min_length=1, max_length=MAX_SOURCE)]], Field(max_length=MAX_SCOPE)]


class Options(Payload):
    """What a person has chosen for their own questions; None and "" are the server's settings."""

    error = BadQuery
    k: int | None = None
    search: SearchMode | None = None
    llm: Id = ""


class Search(Payload):
    """A search for the passage that answers a card's question."""

    answer: Id
    query: Text


class Teach(Payload):
    """A chunk that answers a card's question."""

    answer: Id
    chunk: Id
    value: Taught


class Queue(Payload):
    """A review queue, by the key that it was sent with."""

    review: Id


class QueueItem(Queue):
    """An item of a review queue."""

    item: Id


class Judge(QueueItem):
    """Whether the answer or passage of an item is right."""

    value: Value


class QueueSearch(QueueItem):
    """A search for the passage that answers an item's question."""

    query: Text


class QueueTeach(QueueItem):
    """A chunk that answers an item's question."""

    chunk: Id
    value: Taught


class GoOn(Payload):
    """An answer that was cut by its length, by the key that its card has for it."""

    cut: Id


class OwnRatings(Payload):
    """A page of the rater's own ratings, from number `start` on."""

    start: Annotated[int, Field(ge=0, le=10_000_000, strict=True)] = 0


class OwnRating(Payload):
    """One of the rater's own ratings, by its id."""

    rating: Id


class ShowDocument(Payload):
    """A document to show from its passage number `start`, by its source."""

    error = UnknownDocument
    source: Annotated[Text, Field(max_length=MAX_SOURCE)]
    start: Annotated[int, Field(ge=0, strict=True)] = 0


class RemoveDocument(Payload):
    """An uploaded document to remove, by its source."""

    error = UnknownDocument
    source: Annotated[Text, Field(max_length=MAX_SOURCE)]
