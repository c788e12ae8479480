"""Take a version out and in: push a folder that plain sentence-transformers loads, pull a model as a version.

Why no training pairs go out: they are questions and passages of the documents, and the model needs none of them.
"""

from __future__ import annotations

import re
import shutil
from datetime import UTC, datetime
from pathlib import Path

from rag.errors import BadModel, BadSetting, first_line
from rag.models.embedder import load_embedder
from rag.models.registry import ENTRY_FILE, Registry, Version
from rag.models.weights import BUILTIN, is_adapter, model_folder, require_safe
from rag.settings import Settings
from rag.store.durability import make_folder, sync_tree
from train.dataset.earlier_versions import HELD_OUT, PAIRS
from train.reporting.portable import make_portable
from train.tuning.version_folder import CARD, RECIPE

HUB = "hub:"  # before a name on the hub: a folder that does not exist yet may be called user/name, too
OURS = frozenset({PAIRS, HELD_OUT, RECIPE, ENTRY_FILE})  # in a version's folder, and of no use to anybody else
BUILTIN_LICENCE = "apache-2.0"  # of all-MiniLM-L6-v2, whose weights the built-in ones are
ABOUT_PAIRS = re.compile(rf"^- `{re.escape(PAIRS)}` next to this card.*\n", re.MULTILINE)  # a line of the model card
PULLED = "pulled from {source}: not judged here, and what it was trained on is not known"


def push(settings: Settings, name: str, target: str, *, licence: str = "", public: bool = False) -> str:
    """Write a version to a new folder, or to a repository of the hub (`hub:user/name`); return where it is.

    Weights, configuration and model card go out; training pairs and the list of held-out queries stay. Raises BadModel
    for an adapter, BadSetting where the base model's licence is not known, and for a folder that exists.
    """
    version = Registry(settings.models).version(name)
    source = Registry(settings.models).model_folder(version)
    if is_adapter(str(source)):
        raise BadModel(f"{name} is a query adapter, which has no weights of its own: push a version of a full training")
    if not source.is_dir():
        raise BadModel(f"{source}: the weights of {name} are gone: restore them from a backup")
    known = licence or licence_of(version.started_from, settings)
    if not known:
        raise BadSetting(
            f"{version.started_from}: its licence is not in its model card, and {name} is derived from it: look it up, "
            "and name it with --licence"
        )
    if target.startswith(HUB):
        draft = settings.cache / "push" / name
        shutil.rmtree(draft, ignore_errors=True)
        try:
            write_folder(source, draft, known)
            return _upload(draft, target.removeprefix(HUB), public)
        finally:
            shutil.rmtree(draft, ignore_errors=True)
    folder = Path(target).expanduser()
    if folder.exists():
        raise BadSetting(f"{folder}: is there already, and nothing is overwritten: name another, or {HUB}user/name")
    write_folder(source, folder, known)
    return str(folder)


def write_folder(source: Path, folder: Path, licence: str) -> None:
    """Copy a version's folder without what is only ours, and put the licence into its card. Raises BadSetting."""
    from huggingface_hub import ModelCard

    try:
        shutil.copytree(source, folder, ignore=lambda _, names: OURS & {*names})
        make_portable(folder)
        path = folder / CARD
        card = ModelCard(path.read_text("utf-8") if path.is_file() else f"# thumbtune {source.name}\n")
        card.text = ABOUT_PAIRS.sub("", card.text)
        card.data["license"] = licence
        path.write_text(str(card), "utf-8")
    except OSError as error:
        shutil.rmtree(folder, ignore_errors=True)
        raise BadSetting(f"{folder}: cannot be written ({error.strerror}): name a place that can") from error


def licence_of(reference: str, settings: Settings) -> str:
    """Return the licence of a base model as its model card gives it, "" where it does not."""
    from huggingface_hub import ModelCard

    if reference == BUILTIN:
        return BUILTIN_LICENCE
    try:
        text = (model_folder(reference, settings) / CARD).read_text("utf-8")
        return str(ModelCard(text).data.get("license") or "")
    except (BadModel, OSError, ValueError):
        return ""


def _upload(folder: Path, name: str, public: bool) -> str:
    """Upload a folder to the hub and return its address. Raises BadModel."""
    from huggingface_hub import HfApi

    api = HfApi()
    try:
        where = api.create_repo(name, private=not public, exist_ok=True)
        api.upload_folder(repo_id=name, folder_path=str(folder), commit_message="Push by thumbtune")
    except (OSError, ValueError, RuntimeError) as error:  # its own errors are among these
        raise BadModel(
            f"{name}: the hub did not take it ({first_line(error)}): log in with `hf auth login`, or push to a folder"
        ) from error
    return str(where)


def pull(settings: Settings, folders: str, source: str) -> Version:
    """Take a model in as a new version for these documents folders, unpromoted: a folder, or a name on the hub.

    Raises BadModel for what does not load without running somebody's code.
    """
    reference = source.removeprefix(HUB)
    weights = model_folder(reference, settings)
    if is_adapter(str(weights)):
        raise BadModel(f"{source}: a query adapter belongs to the model it was fitted on: train it here with --fast")
    require_safe(reference, weights)
    registry = Registry(settings.models)
    name = registry.next_name()
    folder = settings.models / name
    draft = folder.with_name(f".{name}.draft")
    try:
        make_folder(settings.models)
        shutil.rmtree(draft, ignore_errors=True)
        shutil.copytree(weights, draft, ignore=lambda _, names: OURS & {*names})
        fingerprint = load_embedder(str(draft), settings).fingerprint
        sync_tree(draft)
        draft.replace(folder)
    except OSError as error:
        raise BadModel(f"{source}: cannot be copied to {folder} ({error.strerror}): make room") from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    version = Version(
        name, folders, fingerprint, reference, "pulled", "keep", PULLED.format(source=source), datetime.now(UTC)
    )
    registry.add(version)
    return version
