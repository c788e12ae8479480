"""Clients that others wrote: the openai package and LangChain's ChatOpenAI, over real HTTP."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import numpy as np
import openai
import pytest
from langchain_openai import ChatOpenAI

from rag.web.hosts import Hosts
from serve.app import build_app
from serve.keys import add_key, keys_file
from served import ANSWER, QUESTION, Served, listening


@pytest.fixture(scope="module")
def url(served: Served) -> Iterator[str]:
    with listening(build_app(served.api(), Hosts())) as url:
        yield url


@pytest.fixture(scope="module")
def client(url: str) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0) as client:
        yield client


def test_the_openai_package_reads_answers_streams_and_citations(client: openai.OpenAI) -> None:
    assert [model.id for model in client.models.list()] == ["thumbtune-tuned", "thumbtune-base", "thumbtune-duel"]
    messages = [{"role": "user", "content": QUESTION}]
    whole = client.chat.completions.create(model="thumbtune-tuned", messages=messages, temperature=0.3, user="ann")
    message = whole.choices[0].message
    assert ANSWER in (message.content or "")
    assert message.annotations is not None
    assert message.annotations[0].url_citation.title == "Cats"
    assert whole.usage is not None
    stream = client.chat.completions.create(
        model="thumbtune-tuned", messages=messages, stream=True, stream_options={"include_usage": True}
    )
    chunks = list(stream)
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text == message.content
    assert chunks[-1].usage == whole.usage


def test_the_openai_package_embeds_in_base64(served: Served, client: openai.OpenAI) -> None:
    made = client.embeddings.create(model="thumbtune-tuned", input=[QUESTION], extra_body={"input_type": "query"})
    expected = served.serving.served("tuned").embedder.embed_queries([QUESTION])[0]
    np.testing.assert_allclose(made.data[0].embedding, expected, atol=1e-6)


def test_the_openai_package_raises_its_own_errors(served: Served, url: str, client: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError, match="does not exist"):
        client.chat.completions.create(model="gpt-4", messages=[{"role": "user", "content": "x"}])
    with pytest.raises(openai.BadRequestError, match="The question is empty"):
        client.chat.completions.create(model="thumbtune-base", messages=[{"role": "user", "content": " "}])
    add_key(served.settings.home, "somebody", ["ask"])
    try:
        with pytest.raises(openai.AuthenticationError, match="Incorrect API key"):
            client.models.list()
    finally:
        keys_file(served.settings.home).unlink()


async def test_langchain_asks_streams_and_its_message_id_takes_a_thumb(served: Served, url: str) -> None:
    model = ChatOpenAI(model="thumbtune-duel", base_url=f"{url}/v1", api_key="none", max_retries=0)
    said = await model.ainvoke(QUESTION)
    assert ANSWER in said.text
    assert [chunk async for chunk in model.astream([("system", "Be brief."), ("human", QUESTION)])]
    sent = {"completion_id": said.response_metadata["id"], "thumb": "up", "rater": "chain"}
    assert httpx.post(f"{url}/v1/feedback", json=sent).json()["stored"] == 1
    (rating,) = served.serving.store.feedback.ratings("local:chain")
    assert rating.blind
