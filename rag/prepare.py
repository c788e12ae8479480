"""What a question needs to be answered at all: the documents indexed for both arms. Wired here for both roofs."""

from __future__ import annotations

from functools import partial
from typing import Never

from tqdm import tqdm

from rag.embed import load_embedder
from rag.index import (
    IndexReport,
    changing_documents,
    cutting,
    load_corpus,
    read_files,
    update_documents,
    update_vectors,
)
from rag.retrieve import arm_models
from rag.settings import Settings
from rag.store import Store, open_store


def index(settings: Settings) -> IndexReport:
    """Bring documents and both arms' tables level with the files, with a progress bar for each step that has work."""
    store = open_store(settings.lancedb)
    try:
        with changing_documents(store):
            return _index(settings, store)
    finally:
        store.close()


def _index(settings: Settings, store: Store) -> IndexReport:
    corpus = load_corpus(settings)
    references = {reference: name for name, reference in arm_models(settings, corpus.folders_id).values()}
    references.setdefault(settings.start_model, settings.start_model)
    embedders = {reference: load_embedder(reference, settings) for reference in references}
    outcomes = read_files(
        settings,
        corpus,
        store.document_hashes(corpus.id),
        cutting(settings, embedders[settings.start_model], embedders.values()),
        lambda files: tqdm(files, desc="reading", unit="file", disable=None, leave=False),
    )
    report = update_documents(store, corpus, outcomes)
    for _, reference in arm_models(settings, corpus.folders_id).values():
        with tqdm(desc=f"embedding ({references[reference]})", unit="chunk", disable=None, leave=False) as bar:
            update_vectors(store, corpus.id, embedders[reference], partial(_advance, bar))
    return report


def told(report: IndexReport) -> str:
    """Return what an index run came to, in words: one line, and one more for each file that was skipped."""
    parts = {"added": report.added, "changed": report.changed, "deleted": report.deleted, "unchanged": report.unchanged}
    line = ", ".join(f"{len(sources)} {what}" for what, sources in parts.items() if sources)
    if report.is_unchanged:
        line = f"unchanged, {len(report.unchanged)} documents"
    skipped = [f"skipped {skipped.source!r}: {skipped.reason}" for skipped in report.skipped]
    return "\n".join([f"index: {line}", *skipped])


def _advance(bar: tqdm[Never], done: int, total: int) -> None:
    bar.total = total
    bar.update(done)
