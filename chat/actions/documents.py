"""/documents and uploads: add dropped files to the documents that both arms search; list and remove them.

A message may bring files, a question, or both: the files are added first, then the question is asked. One live card
shows the progress of each file. The list of documents is not saved with the thread: its element asks for it.

Why: a thread cannot be interrupted. Stop waits until the upload checks for it, between two batches of passages, and
only then does the next message's upload begin.
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
from chainlit.chat_context import chat_context
from chainlit.config import config
from chainlit.element import Element
from chainlit.emitter import ChainlitEmitter

from chat.actions.payloads import RemoveDocument, ShowDocument
from chat.elements.file_lines import KINDS, report_files, report_lines
from chat.elements.live import LiveElement
from chat.language import Phrase, recognised, said
from chat.session.context import INTERNAL, AppState, RequestContext
from chat.session.roles import is_admin, require_admin
from rag.errors import StoreFailed, ThumbtuneError
from rag.heading_path import plain_headings
from rag.indexing.file_report import FileRecord
from rag.indexing.uploads import ListedDocument, UploadOutcome, UploadResult, Uploads, display_name, is_attachment
from rag.ingest.documents import Skipped, Unchanged
from rag.settings import Settings

DOCUMENTS = "Documents"  # public/elements/Documents.jsx
STOPPED = Phrase("upload.stopped")
RESTARTED = Phrase("upload.restarted")
NOT_TRIED = Phrase("upload.not_tried")
BUSY = Phrase("error.uploading")

State = Literal["waiting", "reading", "embedding", "added", "replaced", "unchanged", "refused", "failed", "stopped"]
OPEN: tuple[State, ...] = ("waiting", "reading", "embedding")
TAKEN: tuple[State, ...] = ("added", "replaced")
MAX_SEARCH = 200  # characters of what is searched for in the list
MAX_SHOWN = 50  # passages of a document that are sent at once: 40 kB
UploadedFile = tuple[str, Path]  # the browser's name of a file, and the path of its bytes
log = logging.getLogger("thumbtune")


class FileView(TypedDict):
    """A file in the card. `done` of `total` passages are embedded, for each arm.

    `reason`: what failed or is missing; `note`: what was guessed.
    """

    name: str
    state: State
    done: int
    total: int
    passages: int
    reason: str
    note: str


class UploadStopped(Exception):
    """Stop was pressed."""


class Batch:
    """The files of one message and their progress; `props` is what the browser is sent."""

    def __init__(self, uploaded: Sequence[UploadedFile], files: list[FileView], *, over: bool = False) -> None:
        self.uploaded, self.files = uploaded, files
        self.props: dict[str, Any] = {"mode": "intake", "files": files, "queued": False, "over": over}

    def queue(self, queued: bool) -> None:
        """Set whether these files wait for those of another message."""
        self.props["queued"] = queued

    def close(self, state: State, reason: str, others: str = "") -> None:
        """Close all files without an outcome: the first with `reason`, the rest with `others` if given."""
        for view in self.files:
            if view["state"] in OPEN:
                view.update({"state": state, "reason": reason})
                reason = others or reason

    def end(self) -> None:
        """Close what is open and mark the batch as over."""
        self.close("stopped", STOPPED)
        self.props.update(queued=False, over=True)


class UploadQueue:
    """Adds uploaded files, one message's at a time, across all tabs."""

    def __init__(self) -> None:
        self._turn = asyncio.Lock()

    async def hear(self, context: RequestContext, message: cl.Message) -> None:
        """Add the files of a message."""
        await self.take(context, [(each.name, Path(each.path)) for each in message.elements or [] if each.path])

    async def take(self, context: RequestContext, uploaded: Sequence[UploadedFile]) -> None:
        """Add files and show their progress; the card says why a file is refused. Raises NotAllowed."""
        if uploaded:
            require_admin(context.app.settings, context.rater, Phrase("error.upload_not_allowed", rater=context.rater))
        batch = make_batch(uploaded)
        live = await context.show_element(DOCUMENTS, batch.props)
        try:
            with _stoppable(context):
                async with _shown(live, batch):
                    await _check_all(context.app.serving.uploads, batch, live)
                    batch.queue(self._turn.locked())
                    live.touch()
                    async with self._turn:
                        batch.queue(False)
                        await _take_all(context.app.serving.uploads, batch, live)
        finally:
            await _refresh_lists(context.app)

    async def show(self, context: RequestContext, text: str) -> None:
        """Open the list of all documents in the side panel; text after the command filters them."""
        now = {"mode": "list", "search": text[:MAX_SEARCH], "stamp": 0}
        await context.open_place("documents", **{DOCUMENTS: now})

    async def list_all(self, context: RequestContext, payload: Mapping[str, Any]) -> dict[str, Any]:
        """Return all documents as the list shows them."""
        listed = await asyncio.to_thread(context.app.serving.uploads.documents)
        report = await asyncio.to_thread(context.app.serving.uploads.report)
        records = {each.source: each for each in report.files} if report else {}
        shown = {"lines": report_lines(report), "files": report_files(report)} if report else None
        rows = [_row(each, records.get(each.source)) for each in listed]
        return {"documents": rows, "report": shown, "admin": is_admin(context.app.settings, context.rater)}

    async def show_one(self, context: RequestContext, payload: Mapping[str, Any]) -> dict[str, Any]:
        """Return what was read of a document and where it is cut, MAX_SHOWN passages of it. Raises UnknownDocument."""
        wanted = ShowDocument.read(payload)
        document = await asyncio.to_thread(context.app.serving.uploads.show, wanted.source)
        row = document.as_json()
        cut = row["chunks"][wanted.start : wanted.start + MAX_SHOWN]
        chunks = [{**chunk, "heading": plain_headings(chunk["heading"])} for chunk in cut]
        return {**row, "kind": KINDS.get(document.kind, document.kind), "total": len(row["chunks"]), "chunks": chunks}

    async def remove(self, context: RequestContext, payload: Mapping[str, Any]) -> dict[str, Any]:
        """Remove an uploaded file. Raises NotAllowed, UnknownDocument and StoreFailed."""
        source = RemoveDocument.read(payload).source
        require_admin(context.app.settings, context.rater, Phrase("error.remove_not_allowed", rater=context.rater))
        if self._turn.locked():
            raise StoreFailed(BUSY)
        async with self._turn:
            await asyncio.to_thread(context.app.serving.uploads.remove, source)
        await _refresh_lists(context.app)
        return {}


def accept_documents(settings: Settings) -> None:
    """Configure Chainlit's uploads: files of any name, and a folder of this chat's own.

    Why: for a name that is not on a list, Chainlit shows all 90 endings that are; the card says what is wrong with
    this one. Chainlit's upload folder is shared by all chats of a checkout, and the first that ends deletes it for the
    others.
    """
    config.features.spontaneous_file_upload.accept = ["*/*"]
    folder = settings.cache / f"dropped-{settings.port}"
    shutil.rmtree(folder, ignore_errors=True)  # left by a chat that was killed
    folder.mkdir(parents=True)
    chainlit.config.FILES_DIRECTORY = chainlit.server.FILES_DIRECTORY = folder  # type: ignore[attr-defined]
    ChainlitEmitter.init_thread = _init_thread  # type: ignore[method-assign]
    # show every upload as a plain file: Chainlit would open a viewer for each PDF, even of 100 MB or broken
    Element.infer_type_from_mime = classmethod(lambda cls, mime: "file")  # type: ignore[method-assign,assignment]


_named_by_chainlit = ChainlitEmitter.init_thread


async def _init_thread(self: ChainlitEmitter, interaction: str) -> None:
    """Begin a thread, named after its first message, or after its files if that has no text; not with an action.

    Why: without a name Chainlit shows no Stop button, and an empty line in the list of threads. And it would begin a
    thread with the first action of a place, such as Remove, before anything was asked.
    """
    if not chat_context.get():
        self.session.has_first_interaction = False
        return
    names = ", ".join(display_name(file["name"]) for file in self.session.files.values())
    await _named_by_chainlit(self, interaction.strip() or names)


def make_batch(uploaded: Sequence[UploadedFile]) -> Batch:
    """Return the files of a message, all waiting."""
    return Batch(
        uploaded,
        [
            {
                "name": display_name(name),
                "state": "waiting",
                "done": 0,
                "total": 0,
                "passages": 0,
                "reason": "",
                "note": "",
            }
            for name, _ in uploaded
        ],
    )


async def revive_files(context: RequestContext, props: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the props of a card from an earlier process: files that were in progress then are stopped."""
    if props.get("mode") != "intake" or props.get("over"):
        return props
    batch = Batch([], list(props["files"]), over=True)
    batch.close("stopped", RESTARTED)
    return batch.props


async def _check_all(intake: Uploads, batch: Batch, live: LiveElement) -> None:
    """Parse the files before their turn, so that one that hangs its parser holds up no other message."""
    stopped = threading.Event()
    for view, (name, path) in zip(batch.files, batch.uploaded, strict=True):

        def check(view: FileView = view, name: str = name, path: Path = path) -> None:
            if refused := intake.check(name, path, stopped.is_set):
                _conclude(view, refused)
            else:
                view["state"] = "waiting"

        view["state"] = "reading"
        live.touch()
        await _run_to_end(check, stopped.set)


async def _take_all(intake: Uploads, batch: Batch, live: LiveElement) -> None:
    """Add one file after another. An error that is not the file's own ends it: the next file would meet it, too."""
    try:
        for view, (name, path) in zip(batch.files, batch.uploaded, strict=True):
            if view["state"] in OPEN:
                await _take_one(intake, view, name, path, live)
    except asyncio.CancelledError:
        batch.close("stopped", STOPPED)
        raise
    except ThumbtuneError as error:
        batch.close("failed", said(error), NOT_TRIED)
    finally:
        batch.close("failed", INTERNAL, NOT_TRIED)
        if any(view["state"] in TAKEN for view in batch.files):
            await _run_to_end(intake.update_text_index)


async def _take_one(intake: Uploads, view: FileView, name: str, path: Path, live: LiveElement) -> None:
    """Add one file in a thread and update its line in the card."""
    loop, stopped = asyncio.get_running_loop(), threading.Event()

    def tell(done: int, total: int) -> None:
        if stopped.is_set():
            raise UploadStopped
        view.update({"state": "embedding", "done": done, "total": total})
        loop.call_soon_threadsafe(live.touch)

    def take() -> None:
        view["state"] = "reading"
        with suppress(UploadStopped):
            _conclude(view, intake.add(name, path, tell))
        loop.call_soon_threadsafe(live.touch)

    live.touch()
    await _run_to_end(take, stopped.set)


async def _run_to_end(work: Callable[[], None], stop: Callable[[], None] = lambda: None) -> None:
    """Run work in a thread. On cancellation, call `stop` and wait until the thread has ended."""
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
    """Show a file's outcome, under the name that answers will cite."""
    match taken:
        case UploadResult():
            state: State = "replaced" if taken.replaced else "added"
            view.update(
                {
                    "state": state,
                    "name": taken.source,
                    "passages": taken.chunks,
                    "reason": recognised(taken.lost),
                    "note": recognised(taken.note),
                }
            )
        case Unchanged():
            view.update({"state": "unchanged", "name": taken.source})
        case Skipped():
            view.update({"state": "refused", "reason": _why_refused(taken.reason)})


def _why_refused(reason: str) -> str:
    """Return why a file is not read, with the kinds that are in place of the page that lists them."""
    why = recognised(reason)
    if isinstance(why, Phrase) and why.key == "library.not_read":
        return Phrase("upload.not_read", **why.values)
    return Phrase("upload.not_read_bare") if isinstance(why, Phrase) and why.key == "library.not_read_bare" else why


@contextmanager
def _stoppable(context: RequestContext) -> Iterator[None]:
    """Let the Stop button end this, unless a duel is running in this session: then it stops the duel."""
    if context.session.is_busy:
        yield
        return
    context.session.task = asyncio.current_task()
    try:
        yield
    finally:
        context.session.task = None  # otherwise the question of the same message would be refused as a second one


@asynccontextmanager
async def _shown(live: LiveElement, batch: Batch) -> AsyncIterator[None]:
    """Show snapshots while files are added, then show and save the outcome."""
    try:
        async with live.snapshots():
            yield
    finally:
        batch.end()
        await live.show()
        try:
            await live.keep()
        except StoreFailed as error:
            log.warning("the upload card will be gone after a reload: %s", error)


async def _refresh_lists(app: AppState) -> None:
    """Make every open list of documents reload."""
    for live in list(app.elements.values()):
        if live.name == DOCUMENTS and live.props.get("mode") == "list":
            live.props = {**live.props, "stamp": live.props["stamp"] + 1}
            await live.show()


def _row(listed: ListedDocument, record: FileRecord | None) -> dict[str, Any]:
    """Return a document as the list shows it; what is missing in it or was guessed is "" where the report is silent."""
    return {
        "source": listed.source,
        "title": listed.title,
        "passages": listed.chunks,
        "uploaded": listed.uploaded,
        "attached": is_attachment(listed.source),
        "added": listed.added.isoformat() if listed.added else None,
        "lost": recognised(record.reason) if record else "",
        "note": recognised(record.note) if record else "",
    }
