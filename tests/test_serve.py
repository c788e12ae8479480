"""What both roofs stand on: answers are stored before they are done, and degraded modes are told."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from contextlib import aclosing

import pytest

from fakes import completion, endpoint, stream
from rag.duel import Done, Failed
from rag.errors import NotIndexed
from rag.feedback import rate_answer
from rag.prepare import index
from rag.records import Arm, Side
from rag.serve import Serving, open_serving
from rag.settings import Settings

SIDES: Mapping[Arm, Side] = {"base": "A", "tuned": "B"}


async def answers(serving: Serving, query: str = "Does the cat drink warm milk at night?") -> dict[Arm, Done | Failed]:
    async with aclosing(serving.ask(query, sides=SIDES, duel_id="duel")) as events:
        return {event.arm: event async for event in events if isinstance(event, Done | Failed)}


async def test_an_answer_can_be_rated_the_moment_it_is_done(settings: Settings) -> None:
    index(settings)
    serving = open_serving(settings)
    async with aclosing(serving.ask("Does the cat drink milk?", sides=SIDES, duel_id="duel")) as events:
        async for event in events:
            if isinstance(event, Done):
                rate_answer(serving.store, rater="ann", answer_id=event.answer.id, value=1, blind=True)
    assert len(serving.store.ratings()) == 2
    assert {answer.arm for answer in serving.store.answers()} == {"base", "tuned"}
    serving.close()


async def test_the_extractive_answerer_quotes_the_documents(settings: Settings) -> None:
    index(settings)
    serving = open_serving(settings)
    done = (await answers(serving))["base"]
    assert isinstance(done, Done)
    assert "The cat drinks warm milk at night. [" in done.answer.text
    assert (done.answer.answerer, done.answer.cited != ()) == ("extractive", True)


async def test_an_llm_answers_both_arms_from_the_same_prompt(settings: Settings) -> None:
    index(settings)
    with endpoint(stream("Milk [1].")) as (url, requests):
        serving = open_serving(settings.model_copy(update={"openai_base_url": url}))
        done = await answers(serving)
    assert {type(event) for event in done.values()} == {Done}
    assert len(requests) == 2
    assert (
        requests[0]["messages"][1]["content"].splitlines()[1] == requests[1]["messages"][1]["content"].splitlines()[1]
    )  # type: ignore[index]
    assert any("Tokens are estimated" in note for note in serving.notes())


async def test_an_endpoint_that_is_down_fails_both_arms_in_words(settings: Settings) -> None:
    index(settings)
    down = {"openai_base_url": "http://127.0.0.1:9/v1", "llm_retries": 0}
    done = await answers(open_serving(settings.model_copy(update=down)))
    assert [("is it running" in event.message) for event in done.values() if isinstance(event, Failed)] == [True, True]


async def test_an_answer_that_cannot_be_stored_is_shown_as_failed(settings: Settings) -> None:
    index(settings)
    serving = open_serving(settings)
    await answers(serving)
    table = settings.lancedb / "answers.lance"
    shutil.rmtree(table)
    table.write_text("no folder")
    done = await answers(serving)
    assert {type(event) for event in done.values()} == {Failed}
    assert "could not be stored" in done["base"].message  # type: ignore[union-attr]


def test_equal_weights_in_both_arms_are_told(settings: Settings) -> None:
    index(settings)
    assert any("same weights" in note for note in open_serving(settings).notes())


def test_an_unindexed_home_says_what_to_do(settings: Settings) -> None:
    with pytest.raises(NotIndexed, match="python -m rag index"):
        open_serving(settings)


async def test_a_follow_up_is_rewritten_by_the_llm_that_answers(settings: Settings) -> None:
    index(settings)
    with endpoint(completion("What does the cat drink at night?")) as (url, _):
        serving = open_serving(settings.model_copy(update={"openai_base_url": url}))
        asked = await serving.standalone("And at night?", [("What does the cat drink?", "Milk.")])
    assert (asked.query, asked.changed) == ("What does the cat drink at night?", True)
