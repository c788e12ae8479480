"""What Open WebUI 0.12.4 sends, as it was recorded, and what it makes of what comes back."""

from __future__ import annotations

import json
from typing import Any

from starlette.testclient import TestClient

from served import QUESTION, Served

HEADERS = {
    "X-OpenWebUI-User-Name": "Ann",
    "X-OpenWebUI-User-Id": "c1beb01c-5e30-4aba-92bd-fc312663f8a5",
    "X-OpenWebUI-User-Role": "admin",
    "X-OpenWebUI-Chat-Id": "a3540869-3ac9-45af-ba25-6f27584b9bc8",
}  # only where ENABLE_FORWARD_USER_INFO_HEADERS is true
ALWAYS = {"Accept": "*/*", "Accept-Encoding": "gzip, deflate, br", "User-Agent": "Python/3.11 aiohttp/3.14.5"}
TOOL = {
    "type": "function",
    "function": {
        "name": "get_current_timestamp",
        "description": "Get the current Unix timestamp in seconds.",
        "parameters": {"properties": {}, "type": "object"},
    },
}
BODY = {
    "stream": True,
    "model": "thumbtune-tuned",
    "messages": [{"role": "user", "content": QUESTION}],
    "tools": [TOOL],
}


def stream(client: TestClient, headers: dict[str, str]) -> list[dict[str, Any]]:
    lines = client.post("/v1/chat/completions", json=BODY, headers=headers).text.splitlines()
    return [json.loads(line[6:]) for line in lines if line.startswith("data: {")]


def shown_sources(chunks: list[dict[str, Any]]) -> list[tuple[str, str]]:
    """Return address and text of each source that its page shows.

    It takes events, annotations in a delta (with the title for a text), and the first `sources` of a chunk.
    """
    taken = [chunk["event"]["data"] for chunk in chunks if chunk.get("event", {}).get("type") == "source"]
    taken += next((chunk["sources"] for chunk in chunks if chunk.get("sources")), [])
    shown = [(source["metadata"][0]["source"], source["document"][0]) for source in taken]
    notes = [n for c in chunks for choice in c["choices"] for n in choice["delta"].get("annotations") or ()]
    return shown + [(note["url_citation"]["url"], note["url_citation"]["title"]) for note in notes]


def test_open_webui_shows_each_passage_once_with_its_text(served: Served, client: TestClient) -> None:
    for headers in ({**ALWAYS, **HEADERS}, ALWAYS):
        chunks = stream(client, headers)
        (stored,) = served.serving.store.feedback.answers_of_duels([chunks[0]["id"].removeprefix("chatcmpl-")])
        assert [text for _, text in shown_sources(chunks)] == [hit.chunk.shown for hit in stored.hits]
        assert stored.cited


def test_other_clients_get_annotations_in_a_stream(client: TestClient) -> None:
    chunks = stream(client, {"User-Agent": "OpenAI/Python 2.29.0"})
    assert any(choice["delta"].get("annotations") for chunk in chunks for choice in chunk["choices"])
