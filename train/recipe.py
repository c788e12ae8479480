"""Training recipe: epochs, batch size and learning rate from the number of pairs, and sampling by label weight.

Why weights sample instead of scaling the loss: a pair of weight 0.25 is in a quarter of the epochs, so many unreliable
pairs take no longer than a few reliable ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, get_args

from rag.errors import BadSetting
from rag.records import ID_LENGTH, Pair, content_id, normalise_query

LossName = Literal["matryoshka", "mnrl"]
LOSSES: tuple[LossName, ...] = get_args(LossName)

DIMS = (512, 256, 128, 64)  # usual truncated sizes; those below the model's own are trained too
SMALL_MODEL = 50_000_000  # parameters, MiniLM has 23
RATES = (1e-4, 2e-5)  # of a small model: measured; of a larger one: its authors' advice
LORA_FACTOR = 10  # a low-rank update wants ten times the rate: 1e-3 was level with full tuning at 1e-4
LEAST_BATCH = 2  # without another pair in the batch nothing tells a query's passage from others
BATCH = 16  # 32 took as long, half as much memory again, and two points less (docs/log.md)
BOOTSTRAP_BATCH = 64  # without hard negatives only the batch gives negatives: 16 gained 4 points of
# ndcg@10 on our own pages, 32 gained 5, 64 gained 6 (docs/log.md); above the memory limit, in mini-batches
EPOCHS = ((100, 4), (400, 3), (2000, 2))  # below so many pairs, so many epochs; docs/log.md has what was measured
MANY_PAIRS_EPOCHS = 1  # the time is bounded
BOOTSTRAP_EXAMPLES = 400  # without hard negatives some 60 s of tuning on one core
WARM_UP = 0.1  # of all steps

BATCH_BYTES = 3.0e9  # what a batch of BATCH_MEASURED pairs with a negative takes at TOKENS_MEASURED, without the model
BATCH_MEASURED, TOKENS_MEASURED = 32, 128
MOST_BYTES = 3.4e9  # with 0.5 GB of model and libraries below 4 GB, the promise for a laptop
MINI_BATCH = 16


@dataclass(frozen=True, slots=True)
class Recipe:
    """Hyperparameters of one fine-tuning. `serve_dim` is the number of dimensions that it serves, 0 for all.

    `lora` is the rank, 0 for full fine-tuning; `mini_batch` 0 means no mini-batches.
    """

    epochs: int
    batch: int
    rate: float
    dims: tuple[int, ...]
    loss: LossName = "matryoshka"
    lora: int = 0
    mini_batch: int = 0
    seed: int = 0
    bf16: bool = False
    serve_dim: int = 0


def with_current_loss(recipe: Recipe) -> Recipe:
    """Return the recipe with the default loss where its own was removed; a recipe.json of 0.1.0 may say "gist"."""
    return recipe if recipe.loss in LOSSES else replace(recipe, loss=LOSSES[0])


def default_epochs(pairs: int, *, bootstrap: bool) -> int:
    """Return the number of epochs: enough for 20 steps on few pairs, bounded time on many.

    A bootstrap delays the first start of the chat: it is limited to BOOTSTRAP_EXAMPLES in all (three epochs of 300
    pairs gained no more than one).
    """
    usual = next((epochs for below, epochs in EPOCHS if pairs < below), MANY_PAIRS_EPOCHS)
    return max(1, min(usual, BOOTSTRAP_EXAMPLES // max(1, pairs))) if bootstrap else usual


def default_rate(parameters: int, lora: int) -> float:
    """Return the learning rate for a model of so many parameters, for full fine-tuning or LoRA of rank `lora`."""
    return RATES[parameters > SMALL_MODEL] * (LORA_FACTOR if lora else 1)


def matryoshka_dims(full: int) -> tuple[int, ...]:
    """Return the dimensions to train and evaluate: the full one first, then the usual smaller ones."""
    return (full, *(dim for dim in DIMS if dim < full)) if full > DIMS[-1] else (full, max(1, full // 2))


def check_dims(dims: Sequence[int], full: int) -> None:
    """Raise BadSetting for a dimension outside 1 to `full`."""
    for dim in dims:
        if not 1 <= dim <= full:
            raise BadSetting(f"{dim} dimensions: the start model's vectors have 1 to {full}: choose from these")


def batch_for(pairs: int, *, bootstrap: bool) -> int:
    """Return the batch size: at most a quarter of the pairs, so that there are enough steps."""
    return max(LEAST_BATCH, min(BOOTSTRAP_BATCH if bootstrap else BATCH, pairs // 4))


def within_memory(recipe: Recipe, tokens: int, available: int) -> Recipe:
    """Return the recipe with mini-batches where a whole batch would not fit into `available` bytes, or into 4 GB."""
    needed = BATCH_BYTES * recipe.batch / BATCH_MEASURED * tokens / TOKENS_MEASURED
    return replace(recipe, mini_batch=MINI_BATCH) if needed > min(MOST_BYTES, available) else recipe


def schedule(pairs: Sequence[Pair], epochs: int, seed: int = 0) -> list[Pair]:
    """Return the rows of all epochs: each pair weight x epochs times.

    The fraction is rounded by a hash of pair and seed: 0.3 becomes 1 for three of ten pairs, else 0.
    """
    return [pair for pair in pairs for _ in range(int(pair.weight * epochs + _draw(pair, seed)))]


def _draw(pair: Pair, seed: int) -> float:
    """Return a number from 0 to 1 by a hash of pair and seed."""
    digest = content_id("seen", str(seed), normalise_query(pair.query), pair.positive_id)
    share: float = int(digest, 16) / 16**ID_LENGTH
    return share
