"""Charts of the scoreboard as Plotly figures, from the numbers of rag.evaluation.scoreboard.

Why: colours are names of CSS variables ("--sb-tuned"), so public/scoreboard.js can draw the same chart in light and
dark. Names of documents are escaped: Plotly would interpret markup in them.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any

from rag.evaluation.intervals import Interval
from rag.evaluation.scoreboard import LEAST, Group, Scoreboard

Figure = dict[str, Any]
TUNED, BASE, TIE, BAD = "--sb-tuned", "--sb-base", "--sb-tie", "--sb-bad"
SOFT, LINE = "--sb-soft", "--sb-line"
NAME_LENGTH = 34  # of a label: more does not fit on a phone
ROW, FRAME = 44, 90  # pixels of a row, and of the margins around the rows
ABOVE = 14  # pixels from a row's middle up to its label: to its left, labels would take half of a phone's width
MOST_ROWS = 12  # the table below has the others


def charts(board: Scoreboard) -> dict[str, Figure]:
    """Return the charts that have data, by name."""
    figures = {
        "ladder": _ladder(board),
        "trend": _trend(board),
        "counts": _counts(board),
        "documents": _groups(board.documents.shown),
        "topics": _groups(board.topics.shown),
        "coverage": _coverage(board),
        "habits": _habits(board),
    }
    return {name: figure for name, figure in figures.items() if figure["data"]}


def short(name: str) -> str:
    """Return a name as an escaped label, cut at its start: files of one folder differ at the end."""
    cut = name if len(name) <= NAME_LENGTH else "…" + name[1 - NAME_LENGTH :]
    return escape(" ".join(cut.split()), quote=False)


def _ladder(board: Scoreboard) -> Figure:
    played = [each for each in board.ranking.models if each.chance and each.model != board.ranking.reference]
    rows = [(f"{short(each.model)} · n={each.won + each.lost}", each.chance) for each in played if each.chance]
    return _intervals(rows, "chance to beat base", TUNED)


def _groups(groups: Sequence[Group]) -> Figure:
    rows = [(f"{short(each.name)} · n={each.rate.n}", each.rate.interval) for each in groups if not each.is_small]
    return _intervals(rows, "win rate of tuned", TUNED)


def _habits(board: Scoreboard) -> Figure:
    habits = {
        "side A": board.biases.side_a,
        "longer answer": board.biases.longer,
        "tuned, when longer": board.biases.tuned_longer,
        "tuned, when shorter": board.biases.tuned_shorter,
    }
    rows = [(f"{name} · n={each.n}", each.share) for name, each in habits.items() if each.n >= LEAST]
    return _intervals(rows, "won", TUNED)


def _intervals(rows: Sequence[tuple[str, Interval]], what: str, color: str) -> Figure:
    """Return dots with 95% confidence intervals, the first on top, and a line at 50%."""
    rows = rows[:MOST_ROWS]
    means = [interval.mean for _, interval in rows]
    dots = {
        "type": "scatter",
        "mode": "markers",
        "x": means,
        "y": list(range(len(rows))),
        "marker": {"color": color, "size": 11},
        "error_x": {
            "type": "data",
            "symmetric": False,
            "array": [interval.high - interval.mean for _, interval in rows],
            "arrayminus": [interval.mean - interval.low for _, interval in rows],
            "color": color,
            "thickness": 2.5,
            "width": 0,
        },
        "text": [f"{name}<br>{percent(interval)}" for name, interval in rows],
        "hovertemplate": "%{text}<extra></extra>",
    }
    names = [name for name, _ in rows]
    layout = _layout(len(rows)) | {
        "xaxis": {"range": [-0.02, 1.02], "tickformat": ".0%", "dtick": 0.25, **_titled(what)},
        "yaxis": _rows_axis(len(names)),
        "annotations": _labels(names),
        "shapes": [_half("x")],
        "showlegend": False,
    }
    return {"data": [dots] if rows else [], "layout": layout}


def _trend(board: Scoreboard) -> Figure:
    """Return the win rate of all duels so far with its interval as a band, and each period's rate as a sized dot."""
    days = [period.start.isoformat() for period in board.trend]
    so_far = [period.so_far.interval for period in board.trend]
    own = [period for period in board.trend if period.rate.n]
    most = max((period.rate.n for period in own), default=1)
    edge = {"type": "scatter", "mode": "lines", "line": {"width": 0}, "hoverinfo": "skip", "showlegend": False}
    band = {**edge, "x": days, "y": [each.low for each in so_far]}
    fill = {**edge, "x": days, "y": [each.high for each in so_far], "fill": "tonexty", "fillcolor": "--sb-band"}
    line = {
        "type": "scatter",
        "mode": "lines+markers" if len(days) == 1 else "lines",
        "name": "all duels so far",
        "x": days,
        "y": [each.mean for each in so_far],
        "line": {"color": TUNED, "width": 2.5},
        "text": [f"{percent(each.so_far.interval)}, n={each.so_far.n}" for each in board.trend],
        "hovertemplate": "to %{x}: %{text}<extra></extra>",
    }
    dots = {
        "type": "scatter",
        "mode": "markers",
        "name": "this week" if board.by_week else "this day",
        "x": [period.start.isoformat() for period in own],
        "y": [period.rate.interval.mean for period in own],
        "marker": {"color": SOFT, "size": [6 + 10 * (period.rate.n / most) ** 0.5 for period in own]},
        "text": [
            f"{period.rate.won} of {period.rate.n} won ({', '.join(map(short, period.models))})" for period in own
        ],
        "hovertemplate": "%{x}: %{text}<extra></extra>",
    }
    layout = _layout(7) | {
        "xaxis": {"type": "date", **_days_axis(days), **_axis()},
        "yaxis": {"range": [-0.03, 1.03], "tickformat": ".0%", **_axis(grid=True)},
        "shapes": [_half("y")],
    }
    return {"data": [band, fill, line, dots] if own else [], "layout": layout}


def _counts(board: Scoreboard) -> Figure:
    days = [period.start.isoformat() for period in board.trend]
    parts = {
        "tuned won": (TUNED, [period.rate.won for period in board.trend]),
        "tie": (TIE, [period.rate.ties for period in board.trend]),
        "both bad": (BAD, [period.rate.both_bad for period in board.trend]),
        "base won": (BASE, [period.rate.lost for period in board.trend]),
    }
    width = (7 if board.by_week else 1) * 24 * 3_600_000 * 0.8  # milliseconds
    bars = [
        {"type": "bar", "name": name, "x": days, "y": values, "marker": {"color": color}, "width": width}
        for name, (color, values) in parts.items()
    ]
    layout = _layout(6) | {
        "barmode": "stack",
        "xaxis": {"type": "date", **_days_axis(days), **_axis()},
        "yaxis": {"rangemode": "tozero", **_titled("duels")},
    }
    return {"data": bars if days else [], "layout": layout}


def _coverage(board: Scoreboard) -> Figure:
    documents = board.coverage.documents[:MOST_ROWS] if board.coverage.queries else ()
    parts = {
        "cited": (TUNED, [each.cited for each in documents]),
        "shown, never cited": (TIE, [each.shown - each.cited for each in documents]),
        "never shown": (BASE, [each.never_shown for each in documents]),
    }
    rows = list(range(len(documents)))
    bars = [
        {
            **{
                "type": "bar",
                "orientation": "h",
                "width": 0.3,
                "hovertemplate": "%{x} %{fullData.name}<extra></extra>",
            },
            **{"name": name, "x": values, "y": rows, "marker": {"color": color}},
        }
        for name, (color, values) in parts.items()
    ]
    layout = _layout(len(documents) + 1) | {
        "barmode": "stack",
        "xaxis": _titled("passages"),
        "yaxis": _rows_axis(len(documents)),
        "annotations": _labels([f"{short(each.source)} · n={each.chunks}" for each in documents]),
    }
    return {"data": bars if documents else [], "layout": layout}


def percent(share: Interval) -> str:
    """Return a share with its confidence interval: 70% [48%, 85%]."""
    return f"{share.mean:.0%} [{share.low:.0%}, {share.high:.0%}]"


def _layout(rows: int) -> Figure:
    return {
        "height": FRAME + ROW * max(rows, 1),
        "margin": {"l": 8, "r": 12, "t": 8, "b": 8, "pad": 4},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "font": {"color": "--sb-ink", "size": 13, "family": "system-ui, sans-serif"},
        "hoverlabel": {"align": "left"},
        "dragmode": False,
        "legend": {"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom", "traceorder": "normal"},
    }


def _axis(*, grid: bool = False) -> Figure:
    return {
        "fixedrange": True,
        "automargin": True,
        "showgrid": grid,
        "gridcolor": LINE,
        "zeroline": False,
        "linecolor": LINE,
    }


def _titled(what: str) -> Figure:
    """Return a number axis with a title."""
    return {"title": {"text": what, "font": {"size": 13}}, **_axis(grid=True)}


def _rows_axis(rows: int) -> Figure:
    """Return an axis of numbered rows, the first on top: two documents may have the same short name."""
    return {**_axis(), "showticklabels": False, "range": [rows - 0.6, -0.7]}


def _labels(names: Sequence[str]) -> list[Figure]:
    """Return the rows' names, each above its row."""
    place = {"x": 0, "xref": "paper", "xanchor": "left", "yshift": ABOVE, "showarrow": False, "font": {"size": 12}}
    return [{**place, "y": row, "text": name} for row, name in enumerate(names)]


def _days_axis(days: Sequence[str]) -> Figure:
    """Return the ticks of a time axis: the days themselves if they are few."""
    few = {"tickmode": "array", "tickvals": list(days), "tickformat": "%d %b"}
    return {"tickangle": 0, **(few if len(days) <= 4 else {"nticks": 5})}


def _half(axis: str) -> Figure:
    """Return the line at 50%, which is chance level."""
    across = "y" if axis == "x" else "x"
    ends = {f"{axis}0": 0.5, f"{axis}1": 0.5, f"{across}0": 0, f"{across}1": 1, f"{across}ref": "paper"}
    return {"type": "line", "layer": "below", "line": {"color": SOFT, "width": 1.5, "dash": "dot"}, **ends}
