"""Say in one line what a rating teaches, for the card that was rated."""

from __future__ import annotations

from chat.language import Phrase, joined
from rag.feedback.lesson import Lesson, Nothing

NOTHING: dict[Nothing, str] = {
    "withdrawn": Phrase("lesson.withdrawn"),
    "tie": Phrase("lesson.tie"),
    "both bad": Phrase("lesson.both_bad"),
    "same answer": Phrase("lesson.same_answer"),
    "same passages": Phrase("lesson.same_passages"),
    "no passage": Phrase("lesson.no_passage"),
    "unsupported": Phrase("lesson.unsupported"),
    "writer": Phrase("lesson.writer"),
    "wrong only": Phrase("lesson.wrong_only"),
    "known": Phrase("lesson.known"),
    "unclear": Phrase("lesson.unclear"),
}


def in_words(lesson: Lesson) -> str:
    """Return what a rating teaches: the training pairs that it makes, changes and removes, or why it makes none."""
    if lesson.why_none:
        return NOTHING[lesson.why_none]
    counts = (("lesson.makes", lesson.added), ("lesson.changes", lesson.changed), ("lesson.removes", lesson.removed))
    done = [Phrase(key, n=count) for key, count in counts if count]
    return Phrase("lesson.done", what=joined(*done, by="lesson.and"))
