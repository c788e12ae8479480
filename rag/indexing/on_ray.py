"""Index on a Ray cluster: actors parse files and embed chunks; the rest is done here, as without Ray.

What goes to the cluster is what costs: parsing takes 0.1 s a file, embedding 0.04 s a chunk. Finding files, cutting and
writing stay in this process, so that tables, reports, errors and resuming are the same as those of the local engine,
and no row can be written twice. Why actors and not Ray Data: an index run does not know its chunks before the files are
cut, and a dataset would load the models again for each group of them.

A worker that dies is started again and its work repeated, by Ray. A run whose own process dies is repeated by the same
command, which embeds only what the tables lack.
"""

from __future__ import annotations

import os
import re
import socket
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from itertools import chain, cycle
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import numpy as np

from rag.errors import BadModel, BadSetting, StoreFailed, Unreadable, first_line
from rag.ingest.parse_cache import ParseCache
from rag.ingest.workers import Parsing, WorkerPool
from rag.loaders.builder import LoadedText
from rag.models.embedder import Embedder, Progress, Vectors, load_embedder
from rag.settings import Settings

if TYPE_CHECKING:
    from rag.models.precision import Precision

CORES = 2  # of a worker that embeds: a process for each core would hold the weights as often
PIECE = 512  # texts that a worker embeds at once: as many as an index run embeds between two writes
AHEAD = 2  # pieces that wait at each worker, so that none is idle while results are written
START_SECONDS = 120.0  # for the first worker: it imports this program and waits for a free core
REACH_SECONDS = 5.0  # for a first connection to a cluster
HOST_AND_PORT = re.compile(r"(?P<host>[^/]+):(?P<port>\d{1,5})")  # of RAY_ADDRESS
RESTARTS = 3  # of a worker that dies, and tries of the work it died at
NO_EXTRA = "`pip install 'thumbtune[ray]'`"


class Parser:
    """An actor that parses files, in a process of its own with the usual limits on time and memory."""

    def __init__(self, cache: Path) -> None:
        self._pool = WorkerPool(ParseCache(cache))

    def parse(self, suffix: str, data: bytes) -> LoadedText | Unreadable:
        """Return the text of a file, or why it cannot be read."""
        try:
            return self._pool.load(suffix, data)
        except Unreadable as error:
            return error


class Encoder:
    """An actor that embeds chunks by the models that it is asked for, each loaded once."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._models: dict[tuple[str, Precision | None], Embedder] = {}

    def ready(self) -> bool:
        """Return at once: the actor has started."""
        return True

    def embed(self, reference: str, precision: Precision | None, fingerprint: str, texts: list[str]) -> Vectors | str:
        """Return the vectors (texts, dim) of a model, or why this machine cannot compute them."""
        key = reference, precision
        try:
            if key not in self._models:
                self._models[key] = load_embedder(reference, self._settings, precision)
        except BadModel as error:
            return str(error)
        if self._models[key].fingerprint != fingerprint:
            return f"{reference}: this worker has other weights than the process that indexes: copy the same to both"
        return self._models[key].embed_documents(texts)


class RayEngine:
    """Workers on a Ray cluster, for an index run. Use it as a context manager; needs the extra `ray`.

    The cluster is that of RAY_ADDRESS, else one that runs on this machine, else one that is started here and ends
    with this process. Raises BadSetting where Ray is missing or of another version than the cluster's, StoreFailed
    where no worker starts.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def __enter__(self) -> RayEngine:
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is sent to anybody
        try:
            import ray
        except ImportError:
            raise BadSetting(f"--engine ray: Ray is not installed: {NO_EXTRA}") from None
        self._ray = ray
        try:
            self._connect()
        except (RuntimeError, ConnectionError, ValueError, OSError) as error:
            where = os.environ.get("RAY_ADDRESS", "this machine")
            raise BadSetting(f"--engine ray: no cluster can be used at {where} ({first_line(error)})") from error
        self._encoders = self._start()
        parser = ray.remote(num_cpus=0, max_restarts=RESTARTS, max_task_retries=1, scheduling_strategy="SPREAD")(Parser)
        self._parsers = [parser.remote(self._settings.cache / "parsed") for _ in self._encoders]
        self._next: Iterator[Any] = cycle(self._parsers)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ray.shutdown()

    @property
    def workers(self) -> int:
        """Return how many actors embed."""
        return len(self._encoders)

    @property
    def step(self) -> int:
        """Return how many chunks to embed between two writes, so that no worker is idle."""
        return PIECE * AHEAD * self.workers

    def load(self, reference: str, settings: Settings, precision: Precision | None = None) -> Embedder:
        """Load a model here, for cutting and for its name; its chunks are embedded by the cluster."""
        return OnCluster(load_embedder(reference, settings, precision), self)

    def pool(self, cache: ParseCache) -> WorkerPool:
        """Return what parses files in place of the processes of this machine."""
        return ClusterPool(cache, self)

    def parse(self, suffix: str, data: bytes) -> Any:  # noqa: ANN401  # Ray's reference
        """Begin to parse a file; `result` waits for it."""
        return next(self._next).parse.remote(suffix, data)

    def is_done(self, reference: Any) -> bool:  # noqa: ANN401
        """Return whether a result is there."""
        return bool(self._ray.wait([reference], timeout=0)[0])

    def result(self, reference: Any) -> Any:  # noqa: ANN401
        """Wait for a result. Raises StoreFailed where its worker died again and again."""
        try:
            return self._ray.get(reference)
        except self._ray.exceptions.RayError as error:
            raise StoreFailed(
                f"--engine ray: a worker failed ({first_line(error)}): run the command again, it goes on where it was"
            ) from error

    def embed(self, model: Embedder, texts: Sequence[str], progress: Progress | None) -> Iterator[Vectors]:
        """Yield the vectors of the texts in pieces, in their order. Raises BadModel where a worker lacks the model."""
        waiting: deque[tuple[int, Any]] = deque()
        encoders = cycle(self._encoders)
        pieces = [list(texts[start : start + PIECE]) for start in range(0, len(texts), PIECE)]

        def finish() -> Vectors:
            count, reference = waiting.popleft()
            vectors = self.result(reference)
            if isinstance(vectors, str):
                raise BadModel(f"--engine ray: {vectors}")
            if progress:
                progress(count)
            found: Vectors = vectors
            return found

        for piece in pieces:
            asked = next(encoders).embed.remote(model.reference, model.precision, model.fingerprint, piece)
            waiting.append((len(piece), asked))
            if len(waiting) >= AHEAD * self.workers:
                yield finish()
        while waiting:
            yield finish()

    def _connect(self) -> None:
        """Connect to the cluster of RAY_ADDRESS or of this machine, or start one that only this machine reaches."""
        quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR"}
        if found := HOST_AND_PORT.fullmatch(os.environ.get("RAY_ADDRESS", "")):
            with socket.create_connection((found["host"], int(found["port"])), REACH_SECONDS):
                pass  # Ray itself would try for a minute, and print what it is about
        try:
            self._ray.init(address="auto", **quiet)
        except ConnectionError:
            if "RAY_ADDRESS" in os.environ:
                raise
            os.environ.setdefault("RAY_worker_niceness", "0")  # as without Ray, where its own 15 yields to all others
            self._ray.init(address="local", include_dashboard=False, _node_ip_address="127.0.0.1", **quiet)

    def _start(self) -> list[Any]:
        """Start an actor for each GPU of the cluster, or for CORES where there is none; return those that run."""
        ray, has = self._ray, dict(self._ray.cluster_resources())  # type: ignore[no-untyped-call]
        gpus, cores = int(has.get("GPU", 0)), int(has.get("CPU", 0))
        each = min(CORES, cores)
        needs = {"num_gpus": 1} if gpus else {"num_cpus": each}
        encoder = ray.remote(**needs, max_restarts=RESTARTS, max_task_retries=RESTARTS)(Encoder)
        actors = [encoder.remote(self._settings) for _ in range(gpus or cores // max(1, each))]
        asked = {actor.ready.remote(): actor for actor in actors}
        first, others = ray.wait(list(asked), num_returns=1, timeout=START_SECONDS)
        if not first:
            wanted = f"{gpus} GPUs" if gpus else f"{cores} cores"
            raise StoreFailed(
                f"--engine ray: no worker started in {START_SECONDS:.0f} s on a cluster of {wanted}: other jobs hold "
                "them, or thumbtune is not installed there"
            )
        more, late = ray.wait(others, num_returns=len(others), timeout=START_SECONDS / 10) if others else ([], [])
        for reference in late:  # its core is in use by something else: what is handed to it would wait
            ray.kill(asked[reference])
        return [asked[reference] for reference in chain(first, more)]


class OnCluster:
    """A model whose chunks are embedded by a cluster; queries and tokens are counted here."""

    def __init__(self, model: Embedder, engine: RayEngine) -> None:
        self._model, self._engine = model, engine
        self.reference, self.fingerprint = model.reference, model.fingerprint
        self.query_fingerprint, self.precision = model.query_fingerprint, model.precision
        self.dim, self.max_tokens, self.count_tokens = model.dim, model.max_tokens, model.count_tokens
        self.embed_queries: Callable[[list[str]], Vectors] = model.embed_queries

    def embed_documents(self, texts: list[str], progress: Progress | None = None) -> Vectors:
        """Return unit vectors, shape (n, dim), float32."""
        none = np.zeros((0, self.dim), dtype=np.float32)
        return np.concatenate([none, *self._engine.embed(self._model, texts, progress)])


class ClusterPool(WorkerPool):
    """Parses the files that belong in a process of their own on a cluster."""

    def __init__(self, cache: ParseCache, engine: RayEngine) -> None:
        super().__init__(cache)
        self._engine, self.ahead = engine, AHEAD * engine.workers

    def _begin(self, suffix: str, data: bytes) -> Parsing:
        asked = self._engine.parse(suffix, data)
        return Parsing(lambda: self._kept(asked, suffix, data), lambda: self._engine.is_done(asked))

    def _kept(self, asked: Any, suffix: str, data: bytes) -> LoadedText:  # noqa: ANN401
        loaded = self._engine.result(asked)
        if isinstance(loaded, Unreadable):
            raise loaded
        self._cache.write(suffix, data, loaded)
        text: LoadedText = loaded
        return text
