"""Repair what is damaged in a home folder. A damaged file is moved to damaged/TIME, in the place it had, and kept."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path

from rag.errors import StoreFailed, ThumbtuneError
from rag.feedback.ratings import repair as derive_pairs
from rag.ingest.corpus import load_corpus
from rag.models.embedder import load_embedder
from rag.models.registry import ENTRY_FILE, REGISTRY_FILE, Registry, Version
from rag.settings import Settings
from rag.store import schema
from rag.store.store import open_store
from rag.store.table_health import repair_table, set_table_aside
from rag.training_results import METRICS_FILE
from rag.upkeep.damage import Damage, is_derived
from rag.upkeep.threads import salvage_threads

FOLDER = "damaged"


def repair(settings: Settings, found: Iterable[Damage]) -> Iterator[str]:
    """Repair what can be repaired, and yield one line on each. Raises StoreFailed where the disk does not allow it.

    Nothing else may use the home folder meanwhile (`in_use.only_user`).
    """
    aside = settings.home / FOLDER / datetime.now(UTC).strftime("%Y-%m-%dT%H-%M-%SZ")
    repairable = [each for each in found if each.repairable]
    try:
        for each in repairable:
            yield f"{each.what}: {_repair(settings, each, aside)}"
    except OSError as error:
        raise StoreFailed(f"{error.filename or settings.home}: {error.strerror}: nothing was deleted") from error
    if any(each.kind == "table" and not is_derived(each.name) for each in repairable):
        store = open_store(settings.lancedb)
        pairs = derive_pairs(store)
        store.close()
        if pairs:
            yield f"table {schema.TRAINING_PAIRS}: {pairs:,} pairs derived from the ratings"


def _repair(settings: Settings, damage: Damage, aside: Path) -> str:
    match damage.kind:
        case "table":
            to = aside / settings.lancedb.name / f"{damage.name}.lance"
            if is_derived(damage.name):
                set_table_aside(settings.lancedb, damage.name, to)
                return f"is in {to}: run `python -m rag index`, which makes it again"
            return repair_table(settings.lancedb, damage.name, to)
        case "registry" | "entry":
            return _rebuild(settings, aside)
        case "threads":
            return salvage_threads(settings.chat_db, aside)
        case "key":
            _move(settings.secret, aside / damage.name)
            return f"is in {aside}: the next start makes a new one"
        case _:
            (settings.home / damage.name).unlink()
            return "removed: it is made again"


def _rebuild(settings: Settings, aside: Path) -> str:
    """Make the registry again, of its former state and of the versions' folders."""
    file = settings.models / REGISTRY_FILE
    registry = Registry(settings.models)
    try:
        registry.versions()
    except StoreFailed:
        _move(file, aside / settings.models.name / file.name)
    folders = sorted(path for path in settings.models.glob("v*") if path.is_dir())
    lacking = [path for path in folders if not (path / ENTRY_FILE).is_file()]
    names = registry.rebuild(each for each in (_entry(settings, path) for path in lacking) if each)
    serving = registry.champion(load_corpus(settings).folders_id)
    served = f"{serving.name} serves" if serving else "the start weights serve: `python -m train promote` names another"
    return f"has {len(names)} versions again ({', '.join(names) or 'none'}); {served}"


def _entry(settings: Settings, folder: Path) -> Version | None:
    """Return the entry of a version of an earlier release, from its metrics: as trained on the current documents."""
    try:
        row = json.loads((settings.runs / folder.name / METRICS_FILE).read_text("utf-8"))
        return Version(
            name=folder.name,
            folders=load_corpus(settings).folders_id,
            fingerprint=load_embedder(str(folder), settings).fingerprint,
            started_from=row["config"]["start_model"],
            kind=row["kind"],
            verdict=row["gate"]["word"],
            summary=row["verdict"],
            created=datetime.fromtimestamp(folder.stat().st_mtime, UTC),
        )
    except (ThumbtuneError, OSError, ValueError, KeyError, TypeError):
        return None


def _move(path: Path, to: Path) -> None:
    if path.exists():
        to.parent.mkdir(parents=True, exist_ok=True)
        shutil.move(path, to)
