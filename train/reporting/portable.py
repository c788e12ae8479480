"""Write a model's folder in the format that all releases of sentence-transformers read, and servers of embeddings.

Why: release 6 names its modules by new paths and writes pooling and length in a new form. Releases before it, and so
infinity, cannot load such a folder; it still reads the old form itself, as most models on the hub have it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

OLD_PATH = "sentence_transformers.models."
POOLINGS = ("cls_token", "mean_tokens", "max_tokens", "mean_sqrt_len_tokens", "weightedmean_tokens", "lasttoken")
MODULES, POOLING, LENGTH, TOKENIZER = (
    "modules.json",
    "config.json",
    "sentence_bert_config.json",
    "tokenizer_config.json",
)
OURS = "sentence_transformers."


def make_portable(folder: Path) -> None:
    """Rewrite a folder's module names, pooling and length in the old form. What has it already stays. Raises OSError.

    A folder whose pooling the old form cannot name stays as it is: only release 6 can serve it.
    """
    if not (folder / MODULES).is_file():
        return
    modules = json.loads((folder / MODULES).read_text("utf-8"))
    rewritten: dict[Path, Any] = {folder / MODULES: [_module(each) for each in modules]}
    for each in rewritten[folder / MODULES]:
        if each["type"] == f"{OLD_PATH}Pooling":
            config = folder / each["path"] / POOLING
            pooling = _pooling(json.loads(config.read_text("utf-8")))
            if pooling is None:
                return
            rewritten[config] = pooling
        if each["type"] == f"{OLD_PATH}Transformer" and (tokens := _length(folder / each["path"])):
            rewritten[folder / each["path"] / LENGTH] = {"max_seq_length": tokens, "do_lower_case": False}
    for path, given in rewritten.items():
        path.write_text(json.dumps(given, indent=2) + "\n", "utf-8")


def _module(each: Mapping[str, Any]) -> dict[str, Any]:
    """Return a module with its old name; another library's keeps its own."""
    kind = str(each["type"])
    return {**each, "type": OLD_PATH + kind.rpartition(".")[2] if kind.startswith(OURS) else kind}


def _pooling(config: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the old form of a pooling's settings, None where it has none."""
    if "pooling_mode" not in config:
        return dict(config)
    mode = str(config["pooling_mode"])
    chosen = next((name for name in POOLINGS if mode in (name, name.partition("_token")[0])), None)
    if chosen is None:
        return None
    flags = {f"pooling_mode_{name}": name == chosen for name in POOLINGS}
    size = config["embedding_dimension"]
    return {"word_embedding_dimension": size, **flags, "include_prompt": config.get("include_prompt", True)}


def _length(folder: Path) -> int:
    """Return how many tokens a model reads, by its tokenizer; 0 where that is not known or said already."""
    told = json.loads((folder / LENGTH).read_text("utf-8")) if (folder / LENGTH).is_file() else {}
    if "max_seq_length" in told or not (folder / TOKENIZER).is_file():
        return 0
    most = json.loads((folder / TOKENIZER).read_text("utf-8")).get("model_max_length", 0)
    return most if isinstance(most, int) and 0 < most < 10**6 else 0
