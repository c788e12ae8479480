"""Pairs -> new weights: sentence-transformers' trainer, MatryoshkaLoss around MultipleNegativesRankingLoss.

The idea a reader would miss: the prompts that serve must train. The trainer adds none by itself, so each column gets
the one that encode_query or encode_document would add.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
import tempfile
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from safetensors import SafetensorError
from sentence_transformers import SentenceTransformer, SentenceTransformerTrainer, SentenceTransformerTrainingArguments
from sentence_transformers.base.sampler import BatchSamplers
from sentence_transformers.sentence_transformer.losses import MatryoshkaLoss, MultipleNegativesRankingLoss
from tqdm import tqdm
from transformers import PrinterCallback, TrainerCallback

from rag.records import Pair

DIMS = (512, 256, 128, 64)  # what people cut vectors to; those below the model's own size are trained too
SMALL_MODEL = 50_000_000  # parameters, MiniLM has 23
LEARNING_RATES = (1e-4, 2e-5)  # of a small model, as measured; of a larger one, as its makers advise
WARM_UP = 0.1  # of all steps
BATCH = 32
NICE = 5  # so that answering goes first


@dataclass(frozen=True, slots=True)
class Recipe:
    """How a model is tuned: how often each pair is seen, which random choices, whether in half precision."""

    epochs: int
    seed: int = 0
    bf16: bool = False


@dataclass(frozen=True, slots=True)
class Tuned:
    """What a tuning did: steps made, mean loss (a sum over dimensions), seconds."""

    steps: int
    batch: int
    learning_rate: float
    dims: tuple[int, ...]
    loss: float
    seconds: float


def matryoshka_dims(full: int) -> tuple[int, ...]:
    """Return the dimensions to train and to judge at: the full one first, then the usual smaller ones."""
    return (full, *(dim for dim in DIMS if dim < full)) if full > DIMS[-1] else (full, full // 2)


def batch_for(pairs: int) -> int:
    """Return the batch size: smaller where a large one would leave too few steps."""
    return max(2, min(BATCH, pairs // 4))


def give_way(threads: int) -> None:
    """Let this process use so many threads, at a lower priority than whoever answers questions."""
    torch.set_num_threads(threads)
    if hasattr(os, "nice"):
        os.nice(max(0, NICE - os.nice(0)))


def tune(model: SentenceTransformer, pairs: Sequence[Pair], recipe: Recipe) -> Tuned:
    """Train the model in place on pairs with one hard negative each, or with none, and say what was done.

    The same pairs and seed on one thread give the same weights. Raises ValueError where no step was made, which the
    trainer would pass over in silence.
    """
    if not pairs:
        raise ValueError("no pairs to train on")
    batch = batch_for(len(pairs))
    dims = matryoshka_dims(int(model.get_embedding_dimension() or 0))
    rate = LEARNING_RATES[sum(p.numel() for p in model.parameters()) > SMALL_MODEL]
    began = time.monotonic()
    with _quiet(), tempfile.TemporaryDirectory() as scratch:
        trainer = _Trainer(
            model=model,
            args=_arguments(model, recipe, scratch, batch, rate),
            train_dataset=_columns(pairs),
            loss=MatryoshkaLoss(model, MultipleNegativesRankingLoss(model), list(dims)),
            callbacks=[_ProgressBar()],
        )
        trainer.remove_callback(PrinterCallback)
        done = trainer.train()
    if done.global_step == 0:
        raise ValueError(f"no step was made from {len(pairs)} pairs: their texts are too alike to fill a batch")
    model.eval()
    return Tuned(done.global_step, batch, rate, dims, float(done.training_loss), time.monotonic() - began)


def save(model: SentenceTransformer, folder: Path, trained_on: Sequence[Pair]) -> None:
    """Save weights and the ids of the chunks they saw as positives; the folder appears whole or not at all."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    draft = folder.with_name(f".{folder.name}.draft")
    shutil.rmtree(draft, ignore_errors=True)  # of a training that was killed
    draft.mkdir()
    try:
        with _quiet():
            model.save_pretrained(str(draft), create_model_card=False)
        ids = sorted({pair.positive_id for pair in trained_on})
        (draft / "trained_on.json").write_text(json.dumps(ids))
        draft.replace(folder)
    except SafetensorError as error:  # it has its own error for a full disk
        raise OSError(str(error)) from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def trained_on(folder: Path) -> frozenset[str]:
    """Return the ids of the chunks that a saved model saw as positives; none for weights that are not ours."""
    path = folder / "trained_on.json"
    return frozenset(json.loads(path.read_text())) if path.exists() else frozenset()


class _Trainer(SentenceTransformerTrainer):
    def add_model_card_callback(self, default_args_dict: dict[str, Any]) -> None:
        """Make no model card: it would quote users' questions, and looks the start model up on a hub."""


def _columns(pairs: Sequence[Pair]) -> Dataset:
    """Return the columns in the order that the loss reads them: anchor, positive and, if all have one, negative."""
    columns = {"anchor": [pair.query for pair in pairs], "positive": [pair.positive for pair in pairs]}
    if all(pair.negatives for pair in pairs):
        columns["negative"] = [pair.negatives[0] for pair in pairs]
    return Dataset.from_dict(columns)


def _arguments(
    model: SentenceTransformer, recipe: Recipe, scratch: str, batch: int, rate: float
) -> SentenceTransformerTrainingArguments:
    on_cpu = model.device.type == "cpu"
    arguments = SentenceTransformerTrainingArguments(
        output_dir=scratch,
        num_train_epochs=recipe.epochs,
        per_device_train_batch_size=batch,
        learning_rate=rate,
        lr_scheduler_type="linear",
        warmup_steps=WARM_UP,
        weight_decay=0.0,
        bf16=recipe.bf16,
        seed=recipe.seed,
        batch_sampler=BatchSamplers.NO_DUPLICATES,
        prompts=_prompts(model),
        use_cpu=on_cpu,
        dataloader_pin_memory=not on_cpu,
        save_strategy="no",
        logging_strategy="no",
        report_to="none",
        disable_tqdm=True,  # its bar tells losses summed over dimensions, which mean nothing to a user
    )
    arguments._n_gpu = min(1, arguments.n_gpu)  # several GPUs would split a batch, and with it its negatives
    return arguments


def _prompts(model: SentenceTransformer) -> dict[str, str]:
    """Return each column's prompt, chosen as encode_query and encode_document choose it."""
    query = model.prompts.get("query") or ""
    document = next((model.prompts[name] for name in ("document", "passage", "corpus") if name in model.prompts), "")
    return {"anchor": query, "positive": document or "", "negative": document or ""}


class _ProgressBar(TrainerCallback):
    """A bar of steps with the time left, on a terminal only."""

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ANN401
        self._bar = tqdm(total=state.max_steps, desc="tuning", unit="step", disable=None, leave=False)

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ANN401
        self._bar.update()

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
