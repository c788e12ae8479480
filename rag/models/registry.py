"""Model registry: versions, one champion for each set of documents folders, promote and roll back.

The state is one file, models/registry.json, replaced atomically: a reader sees the old state or the new one. Writers
hold a lock file next to it; in a shared home the file is an object, put only if nobody has changed it meanwhile. Where
a set of folders has no champion, the start weights serve, and in side-by-side comparisons the version on trial, if
there is one. A group of raters may have a champion of its own for these folders: its versions are recorded under
`group_key`, folders and group, and where it has none that of everybody serves it. Each change of champion is appended
to a log, with who made it and why.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from filelock import FileLock

from rag.errors import StoreFailed, UnknownVersion
from rag.evaluation.evidence import NO_EVIDENCE, Evidence
from rag.home_address import fetched, refreshed, shared_home
from rag.store.durability import make_folder, sync_paths

if TYPE_CHECKING:
    from rag.models.precision import Precision

START_WEIGHTS = "start weights"  # what people read where no version has been promoted
SHARED = "the shared model"  # the same for a group: what serves everybody
REGISTRY_FILE, FORMER_FILE = "registry.json", "registry.former.json"  # now, and before its last change
ENTRY_FILE = "version.json"  # a version's entry, in its own folder: the registry can be made of these
RUNS = "runs"  # beside the models: the report of each training, which belongs to its version
LOCK_SECONDS = 10
GROUP = " "  # between the id of a set of folders and a group's name


@dataclass(frozen=True, slots=True)
class Version:
    """A trained model. `started_from` names the model its weights began as, `summary` is its VERDICT line."""

    name: str
    folders: str
    fingerprint: str
    started_from: str
    kind: Literal["ratings", "bootstrap", "pulled"]
    verdict: Literal["promote", "keep"]
    summary: str
    created: datetime

    @property
    def group(self) -> str:
        """Return the group whose ratings it was trained on and that it may serve, "" for everybody."""
        return self.folders.partition(GROUP)[2]


def group_key(folders: str, group: str) -> str:
    """Return under which name a group's versions, champions and evidence on these folders are recorded."""
    return f"{folders}{GROUP}{group}" if group else folders


Mover = Literal["gate", "hand", "rollback"]


@dataclass(frozen=True, slots=True)
class Move:
    """A promotion or rollback: `name` is what serves these folders from then on, a version or the start weights."""

    folders: str
    name: str
    by: Mover
    reason: str
    at: datetime


class Registry:
    """The versions under one models folder. Every call reads the file again: it is small and others write it too."""

    def __init__(self, folder: Path, file: str = REGISTRY_FILE) -> None:
        self.folder = folder
        self._file = folder / file
        self._shared = shared_home(folder.parent)

    def versions(self) -> list[Version]:
        """Return all versions, oldest first."""
        return [_read_version(row) for row in self._state()["versions"]]

    def version(self, name: str) -> Version:
        """Return one version, or raise UnknownVersion with the names there are."""
        for version in self.versions():
            if version.name == name:
                return self._fetched(version)
        known = ", ".join(version.name for version in self.versions()) or "none yet"
        raise UnknownVersion(f"{name}: no such version (there are: {known}); see `python -m train list`")

    def find(self, name: str) -> Version | None:
        """Return the version of this name, or None for the start weights. Raises UnknownVersion."""
        return None if name == START_WEIGHTS else self.version(name)

    def model_folder(self, version: Version) -> Path:
        """Return where a version's weights lie."""
        return self.folder / version.name

    def champion(self, folders: str) -> Version | None:
        """Return the version that serves these documents folders, or None for the start model's weights."""
        line = self._state()["champions"].get(folders, [])
        return self.find(line[-1]) if line else None

    def group_champions(self, folders: str) -> dict[str, Version]:
        """Return the groups that have a champion of their own for these folders, with it."""
        state = self._state()
        rows = {row["name"]: row for row in state["versions"]}
        ends = {key: line[-1] for key, line in state["champions"].items() if line and key.startswith(folders + GROUP)}
        named = {key.partition(GROUP)[2]: _read_version(rows[name]) for key, name in ends.items() if name in rows}
        return {group: self._fetched(version) for group, version in named.items()}

    def on_trial(self, folders: str) -> Version | None:
        """Return the version that answers in comparisons while these folders have no champion, or None."""
        state = self._state()
        name = state.get("trials", {}).get(folders)
        return self.find(name) if name and not state["champions"].get(folders) else None

    def bootstrapped(self, folders: str) -> Version | None:
        """Return the bootstrap made for these folders, promoted or kept, or None where there was none."""
        made = [version for version in self.versions() if version.folders == folders and version.kind == "bootstrap"]
        return made[-1] if made else None

    def why_no_bootstrap(self, folders: str) -> str:
        """Return why these folders get no bootstrap, as a line for the user; empty where they are due one."""
        champion, made = self.champion(folders), self.bootstrapped(folders)
        if champion:
            return f"bootstrap: not needed, {champion.name} already serves these documents"
        if made:
            trial = " and is on trial" if self.on_trial(folders) == made else ""
            until = f"the {START_WEIGHTS} serve until answers are rated"
            return f"bootstrap: already tried, {made.name} was not promoted{trial}; {until}"
        return ""

    def next_name(self) -> str:
        """Return the name that the next version gets: v1, v2, ... A number is never used twice."""
        taken = [int(version.name[1:]) for version in self.versions()]
        names = [path.name for path in self.folder.glob("v*")]
        names += self._shared.names_in(self.folder.name) if self._shared else []
        taken += [int(name[1:]) for name in names if name[:1] == "v" and name[1:].isdigit()]
        return f"v{max(taken, default=0) + 1}"

    def add(self, version: Version) -> None:
        """Record a version without serving it. Its weights must lie in their folder already.

        In a shared home its folders are put into the store first. Raises StoreFailed.
        """
        row = {**asdict(version), "created": version.created.isoformat()}
        folder = self.model_folder(version)
        if self._shared:
            for part in (self.folder.name, RUNS):
                if (self.folder.parent / part / version.name).is_dir():
                    self._shared.put_folder(f"{part}/{version.name}")

        def edit(state: dict[str, Any]) -> None:
            if self._shared and any(each["name"] == version.name for each in state["versions"]):
                raise StoreFailed(f"{version.name}: another process has made a version of this name: run it again")
            state["versions"].append(row)
            if not self._shared and folder.is_dir():
                _replace(folder / ENTRY_FILE, json.dumps(row, indent=2))

        self._change(edit)

    def try_out(self, folders: str, name: str) -> None:
        """Let a version answer in comparisons until one is promoted; its table must be complete. Or UnknownVersion."""
        self.version(name)

        def edit(state: dict[str, Any]) -> None:
            state.setdefault("trials", {})[folders] = name

        self._change(edit)

    def promote(
        self,
        folders: str,
        name: str,
        by: Mover = "hand",
        reason: str = "",
        precision: Precision | None = None,
        base: str = "",
    ) -> None:
        """Let a version, or the start weights, serve these folders, in this precision (None: the native one).

        It was measured with this base model, too. Both arms' tables must be complete in it already. A trial ends.
        Raises UnknownVersion.
        """
        self.find(name)

        def edit(state: dict[str, Any]) -> None:
            chosen = {"precision": precision, "base": base}
            state.setdefault("precision", {}).setdefault(folders, {})[name] = chosen
            state.get("trials", {}).pop(folders, None)
            line = state["champions"].setdefault(folders, [])
            if name != (line[-1] if line else START_WEIGHTS):
                line.append(name)
                _log(state, folders, name, by, reason)

        self._change(edit)

    def abstain_below(self, corpus: str, ranking: str) -> float | None:
        """Return below which cosine of its best hit a model does not answer, by its Embedder's `query_fingerprint`.

        None where nothing was measured on chunks cut like these, or no cosine tells.
        """
        value: float | None = self._state().get("abstain_below", {}).get(corpus, {}).get(ranking)
        return value

    def set_abstain_below(self, corpus: str, values: Mapping[str, float | None]) -> None:
        """Record these thresholds, by ranking; None takes one away. The other ones stay."""
        self._change(lambda state: state.setdefault("abstain_below", {}).setdefault(corpus, {}).update(values))

    def evidence(self, folders: str, account: str) -> Evidence:
        """Return what the trainings on these folders showed that are counted together, by the name of their account."""
        row = self._state().get("evidence", {}).get(folders, {}).get(account)
        return Evidence(**{**row, "queries": frozenset(row["queries"])}) if row else NO_EVIDENCE

    def set_evidence(self, folders: str, account: str, evidence: Evidence) -> None:
        """Record the evidence of an account with one more training."""
        row = {**asdict(evidence), "queries": sorted(evidence.queries)}
        self._change(lambda state: state.setdefault("evidence", {}).setdefault(folders, {}).update({account: row}))

    def precision(self, folders: str, version: Version | None, base: str) -> Precision | None:
        """Return in which precision both arms serve with a champion (None: the start weights), given a base model.

        None if that was not measured: another base model may lose more by the same rounding.
        """
        name = version.name if version else START_WEIGHTS
        chosen = self._state().get("precision", {}).get(folders, {}).get(name)
        measured: Precision | None = (
            chosen["precision"] if isinstance(chosen, dict) and chosen["base"] == base else None
        )
        return measured

    def moves(self, folders: str) -> list[Move]:
        """Return what was promoted and rolled back for these folders, oldest first, since there is a log."""
        rows = [row for row in self._state().get("log", []) if row["folders"] == folders]
        return [Move(**{**row, "at": datetime.fromisoformat(row["at"])}) for row in rows]

    def has_served(self, version: Version) -> bool:
        """Return whether a version serves its documents or did so before, since there is a log."""
        return any(move.name == version.name for move in self.moves(version.folders))

    def promoted_at(self, folders: str) -> datetime | None:
        """Return since when these folders are served by what serves them now, or None where that was not logged."""
        moves = self.moves(folders)
        return moves[-1].at if moves else None

    def previous(self, folders: str) -> Version | None:
        """Return what a rollback would go back to, None for the start weights. Raises UnknownVersion at the start."""
        line = self._state()["champions"].get(folders, [])
        if not line:
            everybody = f"these documents are served by the {START_WEIGHTS}"
            now = f"this group is served by {SHARED}" if GROUP in folders else everybody
            raise UnknownVersion(f"nothing to roll back: {now}")
        return self.find(line[-2]) if len(line) > 1 else None

    def former(self, folders: str) -> list[str]:
        """Return the names of what served these folders before, latest first, down to the start weights."""
        line = self._state()["champions"].get(folders, [])
        return [name for name in reversed(line[:-1]) if name != line[-1]] + [START_WEIGHTS]

    def rollback(self, folders: str) -> Version | None:
        """Move the champion pointer back by one, and return what serves now. Raises UnknownVersion at the start."""
        before = self.previous(folders)
        expected = self._state()["champions"][folders]

        def edit(state: dict[str, Any]) -> None:
            if state["champions"].get(folders) != expected:
                raise StoreFailed("another process has changed what serves meanwhile: see `python -m train list`")
            left = state["champions"][folders].pop()
            _log(state, folders, before.name if before else START_WEIGHTS, "rollback", f"back from {left}")

        self._change(edit)
        return before

    def stamp(self) -> tuple[int, int]:
        """Return something that changes whenever the registry is written; cheap enough to ask every second."""
        try:
            stat = refreshed(self._file).stat()
        except FileNotFoundError:
            return (0, 0)
        return (stat.st_mtime_ns, stat.st_ino)

    def _state(self) -> dict[str, Any]:
        try:
            return self._parse(refreshed(self._file).read_text())
        except FileNotFoundError:
            return {"versions": [], "champions": {}}
        except OSError as error:
            raise self._damaged(str(error)) from error

    def _parse(self, text: str) -> dict[str, Any]:
        try:
            state: dict[str, Any] = json.loads(text)
        except ValueError as error:
            raise self._damaged(str(error)) from error
        try:
            lines = [_read_version(row).name for row in state["versions"]], *state["champions"].values()
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise self._damaged("it has another shape") from error
        if not all(isinstance(line, list) for line in lines):
            raise self._damaged("it has another shape")
        return state

    def _damaged(self, why: str) -> StoreFailed:
        if self._shared:
            where = f"{self._shared.address}/{self.folder.name}/{REGISTRY_FILE}"
            return StoreFailed(f"{where}: cannot be read ({why}): restore it from the bucket's versions")
        return StoreFailed(f"{self._file}: cannot be read ({why}): run `python -m rag doctor --repair`")

    def rebuild(self, add: Iterable[Version] = ()) -> list[str]:
        """Replace a file that cannot be read; return the names of the versions in it.

        By what it was before its last change, the entries in the versions' folders, and those given.
        """
        try:
            former = Registry(self.folder, FORMER_FILE)
            former.versions()
            state = former._state()
        except StoreFailed:
            state = {"versions": [], "champions": {}}
        entries = [each for each in map(_read_entry, sorted(self.folder.glob(f"v*/{ENTRY_FILE}"))) if each]
        known = {row["name"] for row in state["versions"]}
        for version in sorted({each.name: each for each in (*add, *entries)}.values(), key=lambda each: each.created):
            if version.name not in known:
                state["versions"].append({**asdict(version), "created": version.created.isoformat()})
        _replace(self._file, json.dumps(state, indent=2))
        return [row["name"] for row in state["versions"]]

    def fence(self, token: int) -> None:
        """Note which training of a shared home has the say now: one that has lost its turn can no longer promote."""

        def edit(state: dict[str, Any]) -> None:
            state["fence"] = token

        self._change(edit)

    def _fetched(self, version: Version) -> Version:
        """Return a version whose folder is here: in a shared home, fetched with the model that it adapts."""
        if self._shared:
            from rag.models.weights import is_adapter, model_behind

            folder = fetched(self.model_folder(version))
            if is_adapter(str(folder)) and (model := Path(model_behind(str(folder)))).parent == self.folder:
                fetched(model)
        return version

    def _change(self, edit: Callable[[dict[str, Any]], object]) -> None:
        """Replace the file by what `edit` makes of the state; it is called again where another writer was faster."""

        def changed(data: bytes | None) -> bytes:
            state = self._parse(data.decode()) if data else {"versions": [], "champions": {}}
            edit(state)
            return json.dumps(state, indent=2).encode()

        if self._shared:
            self._shared.file(self._file).change(changed, self._shared.require_leases)
            return
        try:
            make_folder(self.folder)
            with FileLock(self.folder / "registry.lock", timeout=LOCK_SECONDS):
                state = self._state()
                former = json.dumps(state, indent=2)
                edit(state)
                _replace(self.folder / FORMER_FILE, former)
                _replace(self._file, json.dumps(state, indent=2))
        except OSError as error:  # filelock's Timeout is one too
            raise StoreFailed(f"{self._file}: cannot be written ({error}): what served before serves on") from error


def _log(state: dict[str, Any], folders: str, name: str, by: Mover, reason: str) -> None:
    move = Move(folders, name, by, reason, datetime.now(UTC))
    state.setdefault("log", []).append({**asdict(move), "at": move.at.isoformat()})


def _replace(path: Path, text: str) -> None:
    """Write a file to the disk so that a reader, or a crash, finds either the old text or the new one."""
    draft = path.with_name(f"{path.name}.{os.getpid()}")
    with draft.open("w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
    sync_paths(path.parent)


def _read_entry(path: Path) -> Version | None:
    """Return the entry in a version's folder, None where it cannot be read."""
    try:
        return _read_version(json.loads(path.read_text("utf-8")))
    except (OSError, ValueError, TypeError, KeyError):
        return None


def _read_version(row: dict[str, Any]) -> Version:
    return Version(**{**row, "created": datetime.fromisoformat(row["created"])})
