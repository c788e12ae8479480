"""The scoreboard as one HTML page: templates/scoreboard.html, rendered with Jinja, and the rows of its tables.

Why: a share without its size is an anecdote, so every number has its n, and groups below LEAST duels get no win rate.
Names of documents and questions are other people's text, so autoescape is on. Without scripts the tables are the page.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from chat.scoreboard.charts import charts, percent
from rag.evaluation.agreement import Agreement
from rag.evaluation.scoreboard import GROUPS, LEAST, Bias, Group, Scoreboard
from rag.evaluation.win_rates import WinRate
from rag.settings import ROOT

THEME = ROOT / "public" / "theme.json"  # the chat's colours
SMALL = f"too few (below {LEAST})"
LISTED = 20  # names or questions of one kind
LONGEST = 300  # characters of one of them
Row = Sequence[object]  # cells of a table; the first one names the row


def render(board: Scoreboard, plotly: str, now: datetime) -> str:
    """Return the page as HTML; `plotly` is the URL of the script that draws the charts."""
    return _environment().get_template("scoreboard.html").render(view(board), plotly=plotly, now=now)


def view(board: Scoreboard) -> dict[str, Any]:
    """Return the template's variables: the scoreboard's numbers, formatted as rows of tables."""
    return {
        "board": board,
        "overall": board.overall,
        "current": board.current,
        "coverage": board.coverage,
        "figures": charts(board),
        "theme": theme_css(json.loads(THEME.read_text("utf-8"))["variables"]),
        "next_step": next_step(board),
        "tiles": _tiles(board),
        "versions": _version_rows(board),
        "never_met": _never_met(board),
        "trend": _trend_rows(board),
        "groups": [
            ("documents", "document", "By document", _group_rows(board.documents.shown), board.documents.others),
            ("topics", "topic", "By topic", _group_rows(board.topics.shown), board.topics.others),
        ],
        "documents": [[each.source, each.chunks, each.shown, each.cited] for each in board.coverage.documents[:GROUPS]],
        "agreements": _agreement_rows(board.agreements),
        "habits": _habit_rows(board),
        "biased": _has_side_bias(board.biases.side_a),
        "least": LEAST,
        "listed_names": LISTED,
        "name_length": LONGEST,
    }


def theme_css(variables: Mapping[str, Mapping[str, str]]) -> str:
    """Return the chat's colours as CSS: light, and dark if the chat's menu or else the system says so."""
    light, dark = (";".join(f"{name}:{value}" for name, value in variables[mode].items()) for mode in ("light", "dark"))
    return (
        f":root{{color-scheme:light;{light}}}"
        f":root[data-theme=dark]{{color-scheme:dark;{dark}}}"
        f"@media(prefers-color-scheme:dark){{:root:not([data-theme=light]){{color-scheme:dark;{dark}}}}}"
    )


def format_win_rate(rate: WinRate) -> str:
    """Return a win rate with its confidence interval and sizes, as part of a sentence."""
    if not rate.n:
        return f"no duel with a winner, {format_undecided(rate)}"
    return f"won {rate.won} of {rate.n} duels, {percent(rate.interval)}; {format_undecided(rate)}"


def format_undecided(rate: WinRate) -> str:
    """Return the numbers of duels without a winner, as part of a sentence."""
    return f'plus {counted(rate.ties, "tie")}, {rate.both_bad} "both bad"'


def verdict(rate: WinRate) -> str:
    """Return the conclusion that a confidence interval allows."""
    if rate.n < LEAST:
        return f"Too few duels to tell: at least {LEAST} with a winner are needed."
    if rate.interval.low > 0.5:
        return "Raters prefer the tuned retriever: the interval is above 50%."
    if rate.interval.high < 0.5:
        return "Raters prefer the base retriever: the interval is below 50%."
    return "Not significant: the interval contains 50%. More duels make it narrower."


def next_step(board: Scoreboard) -> str:
    """Return why there is no winner yet, and what to do next."""
    sizes = board.sizes
    if not sizes.duels:
        return "No question has been asked yet. Ask one in the chat: two retrievers answer, you pick the better one."
    if sizes.same == sizes.duels:
        return (
            f"No duel can be decided yet: both sides had the same passages or the same answer in {_all(sizes.duels)}. "
            "That is so until a training run succeeds. Rate answers anyway, then train."
        )
    if not sizes.decided:
        return (
            "No duel has been decided yet. Rate both answers of a question before the models are shown, one up and one "
            "down, or choose the better one."
        )
    return f'All {sizes.decided} decided duels were ties or "both bad", so there is no winner yet. Ask a harder one.'


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("chat.scoreboard"), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    environment.filters.update(win_rate=format_win_rate, undecided=format_undecided, verdict=verdict)
    return environment


def _tiles(board: Scoreboard) -> dict[str, int]:
    sizes = board.sizes
    return {
        "questions answered by both retrievers": sizes.duels,
        "of them with the same passages or answers on both sides": sizes.same,
        "decided blind": sizes.decided,
        "ratings": sizes.ratings,
        "raters": sizes.raters,
    }


def _version_rows(board: Scoreboard) -> list[Row]:
    """Return the ranked models and then those without a winner; nothing if no version has a duel."""
    if not board.versions:
        return []
    rows: list[Row] = []
    for each in board.ranking.models:
        rate = board.versions.get(each.model)
        ties = (rate.ties, rate.both_bad) if rate else ("", "")
        is_base = each.model == board.ranking.reference
        chance = "base" if is_base else percent(each.chance) if each.chance else "not linked"
        rows.append([each.model, each.won + each.lost, chance, each.won, each.lost, *ties])
    ranked = {each.model for each in board.ranking.models}
    unranked = {model: rate for model, rate in board.versions.items() if model not in ranked}
    return rows + [[model, 0, "no winner yet", 0, 0, rate.ties, rate.both_bad] for model, rate in unranked.items()]


def _never_met(board: Scoreboard) -> str:
    """Return which pairs of models have no common duel, "" if all have."""
    unmatched = board.ranking.unmatched
    if not unmatched:
        return ""
    named = ", ".join(f"{one} and {other}" for one, other in unmatched[:LISTED])
    more = f", and {len(unmatched) - LISTED} more" if len(unmatched) > LISTED else ""
    return f"Without a common duel: {named}{more}."


def _trend_rows(board: Scoreboard) -> list[Row]:
    """Return the periods, latest first."""
    return [
        [
            period.start.isoformat(),
            f"{period.rate.won} of {period.rate.n}",
            period.rate.ties,
            period.rate.both_bad,
            f"{percent(period.so_far.interval)}, n={period.so_far.n}" if period.so_far.n else "n=0",
            ", ".join(period.models),
        ]
        for period in reversed(board.trend)
    ]


def _group_rows(groups: Sequence[Group]) -> list[Row]:
    return [
        [
            each.name,
            each.rate.n,
            SMALL if each.is_small else percent(each.rate.interval),
            f"{each.rate.won} : {each.rate.lost}",
            each.rate.ties,
            each.rate.both_bad,
        ]
        for each in groups
    ]


def _agreement_rows(agreements: Mapping[str, Agreement]) -> list[Row]:
    names = {
        "answers": "thumbs, same answer",
        "passages": "marks, same passage",
        "duels": "winner, same passages on both sides",
    }
    return [
        [names[kind], each.targets, _alpha(each), f"{each.same:.0%}" if each.targets else "", each.raters]
        for kind, each in agreements.items()
    ]


def _alpha(found: Agreement) -> str:
    if not found.targets:
        return "none judged twice"
    if found.alpha is None:
        return "all judged the same"
    if found.targets < LEAST:
        return f"{found.alpha.mean:.2f}, {SMALL}"
    return f"{found.alpha.mean:.2f} [{found.alpha.low:.2f}, {found.alpha.high:.2f}]"


def _habit_rows(board: Scoreboard) -> list[Row]:
    """Return the wins by side and length; nothing without a winner."""
    found = board.biases
    if not found.side_a.n:
        return []
    return [
        ["answer on side A won", _habit(found.side_a)],
        ["longer answer won", _habit(found.longer)],
        ["tuned won with the longer answer", _habit(found.tuned_longer)],
        ["tuned won with the shorter answer", _habit(found.tuned_shorter)],
    ]


def _habit(found: Bias) -> str:
    share = percent(found.share) if found.n >= LEAST else f"{found.won} won, {SMALL}"
    return f"{share}, n={found.n}"


def _has_side_bias(side_a: Bias) -> bool:
    return side_a.n >= LEAST and not side_a.share.low <= 0.5 <= side_a.share.high


def counted(number: int, noun: str) -> str:
    """Return a number with its noun, in the plural unless it is 1."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _all(number: int) -> str:
    return "the only question" if number == 1 else f"all {number} questions"
