"""A model's encoder, rewritten to whole numbers of eight bits for onnxruntime: faster on a CPU, a little less exact.

The ideas a reader would miss: only the encoder is rewritten and put back into its place, where sentence-transformers
calls it. So prompts, cutting, pooling and normalising stay the library's own, the same code as in full precision.
And what is traced is the model as it ran on one batch: before it is believed, it must agree on a batch of another
shape.
"""

from __future__ import annotations

import contextlib
import logging
import os
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from filelock import FileLock

from rag.errors import BadModel, first_line

if TYPE_CHECKING:
    from onnx import ModelProto
    from onnxruntime import InferenceSession
    from sentence_transformers import SentenceTransformer

INPUTS = (
    "input_ids",
    "attention_mask",
    "token_type_ids",
)  # of text encoders; each takes those that its tokenizer gives
OUTPUT = "token_embeddings"
OPSET = 17  # the first that has LayerNormalization as one node
KEPT_EXACT = 2  # how many of the first down-projections stay in fp32, see _down_projections
UNUSED_SECONDS = 30 * 24 * 3600.0  # every training that is promoted makes one, of some 60 MB
AGREES = 1e-3  # how far the traced encoder may be from the model, in values of size one; rounding is 1e-5
TRACED, TRIED = ["a b c", "a"], ["one sentence that is longer than what was traced", "two", "three"]


def with_int8_encoder(model: SentenceTransformer, weights: str, folder: Path) -> SentenceTransformer:
    """Put an int8 encoder into a model that was loaded on the CPU, and return it; its own weights are let go.

    What was made of the same `weights`, their fingerprint, is found again in `folder`; else it takes seconds. Raises
    BadModel for a model that cannot be rewritten.
    """
    path = folder / f"{weights}.onnx"
    first: Any = model[0]
    if getattr(first, "module_output_name", None) != OUTPUT or not hasattr(first, "model"):
        raise _refused(f"its first module, {type(first).__name__}, is no encoder of tokens")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(path.with_suffix(".lock")):  # both arms, or chat and trainer, may want it at once
            if not path.exists():
                _make(model, path)
                _tidy(folder)
            os.utime(path)
        encoder = _Encoder(_open(path), first.model.config)
    except OSError as error:
        raise BadModel(f"{path}: the int8 model cannot be written or read ({first_line(error)}): make room") from error
    except Exception as error:  # tracing, checking and running fail in as many ways as there are models
        raise error if isinstance(error, BadModel) else _refused(first_line(error)) from error
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


class _Traced(torch.nn.Module):
    """An encoder that takes its inputs one by one, as a trace needs them."""

    def __init__(self, encoder: torch.nn.Module, names: list[str]) -> None:
        super().__init__()
        self.encoder, self.names = encoder, names

    def forward(self, *inputs: torch.Tensor) -> torch.Tensor:
        hidden: torch.Tensor = self.encoder(**dict(zip(self.names, inputs, strict=True))).last_hidden_state
        return hidden


def _make(model: SentenceTransformer, path: Path) -> None:
    """Trace a model's encoder, check the trace, and write it in int8; a reader finds the whole file or none."""
    from onnx import load
    from onnxruntime.quantization import QuantType, quantize_dynamic

    exact, draft = (path.with_suffix(f".{os.getpid()}.{part}") for part in ("exact", "draft"))
    try:
        with _quiet(), _plain_attention(model):
            _trace(model, exact)
            _check(model, exact)
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


def _tidy(folder: Path) -> None:
    """Remove what no model was loaded from for long; it is made again where it is wanted."""
    for old in folder.glob("*.onnx"):
        if old.stat().st_mtime < time.time() - UNUSED_SECONDS:
            old.unlink(missing_ok=True)


def _trace(model: SentenceTransformer, path: Path) -> None:
    first: Any = model[0]
    features = _features(first, TRACED)
    names = [*features, OUTPUT]
    torch.onnx.export(
        _Traced(first.model, list(features)).eval(),  # else the export would leave the encoder in training
        tuple(features.values()),
        str(path),
        input_names=list(features),
        output_names=[OUTPUT],
        dynamic_axes={name: {0: "texts", 1: "tokens"} for name in names},
        opset_version=OPSET,
        dynamo=False,  # the newer exporter needs packages that nothing else here does
    )


def _check(model: SentenceTransformer, path: Path) -> None:
    """Raise BadModel where the trace holds for the batch that was traced alone, as with positions that were frozen."""
    first: Any = model[0]
    features = _features(first, TRIED)
    with torch.inference_mode():
        expected = first.model(**features).last_hidden_state.float().numpy()
    (found,) = _open(path).run(None, {name: values.numpy() for name, values in features.items()})
    mask = features["attention_mask"].numpy().astype(bool)
    if found.shape != expected.shape or not np.allclose(found[mask], expected[mask], atol=AGREES):
        raise _refused("its trace does not hold for texts of another length")


def _features(first: Any, texts: list[str]) -> dict[str, torch.Tensor]:  # noqa: ANN401  # of whatever module
    given = first.preprocess(texts)
    return {name: given[name] for name in INPUTS if name in given}


def _down_projections(graph: ModelProto) -> list[str]:
    """Return the names of the products that lead from a wide layer back to a narrow one, first layer first.

    What they read has few values far larger than the rest, in the first layers most of all, and one scale for all of
    them leaves little for the small ones (LLM.int8(), Dettmers and others 2022).
    """
    shapes = {each.name: tuple(each.dims) for each in graph.graph.initializer}
    products = [(node.name, shapes.get(node.input[1], ())) for node in graph.graph.node if node.op_type == "MatMul"]
    return [name for name, shape in products if len(shape) == 2 and shape[0] > shape[1]]


def _open(path: Path) -> InferenceSession:
    """Open a model with as many threads as torch has here; they sleep between two questions instead of spinning.

    x86 processors without VNNI add pairs of 8-bit products in 16 bits, which saturate: there the weights are made
    unsigned when the model is opened, whose products are added without loss (decisions/0023).
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.x64quantprecision", "1")
    options.log_severity_level = 3  # errors; its warnings are about graphs, for who writes them
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


@contextlib.contextmanager
def _plain_attention(model: SentenceTransformer) -> Iterator[None]:
    """Have the encoder compute its attention in plain operations, the only ones that can be traced."""
    first: Any = model[0]
    encoder = first.model
    was = encoder.config._attn_implementation
    encoder.set_attn_implementation("eager")
    try:
        yield
    finally:
        encoder.set_attn_implementation(was)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep from the user what the libraries say to who exports models: deprecations, advice on other graphs."""
    root = logging.getLogger()
    level = root.level
    try:
        root.setLevel(logging.ERROR)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        root.setLevel(level)


def _refused(why: str) -> BadModel:
    return BadModel(f"this model cannot be rewritten to int8 ({why}): set THUMBTUNE_PRECISION=bf16 or fp32")
