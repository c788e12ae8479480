"""A text as a bag of words, and the words that a loader lost or invented against second readers."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

IGNORED = re.compile("[\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]")  # soft hyphens, direction marks
# Scripts without blanks between words: Thai, Lao, Burmese, Khmer, Japanese, Chinese.
ALONE = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
WORD = re.compile(rf"[{ALONE}]|[^\W_{ALONE}]+")


@dataclass(frozen=True, slots=True)
class Difference:
    """Words of one file: of the second reader, of ours; lost entirely, fewer times, and invented."""

    expected: int
    read: int
    lost: Counter[str]
    fewer: int
    invented: Counter[str]

    @property
    def lost_share(self) -> float:
        """Return the share of the expected words that occur nowhere in what was read, 0 to 1."""
        return self.lost.total() / max(1, self.expected)

    @property
    def invented_share(self) -> float:
        """Return the share of the read words that no second reader has, 0 to 1."""
        return self.invented.total() / max(1, self.read)


def words(text: str) -> list[str]:
    """Return the words of a text in order: NFKC, case folded; a character each in scripts without blanks."""
    return WORD.findall(unicodedata.normalize("NFKC", IGNORED.sub("", text)).casefold())


def compare(ours: str, others: Sequence[str]) -> Difference:
    """Return which words of the first of `others` are lost, and which of ours none of `others` has.

    Two neighbouring words of one reader may be one in another (a hyphen at a line's end, a letter-spaced heading): a
    word without digits that is the joined text of neighbours of the other is neither lost nor invented. Digits are
    excepted, since 400.01 and a footnote's 3 are not 400.013.
    """
    mine = words(ours)
    theirs = [words(text) for text in others]
    expected, read = Counter(theirs[0]), Counter(mine)
    known = Counter(word for some in theirs for word in some)
    gone = {word: n for word, n in expected.items() if word not in read}
    new = {word: n for word, n in read.items() if word not in known}
    lost = _without_joined(gone, read, _joined(mine))
    invented = _without_joined(new, known, set().union(*map(_joined, theirs)))
    return Difference(expected.total(), len(mine), lost, (expected - read).total(), invented)


def _joined(some: Sequence[str]) -> set[str]:
    """Return every two and three neighbouring words as one."""
    pairs = [a + b for a, b in pairwise(some)]
    return {*pairs, *(pair + word for pair, word in zip(pairs, some[2:], strict=False))}


def _without_joined(some: Mapping[str, int], bag: Mapping[str, int], joined: set[str]) -> Counter[str]:
    """Return `some` without the other reader's neighbours joined, and without words that fall into two of its words."""
    return Counter(
        {
            word: n
            for word, n in some.items()
            if any(map(str.isdigit, word))
            or not (
                word in joined
                or any(word[:cut] in bag and word[cut:] in bag for cut in range(2, max(2, len(word) - 1)))
            )
        }
    )
