"""Export a sentence-transformers model to ONNX: trace its encoder, check the trace, describe the rest of its pipeline.

Why: what is traced is the model as it ran on one batch. Before an export is believed it must agree with the model on a
batch of another shape, and its vectors with the model's own to AGREES_VECTORS.
"""

from __future__ import annotations

import contextlib
import logging
import os
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from filelock import FileLock

from rag.errors import BadModel, first_line
from rag.models.onnx_embedder import (
    POOLINGS,
    UNUSED_SECONDS,
    OnnxEncoder,
    Pipeline,
    Vectors,
    exports,
    open_session,
    tokenizer_file,
    write_pipeline,
    write_whole,
)

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

INPUTS = (
    "input_ids",
    "attention_mask",
    "token_type_ids",
)  # of text encoders; each takes those that its tokenizer gives
OUTPUT = "token_embeddings"
OPSET = 17  # the first that has LayerNormalization as one node
AGREES = 1e-3  # how far the traced encoder may be from the model, in values of size one; rounding is 1e-5
AGREES_VECTORS = 1e-4  # how far the vectors may be, in each value; rounding is 1e-6
TRACED, TRIED = ["a b c", "a"], ["one sentence that is longer than what was traced", "two", "three"]
PROBED = [*TRIED, "", " Ein längerer  Satz, \n mit „Zeichen“ 北京! ", "cut off " * 2000]
DOCUMENT_PROMPTS = ("document", "passage", "corpus")  # sentence-transformers takes the first of these that there is
log = logging.getLogger(__name__)
UNUSUAL = ("query_length", "document_length", "query_expansion")  # of its Transformer module, in few models


class NotExportable(Exception):
    """This model is not of the kind that can be exported, or its export disagrees with it."""


def export(
    model: SentenceTransformer,
    weights: str,
    embed: Callable[[list[str]], Vectors],
    folder: Path,
    cache: Path,
    encoder: Path,
) -> OnnxEncoder | None:
    """Export a model that was loaded from `folder` to the CPU, and return the export, opened; None where it cannot be.

    `weights` is its fingerprint, `embed` embeds documents with it in the precision of `encoder`, the file
    that is made where it is not there. A refusal is remembered. Raises OSError, and BadModel for a damaged `encoder`.
    """
    exports(cache).mkdir(parents=True, exist_ok=True)
    with FileLock(exports(cache) / f"{weights}.lock"):  # both arms, or chat and trainer, may want it at once
        try:
            pipeline = _describe(model, weights)
            write_whole(tokenizer_file(cache, pipeline), _tokenizer_text(model))
            if not encoder.exists():
                trace(model, encoder)
                tidy(encoder.parent)
            found = OnnxEncoder(pipeline, tokenizer_file(cache, pipeline), encoder)
            _require_agreement(found, embed)
        except NotExportable as error:
            log.warning("%s is served by torch, which starts more slowly: %s", folder, error)
            write_pipeline(cache, folder, Pipeline(weights, 0, 0, "", (), "", "", refused=str(error)))
            return None
        write_pipeline(cache, folder, pipeline)
        return found


def _describe(model: SentenceTransformer, weights: str) -> Pipeline:
    """Return the pipeline around a model's encoder. Raises NotExportable."""
    kinds = [type(module).__name__ for module in model]
    if kinds[:2] != ["Transformer", "Pooling"] or [kind for kind in kinds[2:] if kind != "Normalize"]:
        raise NotExportable(f"its modules are {', '.join(kinds)}")
    first: Any = model[0]
    pooling: Any = model[1]
    if pooling.pooling_mode not in POOLINGS or not pooling.include_prompt:
        raise NotExportable(f"its pooling is {pooling.pooling_mode}")
    tokenizer = getattr(model.tokenizer, "backend_tokenizer", None)
    if tokenizer is None or model.tokenizer.padding_side != "right" or not model.max_seq_length:
        raise NotExportable("its tokenizer does not pad on the right, or cuts nowhere")
    if unusual := [name for name in UNUSUAL if getattr(first, name, None)]:
        raise NotExportable(f"it has {', '.join(unusual)}")
    return Pipeline(
        weights=weights,
        dim=int(model.get_embedding_dimension() or 0),
        max_tokens=int(model.max_seq_length),
        pooling=str(pooling.pooling_mode),
        inputs=tuple(_features(first, TRACED)),
        query_prompt=model.prompts.get("query") or "",
        document_prompt=next((model.prompts[name] for name in DOCUMENT_PROMPTS if name in model.prompts), None) or "",
    )


def _tokenizer_text(model: SentenceTransformer) -> str:
    """Return a model's tokenizer as `tokenizers` reads it, padding and cutting as the model does."""
    from tokenizers import Tokenizer

    theirs = model.tokenizer
    ours = Tokenizer.from_str(theirs.backend_tokenizer.to_str())
    ours.enable_truncation(int(model.max_seq_length or 0))
    ours.enable_padding(pad_id=theirs.pad_token_id, pad_type_id=theirs.pad_token_type_id, pad_token=theirs.pad_token)
    return str(ours.to_str())


def _require_agreement(export: OnnxEncoder, embed: Callable[[list[str]], Vectors]) -> None:
    """Raise NotExportable where an export's vectors are not those of the model. Raises BadModel."""
    expected = embed(PROBED)
    try:
        found = export.embed_documents(PROBED)
    except BadModel:
        raise
    except Exception as error:  # running fails in as many ways as there are models
        raise NotExportable(first_line(error)) from error
    if not np.allclose(found, expected, atol=AGREES_VECTORS):
        raise NotExportable("its vectors are not those of the model")


def trace(model: SentenceTransformer, path: Path) -> None:
    """Trace a model's encoder and check the trace; a reader finds the whole file or none. Raises NotExportable."""
    draft = path.with_suffix(f".{os.getpid()}.draft")
    try:
        with quiet(), _plain_attention(model):
            _trace(model, draft)
            _check(model, draft)
        with draft.open("rb") as file:
            os.fsync(file.fileno())
        draft.replace(path)
    except (OSError, NotExportable):
        raise
    except Exception as error:  # tracing and running fail in as many ways as there are models
        raise NotExportable(first_line(error)) from error
    finally:
        draft.unlink(missing_ok=True)


def tidy(folder: Path) -> None:
    """Remove what no model was loaded from for long; it is made again where it is wanted."""
    for old in folder.glob("*.*"):
        if old.stat().st_mtime < time.time() - UNUSED_SECONDS and old.suffix in (".onnx", ".tokenizer", ".json"):
            old.unlink(missing_ok=True)


def is_token_encoder(module: Any) -> bool:  # noqa: ANN401  # of whatever kind
    """Return whether a model's first module turns tokens into one vector each, by a transformers model."""
    return getattr(module, "module_output_name", None) == OUTPUT and hasattr(module, "model")


class _Traced(torch.nn.Module):
    """An encoder that takes its inputs one by one, as a trace needs them."""

    def __init__(self, encoder: torch.nn.Module, names: list[str]) -> None:
        super().__init__()
        self.encoder, self.names = encoder, names

    def forward(self, *inputs: torch.Tensor) -> torch.Tensor:
        hidden: torch.Tensor = self.encoder(**dict(zip(self.names, inputs, strict=True))).last_hidden_state
        return hidden


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
    """Raise NotExportable where the trace holds for the batch that was traced alone, as with frozen positions."""
    first: Any = model[0]
    features = _features(first, TRIED)
    with torch.inference_mode():
        expected = first.model(**features).last_hidden_state.float().numpy()
    (found,) = open_session(path).run(None, {name: values.numpy() for name, values in features.items()})
    mask = features["attention_mask"].numpy().astype(bool)
    if found.shape != expected.shape or not np.allclose(found[mask], expected[mask], atol=AGREES):
        raise NotExportable("its trace does not hold for texts of another length")


def _features(first: Any, texts: list[str]) -> dict[str, torch.Tensor]:  # noqa: ANN401  # of whatever module
    given = first.preprocess(texts)
    return {name: given[name] for name in INPUTS if name in given}


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder


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
def quiet() -> Iterator[None]:
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
