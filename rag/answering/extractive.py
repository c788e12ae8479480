"""Extractive answers: quote the parts of the hits that answer the query best, without an LLM.

The scorer is passed in and belongs to neither arm, so both answers are written the same way. What is quoted, and in
which order, was chosen by figures: docs/log.md, 2026-11-29.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from rag.answering.evidence.words import CHARACTER, WORD, stem_list
from rag.answering.quotable import Unit, quotable_units
from rag.records import Chunk, Hit

Score = Callable[[str, list[str]], list[float]]
THRESHOLD = 0.424  # of cosine + overlap; fitted by benchmarks/answering/extractive.py on docs/questions.jsonl
MAX_WORDS = 84  # of all quotes; 80 on average, since what does not fit is passed over
MARGIN = 0.5  # a unit that scores this much below the best one is not quoted
MAX_HITS = 4  # citing more includes the right section more often, but makes a rating less specific
# The share of the query's words counts as well as the cosine, which alone prefers sentences that repeat the question.
# The score of a hit and the cosine of its best unit help to tell which passage is about the question.
OVERLAP_WEIGHT, HIT_WEIGHT, BEST_WEIGHT = 0.2, 0.1, 0.2
REFERS_BACK = re.compile(r"(?:It|They|This|These|Those|That|He|She|But|However|Then|So|Also|Otherwise|Both|Such)\b")
CHARACTERS_PER_WORD = 2  # of Chinese and Japanese


@dataclass(frozen=True, slots=True)
class Quote:
    """A unit of a passage, the `nth` of the hit at `rank`.

    `match` says how well it answers the query by itself; `score`, which ranks it, how good its passage is, too.
    """

    rank: int
    nth: int
    unit: Unit
    match: float
    score: float

    @property
    def place(self) -> tuple[int, int]:
        """Return where the unit stands: rank and number."""
        return self.rank, self.nth

    @property
    def words(self) -> int:
        """Return the number of words on the screen."""
        text = self.unit.shown
        characters = len(re.findall(f"[{CHARACTER}]", text))
        return sum(1 for word in text.split() if WORD.search(word)) + characters // CHARACTERS_PER_WORD


def quote(query: str, hits: Sequence[Hit], score: Score) -> str:
    """Return the best parts of the hits as Markdown, each paragraph with its citation [n]; "" below THRESHOLD.

    The hit with the best unit comes first, and that unit opens the answer. What stands together stays together.
    """
    ranked = rank_units(query, hits, score)
    if not ranked or max(each.match for each in ranked) < THRESHOLD:
        return ""
    return "\n\n".join(_paragraphs(choose_quotes(ranked)))


def rank_units(query: str, hits: Sequence[Hit], score: Score) -> list[Quote]:
    """Return all quotable units of the hits, best first.

    A unit is scored together with its heading: "They expire after a year." answers nothing by itself.
    """
    found = [
        (hit, nth, unit) for hit in hits for nth, unit in enumerate(quotable_units(hit.chunk.text, hit.chunk.source))
    ]
    headings = [_last_heading(hit.chunk) for hit, _, _ in found]
    texts = [unit.text for _, _, unit in found]
    cosines = score(query, [_with_heading(hit.chunk, unit) for hit, _, unit in found]) if found else []
    overlaps = word_overlaps(query, texts, headings)
    matches = [cosine + OVERLAP_WEIGHT * overlap for cosine, overlap in zip(cosines, overlaps, strict=True)]
    best: dict[int, float] = {}
    for (hit, _, _), cosine in zip(found, cosines, strict=True):
        best[hit.rank] = max(best.get(hit.rank, cosine), cosine)
    quotes = [
        Quote(hit.rank, nth, unit, match, match + HIT_WEIGHT * hit.score + BEST_WEIGHT * best[hit.rank])
        for (hit, nth, unit), match in zip(found, matches, strict=True)
    ]
    return sorted(quotes, key=lambda each: -each.score)


def scored_texts(chunk: Chunk) -> list[str]:
    """Return the texts of a passage that `rank_units` scores."""
    return [_with_heading(chunk, unit) for unit in quotable_units(chunk.text, chunk.source)]


def _with_heading(chunk: Chunk, unit: Unit) -> str:
    return f"{_last_heading(chunk)}: {unit.text}"


def _last_heading(chunk: Chunk) -> str:
    return chunk.heading.rpartition(" > ")[2]


def word_overlaps(query: str, texts: Sequence[str], headings: Sequence[str]) -> list[float]:
    """Return for each text the share of the query's words in it or its heading, from 0 to 1, rare words counting more.

    The weight of a word is its inverse document frequency among the texts, as in BM25.
    """
    found = [frozenset(stem_list(text)) for text in texts]
    frequency = Counter(stem for stems in found for stem in stems)
    weights = {stem: math.log(1 + len(texts) / (0.5 + frequency[stem])) for stem in frozenset(stem_list(query))}
    total = sum(weights.values()) or 1.0
    under = [stems | frozenset(stem_list(heading)) for stems, heading in zip(found, headings, strict=True)]
    return [sum(weight for stem, weight in weights.items() if stem in stems) / total for stems in under]


def choose_quotes(ranked: Sequence[Quote]) -> list[Quote]:
    """Return the quotes within MARGIN of the best one that fit into MAX_WORDS and MAX_HITS, best first.

    A sentence that refers back takes the one before it along, a code block or list item the line that leads to it, and
    that line what it leads to, where there is room; a line that leads to nothing is left out. The best one is quoted
    however long it is, and nothing twice, such as where a book lies there as a web page and as PDF.
    """
    at = {each.place: each for each in ranked}
    kept: dict[tuple[int, int], Quote] = {}
    words = 0
    for best in ranked:
        if best.score < ranked[0].score - MARGIN:
            break
        texts = {_said(each.unit) for each in kept.values()}
        cited = {each.rank for each in kept.values()}
        if best.place in kept or _said(best.unit) in texts or (best.rank not in cited and len(cited) >= MAX_HITS):
            continue
        together = [best, *(each for each in _companions(best, at) if each.place not in kept)]
        if best.unit.leads and len(together) == 1 and kept:
            continue
        for new in (together,) if best.unit.leads else (together, [best]):
            more = sum(each.words for each in new)
            if not kept or words + more <= MAX_WORDS:
                kept |= {each.place: each for each in new}
                words += more
                break
    return list(kept.values())


def _said(unit: Unit) -> str:
    """Return what is equal for units that differ in marks, quotes and blanks only."""
    return re.sub(r"[\W_]+", "", unicodedata.normalize("NFKC", unit.text).casefold()) or unit.text


def _companions(quote: Quote, at: dict[tuple[int, int], Quote]) -> list[Quote]:
    """Return the neighbours without which a unit is not understood."""
    rank, nth = quote.place
    unit, before, after = quote.unit, at.get((rank, nth - 1)), at.get((rank, nth + 1))
    found = []
    if unit.shape == "sentence" and before and before.unit.block == unit.block and REFERS_BACK.match(unit.text):
        found.append(before)
    if unit.leads and after and after.unit.block == unit.block + 1:
        found.append(after)
    if unit.shape != "sentence":
        first = nth
        while (rank, first - 1) in at and at[rank, first - 1].unit.block == unit.block:
            first -= 1
        lead = at.get((rank, first - 1))
        if lead and lead.unit.leads and lead.unit.block == unit.block - 1:
            found.append(lead)
    return found


def _paragraphs(chosen: Sequence[Quote]) -> Iterator[str]:
    """Yield the paragraphs, lists, tables and code blocks of an answer, each with its citation.

    Hits follow their best unit. Within a hit the best unit opens, with the units that it needs before it, and the rest
    follows in the order of the passage.
    """
    ranks = list(dict.fromkeys(each.rank for each in chosen))
    for rank in ranks:
        of_hit = [each for each in chosen if each.rank == rank]
        places = {each.nth for each in of_hit}
        opening = of_hit[0].nth
        while opening - 1 in places and _belongs_before(of_hit, opening):
            opening -= 1
        ordered = sorted(of_hit, key=lambda each: (each.nth < opening, each.nth))
        runs = groupby(
            enumerate(ordered), key=lambda item: (item[1].nth - item[0], item[1].unit.block, item[1].unit.shape)
        )
        introduced = False
        for _, run in runs:
            units = [each.unit for _, each in run]
            yield _written(units, rank, introduced)
            introduced = units[-1].leads


def _belongs_before(of_hit: Sequence[Quote], nth: int) -> bool:
    """Return whether the unit before the `nth` one introduces it, or is of the same list, table or form."""
    units = {each.nth: each.unit for each in of_hit}
    before, unit = units[nth - 1], units[nth]
    is_same = before.block == unit.block
    return before.leads or (is_same and (unit.shape != "sentence" or bool(REFERS_BACK.match(unit.text))))


def _written(units: Sequence[Unit], rank: int, introduced: bool) -> str:
    """Return neighbouring units of one block as Markdown with their citation; `introduced` code has it above."""
    first, shape = units[0], units[0].shape
    if shape == "code":
        return "\n\n".join(unit.shown for unit in units) + ("" if introduced else f"\n\n[{rank}]")
    if shape == "item":
        return "\n".join(f"{unit.shown} [{rank}]" for unit in units)
    if shape == "row":
        rows = [f"{unit.shown.removesuffix('|').rstrip()} [{rank}] |" for unit in units]
        return "\n".join([*([first.head] if first.head else []), *rows])
    between = "\n" if shape == "line" else " "  # Chainlit keeps line breaks
    return f"{between.join(unit.shown for unit in units)} [{rank}]"
