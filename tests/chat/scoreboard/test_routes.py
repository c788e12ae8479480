"""The scoreboard's page and its word in the chat, on a real store; the arithmetic is tested in test_scores."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import plotly.graph_objects as go
import pytest
from chainlit.config import config
from fastapi import FastAPI
from starlette.testclient import TestClient

from chat.scoreboard.charts import NAME_LENGTH, charts, short
from chat.scoreboard.html import theme_css
from chat.scoreboard.page import next_step, render, verdict
from chat.scoreboard.routes import ScoreboardCache, routes, scoreboard_cache, summary
from chat.session.context import AppState
from chat.session.thread_store import ThreadStore
from chat.web.security import Hosts, SecurityMiddleware
from fakes import NOON, make_answer, make_chunk
from rag.answering.service import open_service
from rag.evaluation.scoreboard import LEAST, Scoreboard, make_scoreboard
from rag.evaluation.win_rates import Winner, count
from rag.indexing.indexer import index
from rag.records import Answer, Chunk, Hit, Rating
from rag.settings import Settings

HOSTILE = '<img src=x onerror="alert(1)"></script><script>alert(2)</script> & "quotes".md'
COLOR = re.compile(r'"--sb-[a-z]+"')


def chunk(text: str, source: str = "a.md") -> Chunk:
    return make_chunk(text, source, "Chapter")


def duel(n: int, source: str = "a.md") -> list[Answer]:
    """Return two answers written from one chunk each; tuned has the longer text and the right side."""
    base = make_answer([Hit(chunk("one", source), 1, 0.5)], arm="base", cited=(1,), id=f"base{n}", query=f"What {n}?")
    tuned = make_answer(
        [Hit(chunk("two", source), 1, 0.5)], arm="tuned", cited=(1,), id=f"tuned{n}", query=f"What {n}?"
    )
    return [
        replace(base, duel=f"duel{n}"),
        replace(tuned, duel=f"duel{n}", model="v1", text=tuned.text + " And more."),
    ]


def preference(n: int, choice: Winner, rater: str = "rater-ann") -> Rating:
    return Rating(rater, f"duel{n}", 1, True, NOON + timedelta(days=n % 3), kind="preference", choice=choice)


def full_board(source: str = "a.md") -> Scoreboard:
    """Return a board of 20 duels: tuned won 14, base 4, one tie, one both bad."""
    winners: list[Winner] = [*["tuned"] * 14, *["base"] * 4, "tie", "both bad"]  # type: ignore[list-item]
    answers = [answer for n in range(20) for answer in duel(n, source)]
    ratings = [preference(n, winner, f"rater-{n % 3}") for n, winner in enumerate(winners)]
    chunks = [chunk("one", source), chunk("never shown", source)]
    return make_scoreboard(ratings, answers, chunks, [], base="builtin", tuned="v1")


def empty_board() -> Scoreboard:
    return make_scoreboard([], [], [chunk("one")], [], base="builtin", tuned="v1")


def page_of(board: Scoreboard) -> str:
    return render(board, "/scoreboard/plotly.js?v=1", datetime(2026, 1, 2, 3, 4, tzinfo=UTC))


@pytest.fixture
def house(settings: Settings) -> Iterator[AppState]:
    index(settings)
    house = AppState(settings, open_service(settings), ThreadStore(settings.chat_db))
    yield house
    house.serving.close()


@pytest.fixture
def client(house: AppState) -> TestClient:
    app = FastAPI(routes=[*routes(house)])
    app.add_middleware(SecurityMiddleware, hosts=Hosts(frozenset({"testserver"})))
    return TestClient(app, follow_redirects=False)


# --- the page -----------------------------------------------------------------------------------------------------


def test_the_page_gives_the_win_rate_with_its_interval_and_sizes() -> None:
    html = page_of(full_board())
    assert "<strong>78%</strong>" in html
    assert "of 18 duels won by v1, which serves now" in html
    assert "95% interval 55% to 91%; beside them 1 ties, 1 both bad" in html
    assert "Raters prefer the tuned retriever" in html
    assert "1 of 2 passages (50%) were never shown for any of 20 questions" in html


def test_no_rater_is_named() -> None:
    html = page_of(full_board())
    assert "rater-" not in html
    assert "<dd>3</dd><dt>raters</dt>" in html


def test_names_of_documents_are_shown_as_the_text_they_are() -> None:
    html = page_of(full_board(HOSTILE))
    assert "<img" not in html
    assert html.count("<script") == html.count("</script>") == 4  # the page's own
    assert "&lt;img src=x" in html
    figures = json.loads(re.findall(r'id="figures">(.*?)</script>', html)[0])
    labels = [note["text"] for note in figures["documents"]["layout"]["annotations"]]
    assert labels
    assert not [label for label in labels if "<" in label]


def test_an_empty_board_says_what_to_do_and_draws_nothing() -> None:
    html = page_of(empty_board())
    assert "No question has been asked yet. Ask one in the chat" in html
    assert "Nothing has been asked yet of these 1 passages." in html
    assert 'class="chart"' not in html
    assert 'id="figures">{}</script>' in html


def test_the_next_step_names_what_is_missing() -> None:
    def step(ratings: list[Rating], answers: list[Answer]) -> str:
        return next_step(make_scoreboard(ratings, answers, [], [], base="builtin", tuned="v1"))

    same = [replace(answer, hits=duel(0)[0].hits) for answer in duel(0)]
    assert "in all 1 both retrievers showed the same passages" in step([], same)
    assert "No duel has been decided yet" in step([], duel(0))
    assert "All 1 decided duels were ties or both bad" in step([preference(0, "tie")], duel(0))


def test_a_verdict_claims_no_more_than_the_interval() -> None:
    few, much, little = ["tuned"] * (LEAST - 1), ["tuned"] * 20, ["base"] * 20
    assert "Too few to say" in verdict(count(few))  # type: ignore[arg-type]
    assert "prefer the tuned" in verdict(count(much))  # type: ignore[arg-type]
    assert "prefer the base" in verdict(count(little))  # type: ignore[arg-type]
    assert "Not decided" in verdict(count([*much, *little]))  # type: ignore[list-item]


def test_a_small_group_is_told_with_its_size_and_without_a_share() -> None:
    answers, ratings = duel(0), [preference(0, "tuned")]
    board = make_scoreboard(ratings, answers, [], [], base="builtin", tuned="v1")
    assert f"<td>1</td><td>too few (below {LEAST})</td><td>1 : 0</td>" in page_of(board)
    assert not {"documents", "topics", "habits"} & set(charts(board))


def test_both_themes_of_the_chat_are_on_the_page() -> None:
    css = theme_css({"light": {"--ink": "black"}, "dark": {"--ink": "white"}})
    assert css.startswith(":root{color-scheme:light;--ink:black}")
    assert ":root[data-theme=dark]{color-scheme:dark;--ink:white}" in css
    assert "@media(prefers-color-scheme:dark){:root:not([data-theme=light]){color-scheme:dark;--ink:white}}" in css


# --- the charts ---------------------------------------------------------------------------------------------------


def test_plotly_knows_every_property_of_every_chart() -> None:
    figures = charts(full_board())
    assert set(figures) == {"ladder", "trend", "counts", "documents", "topics", "coverage", "habits"}
    for figure in figures.values():
        go.Figure(json.loads(COLOR.sub('"red"', json.dumps(figure))))  # raises where it does not


def test_a_chart_says_the_number_behind_each_of_its_rows() -> None:
    figures: dict[str, Any] = charts(full_board())
    for name in ("ladder", "documents", "topics", "coverage", "habits"):
        assert all("n=" in note["text"] for note in figures[name]["layout"]["annotations"])


def test_a_long_name_is_cut_at_its_start_where_files_of_a_folder_are_alike() -> None:
    assert short("a & b.md") == "a &amp; b.md"
    assert short("folder/" * 9 + "file.md").endswith("file.md")
    assert len(short("folder/" * 9 + "file.md")) == NAME_LENGTH


# --- from the tables ----------------------------------------------------------------------------------------------


def test_the_page_is_served_from_the_tables_and_its_script_from_here(house: AppState, client: TestClient) -> None:
    store = house.serving.store
    for answer in duel(0):
        store.feedback.put_answer(answer)
    store.feedback.put_ratings([preference(0, "tuned")])
    answer = client.get("/scoreboard")
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "private, no-store"
    assert "won 1 of 1 duels" in answer.text
    assert "cats.md" in answer.text  # a document of today that nobody has asked for
    (script,) = re.findall(r'src="(/scoreboard/plotly[^"]*)"', answer.text)
    drawn = client.get(script)
    assert (drawn.status_code, drawn.headers["content-type"]) == (200, "text/javascript; charset=utf-8")
    assert "immutable" in drawn.headers["cache-control"]
    assert "plotly.js v" in drawn.text[:100]


def test_nothing_on_the_page_leads_to_another_host(client: TestClient) -> None:
    html = client.get("/scoreboard").text
    assert not re.findall(r"""(?:src|href)=["'](?!/[^/])[^"']*""", html)
    assert "://" not in html


def test_who_has_no_cookie_yet_gets_one_and_comes_again_and_a_stranger_stays_out(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(config.code, "header_auth_callback", lambda headers: None)  # so a login is needed
    first = client.get("/scoreboard")
    assert (first.status_code, first.headers["location"]) == (303, "/scoreboard?again")
    second = client.get("/scoreboard?again")
    assert second.status_code == 401
    assert "open the chat" in second.text


async def test_the_board_is_computed_again_only_after_a_write(house: AppState) -> None:
    boards = ScoreboardCache(house.serving)
    first, second = await asyncio.gather(boards.now(), boards.now())
    assert first is second
    await asyncio.to_thread(house.serving.store.feedback.put_answer, duel(0)[0])
    third = await boards.now()
    assert third is not first
    assert third.coverage.queries == 1
    assert await boards.now() is third


async def test_a_house_has_one_board(house: AppState) -> None:
    assert scoreboard_cache(house) is scoreboard_cache(house)


async def test_a_known_passage_takes_a_question_off_the_list(house: AppState) -> None:
    from rag.feedback.ratings import rate_answer, teach

    store = house.serving.store
    answer = duel(0)[0]
    store.feedback.put_answer(answer)
    rate_answer(store, rater="ann", answer_id=answer.id, value=-1, blind=True)
    assert (await ScoreboardCache(house.serving).now()).coverage.voted_down == ("What 0?",)
    teach(store, rater="bob", query="what 0", chunk=chunk("one"))
    assert (await ScoreboardCache(house.serving).now()).coverage.voted_down == ()


# --- in the chat --------------------------------------------------------------------------------------------------


def test_the_summary_is_a_few_lines_with_sizes_and_a_link() -> None:
    said = summary(full_board())
    assert "**v1** won 14 of 18 duels, 78% [55%, 91%]" in said
    assert "20 of 20 duels decided blind, by 3 raters." in said
    assert said.endswith("[Open the scoreboard](/scoreboard)")
    assert 3 <= len(said.split("\n\n")) <= 6


def test_the_summary_of_an_empty_home_says_the_next_step() -> None:
    assert summary(empty_board()).startswith("No question has been asked yet.")
