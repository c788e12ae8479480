"""Draw the plots of a report as SVG: small, without scripts, byte-identical for the same numbers.

Why `currentColor` on a transparent background: one picture fits light mode, dark mode and print. Lines have colours of
middle lightness, and different markers for readers with colour blindness.
"""

from __future__ import annotations

import io
import logging
import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rag.evaluation.metrics import GATE

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SHOWN = (GATE, "hit_rate@5")  # the metric of the gate, and whether a relevant chunk is among the passages of an answer
LOOKS: dict[str, dict[str, str]] = {
    "base": {"color": "#808790", "marker": "s", "linestyle": ":"},
    "champion": {"color": "#2f81d8", "marker": "o", "linestyle": "--"},
    "challenger": {"color": "#d9690f", "marker": "^", "linestyle": "-"},
}
TICKS = 9  # labels on the x axis at most; the last version is always labelled
WIDTH = 5.2  # inches: readable at the width of a phone
DRAWING: dict[Any, Any] = {
    "svg.hashsalt": "thumbtune",
    "svg.fonttype": "none",  # text, not outlines: a third of the bytes, and searchable
    "font.family": "DejaVu Sans",
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
}
NO_METADATA = {"Date": None, "Creator": None, "Format": None, "Type": None}
FONT = "'DejaVu Sans'"
INK = "svg { color: #1f2328 } @media (prefers-color-scheme: dark) { svg { color: #e6edf3 } }"


def quality_by_dimension(means: Mapping[str, Mapping[int, Mapping[str, float]]]) -> str:
    """Plot ndcg@10 and hit_rate@5 of each role by dimension."""
    dims = sorted({dim for by_dim in means.values() for dim in by_dim})

    def draw(figure: Figure) -> None:
        panels: list[Axes] = list(figure.subplots(len(SHOWN), 1, sharex=True))
        for metric, axes in zip(SHOWN, panels, strict=True):
            for role, by_dim in means.items():
                own = sorted(by_dim)
                places = [dims.index(dim) for dim in own]
                axes.plot(places, [by_dim[dim][metric] for dim in own], label=role, **LOOKS[role])  # type: ignore[arg-type]
            axes.set_ylabel(metric)
            axes.grid(axis="y", alpha=0.25)
        panels[0].legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=3, frameon=False, borderaxespad=0.2)
        panels[-1].set_xticks(range(len(dims)), [str(dim) for dim in dims])
        panels[-1].set_xlabel("dimensions of the vectors")

    return _svg("quality", "ndcg@10 and hit_rate@5 by dimension, for each model", 4.6, draw)


def learning_curve(
    versions: Sequence[str],
    labels: Sequence[int],
    ndcg: Mapping[str, Sequence[float]],
    promoted: Sequence[bool],
    judged: Sequence[str],
) -> str:
    """Plot ndcg@10 of each role by version; filled markers are promoted versions.

    `judged` identifies each version's test queries. Why: other queries are easier or harder, so a line joins only
    versions with the same ones.
    """
    places = range(len(versions))

    def draw(figure: Figure) -> None:
        axes: Axes = figure.subplots()
        for role, values in ndcg.items():
            joined = _with_gaps(values, judged)
            axes.plot(*joined, label=role, markerfacecolor="none", **LOOKS[role])  # type: ignore[arg-type]
        chosen = [place for place in places if promoted[place]]
        look = {**LOOKS["challenger"], "linestyle": "none"}
        axes.plot(chosen, [ndcg["challenger"][place] for place in chosen], **look)  # type: ignore[arg-type]
        axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=3, frameon=False, borderaxespad=0.2)
        axes.set_ylabel(GATE)
        axes.set_xlabel("version, and number of rated queries")
        axes.grid(axis="y", alpha=0.25)
        labelled = places[::-1][:: len(versions) // TICKS + 1]
        axes.set_xticks(labelled, [f"{versions[place]}\n{labels[place]}" for place in labelled])

    return _svg("curve", "ndcg@10 of each model over the versions", 3.0, draw)


def _with_gaps(values: Sequence[float], judged: Sequence[str]) -> tuple[list[float], list[float]]:
    """Return places and values of a line, with a NaN, which is not drawn, between values of different test queries."""
    places, line = [], []
    for place, value in enumerate(values):
        if place and not (judged[place] and judged[place] == judged[place - 1]):
            places.append(place - 0.5)
            line.append(math.nan)
        places.append(float(place))
        line.append(value)
    return places, line


def as_file(svg: str) -> str:
    """Return an inline SVG as a standalone file that follows light and dark mode."""
    head, inner = svg.split(">", 1)
    return f'<?xml version="1.0" encoding="utf-8"?>\n{head}>\n<style>{INK}</style>{inner}\n'


def _svg(name: str, label: str, height: float, draw: Callable[[Figure], None]) -> str:
    """Render a figure as an inline SVG element, its ids prefixed by `name`."""
    logging.getLogger("matplotlib").setLevel(logging.ERROR)  # it logs about its font cache
    import matplotlib as mpl
    from matplotlib.figure import Figure

    text = io.StringIO()
    with mpl.rc_context(DRAWING):
        figure = Figure(figsize=(WIDTH, height), layout="constrained")
        draw(figure)
        figure.savefig(text, format="svg", transparent=True, metadata=NO_METADATA)
    svg = text.getvalue()
    svg = svg[svg.index("<svg") :].strip()
    svg = re.sub(r' (width|height)="[\d.]+pt"', "", svg, count=2)
    svg = re.sub(r'(?<= id="|url\(#)|(?<=href="#)', f"{name}-", svg)
    svg = re.sub(r"#000000|black", "currentColor", svg).replace(FONT, "system-ui, sans-serif")
    return svg.replace("<svg ", f'<svg role="img" aria-label="{label}" fill="currentColor" ', 1)
