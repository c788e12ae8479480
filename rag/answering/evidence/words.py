"""Words of a text for comparing texts: casefolded, without English endings; stop words; Chinese and Japanese."""

from __future__ import annotations

import re

STOP_WORDS = frozenset(
    re.findall(
        r"\w+",
        """a an the of in on to for and or is are was were be been do does did how what why which who when where can
        could should would i my me you your it its this that these those with without from by as at if not no have has
        had will there about into than then so we our they their them any all some more most one out up use get""",
    )
)
SUFFIX = re.compile(r"(?<=\w{3})(?:ing|ed|es|s)$")
CHARACTER = "\u3040-\u30ff\u4e00-\u9fff"  # of Chinese and Japanese, which have no blanks
WORD = re.compile(rf"[{CHARACTER}]|[^\W{CHARACTER}]+")


def stem_list(text: str) -> list[str]:
    """Return the words of a text in order, without stop words and English endings (other languages keep theirs)."""
    return [SUFFIX.sub("", word) for word in WORD.findall(text.casefold()) if word not in STOP_WORDS]
