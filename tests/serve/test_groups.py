"""Two programs with keys in two groups get different passages for the same words; a third one the shared model's."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from starlette.testclient import TestClient

from group_adapters import add_adapter, write_groups
from rag.groups import GROUPS_FILE
from rag.models.registry import START_WEIGHTS
from serve.keys import keys_file
from served import Served
from thumbtune.__main__ import main

QUESTION = "what is there at night"
EMBED = {"model": "thumbtune-tuned", "input": QUESTION}


@pytest.fixture(scope="module")
def passages(served: Served) -> list[str]:
    """Return what the groups a and b want, after their adapters were made."""
    chunks = served.serving.store.chunks.read(served.serving.served("base").table)[0]
    wanted = [next(chunk for chunk in chunks if chunk.source == page) for page in ("cats.md", "dogs.md")]
    for group, chunk in zip("ab", wanted, strict=True):
        add_adapter(served.settings, group, QUESTION, chunk.embedded)
    served.serving.refresh()
    return [chunk.shown for chunk in wanted]


@pytest.fixture
def clients(served: Served, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> Iterator[dict[str, TestClient]]:
    """Return a client for each of three keys, made by the command line: in group a, in group b, in none."""
    for name in ("home", "docs", "base_model", "start_model"):
        value = getattr(served.settings, name)
        monkeypatch.setenv(f"THUMBTUNE_{name.upper()}", str(value[0] if isinstance(value, tuple) else value))
    keys = {}
    write_groups(served.settings, "a: ward:*", "b: lab:*")
    for name in ("ward", "lab", "other"):
        assert main(["keys", "add", name]) == 0
        keys[name] = capsys.readouterr().out.strip()
    yield {name: served.client(key) for name, key in keys.items()}
    keys_file(served.settings.home).unlink()
    (served.settings.home / GROUPS_FILE).unlink()


def first(client: TestClient, knowledge: str = "thumbtune-tuned") -> str:
    setting = {"top_k": 1, "score_threshold": 0.0}
    sent = {"knowledge_id": knowledge, "query": QUESTION, "retrieval_setting": setting}
    return str(client.post("/retrieval", json=sent).json()["records"][0]["content"])


def test_a_key_chooses_its_groups_retriever(passages: list[str], clients: dict[str, TestClient]) -> None:
    assert [first(clients["ward"]), first(clients["lab"])] == passages
    base = {first(client, "thumbtune-base") for client in clients.values()}
    assert base == {first(clients["other"])}  # nothing is promoted for everybody


def test_a_completion_names_the_version_and_a_person_may_be_in_another_group(
    passages: list[str], served: Served, clients: dict[str, TestClient]
) -> None:
    def version(name: str, **fields: Any) -> str:
        sent = {"messages": [{"role": "user", "content": QUESTION}], **fields}
        return str(served.ask(clients[name], **sent).json()["system_fingerprint"])

    assert [version("ward"), version("lab"), version("other")] == ["v1", "v2", START_WEIGHTS]
    with (served.settings.home / GROUPS_FILE).open("a") as file:
        file.write("b: ward:eve\n")
    assert [version("ward"), version("ward", user="eve")] == ["v1", "v2"]  # the file is read again when it changes


def test_embeddings_of_queries_are_the_groups_and_those_of_documents_are_everybodys(
    passages: list[str], clients: dict[str, TestClient]
) -> None:
    def vector(name: str, kind: str) -> list[float]:
        body = clients[name].post("/v1/embeddings", json={**EMBED, "input_type": kind}).json()
        return [float(each) for each in body["data"][0]["embedding"]]

    assert vector("ward", "query") != vector("lab", "query")
    assert vector("ward", "document") == vector("lab", "document") == vector("other", "document")
