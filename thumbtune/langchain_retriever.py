"""A LangChain retriever over a home folder: `retriever("data").invoke("...")`, or any chain that takes one."""

from __future__ import annotations

from typing import Any

from langchain_core.callbacks import CallbackManagerForRetrieverRun
from langchain_core.documents import Document
from langchain_core.retrievers import BaseRetriever
from pydantic import ConfigDict

from rag.errors import BadSetting
from rag.records import Arm, Hit
from thumbtune.home import Home, PathLike


class ThumbtuneRetriever(BaseRetriever):
    """Returns the passages that one arm finds; a newly promoted version serves from the next query on."""

    model_config = ConfigDict(arbitrary_types_allowed=True)
    home: Home
    k: int | None = None
    arm: Arm = "tuned"

    def _get_relevant_documents(self, query: str, *, run_manager: CallbackManagerForRetrieverRun) -> list[Document]:
        return [
            Document(id=hit.chunk.id, page_content=hit.chunk.shown, metadata=metadata_of(hit))
            for hit in self.home.search(query, self.k, arm=self.arm)
        ]


def metadata_of(hit: Hit) -> dict[str, Any]:
    """Return what is known of a passage: source, title, heading, page, date, rank, score and how it was found."""
    chunk = hit.chunk
    return {
        "source": chunk.source,
        "title": chunk.name,
        "heading": chunk.heading,
        "page": chunk.page,
        "date": chunk.date,
        "rank": hit.rank,
        "score": hit.score,
        "origin": hit.origin,
    }


def retriever(
    home: Home | PathLike | None = None,
    *,
    k: int | None = None,
    arm: Arm = "tuned",
    **settings: Any,  # noqa: ANN401  # as Home takes them
) -> ThumbtuneRetriever:
    """Return a LangChain retriever of a home, or of the home in a folder, with further arguments as for `Home`."""
    if isinstance(home, Home):
        if settings:
            raise BadSetting(f"{min(settings)!r} is set for a home that is open: set it where the home is made")
        return ThumbtuneRetriever(home=home, k=k, arm=arm)
    return ThumbtuneRetriever(home=Home(home, **settings), k=k, arm=arm)
