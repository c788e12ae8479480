"""The scoreboard's page: numbers with their sizes, names shown as text, the next step if there is no data."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from datetime import UTC, datetime

from boards import board as board_of
from boards import duel, empty_board, full_board, preference
from chat.scoreboard.charts import charts
from chat.scoreboard.page import format_win_rate, next_step, render, theme_css, verdict
from rag.evaluation.scoreboard import LEAST, Scoreboard
from rag.evaluation.win_rates import count
from rag.records import Answer, Rating

HOSTILE = '<img src=x onerror="alert(1)"></script><script>alert(2)</script> & "quotes" {{ 7 * 7 }}.md'


def page_of(board: Scoreboard) -> str:
    return render(board, "/scoreboard/plotly.js?v=1", datetime(2026, 1, 2, 3, 4, tzinfo=UTC))


def test_the_page_gives_the_win_rate_with_its_interval_and_sizes() -> None:
    html = page_of(full_board())
    assert "<strong>78%</strong>" in html
    assert "of 18 duels won by v1, which answers now" in html
    assert "95% confidence interval 55% to 91%; plus 1 tie, 1 &#34;both bad&#34;" in html
    assert "Evidence so far does not decide" in html  # 14 of 18: the confidence sequence has 50% in it
    assert "1 of 2 passages (50%) were never shown for any of 20 questions" in html


def test_the_page_lists_what_to_write_next_with_its_reasons() -> None:
    answers = [replace(each, query="where may I park?", abstained=True) for each in duel(0, HOSTILE)]
    board = board_of([], answers)
    html = page_of(board)
    assert '<th scope="row">where may I park?</th><td>1</td><td>1 refused</td><td>&lt;img' in html
    assert "Nothing yet: no question was refused" in page_of(empty_board())


def test_no_rater_is_named() -> None:
    html = page_of(full_board())
    assert "rater-" not in html
    assert "<dd>3</dd><dt>raters</dt>" in html


def test_names_of_documents_are_shown_as_the_text_they_are() -> None:
    html = page_of(full_board(HOSTILE, tuned="<b>v1</b>"))
    assert "<img" not in html
    assert "<b>" not in html
    assert html.count("<script") == html.count("</script>") == 5  # the page's own
    assert "&lt;img src=x" in html
    assert "{{ 7 * 7 }}.md" in html
    figures = json.loads(re.findall(r'id="figures">(.*?)</script>', html)[0])
    labels = [note["text"] for note in figures["documents"]["layout"]["annotations"]]
    assert labels
    assert not [label for label in labels if "<" in label]


def test_an_empty_board_says_what_to_do_and_draws_nothing() -> None:
    html = page_of(empty_board())
    assert "No question has been asked yet. Ask one in the chat" in html
    assert "No question has been asked about these 1 passages yet." in html
    assert 'class="chart"' not in html
    assert 'id="figures">{}</script>' in html


def test_the_next_step_names_what_is_missing() -> None:
    def step(ratings: list[Rating], answers: list[Answer]) -> str:
        return next_step(board_of(ratings, answers))

    same = [replace(answer, hits=duel(0)[0].hits) for answer in duel(0)]
    assert "both sides had the same passages or the same answer in the only question" in step([], same)
    assert "No duel has been decided yet" in step([], duel(0))
    assert 'All 1 decided duels were ties or "both bad"' in step([preference(0, "tie")], duel(0))


def test_a_verdict_claims_no_more_than_the_interval() -> None:
    few, much, little = ["tuned"] * (LEAST - 1), ["tuned"] * 20, ["base"] * 20
    assert "Too few duels to tell" in verdict(count(few))  # type: ignore[arg-type]
    assert "prefer the tuned" in verdict(count(much))  # type: ignore[arg-type]
    assert "prefer the base" in verdict(count(little))  # type: ignore[arg-type]
    assert "does not decide" in verdict(count([*much, *little]))  # type: ignore[list-item]


def test_a_small_group_is_told_with_its_size_and_without_a_share() -> None:
    answers, ratings = duel(0), [preference(0, "tuned")]
    board = board_of(ratings, answers)
    assert f"<td>1</td><td>too few (below {LEAST})</td><td>1 : 0</td>" in page_of(board)
    assert not {"documents", "topics", "habits"} & set(charts(board))


def test_both_themes_of_the_chat_are_on_the_page() -> None:
    css = theme_css({"light": {"--ink": "black"}, "dark": {"--ink": "white"}})
    assert css.startswith(":root{color-scheme:light;--ink:black}")
    assert ":root[data-theme=dark]{color-scheme:dark;--ink:white}" in css
    assert "@media(prefers-color-scheme:dark){:root:not([data-theme=light]){color-scheme:dark;--ink:white}}" in css


def test_a_win_rate_is_written_with_its_interval_and_its_undecided_duels() -> None:
    assert format_win_rate(count(["tuned"] * 3 + ["base"] + ["tie"] * 2)).endswith('; plus 2 ties, 0 "both bad"')  # type: ignore[list-item]
    assert format_win_rate(count(["both bad"])) == 'no duel with a winner, plus 0 ties, 1 "both bad"'
