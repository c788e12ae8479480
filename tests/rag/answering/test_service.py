"""The query service: answers are stored before they are done, and degraded operation is noted."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Mapping
from contextlib import aclosing, closing
from datetime import UTC, datetime
from pathlib import Path

import lancedb
import pytest

from chat.elements.card import Card
from fakes import completion, endpoint, stream
from rag.answering.duel import Done, Failed
from rag.answering.evidence.refusals import DONT_KNOW
from rag.answering.options import AskOptions
from rag.answering.service import MAX_QUERY_CHARS, QueryService, check_query, open_service
from rag.errors import BadQuery, NotIndexed
from rag.feedback.ratings import rate_answer
from rag.indexing import maintenance
from rag.indexing.indexer import index
from rag.ingest.corpus import load_corpus
from rag.models.embedder import load_embedder
from rag.models.registry import START_WEIGHTS, Registry, Version
from rag.models.weights import BUILTIN
from rag.records import ARMS, Arm, Side
from rag.settings import EXTRACTIVE, Settings
from rag.store.filters import EVERYWHERE, DocumentFilter

SIDES: Mapping[Arm, Side] = {"base": "A", "tuned": "B"}


async def answers(
    serving: QueryService, query: str = "Does the cat drink warm milk at night?"
) -> dict[Arm, Done | Failed]:
    async with aclosing(serving.ask(query, sides=SIDES, duel_id="duel")) as events:
        return {event.arm: event async for event in events if isinstance(event, Done | Failed)}


async def test_an_answer_can_be_rated_as_soon_as_it_is_done(settings: Settings) -> None:
    index(settings)
    serving = open_service(settings)
    async with aclosing(serving.ask("Does the cat drink milk?", sides=SIDES, duel_id="duel")) as events:
        async for event in events:
            if isinstance(event, Done):
                rate_answer(serving.store, rater="ann", answer_id=event.answer.id, value=1, blind=True)
    assert len(serving.store.feedback.ratings()) == 2
    assert {answer.arm for answer in serving.store.feedback.answers()} == {"base", "tuned"}
    serving.close()


def test_nothing_is_checked_in_the_background_once_the_service_is_closed(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    index(settings)
    failed: list[object] = []
    monkeypatch.setattr(threading, "excepthook", failed.append)
    monkeypatch.setattr(maintenance, "INTERVAL", 0.001)
    serving = open_service(settings)
    serving.start()
    serving.close()
    assert "maintenance" not in [thread.name for thread in threading.enumerate()]
    assert failed == []


async def test_the_extractive_answerer_quotes_the_documents(settings: Settings) -> None:
    index(settings)
    serving = open_service(settings)
    done = (await answers(serving))["base"]
    assert isinstance(done, Done)
    assert "The cat drinks warm milk at night. [" in done.answer.text
    assert (done.answer.answerer, done.answer.cited != ()) == ("extractive", True)


async def test_sentences_are_compared_in_fp32_where_bf16_would_load_torch(settings: Settings) -> None:
    in_bf16 = settings.model_copy(update={"precision": "bf16"})
    index(in_bf16)
    with closing(open_service(in_bf16)) as serving:
        assert serving.served("base").embedder.precision == "bf16"
        assert isinstance((await answers(serving))["base"], Done)
    exact = load_embedder(BUILTIN, settings, "fp32")
    assert [path.stem for path in (settings.cache / "sentences").iterdir()] == [exact.fingerprint]


async def test_a_persons_own_settings_hold_for_both_arms_and_no_other_question(settings: Settings) -> None:
    index(settings)
    with endpoint(stream("Milk [1].")) as (url, requests):
        given = {"openai_base_url": url, "llm": "openai:small", "llms": ("openai:large", EXTRACTIVE)}
        serving = open_service(settings.model_copy(update=given))
        assert serving.offer.llm == ("openai:small", "openai:large", EXTRACTIVE)
        for chosen, model in ((AskOptions(k=1, llm="openai:large"), "large"), (AskOptions(), "small")):
            del requests[:]
            asked = serving.ask("Does the cat drink milk?", sides=SIDES, duel_id="duel", chosen=chosen)
            async with aclosing(asked) as events:
                done = [event.answer async for event in events if isinstance(event, Done)]
            assert [request["model"] for request in requests] == [model, model]
            assert {answer.answerer for answer in done} == {f"openai:{model}"}
            assert {len(answer.hits) == 1 for answer in done} == {chosen.k == 1}
        asked = serving.ask("Does the cat drink milk?", sides=SIDES, duel_id="duel", chosen=AskOptions(llm=EXTRACTIVE))
        async with aclosing(asked) as events:
            done = [event.answer async for event in events if isinstance(event, Done)]
        assert all("The cat drinks warm milk" in answer.text for answer in done)
        serving.close()


async def test_an_llm_answers_both_arms_from_the_same_prompt(settings: Settings) -> None:
    index(settings)
    with endpoint(stream("Milk [1].")) as (url, requests):
        serving = open_service(settings.model_copy(update={"openai_base_url": url}))
        done = await answers(serving)
    assert {type(event) for event in done.values()} == {Done}
    assert len(requests) == 2
    assert (
        requests[0]["messages"][1]["content"].splitlines()[1] == requests[1]["messages"][1]["content"].splitlines()[1]
    )  # type: ignore[index]
    assert any("Tokens are estimated" in note for note in serving.notes())


async def test_each_arm_abstains_by_the_threshold_of_its_own_model(settings: Settings, other_tiny_model: Path) -> None:
    settings = settings.model_copy(update={"base_model": str(other_tiny_model)})
    index(settings)
    serving = open_service(settings)
    base, tuned = (serving.served(arm).embedder.query_fingerprint for arm in ARMS)
    assert {type(event) for event in (await answers(serving)).values()} == {Done}
    assert not any(event.answer.abstained for event in (await answers(serving)).values() if isinstance(event, Done))
    Registry(settings.models).set_abstain_below(serving.corpus.id, {base: 1.01, tuned: -1.0})
    serving.refresh()  # as a running chat does after the registry was written
    done = await answers(serving)
    by_arm = {arm: event.answer for arm, event in done.items() if isinstance(event, Done)}
    assert {arm: answer.abstained for arm, answer in by_arm.items()} == {"base": True, "tuned": False}
    assert by_arm["base"].text == DONT_KNOW
    assert (len(by_arm["base"].hits), by_arm["base"].cited) == (len(by_arm["tuned"].hits), ())
    assert serving.store.feedback.answer(by_arm["base"].id) is not None  # so it can be rated, and its passages marked


async def test_a_version_on_trial_answers_in_comparisons_alone(settings: Settings, other_tiny_model: Path) -> None:
    index(settings)
    registry, corpus = Registry(settings.models), load_corpus(settings)
    settings.models.mkdir(exist_ok=True)
    (settings.models / "v1").symlink_to(other_tiny_model)
    registry.add(Version("v1", corpus.folders_id, "f", "builtin", "bootstrap", "keep", "VERDICT", datetime.now(UTC)))
    registry.try_out(corpus.folders_id, "v1")
    index(settings)  # a trial's table is kept up to date like the others
    serving = open_service(settings)
    assert not serving.has_one_model()
    assert any("v1 is on trial" in note for note in serving.notes())
    query, only = serving.parse_query("What does the cat drink?")

    async def models(compares: bool) -> set[tuple[str, str]]:
        events = serving.ask(query, sides=SIDES, duel_id="d", only=only, compares=compares)
        return {(event.arm, event.answer.model) async for event in events if isinstance(event, Done)}

    assert await models(compares=True) == {("base", settings.base_model), ("tuned", "v1")}
    assert await models(compares=False) == {("base", settings.base_model), ("tuned", START_WEIGHTS)}
    assert [hit.score for hit in serving.search(query, "tuned")] == [hit.score for hit in serving.search(query, "base")]


async def test_the_threshold_is_used_only_with_plain_dense_search(settings: Settings) -> None:
    index(settings)
    ranking = open_service(settings).served("base").embedder.query_fingerprint
    Registry(settings.models).set_abstain_below(load_corpus(settings).id, {ranking: 1.01})
    abstained = {}
    for name, changed, only in (
        ("default", {}, EVERYWHERE),
        ("filtered", {}, DocumentFilter(("cats.md",))),
        ("hybrid", {"search": "hybrid"}, EVERYWHERE),
        ("spread", {"mmr": 0.7}, EVERYWHERE),
    ):
        serving = open_service(settings.model_copy(update=changed))
        query = "Does the cat drink warm milk at night?"
        async with aclosing(serving.ask(query, sides=SIDES, duel_id="duel", only=only)) as events:
            done = [event async for event in events if isinstance(event, Done)]
        abstained[name] = {event.answer.abstained for event in done}
    assert abstained == {"default": {True}, "filtered": {False}, "hybrid": {False}, "spread": {False}}


async def test_an_abstention_by_the_threshold_looks_like_any_other(settings: Settings) -> None:
    index(settings)
    by_answerer = open_service(settings)
    cards = []
    for below in (None, 1.01):
        ranking = by_answerer.served("base").embedder.query_fingerprint
        Registry(settings.models).set_abstain_below(by_answerer.corpus.id, {ranking: below})
        serving = open_service(settings)
        card = Card()
        async with aclosing(serving.ask("zzz qqq vvv", sides=SIDES, duel_id="duel")) as events:
            async for event in events:
                card.take(SIDES[event.arm], event)
        cards.append([{**view, "answer": ""} for view in card.props["sides"]])
    assert cards[0] == cards[1]
    assert {view["text"] for view in cards[0]} == {DONT_KNOW}


async def test_an_endpoint_that_is_down_fails_both_arms_with_a_message(settings: Settings) -> None:
    index(settings)
    down = {"openai_base_url": "http://127.0.0.1:9/v1", "llm_retries": 0}
    done = await answers(open_service(settings.model_copy(update=down)))
    assert [("is it running" in event.message) for event in done.values() if isinstance(event, Failed)] == [True, True]


async def test_an_answer_that_cannot_be_stored_is_shown_as_failed(settings: Settings) -> None:
    index(settings)
    serving = open_service(settings)
    await answers(serving)
    table = settings.lancedb / "answers.lance"
    shutil.rmtree(table)
    table.write_text("no folder")
    done = await answers(serving)
    assert {type(event) for event in done.values()} == {Failed}
    assert "could not be stored" in done["base"].message  # type: ignore[union-attr]


def test_equal_weights_in_both_arms_are_noted(settings: Settings) -> None:
    index(settings)
    assert any("both sides use the same model" in note for note in open_service(settings).notes())


def test_the_error_for_a_home_without_index_names_the_next_step(settings: Settings) -> None:
    with pytest.raises(NotIndexed, match="python -m rag index"):
        open_service(settings)


async def test_a_follow_up_is_rewritten_by_the_llm_that_answers(settings: Settings) -> None:
    index(settings)
    with endpoint(completion("What does the cat drink at night?")) as (url, _):
        serving = open_service(settings.model_copy(update={"openai_base_url": url}))
        asked = await serving.rewrite("And at night?", [("What does the cat drink?", "Milk.")])
    assert (asked.query, asked.changed) == ("What does the cat drink at night?", True)


@pytest.mark.parametrize(("text", "message"), [("  \n", "is empty"), ("x" * 100_000, "100,000 characters")])
def test_an_empty_or_endless_question_is_one_clear_line(settings: Settings, text: str, message: str) -> None:
    index(settings)
    with closing(open_service(settings)) as serving, pytest.raises(BadQuery, match=message):
        serving.parse_query(text)


def test_a_long_question_up_to_the_limit_is_taken() -> None:
    assert check_query(" " + "x" * MAX_QUERY_CHARS) == "x" * MAX_QUERY_CHARS


def test_arms_are_compared_fairly_only_where_both_search_the_same_chunks(
    settings: Settings, other_tiny_model: Path
) -> None:
    index(settings)
    assert open_service(settings).is_fair()  # one model, one table
    settings = settings.model_copy(update={"base_model": str(other_tiny_model)})
    index(settings)
    serving = open_service(settings)
    assert serving.is_fair()
    lancedb.connect(settings.lancedb).open_table(serving.served("tuned").table).delete("text like '%cat%'")
    assert not serving.is_fair()  # as while an index run has embedded new documents for one arm and not yet the other
