"""Files that a message brings: what the card says of each, whose turn it is, and what Stop leaves."""

from __future__ import annotations

import asyncio
import copy
import threading
import tomllib
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import chainlit.config
import chainlit.server
import pytest
from chainlit.config import SpontaneousFileUploadFeature
from chainlit.config import config as chainlit_config
from chainlit.element import Element, ElementDict
from chainlit.emitter import ChainlitEmitter

from chat.actions.documents import DOCUMENTS, NOT_TRIED, RESTARTED, STOPPED, UploadQueue, accept_documents, revive_files
from chat.elements.live import LiveElement
from chat.session.context import INTERNAL, RequestContext, SessionState
from pdfs import make_pdf
from rag.answering.service import QueryService, open_service
from rag.errors import NotAllowed, StoreFailed, UnknownDocument
from rag.indexing.indexer import index
from rag.indexing.uploads import UploadOutcome, UploadResult
from rag.ingest.documents import MAX_FILE_BYTES
from rag.settings import ROOT, Settings


class Tab:
    """A browser tab: remembers what it was sent, and tells when there is news."""

    def __init__(self) -> None:
        self.got: list[Mapping[str, Any]] = []
        self.news = asyncio.Event()

    async def send_element(self, element_dict: ElementDict) -> None:
        self.got.append(copy.deepcopy(cast(Mapping[str, Any], element_dict["props"])))
        self.news.set()

    async def until(self, state: str) -> None:
        """Return when the first file is shown in this state."""
        while not self.got or self.got[-1]["files"][0]["state"] != state:
            await self.news.wait()
            self.news.clear()


class App:
    """What a process has once, as far as files are concerned."""

    def __init__(self, intake: Any) -> None:
        self.serving = type("Serving", (), {"uploads": intake})()
        self.settings = SimpleNamespace(admins=("ann",))
        self.elements: dict[str, LiveElement] = {}
        self.saved: list[ElementDict] = []

    async def save(self, element: ElementDict) -> None:
        self.saved.append(copy.deepcopy(element))


class Here:
    """The request context of one tab."""

    def __init__(self, app: App) -> None:
        self.app, self.session, self.tab, self.rater = app, SessionState(), Tab(), "ann"

    async def show_element(self, name: str, props: Mapping[str, Any]) -> LiveElement:
        live = LiveElement(name, self.app.save, "t1", "m1", props=props)
        live.watch("s1", self.tab)
        self.app.elements[live.id] = live
        await live.show()
        return live

    async def open_place(self, place: str, **elements: Mapping[str, Any]) -> None:
        assert place == "documents"
        for name, props in elements.items():
            await self.show_element(name, props)

    @property
    def context(self) -> RequestContext:
        return cast(RequestContext, self)

    def states(self) -> list[str]:
        return [file["state"] for file in self.tab.got[-1]["files"]]


class Scripted:
    """An intake that takes a file when the gate is open, and fails as it is told. Every file has two passages."""

    def __init__(self, *troubles: Exception | None) -> None:
        self.troubles = list(troubles)
        self.gate, self.ended = threading.Event(), threading.Event()
        self.names: list[str] = []
        self.words_indexed = 0

    def check(self, name: str, path: Path, is_stopped: Any) -> None:
        """Find every file readable."""

    def add(self, name: str, path: Path, tell: Any) -> UploadOutcome:
        try:
            self.names.append(name)
            if self.troubles and (trouble := self.troubles.pop(0)):
                raise trouble
            tell(0, 2)
            self.gate.wait(10)
            tell(2, 2)
            return UploadResult(f"uploads/{name}", chunks=2, replaced=False)
        finally:
            self.ended.set()

    def update_text_index(self) -> None:
        self.words_indexed += 1


FILES = [("a.md", Path("a")), ("b.md", Path("b"))]


@pytest.fixture
async def serving(settings: Settings) -> AsyncIterator[QueryService]:
    index(settings)
    serving = open_service(settings)
    yield serving
    serving.close()


def write(folder: Path, **files: str) -> list[tuple[str, Path]]:
    """Return files as Chainlit hands them over: the name is the browser's, on the disk it says nothing."""
    handed = []
    for number, (name, text) in enumerate(files.items()):
        path = folder / f"{number}.bin"
        path.write_text(text)
        handed.append((name.replace("_", "."), path))
    return handed


async def test_good_files_go_in_and_bad_ones_are_refused_in_words(serving: QueryService, tmp_path: Path) -> None:
    here = Here(App(serving.uploads))
    handed = write(
        tmp_path, birds_md="# Birds\n\nBirds eat seed.", rubbish_pdf="none", x_exe="PK", fish_txt="Fish swim."
    )
    await UploadQueue().take(here.context, handed)
    assert here.states() == ["added", "refused", "refused", "added"]
    birds, rubbish, letter, fish = here.tab.got[-1]["files"]
    assert (birds["name"], birds["passages"]) == ("uploads/birds.md", 1)
    assert rubbish["reason"] == "the PDF is broken: open it in a viewer and save it again"
    assert letter["reason"].startswith(".exe files are not read. PDF, Office")
    assert fish["name"] == "uploads/fish.txt"
    assert here.tab.got[-1]["over"]
    assert here.app.saved[-1]["props"] == here.tab.got[-1]
    await UploadQueue().take(here.context, handed[:1])
    assert here.states() == ["unchanged"]
    found = serving.store.chunks.search_text(serving.served("base").table, "seed", birds_vector(serving), 5)
    assert [hit.chunk.source for hit in found] == ["uploads/birds.md"]


def birds_vector(serving: QueryService) -> Any:
    return serving.served("base").embedder.embed_queries(["birds"])[0]


async def test_progress_is_shown_while_a_file_goes_in() -> None:
    intake = Scripted()
    here = Here(App(intake))
    task = asyncio.create_task(UploadQueue().take(here.context, FILES[:1]))
    async with asyncio.timeout(10):
        await here.tab.until("embedding")
    assert (here.tab.got[-1]["files"][0]["done"], here.tab.got[-1]["files"][0]["total"]) == (0, 2)
    assert not here.tab.got[-1]["over"]
    assert here.session.is_busy
    intake.gate.set()
    await task
    assert here.states() == ["added"]
    assert not here.session.is_busy  # or the question of the same message would be refused


async def test_the_words_are_indexed_once_for_all_files_of_a_message() -> None:
    intake = Scripted()
    intake.gate.set()
    await UploadQueue().take(Here(App(intake)).context, FILES)
    assert (intake.names, intake.words_indexed) == (["a.md", "b.md"], 1)


async def test_a_browsers_name_reaches_the_intake_whole_and_the_page_as_one_short_line() -> None:
    intake, name = Scripted(), "two\nlines \u202e" + "x" * 300 + ".md"
    intake.gate.set()
    here = Here(App(intake))
    await UploadQueue().take(here.context, [(name, Path("a"))])
    assert intake.names == [name]
    assert here.tab.got[0]["files"][0]["name"].startswith("two lines xxx")
    assert len(here.tab.got[0]["files"][0]["name"]) == 120


async def test_files_of_another_tab_wait_for_their_turn_and_say_so() -> None:
    intake, uploads = Scripted(), UploadQueue()
    app = App(intake)
    first, second = Here(app), Here(app)
    tasks = [asyncio.create_task(uploads.take(first.context, FILES[:1]))]
    async with asyncio.timeout(10):
        await first.tab.until("embedding")
        tasks.append(asyncio.create_task(uploads.take(second.context, FILES[1:])))
        while not second.tab.got or not second.tab.got[-1]["queued"]:
            await second.tab.news.wait()
            second.tab.news.clear()
    assert second.states() == ["waiting"]
    assert intake.names == ["a.md"]
    intake.gate.set()
    await asyncio.gather(*tasks)
    assert intake.names == ["a.md", "b.md"]
    assert (second.states(), second.tab.got[-1]["queued"]) == (["added"], False)


async def test_stop_ends_the_file_under_way_and_the_next_ones_turn_comes_after_that() -> None:
    intake, uploads = Scripted(), UploadQueue()
    here = Here(App(intake))
    task = asyncio.create_task(uploads.take(here.context, FILES))
    async with asyncio.timeout(10):
        await here.tab.until("embedding")
    assert here.session.task is task
    task.cancel()
    await asyncio.sleep(0)
    assert not intake.ended.is_set()
    with pytest.raises(StoreFailed, match="files are being added"):
        await uploads.remove(here.context, {"source": "uploads/a.md"})
    task.cancel()  # an impatient second click changes nothing
    intake.gate.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert intake.ended.is_set()
    assert here.states() == ["stopped", "stopped"]
    assert here.tab.got[-1]["files"][0]["reason"] == STOPPED
    assert intake.names == ["a.md"]


async def test_trouble_of_the_disk_is_told_once_and_the_other_files_are_not_tried() -> None:
    intake = Scripted(StoreFailed("the disk is full"))
    here = Here(App(intake))
    await UploadQueue().take(here.context, FILES)
    assert [file["reason"] for file in here.tab.got[-1]["files"]] == ["the disk is full", NOT_TRIED]
    assert here.states() == ["failed", "failed"]
    assert intake.names == ["a.md"]


async def test_what_nobody_foresaw_leaves_a_card_that_is_complete() -> None:
    here = Here(App(Scripted(RuntimeError("secret"))))
    with pytest.raises(RuntimeError):
        await UploadQueue().take(here.context, FILES[:1])
    assert (here.states(), here.tab.got[-1]["files"][0]["reason"]) == (["failed"], INTERNAL)
    assert here.tab.got[-1]["over"]


async def test_what_was_going_in_when_the_chat_was_restarted_is_not_going_in_any_more() -> None:
    file = {"name": "a.md", "state": "embedding", "done": 1, "total": 2, "passages": 0, "reason": ""}
    kept = {"mode": "intake", "files": [file], "queued": False, "over": False}
    props = await revive_files(cast(RequestContext, None), kept)
    assert props["over"]
    assert (props["files"][0]["state"], props["files"][0]["reason"]) == ("stopped", RESTARTED)
    whole = {"mode": "list", "search": "", "stamp": 3}
    assert await revive_files(cast(RequestContext, None), whole) == whole


async def test_documents_are_listed_and_what_was_dropped_can_be_removed(serving: QueryService, tmp_path: Path) -> None:
    here, uploads = Here(App(serving.uploads)), UploadQueue()
    await uploads.take(here.context, write(tmp_path, birds_md="# Birds\n\nBirds eat seed."))
    first, *others = (await uploads.list_all(here.context, {}))["documents"]
    assert (first["source"], first["title"], first["passages"], first["uploaded"]) == (
        "uploads/birds.md",
        "Birds",
        1,
        True,
    )
    assert first["added"].endswith("+00:00")
    assert [each["source"] for each in others] == ["cats.md", "dogs.md"]
    assert (await uploads.list_all(here.context, {}))["report"] == {"lines": ["Markdown: 3 read"], "files": []}
    assert await uploads.remove(here.context, {"source": "uploads/birds.md"}) == {}
    assert (await uploads.list_all(here.context, {}))["documents"] == others


async def test_the_list_says_what_is_missing_in_a_document_and_what_was_guessed(
    serving: QueryService, tmp_path: Path
) -> None:
    scan, latin = tmp_path / "scan.bin", tmp_path / "latin.bin"
    scan.write_bytes(make_pdf("Birds eat seed.", "", ""))
    latin.write_bytes("Für Müll gilt: Größe bis 80 Liter kostet 5 Euro im Monat.".encode("cp1252"))
    here, uploads = Here(App(serving.uploads)), UploadQueue()
    await uploads.take(here.context, [("scan.pdf", scan), ("latin.txt", latin)])
    listed = await uploads.list_all(here.context, {})
    rows = {row["source"]: (row["lost"][:24], row["note"][:8]) for row in listed["documents"]}
    assert rows["uploads/scan.pdf"] == ("2 of its 3 pages have no", "")
    assert rows["uploads/latin.txt"] == ("", "read as ")
    assert rows["cats.md"] == ("", "")
    assert listed["report"]["lines"] == ["Markdown: 2 read", "PDF: 1 read in part", "text: 1 read (1 with a note)"]
    assert len(listed["report"]["files"]) == 2
    shown = await uploads.show_one(here.context, {"source": "uploads/scan.pdf"})
    assert (shown["kind"], shown["lost"][:24], shown["total"]) == ("PDF", "2 of its 3 pages have no", 1)
    assert shown["chunks"][0]["text"] == "Birds eat seed."


async def test_a_long_document_is_shown_fifty_passages_at_a_time(serving: QueryService, tmp_path: Path) -> None:
    here, uploads = Here(App(serving.uploads)), UploadQueue()
    long = "\n\n".join(f"# Bird {number}\n\nBird {number} eats seed." for number in range(70))
    await uploads.take(here.context, write(tmp_path, birds_md=long))
    first, rest, none = [
        await uploads.show_one(here.context, {"source": "uploads/birds.md", "start": start}) for start in (0, 50, 99)
    ]
    assert [len(each["chunks"]) for each in (first, rest, none)] == [50, 20, 0]
    assert {each["total"] for each in (first, rest, none)} == {70}
    assert "".join(chunk["text"] for chunk in [*first["chunks"], *rest["chunks"]]).count("eats seed") == 70


@pytest.mark.parametrize(
    "payload",
    [
        {},
        {"source": "/etc/passwd"},
        {"source": "cats.md", "start": -1},
        {"source": "cats.md", "start": "1"},
        {"source": ""},
    ],
)
async def test_a_document_that_is_not_indexed_is_not_shown(serving: QueryService, payload: dict[str, Any]) -> None:
    with pytest.raises(UnknownDocument):
        await UploadQueue().show_one(Here(App(serving.uploads)).context, payload)


async def test_every_list_on_a_screen_is_asked_for_anew_after_a_change(serving: QueryService, tmp_path: Path) -> None:
    app, uploads = App(serving.uploads), UploadQueue()
    looking, dropping = Here(app), Here(app)
    await uploads.show(looking.context, "cats " * 99)
    assert looking.tab.got == [{"mode": "list", "search": ("cats " * 99)[:200], "stamp": 0}]
    await uploads.take(dropping.context, write(tmp_path, birds_md="Birds eat seed."))
    assert looking.tab.got[-1]["stamp"] == 1
    await uploads.remove(dropping.context, {"source": "uploads/birds.md"})
    assert looking.tab.got[-1]["stamp"] == 2


FORGED_SOURCES = [None, 7, ["uploads/a.md"], {"a": ["uploads/a.md"]}, "cats.md", "x" * 1_000_000, "\ud800"]


@pytest.mark.parametrize("payload", [{}, *({"source": source} for source in FORGED_SOURCES)])
async def test_a_removal_of_anything_else_is_refused(serving: QueryService, payload: dict[str, Any]) -> None:
    with pytest.raises(UnknownDocument):
        await UploadQueue().remove(Here(App(serving.uploads)).context, payload)


def test_the_page_hands_over_what_can_be_read_up_to_the_size_that_is_read(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chainlit_config.features, "spontaneous_file_upload", SpontaneousFileUploadFeature(enabled=True))
    monkeypatch.setattr(chainlit.config, "FILES_DIRECTORY", None)
    monkeypatch.setattr(chainlit.server, "FILES_DIRECTORY", None)
    monkeypatch.setattr(ChainlitEmitter, "init_thread", ChainlitEmitter.init_thread)
    monkeypatch.setattr(Element, "infer_type_from_mime", Element.infer_type_from_mime)
    accept_documents(settings)
    assert chainlit.server.FILES_DIRECTORY.is_relative_to(settings.home)
    feature = chainlit_config.features.spontaneous_file_upload
    assert feature
    assert feature.accept == ["*/*"]  # the card says what is wrong with a file
    config = tomllib.loads((ROOT / ".chainlit" / "config.toml").read_text())["features"]["spontaneous_file_upload"]
    assert config["enabled"]
    assert config["max_size_mb"] == MAX_FILE_BYTES // 10**6
    assert (ROOT / "public" / "elements" / f"{DOCUMENTS}.jsx").is_file()


async def test_who_is_no_admin_adds_and_removes_nothing_and_is_offered_neither() -> None:
    here = Here(App(Scripted()))
    here.rater = "bob"
    with pytest.raises(NotAllowed, match="bob may not upload documents"):
        await UploadQueue().take(here.context, FILES)
    with pytest.raises(NotAllowed, match="bob may not remove documents"):
        await UploadQueue().remove(here.context, {"source": "uploads/a.txt"})
    assert here.tab.got == []
