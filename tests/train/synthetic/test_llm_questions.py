"""Questions by an LLM: written, checked and journalled; an interrupted run resumes, and no call is paid for twice.

The LLM is an endpoint with the OpenAI protocol and fixed rules: about the chunk on a fruit it writes three questions,
and a chunk answers a question if the fruit is in both.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from fakes import Reply, endpoint, make_chunk, refuse, send_completion
from rag.answering.llm import build_ask
from rag.errors import AnswerFailed, StoreFailed
from rag.records import Chunk, SyntheticPair
from rag.settings import Settings
from train.synthetic.llm_questions import CALLS, QuestionJournal, QuestionPlan, plan_questions, write_questions
from train.synthetic.question_filter import ask_prompt, judge_prompt

FRUITS = ("apples", "pears", "plums", "grapes", "quinces", "cherries")
BODY = "keep for some time in a cool and dark cellar, where they should be looked at every week or two."
CHUNKS = [make_chunk(f"{fruit} {BODY}", f"{fruit}.md", fruit) for fruit in FRUITS]
ASKED = re.compile(r"^(\d+)\. (.*)$", re.MULTILINE)


def opinions(handler: BaseHTTPRequestHandler, body: dict[str, object]) -> None:
    """Write two good questions and two bad lines about a passage, or judge by whether its fruit is asked for."""
    messages = body["messages"]
    assert isinstance(messages, list)
    prompt = messages[0]["content"]
    fruit = re.search(rf"({'|'.join(FRUITS)}) keep", prompt)
    assert fruit
    if "numbered questions" in prompt:
        verdicts = (f"{n} {'yes' if fruit[1] in question else 'no'}" for n, question in ASKED.findall(prompt))
        send_completion(handler, "\n".join(verdicts))
    else:
        send_completion(
            handler,
            f'{{"question": "how long do {fruit[1]} keep"}}\n'
            f'{{"question": "where should {fruit[1]} be stored"}}\n'
            f'{{"question": "what does the passage say about {fruit[1]}"}}\n'
            "I hope that helps!",
        )


def found(query: str) -> Collection[str]:
    """Find every chunk for every query, as a retriever would that is asked for enough hits."""
    return {chunk.id for chunk in CHUNKS}


def words(text: str) -> int:
    return len(text.split())


@pytest.fixture
def journal(tmp_path: Path) -> Callable[[], QuestionJournal]:
    """Return what opens the journal: each call reads the file, as each run does."""
    return lambda: QuestionJournal(tmp_path, "corpus", "openai:some/model-1.5")


@pytest.fixture
def run(settings: Settings, journal: Callable[[], QuestionJournal]) -> Callable[..., list[str]]:
    """Return what a run does, from a fresh journal; its value are the prompts that the endpoint got."""

    def act(
        *replies: Reply,
        chunks: list[Chunk] = CHUNKS,
        find: Callable[[str], Collection[str]] = found,
        progress: Callable[..., Iterator[Chunk]] = iter,
    ) -> list[str]:
        with endpoint(*replies) as (url, requests):
            served = settings.model_copy(update={"openai_base_url": url, "llm": "openai:fake"})
            opened = journal()
            plan = plan_questions(chunks, opened, words)
            prompts: list[str] = []
            try:
                write_questions(
                    plan, chunks, opened, build_ask(served, sleep=lambda seconds: None), find, progress=progress
                )
            finally:
                prompts += [request["messages"][0]["content"] for request in requests]  # type: ignore[index]
        return prompts

    return act


def test_good_questions_become_pairs_and_the_others_are_counted_with_their_reason(run, journal) -> None:
    prompts = run(opinions)
    pairs = journal().pairs(CHUNKS)
    wanted = {
        (question, chunk.id)
        for fruit, chunk in zip(FRUITS, CHUNKS, strict=True)
        for question in (f"how long do {fruit} keep", f"where should {fruit} be stored")
    }
    assert {(pair.query, pair.chunk_id) for pair in pairs} == wanted
    assert pairs[0] == SyntheticPair(f"how long do {FRUITS[0]} keep", CHUNKS[0].id, CHUNKS[0].text, "llm")
    assert len(prompts) == CALLS * len(CHUNKS)
    result = "12 kept of 6 chunks; dropped: refers to the text 6, unusable lines 6"
    assert result in journal().summary()


def test_a_second_run_asks_nothing_and_finds_the_same(run, journal) -> None:
    run(opinions)
    before = journal().pairs(CHUNKS)
    assert run(refuse(500)) == []
    assert journal().pairs(CHUNKS) == before
    plan = plan_questions(CHUNKS, journal(), words)
    assert (plan.todo, plan.done, plan.tokens_in) == ((), len(CHUNKS), 0)


def test_an_interrupted_run_is_taken_up_where_it_stopped(run, journal) -> None:
    def two_then_ctrl_c(todo: Iterator[Chunk]) -> Iterator[Chunk]:
        for number, chunk in enumerate(todo):
            if number == 2:
                raise KeyboardInterrupt
            yield chunk

    with pytest.raises(KeyboardInterrupt):
        run(opinions, progress=two_then_ctrl_c)
    assert len(journal().lines) == 2
    assert len(run(opinions)) == CALLS * (len(CHUNKS) - 2)
    assert len(journal().pairs(CHUNKS)) == 2 * len(CHUNKS)


def test_an_endpoint_that_gives_up_leaves_what_is_done(run, journal) -> None:
    with pytest.raises(AnswerFailed, match="1 chunks are done and kept: the same command continues"):
        run(opinions, opinions, opinions, opinions, refuse(401))
    (line,) = journal().lines.values()
    assert len(line.kept) == 2
    assert len(run(opinions)) == CALLS * (len(CHUNKS) - 1)


def test_a_busy_endpoint_costs_time_and_no_question(run, journal) -> None:
    run(opinions, refuse(429), refuse(503), opinions)
    assert len(journal().pairs(CHUNKS)) == 2 * len(CHUNKS)


def test_a_refused_prompt_costs_its_chunk_and_is_tried_again_next_time(run, journal) -> None:
    run(refuse(400), opinions)
    assert len(journal().lines) == len(CHUNKS) - 1
    run(opinions)
    assert len(journal().pairs(CHUNKS)) == 2 * len(CHUNKS)


def test_an_endpoint_that_refuses_every_prompt_stops_the_run(run, journal) -> None:
    with pytest.raises(AnswerFailed, match="refused the request"):
        run(refuse(400))
    assert not journal().path.exists()


def test_a_question_that_no_retriever_finds_its_chunk_for_is_dropped_before_it_costs(run, journal) -> None:
    prompts = run(opinions, find=lambda query: [chunk.id for chunk in CHUNKS if "how long" in query])
    assert {pair.query.partition(" do")[0] for pair in journal().pairs(CHUNKS)} == {"how long"}
    assert "not found 6" in journal().summary()
    assert not [prompt for prompt in prompts if "numbered" in prompt and "stored" in prompt]


def judged(*verdicts: str) -> Reply:
    """Return an endpoint that writes one question, and judges it by the chunk and by another one as given."""
    left = list(verdicts)

    def reply(handler: BaseHTTPRequestHandler, body: dict[str, object]) -> None:
        asked = "numbered questions" in str(body["messages"])
        send_completion(handler, left.pop(0) if asked else '{"question": "how long does fruit keep"}')

    return reply


@pytest.mark.parametrize(
    ("verdicts", "kept", "reason"),
    [
        (("1 yes", "1 no"), 1, "none"),
        (("1 no",), 0, "not answered 1"),
        (("1 yes", "1 yes"), 0, "answered elsewhere 1"),
        (("I cannot say",), 0, "no verdict 1"),
        (("1 yes", ""), 0, "no verdict 1"),
    ],
)
def test_a_question_must_be_answered_by_its_chunk_alone(run, journal, verdicts, kept: int, reason: str) -> None:
    def first(todo: tuple[Chunk, ...]) -> Iterator[Chunk]:
        return iter(todo[:1])

    run(judged(*verdicts), progress=first)
    assert len(journal().pairs(CHUNKS)) == kept
    assert journal().summary().endswith(f"dropped: {reason}")


def test_the_same_question_of_two_chunks_is_kept_once(run, journal) -> None:
    run(judged("1 yes", "1 no"))
    assert [pair.query for pair in journal().pairs(CHUNKS)] == ["how long does fruit keep"]
    assert "asked before 5" in journal().summary()


def test_one_section_alone_has_no_other_chunk_to_ask(run, journal) -> None:
    assert len(run(opinions, chunks=CHUNKS[:1])) == 2
    assert len(journal().pairs(CHUNKS[:1])) == 2


def test_a_reply_without_a_question_is_journalled_too(run, journal) -> None:
    def silent(handler: BaseHTTPRequestHandler, body: dict[str, object]) -> None:
        send_completion(handler, "Sorry, I would rather not.")

    assert len(run(silent)) == len(CHUNKS)
    assert journal().summary().endswith("0 kept of 6 chunks; dropped: unusable lines 6")
    assert run(silent) == []


def test_a_line_that_a_crash_tore_costs_its_chunk_and_no_other(run, journal) -> None:
    run(opinions)
    path = journal().path
    path.write_bytes(path.read_bytes()[:-30])
    assert len(journal().lines) == len(CHUNKS) - 1
    assert len(run(opinions)) == CALLS
    assert len(journal().pairs(CHUNKS)) == 2 * len(CHUNKS)


def test_a_chunk_that_is_gone_has_no_pairs_and_those_left_keep_theirs(run, journal) -> None:
    run(opinions)
    assert {pair.chunk_id for pair in journal().pairs(CHUNKS[2:])} == {chunk.id for chunk in CHUNKS[2:]}


def test_each_model_and_corpus_has_its_own_journal(tmp_path: Path) -> None:
    names = {
        QuestionJournal(tmp_path, corpus, model).path.name for corpus in ("a", "b") for model in ("openai:x/y", "z")
    }
    assert names == {"a-openai-x-y.jsonl", "b-openai-x-y.jsonl", "a-z.jsonl", "b-z.jsonl"}


def test_a_journal_that_cannot_be_written_is_an_error(run, journal) -> None:
    journal().path.parent.write_text("a file where the folder should be")
    with pytest.raises(StoreFailed, match="cannot be written"):
        run(opinions)


def test_a_plan_takes_one_chunk_of_each_section_first_and_no_bare_or_double_text(journal) -> None:
    sections = [make_chunk(f"{n} {BODY}", "long.md", "Long") for n in range(8)] + CHUNKS
    bare = make_chunk("Too short.", "short.md", "Short")
    copies = [make_chunk(chunk.text, f"copy-of-{chunk.source}", chunk.heading) for chunk in CHUNKS]

    def planned(most: int) -> QuestionPlan:
        return plan_questions([*sections, bare, *copies], journal(), words, most)

    assert len({(chunk.source, chunk.heading) for chunk in planned(7).todo}) == 7
    assert len(planned(99).todo) == 14
    assert planned(7).todo == planned(99).todo[:7]


def test_the_cost_is_known_before_it_is_spent_and_is_not_less_than_what_is_spent(run, journal) -> None:
    plan = plan_questions(CHUNKS, journal(), words)
    one = words(ask_prompt(CHUNKS[0], 3, "0")) + 2 * (words(judge_prompt(CHUNKS[0], (), "0")) + 3 * 24)
    assert plan.tokens_in == len(CHUNKS) * one
    assert plan.tokens_out == len(CHUNKS) * 3 * (24 + 2 * 6)
    assert (
        f"6 chunks to ask about (0 are done), up to 3 questions each: at most 18 calls, about {plan.tokens_in:,}"
        in (plan.summary())
    )
    prompts = run(opinions)
    assert 0.5 * plan.tokens_in < sum(map(words, prompts)) <= plan.tokens_in
