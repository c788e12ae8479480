"""Show what is read of a document and where it is cut: `python -m rag show`.

A path on the disk is read as an index run would read it now; any other name is that of an indexed document.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rag.cli import counted
from rag.errors import UnknownDocument, Unreadable
from rag.indexing.file_report import FileReport, load_file_report
from rag.indexing.update import make_chunker
from rag.ingest.chunking import CountTokens
from rag.ingest.corpus import load_corpus
from rag.ingest.discovery import ARCHIVES, MAILBOXES
from rag.ingest.documents import read_document
from rag.loaders.formats import LOADERS, not_read, suffix_of
from rag.models.arms import arm_models
from rag.models.embedder import load_embedder
from rag.records import Document, chunks_of
from rag.settings import Settings
from rag.store.store import open_store


@dataclass(frozen=True, slots=True)
class ShownChunk:
    """A chunk as it is cut: `text` stands at document.text[start:end]; `tokens` by the start model's tokenizer."""

    start: int
    end: int
    pages: str
    heading: str
    tokens: int
    text: str


@dataclass(frozen=True, slots=True)
class ShownDocument:
    """A document as it is read. `lost` says what could not be read, `guessed` what was guessed; "" if nothing."""

    source: str
    title: str
    date: str
    kind: str
    indexed: bool
    lost: str
    guessed: str
    characters: int
    chunks: tuple[ShownChunk, ...]

    def as_json(self) -> dict[str, Any]:
        """Return all fields, as `--json` prints them."""
        return asdict(self)


def show_document(settings: Settings, name: str) -> ShownDocument:
    """Return the file at a path as it would be indexed, or the indexed document of this source.

    Raises Unreadable with the reason, UnknownDocument where there is neither, BadModel and StoreFailed.
    """
    path = Path(name)
    if path.is_file() and path.suffix.lower() not in (*ARCHIVES, *MAILBOXES):
        return _read(settings, name, path)
    corpus = load_corpus(settings)
    store = open_store(settings.lancedb)
    try:
        named = (store.documents.read(corpus.id, each) for each in _sources(settings, name))
        found = next(filter(None, named), [])
    finally:
        store.close()
    if not found:
        raise UnknownDocument(_why_unknown(name, path))
    count_tokens, _ = _chunker(settings)
    return shown_as_indexed(found[0], count_tokens, load_file_report(settings, corpus))


def shown(
    document: Document, count_tokens: CountTokens, *, indexed: bool, lost: str = "", guessed: str = ""
) -> ShownDocument:
    """Return a document with its chunks and their tokens."""
    chunks = chunks_of(document)
    counts = count_tokens([chunk.text for chunk in chunks]) if chunks else []
    cut = tuple(
        ShownChunk(chunk.start, chunk.end, chunk.pages, chunk.heading, tokens, chunk.shown)
        for chunk, tokens in zip(chunks, counts, strict=True)
    )
    loader = LOADERS.get(suffix_of(Path(document.source)))
    kind = loader.kind if loader else ""
    return ShownDocument(
        document.source, document.title, document.date, kind, indexed, lost, guessed, len(document.text), cut
    )


def shown_as_indexed(document: Document, count_tokens: CountTokens, report: FileReport | None) -> ShownDocument:
    """Return an indexed document, with what the report says of its file."""
    record = report.record(document.source) if report else None
    lost, guessed = (record.reason, record.note) if record else ("", "")
    return shown(document, count_tokens, indexed=True, lost=lost, guessed=guessed)


def format_document(document: ShownDocument) -> Iterator[str]:
    """Yield the lines that `rag show` prints: what was read, then each chunk under a line that says where it is cut."""
    yield f"file      {document.source}{' (as indexed)' if document.indexed else ''}"
    yield f"title     {document.title}"
    facts = {"date": document.date, "kind": document.kind, "lost": document.lost, "guessed": document.guessed}
    yield from (f"{name:10}{value}" for name, value in facts.items() if value)
    yield f"text      {counted(document.characters, 'character')}, {counted(len(document.chunks), 'chunk')}"
    for number, chunk in enumerate(document.chunks, start=1):
        yield f"\n--- {' | '.join(_cut(number, chunk))}"
        yield chunk.text


def _cut(number: int, chunk: ShownChunk) -> Sequence[str]:
    page = f"page {chunk.pages}" if chunk.pages else ""
    parts = (f"chunk {number}", f"{chunk.start} to {chunk.end}", f"{chunk.tokens} tokens", page, chunk.heading)
    return [part for part in parts if part]


def _read(settings: Settings, name: str, path: Path) -> ShownDocument:
    if suffix_of(path) not in LOADERS:
        raise Unreadable(f"{name}: {not_read(suffix_of(path))}")
    count_tokens, chunk_tokens = _chunker(settings)
    try:
        document, remark = read_document(name, path, count_tokens=count_tokens, chunk_tokens=chunk_tokens)
    except Unreadable as error:
        raise Unreadable(f"{name}: {error}") from error
    return shown(document, count_tokens, indexed=False, lost=remark.lost, guessed=remark.note)


def _sources(settings: Settings, name: str) -> Iterator[str]:
    """Yield the names by which a document may be indexed: as given, and its path within a documents folder."""
    if name:
        yield name
        whole = Path(name).absolute()
        yield from (
            whole.relative_to(folder.absolute()).as_posix()
            for folder in settings.docs
            if whole.is_relative_to(folder.absolute())
        )


def _why_unknown(name: str, path: Path) -> str:
    """Return why there is no such document, and the next step."""
    if name and path.is_dir():
        return f"{name!r} is a folder: name a file in it, or see `python -m rag index --list` for all of them"
    holder = path if path.is_file() else next((above for above in path.parents if above.is_file()), None)
    if holder is not None:
        inside = "name one of the documents in it" if holder == path else "no document of that name is indexed"
        return f"{str(holder)!r} holds documents: {inside}, such as {holder.name + '/NAME'!r}, after `rag index`"
    see = "check the path, or see `python -m rag index --list`"
    return f"{name!r} is neither a file nor the name of an indexed document: {see}"


def _chunker(settings: Settings) -> tuple[CountTokens, int]:
    """Return the tokenizer and the limit that `rag index` chunks with."""
    models = arm_models(settings, load_corpus(settings).folders_id).values()
    references = dict.fromkeys([settings.start_model, *(reference for _, reference in models)])
    embedders = {reference: load_embedder(reference, settings) for reference in references}
    return make_chunker(settings, embedders[settings.start_model], embedders.values())
