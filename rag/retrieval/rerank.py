"""Load a cross-encoder as a reranker; both arms use the same one.

Why the check: any BERT loads as a cross-encoder. If its last layer is missing in the file, it is initialised at random
with only a warning in a log, and ranks at random. Such a model is refused here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from rag.errors import BadModel, first_line
from rag.models.precision import pick_device
from rag.models.weights import BUILTIN, SAFE, load_failures, model_folder, require_safe
from rag.settings import Settings

RERANKED = 20  # candidates scored per arm; for the cost see docs/log.md
BATCH_SIZE = 32


@dataclass(frozen=True, slots=True)
class Reranker:
    """The displayed name, and `score`: (query, texts) -> relevance of each text, higher is better."""

    name: str
    score: Callable[[str, list[str]], list[float]]


def load_reranker(reference: str, settings: Settings) -> Reranker:
    """Load a cross-encoder: a folder, or a hub name such as `cross-encoder/ms-marco-MiniLM-L6-v2`. Raises BadModel.

    Takes seconds. A model in the hub's cache is used without asking the hub.
    """
    if reference == BUILTIN:
        raise BadModel(f"THUMBTUNE_RERANK={reference}: the built-in model embeds, it does not rerank: name a folder")
    folder = model_folder(reference, settings)
    from sentence_transformers import CrossEncoder
    from transformers.utils import logging

    logging.disable_progress_bar()  # type: ignore[no-untyped-call]  # as in rag.models.embedder
    require_safe(reference, folder)
    try:
        _require_last_layer(reference, folder)
        model = CrossEncoder(
            str(folder), device=pick_device(settings), local_files_only=True, trust_remote_code=False, **SAFE
        )
    except load_failures() as error:
        raise BadModel(f"{reference}: no cross-encoder loads from {folder}: {first_line(error)}") from error

    def score(query: str, texts: list[str]) -> list[float]:
        pairs = [(query, text) for text in texts]
        return [float(value) for value in model.predict(pairs, batch_size=BATCH_SIZE, show_progress_bar=False)]

    return Reranker(Path(reference).name, score)


def _require_last_layer(reference: str, folder: Path) -> None:
    """Raise BadModel if weights are missing in the file, or if the model has not exactly one output."""
    from transformers import AutoModelForSequenceClassification

    model, loaded = AutoModelForSequenceClassification.from_pretrained(
        str(folder), local_files_only=True, output_loading_info=True, use_safetensors=True
    )
    problem = f"its file lacks {', '.join(sorted(loaded['missing_keys'])[:2])}" if loaded["missing_keys"] else ""
    if not problem and model.config.num_labels != 1:
        problem = f"it has {model.config.num_labels} outputs instead of one"
    if problem:
        raise BadModel(
            f"{reference}: not a reranker, {problem}: name a cross-encoder such as cross-encoder/ms-marco-MiniLM-L6-v2"
        )
