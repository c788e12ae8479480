"""Delete what is stored of one person, or write it to a file.

A rater's threads are in chat.db or in Postgres, the ratings with their comments and the labels in the tables. An answer
has no rater: it is the person's if it is in their threads, or if nobody but them has rated it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rag.errors import BadLabels, BadRating, StoreFailed
from rag.history import DatabaseFailed, Place, deletion, places, transaction
from rag.home_address import address_of
from rag.models.registry import Registry
from rag.records import LabelledPair, normalise_query
from rag.settings import Settings
from rag.store.store import Store, open_store
from rag.upkeep.forgotten import note_forgotten

PAIRS = "pairs.jsonl"  # in a version's folder: what it was trained on
ANSWER = re.compile(r'"answer": *"([^"]+)"')  # in the props of a comparison card
ELEMENTS = 'SELECT * FROM elements WHERE "threadId" = :value'
STEPS = 'SELECT * FROM steps WHERE "threadId" = :value'
THREADS = """
SELECT DISTINCT t.* FROM threads t LEFT JOIN users u ON u.id = t."userId"
WHERE :value IN (t."userIdentifier", u.identifier)
"""


@dataclass(frozen=True, slots=True)
class Forgotten:
    """How much of a person was deleted, and the versions that were trained with their labels."""

    ratings: int
    labels: int
    threads: int
    answers: int
    versions: tuple[str, ...]


def forget(settings: Settings, rater: str) -> Forgotten:
    """Delete all that is stored of a rater, and return how much. Raises BadRating if that is nothing, StoreFailed.

    The next backup removes the backups made before. If it is interrupted, a second call finishes it.
    """
    chats = places(settings)
    for place in chats:
        if fault := place.find_fault():
            raise StoreFailed(f"{place.shown}: {fault}: nothing was deleted")
    with closing(open_store(settings.lancedb)) as store:
        if address_of(settings.home):  # what they were trained on is in their folders
            registry = Registry(settings.models)
            for version in registry.versions():
                registry.version(version.name)
        versions = tuple(
            _trained_with(settings.models, [each for each in store.feedback.labels() if each.rater == rater])
        )
        answers = _answers_of(chats, store, rater)
        threads = {place: [row["id"] for row in _rows(place, THREADS, rater)] for place in chats}
        _note(settings, "nothing was deleted")
        ratings, labels = store.feedback.delete_rater(rater)
        for place, ids in threads.items():
            _delete_threads(place, rater, ids)
        store.feedback.delete_answers(answers)
    _note(settings, "all was deleted")  # again: no backup made meanwhile stays, and a running chat forgets, too
    deleted = sum(map(len, threads.values()))
    if not (ratings or labels or deleted or answers):
        raise BadRating(f"rater {rater!r} has no rating and no label here: `python -m rag export` names raters")
    return Forgotten(ratings, labels, deleted, len(answers), versions)


def _note(settings: Settings, done: str) -> None:
    try:
        note_forgotten(settings.home)
    except OSError as error:
        raise StoreFailed(f"{settings.home}: {error.strerror}: {done}; make room and try again") from error


def export_person(settings: Settings, rater: str, out: Path) -> int:
    """Write all that is stored of a rater to a new JSON Lines file; return the number of lines.

    Raises BadRating if there is nothing, and BadLabels if the file is there or cannot be written.
    """
    with closing(open_store(settings.lancedb)) as store:
        lines = list(_lines(settings, store, rater))
    if not lines:
        raise BadRating(f"rater {rater!r} has no rating, no label and no thread here")
    try:
        with out.open("x", encoding="utf-8") as file:
            file.writelines(json.dumps(line, ensure_ascii=False, default=str) + "\n" for line in lines)
    except OSError as error:
        raise BadLabels(f"{out}: cannot be written ({error.strerror}): name a new file") from error
    return len(lines)


def _lines(settings: Settings, store: Store, rater: str) -> Iterator[dict[str, Any]]:
    yield from ({"what": "rating", **asdict(each)} for each in store.feedback.ratings(rater))
    yield from ({"what": "label", **asdict(each)} for each in store.feedback.labels() if each.rater == rater)
    chats = places(settings)
    for answer in store.feedback.answers(_answers_of(chats, store, rater)):
        row = {"id": answer.id, "query": answer.query, "text": answer.text, "model": answer.model, "at": answer.at}
        yield {"what": "answer", **row, "passages": [hit.chunk.text for hit in answer.hits]}
    for place in chats:
        yield from _lines_of(place, rater)


def _lines_of(place: Place, rater: str) -> Iterator[dict[str, Any]]:
    for thread in _rows(place, THREADS, rater):
        yield {"what": "thread", **{name: thread[name] for name in ("id", "name", "createdAt")}}
        for step in _rows(place, STEPS, thread["id"]):
            yield {"what": "message", **{name: step[name] for name in ("threadId", "type", "output", "createdAt")}}
        for element in _rows(place, ELEMENTS, thread["id"]):
            shown = json.loads(element["props"]) if element["props"] else None
            yield {"what": "element", "threadId": thread["id"], "name": element["name"], "shown": shown}


def _answers_of(chats: list[Place], store: Store, rater: str) -> list[str]:
    """Return the ids of the stored answers that are a rater's, without those that somebody else has rated."""
    of_person: set[str] = set()
    for place in chats:
        for thread in _rows(place, THREADS, rater):
            for element in _rows(place, ELEMENTS, thread["id"]):
                of_person.update(ANSWER.findall(element["props"] or ""))
    others: set[str] = set()
    for rating in store.feedback.ratings():
        (of_person if rating.rater == rater else others).add(rating.target_id)
    duels = {answer.duel: answer.id for answer in store.feedback.answers(of_person)}
    rated_by_others = {answer.id for answer in store.feedback.answers_of_duels(others & duels.keys())} | others
    return sorted({answer.id for answer in store.feedback.answers(of_person)} - rated_by_others)


def _trained_with(models: Path, labels: list[LabelledPair]) -> Iterator[str]:
    """Yield the versions that were trained on a passage for a question for which a person has judged it."""
    judged = {(normalise_query(each.query), each.text) for each in labels if each.label}
    for path in sorted(models.glob(f"*/{PAIRS}")):
        try:
            rows = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
        except (OSError, ValueError):
            continue  # `rag doctor` names it
        trained = (
            (row.get("query", ""), text) for row in rows for text in (row.get("positive"), *row.get("negatives", ()))
        )
        if any((normalise_query(query), text) in judged for query, text in trained):
            yield path.parent.name


def _rows(place: Place, query: str, value: str) -> list[dict[str, Any]]:
    try:
        with closing(place.connect()) as connection, transaction(connection, writing=False):
            found = connection.execute(query, {"value": value})
            return found if isinstance(found, list) else []
    except DatabaseFailed as error:
        if error.is_missing:
            return []  # no chat was opened here yet
        raise StoreFailed(f"{place.shown}: cannot be read ({error}): run `python -m rag doctor`") from error


def _delete_threads(place: Place, rater: str, threads: list[str]) -> None:
    """Delete a rater and their threads, so that no open tab can write them again; SQLite overwrites their text."""
    if threads:
        place.make_tables()  # those that an earlier release did not have
    try:
        with closing(place.connect()) as connection:
            for thread in threads:
                with transaction(connection):
                    for statement in deletion(place, thread):
                        connection.execute(*statement)
            with transaction(connection):
                connection.execute("DELETE FROM users WHERE identifier = :value", {"value": rater})
            connection.checkpoint()  # the log has the text, too
    except DatabaseFailed as error:
        if not error.is_missing:
            raise StoreFailed(f"{place.shown}: cannot be written ({error}): run the same command again") from error
