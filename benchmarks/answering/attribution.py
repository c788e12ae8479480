"""python -m benchmarks.answering.attribution: judge which passage an uncited statement is attributed to.

Statements whose source is known, among the passages that the built-in model really retrieves for a question of
docs/questions.jsonl, and of XQuAD where `../shared/data` has it: the sentence that answers the question, as it stands,
edited by rules, the question itself with its answer put in, which people worded differently from the document, and the
answer alone ("In 1912."). Each is taken for a whole answer without a citation.
Statements of no passage: a sentence of the same document whose passage is not among the hits. Also, how many right
citations are flagged as unsupported, and how many wrong ones. docs/log.md has the figures.
"""

from __future__ import annotations

import json
import random
import re
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rag.answering.evidence.attribution import Similar, find_evidence
from rag.answering.sentence_vectors import SentenceVectors
from rag.indexing.indexer import index
from rag.ingest.corpus import load_corpus
from rag.loaders.blocks import SENTENCE, split
from rag.models.embedder import Vectors, load_embedder
from rag.records import Chunk, Hit
from rag.settings import ROOT, Settings
from rag.store.store import open_store

DOCS = ROOT / "docs"
XQUAD = ROOT.parent / "shared" / "data" / "xquad"
ARTICLES = 16  # of XQuAD's 48; each has five paragraphs
MOST = 250  # questions of each set of documents, drawn with SEED
SEED = 3
CACHED = 100_000  # vectors: 150 MB
DROPPED = 0.15  # of the words that an edit leaves out
MIN_STATEMENT = 4  # words of a sentence
RUN = 6  # words in a row that a passage must not share with a statement of no passage
NO_PASSAGE = "none"
KINDS = ("verbatim", "edited", "question", "phrase", NO_PASSAGE)
REPLACED = {
    **{"also": "too", "because": "since", "many": "numerous", "large": "big", "used": "employed", "made": "produced"},
    **{"began": "started", "while": "whereas", "however": "but", "often": "frequently", "shows": "displays"},
    **{"needs": "requires", "each": "every", "must": "has to", "only": "just", "most": "nearly all", "big": "large"},
    **{"several": "a number of", "called": "named", "became": "turned into", "can": "is able to", "such": "this kind"},
    **{"said": "stated", "including": "among them", "about": "around", "during": "in the course of", "both": "the two"},
}
QUESTION_WORDS = re.compile(
    r"\b(?:what|which|who|whom|whose|when|where|why|how(?: (?:many|much|long|often|do i|can i))?|do|does|did|is|are|was"
    r"|were)\b",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Case:
    """A statement, the hits of the question it answers, and the ranks of the hits it was drawn from (none: ())."""

    kind: str
    query: str
    text: str
    hits: Sequence[Hit]
    right: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Question:
    """A question with its answer, and the sentence of the document that holds it."""

    text: str
    answer: str
    sentence: str
    source: str


def main() -> None:
    """Print precision and share of the statements attributed, by kind and set of documents, and the flags."""
    for name, docs, questions in sets():
        cases, similar = prepare(docs, questions)
        report(name, cases, similar)


def sets() -> Iterator[tuple[str, Path, list[Question]]]:
    """Yield name, folder and questions of each set of documents."""
    yield "shipped documents", DOCS, own_questions()
    if XQUAD.is_dir():
        for language in ("en", "de"):
            with tempfile.TemporaryDirectory() as docs:
                yield f"XQuAD, {language}", Path(docs), xquad_questions(XQUAD / f"xquad.{language}.json", Path(docs))


def own_questions() -> list[Question]:
    """Return the answerable questions about the shipped documents."""
    found = []
    for row in map(json.loads, (DOCS / "questions.jsonl").read_text().splitlines()):
        text = (DOCS / row["source"]).read_text() if row["source"] else ""
        at = text.find(row["answer"]) if text else -1
        if at >= 0:
            found.append(Question(row["question"], row["answer"], _sentence_at(text, at), row["source"]))
    return _drawn(found)


def xquad_questions(path: Path, docs: Path) -> list[Question]:
    """Write the articles of a file in SQuAD's format into a folder, and return questions about them."""
    found = []
    for number, article in enumerate(json.loads(path.read_text())["data"][:ARTICLES]):
        source = f"{number:04}.txt"
        (docs / source).write_text("\n\n".join(each["context"] for each in article["paragraphs"]))
        found += [
            Question(
                asked["question"],
                asked["answers"][0]["text"],
                _sentence_at(paragraph["context"], asked["answers"][0]["answer_start"]),
                source,
            )
            for paragraph in article["paragraphs"]
            for asked in paragraph["qas"]
        ]
    return _drawn(found)


def prepare(docs: Path, questions: Sequence[Question]) -> tuple[list[Case], Similar]:
    """Index a folder, retrieve the hits of each question, and make the cases of it."""
    with tempfile.TemporaryDirectory() as home:
        settings = Settings(home=Path(home), docs=(docs,), base_model="builtin", start_model="builtin")
        index(settings)
        model = load_embedder("builtin", settings)
        store = open_store(settings.lancedb)
        table = store.chunks.table_name(load_corpus(settings).id, model.fingerprint)
        chunks, vectors = store.chunks.read(table)
        by_id = dict(zip([chunk.id for chunk in chunks], vectors, strict=True))
        queries = model.embed_queries([question.text for question in questions])
        shown = [store.chunks.search(table, vector, settings.k) for vector in queries]

        embed = SentenceVectors(model.embed_queries, CACHED)

        def similar(texts: list[str], hits: Sequence[Hit]) -> Vectors:
            cosines: Vectors = embed(texts) @ np.stack([by_id[hit.chunk.id] for hit in hits]).T
            return cosines

        chance = random.Random(SEED)
        cases = [
            case
            for question, hits in zip(questions, shown, strict=True)
            for case in _cases(question, hits, chunks, chance)
        ]
        return cases, similar


def report(name: str, cases: Sequence[Case], similar: Similar) -> None:
    """Print a line for each kind of statement, and one on the flags."""
    drawn = [attributed(case, similar) for case in cases]
    print(f"{name:20} statements  attributed  precision")
    for kind in KINDS:
        mine = [(case, ranks) for case, ranks in zip(cases, drawn, strict=True) if case.kind == kind]
        found = [(case, ranks) for case, ranks in mine if ranks]
        right = sum(ranks[0] in case.right for case, ranks in found)
        precision = f"{right / len(found):9.1%}" if found and kind != NO_PASSAGE else ""
        print(f"  {kind:18} {len(mine):10} {len(found) / max(1, len(mine)):11.1%}  {precision}", flush=True)
    known = [case for case in cases if case.right and case.kind != "phrase"]
    for title, wanted in (("right", True), ("wrong", False)):
        cited = [(case, hit.rank) for case in known for hit in case.hits if (hit.rank in case.right) is wanted]
        flagged = sum(is_flagged(case, rank, similar) for case, rank in cited)
        print(f"  flagged of {len(cited)} {title} citations: {flagged / max(1, len(cited)):.1%}", flush=True)


def attributed(case: Case, similar: Similar) -> list[int]:
    """Return the ranks that the statement is attributed to as a whole answer."""
    evidence = find_evidence(case.text, case.query, case.hits, similar)
    return [each.rank for each in evidence if each.kind == "attributed"]


def is_flagged(case: Case, rank: int, similar: Similar) -> bool:
    """Return whether a citation of this passage after the statement is flagged as unsupported."""
    text = f"{case.text.rstrip('.')} [{rank}]."
    return any(each.kind == "unsupported" for each in find_evidence(text, case.query, case.hits, similar))


def edit(sentence: str, chance: random.Random) -> str:
    """Return a sentence as somebody retells it: clauses swapped, common words replaced, some left out."""
    clauses = sentence.rstrip(".").split(", ")
    if len(clauses) > 1:
        clauses = [*clauses[1:], clauses[0]]
    words = [REPLACED.get(word.casefold(), word) for word in ", ".join(clauses).split()]
    return " ".join(word for word in words if chance.random() >= DROPPED) + "."


def _cases(question: Question, hits: Sequence[Hit], chunks: Sequence[Chunk], chance: random.Random) -> Iterator[Case]:
    right = tuple(hit.rank for hit in hits if _plain(question.sentence) in _plain(hit.chunk.text))
    if right:
        yield Case("verbatim", question.text, question.sentence, hits, right)
        yield Case("edited", question.text, edit(question.sentence, chance), hits, right)
        stated = QUESTION_WORDS.sub("", question.text).strip(" ?¿")
        yield Case("question", question.text, f"{stated}: {question.answer}.", hits, right)
        yield Case("phrase", question.text, f"{question.answer}.", hits, right)
    ids = {hit.chunk.id for hit in hits}
    others = [chunk for chunk in chunks if chunk.source == question.source and chunk.id not in ids]
    if others:
        chunk = chance.choice(others)
        sentences = [
            sentence
            for start, end in split(chunk.text, 0, len(chunk.text), SENTENCE)
            if len((sentence := chunk.text[start:end]).split()) >= MIN_STATEMENT and not _shares_run(sentence, hits)
        ]
        if sentences:
            yield Case(NO_PASSAGE, question.text, chance.choice(sentences), hits, ())


def _shares_run(sentence: str, hits: Sequence[Hit]) -> bool:
    words = _plain(sentence).split()
    runs = [" ".join(words[n : n + RUN]) for n in range(max(1, len(words) - RUN + 1))]
    return any(run in _plain(hit.chunk.text) for run in runs for hit in hits)


def _sentence_at(text: str, at: int) -> str:
    paragraph = text.rfind("\n", 0, at) + 1
    end = text.find("\n", at)
    spans = split(text, paragraph, len(text) if end < 0 else end, SENTENCE)
    return next((text[first:last] for first, last in spans if first <= at < last), "")


def _drawn(questions: Sequence[Question]) -> list[Question]:
    usable = [question for question in questions if len(question.sentence.split()) >= MIN_STATEMENT]
    return random.Random(SEED).sample(usable, min(MOST, len(usable)))


def _plain(text: str) -> str:
    return " ".join(re.findall(r"\w+", text.casefold()))
