"""Of a run's folder, only the report and its plots are served."""

from __future__ import annotations

from pathlib import Path

from chat.training.report_files import find
from rag.training_results import METRICS_FILE, REPORT_FILE


def test_only_the_report_and_its_plots_leave_a_runs_folder(tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    for name in (REPORT_FILE, METRICS_FILE, "quality-by-dimension.svg"):
        (runs / "v1").mkdir(parents=True, exist_ok=True)
        (runs / "v1" / name).touch()
    (tmp_path / REPORT_FILE).touch()
    assert find(runs, "v1", REPORT_FILE) == runs / "v1" / REPORT_FILE
    assert find(runs, "v1", "quality-by-dimension.svg") is not None
    for place in (
        ("v1", METRICS_FILE),
        ("v2", REPORT_FILE),
        ("..", REPORT_FILE),
        ("v1/..", REPORT_FILE),
        ("v1", "../../" + REPORT_FILE),
    ):
        assert find(runs, *place) is None
