"""Read what people rated in other programs, from their exports: Open WebUI, LangSmith, Langfuse, Argilla.

| program | file | whose thumb |
|---|---|---|
| Open WebUI | feedbacks/all/export: a JSON list, each with a snapshot of its chat | user_id |
| LangSmith | feedback, and the runs that it is about, as JSON or JSON Lines in one file | feedback_source.user_id |
| Langfuse | scores, and the traces or observations that they are about | authorUserId, else the trace's userId |
| Langfuse | traces with their scores | the same |
| Argilla | records with responses to a question that has labels | user_id of the response |

An answer is found by the id of its completion, wherever it stands in what was exported (the addresses of passages hold
it, LangChain keeps it as the message's id), else by question and text.
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rag.errors import BadLabels
from rag.feedback.files.argilla_dataset import is_annotated, records_in
from rag.feedback.files.import_export import Unmatched
from rag.feedback.files.label_files import UNDATED, read_list, read_objects
from rag.feedback.files.pair_files import has_pairs
from rag.feedback.outside import (
    NOBODY,
    OutsideRating,
    ServedAnswers,
    answer_of,
    completion_in,
    read_thumb,
    store_outside,
)
from rag.records import Arm
from rag.store.store import Store

ARMS: Mapping[str, Arm] = {"thumbtune-tuned": "tuned", "thumbtune-base": "base"}
QUESTIONS = ("question", "query", "input", "prompt", "instruction")  # fields of a record, the first one that is there
ANSWERS = ("answer", "response", "output", "completion", "generation")
MOST_RATER = 128  # characters, as of the server
CAPITAL = re.compile(r"(?<=[a-z])[A-Z]")
UNSAFE = re.compile(r"[\x00-\x1f\x7f\u2028\u2029\ud800-\udfff]")  # in a rater's name: refused by the server
Json = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class ReadRating:
    """A rating as it was read, or why it is none."""

    rating: OutsideRating
    lacks: str = ""


@dataclass(frozen=True, slots=True)
class ImportedRatings:
    """How many ratings were stored, of how many read, and those that match no stored answer."""

    stored: int
    read: int
    unmatched: tuple[Unmatched, ...]


def is_program_export(path: Path) -> bool:
    """Return whether a file, or a folder of Argilla's, is an export of another program, and not labels of passages."""
    path = records_in(path)
    if not path.is_file() or path.suffix not in (".json", ".jsonl"):
        return False
    if path.suffix == ".json":
        return not is_annotated(path)
    first = next(read_objects(path), (0, {}))[1]
    return bool(first) and not {"query", "label"} <= first.keys() and not has_pairs(first)


def import_ratings(path: Path, store: Store, client: str = "") -> ImportedRatings:
    """Store the ratings of an export. The same file twice leaves the same rows.

    Raters are stored as client:name; `client` is the program's own name unless given. Raises BadLabels for a file that
    is no such export, before anything is stored.
    """
    path = records_in(path)
    objects = list(_numbered(path) if path.suffix == ".jsonl" else read_list(path))
    return store_ratings(read_ratings(objects, client, str(path)), store)


def read_ratings(objects: Sequence[tuple[str, Json]], client: str, path: str = "") -> list[ReadRating]:
    """Return the ratings of exported objects, each with where it stands. Raises BadLabels."""
    about = _by_id(each for _, each in objects)
    found: list[ReadRating] = []
    for where, each in objects:
        found += _read(where, each, about, client)
    if not found and not any(_is_known(each) for _, each in objects):
        raise BadLabels(
            f"{path}: is no export of Open WebUI, LangSmith, Langfuse or Argilla, and no labels: the formats are in "
            "docs/how-to/import-labels.md"
        )
    return found


def store_ratings(found: Sequence[ReadRating], store: Store) -> ImportedRatings:
    """Store ratings, the oldest first, and list what matches no stored answer."""
    unmatched, stored = [], 0
    served: ServedAnswers | None = None
    for each in sorted(found, key=lambda each: each.rating.at or UNDATED):
        rating, why = each.rating, each.lacks
        answer = answer_of(store, rating.completion) if rating.completion and not why else None
        if answer is None and not why:
            served = served or ServedAnswers(store.feedback.answers())
            answer = served.find(rating)
            why = "" if answer else "left out, for no answer with this id, or question and text, is stored"
        if answer is None:
            unmatched.append(Unmatched(rating.where, rating.query, why, waits=False))
        else:
            stored += bool(store_outside(store, answer, rating))
    return ImportedRatings(stored, len(found), tuple(unmatched))


def _numbered(path: Path) -> Iterator[tuple[str, Json]]:
    return ((f"line {number}", given) for number, given in read_objects(path))


def _is_known(each: Json) -> bool:
    return {"run_type"} <= each.keys() or {"input", "output"} <= each.keys() or "responses" in each


def _by_id(objects: Iterable[Json]) -> dict[str, Json]:
    """Return what ratings may be about by its id; a trace that is not there itself by its root observation."""
    about: dict[str, Json] = {}
    roots: dict[str, Json] = {}
    for each in objects:
        if "id" in each:
            about[str(each["id"])] = each
        plain = _plain(each)
        if plain.get("trace_id") and {"input", "output"} <= plain.keys():
            trace = str(plain["trace_id"])
            is_root = plain.get("is_root_observation", not plain.get("parent_observation_id"))
            roots[trace] = each if is_root else roots.get(trace, each)
    return roots | about


def _plain(each: Json) -> Json:
    """Return an object of Langfuse with the names of its Python package: its server says traceId for trace_id."""
    return {CAPITAL.sub(r"_\g<0>", name).lower(): value for name, value in each.items()}


def _read(where: str, each: Json, about: Mapping[str, Json], client: str) -> Iterator[ReadRating]:
    if "snapshot" in each or (each.get("type") == "rating" and isinstance(each.get("data"), dict)):
        yield _openwebui(where, each, client or "openwebui")
    elif "run_id" in each and "key" in each:
        yield _langsmith(where, each, about.get(str(each["run_id"]), {}), client or "langsmith")
    elif isinstance(each.get("scores"), list):
        scores = [_plain(score) for score in each["scores"] if isinstance(score, dict)]
        yield from (_langfuse(where, score, _plain(each), client or "langfuse") for score in scores)
    elif (score := _plain(each)).keys() & {"trace_id", "subject"} and score.keys() & {"value", "string_value"}:
        subject = _dict(score, "subject")
        trace = subject.get("traceId") or subject.get("trace_id") or score.get("trace_id")
        named = (score.get("observation_id"), subject.get("id"), trace)
        told = next((about[str(name)] for name in named if str(name) in about), {})
        yield _langfuse(where, score, _plain(told), client or "langfuse")
    elif isinstance(each.get("responses"), dict):
        yield from _argilla(where, each, client or "argilla")


def _openwebui(where: str, each: Json, client: str) -> ReadRating:
    data, meta = _dict(each, "data"), _dict(each, "meta")
    messages = _dict(_dict(_dict(_dict(each, "snapshot"), "chat"), "chat"), "history", "messages")
    message = _dict(messages, str(meta.get("message_id", "")))
    question = _dict(messages, str(message.get("parentId", "")))
    said = ": ".join(str(data[name]) for name in ("reason", "comment") if data.get(name))
    return _rating(
        where,
        data.get("rating"),
        client,
        each.get("user_id"),
        text=str(message.get("content", "")),
        query=str(question.get("content", "")),
        completion=completion_in(json.dumps([message, meta])),
        comment=said,
        at=each.get("updated_at") or each.get("created_at"),
        model=str(data.get("model_id", "")),
    )


def _langsmith(where: str, each: Json, run: Json, client: str) -> ReadRating:
    source = _dict(each, "feedback_source")
    value = each.get("score") if each.get("score") is not None else each.get("value")
    if source.get("type") in ("model", "auto_eval"):
        value = None  # an LLM's judgement is nobody's thumb
    return _rating(
        where,
        value,
        client,
        source.get("user_id") or _dict(source, "metadata").get("user"),
        completion=completion_in(json.dumps([each, run])),
        query=_text_of(run.get("inputs")),
        text=_text_of(run.get("outputs")),
        comment=str(each.get("comment") or ""),
        at=each.get("modified_at") or each.get("created_at"),
    )


def _langfuse(where: str, each: Json, trace: Json, client: str) -> ReadRating:
    """Read a score by its kind: the number of a category is its place in a list, that of a correction always 0."""
    kind, value, said = each.get("data_type"), each.get("value"), each.get("string_value")
    if kind == "CATEGORICAL" or value is None:
        value = value if said is None else said
    if kind in ("CORRECTION", "TEXT") or each.get("source") == "EVAL":
        value = None  # words, or an LLM's judgement
    return _rating(
        where,
        value,
        client,
        each.get("author_user_id") or trace.get("user_id"),
        completion=completion_in(json.dumps([each, trace])),
        query=_text_of(_parsed(trace.get("input"))),
        text=_text_of(_parsed(trace.get("output"))),
        comment=str(each.get("comment") or ""),
        at=each.get("updated_at") or each.get("timestamp"),
    )


def _parsed(given: object) -> object:
    """Return what an observation's input or output holds: it may be JSON in a text."""
    if isinstance(given, str) and given.lstrip().startswith(("{", "[", '"')):
        with contextlib.suppress(ValueError, RecursionError):
            return json.loads(given)
    return given


def _argilla(where: str, each: Json, client: str) -> Iterator[ReadRating]:
    """Read a record's responses. A number is a rating on a scale, where 1 may be the worst: no thumb."""
    fields = _dict(each, "fields")
    for name, given in _dict(each, "responses").items():
        for response in given if isinstance(given, list) else [given]:
            if isinstance(response, dict) and response.get("status", "submitted") == "submitted":
                value = response.get("value")
                yield _rating(
                    f"{where}, {name}",
                    value if isinstance(value, str) else None,
                    client,
                    response.get("user_id"),
                    completion=completion_in(json.dumps([fields, each.get("metadata"), each.get("id")])),
                    query=_field(fields, QUESTIONS),
                    text=_field(fields, ANSWERS),
                )


def _rating(
    where: str,
    value: object,
    client: str,
    user: object,
    *,
    query: str,
    text: str,
    completion: str,
    comment: str = "",
    at: object = None,
    model: str = "",
) -> ReadRating:
    label, moment = read_thumb(value), _moment(at)
    rater = f"{client}:{UNSAFE.sub('_', str(user or NOBODY))[:MOST_RATER]}"
    rating = OutsideRating(
        rater,
        label,
        completion,
        query,
        text,
        comment=comment,
        at=moment,
        where=where,
        arm=ARMS.get(model),
    )
    said = "it" if value is None else repr(str(value)[:40])
    return ReadRating(rating, "" if label is not None else f"left out, for {said} is no thumb of a person")


def _moment(given: object) -> datetime | None:
    """Return a time in UTC of seconds since 1970 or of ISO 8601, None for anything else."""
    try:
        if isinstance(given, int | float) and not isinstance(given, bool):
            return datetime.fromtimestamp(given, UTC)
        at = datetime.fromisoformat(str(given))
    except (ValueError, OverflowError, OSError):
        return None
    return (at if at.tzinfo else at.replace(tzinfo=UTC)).astimezone(UTC)


def _text_of(given: object) -> str:
    """Return the text of a run's or trace's input or output: a text, or the last one in it."""
    if isinstance(given, str):
        return given
    if isinstance(given, Mapping):
        named = _field(given, (*QUESTIONS, *ANSWERS, "content", "text"))
        return named or next((text for part in given.values() if (text := _text_of(part))), "")
    if isinstance(given, list):
        return next((text for part in reversed(given) if (text := _text_of(part))), "")
    return ""


def _field(given: Json, names: Sequence[str]) -> str:
    return next((given[name] for name in names if isinstance(given.get(name), str) and given[name].strip()), "")


def _dict(given: Json, *names: str) -> Json:
    for name in names:
        part = given.get(name)
        given = part if isinstance(part, Mapping) else {}
    return given
