"""Write rag/loaders/letter_pairs.txt: `python -m benchmarks.encodings.letter_pairs DJANGO [FILE]`.

A line per language: its code, then groups "size:cost:letters", where cost is -2 ln P, rounded, of a letter, or of a
letter after another one; the blank is "_". Chinese, Japanese and Korean have single characters only.
"""

from __future__ import annotations

import math
import sys
import unicodedata
from collections import Counter, defaultdict
from itertools import pairwise
from pathlib import Path

from benchmarks.encodings.texts import counted
from rag.loaders.encoding_guess import TABLE

WIDE = ("ja", "ko", "zh_Hans", "zh_Hant")
LANGUAGES = (
    *("en", "de", "fr", "es", "it", "pt", "nl", "sv", "da", "nb", "fi", "is", "et", "ca", "pl", "cs", "sk", "hu"),
    *("hr", "sl", "ro", "sq", "sr_Latn", "tr", "az", "lt", "lv", "el", "ru", "uk", "be", "bg", "sr", "mk", "he"),
    *("ar", "fa", "ur", "th", *WIDE),
)
PAIRS, CHARACTERS = 650, 420  # the commonest of a language
OWN = 2e-5  # share of a text's letters: a rarer one belongs to a foreign name
MORE_PAIRS, MORE_LETTERS = 0.5, 10  # added to the counts, since rare pairs are counted too low


def line_of_language(language: str, texts: list[str]) -> str:
    """Return the line of a language."""
    text = unicodedata.normalize("NFC", " ".join(texts).lower()).replace("_", " ")
    if language == "ro":
        text = text.replace("ș", "ş").replace("ț", "ţ")  # as the old encodings have them
    letters = " ".join("".join(each if _is_letter(each) else " " for each in text).split())
    costs = _characters(letters) if language in WIDE else _pairs(letters)
    groups = defaultdict[tuple[int, int], list[str]](list)
    for some, cost in costs:
        groups[len(some), round(2 * cost)].append(some.replace(" ", "_"))
    written = (f"{size}:{cost}:{''.join(some)}" for (size, cost), some in sorted(groups.items()))
    return f"{language.replace('_', '-')} {' '.join(written)}"


def _is_letter(character: str) -> bool:
    return character.isalpha() or unicodedata.category(character)[0] == "M"


def _characters(letters: str) -> list[tuple[str, float]]:
    counts = Counter(letters)
    total = sum(count for each, count in counts.items() if each != " " and not each.isascii())
    common = counts.most_common(CHARACTERS)
    return [(each, -math.log(count / total)) for each, count in common if not each.isascii() and count > 1]


def _pairs(letters: str) -> list[tuple[str, float]]:
    counts, total = Counter(letters), len(letters)
    own = {each for each, count in counts.items() if count / total > OWN or each.isascii()}
    pairs = Counter(pairwise(letters)).most_common(PAIRS)
    costs = [
        (before + after, -math.log((count + MORE_PAIRS) / (counts[before] + MORE_LETTERS)))
        for (before, after), count in pairs
        if {before, after} != {" "} and before in own and after in own
    ]
    singles = ((each, count / total) for each, count in counts.most_common() if each in own)
    return costs + [(each, -math.log(share)) for each, share in singles if share > OWN]


def main() -> None:
    """Count the letters of all languages and write the table."""
    django, target = Path(sys.argv[1]), Path(sys.argv[2]) if len(sys.argv) > 2 else TABLE
    lines = (line_of_language(language, texts) for language in LANGUAGES if (texts := counted(language, django)))
    target.write_text("".join(f"{line}\n" for line in lines), "utf-8")


if __name__ == "__main__":
    main()
