"""Pairs -> new weights: sentence-transformers' trainer, MatryoshkaLoss around MultipleNegativesRankingLoss.

The idea a reader would miss: the prompts that serve must train. The trainer adds none by itself, so each column gets
the one that encode_query or encode_document would add.
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

NICE = 5  # so that answering goes first
CHECKPOINTS = 4  # in a training: what an interruption costs is a quarter of it
WHOLE = "whole"  # an empty file in a checkpoint that was written to its end
LORA_LAYERS = "all-linear"  # whatever a family calls them

Loss = Callable[[SentenceTransformer], torch.nn.Module]
Looked = Callable[[str], None]  # told the name of a state of the weights, while the model has it


@dataclass(frozen=True, slots=True)
class TuningResult:
    """What a tuning did: steps made, how many examples were seen, mean loss (a sum over dimensions), seconds."""

    steps: int
    examples: int
    loss: float
    seconds: float


def lower_priority(threads: int) -> None:
    """Let this process use so many threads, at a lower priority than whoever answers questions."""
    torch.set_num_threads(threads)
    if hasattr(os, "nice"):
        os.nice(max(0, NICE - os.nice(0)))


def tune(
    model: SentenceTransformer,
    pairs: Sequence[Pair],
    recipe: Recipe,
    *,
    look: Looked | None = None,
    checkpoints: Path | None = None,
) -> TuningResult:
    """Train the model in place on pairs with one hard negative each, or with none, and say what was done.

    `look` is called after each epoch. With a
    folder for `checkpoints` a training that broke off there goes on where it was. The same pairs and seed on one thread
    give the same weights. Raises NotEnoughFeedback where no step can be made.
    """
    if not pairs:
        raise ValueError("no pairs to train on")
    rows = schedule(pairs, recipe.epochs, recipe.seed)
    began = time.monotonic()
    if recipe.lora:
        torch.manual_seed(recipe.seed)  # the trainer fixes it only later, and the update begins at random
        _add_lora(model, recipe.lora)
    with _quiet(), tempfile.TemporaryDirectory() as scratch:
        trainer = _Trainer(
            model=model,
            args=_arguments(model, recipe, str(checkpoints or scratch), rows, keep=checkpoints is not None),
            train_dataset=_columns(rows),
            loss=_loss(model, recipe),
            callbacks=[_ProgressBar(), _Marking(), *([_Looking(look, recipe.epochs)] if look else [])],
        )
        trainer.remove_callback(PrinterCallback)
        if not len(trainer.get_train_dataloader()):
            raise NotEnoughFeedback(
                f"no step can be made from {len(pairs)} pairs: they lead to too few different passages to fill a "
                "batch: rate answers from other documents, too"
            )
        done = trainer.train(resume_from_checkpoint=checkpoints is not None and _has_whole_one(checkpoints))
    if recipe.lora:
        _merge_lora(model)
    model.eval()
    seen = sum(map(len, islice(trainer.apart, done.global_step * trainer.args.world_size)))
    return TuningResult(done.global_step, seen, float(done.training_loss), time.monotonic() - began)


def write_weights(model: SentenceTransformer, folder: Path) -> None:
    """Write a model's weights into a folder, without a card: the library's quotes users' questions."""
    with _quiet():
        model.save_pretrained(str(folder), create_model_card=False)


class _Trainer(SentenceTransformerTrainer):
    apart: _SiblingsApart  # the batches of this training

    def get_batch_sampler(self, *given: Any, **named: Any) -> _SiblingsApart:  # noqa: ANN401
        """Return the sampler of the arguments, and remember it: it knows which rows were seen."""
        self.apart = cast(_SiblingsApart, super().get_batch_sampler(*given, **named))
        return self.apart

    def add_model_card_callback(self, default_args_dict: dict[str, Any]) -> None:
        """Make no model card: it would quote users' questions, and looks the start model up on a hub."""


def _loss(model: SentenceTransformer, recipe: Recipe) -> torch.nn.Module:
    """Return the loss that the recipe names; a cached one holds one mini batch in memory, not the whole batch."""
    size = recipe.mini_batch
    cached = CachedMultipleNegativesRankingLoss
    inner: torch.nn.Module = cached(model, mini_batch_size=size) if size else MultipleNegativesRankingLoss(model)
    return inner if recipe.loss == "mnrl" else MatryoshkaLoss(model, inner, list(recipe.dims))


def _columns(pairs: Sequence[Pair]) -> Dataset:
    """Return the columns in the order that the loss reads them: anchor, positive and, if all have one, negative."""
    columns = {"anchor": [pair.query for pair in pairs], "positive": [pair.positive for pair in pairs]}
    if all(pair.negatives for pair in pairs):
        columns["negative"] = [pair.negatives[0] for pair in pairs]
    return Dataset.from_dict(columns)


def _arguments(
    model: SentenceTransformer, recipe: Recipe, folder: str, rows: Sequence[Pair], *, keep: bool
) -> SentenceTransformerTrainingArguments:
    on_cpu = model.device.type == "cpu"
    arguments = SentenceTransformerTrainingArguments(
        output_dir=folder,
        num_train_epochs=1,  # of rows that hold each pair as often as it is seen
        per_device_train_batch_size=recipe.batch,
        learning_rate=recipe.rate,
        lr_scheduler_type="linear",
        warmup_steps=WARM_UP,
        weight_decay=0.0,
        bf16=recipe.bf16,
        seed=recipe.seed,
        batch_sampler=partial(_SiblingsApart, ids=[pair.positive_id for pair in rows]),
        prompts=_prompts(model),
        use_cpu=on_cpu,
        ddp_backend="gloo" if on_cpu and "WORLD_SIZE" in os.environ else None,  # torchrun's processes on processors
        dataloader_pin_memory=not on_cpu,
        save_strategy="steps" if keep else "no",
        save_steps=max(1, len(rows) // recipe.batch // CHECKPOINTS),
        save_total_limit=1,
        logging_strategy="no",
        report_to="none",
        disable_tqdm=True,  # its bar tells losses summed over dimensions, which mean nothing to a user
    )
    arguments._n_gpu = min(1, arguments.n_gpu)  # several GPUs would split a batch, and with it its negatives
    return arguments


class _SiblingsApart(NoDuplicatesBatchSampler):
    """Batches in which no text stands twice, and no chunk by two of its questions; `ids` are the rows' chunks.

    What is left of a chunk without one sentence is not the text that is left without another, and as right for both.
    The library tells the trainer how many batches there were if all were full, and the trainer stops there: rows of
    chunks that many ask for would never be seen. So all count that are at least half full; smaller ones past that
    would be steps on little but one chunk. Under torchrun the library wants full ones only (`drop_last`).
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
            self._batches[self.epoch] = []  # the length meanwhile, which the library would fill by a second pass
            full = math.ceil(len(self.dataset) / self.batch_size)
            found = enumerate(super().__iter__())
            self._batches[self.epoch] = [each for n, each in found if n < full or 2 * len(each) >= self.batch_size]
        return self._batches[self.epoch]


def _prompts(model: SentenceTransformer) -> dict[str, str]:
    """Return each column's prompt, chosen as encode_query and encode_document choose it."""
    query = model.prompts.get("query") or ""
    document = next((model.prompts[name] for name in ("document", "passage", "corpus") if name in model.prompts), "")
    return {"anchor": query, "positive": document or "", "negative": document or ""}


def _add_lora(model: SentenceTransformer, rank: int) -> None:
    from peft import LoraConfig

    model.add_adapter(LoraConfig(r=rank, lora_alpha=2 * rank, lora_dropout=0.0, target_modules=LORA_LAYERS))


def _merge_lora(model: SentenceTransformer) -> None:
    """Add the low-rank updates to the weights they belong to, so that what is saved is a plain model."""
    from peft.tuners.lora import LoraLayer

    names = model.active_adapters()
    for parent in list(model.modules()):
        for name, layer in list(parent.named_children()):
            if isinstance(layer, LoraLayer):
                layer.merge()
                setattr(parent, name, layer.base_layer)
    model.delete_adapter(names)  # else the library takes it for one that has them still, and cannot save it


def _has_whole_one(checkpoints: Path) -> bool:
    """Return whether there is a checkpoint to go on from, once those are deleted that were stopped half-way."""
    for folder in checkpoints.glob("checkpoint-*"):
        if not (folder / WHOLE).exists():
            shutil.rmtree(folder, ignore_errors=True)
    return any(checkpoints.glob("checkpoint-*"))


class _Marking(TrainerCallback):
    """Marks each checkpoint once it is whole: who stops a training may do so while one is written."""

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ANN401
        if state.is_world_process_zero:
            (Path(args.output_dir) / f"checkpoint-{state.global_step}" / WHOLE).touch()


class _Looking(TrainerCallback):
    """Has the weights looked at after each epoch but the last, which is looked at anyway."""

    def __init__(self, look: Looked, epochs: int) -> None:
        self._look, self._epochs = look, epochs

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ANN401
        for epoch in range(1, self._epochs):
            if state.global_step == state.max_steps * epoch // self._epochs:
                self._look(f"after epoch {epoch}")


class _ProgressBar(TrainerCallback):
    """A bar of steps with the time left, on a terminal only."""

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
    """Keep the libraries' advice to developers off the user's terminal; errors pass."""
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
