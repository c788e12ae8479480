"""An interrupted training leaves checkpoints for the same training only, and no version folders."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from safetensors import SafetensorError

from fakes import NOON
from rag.errors import StoreFailed, TrainingRefused
from rag.models.registry import Registry, Version
from rag.records import Pair
from rag.settings import Settings
from train.dataset.plan import TrainingOptions
from train.pipeline import checkpoints_for, explain_memory, new_version

PAIRS = [Pair("why?", "c1", "because", ("not so",)), Pair("how?", "c2", "like this", ("like that",))]


def test_the_same_training_finds_its_checkpoints_and_another_one_does_not(settings: Settings) -> None:
    place = checkpoints_for(settings, TrainingOptions(), PAIRS)
    assert place is not None
    assert place == checkpoints_for(settings, TrainingOptions(), PAIRS)
    others = [
        checkpoints_for(settings, TrainingOptions(seed=1), PAIRS),
        checkpoints_for(settings, TrainingOptions(), PAIRS[:1]),
        checkpoints_for(settings, TrainingOptions(), [replace(PAIRS[0], negatives=("other",)), PAIRS[1]]),
        checkpoints_for(settings, TrainingOptions(), [replace(PAIRS[0], weight=0.5), PAIRS[1]]),
        checkpoints_for(settings, TrainingOptions(), [replace(PAIRS[0], judges=not PAIRS[0].judges), PAIRS[1]]),
        checkpoints_for(settings.model_copy(update={"start_model": "other"}), TrainingOptions(), PAIRS),
    ]
    assert len({place, *others}) == 7


def test_what_another_training_left_is_deleted(settings: Settings) -> None:
    place, other = (
        checkpoints_for(settings, TrainingOptions(), PAIRS),
        checkpoints_for(settings, TrainingOptions(seed=1), PAIRS),
    )
    for folder in (place, other):
        assert folder is not None
        (folder / "checkpoint-10").mkdir(parents=True)
    checkpoints_for(settings, TrainingOptions(), PAIRS)
    assert place is not None
    assert [folder.name for folder in place.parent.iterdir()] == [place.name]
    assert (place / "checkpoint-10").exists()


@pytest.mark.parametrize(
    "order", [TrainingOptions(fast=True), TrainingOptions(kind="bootstrap")], ids=["fast", "bootstrap"]
)
def test_what_takes_seconds_keeps_no_checkpoints(settings: Settings, order: TrainingOptions) -> None:
    assert checkpoints_for(settings, order, PAIRS) is None


def write(settings: Settings, name: str) -> list[Path]:
    folders = [settings.models / name, settings.runs / name]
    for folder in folders:
        folder.mkdir(parents=True)
    return folders


@pytest.mark.parametrize("error", [KeyboardInterrupt(), ValueError("a mistake of ours")])
def test_whatever_stops_a_training_takes_its_folders_away(settings: Settings, error: BaseException) -> None:
    folders: list[Path] = []

    def stopped() -> None:
        with new_version(settings, Registry(settings.models)) as name:
            folders.extend(write(settings, name))
            raise error

    with pytest.raises(type(error)):
        stopped()
    assert len(folders) == 2
    assert not any(folder.exists() for folder in folders)


@pytest.mark.parametrize(
    ("error", "why"),
    [
        (OSError("No space left on device"), "No space left on device"),
        (SafetensorError("Error while serializing: I/O error"), "Error while serializing: I/O error"),
        (RuntimeError("[enforce fail at inline_container.cc:672] . unexpected pos 9 vs 8"), "the disk is full .*"),
    ],
)
def test_a_full_disk_is_one_line_with_what_to_do(settings: Settings, error: Exception, why: str) -> None:
    def stopped() -> None:
        with new_version(settings, Registry(settings.models)) as name:
            write(settings, name)
            raise error

    with pytest.raises(StoreFailed, match=rf"v1 cannot be written \({why}\): free some space"):
        stopped()


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes. Error code 12"),
        RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB"),
    ],
)
def test_running_out_of_memory_is_one_line_with_what_to_do(error: Exception) -> None:
    with pytest.raises(TrainingRefused, match="the memory ran out; what served before serves on"), explain_memory():
        raise error


def test_another_error_of_torch_keeps_its_traceback() -> None:
    with pytest.raises(RuntimeError, match="shapes"), explain_memory():
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")


def test_a_version_that_is_recorded_stays_whatever_happens_then(settings: Settings) -> None:
    registry, folders = Registry(settings.models), write(settings, "v1")

    def stopped() -> None:
        with new_version(settings, registry) as name:
            registry.add(Version("v2", "f", "f", "builtin", "ratings", "keep", "no line", NOON))
            folders.extend(write(settings, name))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stopped()
    assert all(folder.exists() for folder in folders)
