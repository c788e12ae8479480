"""Say once that most documents are not in the language that the built-in embedding model was trained on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from rag.ingest.corpus import Corpus
from rag.languages import ENGLISH, guess_language
from rag.settings import Settings
from rag.store.store import Store

BUILTIN = "builtin"
SAMPLED = 100  # documents, evenly spaced in the list
NOTE = (
    "{foreign} of {known} documents that were looked at are not in English (most: {most}), and the built-in model was"
    " trained on English. On the same questions it finds the correct passage among five for 97% in English, 69% in"
    " German; hybrid search for 89% in German. What helps: THUMBTUNE_SEARCH=hybrid, a multilingual model in"
    " THUMBTUNE_BASE_MODEL and THUMBTUNE_START_MODEL, or training (docs/how-to/choose-embedding-models.md)."
)


def language_note(settings: Settings, store: Store, corpus: Corpus) -> str:
    """Return the note where most documents are not English and an arm uses the built-in model, else ""."""
    if BUILTIN not in (settings.base_model, settings.start_model):
        return ""
    sources = [source for source, _, _ in store.documents.sizes(corpus.id)]
    sampled = sources[:: max(1, len(sources) // SAMPLED)][:SAMPLED]
    return note_on(document.text for document in store.documents.read_sources(corpus.id, sampled))


def note_on(texts: Iterable[str]) -> str:
    """Return the note on documents of these texts; "" where half of those whose language is known are English."""
    languages = Counter(filter(None, map(guess_language, texts)))
    known, foreign = languages.total(), languages.total() - languages[ENGLISH]
    if foreign * 2 <= known:
        return ""
    del languages[ENGLISH]
    return NOTE.format(foreign=foreign, known=known, most=languages.most_common(1)[0][0])
