"""Read and write a version's folder: weights, training pairs, recipe, model card.

Why the pairs are kept: the champion may have been trained on test queries of the next training; then its recipe is
retrained on its own pairs without those.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

from safetensors import SafetensorError

from rag.models.weights import is_adapter, read_adapter
from rag.records import Pair
from rag.store.durability import make_folder, sync_paths, sync_tree
from train.dataset.earlier_versions import PAIRS
from train.recipe import Recipe

RECIPE, CARD = "recipe.json", "README.md"


def save(folder: Path, write_weights: Callable[[Path], None], pairs: Sequence[Pair], recipe: Recipe | None) -> None:
    """Write weights, pairs and recipe, atomically: the folder is complete or absent. Raises OSError.

    `write_weights` is called with the folder to write into. An adapter has no recipe.
    """
    make_folder(folder.parent)
    draft = folder.with_name(f".{folder.name}.draft")
    shutil.rmtree(draft, ignore_errors=True)  # left by a training that was killed
    draft.mkdir()
    try:
        write_weights(draft)
        (draft / PAIRS).write_text("".join(json.dumps(asdict(pair)) + "\n" for pair in pairs), "utf-8")
        if recipe:
            (draft / RECIPE).write_text(json.dumps(asdict(recipe), indent=2), "utf-8")
        sync_tree(draft)  # so that a power cut leaves no champion without its weights
        draft.replace(folder)
        sync_paths(folder.parent)
    except SafetensorError as error:  # safetensors raises its own error on a full disk
        raise OSError(str(error)) from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def missing(folder: Path) -> Path | None:
    """Return the missing folder of a version's weights, or None; an adapter needs its model's folder too."""
    if not folder.is_dir() or not is_adapter(str(folder)):
        return None if folder.is_dir() else folder
    model = Path(read_adapter(folder)[0])
    return model if model.is_absolute() and not model.is_dir() else None


def trained_recipe(folder: Path) -> Recipe | None:
    """Return the recipe of a version; None for weights from elsewhere, and for an adapter."""
    path = folder / RECIPE
    if not path.exists():
        return None
    row = json.loads(path.read_text("utf-8"))
    return Recipe(**{**row, "dims": tuple(row["dims"])})
