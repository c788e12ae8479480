"""A home folder in Python: index documents, search, ask, rate, list versions. What the chat writes is read, and back.

from thumbtune import Home

with Home("data", docs="~/papers") as home:
    home.index()
    answer = home.ask("What does the cat drink?")
    home.rate(answer, 1)
"""

from __future__ import annotations

import asyncio
import os
import secrets
import threading
from collections.abc import Coroutine, Mapping, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import TypeVar

from rag.answering.duel import Done, Failed
from rag.answering.service import QueryService, open_service
from rag.errors import AnswerFailed, BadSetting
from rag.feedback.ratings import rate_answer
from rag.groups import read_groups
from rag.home_address import is_address
from rag.indexing.indexer import Indexer
from rag.indexing.update import IndexReport
from rag.models.registry import Registry, Version
from rag.records import ARMS, SIDES, Answer, Arm, Hit, Label, Rating, Reason, Side
from rag.settings import Settings, load_settings

PathLike = str | os.PathLike[str]
T = TypeVar("T")
API_RATER = "python"  # the rater of ratings that name none


class Home:
    """A home folder and its documents. Models are loaded on first use; close it, or use it as a context manager.

    Settings are those of the command: keyword arguments (`k=8`, `search="hybrid"`, `llm="openai:gpt-4.1-mini"`) come
    before the environment and `.env`. Methods may be called from any thread, and where an event loop runs (notebooks).
    """

    def __init__(
        self,
        folder: PathLike | None = None,
        *,
        docs: PathLike | Sequence[PathLike] | None = None,
        group: str = "",
        **settings: object,
    ) -> None:
        """Name a home folder and documents; by default those of THUMBTUNE_HOME and THUMBTUNE_DOCS.

        `group` is one of the home's file groups.txt: its adapter serves the tuned arm, where it has one. Raises
        BadSetting for a group or setting that does not exist or cannot have this value.
        """
        if unknown := settings.keys() - Settings.model_fields.keys():
            raise BadSetting(f"{min(unknown)!r} is no setting: give one of {', '.join(sorted(Settings.model_fields))}")
        given = dict(settings)
        if folder is not None:
            given["home"] = folder if isinstance(folder, str) and is_address(folder) else Path(folder)
        if docs is not None:
            paths = [docs] if isinstance(docs, str | os.PathLike) else docs
            given["docs"] = tuple(Path(path) for path in paths)
        self.settings: Settings = load_settings(**given)
        self.group = group
        if group:
            read_groups(self.settings.home).require(group)
        self._service: QueryService | None = None
        self._lock = threading.RLock()
        self._loop: asyncio.AbstractEventLoop | None = None

    def __enter__(self) -> Home:
        return self

    def __exit__(self, *raised: object) -> None:
        self.close()

    def index(self) -> IndexReport:
        """Bring the index up to date with the documents; return what was added, changed, deleted and skipped.

        Raises NoDocuments, BadModel and StoreFailed.
        """
        with Indexer(self.settings) as indexer:
            report = indexer.run()
            for _ in indexer.build_vector_indexes():
                pass
        with self._lock:  # the models that serve may be others now
            self._close_service()
        return report

    def search(self, query: str, k: int | None = None, *, arm: Arm = "tuned") -> list[Hit]:
        """Return the k best passages of one arm, best first; by default as many as THUMBTUNE_K says.

        Filters such as `in:reports` or `since:2026` may stand in the query. Raises NotIndexed and BadQuery.
        """
        if k is not None and k < 1:
            raise BadSetting(f"k={k}: give a number of 1 or more")
        _check_arm(arm)
        service = self._open()
        text, only = service.parse_query(query)
        return service.search(text, arm, k, only, self.group)

    def ask(self, question: str, *, arm: Arm = "tuned") -> Answer:
        """Return one arm's answer, which is stored and can be rated. Raises NotIndexed, BadQuery and AnswerFailed."""
        _check_arm(arm)
        return self._run(self._answers(question, {arm: SIDES[ARMS.index(arm)]}))[arm]

    def compare(self, question: str) -> Mapping[Arm, Answer]:
        """Return both arms' answers to a question, as the chat shows them. Raises as `ask` does."""
        return self._run(self._answers(question, dict(zip(ARMS, SIDES, strict=True))))

    def rate(
        self,
        answer: Answer | str,
        value: Label,
        *,
        rater: str = API_RATER,
        reason: Reason = "",
        comment: str = "",
        blind: bool = False,
    ) -> Rating:
        """Store a thumb on an answer, or on the answer with this id: 1, -1, or 0 to withdraw. Training learns from it.

        `blind` says that the rater did not know which model had answered. Raises BadRating and StoreFailed.
        """
        id_ = answer if isinstance(answer, str) else answer.id
        store = self._open().store
        return rate_answer(store, rater=rater, answer_id=id_, value=value, blind=blind, reason=reason, comment=comment)

    def versions(self) -> list[Version]:
        """Return the trained versions, oldest first."""
        return Registry(self.settings.models).versions()

    @property
    def champion(self) -> Version | None:
        """Return the version that serves these documents; None as long as the start weights do."""
        from rag.ingest.corpus import load_corpus

        return Registry(self.settings.models).champion(load_corpus(self.settings).folders_id)

    def close(self) -> None:
        """Close the store after its running writes. A closed home opens again when it is used."""
        with self._lock:
            self._close_service()
            if self._loop:
                self._loop.call_soon_threadsafe(self._loop.stop)
                self._loop = None

    # --- the service behind it ---------------------------------------------------------------------------------------

    def _open(self) -> QueryService:
        """Return the service, opened on first use, with the models that serve now."""
        with self._lock:
            if self._service is None:
                self._service = open_service(self.settings)
            self._service.refresh()
            return self._service

    def _close_service(self) -> None:
        if self._service:
            self._service.close()
            self._service = None

    async def _answers(self, question: str, sides: Mapping[Arm, Side]) -> dict[Arm, Answer]:
        service = await asyncio.to_thread(self._open)
        query, only = service.parse_query(question)
        answers: dict[Arm, Answer] = {}
        compares = len(sides) > 1  # a model on trial is not yet what `ask` promises
        duel = secrets.token_hex(8)
        events = service.ask(query, sides=sides, duel_id=duel, only=only, compares=compares, group=self.group)
        async with aclosing(events):
            async for event in events:
                if isinstance(event, Done):
                    answers[event.answer.arm] = event.answer
                elif isinstance(event, Failed):
                    raise AnswerFailed(f"{event.arm}: {event.message}")
        return answers

    def _run(self, answers: Coroutine[None, None, T]) -> T:
        """Run a coroutine in a loop of this home: a caller may be in one, and the clients of an LLM belong to one."""
        with self._lock:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                threading.Thread(target=self._loop.run_forever, name="thumbtune-home", daemon=True).start()
        return asyncio.run_coroutine_threadsafe(answers, self._loop).result()


def _check_arm(arm: str) -> None:
    if arm not in ARMS:
        raise BadSetting(f"arm={arm!r}: give one of {', '.join(ARMS)}")
