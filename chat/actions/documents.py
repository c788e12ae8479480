"""Files dropped into the chat -> the documents that both arms search, from the next question on; and out again.

A message brings files, a question, or both: first the files go in, then the question is asked. What happens to each
file is one card that lives while they go in. The list of documents is not kept with the thread: its card asks for it.

The idea a reader would miss: a thread cannot be interrupted. Whoever stops the intake waits for it to notice, between
two batches of passages, and only then is the next one's turn.
"""

from __future__ import annotations

import asyncio
import logging
import shutil
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any, Literal, TypedDict

import chainlit as cl
import chainlit.config
import chainlit.server
from chainlit.config import config
from chainlit.element import Element
from chainlit.emitter import ChainlitEmitter

from chat.elements.live import LiveElement
from chat.session.context import INTERNAL, AppState, RequestContext
from rag.errors import StoreFailed, ThumbtuneError, UnknownDocument
from rag.indexing.uploads import ListedDocument, UploadOutcome, UploadResult, Uploads, display_name
from rag.ingest.documents import Skipped, Unchanged
from rag.loaders import LOADERS
from rag.settings import Settings

DOCUMENTS = "Documents"  # public/elements/Documents.jsx
STOPPED = "Stopped before it was taken in."
RESTARTED = "The chat was restarted before it was taken in: drop it here again."
NOT_TRIED = "Not tried, because of the trouble above: drop it here again when that is mended."
TAKING = "files are being taken in at the moment: remove it when that is done"

State = Literal["waiting", "reading", "embedding", "added", "replaced", "unchanged", "refused", "failed", "stopped"]
OPEN: tuple[State, ...] = ("waiting", "reading", "embedding")
TAKEN: tuple[State, ...] = ("added", "replaced")
MAX_SEARCH = 200  # characters of what is searched for in the list
Handed = tuple[str, Path]  # what the browser calls a file, and where its bytes lie
log = logging.getLogger("thumbtune")


class FileView(TypedDict):
    """A line of the card. `done` of `total` passages are embedded, for each arm; `reason`: why not, or not all."""

    name: str
    state: State
    done: int
    total: int
    passages: int
    reason: str


class UploadStopped(Exception):
    """Somebody has pressed Stop."""


class Batch:
    """The files of one message, as they go in: `props` is what the browser is sent."""

    def __init__(self, handed: Sequence[Handed], files: list[FileView], *, over: bool = False) -> None:
        self.handed, self.files = handed, files
        self.props: dict[str, Any] = {"mode": "intake", "files": files, "queued": False, "over": over}

    def queue(self, queued: bool) -> None:
        """Say whether these files wait for those of another message."""
        self.props["queued"] = queued

    def close(self, state: State, reason: str, others: str = "") -> None:
        """Say of the first file that has no outcome yet why it will have none, and of those behind it."""
        for view in self.files:
            if view["state"] in OPEN:
                view.update({"state": state, "reason": reason})
                reason = others or reason

    def end(self) -> None:
        """Say that nothing more will happen."""
        self.close("stopped", STOPPED)
        self.props.update(queued=False, over=True)


class UploadQueue:
    """Where files are handed in: those of one message at a time, in whatever tab."""

    def __init__(self) -> None:
        self._turn = asyncio.Lock()

    async def hear(self, visit: RequestContext, message: cl.Message) -> None:
        """Take in the files of a message."""
        await self.take(visit, [(each.name, Path(each.path)) for each in message.elements or [] if each.path])

    async def take(self, visit: RequestContext, handed: Sequence[Handed]) -> None:
        """Take in files, and show how that goes. What cannot be used is said in the card."""
        batch = make_batch(handed)
        live = await visit.show_element(DOCUMENTS, batch.props)
        try:
            with _stoppable(visit):
                async with _shown(live, batch):
                    batch.queue(self._turn.locked())
                    live.touch()
                    async with self._turn:
                        batch.queue(False)
                        await _take_all(visit.house.serving.uploads, batch, live)
        finally:
            await _renew_lists(visit.house)

    async def show(self, visit: RequestContext, text: str) -> None:
        """Show all documents; what follows the command is searched for among them."""
        await visit.show_element(DOCUMENTS, {"mode": "list", "search": text[:MAX_SEARCH], "stamp": 0})

    async def list_all(self, visit: RequestContext, payload: Mapping[str, Any]) -> dict[str, Any]:
        """Return all documents, with what is shown of each."""
        listed = await asyncio.to_thread(visit.house.serving.uploads.documents)
        return {"documents": [_row(each) for each in listed]}

    async def remove(self, visit: RequestContext, payload: Mapping[str, Any]) -> dict[str, Any]:
        """Remove a file that was dropped into the chat. Raises UnknownDocument and StoreFailed."""
        source = payload.get("source")
        if not isinstance(source, str):
            raise UnknownDocument(f"{str(payload)[:80]} names no document: reload the page")
        if self._turn.locked():
            raise StoreFailed(TAKING)
        async with self._turn:
            await asyncio.to_thread(visit.house.serving.uploads.remove, source)
        await _renew_lists(visit.house)
        return {}


def accept_documents(settings: Settings) -> None:
    """Let the page hand over what can be read, by the name's ending: for Markdown each browser has another type.

    What the bytes are is looked at when they are here, whatever the name says. They are put into a folder of this
    chat alone: Chainlit's is one for all chats of a checkout, and the first that ends deletes it for the others.
    """
    config.features.spontaneous_file_upload.accept = {"*/*": list(LOADERS)}
    folder = settings.cache / f"dropped-{settings.port}"
    shutil.rmtree(folder, ignore_errors=True)  # of a chat that was killed
    folder.mkdir(parents=True)
    chainlit.config.FILES_DIRECTORY = chainlit.server.FILES_DIRECTORY = folder  # type: ignore[attr-defined]
    ChainlitEmitter.init_thread = _init_thread  # type: ignore[method-assign]
    # in the message a file is shown as a file: Chainlit would open a viewer for each PDF, 100 MB or broken as it may be
    Element.infer_type_from_mime = classmethod(lambda cls, mime: "file")  # type: ignore[method-assign,assignment]


_named_by_chainlit = ChainlitEmitter.init_thread


async def _init_thread(self: ChainlitEmitter, interaction: str) -> None:
    """Name a thread after its first message, or after its files where it says nothing.

    Without a name Chainlit shows no Stop button, and an empty line in the list of threads.
    """
    names = ", ".join(display_name(file["name"]) for file in self.session.files.values())
    await _named_by_chainlit(self, interaction.strip() or names)


def make_batch(handed: Sequence[Handed]) -> Batch:
    """Return the files of a message before anything has happened to them."""
    return Batch(
        handed,
        [
            {"name": display_name(name), "state": "waiting", "done": 0, "total": 0, "passages": 0, "reason": ""}
            for name, _ in handed
        ],
    )


async def revive_files(visit: RequestContext, props: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a card of an earlier process as it is now: what was going in then is not going in any more."""
    if props.get("mode") != "intake" or props.get("over"):
        return props
    batch = Batch([], list(props["files"]), over=True)
    batch.close("stopped", RESTARTED)
    return batch.props


async def _take_all(intake: Uploads, batch: Batch, live: LiveElement) -> None:
    """Take in one file after the other. Trouble that is not the file's own ends it: the next one would meet it, too."""
    try:
        for view, (name, path) in zip(batch.files, batch.handed, strict=True):
            await _take_one(intake, view, name, path, live)
    except asyncio.CancelledError:
        batch.close("stopped", STOPPED)
        raise
    except ThumbtuneError as error:
        batch.close("failed", str(error), NOT_TRIED)
    finally:
        batch.close("failed", INTERNAL, NOT_TRIED)
        if any(view["state"] in TAKEN for view in batch.files):
            await _to_its_end(intake.update_text_index)


async def _take_one(intake: Uploads, view: FileView, name: str, path: Path, live: LiveElement) -> None:
    """Take in one file in a thread, and let its line follow."""
    loop, stopped = asyncio.get_running_loop(), threading.Event()

    def tell(done: int, total: int) -> None:
        if stopped.is_set():
            raise UploadStopped
        view.update({"state": "embedding", "done": done, "total": total})
        loop.call_soon_threadsafe(live.touch)

    def take() -> None:
        view["state"] = "reading"
        _conclude(view, intake.add(name, path, tell))
        loop.call_soon_threadsafe(live.touch)

    live.touch()
    await _to_its_end(take, stopped.set)


async def _to_its_end(work: Callable[[], None], stop: Callable[[], None] = lambda: None) -> None:
    """Run work in a thread. Who is cancelled meanwhile asks it to stop, and waits until it has ended."""
    thread = asyncio.ensure_future(asyncio.to_thread(work))
    try:
        await asyncio.shield(thread)
    except asyncio.CancelledError:
        stop()
        while not thread.done():
            with suppress(asyncio.CancelledError):
                await asyncio.wait([thread])
        raise


def _conclude(view: FileView, taken: UploadOutcome) -> None:
    """Show what became of a file; it is named as answers will name it."""
    match taken:
        case UploadResult():
            state: State = "replaced" if taken.replaced else "added"
            view.update({"state": state, "name": taken.source, "passages": taken.chunks, "reason": taken.lost})
        case Unchanged():
            view.update({"state": "unchanged", "name": taken.source})
        case Skipped():
            view.update({"state": "refused", "reason": taken.reason})


@contextmanager
def _stoppable(visit: RequestContext) -> Iterator[None]:
    """Let the Stop button end this, as it ends a duel; where a duel is under way in this session, it is the duel's."""
    if visit.room.is_busy:
        yield
        return
    visit.room.task = asyncio.current_task()
    try:
        yield
    finally:
        visit.room.task = None  # or the question that came with the files would be refused as a second one


@asynccontextmanager
async def _shown(live: LiveElement, batch: Batch) -> AsyncIterator[None]:
    """Show what changes while the files go in, then how it ended, and keep that."""
    try:
        async with live.snapshots():
            yield
    finally:
        batch.end()
        await live.show()
        try:
            await live.keep()
        except StoreFailed as error:
            log.warning("how files were taken in will be gone after a reload: %s", error)


async def _renew_lists(house: AppState) -> None:
    """Let every list of documents on a screen be asked for anew."""
    for live in list(house.elements.values()):
        if live.name == DOCUMENTS and live.props.get("mode") == "list":
            live.props = {**live.props, "stamp": live.props["stamp"] + 1}
            await live.show()


def _row(listed: ListedDocument) -> dict[str, Any]:
    """Return a document as the page lists it."""
    return {
        "source": listed.source,
        "title": listed.title,
        "passages": listed.chunks,
        "uploaded": listed.uploaded,
        "added": listed.added.isoformat() if listed.added else None,
    }
