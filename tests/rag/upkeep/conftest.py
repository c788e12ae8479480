"""A home folder with rated answers and two versions, as commands read it."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing

import pytest

from fakes import NOON, make_answer, make_hits
from rag.feedback.ratings import rate_answer
from rag.ingest.corpus import load_corpus
from rag.models.registry import Registry, Version
from rag.settings import Settings
from rag.store.store import open_store

RATED = 12


@pytest.fixture
def home(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Settings:
    for name in ("home", "base_model", "start_model", "chunk_tokens", "device"):
        monkeypatch.setenv(f"THUMBTUNE_{name.upper()}", str(getattr(settings, name)))
    monkeypatch.setenv("THUMBTUNE_DOCS", str(settings.docs[0]))
    store = open_store(settings.lancedb)
    for n in range(RATED):
        store.feedback.put_answer(make_answer(make_hits("cat", "dog"), cited=(1,), id=f"answer-{n}"))
        rate_answer(store, rater="ann", answer_id=f"answer-{n}", value=1, blind=True)
    store.close()
    registry, folders = Registry(settings.models), load_corpus(settings).folders_id
    for name in ("v1", "v2"):
        shutil.copytree(settings.start_model, settings.models / name)
        registry.add(Version(name, folders, "0", "builtin", "ratings", "promote", f"VERDICT: promote {name}", NOON))
        registry.promote(folders, name)
    with closing(sqlite3.connect(settings.chat_db)) as connection:
        connection.execute("CREATE TABLE threads (id TEXT PRIMARY KEY, name TEXT)")
        connection.executemany("INSERT INTO threads VALUES (?, ?)", [(str(n), "x" * 500) for n in range(100)])
        connection.commit()
    return settings
