"""A corpus of word pairs with labels, to train on in seconds: `World` and what its tests share.

The documents and queries are two words that matter among words that do not.
"""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from pathlib import Path

import pytest
from filelock import FileLock

from rag.feedback.files.import_export import import_labels
from rag.indexing.indexer import index
from rag.ingest.corpus import load_corpus
from rag.models.registry import Registry
from rag.settings import Settings
from rag.store.store import open_store
from train.__main__ import main

THINGS = "cat dog bird fish milk bone seed water model index".split()
PLACES = "house garden river mountain night day red blue".split()
ASKING = "how do i the a to of is are in on for what which when where why who can".split()
SAYING = "chat train install run make test opens closes needs shows finds stores keeps first second third".split()
EPOCHS = "24"  # enough evidence to be promoted, cross-fitted as 80 queries are: five trainings of some 100 steps


@dataclass(frozen=True)
class World:
    """A documents folder and homes to copy: `labelled` is indexed and has labels, `trained` has a version as well."""

    docs: Path
    model: Path
    labels: Path
    labelled: Path

    @cached_property
    def trained(self) -> Path:
        """Train once for all files and workers, when a test needs it."""
        home = self.labelled.parent / "trained"
        with made_once(home) as is_missing:
            if is_missing:
                shutil.copytree(self.labelled, home)
                with pytest.MonkeyPatch.context() as patch:
                    for name, value in self.environment(home).items():
                        patch.setenv(name, value)
                    assert main(["--epochs", EPOCHS]) == 0
        return home

    def settings(self, home: Path) -> Settings:
        model = str(self.model)
        return Settings(
            home=home,
            docs=(self.docs,),
            base_model=model,
            start_model=model,
            chunk_tokens=32,
            device="cpu",
            train_threads=1,
        )

    def environment(self, home: Path) -> dict[str, str]:
        """Return what a process of its own needs to see the same."""
        names = {"HOME": home, "DOCS": self.docs, "BASE_MODEL": self.model, "START_MODEL": self.model}
        fixed = {"THUMBTUNE_CHUNK_TOKENS": "32", "THUMBTUNE_DEVICE": "cpu", "THUMBTUNE_TRAIN_THREADS": "1"}
        return {**fixed, **{f"THUMBTUNE_{name}": str(value) for name, value in names.items()}}


def shared_world(folder: Path, tiny_model: Path) -> World:
    """Return the world in a folder that all workers share; the first makes it."""
    with made_once(folder) as is_missing:
        if is_missing:
            shutil.copytree(tiny_model, folder / "model")
            make_world(folder, folder / "model")
    return World(folder / "docs", folder / "model", folder / "labels.jsonl", folder / "labelled")


@contextmanager
def made_once(folder: Path) -> Iterator[bool]:
    """Hold a folder's lock, and tell whether it is to be made; what an earlier try left of it is removed."""
    done = folder.with_name(f"{folder.name}.done")
    with FileLock(f"{folder}.lock"):
        is_missing = not done.exists()
        if is_missing:
            shutil.rmtree(folder, ignore_errors=True)
        yield is_missing
        done.touch()


def make_world(folder: Path, tiny_model: Path) -> World:
    """Index the documents in a new home and import the labels."""
    world = World(folder / "docs", tiny_model, folder / "labels.jsonl", folder / "labelled")
    draw = random.Random(0)

    def some(words: list[str]) -> str:
        return " ".join(draw.choice(words) for _ in range(2))

    world.docs.mkdir()
    texts = {
        (thing, place): f"{some(SAYING)} {thing} {place} {some(SAYING)}" for thing, place in product(THINGS, PLACES)
    }
    rows: list[dict[str, object]] = []
    for (thing, place), text in texts.items():
        (world.docs / f"{thing}-{place}.txt").write_text(text)
        query = f"{some(ASKING)} {thing} {some(ASKING)} {place}"
        elsewhere = texts[thing, PLACES[PLACES.index(place) - 1]]
        rows += [{"query": query, "text": text, "label": 1}, {"query": query, "text": elsewhere, "label": -1}]
    world.labels.write_text("\n".join(map(json.dumps, rows)))
    settings = world.settings(world.labelled)
    index(settings)
    store = open_store(settings.lancedb)
    import_labels(world.labels, store, store.documents.read(load_corpus(settings).id))
    store.close()
    return world


def contents(settings: Settings) -> dict[str, bytes]:
    """Return every file of a home with what is in it."""
    found = (path for path in settings.home.rglob("*") if path.is_file())
    return {str(path.relative_to(settings.home)): path.read_bytes() for path in found}


def files(settings: Settings) -> set[str]:
    return set(contents(settings))


def champion(settings: Settings) -> str | None:
    version = Registry(settings.models).champion(load_corpus(settings).folders_id)
    return version.name if version else None
