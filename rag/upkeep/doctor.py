"""Check a home folder and what a question needs; print one line per check."""

from __future__ import annotations

from collections.abc import Iterator

from rag.history import DatabaseFailed, Place, history_of
from rag.home import open_home
from rag.indexing.language_note import language_note
from rag.ingest.corpus import load_corpus
from rag.models.arms import arm_models, arm_precision
from rag.models.embedder import load_embedder
from rag.settings import Settings
from rag.store.store import Store, open_store
from rag.upkeep.damage import Damage, Examination, examine
from rag.upkeep.in_use import only_user, require_folder
from rag.upkeep.repair import repair
from rag.upkeep.threads import count_threads


def check_home(settings: Settings, *, repairing: bool = False) -> tuple[list[str], tuple[Damage, ...]]:
    """Return one line on each thing that is damaged or was repaired, and what is damaged still. Raises StoreFailed.

    Nothing is repaired while a chat, a training or indexing runs.
    """
    if repairing:
        require_folder(settings.home)
    open_home(settings.home)
    found = examine(settings)
    lines = [f"home       {settings.home_name}"]
    if repairing and any(each.repairable for each in found.damage):
        with only_user(settings.home):
            lines += [f"repaired   {line}" for line in repair(settings, found.damage)]
        found = examine(settings)
    lines.append(f"tables     {_tables(found)}")
    if settings.history and not any(each.kind == "threads" for each in found.damage):
        lines.append(f"chats      {_chats(history_of(settings))}")
    lines += [f"damaged    {each.line}" for each in found.damage]
    return lines, found.damage


def check_question(settings: Settings) -> Iterator[str]:
    """Yield one line on each thing that a question needs. Raises ThumbtuneError at the first that is missing."""
    store, corpus = open_store(settings.lancedb), load_corpus(settings)
    yield f"documents  {len(store.documents.hashes(corpus.id))} indexed from {', '.join(map(str, settings.docs))}"
    for arm, (name, reference) in arm_models(settings, corpus.folders_id).items():
        embedder = load_embedder(reference, settings, arm_precision(settings, corpus.folders_id))
        state = _state(store, corpus.id, store.chunks.table_name(corpus.id, embedder.fingerprint))
        limits = f"{embedder.dim} dimensions, {embedder.max_tokens} tokens at most"
        yield f"{arm:10} {name}: {limits}, in {embedder.precision or 'whatever its endpoint computes in'}, {state}"
    yield f"answers    {settings.answerer}"
    if note := language_note(settings, store, corpus):
        yield f"language   {note}"
    store.close()


def _chats(place: Place) -> str:
    try:
        return f"{count_threads(place):,} in {place.shown}"
    except DatabaseFailed:
        return f"none yet in {place.shown}: the first start of the chat makes its tables"


def _tables(found: Examination) -> str:
    whole = [table for table in found.tables if not table.damage]
    return f"{len(whole)} read in full, {sum(table.rows for table in whole):,} rows"


def _state(store: Store, corpus_id: str, table: str) -> str:
    """Return in words whether a table covers its documents, and how it is searched."""
    lacks = store.chunks.diff(corpus_id, table).summary if store.chunks.exists(table) else "is not there"
    if lacks:
        return f"index incomplete: run `python -m rag index` (it {lacks})"
    return f"index complete, {store.chunks.vector_index(table) or 'exact search'}"
