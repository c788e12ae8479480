"""The tools for agents, by the official client: over HTTP with a key, and over stdio as an agent starts them."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
from mcp import ClientSession, StdioServerParameters
from mcp.client.stdio import stdio_client
from mcp.client.streamable_http import streamable_http_client

from rag.settings import ROOT
from rag.web.hosts import Hosts
from serve.app import build_app
from serve.keys import add_key, keys_file
from served import ANSWER, QUESTION, Served, listening


@asynccontextmanager
async def session(url: str, key: str = "") -> AsyncIterator[ClientSession]:
    headers = {"authorization": f"Bearer {key}"} if key else {}
    async with (
        httpx.AsyncClient(headers=headers, timeout=30) as http,
        streamable_http_client(f"{url}/mcp", http_client=http) as (reads, writes, _),
        ClientSession(reads, writes) as client,
    ):
        await client.initialize()
        yield client


async def call(client: ClientSession, tool: str, **given: Any) -> dict[str, Any]:
    result = await client.call_tool(tool, given)
    assert not result.isError, result.content
    assert result.structuredContent is not None
    return result.structuredContent


async def use_all(client: ClientSession) -> tuple[str, dict[str, Any]]:
    """Use every tool once; return the id of an answer and what rating it returned."""
    listed = await client.list_tools()
    assert [tool.name for tool in listed.tools] == ["search", "ask", "rate", "list_documents"]
    found = await call(client, "search", query=QUESTION, k=2)
    assert len(found["passages"]) == 2
    asked = await call(client, "ask", question=QUESTION, model="thumbtune-duel")
    assert ANSWER in asked["answer"]
    assert asked["passages"][0]["rank"] == 1
    documents = await call(client, "list_documents", words="cat")
    assert documents == {"total": 1, "documents": [{"path": "cats.md", "title": "Cats", "passages": 2}]}
    rated = await call(client, "rate", completion_id=asked["completion_id"], thumb="up", relevant=[1], rater="agent")
    return asked["completion_id"], rated


async def test_an_agent_searches_asks_and_rates_over_http(served: Served) -> None:
    with listening(build_app(served.api(), Hosts())) as url:
        async with session(url) as client:
            completion, rated = await use_all(client)
            unknown = await client.call_tool("rate", {"completion_id": "chatcmpl-x", "thumb": "up"})
            assert unknown.isError
            assert "No completion found" in str(unknown.content)
            empty = await client.call_tool("search", {"query": " "})
            assert empty.isError
            given = {"completion_id": completion, "thumb": "up", "rater": "ann\nbob"}
            assert "control characters" in str((await client.call_tool("rate", given)).content)
        half = {"name": "search", "arguments": {"query": f"{QUESTION} \ud83d"}}  # which the official client cannot send
        sent = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": half})
        kinds = {"content-type": "application/json", "accept": "application/json, text/event-stream"}
        assert not httpx.post(f"{url}/mcp", content=sent, headers=kinds, timeout=30).json()["result"]["isError"]
    assert (rated["rater"], rated["thumb"], rated["stored"]) == ("local:agent", 1, 2)
    ratings = served.serving.store.feedback.ratings("local:agent")
    assert {(rating.kind, rating.value, rating.blind) for rating in ratings} == {
        ("answer", 1, True),
        ("source", 1, True),
    }


async def test_each_tool_asks_for_the_scope_of_the_key(served: Served) -> None:
    key = add_key(served.settings.home, "reader", ["retrieve"])
    try:
        with listening(build_app(served.api(), Hosts())) as url:
            assert httpx.post(f"{url}/mcp", json={}).status_code == 401
            assert httpx.get(f"{url}/mcp", headers={"authorization": f"Bearer {key}"}).status_code == 405
            async with session(url, key) as client:
                assert (await call(client, "search", query="cats"))["passages"]
                refused = await client.call_tool("ask", {"question": QUESTION})
                assert refused.isError
                assert "not for ask" in str(refused.content)
    finally:
        keys_file(served.settings.home).unlink()


async def test_an_agent_starts_the_tools_itself(served: Served, tmp_path: Path) -> None:
    values = served.settings
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "THUMBTUNE_HOME": str(values.home),
        "THUMBTUNE_DOCS": str(values.docs[0]),
        "THUMBTUNE_BASE_MODEL": values.base_model,
        "THUMBTUNE_START_MODEL": values.start_model,
        "THUMBTUNE_CHUNK_TOKENS": str(values.chunk_tokens),
    }
    command = StdioServerParameters(command=sys.executable, args=["-m", "thumbtune", "mcp"], env=environment)
    with (tmp_path / "errors").open("w+") as errors:
        async with stdio_client(command, errors) as (reads, writes), ClientSession(reads, writes) as client:
            await client.initialize()
            _, rated = await use_all(client)
    assert rated["rater"] == "local:agent"
    assert "Traceback" not in (tmp_path / "errors").read_text()  # it ends with its connection, and quietly
