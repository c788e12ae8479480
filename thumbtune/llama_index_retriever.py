"""A LlamaIndex retriever over a home folder; needs the extra `llama-index`."""

from __future__ import annotations

try:
    from llama_index.core.retrievers import BaseRetriever
    from llama_index.core.schema import NodeWithScore, QueryBundle, TextNode
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        "the LlamaIndex retriever needs llama-index-core: pip install 'thumbtune[llama-index]'", name=error.name
    ) from error

from rag.records import Arm
from thumbtune.home import Home
from thumbtune.langchain_retriever import metadata_of


class ThumbtuneRetriever(BaseRetriever):  # type: ignore[misc]  # installed with an extra only
    """Returns the passages that one arm finds, as nodes with the passage's id and its score."""

    def __init__(self, home: Home, k: int | None = None, arm: Arm = "tuned") -> None:
        self._home, self._k, self._arm = home, k, arm
        super().__init__()

    def _retrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        return [
            NodeWithScore(
                node=TextNode(id_=hit.chunk.id, text=hit.chunk.shown, metadata=metadata_of(hit)), score=hit.score
            )
            for hit in self._home.search(query_bundle.query_str, self._k, arm=self._arm)
        ]
