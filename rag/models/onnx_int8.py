"""Quantize a model's encoder to int8 dynamically, with ONNX Runtime: faster on a CPU, a little less exact.

Why: only the encoder is rewritten and put back into its place, where sentence-transformers calls it. So prompts,
cutting, pooling and normalising stay the library's own, the same code as in full precision.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from filelock import FileLock

from rag.errors import BadModel, first_line
from rag.models.onnx_embedder import open_shared
from rag.models.onnx_export import NotExportable, is_token_encoder, quiet, tidy, trace

if TYPE_CHECKING:
    from onnx import ModelProto
    from onnxruntime import InferenceSession
    from sentence_transformers import SentenceTransformer

KEPT_EXACT = 2  # how many of the first down-projections stay in fp32, see _down_projections


def with_int8_encoder(model: SentenceTransformer, weights: str, folder: Path) -> SentenceTransformer:
    """Put an int8 encoder into a model that was loaded on the CPU, and return it; its own weights are let go.

    What was made of the same `weights`, their fingerprint, is found again in `folder`; else it takes seconds. Raises
    BadModel for a model that cannot be rewritten.
    """
    path = folder / f"{weights}.onnx"
    first: Any = model[0]
    if not is_token_encoder(first):
        raise _refused(f"its first module, {type(first).__name__}, is no encoder of tokens")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(path.with_suffix(".lock")):  # both arms, or chat and trainer, may want it at once
            if not path.exists():
                _make(model, path)
                tidy(folder)
            os.utime(path)
        encoder = _Encoder(open_shared(path), first.model.config)
    except OSError as error:
        raise BadModel(f"{path}: the int8 model cannot be written or read ({first_line(error)}): make room") from error
    except NotExportable as error:
        raise _refused(str(error)) from error
    except Exception as error:  # quantizing and running fail in as many ways as there are models
        raise _refused(first_line(error)) from error
    first.model = encoder
    return model


class _Encoder(torch.nn.Module):
    """What stands in the place of a transformers model: a session of onnxruntime, called as that is."""

    def __init__(self, session: InferenceSession, config: object) -> None:
        super().__init__()
        self.config, self.device = config, torch.device("cpu")
        self._session = session
        self._takes = [each.name for each in session.get_inputs()]

    def forward(self, **features: Any) -> dict[str, torch.Tensor]:  # noqa: ANN401  # whatever the tokenizer gives
        given = {name: features[name].numpy() for name in self._takes}
        return {"last_hidden_state": torch.from_numpy(self._session.run(None, given)[0])}


def _make(model: SentenceTransformer, path: Path) -> None:
    """Trace a model's encoder, and write it in int8; a reader finds the whole file or none."""
    from onnx import load
    from onnxruntime.quantization import QuantType, quantize_dynamic

    exact, draft = (path.with_suffix(f".{os.getpid()}.{part}") for part in ("exact", "draft"))
    try:
        trace(model, exact)
        with quiet():
            quantize_dynamic(
                exact,
                draft,
                op_types_to_quantize=["MatMul"],
                per_channel=True,
                weight_type=QuantType.QInt8,
                nodes_to_exclude=_down_projections(load(exact, load_external_data=False))[:KEPT_EXACT],
                extra_options={"MatMulConstBOnly": True},  # products of two activations lose more than they gain
            )
        with draft.open("rb") as file:
            os.fsync(file.fileno())
        draft.replace(path)
    finally:
        for left in (exact, draft):
            left.unlink(missing_ok=True)


def _down_projections(graph: ModelProto) -> list[str]:
    """Return the names of the products that lead from a wide layer back to a narrow one, first layer first.

    What they read has few values far larger than the rest, in the first layers most of all, and one scale for all of
    them leaves little for the small ones (LLM.int8(), Dettmers and others 2022).
    """
    shapes = {each.name: tuple(each.dims) for each in graph.graph.initializer}
    products = [(node.name, shapes.get(node.input[1], ())) for node in graph.graph.node if node.op_type == "MatMul"]
    return [name for name, shape in products if len(shape) == 2 and shape[0] > shape[1]]


def _refused(why: str) -> BadModel:
    return BadModel(f"this model cannot be rewritten to int8 ({why}): set THUMBTUNE_PRECISION=bf16 or fp32")
