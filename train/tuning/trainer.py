"""Fine-tune a model on pairs with sentence-transformers: MatryoshkaLoss around MultipleNegativesRankingLoss.

Why prompts are set here: training must use the same prompts as serving, and the trainer adds none by itself. Each
column gets the prompt that encode_query or encode_document would add.

Under torchrun or accelerate a batch is divided among the processes (ranks), and the loss gathers the vectors of all of
them with gradients: each query meets every passage of the batch, as in one process, and the weights become the same.
"""

from __future__ import annotations

import logging
import math
import os
import shutil
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, cast

import torch
from datasets import Dataset
from sentence_transformers import SentenceTransformer, SentenceTransformerTrainer, SentenceTransformerTrainingArguments
from sentence_transformers.base.sampler import NoDuplicatesBatchSampler
from sentence_transformers.sentence_transformer.losses import (
    CachedMultipleNegativesRankingLoss,
    MatryoshkaLoss,
    MultipleNegativesRankingLoss,
)
from tqdm import tqdm
from transformers import PrinterCallback, TrainerCallback

from rag.errors import NotEnoughFeedback
from rag.records import Pair
from train import progress
from train.progress import TUNING, leads
from train.recipe import WARM_UP, Recipe, schedule
from train.tuning.reporters import POINTS, reporters

NICE = 5  # lower priority than answering
CHECKPOINTS = 4  # per training: an interruption loses at most a quarter
COMPLETE_MARKER = "whole"  # marker file in a checkpoint that is complete
PROJECT = "thumbtune"  # under which Trackio lists runs
LORA_LAYERS = "all-linear"  # by any name

Loss = Callable[[SentenceTransformer], torch.nn.Module]
OnEpoch = Callable[[str], None]  # called with the name of the current state of the weights


@dataclass(frozen=True, slots=True)
class Run:
    """How experiment trackers (`trackers`, by transformers' names) know a training; `say` gets what one failed with."""

    name: str
    trackers: Sequence[str]
    say: Callable[[str], None]


@dataclass(frozen=True, slots=True)
class TuningResult:
    """Statistics of a training: steps, examples used, mean loss (a sum over dimensions), seconds."""

    steps: int
    examples: int
    loss: float
    seconds: float


def lower_priority(threads: int) -> None:
    """Limit this process to `threads` threads, at a lower priority than the chat."""
    torch.set_num_threads(threads)
    if hasattr(os, "nice"):
        os.nice(max(0, NICE - os.nice(0)))


def tune(
    model: SentenceTransformer,
    pairs: Sequence[Pair],
    recipe: Recipe,
    *,
    on_epoch: OnEpoch | None = None,
    checkpoints: Path | None = None,
    run: Run | None = None,
) -> TuningResult:
    """Train the model in place on pairs, with one hard negative each or none, and return the statistics.

    `on_epoch` is called after each epoch but the last. With a folder for `checkpoints` an interrupted training resumes
    from there. `run` is how experiment trackers know the training. The same pairs and seed on one thread give the same
    weights. Raises NotEnoughFeedback where no batch can be filled.
    """
    if not pairs:
        raise ValueError("no pairs to train on")
    rows = schedule(pairs, recipe.epochs, recipe.seed)
    began = time.monotonic()
    if recipe.lora:
        torch.manual_seed(recipe.seed)  # the trainer sets the seed later, but LoRA weights start random
        _add_lora(model, recipe.lora)
    with _quiet(), tempfile.TemporaryDirectory() as scratch:
        trainer = _Trainer(
            model=model,
            args=_arguments(model, recipe, str(checkpoints or scratch), rows, run, keep=checkpoints is not None),
            train_dataset=_columns(rows),
            loss=_loss(model, recipe),
            callbacks=[
                _ProgressBar(),
                _MarkComplete(),
                *([_AfterEpoch(on_epoch, recipe.epochs)] if on_epoch else []),
                *(reporters(run.trackers, run.say) if run else []),
            ],
        )
        trainer.remove_callback(PrinterCallback)
        if not len(trainer.get_train_dataloader()):
            raise NotEnoughFeedback(
                f"{len(pairs)} pairs cannot fill a batch: they have too few different passages: rate answers "
                " from other documents, too"
            )
        done = trainer.train(resume_from_checkpoint=checkpoints is not None and _has_complete(checkpoints))
    if recipe.lora:
        _merge_lora(model)
    model.eval()
    used = sum(map(len, islice(trainer.sampler, done.global_step)))
    return TuningResult(done.global_step, used, float(done.training_loss), time.monotonic() - began)


def write_weights(model: SentenceTransformer, folder: Path) -> None:
    """Write a model's weights into a folder, without the library's model card, which quotes users' questions."""
    with _quiet():
        model.save_pretrained(str(folder), create_model_card=False)


class _Trainer(SentenceTransformerTrainer):
    sampler: _UniqueChunkSampler

    def get_batch_sampler(self, *given: Any, **named: Any) -> _UniqueChunkSampler:  # noqa: ANN401
        """Return the batch sampler, and keep it: it knows which rows were used."""
        self.sampler = cast(_UniqueChunkSampler, super().get_batch_sampler(*given, **named))
        return self.sampler

    def add_model_card_callback(self, default_args_dict: dict[str, Any]) -> None:
        """Skip the model card: it would quote users' questions, and look up the start model on the hub."""


def _loss(model: SentenceTransformer, recipe: Recipe) -> torch.nn.Module:
    """Return the recipe's loss; with mini-batches the cached variant, which keeps one mini-batch in memory."""
    size = recipe.mini_batch
    gather = _ranks() > 1
    inner: torch.nn.Module = (
        CachedMultipleNegativesRankingLoss(model, mini_batch_size=size, gather_across_devices=gather)
        if size
        else MultipleNegativesRankingLoss(model, gather_across_devices=gather)
    )
    return inner if recipe.loss == "mnrl" else MatryoshkaLoss(model, inner, list(recipe.dims))


def _ranks() -> int:
    """Return how many processes train together: torchrun and accelerate say it in the environment."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def _columns(pairs: Sequence[Pair]) -> Dataset:
    """Return the columns in the order of the loss: anchor, positive and, if all pairs have one, negative."""
    columns = {"anchor": [pair.query for pair in pairs], "positive": [pair.positive for pair in pairs]}
    if all(pair.negatives for pair in pairs):
        columns["negative"] = [pair.negatives[0] for pair in pairs]
    return Dataset.from_dict(columns)


def _arguments(
    model: SentenceTransformer, recipe: Recipe, folder: str, rows: Sequence[Pair], run: Run | None, *, keep: bool
) -> SentenceTransformerTrainingArguments:
    on_cpu, ranks = model.device.type == "cpu", _ranks()
    steps = len(rows) // recipe.batch
    arguments = SentenceTransformerTrainingArguments(
        output_dir=folder,
        num_train_epochs=1,  # the rows already repeat each pair for all epochs
        per_device_train_batch_size=ranks * math.ceil(recipe.batch / ranks),  # of all ranks, which divide it
        accelerator_config={"split_batches": ranks > 1},
        learning_rate=recipe.rate,
        lr_scheduler_type="linear",
        warmup_steps=WARM_UP,
        weight_decay=0.0,
        bf16=recipe.bf16,
        seed=recipe.seed,
        batch_sampler=partial(_UniqueChunkSampler, ids=[pair.positive_id for pair in rows]),
        prompts=_prompts(model),
        use_cpu=on_cpu,
        ddp_backend="gloo" if on_cpu and ranks > 1 else None,  # torchrun on CPUs
        dataloader_pin_memory=not on_cpu,
        save_strategy="steps" if keep else "no",
        save_steps=max(1, steps // CHECKPOINTS),
        save_total_limit=1,
        logging_strategy="steps" if run else "no",
        logging_steps=max(1, steps // POINTS),
        run_name=run.name if run else None,
        project=PROJECT,
        report_to="none",  # trackers are among the callbacks
        disable_tqdm=True,  # its bar shows losses summed over dimensions, which mean nothing to a user
    )
    arguments._n_gpu = min(1, arguments.n_gpu)  # several GPUs would split a batch and lose in-batch negatives
    return arguments


class _UniqueChunkSampler(NoDuplicatesBatchSampler):
    """Batches without duplicate texts and with each chunk at most once; `ids` are the chunk ids of the rows.

    Why by chunk id: two clozes of a chunk are different texts, yet each is relevant for the other's query, a false
    negative. Why `__len__` counts: the library reports the number of batches as if all were full, and the trainer
    stops there, so rows of frequent chunks would never be used. Here all batches count that are at least half full;
    smaller ones after that would hold little but one chunk. Under torchrun only full ones are used (`drop_last`).
    """

    def __init__(self, dataset: Dataset, *, ids: Sequence[str], **given: Any) -> None:  # noqa: ANN401
        super().__init__(dataset.add_column("chunk", list(ids)), **given)
        self._batches: dict[int, list[list[int]]] = {}  # by epoch

    def __iter__(self) -> Iterator[list[int]]:
        yield from self._planned()

    def __len__(self) -> int:
        return len(self._planned())

    def _planned(self) -> list[list[int]]:
        if self.epoch not in self._batches:
            self._batches[self.epoch] = []  # length 0 until planned: else the library makes a second pass
            full = math.ceil(len(self.dataset) / self.batch_size)
            found = enumerate(super().__iter__())
            self._batches[self.epoch] = [each for n, each in found if n < full or 2 * len(each) >= self.batch_size]
        return self._batches[self.epoch]


def _prompts(model: SentenceTransformer) -> dict[str, str]:
    """Return each column's prompt, as encode_query and encode_document choose it."""
    query = model.prompts.get("query") or ""
    document = next((model.prompts[name] for name in ("document", "passage", "corpus") if name in model.prompts), "")
    return {"anchor": query, "positive": document or "", "negative": document or ""}


def _add_lora(model: SentenceTransformer, rank: int) -> None:
    from peft import LoraConfig

    model.add_adapter(LoraConfig(r=rank, lora_alpha=2 * rank, lora_dropout=0.0, target_modules=LORA_LAYERS))


def _merge_lora(model: SentenceTransformer) -> None:
    """Merge the LoRA updates into the weights, so that a plain model is saved."""
    from peft.tuners.lora import LoraLayer

    names = model.active_adapters()
    for parent in list(model.modules()):
        for name, layer in list(parent.named_children()):
            if isinstance(layer, LoraLayer):
                layer.merge()
                setattr(parent, name, layer.base_layer)
    model.delete_adapter(names)  # else the library still expects adapters and cannot save it


def _has_complete(checkpoints: Path) -> bool:
    """Delete incomplete checkpoints, and return whether a complete one is left to resume from."""
    for folder in checkpoints.glob("checkpoint-*"):
        if not (folder / COMPLETE_MARKER).exists():
            shutil.rmtree(folder, ignore_errors=True)
    return any(checkpoints.glob("checkpoint-*"))


class _MarkComplete(TrainerCallback):
    """Marks each checkpoint when it is complete, since a training may be stopped while one is written."""

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ANN401
        if state.is_world_process_zero:
            (Path(args.output_dir) / f"checkpoint-{state.global_step}" / COMPLETE_MARKER).touch()


class _AfterEpoch(TrainerCallback):
    """Calls `on_epoch` after each epoch but the last, whose weights the caller has anyway."""

    def __init__(self, on_epoch: OnEpoch, epochs: int) -> None:
        self._on_epoch, self._epochs = on_epoch, epochs

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ANN401
        for epoch in range(1, self._epochs):
            if state.global_step == state.max_steps * epoch // self._epochs:
                self._on_epoch(f"after epoch {epoch}")


class _ProgressBar(TrainerCallback):
    """Progress bar of steps; drawn on a terminal only."""

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ANN401
        self._bar = tqdm(
            total=state.max_steps, desc=TUNING, unit="step", disable=None if leads() else True, leave=False
        )
        self._bar.update(state.global_step)

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ANN401
        self._bar.update()
        progress.now().step(TUNING, state.global_step, state.max_steps)

    def on_train_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ANN401
        self._bar.close()


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence warnings of the libraries, which are meant for developers; errors pass."""
    names = ("transformers", "sentence_transformers", "datasets", "accelerate")
    levels = {name: logging.getLogger(name).level for name in names}
    try:
        for name in names:
            logging.getLogger(name).setLevel(logging.ERROR)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)
