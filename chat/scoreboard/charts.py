"""Charts of the scoreboard as Plotly figures, from the numbers of rag.evaluation.scoreboard.

Why: colours are names of CSS variables ("--sb-tuned"), so public/scoreboard.js can draw the same chart in light and
dark. Names of documents are escaped: Plotly would interpret markup in them.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any

from chat.language import Phrase, joined
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
    rows = [(_row(short(each.model), each.won + each.lost), each.chance) for each in played if each.chance]
    return _intervals(rows, Phrase("board.col_chance"), TUNED)


def _groups(groups: Sequence[Group]) -> Figure:
    rows = [(_row(short(each.name), each.rate.n), each.rate.interval) for each in groups if not each.is_small]
    return _intervals(rows, Phrase("board.axis_win_rate"), TUNED)


def _habits(board: Scoreboard) -> Figure:
    habits = (
        (Phrase("board.chart_a"), board.biases.side_a),
        (Phrase("board.chart_longer"), board.biases.longer),
        (Phrase("board.chart_tuned_longer"), board.biases.tuned_longer),
        (Phrase("board.chart_tuned_shorter"), board.biases.tuned_shorter),
    )
    rows = [(_row(name, each.n), each.share) for name, each in habits if each.n >= LEAST]
    return _intervals(rows, Phrase("board.axis_won"), TUNED)


def _row(name: str, n: int) -> str:
    return Phrase("board.row", name=name, n=n)


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
        "text": [joined(name, percent(interval), by="page.br") for name, interval in rows],
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
        "name": Phrase("board.all_so_far"),
        "x": days,
        "y": [each.mean for each in so_far],
        "line": {"color": TUNED, "width": 2.5},
        "text": [Phrase("board.sized", share=percent(each.so_far.interval), n=each.so_far.n) for each in board.trend],
        "hovertemplate": Phrase("board.hover_to", day="%{x}", rate="%{text}"),
    }
    dots = {
        "type": "scatter",
        "mode": "markers",
        "name": Phrase("board.this_week") if board.by_week else Phrase("board.this_day"),
        "x": [period.start.isoformat() for period in own],
        "y": [period.rate.interval.mean for period in own],
        "marker": {"color": SOFT, "size": [6 + 10 * (period.rate.n / most) ** 0.5 for period in own]},
        "text": [
            Phrase(
                "board.hover_period", won=period.rate.won, n=period.rate.n, models=", ".join(map(short, period.models))
            )
            for period in own
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
    parts = (
        (Phrase("board.col_tuned_won"), TUNED, [period.rate.won for period in board.trend]),
        (Phrase("board.bar_tie"), TIE, [period.rate.ties for period in board.trend]),
        (Phrase("board.col_bad"), BAD, [period.rate.both_bad for period in board.trend]),
        (Phrase("board.bar_base_won"), BASE, [period.rate.lost for period in board.trend]),
    )
    width = (7 if board.by_week else 1) * 24 * 3_600_000 * 0.8  # milliseconds
    bars = [
        {"type": "bar", "name": name, "x": days, "y": values, "marker": {"color": color}, "width": width}
        for name, color, values in parts
    ]
    layout = _layout(6) | {
        "barmode": "stack",
        "xaxis": {"type": "date", **_days_axis(days), **_axis()},
        "yaxis": {"rangemode": "tozero", **_titled(Phrase("board.axis_duels"))},
    }
    return {"data": bars if days else [], "layout": layout}


def _coverage(board: Scoreboard) -> Figure:
    documents = board.coverage.documents[:MOST_ROWS] if board.coverage.queries else ()
    parts = (
        (Phrase("board.col_cited"), TUNED, [each.cited for each in documents]),
        (Phrase("board.bar_shown"), TIE, [each.shown - each.cited for each in documents]),
        (Phrase("board.bar_never"), BASE, [each.never_shown for each in documents]),
    )
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
        for name, color, values in parts
    ]
    layout = _layout(len(documents) + 1) | {
        "barmode": "stack",
        "xaxis": _titled(Phrase("board.col_passages")),
        "yaxis": _rows_axis(len(documents)),
        "annotations": _labels([_row(short(each.source), each.chunks) for each in documents]),
    }
    return {"data": bars if documents else [], "layout": layout}


def percent(share: Interval) -> str:
    """Return a share with its confidence interval: 70% [48%, 85%]."""
    mean, low, high = (round(100 * part) for part in (share.mean, share.low, share.high))
    return Phrase("number.interval", mean=mean, low=low, high=high)


def whole(share: float) -> str:
    """Return a share in whole percent: 70%."""
    return Phrase("number.percent", n=round(100 * share))


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
