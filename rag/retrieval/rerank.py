"""A cross-encoder -> the candidates in its order. Both arms' candidates go through the same one.

The idea a reader would miss: any folder of a BERT loads as a cross-encoder. Where its last layer is not in the file it
is drawn at random, with a warning in a log, and ranks at random; so a model without that layer is refused here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from rag.errors import BadModel, first_line
from rag.models.precision import pick_device
from rag.models.weights import BUILTIN, model_folder
from rag.settings import Settings

RERANKED = 20  # candidates read for each arm; docs/log.md has what they cost
BATCH = 32


@dataclass(frozen=True, slots=True)
class Reranker:
    """What people read as its name, and (query, texts) -> how well each text answers, higher is better."""

    name: str
    score: Callable[[str, list[str]], list[float]]


def load_reranker(reference: str, settings: Settings) -> Reranker:
    """Load a cross-encoder: a folder, or a hub name such as `cross-encoder/ms-marco-MiniLM-L6-v2`. Raises BadModel.

    Takes seconds. What lies in the hub's cache is used without asking the hub.
    """
    if reference == BUILTIN:
        raise BadModel(f"THUMBTUNE_RERANK={reference}: the built-in model embeds, it does not rerank: name a folder")
    folder = model_folder(reference, settings)
    from sentence_transformers import CrossEncoder
    from transformers.utils import logging

    logging.disable_progress_bar()  # type: ignore[no-untyped-call]  # as in rag.models.embedder
    try:
        _require_last_layer(reference, folder)
        model = CrossEncoder(str(folder), device=pick_device(settings), local_files_only=True)
    except (OSError, ValueError, KeyError, RuntimeError, ImportError) as error:
        raise BadModel(f"{reference}: no cross-encoder loads from {folder}: {first_line(error)}") from error

    def score(query: str, texts: list[str]) -> list[float]:
        pairs = [(query, text) for text in texts]
        return [float(value) for value in model.predict(pairs, batch_size=BATCH, show_progress_bar=False)]

    return Reranker(Path(reference).name, score)


def _require_last_layer(reference: str, folder: Path) -> None:
    from transformers import AutoModelForSequenceClassification

    model, loaded = AutoModelForSequenceClassification.from_pretrained(
        str(folder), local_files_only=True, output_loading_info=True
    )
    lacks = f"its file lacks {', '.join(sorted(loaded['missing_keys'])[:2])}" if loaded["missing_keys"] else ""
    if lacks or model.config.num_labels != 1:
        why = lacks or f"it has {model.config.num_labels} outputs instead of one"
        raise BadModel(
            f"{reference}: no reranker, {why}: name a cross-encoder, as `cross-encoder/ms-marco-MiniLM-L6-v2`"
        )
