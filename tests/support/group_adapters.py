"""Adapters of groups that turn one question to one passage, which can be computed by hand."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from rag.groups import GROUPS_FILE
from rag.ingest.corpus import load_corpus
from rag.models.embedder import load_embedder
from rag.models.registry import Registry, Version, group_key
from rag.models.weights import ADAPTER, MATRIX
from rag.settings import Settings

STRONG = 100.0  # q + q (q' 100 x) is 100 x for a unit vector q, all but 1%


def write_groups(settings: Settings, *lines: str) -> Path:
    file = settings.home / GROUPS_FILE
    file.write_text("".join(f"{line}\n" for line in lines))
    return file


def add_adapter(settings: Settings, group: str, question: str, passage: str) -> Version:
    """Record an adapter of the start model for a group that finds this passage for this question, and promote it."""
    registry, folders = Registry(settings.models), load_corpus(settings).folders_id
    embedder = load_embedder(settings.start_model, settings)
    (query,), (chunk,) = embedder.embed_queries([question]), embedder.embed_documents([passage])
    name = registry.next_name()
    folder = settings.models / name
    folder.mkdir(parents=True)
    np.save(folder / MATRIX, STRONG * np.outer(query, chunk))
    named = {"model": settings.start_model, "fingerprint": embedder.query_fingerprint}
    (folder / ADAPTER).write_text(json.dumps(named))
    key, now = group_key(folders, group), datetime.now(UTC)
    version = Version(name, key, embedder.fingerprint, "start", "ratings", "promote", "VERDICT", now)
    registry.add(version)
    registry.promote(key, name)
    return version
