"""Draw the diagrams of docs/concepts into docs/images: python -m benchmarks.browser.pictures

Why: a diagram of numbers is computed from them. The losses under the batch come from the cosines shown, the shares of a
thumb from the code that shares it, so neither can differ from what the page says. The background is transparent and
the lines have a middle lightness, because a page may be light or dark; text stays text.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from rag.feedback.credit import FALL
from train.dataset.folds import FOLDS
from train.recipe import matryoshka_dims

IMAGES = Path(__file__).resolve().parents[2] / "docs" / "images"
INK, RIGHT, WRONG, BYSTANDER = "#7d858f", "#1f7ac2", "#bf5b0c", "#69717b"  # 4 : 1 or so on white and on near black
ON_COLOUR = "#ffffff"
SCALE = 20.0  # of cosines before the softmax, as MultipleNegativesRankingLoss has it
GAP = 0.06  # between cells
DIM = 384  # of the built-in model
DRAWING: dict[Any, Any] = {
    "svg.hashsalt": "thumbtune",
    "svg.fonttype": "none",
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "text.color": INK,
}
NO_METADATA = {"Date": None, "Creator": None, "Format": None, "Type": None}

# Queries x (their positives, then their hard negatives): plausible cosines, so that each query shows another case.
COSINES = np.array(
    [
        [0.68, 0.31, 0.22, 0.18, 0.52, 0.30, 0.20, 0.15],
        [0.27, 0.61, 0.35, 0.24, 0.26, 0.58, 0.31, 0.22],
        [0.19, 0.33, 0.55, 0.28, 0.17, 0.30, 0.59, 0.26],
        [0.21, 0.20, 0.25, 0.64, 0.19, 0.23, 0.27, 0.41],
    ]
)
CITED = (2, 1, 4)  # ranks, in the order in which an answer draws on them
SHOWN = 5


def main() -> None:
    """Draw all diagrams again; the same code draws the same bytes."""
    for name, (width, height, draw) in PICTURES.items():
        path = IMAGES / f"{name}.svg"
        path.write_text(_svg(width, height, draw), "utf-8")
        print(f"{path.relative_to(IMAGES.parent.parent)}  {path.stat().st_size / 1000:.0f} kB")


def ranking_loss(axes: Axes) -> None:
    """A batch as a matrix of cosines: the diagonal is right, all else in a row is wrong."""
    n = len(COSINES)
    shares = np.exp(SCALE * COSINES)
    shares = shares[np.arange(n), np.arange(n)] / shares.sum(axis=1)
    for row in range(n):
        axes.text(-0.15, row + 0.5, f"query {row + 1}", ha="right", va="center")
        for column in range(2 * n):
            colour = RIGHT if column == row else WRONG if column == n + row else BYSTANDER
            _cell(axes, _moved(column, n), row, f"{COSINES[row, column]:.2f}", colour)
        axes.text(9.0, row + 0.5, f"{shares[row]:.0%}", ha="center", va="center")
        axes.text(10.3, row + 0.5, f"{-np.log(shares[row]):.2f}", ha="center", va="center")
    for column in range(n):
        axes.text(column + 0.5, -0.2, f"p{column + 1}", ha="center", va="center")
        axes.text(_moved(n + column, n) + 0.5, -0.2, f"n{column + 1}", ha="center", va="center")
    axes.text(n / 2, -0.75, "positives of the batch", ha="center", va="center")
    axes.text(_moved(n, n) + n / 2, -0.75, "hard negatives of the batch", ha="center", va="center")
    axes.text(9.0, -0.45, "share of\nthe right", ha="center", va="center")
    axes.text(10.3, -0.45, "loss", ha="center", va="center")
    _legend(axes, n + 0.45, {"right": RIGHT, "its own hard negative": WRONG, "belongs to another query": BYSTANDER})
    axes.text(10.3, n + 0.45, f"mean {-np.log(shares).mean():.2f}", ha="center", va="center")
    _frame(axes, (-1.5, 11.0), (-1.15, n + 0.9))


def matryoshka(axes: Axes) -> None:
    """One vector, cut to several lengths; the inner loss at each, and their sum."""
    dims = matryoshka_dims(DIM)
    for row, dim in enumerate(dims):
        for start, stop in zip((0, *sorted(dims)), sorted(dims), strict=False):
            kept = stop <= dim
            axes.add_patch(
                Rectangle((start, row + 0.14), stop - start - 2, 0.6, facecolor=RIGHT, edgecolor="none")
                if kept
                else Rectangle((start, row + 0.14), stop - start - 2, 0.6, fill=False, edgecolor=INK, linestyle=":")
            )
        axes.text(6, row + 0.44, f"first {dim}", color=ON_COLOUR, va="center", fontsize=8)
        axes.annotate("", (455, row + 0.44), (392, row + 0.44), arrowprops={"arrowstyle": "->", "color": INK})
        axes.text(470, row + 0.44, "+" if row else "", va="center", ha="center")
        axes.text(482, row + 0.44, f"inner loss at {dim}", va="center")
    axes.text(0, -0.25, "one vector, cut to several lengths", va="center")
    axes.text(424, -0.25, "make unit again", va="center", ha="center", fontsize=8)
    axes.text(470, len(dims) + 0.35, "=", va="center", ha="center")
    axes.text(482, len(dims) + 0.35, "MatryoshkaLoss", va="center", fontweight="bold")
    axes.text(0, len(dims) + 0.35, "64 numbers are in every term, the last 128 in one only", va="center")
    _frame(axes, (-5, 600), (-0.6, len(dims) + 0.75))


def cross_fitting(axes: Axes) -> None:
    """Draw cross-fitting: the version itself, and the recipe retrained for each fold."""
    parts = [*(f"fold {n + 1}" for n in range(FOLDS)), "held out\nby hash"]
    for column, part in enumerate(parts):
        axes.text(_left(column) + 0.5, -0.32, part, ha="center", va="center")
    for row in range(FOLDS + 1):
        text = "the version itself" if row == FOLDS else f"recipe without fold {row + 1}"
        axes.text(-0.12, row + 0.5, text, ha="right", va="center")
        for column in range(len(parts)):
            judged = column == row
            if column == FOLDS and not judged:
                axes.add_patch(_box(_left(column), row, fill=False))
                axes.text(_left(column) + 0.5, row + 0.5, "unused", ha="center", va="center")
            else:
                _cell(axes, _left(column), row, "judges" if judged else "teaches", WRONG if judged else RIGHT)
    text = "Each column judges once: every rated query is a test query."
    axes.text(_left(2) + 0.5, FOLDS + 1.35, text, ha="center", va="center")
    _frame(axes, (-2.1, 5.3), (-0.85, FOLDS + 1.65))


def credit(axes: Axes) -> None:
    """A thumb up, shared among the passages an answer drew on; the best unused one is the negative."""
    shares = shared(len(CITED))
    unused = next(rank for rank in range(1, SHOWN + 1) if rank not in CITED)
    axes.add_patch(Rectangle((0, 1.0), 2.9, 3.0, fill=False, edgecolor=INK))
    axes.text(1.45, 0.6, "answer, thumb up", ha="center", va="center")
    for row, rank in enumerate(CITED):
        axes.text(0.25, row + 1.5, f"{('A sentence.', 'Another one.', 'A last one.')[row]} [{rank}]", va="center")
    axes.text(4.35, -0.3, "passages, by rank", ha="center", va="center")
    axes.text(5.75, -0.3, "what each is credited with", va="center")
    for rank in range(1, SHOWN + 1):
        cited = rank in CITED
        colour = RIGHT if cited else WRONG if rank == unused else BYSTANDER
        axes.add_patch(Rectangle((3.55, rank - 1 + 0.1), 1.6, 0.8, facecolor=colour, edgecolor="none"))
        text = f"{rank}: cited" if cited else f"{rank}: not used"
        axes.text(4.35, rank - 0.5, text, color=ON_COLOUR, ha="center", va="center")
        if cited:
            share = shares[CITED.index(rank)]
            width = 2.6 * float(share)
            axes.add_patch(Rectangle((5.75, rank - 0.75), width, 0.5, facecolor=RIGHT, edgecolor="none"))
            axes.text(5.85 + width, rank - 0.5, f"positive, weight {share}", va="center")
            axes.annotate(
                "", (3.5, rank - 0.5), (2.95, CITED.index(rank) + 1.5), arrowprops={"arrowstyle": "->", "color": INK}
            )
        else:
            axes.text(5.75, rank - 0.5, "the negative: best unused" if rank == unused else "nothing", va="center")
    _frame(axes, (-0.1, 9.3), (-0.7, SHOWN + 0.2))


def shared(n: int) -> list[Fraction]:
    """Return the shares of one thumb among so many passages, as rag.feedback gives them."""
    raw = [Fraction(FALL) ** nth for nth in range(n)]
    return [share / sum(raw) for share in raw]


PICTURES: dict[str, tuple[float, float, Callable[[Axes], None]]] = {
    "ranking-loss": (7.0, 3.3, ranking_loss),
    "matryoshka": (7.0, 2.7, matryoshka),
    "cross-fitting": (7.0, 3.3, cross_fitting),
    "credit": (7.0, 3.2, credit),
}


def _svg(width: float, height: float, draw: Callable[[Axes], None]) -> str:
    text = io.StringIO()
    with mpl.rc_context(DRAWING):
        figure = Figure(figsize=(width, height))
        draw(figure.add_axes((0, 0, 1, 1)))
        figure.savefig(text, format="svg", transparent=True, metadata=NO_METADATA)
    return text.getvalue().replace("'DejaVu Sans'", "system-ui, sans-serif")


def _frame(axes: Axes, across: tuple[float, float], down: tuple[float, float]) -> None:
    """Show this part of the drawing; rows run downwards."""
    axes.set_xlim(*across)
    axes.set_ylim(down[1], down[0])
    axes.axis("off")


def _cell(axes: Axes, left: float, top: float, text: str, colour: str) -> None:
    axes.add_patch(_box(left, top, facecolor=colour))
    axes.text(left + 0.5, top + 0.5, text, color=ON_COLOUR, ha="center", va="center")


def _box(left: float, top: float, **look: Any) -> Rectangle:
    edge = {} if "facecolor" in look else {"edgecolor": INK, "linestyle": ":"}
    return Rectangle((left + GAP / 2, top + GAP / 2), 1 - GAP, 1 - GAP, **{"linewidth": 0.8, **edge, **look})


def _moved(column: int, n: int) -> float:
    """Leave a gap between the positives and the hard negatives."""
    return column + (0.25 if column >= n else 0)


def _left(column: int) -> float:
    """Leave a gap between the folds and what the hash holds out."""
    return column + (0.2 if column == FOLDS else 0)


def _legend(axes: Axes, top: float, entries: dict[str, str]) -> None:
    left = 0.0
    for text, colour in entries.items():
        axes.add_patch(Rectangle((left, top - 0.13), 0.26, 0.26, facecolor=colour, edgecolor="none"))
        axes.text(left + 0.38, top, text, va="center", fontsize=8)
        left += 0.75 + 0.115 * len(text)


if __name__ == "__main__":
    main()
