"""Find what is damaged in a home folder: tables, registry, versions, chats, key, caches."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from rag.errors import StoreFailed, ThumbtuneError, first_line
from rag.history import history_of
from rag.home_address import address_of
from rag.models.registry import FORMER_FILE, REGISTRY_FILE, Registry, Version
from rag.models.weights import ADAPTER, has_adapter, is_adapter, read_adapter
from rag.settings import Settings
from rag.store import schema
from rag.store.store import open_store
from rag.store.table_health import TableHealth, check_table, table_names
from rag.upkeep.threads import check_threads

Kind = Literal["table", "gap", "registry", "entry", "version", "threads", "key", "cache"]
WEIGHTS = "model.safetensors"
HEADER_BYTES = 8  # a safetensors file begins with the length of its header, in so many bytes
KEY_CHARS = 64  # of the file `secret`
BACKUP = "`python -m rag restore` takes it from a backup"
DERIVED = (schema.DOCUMENTS, schema.CHUNKS)  # tables that `rag index` makes again


@dataclass(frozen=True, slots=True)
class Damage:
    """Something that is damaged: what, why, and what to do about it. `name` is the table's, version's or file's."""

    kind: Kind
    name: str
    why: str
    step: str
    repairable: bool = True

    @property
    def line(self) -> str:
        """Return the damage in one line."""
        return f"{self.what}: {self.why}: {self.step}"

    @property
    def what(self) -> str:
        """Return the damaged thing in words."""
        return f"{self.kind} {self.name}" if self.kind in ("table", "version") else self.name


@dataclass(frozen=True, slots=True)
class Examination:
    """All that was found in a home folder."""

    tables: tuple[TableHealth, ...]
    damage: tuple[Damage, ...]


def examine(settings: Settings, progress: Callable[[str], None] = lambda _: None) -> Examination:
    """Read everything in a home folder and return what is damaged; changes nothing.

    `progress` is called with the name of each table before it is read: a million vectors take seconds.
    """
    if address_of(settings.home):
        return _examine_shared(settings, progress)
    tables = []
    for name in table_names(settings.lancedb) if settings.lancedb.is_dir() else ():
        progress(name)
        tables.append(check_table(settings.lancedb, name))
    damage = [_of_table(table) for table in tables if table.damage]
    if settings.lancedb.is_dir() and not damage:
        damage += gaps(settings)
    damage += [*_registry(settings), *_threads(settings), *_key(settings), *_caches(settings)]
    return Examination(tuple(tables), tuple(damage))


def _examine_shared(settings: Settings, progress: Callable[[str], None]) -> Examination:
    """Do the same for a home on object storage, of which nothing can be repaired here but the cache."""
    store, tables = open_store(settings.lancedb), []
    try:
        for name in store.tables.names():
            progress(name)
            try:
                tables.append(TableHealth(name, store.tables.read_in_full(name)))
            except StoreFailed as error:
                tables.append(TableHealth(name, 0, str(error)))
    finally:
        store.close()
    step = "the bucket's versioning restores its objects"
    damage = [Damage("table", each.name, each.damage, step, repairable=False) for each in tables if each.damage]
    damage += [] if damage else gaps(settings)
    try:
        Registry(settings.models).versions()
    except StoreFailed as error:
        damage.append(Damage("registry", f"models/{REGISTRY_FILE}", str(error), step, repairable=False))
    return Examination(tuple(tables), (*damage, *_threads(settings), *_caches(settings)))


def gaps(settings: Settings) -> list[Damage]:
    """Return which tables lack what newer ones refer to."""
    store = open_store(settings.lancedb)
    try:
        found = store.feedback.gaps()
    finally:
        store.close()
    step = f"an older or missing table, or `rag forget` was interrupted: {BACKUP}"
    named = (line.partition(": ") for line in found)
    return [Damage("gap", table, why, step, repairable=False) for table, _, why in named]


def is_derived(table: str) -> bool:
    """Return whether `rag index` makes a table again."""
    return table.partition("__")[0] in DERIVED


def _of_table(table: TableHealth) -> Damage:
    if is_derived(table.name):
        step = "`--repair` moves it aside, and `python -m rag index` makes it again"
    elif table.name == schema.TRAINING_PAIRS:
        step = "`--repair` keeps what can be read and derives the rest from the ratings"
    else:
        step = f"`--repair` goes back to what can be read of it; {BACKUP}"
    return Damage("table", table.name, table.damage, step)


def _registry(settings: Settings) -> Iterator[Damage]:
    registry = Registry(settings.models)
    folders = {path.name: path for path in settings.models.glob("v*") if path.is_dir() and path.name[1:].isdigit()}
    try:
        versions = registry.versions()
    except StoreFailed as error:
        why = str(error).partition("(")[2].rpartition("):")[0]
        step = "`--repair` makes it of its former state and of the versions' folders"
        yield Damage("registry", f"models/{REGISTRY_FILE}", why, step)
        versions = []
    else:
        named = {version.name for version in versions}
        if folders and not versions and not (settings.models / REGISTRY_FILE).exists():
            step = "`--repair` makes it of its former state and of the versions' folders"
            yield Damage(
                "registry", f"models/{REGISTRY_FILE}", f"it is missing, and there are {len(folders)} versions", step
            )
        elif (settings.models / FORMER_FILE).exists():
            for name in sorted(folders.keys() - named):
                if (folders[name] / "version.json").is_file():
                    yield Damage("entry", f"models/{name}", "no entry in the registry", "`--repair` adds it")
    champions = _champions(settings)
    for version in versions:
        folder = registry.model_folder(version)
        if why := _why_unusable(folder):
            step = _step_without(registry, version, champions)
            yield Damage("version", version.name, why, step, repairable=False)


def _step_without(registry: Registry, version: Version, champions: set[str]) -> str:
    """Return what to do about a version whose weights cannot be used."""
    if version.name in champions:
        return f"it serves: {BACKUP}, or run `python -m train rollback`"
    if version == registry.on_trial(version.folders):
        return f"it is on trial: {BACKUP}, or run `python -m train promote start weights`"
    return BACKUP


def _champions(settings: Settings) -> set[str]:
    try:
        state: dict[str, Any] = json.loads((settings.models / REGISTRY_FILE).read_text("utf-8"))
        return {line[-1] for line in state["champions"].values() if line}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return set()


def _why_unusable(folder: Path) -> str:
    """Return why a version's weights cannot be used, "" where nothing is wrong with their files."""
    if not folder.is_dir():
        return "its folder is gone"
    if has_adapter(str(folder)):
        try:
            model, _, _ = read_adapter(folder)
        except ThumbtuneError as error:
            return f"{ADAPTER} cannot be read ({first_line(error)})"
    if is_adapter(str(folder)):
        return "" if not Path(model).is_absolute() or Path(model).is_dir() else f"its model {model} is gone"
    for path in sorted(folder.rglob("*.json")):
        try:
            json.loads(path.read_text("utf-8"))
        except (OSError, ValueError):
            return f"{path.relative_to(folder)} cannot be read"
    weights = folder / WEIGHTS
    if not weights.is_file():
        return f"{WEIGHTS} is missing"
    return _why_torn(weights)


def _why_torn(weights: Path) -> str:
    """Return what is wrong with a safetensors file by its header: it says how long the file is."""
    try:
        with weights.open("rb") as file:
            size = int.from_bytes(file.read(HEADER_BYTES), "little")
            if size > weights.stat().st_size:
                return f"{weights.name} is cut off"
            header: dict[str, Any] = json.loads(file.read(size))
        ends = [each["data_offsets"][1] for name, each in header.items() if name != "__metadata__"]
        if weights.stat().st_size != HEADER_BYTES + size + max(ends, default=0):
            return f"{weights.name} is cut off"
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return f"{weights.name} cannot be read"
    return ""


def _threads(settings: Settings) -> Iterator[Damage]:
    if why := check_threads(settings.chat_db):
        step = "`--repair` keeps the chats that can be read; stop the chat first"
        yield Damage("threads", settings.chat_db.name, why, step)
    if settings.history:
        place = history_of(settings)
        if fault := place.find_fault():
            yield Damage("threads", place.shown, fault.why, fault.step, repairable=False)


def _key(settings: Settings) -> Iterator[Damage]:
    if settings.secret.is_file() and settings.secret.stat().st_size < KEY_CHARS:
        step = f"`--repair` moves it aside, the next start makes a new one, and people are new raters; {BACKUP}"
        yield Damage("key", settings.secret.name, "it holds no key", step)


def _caches(settings: Settings) -> Iterator[Damage]:
    """Yield the files that can be made again and cannot be read."""
    models = [path for path in (settings.cache / "onnx").glob("*.onnx") if path.is_file()]
    for path, is_whole in [*((path, _is_json) for path in _cached(settings)), *((path, _is_onnx) for path in models)]:
        if not is_whole(path):
            name = path.relative_to(settings.home).as_posix()
            yield Damage("cache", name, "it cannot be read", "`--repair` removes it, and it is made again")


def _cached(settings: Settings) -> list[Path]:
    """Return the JSON files of a home folder that can be made again."""
    caches = [*settings.cache.glob("*.json"), *(settings.cache / "onnx").glob("*.json")]
    return sorted([*caches, *(settings.home / "reports").glob("*.json")])


def _is_json(path: Path) -> bool:
    try:
        json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return False
    return True


def _is_onnx(path: Path) -> bool:
    """Return whether a file begins as an ONNX model does: with its version, in the field of that number."""
    with path.open("rb") as file:
        return file.read(1) == b"\x08" and path.stat().st_size > HEADER_BYTES
