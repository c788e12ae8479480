"""Rows of `training_pairs` -> one opinion per query and chunk -> pairs to train on and to judge with.

The idea a reader would miss: what people say is not equally sure, so it is heard in turn. A word on the very passage (a
mark, a taught passage, an imported label) beats thumbs; thumbs beat the guess that an unused chunk is wrong. A label is
believed only as far as the documents of today go: its chunk is found by id, or by its text where the documents were cut
anew; where the text is gone, the label waits in its table, and is counted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from rag.feedback.chunk_matching import ChunkMatcher
from rag.records import Chunk, LabelledPair, Pair, SyntheticPair, normalise_query

Alike = Callable[[str, str], bool]
Credited = tuple[Sequence[LabelledPair], Sequence[LabelledPair]]  # what counts, and what is doubtful
Credit = Callable[[Sequence[LabelledPair]], Credited]

GONE = "its text is no longer in these documents"
TRUSTED = 0.9  # how often a rater whom nobody has been compared with is taken to be right
EVEN = 1e-9  # of summed trust; below it is rounding
TRUST_FIRM = 10.0  # comparisons that this belief is worth; after as many of a rater's own, both count alike


@dataclass(frozen=True, slots=True)
class MadePairs:
    """What the labels came to.

    `judged` has for a normalised query the chunks that somebody looked at, `retired` each label without a chunk of
    today and why, `drawn` counts the chunks on which the raters are split, `trust` has each rater's weight (0 to 1).
    """

    pairs: tuple[Pair, ...]
    judged: Mapping[str, frozenset[str]]
    retired: tuple[tuple[LabelledPair, str], ...]
    drawn: int
    trust: Mapping[str, float]


def as_they_are(labels: Sequence[LabelledPair]) -> Credited:
    """Return the labels, none of which is doubtful."""
    return labels, ()


def make_pairs(
    labels: Iterable[LabelledPair], chunks: Sequence[Chunk], alike: Alike, credit: Credit = as_they_are
) -> MadePairs:
    """Return a pair for each chunk that the raters found good for a query, with the chunks they found bad for it.

    Raters are pooled by query: each has one voice per chunk, whatever the number of answers, and counts as far as
    others agree with him. A draw drops the chunk. A query with negatives only makes no pair. A near copy of a positive
    (`alike`) is never its negative. `credit` shares each thumb up anew among the chunks of today, once it is known how
    far each rater is to be believed, and raters are compared by all that an answer drew on. Where a chunk's share is
    doubtful the thumb makes no pair of it, but is heard against whoever finds it wrong. It does not speak against the
    guess of another good answer that left the chunk unused: most such chunks are wrong, and they are the hard ones.
    """
    anchors = ChunkMatcher(chunks)
    spoken = sorted(_spoken(labels), key=lambda label: (label.at, label.id))
    found = [(label, anchors.find(label.chunk_id, label.text)) for label in spoken]
    placed = [replace(label, chunk_id=chunk_id) for label, chunk_id in found if chunk_id is not None]
    retired = tuple((label, GONE) for label, chunk_id in found if chunk_id is None and label.label)
    trust = agreement(placed)
    queries: dict[str, _Opinions] = {}
    heard, doubtful = credit(placed)
    for label in heard:
        queries.setdefault(normalise_query(label.query), _Opinions(label.query)).add(label)
    for label in doubtful:
        queries.setdefault(normalise_query(label.query), _Opinions(label.query)).doubt(label)
    verdicts = {key: opinions.verdicts(trust) for key, opinions in queries.items()}
    pairs = [
        pair for key, opinions in queries.items() for pair in _pairs_of(opinions, verdicts[key], anchors.texts, alike)
    ]
    judged = {key: opinions.judged(verdicts[key]) for key, opinions in queries.items()}
    drawn = sum(len(opinions.split(verdicts[key])) for key, opinions in queries.items())
    return MadePairs(tuple(pairs), judged, retired, drawn, trust)


def agreement(labels: Iterable[LabelledPair]) -> dict[str, float]:
    """Return how far each rater is to be believed: 0 where others mostly say the opposite, near 1 where they agree.

    Two raters are compared where both judged the same chunks for the same query: a thumb is one opinion of all that an
    answer drew on, what is said outright one of its chunk. With p the share of agreement, pulled towards TRUSTED while
    comparisons are few, the weight is 2p - 1 (a coin says nothing), and never negative.
    """
    said: dict[tuple[str, frozenset[str]], dict[str, int]] = {}
    heard: dict[tuple[str, str], tuple[str, set[str], int]] = {}
    raters = set()
    for label in labels:
        raters.add(label.rater)
        if label.label and not _is_guess(label):
            target = label.answer_id if label.origin == "rating" else label.id
            query, ids, _ = heard.setdefault(
                (label.rater, target), (normalise_query(label.query), set(), int(label.label))
            )
            ids.add(label.chunk_id)
    for (rater, _), (query, ids, value) in heard.items():
        said.setdefault((query, frozenset(ids)), {})[rater] = value
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
    """Return the pairs of queries that nobody asked; their own text is kept, for a cloze lacks its sentence."""
    return [Pair(pair.query, pair.chunk_id, pair.text, weight=weight) for pair in synthetic]


@dataclass(frozen=True, slots=True)
class _Opinions:
    """A query as it was first spelt, and per chunk what was said of it outright, by thumbs, in doubt, and guessed."""

    query: str
    outright: dict[str, list[LabelledPair]] = field(default_factory=dict)
    thumbs: dict[str, list[LabelledPair]] = field(default_factory=dict)
    doubts: dict[str, list[LabelledPair]] = field(default_factory=dict)
    guessed: dict[str, None] = field(default_factory=dict)
    seen: dict[str, None] = field(default_factory=dict)

    def add(self, label: LabelledPair) -> None:
        self.seen[label.chunk_id] = None
        if _is_guess(label):
            self.guessed[label.chunk_id] = None
        elif label.label:
            tier = self.thumbs if label.origin == "rating" else self.outright
            tier.setdefault(label.chunk_id, []).append(label)

    def doubt(self, label: LabelledPair) -> None:
        """Note a thumb up of an answer that drew on this chunk, and on others that earned it rather."""
        self.doubts.setdefault(label.chunk_id, []).append(label)

    def verdicts(self, trust: Mapping[str, float]) -> dict[str, float]:
        """Return chunk -> what was said of it: above 0 its weight as a positive, below 0 bad, 0 for a draw.

        Doubts make no verdict, and are heard where somebody finds the chunk wrong. Shares of thumbs add up, to one
        thumb at the most; of what was said outright the strongest counts.
        """
        by_thumbs = {}
        for chunk_id, said in self.thumbs.items():
            side = _side(said, trust, self.doubts.get(chunk_id, ()))
            by_thumbs[chunk_id] = side * min(1.0, sum(_weights(said, side)))
        outright = {}
        for chunk_id, said in self.outright.items():
            side = _side(said, trust)
            outright[chunk_id] = side * max(_weights(said, side), default=0.0)
        return by_thumbs | outright

    def judged(self, verdicts: Mapping[str, float]) -> frozenset[str]:
        """Return the chunks that somebody looked at, without those that are left in doubt: nobody knows of them."""
        return frozenset(i for i in self.seen if i not in self.doubts or i in self.outright or verdicts.get(i))

    def split(self, verdicts: Mapping[str, float]) -> list[str]:
        """Return the chunks on which raters are split."""
        return [i for i, value in verdicts.items() if not value and (i not in self.doubts or i in self.outright)]


def _spoken(labels: Iterable[LabelledPair]) -> list[LabelledPair]:
    """Return the labels of the answers and passages of which their rater says anything, any more."""
    given = list(labels)
    live = {(label.rater, label.answer_id) for label in given if label.label}
    return [label for label in given if (label.rater, label.answer_id) in live]


def _is_guess(label: LabelledPair) -> bool:
    """Return whether a label only follows from an answer that left the chunk unused."""
    return label.origin == "rating" and label.label != 0 and not label.cited


def _side(said: Sequence[LabelledPair], trust: Mapping[str, float], doubts: Sequence[LabelledPair] = ()) -> int:
    """Return 1 or -1 for what most raters say of one chunk, each heard as far as he is trusted; 0 for a draw.

    A rater's own word on a chunk counts whole, and in doubt by its share.
    """
    voices: dict[str, float] = {}
    for label in said:
        voices[label.rater] = voices.get(label.rater, 0.0) + label.label
    for label in doubts:
        voices[label.rater] = voices.get(label.rater, 0.0) + label.label * label.weight
    lean = sum(trust[rater] * ((voice > 0) - (voice < 0)) for rater, voice in sorted(voices.items()))
    return (lean > EVEN) - (lean < -EVEN)


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
