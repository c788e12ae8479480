"""Characters that nobody sees are not read; those that writing needs stay."""

from __future__ import annotations

import pytest

from rag.loaders.invisible import without_invisible

TAGS = "".join(chr(0xE0000 + ord(letter)) for letter in "obey")
SELECTORS = "".join(chr(0xE0100 + number) for number in b"obey")
ENGLAND = "\U0001f3f4" + "".join(chr(0xE0000 + ord(letter)) for letter in "gbeng") + "\U000e007f"


@pytest.mark.parametrize(
    ("text", "read"),
    [
        (f"Bees{TAGS} swarm", "Bees swarm"),
        (f"Bees \U0001f41d{SELECTORS}", f"Bees \U0001f41d{SELECTORS[0]}"),
        ("pass\u200bword", "password"),
        ("\ufeffa\u2060b\u180ec", "abc"),
        ("a" + "\u200c\u200d" * 20 + "b", "ab"),
        ("\u202eyaM\u202c", "yaM\u202c"),
    ],
)
def test_what_nobody_sees_is_left_out(text: str, read: str) -> None:
    assert without_invisible(text) == read


@pytest.mark.parametrize(
    "text",
    [
        "plain",
        "می\u200cخواهم",  # Persian
        "\U0001f468\u200d\U0001f469\u200d\U0001f467",  # a family
        "\u2764\ufe0f and \u2601\ufe0f",
        ENGLAND,
        "soft\u00adhyphen, no\u00a0break",
        "עברית \u200f(א)\u200f",
    ],
)
def test_what_writing_needs_stays(text: str) -> None:
    assert without_invisible(text) == text
