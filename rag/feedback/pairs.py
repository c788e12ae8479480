"""Aggregate labels (`training_pairs`) into one verdict per query and chunk, and into pairs to train and judge with.

Why in tiers: labels are not equally reliable. A judgement of the passage itself (mark, taught passage, imported label)
overrides thumbs on answers; thumbs override preferences, of which a thumb's doubtful share overrides the negatives; and
all override the guess that an unused chunk is wrong. So a chunk has its verdict from one tier and is never counted
twice. A label's chunk is found by id, or by its text where the documents were cut differently since; where the text is
gone, the label is kept, and counted as retired.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import lru_cache

from rag.feedback.chunk_matching import ChunkMatcher
from rag.feedback.credit import RankOf, share_thumbs
from rag.records import Chunk, LabelledPair, Pair, SyntheticPair, normalise_query

Alike = Callable[[str, str], bool]
SharedLabels = tuple[Sequence[LabelledPair], Sequence[LabelledPair]]  # the labels that count, and the doubtful ones
ShareThumbs = Callable[[Sequence[LabelledPair]], SharedLabels]

SHINGLE = 3  # words
ALIKE = 0.5  # Jaccard similarity of shingles from which two texts are near duplicates
GONE = "its text is no longer in these documents"
TRUSTED = 0.9  # prior share of agreement, for a rater who was compared with nobody yet
EVEN = 1e-9  # of summed trust; below it is rounding
TRUST_FIRM = 10.0  # comparisons that the prior is worth; after as many of a rater's own, both count alike


@dataclass(frozen=True, slots=True)
class MadePairs:
    """Pairs made from labels.

    `judged` maps a normalised query to the chunks that were judged for it; `retired` lists the labels that match no
    current chunk, and why; `ties` counts the chunks on which the raters are evenly split; `trust` maps rater to weight,
    0 to 1.
    """

    pairs: tuple[Pair, ...]
    judged: Mapping[str, frozenset[str]]
    retired: tuple[tuple[LabelledPair, str], ...]
    ties: int
    trust: Mapping[str, float]


def unshared(labels: Sequence[LabelledPair]) -> SharedLabels:
    """Return the labels as they are, none of them doubtful."""
    return labels, ()


def is_guess(label: LabelledPair) -> bool:
    """Return whether a label was only inferred from an answer that left the chunk unused: nobody judged the chunk."""
    return label.origin == "rating" and label.label != 0 and not label.cited


def count_queries(pairs: Iterable[Pair | SyntheticPair]) -> int:
    """Return how many different queries the pairs have; spellings of one query count once."""
    return len({normalise_query(pair.query) for pair in pairs})


def count_rated(labels: Iterable[LabelledPair], chunks: Sequence[Chunk], rank_of: RankOf) -> int:
    """Return how many rated queries have a positive: exactly the number that a training on these labels counts.

    The texts of the chunks may be empty where all labels are found by id: only negatives are compared by text.
    """
    return count_queries(rated_pairs(labels, chunks, lambda one, other: False, rank_of).pairs)


def rated_pairs(labels: Iterable[LabelledPair], chunks: Sequence[Chunk], alike: Alike, rank_of: RankOf) -> MadePairs:
    """Return the pairs that a training makes from ratings: `make_pairs`, with thumbs shared by `share_thumbs`."""
    return make_pairs(labels, chunks, alike, lambda placed: share_thumbs(placed, rank_of))


def make_pairs(
    labels: Iterable[LabelledPair], chunks: Sequence[Chunk], alike: Alike, share: ShareThumbs = unshared
) -> MadePairs:
    """Return a pair for each chunk that the raters found good for a query, with the chunks they found bad for it.

    Raters are pooled by query: each has one vote per chunk, whatever the number of answers, weighted by agreement with
    the other raters. A draw drops the chunk. A query with only negatives makes no pair. A near copy of a positive
    (`alike`) is never its negative. `share` divides each thumb up among the current chunks, after the raters' trust was
    computed from all chunks that an answer drew on. A chunk with a doubtful share makes no pair, but its thumb counts
    against raters who find it wrong. It does not count against the guess of another good answer that left the chunk
    unused: most such chunks are wrong, and they are the hard ones. The pairs are in the order of their first labels.
    """
    matcher = ChunkMatcher(chunks)
    live = sorted(_not_withdrawn(labels), key=lambda label: (label.at, label.id))
    found = [(label, matcher.find(label.chunk_id, label.text)) for label in live]
    placed = [replace(label, chunk_id=chunk_id) for label, chunk_id in found if chunk_id is not None]
    retired = tuple((label, GONE) for label, chunk_id in found if chunk_id is None and label.label)
    trust = agreement(placed)
    queries: dict[str, _Opinions] = {}
    counted, doubtful = share(placed)
    for label in counted:
        queries.setdefault(normalise_query(label.query), _Opinions(label.query)).add(label)
    for label in doubtful:
        queries.setdefault(normalise_query(label.query), _Opinions(label.query)).doubt(label)
    verdicts = {key: opinions.verdicts(trust) for key, opinions in queries.items()}
    pairs = [
        pair for key, opinions in queries.items() for pair in _pairs_of(opinions, verdicts[key], matcher.texts, alike)
    ]
    first: dict[tuple[str, str], datetime] = {}  # when a chunk was first labelled for a query
    for label in placed:
        first.setdefault((normalise_query(label.query), label.chunk_id), label.at)
    pairs.sort(key=lambda pair: first[normalise_query(pair.query), pair.positive_id])
    judged = {key: opinions.judged(verdicts[key]) for key, opinions in queries.items()}
    ties = sum(len(opinions.split(verdicts[key])) for key, opinions in queries.items())
    return MadePairs(tuple(pairs), judged, retired, ties, trust)


def agreement(labels: Iterable[LabelledPair]) -> dict[str, float]:
    """Return rater -> trust: 0 where others mostly say the opposite, near 1 where they agree.

    Two raters are compared where both judged the same chunks for the same query: a thumb is one judgement of all chunks
    that an answer drew on, a preference one of the chunks that it tells apart, compared with preferences only, and any
    other label one of its chunk. With p the share of agreement, shrunk towards TRUSTED
    while comparisons are few, the trust is 2p - 1 (0 for a coin toss), and never negative.
    """
    said: dict[tuple[str, frozenset[str], bool], dict[str, int]] = {}
    heard: dict[tuple[str, str], list[LabelledPair]] = {}
    raters = set()
    for label in labels:
        raters.add(label.rater)
        if label.label and not is_guess(label):
            target = label.answer_id if label.origin in ("rating", "preference") else label.id
            heard.setdefault((label.rater, target), []).append(label)
    for (rater, _), together in heard.items():
        first = min(together, key=lambda label: label.chunk_id)  # the opposite preference has the opposite label there
        ids, compares = frozenset(label.chunk_id for label in together), first.origin == "preference"
        said.setdefault((normalise_query(first.query), ids, compares), {})[rater] = int(first.label)
    same, compared = dict.fromkeys(raters, 0.0), dict.fromkeys(raters, 0.0)
    for values in said.values():
        for rater, value in values.items():
            others = [other for name, other in values.items() if name != rater]
            if others:
                compared[rater] += 1
                same[rater] += sum(other == value for other in others) / len(others)
    shares = {r: (same[r] + TRUSTED * TRUST_FIRM) / (compared[r] + TRUST_FIRM) for r in sorted(raters)}
    return {rater: max(0.0, 2 * share - 1) for rater, share in shares.items()}


def synthetic_to_pairs(synthetic: Iterable[SyntheticPair], weight: float = 1.0) -> list[Pair]:
    """Return synthetic pairs as training pairs; each keeps its own text, since a cloze lacks its sentence."""
    return [Pair(pair.query, pair.chunk_id, pair.text, weight=weight) for pair in synthetic]


def alike(a: str, b: str) -> bool:
    """Return whether two texts are near duplicates: Jaccard similarity of three-word shingles of at least ALIKE."""
    ours, theirs = shingles(a), shingles(b)
    return len(ours & theirs) >= ALIKE * len(ours | theirs)


@lru_cache(maxsize=65_536)
def shingles(text: str) -> frozenset[str]:
    """Return the shingles of a text: SHINGLE words that follow each other, in lower case."""
    words = re.findall(r"\w+", text.casefold()) or [text]
    return frozenset(" ".join(words[start : start + SHINGLE]) for start in range(max(1, len(words) - SHINGLE + 1)))


@dataclass(frozen=True, slots=True)
class _Opinions:
    """A query in its first spelling, and per chunk its labels: direct, thumbs, doubtful, preferences, and guesses."""

    query: str
    outright: dict[str, list[LabelledPair]] = field(default_factory=dict)
    thumbs: dict[str, list[LabelledPair]] = field(default_factory=dict)
    doubts: dict[str, list[LabelledPair]] = field(default_factory=dict)
    preferred: dict[str, list[LabelledPair]] = field(default_factory=dict)
    guessed: dict[str, None] = field(default_factory=dict)
    labelled: dict[str, None] = field(default_factory=dict)

    def add(self, label: LabelledPair) -> None:
        if label.origin != "preference" or label.label == 1:  # what only the worse answer used may still be right
            self.labelled[label.chunk_id] = None
        if is_guess(label):
            self.guessed[label.chunk_id] = None
        elif label.label:
            tiers = {"rating": self.thumbs, "preference": self.preferred}
            tiers.get(label.origin, self.outright).setdefault(label.chunk_id, []).append(label)

    def doubt(self, label: LabelledPair) -> None:
        """Add a thumb up of an answer that drew on this chunk, and on others that are more likely to have earned it."""
        self.doubts.setdefault(label.chunk_id, []).append(label)

    def verdicts(self, trust: Mapping[str, float]) -> dict[str, float]:
        """Return chunk -> verdict: above 0 its weight as a positive, below 0 bad, 0 for a draw.

        Doubtful labels make no verdict, but count where somebody finds the chunk wrong. Shares of thumbs add up, to one
        thumb at most; of direct labels the strongest counts, and of preferences, so that several are no thumb.
        """
        by_preference = {
            chunk_id: _strongest(said, trust)
            for chunk_id, said in self.preferred.items()
            if chunk_id not in self.thumbs
        }
        for chunk_id in self.doubts:  # a thumb that may be meant for it: enough against a negative, not for a positive
            if by_preference.get(chunk_id, 0) < 0:
                del by_preference[chunk_id]
        by_thumbs = {}
        for chunk_id, said in self.thumbs.items():
            side = _side(said, trust, self.doubts.get(chunk_id, ()))
            by_thumbs[chunk_id] = side * min(1.0, sum(_weights(said, side)))
        outright = {chunk_id: _strongest(said, trust) for chunk_id, said in self.outright.items()}
        return by_preference | by_thumbs | outright

    def judged(self, verdicts: Mapping[str, float]) -> frozenset[str]:
        """Return the chunks that have been judged, without those left in doubt."""
        return frozenset(i for i in self.labelled if i not in self.doubts or i in self.outright or verdicts.get(i))

    def split(self, verdicts: Mapping[str, float]) -> list[str]:
        """Return the chunks on which raters are split."""
        return [i for i, value in verdicts.items() if not value and (i not in self.doubts or i in self.outright)]


def _not_withdrawn(labels: Iterable[LabelledPair]) -> list[LabelledPair]:
    """Return the labels of those targets that their rater has not withdrawn."""
    given = list(labels)
    live = {(label.rater, label.answer_id) for label in given if label.label}
    return [label for label in given if (label.rater, label.answer_id) in live]


def _side(said: Sequence[LabelledPair], trust: Mapping[str, float], doubts: Sequence[LabelledPair] = ()) -> int:
    """Return 1 or -1 for the majority of raters on one chunk, each weighted by trust; 0 for a draw.

    A rater's own label of a chunk counts fully, a doubtful one by its share.
    """
    voices: dict[str, float] = {}
    for label in said:
        voices[label.rater] = voices.get(label.rater, 0.0) + label.label
    for label in doubts:
        voices[label.rater] = voices.get(label.rater, 0.0) + label.label * label.weight
    lean = sum(trust[rater] * ((voice > 0) - (voice < 0)) for rater, voice in sorted(voices.items()))
    return (lean > EVEN) - (lean < -EVEN)


def _strongest(said: Sequence[LabelledPair], trust: Mapping[str, float]) -> float:
    """Return the verdict of the majority of raters with the weight of its strongest label; 0 for a draw."""
    side = _side(said, trust)
    return side * max(_weights(said, side), default=0.0)


def _weights(said: Sequence[LabelledPair], side: int) -> list[float]:
    """Return the weights of the labels that are on the majority's side."""
    return [label.weight for label in said if label.label == side]


def _pairs_of(opinions: _Opinions, verdicts: Mapping[str, float], texts: Mapping[str, str], alike: Alike) -> list[Pair]:
    good = {chunk_id: value for chunk_id, value in verdicts.items() if value > 0}
    bad = [chunk_id for chunk_id, value in sorted(verdicts.items(), key=lambda item: item[1]) if value < 0]
    bad += [chunk_id for chunk_id in opinions.guessed if chunk_id not in verdicts]
    wrong = [texts[i] for i in bad if not any(alike(texts[i], texts[right]) for right in good)]
    unsure = tuple(sorted(chunk_id for chunk_id, value in verdicts.items() if not value))
    return [Pair(opinions.query, i, texts[i], tuple(wrong), weight, unsure=unsure) for i, weight in good.items()]
