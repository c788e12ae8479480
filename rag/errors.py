"""Errors that a user can cause and fix.

    ThumbtuneError                 one line for the user; a command prints it and exits 2
    ├── BadSetting                 an invalid value in the environment, .env or on the command line
    ├── NoDocuments                nothing to index: folder missing, empty, or without a readable file
    ├── Unreadable                 one file that cannot be used: it is skipped with this reason
    ├── BadModel                   a model reference that does not load, or weights that are not what they claim
    ├── NotIndexed                 an arm has no complete table for this corpus and model
    ├── BadQuery                   an empty or too long query, or a filter that matches no document
    ├── AnswerFailed               the answer is incomplete: endpoint down, stream cut off, key refused
    │   ├── AnswerCut              the answer has reached the most that may be written: it can be continued
    │   └── PromptRefused          the endpoint works but refuses this prompt
    ├── BadRating                  a rating with an unknown answer, value or rater
    ├── BadLabels                  a file of labels that cannot be parsed or written
    ├── StoreFailed                LanceDB could not read or write: disk full, folder read-only, table damaged
    │   └── StoredLater            the chats' database is gone, and will be written to once it is back
    ├── UnknownDocument            removal of a document that is no upload, or is already gone
    ├── NotEnoughFeedback          too few rated queries to train on
    ├── TrainingRefused            a training that the chat cannot start or stop, or not for this rater
    ├── NotAllowed                 something that only admins may do from the chat
    ├── TooMany                    more questions, uploads, sign-ins or trainings than a rater or an address may have
    └── UnknownVersion             promotion of, or rollback to, a version that does not exist

Every message says what was wrong, with the value, and the next step. A programmer's mistake is not in this tree and
keeps its traceback.
"""

MEMORY_GONE = (  # in errors of torch, LanceDB, onnxruntime, Python and the loader of shared libraries
    *("out of memory", "can't allocate memory", "cannot allocate memory", "not enough memory", "os error 12"),
    "failed to allocate memory",
    *("can't start new thread", "failed to map segment", "bad_alloc"),
)


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an error says that the memory ran out; a thread, too, needs some to start."""
    return isinstance(error, MemoryError) or any(text in str(error).lower() for text in MEMORY_GONE)


class ThumbtuneError(Exception):
    """Base class of the errors that a user can cause and fix."""


class BadSetting(ThumbtuneError):
    """A setting has an invalid value."""


class NoDocuments(ThumbtuneError):
    """The documents folder is missing, empty, or has no readable file."""


class Unreadable(ThumbtuneError):
    """A file cannot be used as a document; the message says why."""


class BadModel(ThumbtuneError):
    """A model reference does not load, or its weights are not what they claim to be."""


class NotIndexed(ThumbtuneError):
    """An arm has no complete vector table for this corpus and model."""


class BadQuery(ThumbtuneError):
    """The query is empty or too long, or its filter matches no document."""


class AnswerFailed(ThumbtuneError):
    """The answerer failed before its answer was complete."""


class AnswerCut(AnswerFailed):
    """The answer has reached the most that may be written of one reply; it can be continued."""


class PromptRefused(AnswerFailed):
    """The endpoint works but refuses this prompt."""


class BadRating(ThumbtuneError):
    """A rating names an answer, value or rater that does not exist."""


class BadLabels(ThumbtuneError):
    """A file of labels cannot be read or written."""


class StoreFailed(ThumbtuneError):
    """LanceDB could not read or write."""


class StoredLater(StoreFailed):
    """The chats' database cannot be reached; what should be written is written once it is back."""


class UnknownDocument(ThumbtuneError):
    """A document to be removed is not an upload, or is already gone."""


class NotEnoughFeedback(ThumbtuneError):
    """There are too few rated queries to train on."""


class TrainingRefused(ThumbtuneError):
    """A training cannot be started or stopped from the chat, or not by this rater, or memory runs out in it."""


class NotAllowed(ThumbtuneError):
    """Only admins may do this from the chat."""


class TooMany(ThumbtuneError):
    """A rate limit is reached; `seconds` is how long to wait."""

    def __init__(self, message: str, seconds: int) -> None:
        super().__init__(message)
        self.seconds = seconds


class UnknownVersion(ThumbtuneError):
    """A model version is not in the registry."""


def first_line(error: BaseException) -> str:
    """Return the first line of an error's message, or the name of its class if the message is empty."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
