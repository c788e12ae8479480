"""Say once that most documents are not in the language that the built-in embedding model was trained on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from rag.ingest.corpus import Corpus
from rag.languages import ENGLISH, guess_language
from rag.settings import Settings
from rag.store.store import Store

BUILTIN = "builtin"
SAMPLED = 100  # documents, evenly spaced in the list
# Correct passages among the first five, in percent: the built-in model, and with hybrid search (docs/log.md).
FOUND = {
    ENGLISH: ("English", 97, 98),
    "German": ("German", 69, 89),
    "Spanish": ("Spanish", 65, 93),
    "Chinese or Japanese": ("Chinese", 36, 93),
    "Arabic script": ("Arabic", 10, 66),
}
USUAL = ("German", "Chinese or Japanese")  # are named for a language that was not measured
HELP = (
    "a multilingual model in THUMBTUNE_BASE_MODEL and THUMBTUNE_START_MODEL, or training"
    " (docs/how-to/choose-embedding-models.md)."
)


def language_note(settings: Settings, store: Store, corpus: Corpus) -> str:
    """Return the note where most documents are not English and an arm uses the built-in model, else ""."""
    if BUILTIN not in (settings.base_model, settings.start_model):
        return ""
    sources = [source for source, _, _ in store.documents.sizes(corpus.id)]
    sampled = sources[:: max(1, len(sources) // SAMPLED)][:SAMPLED]
    texts = (document.text for document in store.documents.read_sources(corpus.id, sampled))
    return note_on(texts, is_hybrid=settings.search == "hybrid")


def note_on(texts: Iterable[str], *, is_hybrid: bool = False) -> str:
    """Return the note on documents of these texts; "" where half of those whose language is known are English."""
    languages = Counter(filter(None, map(guess_language, texts)))
    known, foreign = languages.total(), languages.total() - languages[ENGLISH]
    if foreign * 2 <= known:
        return ""
    del languages[ENGLISH]
    most = languages.most_common(1)[0][0]
    note = (
        f"{foreign} of {known} documents that were looked at are not in English (most: {most}), and the built-in model"
        " was trained on English. On the same questions "
    )
    measured = [FOUND[each] for each in (ENGLISH, *((most,) if most in FOUND else USUAL))]
    alone = _listed([(language, share) for language, share, _ in measured])
    both = _listed([(language, share) for language, _, share in measured])
    finds = "finds the correct passage among five for"
    if is_hybrid:
        return f"{note}it and keyword search together {finds} {both}. What helps: {HELP}"
    return f"{note}it {finds} {alone}; with hybrid search for {both}. What helps: THUMBTUNE_SEARCH=hybrid, {HELP}"


def _listed(shares: Sequence[tuple[str, int]]) -> str:
    """Return "97% in English, 69% in German and 36% in Chinese"."""
    *first, last = [f"{share}% in {language}" for language, share in shares]
    return f"{', '.join(first)} and {last}"
