"""Attribution: find the passage that a statement of an answer was drawn from, where it carries no valid citation.

A passage is compared with a statement by rare words that both have, by pairs of neighbouring words, and, where that
decides nothing, by the cosine of their embeddings. Thresholds were fitted by benchmarks/answering/attribution.py:
docs/log.md, 2026-11-29. A cited passage that shares next to nothing with its statement does not support it.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from rag.answering.evidence.citations import Statement, statements
from rag.answering.evidence.refusals import is_refusal
from rag.answering.evidence.words import WORD, stem_list
from rag.records import Answer, Evidence, Hit

Matrix = NDArray[np.float32]
Similar = Callable[[list[str], Sequence[Hit]], Matrix]  # texts, hits -> cosines, shape (texts, hits)

SUPPORT = 0.3  # share of a sentence's words in the cited passage; a paraphrase keeps names and terms
SUPPORT_COSINE, BEHIND = 0.5, 0.05  # or so near in meaning, and no hit much nearer: a translation shares no words
BLANK_LINE = re.compile(r"\n[^\S\n]*\n")
MIN_WORDS = 3  # with a meaning; a statement of fewer is attributed together with the question
PAIR_WEIGHT, COSINE_WEIGHT = 0.2, 0.3
THRESHOLD = 0.3
CLEAR, CLEAR_MARGIN = 0.6, 0.25  # word score and lead at which no embedding is needed


@dataclass(frozen=True, slots=True)
class Match:
    """How well each hit matches a statement: by shared words, and with the cosine where that was needed."""

    words: Matrix
    score: Matrix

    @property
    def best(self) -> int:
        """Return the index of the hit that matches best."""
        return int(self.score.argmax())


def find_evidence(text: str, query: str, hits: Sequence[Hit], similar: Similar) -> tuple[Evidence, ...]:
    """Return what was found out about the statements of an answer that carry no valid citation, in reading order.

    `attributed`: the statement was drawn from the passage at that rank. `unsupported`: it cites that passage, which
    does not support it. `text` is clean (see cleaning). A statement that is drawn from a passage which its paragraph
    cites needs no attribution.
    """
    found = [each for each in statements(text, len(hits)) if stem_list(each.words)] if hits else []
    wrong = _unsupported(found, query, hits, similar)
    valid = [tuple(rank for rank in each.cited if rank not in wrong[n]) for n, each in enumerate(found)]
    bare = [n for n, each in enumerate(found) if not valid[n] and _claims(each, hits)]
    long = [n for n in bare if not _is_short(found[n])]
    matches = match([found[n].words for n in long], hits, similar)
    drawn = {n: hits[each.best].rank for n, each in zip(long, matches, strict=True) if is_drawn(each)}
    evidence = [
        Evidence(each.start, each.end, rank, "unsupported") for n, each in enumerate(found) for rank in wrong[n]
    ]
    for n, rank in drawn.items():
        paragraph = _paragraph(text, found[n])
        if not any(rank in valid[m] and _paragraph(text, each) == paragraph for m, each in enumerate(found)):
            evidence.append(Evidence(found[n].start, found[n].end, rank, "attributed"))
    if bare and not long and not any(valid):
        evidence += _of_short_answer([found[n] for n in bare], query, hits, similar)
    return tuple(sorted(evidence, key=lambda each: (each.start, each.kind, each.rank)))


def informative_starts(text: str, hits: Sequence[Hit], evidence: Sequence[Evidence]) -> set[int]:
    """Return the starts of the statements that rest on a passage: by a valid citation, or by attribution."""
    wrong = {(each.start, each.rank) for each in evidence if each.kind == "unsupported"}
    valid = {
        each.start for each in statements(text, len(hits)) for rank in each.cited if (each.start, rank) not in wrong
    }
    return valid | {each.start for each in evidence if each.kind == "attributed"}


def credited_numbers(answer: Answer) -> tuple[int, ...]:
    """Return the ranks of the hits that a thumb on an answer credits, in the order in which the answer draws on them.

    These are the citations that are not flagged as unsupported, and what was attributed.
    """
    if answer.abstained:
        return ()
    if answer.evidence is None:
        return supported_numbers(answer.text, answer.hits)
    wrong = {(each.start, each.rank) for each in answer.evidence if each.kind == "unsupported"}
    drawn = [(each.start, each.rank) for each in answer.evidence if each.kind == "attributed"]
    cited = [
        (each.start, rank)
        for each in statements(answer.text, len(answer.hits))
        for rank in each.cited
        if stem_list(each.words) and (each.start, rank) not in wrong
    ]
    return tuple(dict.fromkeys(rank for _, rank in sorted([*cited, *drawn], key=lambda each: each[0])))


def supported_numbers(text: str, hits: Sequence[Hit]) -> tuple[int, ...]:
    """Return the cited ranks whose passage contains at least SUPPORT of the words of a sentence that cites it.

    The rule of earlier releases, for their answers.
    """
    texts = {hit.rank: _words(hit.chunk.text) for hit in hits}
    return tuple(
        dict.fromkeys(
            rank
            for each in statements(text, len(hits))
            for rank in each.cited
            if _share(each.words, texts[rank]) >= SUPPORT
        )
    )


def match(texts: Sequence[str], hits: Sequence[Hit], similar: Similar) -> list[Match]:
    """Return how well the hits match each statement. Embeds only the statements whose words decide nothing.

    The cosine counts by how far a hit is behind the nearest one, since each model has its own scale.
    """
    words = word_scores(texts, hits)
    doubtful = [n for n, row in enumerate(words) if not is_clear(row)]
    scores = words.copy()
    if doubtful:
        cosines = similar([texts[n] for n in doubtful], hits)
        scores[doubtful] -= COSINE_WEIGHT * (cosines.max(axis=1, keepdims=True) - cosines)
    return [Match(row, score) for row, score in zip(words, scores, strict=True)]


def word_scores(texts: Sequence[str], hits: Sequence[Hit]) -> Matrix:
    """Return the share of each text's words and pairs of words that each hit has, shape (texts, hits).

    The weight of a word is its inverse document frequency among the hits: one that all have tells none from another.
    """
    passages = [stem_list(f"{hit.chunk.heading} {hit.chunk.text}") for hit in hits]
    known = [frozenset(stems) for stems in passages]
    pairs = [frozenset(pairwise(stems)) for stems in passages]
    frequency = Counter(stem for stems in known for stem in stems)
    rows = np.zeros((len(texts), len(hits)), np.float32)
    for n, text in enumerate(texts):
        stems = stem_list(text)
        weights = {stem: math.log(1 + len(hits) / (0.5 + frequency[stem])) for stem in stems}
        total = sum(weights.values()) or 1.0
        mine = set(pairwise(stems))
        for m, (have, paired) in enumerate(zip(known, pairs, strict=True)):
            share = sum(weight for stem, weight in weights.items() if stem in have) / total
            rows[n, m] = share + PAIR_WEIGHT * (len(mine & paired) / len(mine) if mine else 0.0)
    return rows


def is_clear(words: Matrix) -> bool:
    """Return whether the words alone decide which hit a statement was drawn from."""
    best, *rest = sorted(words, reverse=True)
    return bool(best >= CLEAR and best - max(rest, default=0.0) >= CLEAR_MARGIN)


def is_drawn(found: Match) -> bool:
    """Return whether the best hit matches a statement well enough to be its source."""
    return bool(found.score.max() >= THRESHOLD)


def _unsupported(
    found: Sequence[Statement], query: str, hits: Sequence[Hit], similar: Similar
) -> list[tuple[int, ...]]:
    """Return for each statement the ranks that it cites and that do not support it.

    A short one, such as "Yes [1].", is read together with the question.
    """
    known = {hit.rank: _words(hit.chunk.text) for hit in hits}
    texts = [f"{query} {each.words}" if _is_short(each) else each.words for each in found]
    lacking = {
        n: [rank for rank in each.cited if _share(texts[n], known[rank]) < SUPPORT] for n, each in enumerate(found)
    }
    doubtful = [n for n, ranks in lacking.items() if ranks]
    near = dict(zip(doubtful, similar([texts[n] for n in doubtful], hits), strict=True)) if doubtful else {}
    column = {hit.rank: m for m, hit in enumerate(hits)}
    return [tuple(rank for rank in lacking[n] if not _is_near(near[n], column[rank])) for n in range(len(found))]


def _is_near(cosines: Matrix, nth: int) -> bool:
    """Return whether a statement is near in meaning to the nth hit."""
    return bool(cosines[nth] >= max(SUPPORT_COSINE, cosines.max() - BEHIND))


def _of_short_answer(found: Sequence[Statement], query: str, hits: Sequence[Hit], similar: Similar) -> list[Evidence]:
    """Return the attribution of an answer that is only some words, such as "In 1912.", read with the question."""
    words = " ".join(each.words for each in found)
    mine = frozenset(stem_list(words))
    having = [hit for hit in hits if mine <= frozenset(stem_list(f"{hit.chunk.heading} {hit.chunk.text}"))]
    if not having:
        return []
    (best,) = match([f"{query} {words}"], having, similar)
    return [Evidence(found[0].start, found[-1].end, having[best.best].rank, "attributed")]


def _claims(statement: Statement, hits: Sequence[Hit]) -> bool:
    """Return whether a statement says something that may be drawn from a passage."""
    words = statement.words.strip()
    leads = words.startswith("#") or words.rstrip("*_ ").endswith((":", "：", "?", "？"))
    return not leads and not is_refusal(statement, hits)


def _is_short(statement: Statement) -> bool:
    return len(stem_list(statement.words)) < MIN_WORDS


def _paragraph(text: str, statement: Statement) -> int:
    return len(BLANK_LINE.findall(text, 0, statement.start))


def _words(text: str) -> frozenset[str]:
    """Return the distinct words of three letters or more, casefolded, and Chinese and Japanese characters."""
    return frozenset(word for word in WORD.findall(text.casefold()) if len(word) > 2 or "\u3040" <= word <= "\u9fff")


def _share(text: str, known: frozenset[str]) -> float:
    """Return the share of a text's words that are known; 0 for a text without words."""
    words = _words(text)
    return len(words & known) / len(words) if words else 0.0
