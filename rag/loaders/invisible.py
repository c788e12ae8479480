"""Remove characters that nobody sees and models read: tag characters, runs of zero-width ones, reversed order.

Why: 97 tag characters are a copy of ASCII without a shape, and variation selectors can count to 256, so a page that
looks empty may hold an order to a language model; a zero-width space inside a word hides it from keyword search. What
writing needs stays: one joiner between letters (Persian, emoji), one selector after a sign, the tags of a flag.
"""

from __future__ import annotations

import re

INVISIBLE = re.compile(
    "(?<!\U0001f3f4)(?<![\U000e0020-\U000e007f])[\U000e0000-\U000e007f]+"  # tags, but those of a flag
    "|(?<=[\ufe00-\ufe0f\U000e0100-\U000e01ef])[\ufe00-\ufe0f\U000e0100-\U000e01ef]+"  # a second variation selector
    "|[\u180e\u200b-\u200d\u2060-\u2064\u206a-\u206f\ufeff]{2,}"  # zero-width spaces, controls and joiners in a row
    "|[\u180e\u200b\u2060-\u2064\u206a-\u206f\ufeff]"  # one of them, but for a joiner
    "|[\u202d\u202e]"  # orders of letters other than those of the script
)


def without_invisible(text: str) -> str:
    """Return a text without the characters that nobody sees; almost no text has any."""
    return text if text.isascii() else INVISIBLE.sub("", text)
