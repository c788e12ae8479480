"""Text can be read on every ground it stands on: WCAG 2.2 AA asks for a contrast of 4.5 to 1, light and dark."""

from __future__ import annotations

import colorsys
import json
import re

import pytest

from rag.settings import ROOT

LEAST = 4.5
THEMES: dict[str, dict[str, str]] = json.loads((ROOT / "public" / "theme.json").read_text("utf-8"))["variables"]
GROUNDS = ("background", "card", "popover", "muted", "secondary", "accent", "sidebar-background", "sidebar-accent")
TEXTS = ("foreground", "muted-foreground", "primary", "destructive")
PAIRS = [
    *((text, ground) for text in TEXTS for ground in GROUNDS),
    ("primary-foreground", "primary"),
    ("destructive-foreground", "destructive"),
    ("sidebar-foreground", "sidebar-background"),
    ("sidebar-foreground", "sidebar-accent"),
]


def luminance(colour: str) -> float:
    """Return the relative luminance of "hue saturation% lightness%", as WCAG defines it."""
    hue, saturation, lightness = (float(part.rstrip("%")) for part in colour.split())
    channels = colorsys.hls_to_rgb(hue / 360, lightness / 100, saturation / 100)
    red, green, blue = (value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4 for value in channels)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)


def test_black_on_white_is_21_to_1_and_a_colour_on_itself_1_to_1() -> None:
    assert contrast("0 0% 0%", "0 0% 100%") == pytest.approx(21)
    assert contrast("214 72% 42%", "214 72% 42%") == 1


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize(("text", "ground"), PAIRS)
def test_text_stands_out_from_its_ground(theme: str, text: str, ground: str) -> None:
    colours = THEMES[theme]
    assert contrast(colours[f"--{text}"], colours[f"--{ground}"]) >= LEAST


@pytest.mark.parametrize(("theme", "nth"), [("light", 0), ("dark", 1)])
@pytest.mark.parametrize("name", ["good", "bad", "cite"])
@pytest.mark.parametrize("ground", ["background", "card", "muted"])
def test_the_cards_own_colours_do_too(theme: str, nth: int, name: str, ground: str) -> None:
    both = re.findall(rf"--tt-{name}: ([^;]+);", (ROOT / "public" / "style.css").read_text("utf-8"))
    assert contrast(both[nth], THEMES[theme][f"--{ground}"]) >= LEAST


def test_light_and_dark_name_the_same_colours() -> None:
    assert set(THEMES["light"]) == set(THEMES["dark"])
