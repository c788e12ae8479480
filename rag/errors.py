"""What can go wrong that a user can mend.

    ThumbtuneError                 one line for the user; a command prints it and exits 2
    ├── BadSetting                 a value in the environment, .env or on the command line
    ├── NoDocuments                nothing to index: folder missing, empty, or nothing readable in it
    ├── Unreadable                 one file that cannot be used: it is skipped with this reason
    ├── BadModel                   a model reference that does not load, or weights that are not what they claim
    ├── NotIndexed                 an arm has no complete table for this corpus and model
    ├── BadQuery                   an empty query, or one too long
    ├── AnswerFailed               the answerer broke off: endpoint down, cut stream, refused key
    │   └── PromptRefused          the endpoint works, and will not answer this very prompt
    ├── BadRating                  a rating that names an unknown answer or value, or a rater of whom there is none
    ├── BadLabels                  a file of labels that does not parse, or cannot be written
    ├── StoreFailed                LanceDB could not read or write: disk full, folder read-only, a damaged table
    ├── UnknownDocument            removal of a document that was not dropped into the chat, or is gone by now
    ├── NotEnoughFeedback          too few rated queries to train on
    ├── TrainingRefused            a training that the chat cannot start or stop, or not for this rater
    └── UnknownVersion             promote or roll back to a version that is not there

Every message says what was wrong, with the value, and the next step. A programmer's mistake is not in this tree: it
keeps its traceback.
"""


class ThumbtuneError(Exception):
    """Base of everything a user can cause and mend."""


class BadSetting(ThumbtuneError):
    """A setting has a value that cannot work."""


class NoDocuments(ThumbtuneError):
    """The documents folder is missing, empty, or holds nothing that can be read."""


class Unreadable(ThumbtuneError):
    """A file is not usable as a document; the message says why."""


class BadModel(ThumbtuneError):
    """A model reference does not load, or its weights are not what they claim to be."""


class NotIndexed(ThumbtuneError):
    """An arm has no complete vector table for this corpus and model."""


class BadQuery(ThumbtuneError):
    """The query is empty or too long."""


class AnswerFailed(ThumbtuneError):
    """The answerer broke off before its answer was complete."""


class PromptRefused(AnswerFailed):
    """The endpoint works, and will not answer this very prompt."""


class BadRating(ThumbtuneError):
    """A rating names an answer or a value that does not exist, or a rater has none."""


class BadLabels(ThumbtuneError):
    """A file of labels cannot be read or written."""


class StoreFailed(ThumbtuneError):
    """LanceDB could not read or write."""


class UnknownDocument(ThumbtuneError):
    """A document that is to be removed was not dropped into the chat, or is gone by now."""


class NotEnoughFeedback(ThumbtuneError):
    """There are too few rated queries to train on."""


class TrainingRefused(ThumbtuneError):
    """A training cannot be started or stopped from the chat, or this rater may not do it."""


class UnknownVersion(ThumbtuneError):
    """A model version that is not in the registry."""


def first_line(error: BaseException) -> str:
    """Return the first line of what an error says, or its name where it says nothing."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
