"""An embedder that counts what it embeds."""

from __future__ import annotations

from rag.models import embedder


class Counting:
    """A real embedder that counts the texts it embeds."""

    def __init__(self, inner: embedder.Embedder) -> None:
        self.inner, self.embedded = inner, 0
        self.reference, self.fingerprint, self.dim, self.max_tokens = (
            inner.reference, inner.fingerprint, inner.dim, inner.max_tokens,
        )  # fmt: skip

    def count_tokens(self, texts: list[str]) -> list[int]:
        return self.inner.count_tokens(texts)

    def embed_queries(self, queries: list[str]) -> embedder.Vectors:
        return self.inner.embed_queries(queries)

    def embed_documents(self, texts: list[str], progress: embedder.Progress | None = None) -> embedder.Vectors:
        self.embedded += len(texts)
        return self.inner.embed_documents(texts, progress)
