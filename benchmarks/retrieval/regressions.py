"""Whether pins catch regressions: 20 changes of documents, chunks and prompts, each checked with 100 pins.

    python -m benchmarks.retrieval.regressions [documents] [prompts] [chunks]

On nine of the app's own pages, with the built-in model. The pins are questions of docs/questions.jsonl whose passage is
found before the change. Each change is made in a copy, indexed, and checked as `python -m rag check` does. A control
changes what no pin is about. Some minutes.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

from rag.feedback.check import Checker
from rag.feedback.pins import Pin
from rag.indexing.indexer import index
from rag.indexing.update import corpus_chunks
from rag.ingest.corpus import load_corpus
from rag.models.embedder import load_trainable
from rag.records import content_id
from rag.settings import ROOT, Settings
from rag.store.store import open_store

PAGES = (  # few enough to index them twenty times in minutes; the first four have tables
    *("how-to/settings", "how-to/commands", "how-to/share-with-a-team", "how-to/when-something-is-wrong"),
    *("concepts/gate", "concepts/held-out", "concepts/duels", "concepts/credit", "concepts/chunks"),
)
PINS = 100
PROMPTS = {
    "query prompt of another model": {"query": "Instruct: retrieve code for this error\nQuery: "},
    "passage prompt on queries": {"query": "passage: passage: passage: "},
    "answer prompt on queries": {"query": "Answer the question in one short sentence, and name the source: "},
    "query prompt on passages": {"document": "Represent this question for searching relevant passages: "},
    "translation prompt": {"query": "Translate into French: ", "document": "French: "},
}
CHUNK_TOKENS = (16, 24, 48, 256, 512)
EACH = 5  # changed tables and deleted sections


@dataclass(frozen=True, slots=True)
class Change:
    """A regression: what it is, how it changes the copied documents, and the settings it changes."""

    name: str
    edit: Callable[[Path], None]
    settings: dict[str, object]


def main() -> None:
    """Print what each change breaks, and how many of them were caught."""
    if hasattr(os, "nice"):
        os.nice(5)
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        docs = work / "docs"
        docs.mkdir()
        for page in PAGES:
            (docs / page).parent.mkdir(exist_ok=True)
            shutil.copy(ROOT / "docs" / f"{page}.md", docs / f"{page}.md")
        before = Settings(home=work / "home", docs=(docs,))
        pins = _pins(before)
        changes = [change for kind in sys.argv[1:] or KINDS for change in KINDS[kind](work, pins)]
        caught = [_check(work / f"change-{n}", before, pins, change) for n, change in enumerate(changes)]
        control = Change("control: a sentence added to a page", _append, {})
        false = _check(work / "control", before, pins, control)
    print(f"{sum(caught)} of {len(caught)} regressions caught with {len(pins)} pins; control broke pins: {false}")


def _pins(settings: Settings) -> list[Pin]:
    index(settings)
    with closing(open_store(settings.lancedb)) as store:
        chunks = corpus_chunks(store, load_corpus(settings).id)
        checker = Checker(settings, store)
        found = []
        for row in map(json.loads, (ROOT / "docs" / "questions.jsonl").read_text("utf-8").splitlines()):
            name = str(row["source"] or "")
            text = next((c.text for c in chunks if c.source == name and row.get("answer", "\0") in c.text), "")
            if text and not checker.check([pin := Pin(row["question"], text, name)]):
                found.append(pin)
        found.sort(key=lambda pin: (not _has_table(pin), content_id("pin", pin.query)))
        began = perf_counter()
        broken = checker.check(found[:PINS])
        print(f"{len(found)} questions find their passage; {PINS} pins checked in {perf_counter() - began:.1f} s")
        assert not broken
    return found[:PINS]


def _document_changes(work: Path, pins: list[Pin]) -> Iterator[Change]:
    draw = random.Random(0)
    tables = [pin for pin in pins if _has_table(pin)]
    for pin in draw.sample(tables, min(EACH, len(tables))):
        yield Change(f"rows of a table swapped in {pin.source}", lambda docs, pin=pin: _swap(docs, pin), {})
    rest = [pin for pin in pins if pin not in tables]
    for pin in draw.sample(rest, 2 * EACH - min(EACH, len(tables))):
        yield Change(f"section deleted in {pin.source}", lambda docs, pin=pin: _delete(docs, pin), {})


def _prompt_changes(work: Path, pins: list[Pin]) -> Iterator[Change]:
    for name, prompts in PROMPTS.items():
        folder = work / "models" / content_id(name)
        model = load_trainable("builtin", Settings(home=work / "home"))
        model.prompts = {"query": "", "document": "", **prompts}
        model.save(str(folder))
        yield Change(name, lambda docs: None, {"base_model": str(folder), "start_model": str(folder)})


def _chunk_changes(work: Path, pins: list[Pin]) -> Iterator[Change]:
    for tokens in CHUNK_TOKENS:
        yield Change(f"chunks of {tokens} tokens", lambda docs: None, {"chunk_tokens": tokens})


KINDS = {"documents": _document_changes, "prompts": _prompt_changes, "chunks": _chunk_changes}


def _has_table(pin: Pin) -> bool:
    return len(_rows(pin)) > 1


def _rows(pin: Pin) -> list[str]:
    """Return the rows of a table that the passage has, without its ruler."""
    return [line for line in pin.text.splitlines() if line.startswith("|") and set(line) - set("|-: ")]


def _swap(docs: Path, pin: Pin) -> None:
    """Exchange the last cells of the two last rows that the pinned passage has of a table."""
    rows = _rows(pin)[-2:]
    one, other = (row.rstrip("|").rpartition("|") for row in rows)
    swapped = [f"{one[0]}|{other[2]}|", f"{other[0]}|{one[2]}|"]
    text = (docs / pin.source).read_text("utf-8")
    for row, new in zip(rows, swapped, strict=True):
        assert row in text
        text = text.replace(row, new, 1)
    (docs / pin.source).write_text(text, "utf-8")


def _delete(docs: Path, pin: Pin) -> None:
    """Delete the section that has the pinned passage."""
    text = (docs / pin.source).read_text("utf-8")
    parts = text.split("\n## ")
    inside = pin.text.splitlines()[-1].strip()[:60]
    left = [part for part in parts if inside not in part]
    assert len(left) < len(parts)
    (docs / pin.source).write_text("\n## ".join(left), "utf-8")


def _append(docs: Path) -> None:
    path = docs / f"{PAGES[0]}.md"
    path.write_text(path.read_text("utf-8") + "\n\n## A new section\n\nThe moon is far away from here.\n", "utf-8")


def _check(folder: Path, before: Settings, pins: list[Pin], change: Change) -> bool:
    """Return whether a change breaks pins, after printing how many."""
    (docs,) = before.docs  # edited in place, so that only what changed is embedded again
    shutil.copytree(before.home, folder / "home")
    shutil.copytree(docs, folder / "docs")
    change.edit(docs)
    settings = before.model_copy(update={"home": folder / "home", **change.settings})
    index(settings)
    with closing(open_store(settings.lancedb)) as store:
        broken = Checker(settings, store).check(pins)
    shutil.rmtree(docs)
    shutil.move(folder / "docs", docs)
    shutil.rmtree(folder)
    print(f"{len(broken)} pins broken: {change.name}", flush=True)
    return bool(broken)


if __name__ == "__main__":
    sys.exit(main())
