"""The plots are right, small, deterministic, and fit light and dark mode."""

import re
import xml.etree.ElementTree as ET

from train.reporting.plots import LOOKS, TICKS, as_file, learning_curve, quality_by_dimension

SVG = "{http://www.w3.org/2000/svg}"
ROLES = ("base", "champion", "challenger")
SMALL = 40_000  # bytes; the script of Plotly 7.1.0 has 4.8 million


def means(*dims: int) -> dict[str, dict[int, dict[str, float]]]:
    return {
        role: {dim: {"ndcg@10": 0.1 * n + dim / 1000, "hit_rate@5": 0.2 * n + dim / 1000} for dim in dims}
        for n, role in enumerate(ROLES)
    }


def curve(n: int, judged: list[str] | None = None) -> str:
    ndcg = {role: [0.5 + 0.01 * step for step in range(n)] for role in ROLES}
    names, labels, promoted = [f"v{v}" for v in range(1, n + 1)], [50 * v for v in range(n)], [v == 0 for v in range(n)]
    return learning_curve(names, labels, ndcg, promoted, judged or ["q"] * n)


def texts(svg: str) -> list[str]:
    return ["".join(element.itertext()).strip() for element in ET.fromstring(svg).iter(f"{SVG}text")]


def marks(svg: str, color: str) -> list[tuple[float, float]]:
    """Return where the marks of a colour are, those of the legend left out."""
    root = ET.fromstring(svg)
    parents = {child: parent for parent in root.iter() for child in parent}
    return [
        (float(use.attrib["x"]), float(use.attrib["y"]))
        for use in root.iter(f"{SVG}use")
        if color in use.attrib["style"] and "clip-path" in parents[use].attrib
    ]


def test_every_role_metric_and_dimension_is_named():
    said = texts(quality_by_dimension(means(384, 256, 128, 64)))
    assert {*ROLES, "ndcg@10", "hit_rate@5", "64", "128", "256", "384", "dimensions of the vectors"} <= set(said)


def test_a_better_model_is_drawn_higher_and_a_larger_dimension_further_right():
    svg = quality_by_dimension(means(384, 64))
    ndcg = {role: marks(svg, LOOKS[role]["color"])[:2] for role in ROLES}
    assert ndcg["champion"][0][0] < ndcg["champion"][1][0]
    assert ndcg["base"][0][1] > ndcg["champion"][0][1] > ndcg["challenger"][0][1]  # y grows downwards


def test_models_of_different_sizes_share_one_axis():
    both = {**means(384, 64), "base": means(1024, 64)["base"]}
    assert [text for text in texts(quality_by_dimension(both)) if text.isdigit()] == ["64", "384", "1024"]


def test_the_curve_names_versions_with_their_labels():
    said = texts(curve(3))
    assert {"v1", "v2", "v3", "0", "50", "100"} <= {word for text in said for word in text.split()}


def test_a_line_joins_only_versions_that_the_same_queries_judged():
    color = LOOKS["challenger"]["color"]
    for judged, joined in ((["q", "q", "q"], 2), (["p", "q", "q"], 1), (["p", "q", "r"], 0), (["", "", ""], 0)):
        svg = curve(3, judged)
        lines = re.findall(rf'<path d="([^"]*)" clip-path="[^"]*" style="fill: none; stroke: {color}', svg)
        assert sum(line.count("L") for line in lines) == joined
        assert len(marks(svg, color)) == 4  # of three versions, one of them promoted


def test_only_a_promoted_version_has_a_filled_mark():
    color = LOOKS["challenger"]["color"]
    filled = re.findall(rf'<use [^>]*style="fill: {color}', curve(3))
    assert len(filled) == 1


def test_a_long_curve_names_some_versions_and_the_last_one():
    named = {word for text in texts(curve(40)) for word in text.split() if re.fullmatch(r"v\d+", word)}
    assert 1 < len(named) <= TICKS
    assert "v40" in named


def test_plots_are_small_and_the_same_each_time():
    for draw in (lambda: quality_by_dimension(means(384, 256, 128, 64)), lambda: curve(40)):
        assert draw() == draw()
        assert len(draw().encode()) < SMALL


def test_ink_follows_the_page_and_paper_is_transparent():
    svg = quality_by_dimension(means(384, 64))
    own = {look["color"] for look in LOOKS.values()}
    assert set(re.findall(r"#[0-9a-f]{6}", svg)) <= {*own, "#b0b0b0"}  # and the grid, which is grey and faint
    assert 'fill="currentColor"' in svg
    assert "white" not in svg


def test_two_plots_on_one_page_do_not_share_ids():
    ids = [set(re.findall(r' id="([^"]+)"', svg)) for svg in (quality_by_dimension(means(384, 64)), curve(3))]
    assert ids[0]
    assert not ids[0] & ids[1]
    for svg in (quality_by_dimension(means(384, 64)), curve(3)):
        used = set(re.findall(r'(?:url\(#|href="#)([^")]+)', svg))
        assert used <= set(re.findall(r' id="([^"]+)"', svg))


def test_a_plot_needs_nothing_from_elsewhere():
    svg = curve(3)
    assert not re.search(r"<script|<image|<foreignObject|@import", svg)
    assert all("w3.org" in address for address in re.findall(r"https?://[^\"\s<]+", svg))


def test_a_file_of_its_own_is_well_formed_and_follows_dark_mode():
    file = as_file(curve(3))
    assert ET.fromstring(file.encode()).tag == f"{SVG}svg"
    assert "prefers-color-scheme: dark" in file
