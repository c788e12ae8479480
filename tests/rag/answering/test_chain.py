"""The chain streams hits first and then the answer, from an LLM or extractive; incomplete streams fail."""

from __future__ import annotations

import asyncio
import random
import re
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from typing import Any, cast

import pytest
from langchain_core.messages import AIMessageChunk
from langchain_core.runnables import RunnableConfig, RunnableSerializable
from pydantic import Field

from fakes import Endless, endpoint, make_hits, refuse, send_chunk, start_stream, stream
from rag.answering.chain import ask_chat_model, build_chain
from rag.answering.evidence.refusals import DONT_KNOW
from rag.answering.llm import build_chat_model, build_extractive, explain, sampling_options
from rag.answering.prompt import joined
from rag.answering.reply_limits import MAX_CHARS_PER_TOKEN, require_finish
from rag.errors import AnswerFailed
from rag.records import Hit
from rag.settings import Settings

HITS = make_hits("Cats drink milk.", "Dogs eat bones.")


def words(text: str) -> int:
    return len(text.split())


def score(query: str, texts: Sequence[str]) -> list[float]:
    """Score 0.9 for a sentence that shares a word with the query, else 0."""
    return [0.9 * any(word in text.lower() for word in query.lower().split()) for text in texts]


async def collect(chain: Any, query: str = "milk") -> tuple[list[Hit], str]:
    steps = [step async for step in chain.astream(query)]
    assert "hits" in steps[0]
    return steps[0]["hits"], "".join(step.get("answer", "") for step in steps)


def chain_to(settings: Settings, url: str, abstain_below: float | None = None, so_far: str = "") -> Any:
    served = settings.model_copy(
        update={"openai_base_url": url, "llm": "openai:fake", "llm_retries": 0, "llm_timeout": 5}
    )
    answerer = ask_chat_model(build_chat_model(served), words, 1_000, served.llm_max_tokens, sampling_options(served))
    return build_chain(lambda query: list(HITS), answerer, abstain_below, so_far)


async def test_an_llm_streams_through_the_chain_and_sees_the_passages(settings: Settings) -> None:
    with endpoint(stream("Milk", " [1].")) as (url, requests):
        hits, text = await collect(chain_to(settings, url))
    assert (hits, text) == (list(HITS), "Milk [1].")
    assert "Cats drink milk." in str(requests[0]["messages"])
    assert requests[0]["model"] == "fake"


async def test_a_reply_of_a_citation_alone_is_asked_for_again_in_words(settings: Settings) -> None:
    with endpoint(stream("[1", "]", "."), stream("Milk", " [1].")) as (url, requests):
        _, text = await collect(chain_to(settings, url))
    assert text == "Milk [1]."
    first, again = (request["messages"] for request in requests)
    assert again[: len(first)] == first  # type: ignore[index, arg-type]  # what the server has read is not read again
    assert [message["role"] for message in again[len(first) :]] == ["assistant", "user"]  # type: ignore[index, arg-type]


@pytest.mark.parametrize("reply", [("[1] ", "Milk."), ("4", "2 [1]"), ("[1] ", "42.")])
async def test_what_says_something_is_asked_for_once(settings: Settings, reply: tuple[str, ...]) -> None:
    with endpoint(stream(*reply)) as (url, requests):
        _, text = await collect(chain_to(settings, url))
    assert (text, len(requests)) == ("".join(reply), 1)


async def test_a_model_that_names_passages_only_is_asked_twice_at_most(settings: Settings) -> None:
    with endpoint(stream("[1]")) as (url, requests):
        _, text = await collect(chain_to(settings, url))
    assert (text, len(requests)) == ("[1]", 2)


async def test_what_a_broken_stream_wrote_before_its_first_word_is_shown(settings: Settings) -> None:
    seen = []

    async def read(url: str) -> None:
        async for step in chain_to(settings, url).astream("milk"):
            seen.append(step.get("answer", ""))

    with endpoint(stream("[1] ", finish=None, done=False)) as (url, requests), pytest.raises(AnswerFailed):
        await read(url)
    assert ("".join(seen), len(requests)) == ("[1] ", 1)


async def test_the_prompts_of_a_question_begin_alike_and_no_document_knows_their_code(settings: Settings) -> None:
    with endpoint(stream("Milk", " [1].")) as (url, requests):
        for chain in (once := chain_to(settings, url), once, chain_to(settings, url)):
            await collect(chain)
        await collect(once, "bones")
    codes = [re.findall(r"<passage-(\w{8}) ", str(request["messages"])) for request in requests]
    arm, other_arm, other_process, other_question = map(set, codes)
    assert arm == other_arm
    assert len(arm | other_process | other_question) == 3
    same, _, _, other = (str(request["messages"]) for request in requests)
    assert same[: same.index("<passage-")] == other[: other.index("<passage-")]


async def test_a_stream_that_ends_without_a_finish_reason_is_an_error(settings: Settings) -> None:
    with (
        endpoint(stream("Half an", finish=None, done=False)) as (url, _),
        pytest.raises(AnswerFailed, match="is incomplete"),
    ):
        await collect(chain_to(settings, url))


async def test_a_filtered_answer_is_an_error(settings: Settings) -> None:
    with endpoint(stream("Half", finish="content_filter")) as (url, _), pytest.raises(AnswerFailed, match="filter"):
        await collect(chain_to(settings, url))


async def test_an_endpoint_is_told_how_much_to_write_at_most(settings: Settings) -> None:
    with endpoint(stream("Milk", " [1].")) as (url, requests):
        await collect(chain_to(settings.model_copy(update={"llm_max_tokens": 300}), url))
    assert (requests[0]["max_tokens"], "max_completion_tokens" in requests[0]) == (300, False)


@pytest.mark.parametrize("url", [None, "https://api.openai.com/v1", "https://mine.openai.azure.com/openai/v1"])
def test_openai_is_told_by_the_name_that_all_its_models_know(settings: Settings, url: str | None) -> None:
    model = build_chat_model(settings.model_copy(update={"openai_base_url": url, "llm": "openai:fake"}))
    assert model._get_request_payload("Is it?")["max_completion_tokens"] == settings.llm_max_tokens


async def test_an_answer_that_reached_its_length_is_no_whole_answer(settings: Settings) -> None:
    with (
        endpoint(stream("It is so [1]. And then", finish="length")) as (url, _),
        pytest.raises(AnswerFailed, match="cut off after 1,024 tokens: raise THUMBTUNE_LLM_MAX_TOKENS"),
    ):
        await collect(chain_to(settings, url))


async def test_a_cut_answer_goes_on_after_its_last_words_which_are_not_doubled(settings: Settings) -> None:
    so_far = "Cats drink milk [1]. And th"
    with endpoint(stream("milk [1]. ", "And", " then", " they sleep [1].")) as (url, requests):
        chain = chain_to(settings, url, so_far=so_far)
        tokens = [part.get("answer", "") async for part in chain.astream("what do cats drink?")]
    assert so_far + "".join(tokens) == "Cats drink milk [1]. And then they sleep [1]."
    messages: Any = requests[0]["messages"]
    assert [each["role"] for each in messages] == ["system", "user", "assistant", "user"]


@pytest.mark.parametrize(
    ("so_far", "more", "whole"),
    [
        ("Bees swarm in", "swarm in spring.", "Bees swarm in spring."),
        ("Bees swarm in", " spring.", "Bees swarm in spring."),
        ("Bees swarm in", "spring.", "Bees swarm in spring."),
        ("Bees swarm in ", "swarm in spring.", "Bees swarm in spring."),
        ("In spring [1]", "spring [1], before noon.", "In spring [1], before noon."),
        ("In *spring", "spring*, before noon.", "In *spring before noon."),
        ("- one\n- two", "- two\n- three", "- one\n- two\n- three"),
        ("Yes", ", in spring.", "Yes, in spring."),
        ("Bees", "", "Bees"),
    ],
)
def test_a_continuation_joins_what_was_written(so_far: str, more: str, whole: str) -> None:
    assert so_far + joined(so_far, more) == whole


async def test_a_model_that_repeats_itself_is_stopped_and_its_answer_fails(settings: Settings) -> None:
    reply, message = Endless("The cat drinks milk. "), ""
    with endpoint(reply) as (url, _):
        try:
            await collect(chain_to(settings, url))
        except AnswerFailed as error:
            message = str(error)
        assert await asyncio.to_thread(reply.hung_up.wait, 5)
    assert "cut off where the model began to repeat itself" in message
    assert "THUMBTUNE_LLM_TEMPERATURE" in message


async def test_a_model_that_repeats_itself_at_once_is_told_from_one_that_writes_too_much(settings: Settings) -> None:
    short = settings.model_copy(update={"llm_max_tokens": 64})
    with endpoint(stream("and on " * 500)) as (url, _), pytest.raises(AnswerFailed, match="began to repeat itself"):
        await collect(chain_to(short, url))


async def test_temperature_and_stop_are_sent_until_the_endpoint_refuses_them(settings: Settings) -> None:
    chosen = settings.model_copy(update={"llm_temperature": 0.3, "llm_stop": ("</s>",)})
    no = refuse(400, "Unsupported value: 'temperature' does not support 0.3 with this model.")
    with endpoint(stream("Milk."), no, stream("Milk."), stream("Milk.")) as (url, requests):
        chain = chain_to(chosen, url)
        for _ in range(3):
            await collect(chain)
    assert [(each.get("temperature"), each.get("stop")) for each in requests] == [
        (0.3, ["</s>"]),
        (0.3, ["</s>"]),
        (None, ["</s>"]),
        (None, ["</s>"]),
    ]


@pytest.mark.parametrize("token", ["", "".join(random.Random(0).choices("abcdefgh ", k=5_000))])
async def test_an_endpoint_that_never_stops_is_hung_up_on(settings: Settings, token: str) -> None:
    reply, short = Endless(token), settings.model_copy(update={"llm_max_tokens": 64})
    read, message = 0, ""
    with endpoint(reply) as (url, _):
        try:
            async for step in chain_to(short, url).astream("milk"):
                read += len(step.get("answer", ""))
        except AnswerFailed as error:
            message = str(error)
        assert await asyncio.to_thread(reply.hung_up.wait, 5)
    assert "cut off after 64 tokens: raise THUMBTUNE_LLM_MAX_TOKENS; the endpoint ignores max_tokens" in message
    assert read <= 64 * MAX_CHARS_PER_TOKEN


@pytest.mark.parametrize(
    ("reply", "words"),
    [
        (refuse(401), "check OPENAI_API_KEY"),
        (refuse(404), "check THUMBTUNE_LLM"),
        (refuse(429), "rate or spending limit"),
        (refuse(400), "refused the request"),
        (refuse(500), "the endpoint failed"),
        (refuse(503), "the endpoint failed"),
    ],
)
async def test_an_endpoints_error_is_explained_without_secrets(settings: Settings, reply: Any, words: str) -> None:
    with endpoint(reply) as (url, _), pytest.raises(Exception) as caught:  # noqa: PT011  # whatever the client raises
        await collect(chain_to(settings, url))
    message = explain(caught.value)
    assert message is not None
    assert words in message
    assert "sk-secret" not in message


async def test_an_endpoint_that_is_down_is_explained(settings: Settings) -> None:
    with pytest.raises(Exception) as caught:  # noqa: PT011
        await collect(chain_to(settings, "http://127.0.0.1:9/v1"))
    assert "is it running" in str(explain(caught.value))


async def test_a_broken_stream_is_explained(settings: Settings) -> None:
    def reply(handler: Any, body: Any) -> None:
        start_stream(handler)
        send_chunk(handler, {"delta": {"content": "Half"}, "finish_reason": None})
        handler.wfile.write(b"data: {not json\n\n")

    with endpoint(reply) as (url, _), pytest.raises(Exception) as caught:  # noqa: PT011
        await collect(chain_to(settings, url))
    assert "broken stream" in str(explain(caught.value))


@pytest.mark.parametrize("body", ["<h1>It works</h1>", "[]", '{"choices": 5}', '"text"', ""])
async def test_an_address_that_is_no_endpoint_is_explained(settings: Settings, body: str) -> None:
    def reply(handler: Any, sent: Any) -> None:
        handler.send_response(200)
        handler.send_header("Content-Type", "text/html")
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body.encode())

    with endpoint(reply) as (url, _), pytest.raises(AnswerFailed) as caught:
        await collect(chain_to(settings, url))
    assert "is no chat completion: check OPENAI_BASE_URL" in str(caught.value)


def test_an_unexpected_error_has_no_explanation() -> None:
    assert explain(ZeroDivisionError()) is None


async def test_the_extractive_answerer_quotes_with_citations() -> None:
    chain = build_chain(lambda query: list(HITS), build_extractive(score, DONT_KNOW))
    assert await collect(chain) == (list(HITS), "Cats drink milk. [1]")


async def test_the_extractive_answerer_abstains_if_no_sentence_answers() -> None:
    chain = build_chain(lambda query: list(HITS), build_extractive(score, DONT_KNOW))
    assert (await collect(chain, "parrots"))[1] == DONT_KNOW
    nothing = build_chain(lambda query: [], build_extractive(score, DONT_KNOW))
    assert (await collect(nothing))[1] == DONT_KNOW


async def test_below_the_threshold_the_answer_is_an_abstention_without_an_llm_call(
    settings: Settings,
) -> None:
    with endpoint(stream("Milk", " [1].")) as (url, requests):
        chain = chain_to(settings, url, abstain_below=0.91)  # the best hit has 0.9
        assert await collect(chain) == (list(HITS), DONT_KNOW)
        assert requests == []


async def test_if_a_hit_reaches_the_threshold_the_llm_streams(settings: Settings) -> None:
    with endpoint(stream("Milk", " [1].")) as (url, _):
        chain = chain_to(settings, url, abstain_below=0.9)
        tokens = [step["answer"] async for step in chain.astream("milk") if step.get("answer")]
    assert "".join(tokens) == "Milk [1]."  # joined where they came at once


async def test_the_best_hit_counts_whatever_its_rank() -> None:
    reordered = [replace(hit, rank=rank) for rank, hit in enumerate(reversed(HITS), start=1)]
    chain = build_chain(lambda query: reordered, build_extractive(score, DONT_KNOW), 0.85)
    assert (await collect(chain))[1] != DONT_KNOW


async def test_without_hits_the_answerer_is_asked_whatever_the_threshold() -> None:
    chain = build_chain(lambda query: [], build_extractive(score, "nothing was found"), 0.5)
    assert (await collect(chain))[1] == "nothing was found"


async def test_the_extractive_answer_is_streamed_by_paragraphs() -> None:
    hits = list(make_hits("Cats drink milk.", "Milk is white."))
    chain = build_chain(lambda query: hits, build_extractive(lambda query, texts: [0.9 for _ in texts], DONT_KNOW))
    tokens = [step["answer"] async for step in chain.astream("milk") if step.get("answer")]
    assert tokens == ["Cats drink milk. [1]\n\n", "Milk is white. [2]"]


class Shaky(RunnableSerializable[Any, AIMessageChunk]):
    """Streams "Milk [1]." once it has failed some times, before or after its first chunk."""

    fails: int
    begins: bool = False
    grouped: bool = True
    asked: int = 0
    tasks: list[Any] = Field(default_factory=list)

    def invoke(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> AIMessageChunk:
        raise NotImplementedError

    async def astream(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> AsyncIterator[Any]:
        self.asked += 1
        self.tasks.append(asyncio.current_task())
        if self.begins:
            yield AIMessageChunk(content="Milk")
        if self.asked <= self.fails:
            error = RuntimeError("no such descriptor")
            raise ExceptionGroup("unhandled errors in a TaskGroup", [error]) if self.grouped else error
        yield AIMessageChunk(content="Milk [1].", response_metadata={"finish_reason": "stop"})


@pytest.mark.parametrize("grouped", [True, False])
@pytest.mark.parametrize(("fails", "begins", "asked"), [(1, False, 2), (2, False, 2), (1, True, 1)])
async def test_a_connection_that_fails_in_an_unknown_way_is_tried_once_more_before_the_first_token(
    fails: int, begins: bool, asked: int, grouped: bool, caplog: pytest.LogCaptureFixture
) -> None:
    model = Shaky(fails=fails, begins=begins, grouped=grouped)
    step = require_finish(cast(Any, model), 64)
    if asked > fails:
        assert "".join([chunk.text async for chunk in step.astream([])]) == "Milk [1]."
        assert "no such descriptor" in caplog.text
    else:
        with pytest.raises(ExceptionGroup if grouped else RuntimeError):
            _ = [chunk async for chunk in step.astream([])]
    assert model.asked == asked
    assert len(set(model.tasks)) == asked  # what anyio keeps for a task cannot spoil the next try
