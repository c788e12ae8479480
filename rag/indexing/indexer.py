"""Run the index update for both arms, with progress bars; used by the command line and the chat."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

from rag.indexing.language_note import language_note
from rag.indexing.progress import Progress, each_with_progress
from rag.indexing.running import IndexingStatus, publish_indexing
from rag.indexing.update import (
    STEP,
    IndexReport,
    changing_documents,
    keep_file_report,
    make_chunker,
    read_files,
    update_documents,
    update_vector_index,
    update_vectors,
    uploads_mirror,
)
from rag.ingest.corpus import load_corpus
from rag.ingest.discovery import SourceFile, check_exists
from rag.ingest.documents import Outcome, Skipped
from rag.ingest.workers import WorkerPool
from rag.models.arms import arm_models, arm_precision
from rag.models.embedder import Embedder, load_embedder
from rag.models.precision import Precision
from rag.records import Chunk, Document
from rag.settings import Settings
from rag.store.store import Store, open_store

if TYPE_CHECKING:
    from rag.indexing.on_ray import RayEngine

Load = Callable[[str, Settings, Precision | None], Embedder]


def index(settings: Settings) -> IndexReport:
    """Update the documents and both arms' tables from the files. Raises NoDocuments, BadModel and StoreFailed."""
    with Indexer(settings) as indexer:
        return indexer.run()


class Indexer:
    """Runs index updates, one after the other, with the same loaded models. Use it as a context manager.

    `load` loads a model, as load_embedder does. With an `engine` a cluster parses the files and embeds the chunks.
    """

    def __init__(self, settings: Settings, load: Load = load_embedder, engine: RayEngine | None = None) -> None:
        self._settings, self._engine = settings, engine
        self._load = engine.load if engine else load
        self._corpus = load_corpus(settings)
        self._embedders: dict[str, Embedder] = {}

    def __enter__(self) -> Indexer:
        self._store = open_store(self._settings.lancedb)
        return self

    def __exit__(self, *raised: object) -> None:
        self._store.close()

    def run(self) -> IndexReport:
        """Update the documents and both arms' tables from the files, under the lock of `changing_documents`."""
        with changing_documents(self._store), publish_indexing(self._settings.home) as status:
            if mirror := uploads_mirror(self._settings, self._corpus):
                mirror.fetch()
            return self._run(self._store, status)

    def build_vector_indexes(self) -> Iterator[str]:
        """Build vector indexes for tables that have become large; yield a line for each. Searches go on meanwhile."""
        for name, reference in dict.fromkeys(arm_models(self._settings, self._corpus.folders_id).values()):
            embedder = self._embedder(reference)
            table = self._store.chunks.table_name(self._corpus.id, embedder.fingerprint)
            if made := update_vector_index(self._store, table, embedder):
                yield f"search ({name}): {made}"

    def language_note(self) -> str:
        """Return a note where most documents are not in the built-in model's language, else ""."""
        return language_note(self._settings, self._store, self._corpus)

    def _run(self, store: Store, status: IndexingStatus) -> IndexReport:
        settings, corpus = self._settings, self._corpus
        for folder in settings.docs:
            check_exists(folder)
        models = arm_models(settings, corpus.folders_id).values()
        references = dict.fromkeys([*(reference for _, reference in models), settings.start_model])
        embedders = {reference: self._embedder(reference) for reference in references}
        arms = {name: embedders[reference] for name, reference in models}
        if all(store.chunks.ids(store.chunks.table_name(corpus.id, each.fingerprint)) for each in arms.values()):
            status.searchable()  # with what an earlier run has indexed

        def expected(files: list[SourceFile]) -> Iterable[SourceFile]:
            status.expect([source for source, _ in files])
            return each_with_progress("reading", "file", files)

        def noted() -> Iterator[Outcome]:
            for outcome in outcomes:
                if isinstance(outcome, Document | Skipped):
                    status.read(outcome.source)
                yield outcome

        outcomes = read_files(
            settings,
            corpus,
            store.documents.hashes(corpus.id),
            make_chunker(settings, embedders[settings.start_model], embedders.values()),
            expected,
            self._engine.pool if self._engine else WorkerPool,
        )
        report = update_documents(store, corpus, noted(), lambda so_far: self._embed(store, arms, so_far, status))
        keep_file_report(settings, corpus, report)
        self._embed(store, arms, report, status)
        return report

    def _embed(self, store: Store, arms: Mapping[str, Embedder], report: IndexReport, status: IndexingStatus) -> None:
        """Embed for each arm what was written so far, and count in the report what no run had embedded before."""
        new = {*report.added, *report.changed}
        for n, (name, embedder) in enumerate(arms.items()):
            is_new = not store.chunks.exists(store.chunks.table_name(self._corpus.id, embedder.fingerprint))
            with Progress(f"embedding ({name})", "chunk") as progress:
                old = 0

                def advance(done: int, total: int | None = None, progress: Progress = progress, arm: int = n) -> None:
                    progress.advance(done, total)
                    if progress.total:
                        status.embedded((arm + progress.done / progress.total) / len(arms))

                def tally(chunks: list[Chunk]) -> None:
                    nonlocal old
                    old += sum(chunk.source not in new for chunk in chunks)

                update_vectors(
                    *(store, self._corpus.id, embedder, advance, tally), self._engine.step if self._engine else STEP
                )
            if old:
                report.caught_up[f"{name}, a new table" if is_new else name] = old
        status.embedded(1.0)
        status.searchable()

    def _embedder(self, reference: str) -> Embedder:
        """Return a model in the precision it serves in now, which a promotion during a watch may change."""
        precision = arm_precision(self._settings, self._corpus.folders_id)
        known = self._embedders.get(reference)
        if known is None or known.precision not in (precision, None):
            self._embedders[reference] = self._load(reference, self._settings, precision)
        return self._embedders[reference]


def format_report(report: IndexReport, *, everything: bool = False) -> str:
    """Return a summary of an index run: what changed, a line per kind of file, and a line per file with trouble.

    With `everything` each file has a line.
    """
    parts = {"added": report.added, "changed": report.changed, "deleted": report.deleted, "unchanged": report.unchanged}
    line = ", ".join(f"{len(sources)} {what}" for what, sources in parts.items() if sources)
    if report.is_unchanged:
        line = f"unchanged, {len(report.unchanged)} documents"
    caught_up = [
        f"embedded {count:,} missing vectors ({name}) of documents that an earlier run has read"
        for name, count in report.caught_up.items()
    ]
    files = [*report.files.lines(), *report.files.details(everything=everything)]
    return "\n".join([f"index: {line}", *caught_up, *files])


def report_json(report: IndexReport) -> str:
    """Return an index run as one JSON object: sources by what happened to them, and the report on all files."""
    row = {
        "added": report.added,
        "changed": report.changed,
        "deleted": report.deleted,
        "unchanged": report.unchanged,
        "embedded_for_earlier_runs": report.caught_up,
        **report.files.as_json(),
    }
    return json.dumps(row, ensure_ascii=False, indent=1)
