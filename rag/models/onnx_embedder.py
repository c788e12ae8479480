"""Embed texts with ONNX Runtime and `tokenizers` alone: exported encoders, without torch or sentence-transformers.

Why: importing torch and sentence-transformers takes more processor time and memory than all else that an answer needs.
An export (rag.models.onnx_export) is three files in the cache: the encoder and its tokenizer, named by the fingerprint
of the weights, and a description of the rest of the pipeline, named by the state of the model's folder.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
import threading
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING
from weakref import WeakValueDictionary

import numpy as np
from numpy.typing import NDArray

from rag.errors import BadModel, first_line, is_out_of_memory
from rag.models.registry import ENTRY_FILE
from rag.records import content_id

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

BATCH = 32  # on a CPU larger batches are slower (measured)
RECENT = 256  # questions whose vectors are remembered
TRIMMED = 8  # texts embedded at once after which freed memory is given back: not after a query or two
FORMAT = 1  # of an export; another one is made again
POOLINGS = ("mean", "cls")
NOT_LOADED = {"README.md", ENTRY_FILE}  # written into a version's folder when it was exported already
UNUSED_SECONDS = 30 * 24 * 3600.0  # every training that is promoted makes an export, of some 90 MB in fp32
Vectors = NDArray[np.float32]
Progress = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class Pipeline:
    """What turns texts into vectors around the encoder. `weights` is the fingerprint, `dim` that of the vectors."""

    weights: str
    dim: int
    max_tokens: int
    pooling: str
    inputs: tuple[str, ...]
    query_prompt: str
    document_prompt: str
    refused: str = ""  # why there is no export; then nothing else here counts
    format: int = FORMAT


def exports(cache: Path) -> Path:
    """Return the folder of exported encoders."""
    return cache / "onnx"


def int8_exports(cache: Path) -> Path:
    """Return the folder of int8 encoders (rag.models.onnx_int8)."""
    return cache / "int8"


def folder_state(folder: Path) -> str:
    """Return a hash of a model folder's place, and of the name, size and time of each file that is loaded."""
    facts = []
    for path in sorted(each for each in folder.rglob("*") if each.name not in NOT_LOADED):
        stat = path.stat()
        facts.append([path.relative_to(folder).as_posix(), stat.st_size if path.is_file() else 0, stat.st_mtime_ns])
    return hashlib.sha256(json.dumps([str(folder), facts]).encode()).hexdigest()[:16]


def read_pipeline(cache: Path, folder: Path) -> Pipeline | None:
    """Return how the model in a folder was exported, or why it could not be; None where nobody has tried."""
    try:
        known = json.loads(description(cache, folder).read_text("utf-8"))
        pipeline = Pipeline(**{**known, "inputs": tuple(known["inputs"])})
    except (OSError, ValueError, KeyError, TypeError):
        return None  # none yet, or a torn or older one: it is made when the model is loaded by torch
    return pipeline if pipeline.format == FORMAT else None


def write_pipeline(cache: Path, folder: Path, pipeline: Pipeline) -> None:
    """Write the description of an export, the last of its files. Raises OSError."""
    write_whole(description(cache, folder), json.dumps(asdict(pipeline)))


def description(cache: Path, folder: Path) -> Path:
    """Return the file that describes the export of the model in a folder as it is now."""
    return exports(cache) / f"{folder_state(folder)}.json"


def encoder_file(cache: Path, weights: str) -> Path:
    """Return the file of an exported encoder in fp32."""
    return exports(cache) / f"{weights}.onnx"


def tokenizer_file(cache: Path, pipeline: Pipeline) -> Path:
    """Return the file of an exported tokenizer."""
    return exports(cache) / f"{pipeline.weights}.tokenizer"


def write_whole(path: Path, text: str) -> None:
    """Write a file so that a reader finds all of it or none. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f"{path.name}.{os.getpid()}")
    try:
        draft.write_text(text, "utf-8")
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


class OnnxEncoder:
    """The exported pipeline of a model: texts -> unit vectors. May be called from any thread.

    Raises BadModel where the encoder's file cannot be opened.
    """

    def __init__(self, pipeline: Pipeline, tokenizer: Path, encoder: Path) -> None:
        self.pipeline = pipeline
        self._tokenizers = _share_tokenizers(tokenizer.read_text("utf-8"))
        self._encoder_file = encoder
        self._recent: OrderedDict[str, Vectors] = OrderedDict()  # by id of the query's text
        self._lock = threading.Lock()
        for used in (tokenizer, encoder):
            os.utime(used)

    @cached_property
    def _session(self) -> InferenceSession:
        """Open the encoder when the first text is embedded: an index run that finds nothing new embeds none."""
        session = open_shared(self._encoder_file)
        trim_heap()
        return session

    def count_tokens(self, texts: list[str]) -> list[int]:
        """Return how many tokens each text takes, the special ones among them, uncut."""
        return [len(each.ids) for each in self._tokenizers.whole.encode_batch(texts)]

    def embed_queries(self, queries: list[str]) -> Vectors:
        """Return unit vectors, shape (n, dim), float32. A question that was just embedded is remembered.

        Why: a duel and its reveal embed the same one six times, 10 ms each. Not by its text, which `rag forget` would
        have to find here.
        """
        if len(queries) != 1:
            return self._embed(queries, self.pipeline.query_prompt, None)
        key = content_id(*queries)
        with self._lock:
            known = self._recent.get(key)
        if known is None:
            known = self._embed(queries, self.pipeline.query_prompt, None)
            with self._lock:
                self._recent[key] = known
                while len(self._recent) > RECENT:
                    self._recent.popitem(last=False)
        return known.copy()

    def embed_documents(self, texts: list[str], progress: Progress | None = None) -> Vectors:
        """Return unit vectors, shape (n, dim), float32."""
        return self._embed(texts, self.pipeline.document_prompt, progress)

    def _embed(self, texts: list[str], prompt: str, progress: Progress | None) -> Vectors:
        def encode(some: list[str]) -> Vectors:
            return self._encode([prompt + text for text in some])

        vectors = in_batches(texts, self.pipeline.dim, BATCH, encode, progress)
        if len(texts) > TRIMMED:
            trim_heap()
        return vectors

    def _encode(self, texts: list[str]) -> Vectors:
        encoded = self._tokenizers.cut.encode_batch(texts)
        mask = np.array([each.attention_mask for each in encoded], dtype=np.int64)
        given = {
            "input_ids": np.array([each.ids for each in encoded], dtype=np.int64),
            "attention_mask": mask,
            "token_type_ids": np.array([each.type_ids for each in encoded], dtype=np.int64),
        }
        (hidden,) = self._session.run(None, {name: given[name] for name in self.pipeline.inputs})
        pooled = hidden[:, 0] if self.pipeline.pooling == "cls" else _mean(hidden, mask)
        return _unit(pooled[:, : self.pipeline.dim])


def in_batches(
    texts: list[str], dim: int, batch: int, encode: Callable[[list[str]], object], progress: Progress | None
) -> Vectors:
    """Encode in length-sorted batches, so that a batch pads little; `progress` is given each batch's size."""
    vectors = np.zeros((len(texts), dim), dtype=np.float32)
    order = sorted(range(len(texts)), key=lambda i: len(texts[i]), reverse=True)
    for start in range(0, len(order), batch):
        rows = order[start : start + batch]
        vectors[rows] = np.asarray(encode([texts[i] for i in rows]), dtype=np.float32)
        if progress:
            progress(len(rows))
    return vectors


class _Tokenizers:
    """A tokenizer twice: one cuts and pads as its model does, the other returns texts whole."""

    def __init__(self, text: str) -> None:
        from tokenizers import Tokenizer

        self.cut: Tokenizer = Tokenizer.from_str(text)
        self.whole: Tokenizer = Tokenizer.from_str(text)
        self.whole.no_truncation()
        self.whole.no_padding()


def _share_tokenizers(text: str) -> _Tokenizers:
    """Return the tokenizers with this definition: a tuned model has those of the model it was tuned from."""
    with _opening:
        found = _open_tokenizers.get(text)
        if found is None:
            found = _open_tokenizers[text] = _Tokenizers(text)
        return found


def open_shared(path: Path) -> InferenceSession:
    """Open an encoder, or return the session that is open: both arms and the answerer may use one model."""
    with _opening:
        key = (str(path), path.stat().st_ino)
        session = _open_sessions.get(key)
        if session is None:
            try:
                session = _open_sessions[key] = open_session(path)
            except Exception as error:  # onnxruntime has a kind for each thing that is wrong with a file
                if is_out_of_memory(error):
                    raise BadModel(
                        f"{path}: the memory ran out while it was opened: close other programs, or give it more memory"
                    ) from error
                raise BadModel(
                    f"{path}: cannot be opened ({first_line(error)}): delete it, it is made again"
                ) from error
        return session


def open_session(path: Path) -> InferenceSession:
    """Open an encoder with as many threads as torch has here; they sleep between two questions instead of spinning.

    x86 processors without VNNI add pairs of 8-bit products in 16 bits, which saturate: there the weights are made
    unsigned when the model is opened, whose products are added without loss (decisions/0023).
    """
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # else its import writes a device id and a database into ~/.cache
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = _threads()
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.x64quantprecision", "1")
    options.enable_cpu_mem_arena = False  # or a session keeps what its largest batch took, 50 MB and more
    options.log_severity_level = 3  # errors; its warnings are about graphs, for who writes them
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def trim_heap() -> None:
    """Return freed memory to the system, which glibc keeps: opening an encoder frees as much as it holds."""
    if sys.platform == "linux":
        import ctypes

        with suppress(AttributeError, OSError):  # another C library than glibc has no such call
            ctypes.CDLL(None).malloc_trim(0)


def _threads() -> int:
    if torch := sys.modules.get("torch"):  # a training has given it fewer
        return int(torch.get_num_threads())
    wanted = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0]
    if wanted.isdigit() and int(wanted):
        return int(wanted)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _mean(hidden: NDArray[np.float32], mask: NDArray[np.int64]) -> NDArray[np.float32]:
    weights = mask[:, :, None].astype(np.float32)
    mean: NDArray[np.float32] = (hidden * weights).sum(axis=1) / np.maximum(weights.sum(axis=1), 1e-9)
    return mean


def _unit(vectors: NDArray[np.float32]) -> Vectors:
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit: Vectors = vectors / np.maximum(lengths, 1e-12)
    return unit


_opening = threading.Lock()
_open_sessions: WeakValueDictionary[tuple[str, int], InferenceSession] = WeakValueDictionary()
_open_tokenizers: WeakValueDictionary[str, _Tokenizers] = WeakValueDictionary()
