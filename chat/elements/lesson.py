"""Say in one line what a rating teaches, for the card that was rated."""

from __future__ import annotations

from rag.feedback.lesson import Lesson, Nothing

NOTHING: dict[Nothing, str] = {
    "withdrawn": "Taken back: it teaches nothing now.",
    "tie": "A tie teaches nothing. Thumbs and marked passages do.",
    "both bad": "“Both bad” teaches nothing by itself. Find the correct passage below.",
    "same answer": "Nothing new: both answers say the same. Mark the passages that answer.",
    "same passages": "Nothing new: both rest on the same passages.",
    "no passage": "Nothing to learn from: it rests on no passage. Mark one, or find the correct one below.",
    "unsupported": "Nothing to learn from: the cited passages do not support the answer.",
    "writer": "Nothing about passages: by this reason the writing is at fault.",
    "wrong only": "Noted what is wrong. A training pair needs a correct passage, too.",
    "known": "Nothing new: your ratings of the same passages count already.",
    "unclear": "No training pair yet: it is unclear which of the cited passages answers. Mark that one.",
}


def in_words(lesson: Lesson) -> str:
    """Return what a rating teaches: the training pairs that it makes, changes and removes, or why it makes none."""
    if lesson.why_none:
        return NOTHING[lesson.why_none]
    done = [
        f"{verb} {count} training pair{'' if count == 1 else 's'}"
        for verb, count in (("makes", lesson.added), ("changes", lesson.changed), ("removes", lesson.removed))
        if count
    ]
    return f"It {' and '.join(done)}."
