"""A version's folder: what is written is read back, and it is complete or absent."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from safetensors import SafetensorError

from rag.records import Pair
from train.dataset.earlier_versions import trained_pairs
from train.recipe import Recipe, with_current_loss
from train.tuning.version_folder import save, trained_recipe

PAIRS = [
    Pair("wo schläft die Katze?", "c1", "im Haus", ("im Garten", "am Fluß"), 0.5),
    Pair('a "quoted"\nquery\u2028here', "c2", "text"),
]
RECIPE = Recipe(epochs=3, batch=16, rate=1e-4, dims=(384, 64), loss="mnrl", lora=8, mini_batch=4, seed=7, bf16=True)


def weights(folder: Path) -> None:
    (folder / "model.safetensors").write_bytes(b"weights")


def test_pairs_and_recipe_come_back_as_they_went_in(tmp_path: Path) -> None:
    folder = tmp_path / "models" / "v1"
    save(folder, weights, PAIRS, RECIPE)
    assert trained_pairs(folder) == PAIRS
    assert trained_recipe(folder) == RECIPE
    assert [path.name for path in folder.parent.iterdir()] == ["v1"]


def test_a_recipe_with_a_loss_that_was_removed_is_still_read(tmp_path: Path) -> None:
    save(tmp_path / "v1", weights, PAIRS, RECIPE)
    path = tmp_path / "v1" / "recipe.json"
    path.write_text(path.read_text("utf-8").replace("mnrl", "gist"), "utf-8")
    recipe = trained_recipe(tmp_path / "v1")
    assert recipe is not None
    assert recipe.loss == "gist"  # what the version was trained with
    assert with_current_loss(recipe) == replace(RECIPE, loss="matryoshka")
    assert with_current_loss(RECIPE) == RECIPE


def test_an_adapter_has_no_recipe_and_foreign_weights_no_pairs_either(tmp_path: Path) -> None:
    save(tmp_path / "v1", weights, PAIRS, None)
    assert trained_pairs(tmp_path / "v1") == PAIRS
    assert trained_recipe(tmp_path / "v1") is None
    assert trained_pairs(tmp_path / "elsewhere") == []
    assert trained_recipe(tmp_path / "elsewhere") is None


@pytest.mark.parametrize("error", [OSError("No space left on device"), SafetensorError("No space left on device")])
def test_weights_that_cannot_be_written_leave_nothing(tmp_path: Path, error: Exception) -> None:
    def full(folder: Path) -> None:
        weights(folder)
        raise error

    with pytest.raises(OSError, match="No space left"):
        save(tmp_path / "v1", full, PAIRS, RECIPE)
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_training_left_of_a_version_is_no_part_of_the_next(tmp_path: Path) -> None:
    draft = tmp_path / ".v1.draft"
    draft.mkdir()
    (draft / "half.bin").touch()
    save(tmp_path / "v1", weights, PAIRS, RECIPE)
    assert sorted(path.name for path in (tmp_path / "v1").iterdir()) == [
        "model.safetensors",
        "pairs.jsonl",
        "recipe.json",
    ]


def test_a_folder_that_is_taken_stays_as_it_is(tmp_path: Path) -> None:
    taken = tmp_path / "v1"
    taken.mkdir()
    (taken / "something").touch()
    with pytest.raises(OSError, match="v1"):
        save(taken, weights, PAIRS, RECIPE)
    assert [path.name for path in tmp_path.iterdir()] == ["v1"]
    assert [path.name for path in taken.iterdir()] == ["something"]
