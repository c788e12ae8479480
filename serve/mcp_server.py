"""Tools for agents by the Model Context Protocol: search, ask, rate, list_documents.

By HTTP each request stands alone (stateless, answered as JSON), so that nothing is kept for a client that is gone; by
stdio the agent starts this server itself. Both have the same tools.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import aclosing, contextmanager
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from mcp.server.fastmcp import Context, FastMCP
from mcp.server.fastmcp.exceptions import ToolError
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from mcp.types import ToolAnnotations
from pydantic import Field
from starlette.requests import Request
from starlette.types import Receive, Scope, Send

from rag.answering.duel import Done, Failed
from rag.answering.service import QueryService
from rag.errors import ThumbtuneError
from rag.records import Answer, Hit
from serve.access import checked_person
from serve.bodies import read_object
from serve.citations import place_of
from serve.completions import Asker, begin_answer, begin_turn
from serve.conversation import Conversation
from serve.errors import ApiError
from serve.feedback import Feedback, store_feedback
from serve.keys import LOCAL, Client

NAME = "thumbtune"
INSTRUCTIONS = (
    "Search and ask the documents of this server. `ask` answers with passages; tell by `rate` whether an answer or a "
    "passage was right: ratings train the retriever."
)
MOST_HITS = 50
MOST_DOCUMENTS = 500  # listed at once
READS = ToolAnnotations(readOnlyHint=True, openWorldHint=False)
WRITES = ToolAnnotations(readOnlyHint=False, destructiveHint=False, idempotentHint=True, openWorldHint=False)
Model = Literal["thumbtune-tuned", "thumbtune-base", "thumbtune-duel"]
Ranks = Annotated[list[int], Field(description="passages by their rank in the answer")]
Admit = Callable[[Request | None, str], Client]


@dataclass(frozen=True)
class Tools:
    """What the tools need. `admit` returns who calls, with a scope, or raises ApiError; `done` counts an answer."""

    serving: QueryService
    secret: str
    admit: Admit
    done: Callable[[str, Answer], None]

    def search(self, client: Client, query: str, k: int) -> list[dict[str, Any]]:
        """Return the passages of a query by the tuned model of the client's group."""
        text, only = self.serving.parse_query(query)
        group = self.serving.group_of(client.rater(""))
        return [_passage(hit) for hit in self.serving.search(text, "tuned", k, only, group)]

    async def ask(self, client: Client, question: str, model: Model) -> dict[str, Any]:
        """Return the answer to a question with its passages."""
        query, only = await asyncio.to_thread(self.serving.parse_query, question)
        asker = Asker(client.rater(""), self.secret, "", self.done)
        turn = await asyncio.to_thread(begin_turn, self.serving, model, query, Conversation(question, ()), asker)
        events = begin_answer(self.serving, turn, only)
        async with aclosing(events):
            async for event in events:
                if isinstance(event, Failed):
                    raise ToolError(event.message)
                if isinstance(event, Done):
                    self.done(model, event.answer)
                    passages = [_passage(hit) for hit in event.answer.hits]
                    return {"completion_id": turn.id, "answer": event.answer.text, "passages": passages}
        raise ToolError("the answer ended early")

    def documents(self, words: str, start: int) -> dict[str, Any]:
        """Return the indexed documents whose title or path has these words."""
        wanted = words.casefold().split()
        sizes = self.serving.store.documents.sizes(self.serving.corpus.id)
        found = [
            {"path": source, "title": title, "passages": n}
            for source, title, n in sorted(sizes)
            if all(word in f"{title} {source}".casefold() for word in wanted)
        ]
        return {"total": len(found), "documents": found[start : start + MOST_DOCUMENTS]}


def build_mcp(tools: Tools) -> FastMCP:
    """Return the MCP server with the four tools."""
    server = FastMCP(NAME, instructions=INSTRUCTIONS, log_level="WARNING")

    @server.tool(annotations=READS)
    async def search(
        ctx: Context[Any, Any, Any],
        query: Annotated[str, Field(description="what to search for; may have a filter such as in:reports")],
        k: Annotated[int, Field(ge=1, le=MOST_HITS, description="how many passages")] = 5,
    ) -> dict[str, Any]:
        """Search the documents, and return the best passages with their places."""
        with _refusals():
            client = tools.admit(_request(ctx), "retrieve")
            return {"passages": await asyncio.to_thread(tools.search, client, query, k)}

    @server.tool(annotations=READS)
    async def ask(
        ctx: Context[Any, Any, Any],
        question: Annotated[str, Field(description="a whole question; earlier ones are not known")],
        model: Annotated[Model, Field(description="who answers; thumbtune-duel draws one, blind")] = "thumbtune-tuned",
    ) -> dict[str, Any]:
        """Answer a question from the documents, citing passages as [n]; return the answer's id, to rate it by."""
        with _refusals():
            return await tools.ask(tools.admit(_request(ctx), "ask"), question, model)

    @server.tool(annotations=WRITES)
    async def rate(
        ctx: Context[Any, Any, Any],
        completion_id: Annotated[str, Field(description="the id that `ask` has returned")],
        thumb: Annotated[Literal["up", "down", "none"] | None, Field(description="none takes a thumb back")] = None,
        comment: str | None = None,
        relevant: Ranks = [],  # noqa: B006  # FastMCP copies it
        wrong: Ranks = [],  # noqa: B006
        rater: Annotated[str, Field(description="who rates; people stay apart by name")] = "",
    ) -> dict[str, Any]:
        """Say whether an answer was good, and which of its passages were relevant or wrong. Stored when it returns."""
        with _refusals():
            client = tools.admit(_request(ctx), "rate")
            given = {"completion_id": completion_id, "thumb": thumb, "comment": comment}
            sent = read_object({**given, "relevant": relevant, "wrong": wrong}, Feedback)
            named = client.rater(checked_person(rater))
            return await asyncio.to_thread(store_feedback, tools.serving.store, named, sent)

    @server.tool(annotations=READS)
    async def list_documents(
        ctx: Context[Any, Any, Any],
        words: Annotated[str, Field(description="only documents whose title or path has these words")] = "",
        start: Annotated[int, Field(ge=0, description="number of the first one to list")] = 0,
    ) -> dict[str, Any]:
        """List the documents that are searched, with how many passages each has."""
        with _refusals():
            tools.admit(_request(ctx), "retrieve")
            return await asyncio.to_thread(tools.documents, words, start)

    return server


async def handle_mcp(server: FastMCP, scope: Scope, receive: Receive, send: Send) -> None:
    """Answer one POST, in a session of its own."""
    manager = StreamableHTTPSessionManager(server._mcp_server, json_response=True, stateless=True)
    async with manager.run():
        await manager.handle_request(scope, receive, send)


def local_tools(serving: QueryService, secret: str) -> Tools:
    """Return the tools for an agent on this machine, which has started the server itself."""
    return Tools(serving, secret, lambda request, scope: LOCAL, lambda model, answer: None)


@contextmanager
def _refusals() -> Iterator[None]:
    """Turn what a caller can mend into the error of a tool."""
    try:
        yield
    except (ApiError, ThumbtuneError) as error:
        raise ToolError(str(error)) from error


def _request(ctx: Context[Any, Any, Any]) -> Request | None:
    """Return the HTTP request of a call, None by stdio."""
    request = ctx.request_context.request
    return request if isinstance(request, Request) else None


def _passage(hit: Hit) -> dict[str, Any]:
    return {"rank": hit.rank, "place": place_of(hit), "path": hit.chunk.source, "text": hit.chunk.shown}
