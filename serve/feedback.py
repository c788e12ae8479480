"""/v1/feedback: a thumb on an answer and marks on its passages, from another program.

    {"completion_id": "chatcmpl-...", "thumb": "up", "rater": "ann", "comment": "...", "relevant": [1], "wrong": [3]}

The same again stores nothing new; the response is sent when the rating is on disk.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, field_validator

from rag.feedback.files.programs import read_ratings, store_ratings
from rag.feedback.outside import MOST_COMMENT, OutsideRating, answer_of, store_outside
from rag.records import Label, Reason
from rag.store.store import Store
from serve.bodies import Sent
from serve.errors import BAD, NOT_FOUND, ApiError

THUMBS: dict[object, Label] = {"up": 1, "down": -1, "none": 0, 1: 1, -1: -1, 0: 0}
MOST_MARKS = 50  # THUMBTUNE_K is at most that
Ranks = Annotated[list[Annotated[int, Field(ge=1)]], Field(max_length=MOST_MARKS)]


class Feedback(Sent):
    """What a client sends. `none` takes a thumb back, and a rank in `unmark` a mark. What is not sent stays as it was.

    A passage is named by its rank, or by its address in the answer.
    """

    completion_id: Annotated[str, Field(max_length=100)]
    thumb: Literal["up", "down", "none", 1, -1, 0] | None = None
    reason: Reason | None = None
    comment: Annotated[str, Field(max_length=MOST_COMMENT)] | None = None
    rater: str | None = None
    relevant: Ranks = Field(default=[])
    wrong: Ranks = Field(default=[])
    unmark: Ranks = Field(default=[])

    @field_validator("thumb", mode="before")
    @classmethod
    def _no_truth(cls, value: Any) -> Any:  # noqa: ANN401  # whatever JSON holds
        if isinstance(value, bool):
            raise ValueError("give up, down or none")  # in Python true is 1
        return value

    @field_validator("relevant", "wrong", "unmark", mode="before")
    @classmethod
    def _ranks(cls, value: Any) -> Any:  # noqa: ANN401  # whatever JSON holds
        if not isinstance(value, list):
            return value
        return [each.rpartition("/")[2] if isinstance(each, str) else each for each in value]

    def rating(self, rater: str) -> OutsideRating:
        """Return it as a rating. Raises ApiError where it rates nothing, or contradicts itself."""
        marks: dict[int, Label] = {}
        given: list[tuple[list[int], Label]] = [(self.relevant, 1), (self.wrong, -1), (self.unmark, 0)]
        for ranks, mark in given:
            for rank in ranks:
                if marks.setdefault(rank, mark) != mark:
                    raise ApiError(BAD, f"Passage {rank} is given with two values.", "invalid_value", "relevant")
        if self.thumb is None and not marks:
            raise ApiError(
                BAD,
                "Missing required parameter: 'thumb', or ranks in 'relevant' or 'wrong'.",
                "missing_required_parameter",
                "thumb",
            )
        value = None if self.thumb is None else THUMBS[self.thumb]
        if value != -1 and self.reason:
            raise ApiError(BAD, "'reason' is why a thumb is down.", "invalid_value", "reason")
        return OutsideRating(rater, value, self.completion_id, reason=self.reason, comment=self.comment, marks=marks)


def store_openwebui(store: Store, client: str, given: Any) -> dict[str, Any]:  # noqa: ANN401  # whatever JSON holds
    """Store a feedback of Open WebUI, or a list of them. Raises ApiError where a single one matches no answer."""
    each = given if isinstance(given, list) else [given]
    if not each or not all(isinstance(one, dict) for one in each):
        raise ApiError(BAD, "The body must be a feedback of Open WebUI, or a list of them.", "invalid_feedback")
    named = [(f"entry {number}", one) for number, one in enumerate(each, 1)]
    report = store_ratings(read_ratings(named, client, "the body"), store)
    left = [str(line) for line in report.unmatched]
    if left and not isinstance(given, list):
        raise ApiError(NOT_FOUND, left[0], "completion_not_found")
    return {"object": "feedback.list", "stored": report.stored, "unmatched": left}


def store_feedback(store: Store, rater: str, sent: Feedback) -> dict[str, Any]:
    """Store it and return the response. Raises ApiError with 404 for an unknown id, BadRating, StoreFailed."""
    rating = sent.rating(rater)
    answer = answer_of(store, sent.completion_id)
    if answer is None:
        raise ApiError(
            NOT_FOUND, f"No completion found with id '{sent.completion_id}'.", "completion_not_found", "completion_id"
        )
    stored = store_outside(store, answer, rating)
    thumb = next((each.value for each in stored if each.kind == "answer"), None)
    return {
        "object": "feedback",
        "completion_id": sent.completion_id,
        "rater": rater,
        "thumb": thumb,
        "stored": len(stored),
    }
