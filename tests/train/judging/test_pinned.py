"""A pin is broken where a user would not be shown its passage any more, and not where a keyword match shows it."""

from __future__ import annotations

import numpy as np

from fakes import make_chunk
from rag.feedback.pins import PINS_FILE, Pin, write_pins
from rag.models.embedder import adapt, load_embedder
from rag.settings import Settings
from train.judging.contenders import Candidate
from train.judging.pinned import broken_by_challenger

CHUNKS = [make_chunk(f"the {thing} sleeps in the house", f"{thing}.md") for thing in ("cat", "dog", "fish", "bird")]


def test_a_passage_that_a_keyword_match_shows_is_not_lost(settings: Settings) -> None:
    settings = settings.model_copy(update={"k": 2, "explore": 1})
    model = load_embedder(settings.start_model, settings)
    vectors = model.embed_documents([chunk.text for chunk in CHUNKS])
    query = CHUNKS[0].text
    write_pins(settings.home / PINS_FILE, [Pin(query, CHUNKS[0].text, "cat.md")])
    away = adapt(model, -2.0 * np.eye(model.dim, dtype=np.float32), "v1")  # finds what is least alike
    champion, challenger = Candidate("now", model, vectors), Candidate("v1", away, vectors)

    def words(query: str) -> dict[str, float]:
        return {CHUNKS[0].id: 2.0, CHUNKS[1].id: 1.0}

    both = settings, champion, challenger, CHUNKS
    assert [pin.query for pin in broken_by_challenger(*both)] == [query]
    assert broken_by_challenger(*both, by_words=lambda: words) == []
    without = settings.model_copy(update={"explore": 0})
    assert len(broken_by_challenger(without, champion, challenger, CHUNKS, by_words=lambda: words)) == 1
