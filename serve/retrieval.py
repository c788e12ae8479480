"""Retrieval for other programs: Dify's external knowledge, embeddings of the champion, reranking.

Contracts: docs.dify.ai, External Knowledge API; OpenAI's /v1/embeddings with `input_type`, as Cohere and NVIDIA have
it, since a model may embed queries and documents differently; /v1/rerank as Jina and Cohere have it.
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Annotated, Any, Literal, TypeVar

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, field_validator

from rag.answering.service import MAX_QUERY_CHARS, QueryService
from rag.errors import TooMany
from rag.records import Arm, Hit
from serve.bodies import Sent
from serve.citations import place_of
from serve.errors import BAD, NOT_FOUND, ApiError

ARM_OF: dict[str, Arm] = {"thumbtune-tuned": "tuned", "thumbtune-base": "base"}
MOST_HITS = 50  # as THUMBTUNE_K
MOST_INPUTS = 2_048  # of one request, as OpenAI's
MOST_RERANKED = 1_000  # of one request: a cross-encoder reads each of them
QUERIES = ("query", "search_query")
SLICE = 16  # texts that are embedded or scored before the next request has its turn: half a second of one core
MOST_WAITING = 16  # requests to embed or rerank at once; each may hold 4 MB
BUSY_SECONDS = 5
T = TypeVar("T")
Text = Annotated[str, Field(min_length=1)]
Texts = Annotated[list[Text], Field(min_length=1, max_length=MOST_INPUTS)]


class RetrievalSetting(BaseModel):
    """How many passages, and how near in meaning at least: a cosine, from 0 to 1."""

    top_k: Annotated[int, Field(ge=1, le=MOST_HITS)] = 5
    score_threshold: float | None = 0.0


class Retrieval(Sent):
    """What Dify sends. Fields that it may add later are ignored: they are not typed by anybody."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    knowledge_id: str
    query: Annotated[str, Field(max_length=MAX_QUERY_CHARS)]
    retrieval_setting: RetrievalSetting = RetrievalSetting()
    metadata_condition: dict[str, Any] | None = None


class EmbeddingsRequest(Sent):
    """Texts to embed with a model. Without `input_type` they are documents."""

    model: str
    input: Text | Texts
    input_type: Literal["query", "document", "passage", "search_query", "search_document"] = "document"
    encoding_format: Literal["float", "base64"] = "float"
    dimensions: int | None = None
    user: str | None = None

    @field_validator("input", mode="before")
    @classmethod
    def _no_tokens(cls, given: object) -> object:
        if isinstance(given, list) and any(isinstance(each, int | list) for each in given):
            raise ValueError(
                "send texts, not numbers of another model's tokens (in LangChain: check_embedding_ctx_length=False)"
            )
        return given


class RerankRequest(Sent):
    """Documents to put in order for a query."""

    query: Annotated[str, Field(min_length=1, max_length=MAX_QUERY_CHARS)]
    documents: Annotated[list[str | dict[str, Any]], Field(min_length=1, max_length=MOST_RERANKED)]
    model: str = ""
    top_n: Annotated[int, Field(ge=1)] | None = None
    return_documents: bool = False
    user: str | None = None


class Slices:
    """Has texts embedded or scored some at a time, those of all requests in turn, in one thread.

    Why: eight requests of 2,000 long texts took all threads and cores for minutes, and nobody else was answered.
    """

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="serve-slices")
        self._waiting = 0

    async def each(self, texts: Sequence[str], action: Callable[[list[str]], T]) -> list[T]:
        """Return what the action makes of each slice. Raises TooMany where too many requests wait."""
        if self._waiting >= MOST_WAITING:
            raise TooMany(f"The server is busy with other texts. Wait {BUSY_SECONDS} seconds.", BUSY_SECONDS)
        self._waiting += 1
        try:
            run = asyncio.get_running_loop().run_in_executor
            slices = [list(texts[start : start + SLICE]) for start in range(0, len(texts), SLICE)]
            return [await run(self._thread, action, each) for each in slices]
        finally:
            self._waiting -= 1


def retrieve_records(serving: QueryService, sent: Retrieval, group: str = "") -> dict[str, Any]:
    """Return the passages of a query as Dify's records. Raises ApiError for another knowledge, BadQuery."""
    if sent.knowledge_id not in ARM_OF:
        raise ApiError(
            NOT_FOUND,
            f"The knowledge does not exist: give one of {', '.join(ARM_OF)}.",
            "knowledge_not_found",
            "knowledge_id",
        )
    if sent.metadata_condition and sent.metadata_condition.get("conditions"):
        raise ApiError(
            BAD,
            "Conditions on metadata are not supported: put a filter such as in:reports into the query.",
            "unsupported_value",
            "metadata_condition",
        )
    query, only = serving.parse_query(sent.query)
    hits = serving.search(query, ARM_OF[sent.knowledge_id], sent.retrieval_setting.top_k, only, group)
    least = sent.retrieval_setting.score_threshold or 0.0
    return {"records": [_record(hit) for hit in hits if max(hit.score, 0.0) >= least]}


async def embed(serving: QueryService, slices: Slices, sent: EmbeddingsRequest, group: str = "") -> dict[str, Any]:
    """Return the vectors of texts. Raises ApiError for another model or number of dimensions, TooMany."""
    if sent.model not in ARM_OF:
        raise ApiError(
            NOT_FOUND,
            f"The model '{sent.model[:100]}' does not exist: {', '.join(ARM_OF)} embed.",
            "model_not_found",
            "model",
        )
    embedder = serving.promoted(ARM_OF[sent.model], group).embedder
    if sent.dimensions not in (None, embedder.dim):
        raise ApiError(BAD, f"This model has {embedder.dim} dimensions.", "unsupported_value", "dimensions")
    texts = [sent.input] if isinstance(sent.input, str) else list(sent.input)
    make = embedder.embed_queries if sent.input_type in QUERIES else embedder.embed_documents
    found = await slices.each(texts, lambda some: (make(some), sum(embedder.count_tokens(some))))
    vectors = np.concatenate([part for part, _ in found])
    rows: list[Any] = vectors.astype(np.float32).tolist()
    if sent.encoding_format == "base64":
        rows = [base64.b64encode(vector.astype("<f4").tobytes()).decode() for vector in vectors]
    tokens = sum(n for _, n in found)
    return {
        "object": "list",
        "data": [{"object": "embedding", "index": n, "embedding": row} for n, row in enumerate(rows)],
        "model": sent.model,
        "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
    }


async def rerank(serving: QueryService, slices: Slices, sent: RerankRequest) -> dict[str, Any]:
    """Return documents in the order of the server's reranker. Raises ApiError where none is set, TooMany."""
    reranker = serving.search_options.reranker
    if reranker is None:
        raise ApiError(NOT_FOUND, "No reranker is set on this server: set THUMBTUNE_RERANK.", "no_reranker")
    texts = [_text(document) for document in sent.documents]
    found = await slices.each(texts, lambda some: reranker.score(sent.query, some))
    scores = [score for part in found for score in part]
    order = sorted(range(len(texts)), key=lambda n: -scores[n])[: sent.top_n]
    results: list[dict[str, Any]] = [{"index": n, "relevance_score": scores[n]} for n in order]
    if sent.return_documents:
        for result in results:
            result["document"] = {"text": texts[result["index"]]}
    return {"object": "list", "model": reranker.name, "results": results}


def _text(document: str | dict[str, Any]) -> str:
    text = document if isinstance(document, str) else document.get("text")
    if not isinstance(text, str):
        raise ApiError(BAD, "A document is a text, or an object with a text.", "invalid_value", "documents")
    return text


def _record(hit: Hit) -> dict[str, Any]:
    chunk = hit.chunk
    metadata = {"path": chunk.source, "section": chunk.section, "page": chunk.pages, "rank": hit.rank, "id": chunk.id}
    return {
        "content": chunk.shown,
        "score": round(max(hit.score, 0.0), 4),
        "title": place_of(hit),
        "metadata": {name: value for name, value in metadata.items() if value not in ("", None)},
    }
