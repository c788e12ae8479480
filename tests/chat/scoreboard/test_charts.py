"""The scoreboard's charts: properties that Plotly knows, numbers with their sizes, short names."""

from __future__ import annotations

import json
import re
from typing import Any

import plotly.graph_objects as go

from boards import full_board
from chat.scoreboard.charts import NAME_LENGTH, charts, short

COLOR = re.compile(r'"--sb-[a-z]+"')


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
