"""A text as a bag of words, and the words that a loader lost or invented against second readers."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

IGNORED = re.compile("[\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]")  # soft hyphens, direction marks
# Scripts without blanks between words: Thai, Lao, Burmese, Khmer, Japanese, Chinese.
ALONE = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
DOTLESS = re.compile("\u0131(?=[\u0300-\u036f])")  # an i below an accent, as fonts write it
PAIR = re.compile(r"(\w)\1")
RAISED_RUN = re.compile(r"[^\W_]*(?:\^[0-9]+[^\W_]*)+")  # x^0y^0 of our PDF loader: x, 0y and 0 as words
RAISED_PART = re.compile(r"([0-9]+)([^\W\d_]\w*)")
RAISED = re.compile(
    r"(?<![^\W_])([^\W_]{1,100})[^\w\s^]*\^([0-9]+)"
)  # how our PDF loader writes a footnote mark or an exponent
LONGEST = 100  # characters of two words in one; longer ones are data
MIXED = 0.03  # share of a text's words in letters of two scripts, above which its font has no true map
LABEL = re.compile(  # what a block is called by the loaders, at the begin of its line
    r"^(?:#+ Slide \d+:?|Page (?:header|footer)(?: of (?:the first page|even pages))?:|Notes:|Chart:|Attachments:"
    r"|Comment(?: by [^:\n]{0,80})?(?: on [A-Z]{1,3}\d+)?:|(?:\| )?Category(?=:? ))",
    re.MULTILINE,
)
WORD = re.compile(rf"[{ALONE}]|[^\W_{ALONE}]+")


@dataclass(frozen=True, slots=True)
class Difference:
    """Words of one file: of the second reader, of ours; lost entirely, fewer times, and invented.

    `alone`: words that only one second reader has; a third one reads the file without them, as we do.
    `explained`: lost or invented words that are the same text written in another way, by rule.
    """

    expected: int
    read: int
    lost: Counter[str]
    fewer: int
    invented: Counter[str]
    explained: Counter[str] = field(default_factory=Counter)
    alone: Counter[str] = field(default_factory=Counter)

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
    return WORD.findall(unicodedata.normalize("NFKC", DOTLESS.sub("i", IGNORED.sub("", text))).casefold())


def compare(ours: str, others: Sequence[str], third: str = "") -> Difference:
    """Return which words of the first of `others` are lost, and which of ours none of `others` has.

    Where a `third` reader's text is given, two of three readers decide: a word that the first one alone has, and the
    third one has neither so nor in two or three pieces, is not lost, as a word of ours that any of them has is not
    invented.

    The same text may be written in another way, which these rules find and count:

    joined: two neighbouring words of one reader are one in another (a hyphen at a line's end, a letter-spaced heading).
    A word with digits is excepted, since 400.01 and a footnote's 3 are not 400.013.
    raised: city^2 of ours is city2 of a reader that does not see that the digit is raised, and x^0y is x 0 y.
    twice: TThhee of a reader is The, printed twice for a bold look, and tt1 is t1 where only letters are.

    What the loaders name a block, such as "Slide 3:" or "Comment by Ann:", is no word of the file and is left out.
    """
    mine = words(LABEL.sub("", ours))
    theirs = [words(text) for text in others]
    expected, read = Counter(theirs[0]), Counter(mine)
    known = Counter(word for some in theirs for word in some)
    gone = {word: n for word, n in expected.items() if word not in read}
    new = {word: n for word, n in read.items() if word not in known}
    lost = _without_joined(gone, read, _joined(mine))
    invented = _without_joined(new, known, set().union(*map(_joined, theirs)))
    _remove(lost, _halves(theirs[0], read))
    explained = Counter(joined=sum(gone.values()) + sum(new.values()) - lost.total() - invented.total())
    marks = [(word.casefold(), digits) for word, digits in RAISED.findall(unicodedata.normalize("NFKC", ours))]
    glued = {word + digits for word, digits in marks}
    apart = {part for word, digits in marks if word + digits in known for part in (word, digits)}
    raised = _raised_parts(ours, known)
    glued |= {piece for pieces in raised.values() for piece in pieces}
    explained["raised"] = _remove(lost, glued) + _remove(invented, apart | raised.keys())
    singles = {word: PAIR.sub(r"\1", word) for word in lost}
    explained["twice"] = _remove(lost, {word for word, one in singles.items() if one in read and word in _twice(one)})
    explained["twice"] += _remove(invented, {word for word in invented if _twice(word) & known.keys()})
    alone = _alone(lost, words(third)) if third.strip() else Counter()
    return Difference(expected.total(), len(mine), lost - alone, (expected - read).total(), invented, explained, alone)


def _alone(lost: Mapping[str, int], third: Sequence[str]) -> Counter[str]:
    """Return the lost words that the third reader has neither so nor in pieces."""
    known = {*third, *_joined(third)}
    return Counter({word: n for word, n in lost.items() if word not in known})


def _raised_parts(ours: str, known: Mapping[str, int]) -> dict[str, tuple[str, str]]:
    """Return word -> (digit, letters) for those such as 0y in x^0y whose pieces are words of another reader."""
    runs = RAISED_RUN.findall(unicodedata.normalize("NFKC", ours).casefold())
    parts = {part for run in runs for part in run.split("^")[1:]}
    matches = ((part, RAISED_PART.fullmatch(part)) for part in parts)
    return {part: (match[1], match[2]) for part, match in matches if match and known.keys() >= set(match.groups())}


def _twice(word: str) -> set[str]:
    """Return a word as it is read where each of its characters, or each letter of it, is printed twice."""
    return {"".join(2 * each for each in word), "".join(each if each.isdigit() else 2 * each for each in word)}


def _halves(some: Sequence[str], bag: Mapping[str, int]) -> set[str]:
    """Return the words without digits that joined with a neighbour are a word of the bag: infor and mation."""
    pairs = [(a, b) for a, b in pairwise(some) if a + b in bag and (a + b).isalpha()]
    return {half for pair in pairs for half in pair}


def has_true_letters(text: str) -> bool:
    """Return whether a reader's text can be taken for right: few of its words have letters of two scripts.

    Where a font has no map to Unicode, each reader gives other letters, and none of them is right.
    """
    found = [word for word in words(text) if len(word) > 2]
    mixed = sum(
        len({unicodedata.name(letter, "").split(" ")[0] for letter in word if letter.isalpha()}) > 1 for word in found
    )
    return mixed <= MIXED * max(1, len(found))


def _remove(some: Counter[str], words_to_go: set[str]) -> int:
    """Remove words from a bag, in place, and return how many there were."""
    return sum(some.pop(word) for word in words_to_go & set(some))


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
                or (
                    len(word) <= LONGEST
                    and any(word[:cut] in bag and word[cut:] in bag for cut in range(2, max(2, len(word) - 1)))
                )
            )
        }
    )
