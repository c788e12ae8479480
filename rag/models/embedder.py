"""Load an embedding model; embed queries and chunks. The only loader, for serving and for evaluation alike.

Why fingerprints: a fingerprint identifies vectors, not a model's name. It hashes the weights and everything else that
changes a vector, the precision too, and it is part of the table's name, so a search never mixes two models' vectors.
An adapter changes queries only: it has its model's fingerprint, searches its table, and has a query fingerprint of its
own.
"""

from __future__ import annotations

import hashlib
import json
import logging
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeVar

import numpy as np
from pydantic import SecretStr

from rag.errors import BadModel, first_line
from rag.models.onnx_embedder import (
    BATCH,
    OnnxEncoder,
    encoder_file,
    in_batches,
    int8_exports,
    read_pipeline,
    tokenizer_file,
)
from rag.models.onnx_embedder import Progress as Progress
from rag.models.onnx_embedder import Vectors as Vectors
from rag.models.precision import Precision, native, pick_device
from rag.models.weights import SAFE, has_adapter, is_adapter, load_failures, model_folder, read_adapter, require_safe
from rag.records import content_id
from rag.settings import Settings

if TYPE_CHECKING:
    from langchain_openai import OpenAIEmbeddings
    from sentence_transformers import SentenceTransformer

OPENAI = "openai:"
GPU_BATCH = 256  # a GPU is not short of work with it at 128 tokens
OPENAI_BATCH = 128  # texts per request; the endpoint's own limit is 2,048
OPENAI_MAX_TOKENS = 8191  # of OpenAI's embedding models; other endpoints cut at their own limit
INT8 = "int8, second"  # changes with how rag.models.onnx_int8 makes it, and with that the tables change
BYTES_PER_TOKEN = 3  # cautious, for models whose tokenizer is not at hand: real text has about 4
log = logging.getLogger(__name__)
T = TypeVar("T")


class Embedder(Protocol):
    """Turns texts into unit vectors. `max_tokens` and `count_tokens` include the special tokens that the model adds.

    `fingerprint` stands for the vectors of chunks and names their table: another one in another precision.
    `query_fingerprint` stands for what was learnt, whatever the precision: another one where only queries are adapted.
    `precision` is None where another machine computes.
    """

    reference: str
    precision: Precision | None
    fingerprint: str
    query_fingerprint: str
    dim: int
    max_tokens: int

    def count_tokens(self, texts: list[str]) -> list[int]:
        """Return how many tokens each text takes."""
        ...

    def embed_queries(self, queries: list[str]) -> Vectors:
        """Return unit vectors, shape (n, dim), float32; the model's query prompt is applied."""
        ...

    def embed_documents(self, texts: list[str], progress: Progress | None = None) -> Vectors:
        """Return unit vectors, shape (n, dim), float32; `progress` gets the number of texts of each step."""
        ...


def load_embedder(
    reference: str, settings: Settings, precision: Precision | None = None, loaded: Sequence[Embedder] = ()
) -> Embedder:
    """Load a model for searching: `builtin`, a folder, a sentence-transformers name, or `openai:NAME`.

    A folder may hold an adapter (train.tuning.query_adapter), beside its weights or instead of them: its model is
    loaded, too, unless it is among those that are `loaded`, in this precision. Without a precision it is the native
    one; an endpoint has its own.
    On a CPU a model is exported when it is first loaded (rag.models.onnx_export), and from then on neither torch nor
    sentence-transformers is.

    Raises BadModel where it does not load, in one line with the next step.
    """
    if has_adapter(reference):
        return _load_adapted(reference, settings, precision, loaded)
    return _load_unadapted(reference, settings, precision)


def _load_unadapted(reference: str, settings: Settings, precision: Precision | None) -> Embedder:
    """Load a model without the adapter that may lie beside its weights."""
    if reference.startswith(OPENAI):
        return _OpenAIEmbedder(reference, settings)
    precision = precision or native(settings)
    if pick_device(settings) != "cpu":
        return wrap(load_trainable(reference, settings), reference, settings, precision)
    return _open_export(reference, settings, precision) or _load_and_export(reference, settings, precision)


def load_trainable(reference: str, settings: Settings) -> SentenceTransformer:
    """Load a private copy of a model's weights, for fine-tuning. Raises BadModel."""
    folder = model_folder(reference, settings)
    if is_adapter(reference):
        raise BadModel(
            f"{reference}: an adapter has no weights to fine-tune: name {read_adapter(folder)[0]}, its model"
        )
    from sentence_transformers import SentenceTransformer
    from transformers.utils import logging

    logging.disable_progress_bar()  # type: ignore[no-untyped-call]  # loading takes 0.3 s; its bar would tear ours
    require_safe(reference, folder)
    try:
        model = SentenceTransformer(
            str(folder), device=pick_device(settings), local_files_only=True, trust_remote_code=False, **SAFE
        )
    except load_failures() as error:
        why = first_line(error)
        raise BadModel(f"{reference}: no sentence-transformers model loads from {folder}: {why}") from error
    _require_numbers(model, reference)
    return model


def wrap(
    model: SentenceTransformer, reference: str, settings: Settings, precision: Precision | None = None
) -> Embedder:
    """Make an Embedder of a loaded model, so that an unsaved one is judged by the very code that serves.

    In int8 the model is changed: its encoder is another one then.
    """
    return _LocalEmbedder(model, reference, settings, precision or native(settings))


def adapt(model: Embedder, matrix: Vectors, reference: str) -> Embedder:
    """Make an Embedder whose queries are unit(q + q @ matrix) and whose chunks are the model's own."""
    return _AdaptedEmbedder(model, matrix, reference)


def unadapted(embedder: Embedder) -> Embedder:
    """Return the model behind an adapter, or the embedder itself where it is none: adapters are not stacked."""
    return embedder.model if isinstance(embedder, _AdaptedEmbedder) else embedder


class _LocalEmbedder:
    """A sentence-transformers model on this machine."""

    def __init__(self, model: SentenceTransformer, reference: str, settings: Settings, precision: Precision) -> None:
        _require_numbers(model, reference)
        self.reference = reference
        self.precision: Precision | None = precision
        self.query_fingerprint = _weights_fingerprint(model)
        self.fingerprint = _of_vectors(self.query_fingerprint, precision)
        self._model = model.eval()
        if precision == "int8":
            from rag.models.onnx_int8 import with_int8_encoder

            self._model = with_int8_encoder(self._model, self.fingerprint, int8_exports(settings.cache))
        self._device = str(model.device)
        self.dim = int(model.get_embedding_dimension() or 0)
        self.max_tokens = int(model.max_seq_length or OPENAI_MAX_TOKENS)

    def count_tokens(self, texts: list[str]) -> list[int]:
        if not texts:
            return []
        encoded = self._model.tokenizer(texts, truncation=False, verbose=False, return_attention_mask=False)
        return [len(ids) for ids in encoded["input_ids"]]

    def embed_queries(self, queries: list[str]) -> Vectors:
        return self._encode(self._model.encode_query, queries, None)

    def embed_documents(self, texts: list[str], progress: Progress | None = None) -> Vectors:
        return self._encode(self._model.encode_document, texts, progress)

    def _encode(self, encode: Callable[..., object], texts: list[str], progress: Progress | None) -> Vectors:
        import torch

        batch = GPU_BATCH if self._device.startswith("cuda") else BATCH

        def step(some: list[str]) -> object:
            with torch.autocast(self._device.partition(":")[0], torch.bfloat16, enabled=self.precision == "bf16"):
                return encode(
                    some,
                    batch_size=batch,
                    normalize_embeddings=True,
                    convert_to_numpy=True,
                    show_progress_bar=False,
                )

        return in_batches(texts, self.dim, batch, step, progress)


class _ExportedEmbedder:
    """A model that was exported, on this machine's CPU. It is loaded by torch only to embed chunks in bf16.

    Queries are embedded in fp32 then: nearer to the exact vector than bf16 is, and searched among chunks in bf16.
    """

    def __init__(self, reference: str, settings: Settings, precision: Precision, encoder: OnnxEncoder) -> None:
        pipeline = encoder.pipeline
        self.reference = reference
        self.precision: Precision | None = precision
        self.query_fingerprint = pipeline.weights
        self.fingerprint = _of_vectors(pipeline.weights, precision)
        self.dim, self.max_tokens = pipeline.dim, pipeline.max_tokens
        self.count_tokens, self.embed_queries = encoder.count_tokens, encoder.embed_queries
        self._encoder, self._settings = encoder, settings
        self._loading = threading.Lock()
        self._loaded: Embedder | None = None

    def embed_documents(self, texts: list[str], progress: Progress | None = None) -> Vectors:
        if self.precision != "bf16" or not texts:
            return self._encoder.embed_documents(texts, progress)
        with self._loading:
            if self._loaded is None:
                model = load_trainable(self.reference, self._settings)
                self._loaded = wrap(model, self.reference, self._settings, "bf16")
        return self._loaded.embed_documents(texts, progress)


class _OpenAIEmbedder:
    """A model behind an OpenAI-compatible endpoint, through langchain-openai."""

    def __init__(self, reference: str, settings: Settings) -> None:
        self.reference = reference
        self.precision: Precision | None = None
        self.max_tokens = OPENAI_MAX_TOKENS
        self._client = _openai_client(reference, settings)
        probe = self._call(lambda: self._client.embed_query("dimension"))
        self.dim = len(probe)
        self.fingerprint = self.query_fingerprint = content_id(reference, settings.openai_base_url or "", str(self.dim))

    def count_tokens(self, texts: list[str]) -> list[int]:
        return [len(text.encode()) // BYTES_PER_TOKEN + 1 for text in texts]

    def embed_queries(self, queries: list[str]) -> Vectors:
        return _unit(self._call(lambda: self._client.embed_documents(queries)))

    def embed_documents(self, texts: list[str], progress: Progress | None = None) -> Vectors:
        steps = []
        for start in range(0, len(texts), OPENAI_BATCH):
            step = texts[start : start + OPENAI_BATCH]
            steps.append(self._call(lambda step=step: self._client.embed_documents(step)))  # type: ignore[misc]
            if progress:
                progress(len(step))
        return _unit([vector for step in steps for vector in step], self.dim)

    def _call(self, request: Callable[[], T]) -> T:
        import openai

        try:
            return request()
        except openai.OpenAIError as error:
            why = f"the endpoint refused or did not answer ({first_line(error)})"
            check = "check OPENAI_API_KEY, OPENAI_BASE_URL and the model's name"
            raise BadModel(f"{self.reference}: {why}: {check}") from error


class _AdaptedEmbedder:
    """A model with an adapter behind its queries. Its chunk vectors are the model's own, and so is their table."""

    def __init__(self, model: Embedder, matrix: Vectors, reference: str) -> None:
        self.reference, self.model, self._matrix = reference, model, matrix
        self.fingerprint, self.dim, self.max_tokens = model.fingerprint, model.dim, model.max_tokens
        self.precision = model.precision
        turned = hashlib.sha256(matrix.tobytes()).hexdigest()
        self.query_fingerprint = (
            content_id(model.query_fingerprint, turned) if matrix.any() else model.query_fingerprint
        )

    def count_tokens(self, texts: list[str]) -> list[int]:
        return self.model.count_tokens(texts)

    def embed_queries(self, queries: list[str]) -> Vectors:
        vectors = self.model.embed_queries(queries)
        return _unit(vectors + vectors @ self._matrix, self.dim)

    def embed_documents(self, texts: list[str], progress: Progress | None = None) -> Vectors:
        return self.model.embed_documents(texts, progress)


def _open_export(reference: str, settings: Settings, precision: Precision) -> Embedder | None:
    """Return the model as it was exported for a precision; None where it was not, or cannot be."""
    cache = settings.cache
    pipeline = read_pipeline(cache, model_folder(reference, settings))
    if pipeline is None or pipeline.refused:
        return None
    files = tokenizer_file(cache, pipeline), _encoder_file(cache, pipeline.weights, precision)
    if not all(path.exists() for path in files):
        return None
    return _ExportedEmbedder(reference, settings, precision, OnnxEncoder(pipeline, *files))


def _load_and_export(reference: str, settings: Settings, precision: Precision) -> Embedder:
    """Load a model by torch and export it for the next time; return the export, or the model where there is none."""
    from rag.models.onnx_export import export

    folder = model_folder(reference, settings)
    model = load_trainable(reference, settings)
    loaded = _LocalEmbedder(model, reference, settings, precision)
    exact = loaded if precision == "int8" else _LocalEmbedder(model, reference, settings, "fp32")
    known = read_pipeline(settings.cache, folder)
    if known and known.refused:
        return loaded
    weights = loaded.query_fingerprint
    try:
        path = _encoder_file(settings.cache, weights, precision)
        encoder = export(model, weights, exact.embed_documents, folder, settings.cache, path)
    except OSError as error:
        log.warning("%s is served by torch: its export cannot be written (%s): make room", reference, first_line(error))
        return loaded
    except BadModel as error:  # a damaged export; the weights are none the worse for it
        log.warning("%s is served by torch: its export %s", reference, error)
        return loaded
    return _ExportedEmbedder(reference, settings, precision, encoder) if encoder else loaded


def _encoder_file(cache: Path, weights: str, precision: Precision) -> Path:
    """Return the file of an exported encoder: in int8, or in fp32, by which bf16 is served, too."""
    if precision == "int8":
        return int8_exports(cache) / f"{_of_vectors(weights, 'int8')}.onnx"
    return encoder_file(cache, weights)


def _load_adapted(
    reference: str, settings: Settings, precision: Precision | None, loaded: Sequence[Embedder]
) -> Embedder:
    folder = Path(reference).expanduser().resolve()
    name, fingerprint, matrix = read_adapter(folder)
    try:
        wanted = precision or native(settings)
        same = (each for each in map(unadapted, loaded) if each.reference == name and each.precision in (wanted, None))
        model = next(same, None) or _load_unadapted(name, settings, precision)
    except BadModel as error:
        raise BadModel(f"{reference}: the model that it adapts does not load: {error}") from error
    if model.query_fingerprint != fingerprint or matrix.shape != (model.dim, model.dim):
        raise BadModel(f"{reference}: {name} is not the model it was trained for any more: train again")
    return adapt(model, matrix, reference)


def _openai_client(reference: str, settings: Settings) -> OpenAIEmbeddings:
    from langchain_openai import OpenAIEmbeddings

    if not settings.openai_api_key and not settings.openai_base_url:
        raise BadModel(f"{reference}: set OPENAI_API_KEY, or OPENAI_BASE_URL where no key is needed, or use builtin")
    return OpenAIEmbeddings(
        model=reference.removeprefix(OPENAI),
        api_key=settings.openai_api_key or SecretStr("none-needed"),  # the client wants one, the endpoint may not
        base_url=settings.openai_base_url,
        timeout=settings.llm_timeout,
        max_retries=settings.llm_retries,
        check_embedding_ctx_length=False,  # else it tokenises with tiktoken, which fetches files and sends token ids
    )


def _unit(vectors: list[list[float]] | Vectors, dim: int = 0) -> Vectors:
    array = np.asarray(vectors, dtype=np.float32).reshape(len(vectors), -1 if len(vectors) else dim)
    lengths = np.linalg.norm(array, axis=1, keepdims=True)
    unit: Vectors = np.divide(array, lengths, out=np.zeros_like(array), where=lengths > 0)
    return unit


def _require_numbers(model: SentenceTransformer, reference: str) -> None:
    """Raise BadModel where a weight is NaN or infinite, as in a damaged file or after a training that diverged."""
    if not all(bool(each.isfinite().all()) for each in model.state_dict().values()):
        raise BadModel(
            f"{reference}: some of its weights are not numbers: they are damaged, or its training diverged: "
            "take another copy or version"
        )


def _of_vectors(weights: str, precision: Precision) -> str:
    """Return the fingerprint of the vectors that these weights make in a precision."""
    return weights if precision == "fp32" else content_id(weights, INT8 if precision == "int8" else precision)


def _weights_fingerprint(model: SentenceTransformer) -> str:
    """Hash what changes a vector: weights, tokenizer, module kinds, length limit and prompts. Not the folder's name."""
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().float().numpy().tobytes())
    vocabulary = sorted(model.tokenizer.get_vocab().items(), key=lambda item: item[1])
    modules = [type(module).__name__ for module in model]
    facts = [modules, model.max_seq_length, model.prompts, model.truncate_dim, vocabulary]
    digest.update(json.dumps(facts, sort_keys=True).encode())
    return digest.hexdigest()[:16]
