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

from jinja2 import Environment, PackageLoader, StrictUndefined, pass_context
from jinja2.runtime import Context

from chat.language import ENGLISH, Phrase, in_language, joined
from chat.scoreboard.charts import charts, percent, whole
from rag.evaluation.agreement import Agreement
from rag.evaluation.gaps import AGAIN, BOTH_BAD, DOWN, NOT_THERE, REFUSED, Gap
from rag.evaluation.scoreboard import GROUPS, LEAST, Bias, Group, Scoreboard
from rag.evaluation.win_rates import WinRate
from rag.settings import ROOT

THEME = ROOT / "public" / "theme.json"  # the chat's colours
SMALL = Phrase("board.too_few", least=LEAST)
GAPS, GAP_QUESTIONS = 12, 3  # subjects listed, questions of one
LISTED = 20  # names or questions of one kind
LONGEST = 300  # characters of one of them
Row = Sequence[object]  # cells of a table; the first one names the row


def render(board: Scoreboard, plotly: str, now: datetime, language: str = ENGLISH) -> str:
    """Return the page as HTML; `plotly` is the URL of the script that draws the charts."""
    values = in_language(view(board), language)
    given = {**values, "board": board, "overall": board.overall, "current": board.current, "coverage": board.coverage}
    template = _environment().get_template("scoreboard.html")
    return template.render(given, plotly=plotly, now=now, language=language, t=Phrase)


def view(board: Scoreboard) -> dict[str, Any]:
    """Return the template's variables: the scoreboard's numbers, formatted as rows of tables."""
    return {
        "figures": charts(board),
        "theme": theme_css(json.loads(THEME.read_text("utf-8"))["variables"]),
        "next_step": next_step(board),
        "tiles": _tiles(board),
        "versions": _version_rows(board),
        "never_met": _never_met(board),
        "trend": _trend_rows(board),
        "groups": [
            ("documents", _group_rows(board.documents.shown), board.documents.others),
            ("topics", _group_rows(board.topics.shown), board.topics.others),
        ],
        "documents": [[each.source, each.chunks, each.shown, each.cited] for each in board.coverage.documents[:GROUPS]],
        "gaps": _gap_rows(board.gaps),
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
        return Phrase("board.no_winner_rate", undecided=format_undecided(rate))
    undecided = format_undecided(rate)
    return Phrase("board.won_of", won=rate.won, n=rate.n, share=percent(rate.interval), undecided=undecided)


def format_undecided(rate: WinRate) -> str:
    """Return the numbers of duels without a winner, as part of a sentence."""
    return Phrase("board.undecided", n=rate.ties, bad=rate.both_bad)


def verdict(rate: WinRate) -> str:
    """Return the conclusion that a confidence sequence allows, which holds however often somebody looks."""
    if rate.n < LEAST:
        return Phrase("board.too_few_duels", least=LEAST)
    if rate.sequence.low > 0.5:
        return Phrase("board.tuned_preferred")
    if rate.sequence.high < 0.5:
        return Phrase("board.base_preferred")
    return Phrase("board.not_significant")


def next_step(board: Scoreboard) -> str:
    """Return why there is no winner yet, and what to do next."""
    sizes = board.sizes
    if not sizes.duels:
        return Phrase("board.ask_first")
    if sizes.same == sizes.duels:
        return Phrase("board.all_same", questions=Phrase("board.only_question", n=sizes.duels))
    if not sizes.decided:
        return Phrase("board.decide_one")
    return Phrase("board.all_ties", n=sizes.decided)


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("chat.scoreboard"), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    environment.filters.update(win_rate=format_win_rate, undecided=format_undecided, verdict=verdict, percent=whole)
    environment.finalize = _in_page_language
    return environment


@pass_context
def _in_page_language(context: Context, value: object) -> object:
    """Return what an expression of the template is written as: a phrase or a number in the page's language."""
    if isinstance(value, int) and not isinstance(value, bool):
        value = Phrase("number.plain", n=value)
    return in_language(value, context["language"])


def _tiles(board: Scoreboard) -> list[tuple[str, int]]:
    sizes = board.sizes
    return [
        (Phrase("board.tile_duels"), sizes.duels),
        (Phrase("board.tile_same"), sizes.same),
        (Phrase("board.tile_decided"), sizes.decided),
        (Phrase("board.tile_ratings"), sizes.ratings),
        (Phrase("board.tile_raters"), sizes.raters),
    ]


def _version_rows(board: Scoreboard) -> list[Row]:
    """Return the ranked models and then those without a winner; nothing if no version has a duel."""
    if not board.versions:
        return []
    rows: list[Row] = []
    for each in board.ranking.models:
        rate = board.versions.get(each.model)
        ties = (rate.ties, rate.both_bad) if rate else ("", "")
        is_base = each.model == board.ranking.reference
        chance: str = Phrase("board.is_base")
        if not is_base:
            chance = percent(each.chance) if each.chance else Phrase("board.not_linked")
        rows.append([each.model, each.won + each.lost, chance, each.won, each.lost, *ties])
    ranked = {each.model for each in board.ranking.models}
    unranked = {model: rate for model, rate in board.versions.items() if model not in ranked}
    return rows + [
        [model, 0, Phrase("board.no_winner"), 0, 0, rate.ties, rate.both_bad] for model, rate in unranked.items()
    ]


def _never_met(board: Scoreboard) -> str:
    """Return which pairs of models have no common duel, "" if all have."""
    unmatched = board.ranking.unmatched
    if not unmatched:
        return ""
    pairs = joined(
        *(Phrase("board.pair", first=one, second=other) for one, other in unmatched[:LISTED]), by="page.list"
    )
    more = len(unmatched) - LISTED
    return Phrase("board.never_met_more", pairs=pairs, n=more) if more > 0 else Phrase("board.never_met", pairs=pairs)


def _trend_rows(board: Scoreboard) -> list[Row]:
    """Return the periods, latest first."""
    return [
        [
            period.start.isoformat(),
            Phrase("board.won_n", won=period.rate.won, n=period.rate.n),
            period.rate.ties,
            period.rate.both_bad,
            _sized(percent(period.so_far.interval), period.so_far.n) if period.so_far.n else "n=0",
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


def _gap_rows(gaps: Sequence[Gap]) -> list[Row]:
    """Return the subjects that the documents lack, most wanted first, each with up to GAP_QUESTIONS questions."""
    names = {
        REFUSED: "board.gap_refused",
        NOT_THERE: "board.gap_not_there",
        DOWN: "board.gap_down",
        BOTH_BAD: "board.gap_both_bad",
        AGAIN: "board.gap_again",
    }
    return [
        [
            " / ".join(question[:LONGEST] for question in gap.questions[:GAP_QUESTIONS]),
            len(gap.questions),
            joined(
                *(Phrase(names[name], n=gap.signals[name]) for name in names if name in gap.signals), by="page.list"
            ),
            gap.near[:LONGEST],
        ]
        for gap in gaps[:GAPS]
    ]


def _agreement_rows(agreements: Mapping[str, Agreement]) -> list[Row]:
    names = {
        "answers": Phrase("board.agree_answers"),
        "passages": Phrase("board.agree_passages"),
        "duels": Phrase("board.agree_duels"),
    }
    return [
        [names[kind], each.targets, _alpha(each), whole(each.same) if each.targets else "", each.raters]
        for kind, each in agreements.items()
    ]


def _alpha(found: Agreement) -> str:
    if not found.targets:
        return Phrase("board.judged_once")
    if found.alpha is None:
        return Phrase("board.judged_same")
    if found.targets < LEAST:
        return Phrase("board.alpha_few", alpha=found.alpha.mean, few=SMALL)
    return Phrase("board.alpha", mean=found.alpha.mean, low=found.alpha.low, high=found.alpha.high)


def _habit_rows(board: Scoreboard) -> list[Row]:
    """Return the wins by side and length; nothing without a winner."""
    found = board.biases
    if not found.side_a.n:
        return []
    return [
        [Phrase("board.habit_a"), _habit(found.side_a)],
        [Phrase("board.habit_longer"), _habit(found.longer)],
        [Phrase("board.habit_tuned_longer"), _habit(found.tuned_longer)],
        [Phrase("board.habit_tuned_shorter"), _habit(found.tuned_shorter)],
    ]


def _habit(found: Bias) -> str:
    if found.n < LEAST:
        return Phrase("board.habit_few", won=found.won, few=SMALL, n=found.n)
    return _sized(percent(found.share), found.n)


def _sized(share: str, n: int) -> str:
    return Phrase("board.sized", share=share, n=n)


def _has_side_bias(side_a: Bias) -> bool:
    return side_a.n >= LEAST and not side_a.share.low <= 0.5 <= side_a.share.high
