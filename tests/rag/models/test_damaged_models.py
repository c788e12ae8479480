"""Model folders that are damaged: one line that names the folder, whether the model is to serve or to be trained."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from rag.errors import BadModel
from rag.models import embedder
from rag.settings import Settings


def cut_in_half(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def empty(path: Path) -> None:
    path.write_bytes(b"")


def not_numbers(path: Path) -> None:
    save_file({name: np.full_like(weights, np.nan) for name, weights in load_file(path).items()}, path)


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        ("model.safetensors", cut_in_half),
        ("model.safetensors", empty),
        ("model.safetensors", Path.unlink),
        ("model.safetensors", not_numbers),
        ("config.json", cut_in_half),
        ("tokenizer.json", empty),
        ("modules.json", cut_in_half),
    ],
)
@pytest.mark.parametrize("load", [embedder.load_embedder, embedder.load_trainable])
def test_a_damaged_model_is_refused_in_one_line(
    settings: Settings, tiny_model: Path, tmp_path: Path, name: str, damage: Callable[[Path], None], load
) -> None:
    folder = tmp_path / "damaged"
    shutil.copytree(tiny_model, folder)
    found = next(iter(folder.rglob(name)), None)
    assert found, [str(path.relative_to(folder)) for path in folder.rglob("*")]
    damage(found)
    with pytest.raises(BadModel) as refused:
        load(str(folder), settings)
    assert str(folder) in str(refused.value)
    assert "\n" not in str(refused.value)
