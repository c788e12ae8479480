"""Make synthetic queries from documents: a file of questions, headings, definitions, and inverse cloze.

Why the positive must not contain the query: the model would learn to match words, which it can do already. So a heading
is removed from its chunk, a term from its definition, and a cloze sentence from its chunk. Sampling is by hash: the
same documents always give the same pairs.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest
from pathlib import Path
from typing import TypeVar

from rag.errors import BadLabels
from rag.heading_path import PATH_SEPARATOR
from rag.ingest.table_columns import COLUMNS
from rag.loaders.blocks import SENTENCE, split
from rag.records import Chunk, SyntheticPair, normalise_query

QUESTIONS = "questions.jsonl"  # in a documents folder; never indexed
CLOZE_WORDS = range(6, 41)  # words of a cloze sentence: shorter is no query, longer is a paragraph
REST_WORDS = 15  # least words that must be left of a chunk for it to be findable
MOST_MADE = 200  # to train on, of headings, definitions and clozes each: all together a minute on one core
HALF_AT = 200  # real queries gained as much as 1,500 clozes (+7.9 and +6.7 points: docs/log.md)
T = TypeVar("T")

UNITS = re.compile(rf"{SENTENCE.pattern}|(\n)(?=\s*(?:[-*+|]|\d+[.)])\s?)|(\n\s*\n)")
BULLET = re.compile(r"^\s*(?:[-*+]|\d+[.)])\s+")
SENTENCE_END = re.compile(r"""[.!?…。！？]["'”’»)\]*_`]*$""")
NO_PROSE = re.compile(r"^[ \t]*(?:#{1,6}\s|\||```|~~~)|^(?: {4}|\t)", re.MULTILINE)  # heading, table, fence, code

# Patterns of definitions -> query. `said` is removed from the chunk. A matched sentence is English, so the query is an
# English question; a table or a list may be in any language, so there the query is the bare term.
NAME = r"(?P<term>[^\W_][\w'’./+-]*(?: [\w'’./+-]+){0,3})"
ALIAS = r"(?: \([^()\n]{1,40}\)|, (?:or|also called|also known as) [^,.\n]{2,40},)?"
ARTICLE = r"(?:(?P<article>An?|The|To) )?"
NO_PRAISE = r"(?!(?:great|good|nice|bad|bit|lot|must|pity|pleasure) )"
BOLD = r"(?:\*\*|__)"
DEFINITIONS = [
    (re.compile(pattern), query)
    for pattern, query in (
        (rf"^(?P<said>\W*{ARTICLE}{NAME}\W*{ALIAS}) is (?:an?|the|one) {NO_PRAISE}(?:\S+ ){{3}}", "what is {}"),
        (rf"^(?P<said>\W*{NAME}\W*{ALIAS}) are (?:all|any|the|those) (?:\S+ ){{3}}", "what are {}"),
        (rf"^(?P<said>\W*{ARTICLE}{NAME}\W*{ALIAS}) means (?!of )(?:\S+ ){{3}}", "what does {} mean"),
        (rf"^(?P<said>\W*{BOLD}{NAME}(?::{BOLD}|{BOLD}:|{BOLD} [–—-])) (?:\S+ ){{3}}", "{}"),
        (rf"^(?P<said>\s*[-*+] `?{NAME}`?:) (?:\S+ ){{3}}", "{}"),
        (rf"^\s*\|(?P<said>[^\w|]*{NAME}[^\w|]*)\| (?:[^\s|]+ ){{4,}}\|\s*$", "{}"),
    )
]
# Words that match where a term would stand but name nothing. English, as the sentence patterns are.
NO_TERM = """
    this that these those it its there they their here he she his her we our you your i my one some each every all both
    many most such another other what which who where when how why if in on at for with as but and so to by from since
    though although while because below above after before first second third last next result reason answer problem
    question purpose aim goal idea point difference example note warning tip important step table figure see todo
"""
# Words that are in no term of a sentence, wherever they stand ("However there", "Now APIStar", "Be aware that this").
NEVER = """
    this that these those it its there they their here he she his her we our you your i my who whom whose which however
    therefore thus hence also additionally moreover furthermore unfortunately fortunately rather instead otherwise else
    then now so just even only still yet again once be
    being been aware advised knowing if whether because although though when where while same following above below
    whatever whoever don't doesn't isn't not
"""
# Words that name something only within their text ("the common example"), as the last word of a term.
CONTEXTUAL = """
    way ways thing things example examples option options outcome case cases one ones part parts side sides answer
    answers value values key result results reason rest latter former first second last next default exception choice
"""
CODE = re.compile(r"[./_=\\]|(?:^|\s)(?:\d+|\w)(?:\s|$)")  # a path, a name in a program, a bare number or letter


@dataclass(frozen=True, slots=True)
class Question:
    """A line of questions.jsonl. No `source`: the documents do not answer it. `answer` is a phrase of the section."""

    question: str
    source: str | None = None
    section: str | None = None
    answer: str = ""


def read_questions(folders: Iterable[Path]) -> list[Question]:
    """Read the questions.jsonl of each documents folder that has one. Raises BadLabels with file and line."""
    paths = [folder / QUESTIONS for folder in folders if (folder / QUESTIONS).is_file()]
    try:
        lines = [(path, path.read_text("utf-8", "replace").splitlines()) for path in paths]
    except OSError as error:
        raise BadLabels(f"{error.filename}: cannot be read ({error.strerror}): make it readable, or move it") from error
    numbered = [(f"{path}:{number}", line) for path, text in lines for number, line in enumerate(text, 1)]
    return [_read_line(line, where) for where, line in numbered if line.strip()]


def from_questions(questions: Sequence[Question], chunks: Sequence[Chunk]) -> list[SyntheticPair]:
    """Return a pair for each chunk of the named section that contains the answer; none if the section is gone."""
    documents: dict[str, list[Chunk]] = {}
    for chunk in chunks:
        documents.setdefault(chunk.source, []).append(chunk)
    return [
        SyntheticPair(question.question, chunk.id, chunk.text, "questions")
        for question in questions
        if question.source
        for chunk in _holding(question, documents.get(question.source, []))
    ]


def from_headings(chunks: Sequence[Chunk], most: int | None = None) -> list[SyntheticPair]:
    """Return pairs (heading path, first chunk of its section without the heading), by hash; at most `most`."""
    pairs: dict[tuple[str, str], SyntheticPair] = {}
    for chunk in chunks:
        key = (chunk.source, chunk.heading)
        rest = _without_heading(chunk)
        if chunk.heading and COLUMNS not in chunk.heading and key not in pairs and len(rest.split()) >= REST_WORDS:
            pairs[key] = SyntheticPair(chunk.heading.replace(PATH_SEPARATOR, ": "), chunk.id, rest, "heading")
    return sorted(pairs.values(), key=lambda pair: pair.id)[:most]


def from_definitions(chunks: Sequence[Chunk], most: int | None = None) -> list[SyntheticPair]:
    """Return pairs (term, chunk that defines it, with the term removed), by hash; at most `most`.

    A term that is defined in several chunks gives one pair: which of them a user means is not known.
    """
    pairs: dict[str, SyntheticPair] = {}
    for pair in sorted((pair for chunk in chunks for pair in _defined_in(chunk)), key=lambda pair: pair.id):
        pairs.setdefault(normalise_query(pair.query), pair)
    return list(pairs.values())[:most]


def from_clozes(chunks: Sequence[Chunk], most: int | None = None) -> list[SyntheticPair]:
    """Return pairs (sentence, rest of its chunk): inverse cloze, Lee, Chang and Toutanova 2019; at most `most`.

    Every chunk gives one sentence before any gives a second.
    """
    return in_rounds([_clozes_of(chunk) for chunk in chunks], lambda pair: pair.id, most)


def in_rounds(groups: Iterable[Sequence[T]], rank: Callable[[T], str], most: int | None) -> list[T]:
    """Return at most `most` items, round-robin: the first of each group by rank, then the second of each, and so on."""
    rounds = zip_longest(*(sorted(group, key=rank) for group in groups))
    return [item for items in rounds for item in sorted((it for it in items if it is not None), key=rank)][:most]


def synthetic_weight(real_queries: int) -> float:
    """Return the weight of a synthetic pair: 1 without rated queries, 0.5 at HALF_AT of them."""
    return HALF_AT / (HALF_AT + real_queries)


def _read_line(line: str, where: str) -> Question:
    try:
        given = {key: value or "" for key, value in json.loads(line).items()}
        if wrong := [value for value in given.values() if not isinstance(value, str)]:
            raise TypeError(f"{wrong[0]!r} is not a string")
        return Question(**given)
    except (ValueError, TypeError, AttributeError) as error:
        wanted = 'a line is {"question": ..., "source": ... or null, "section": ..., "answer": ...}'
        raise BadLabels(f"{where}: {line[:80]!r} is not a question ({error}): {wanted}") from None


def _holding(question: Question, document: Sequence[Chunk]) -> list[Chunk]:
    """Return the section's chunks that contain the answer, else the one with most of its words."""
    wanted = _plain(question.section or "")
    section = [chunk for chunk in document if not wanted or wanted in map(_plain, chunk.heading.split(PATH_SEPARATOR))]
    answer = _plain(question.answer)
    if not answer or len(section) < 2:
        return section
    holding = [chunk for chunk in section if answer in _plain(chunk.text)]
    words = set(answer.split())
    return holding or [max(section, key=lambda chunk: len(words & set(_plain(chunk.text).split())))]


def _without_heading(chunk: Chunk) -> str:
    """Return a chunk's text without lines that repeat its headings."""
    headings = {_plain(heading) for heading in chunk.heading.split(PATH_SEPARATOR)}
    return "\n".join(line for line in chunk.text.splitlines() if _plain(line) not in headings).strip()


def _clozes_of(chunk: Chunk) -> list[SyntheticPair]:
    """Return a cloze pair for each sentence of a chunk."""
    text, pairs = chunk.text, []
    for start, end in split(text, 0, len(text), UNITS):
        rest = f"{text[:start]}{text[end:]}".strip()
        if _is_prose(text[start:end]) and len(rest.split()) >= REST_WORDS:
            sentence = " ".join(BULLET.sub("", text[start:end]).split())
            pairs.append(SyntheticPair(sentence, chunk.id, replace(chunk, text=rest).embedded, "cloze"))
    return pairs


def _defined_in(chunk: Chunk) -> list[SyntheticPair]:
    """Return a pair for each term that a sentence, a list item or a table row of a chunk defines."""
    text, pairs = chunk.text, []
    for start, end in split(text, 0, len(text), UNITS):
        for pattern, query in DEFINITIONS:
            found = pattern.search(text[start:end])
            article = (found.groupdict().get("article") or "") if found else ""
            if found and is_term(found["term"], article, in_sentence=query.startswith("what ")):
                rest = f"{text[: start + found.start('said')]}{text[start + found.end('said') :]}".strip()
                if len(rest.split()) >= REST_WORDS:
                    term = f"{article.casefold()} {found['term']}" if article in ("A", "An", "The") else found["term"]
                    pairs.append(SyntheticPair(query.format(term), chunk.id, rest, "definition"))
                break
    return pairs


def is_term(term: str, article: str, *, in_sentence: bool) -> bool:
    """Return whether a term names something outside its text, as somebody would ask for it.

    `article` is the one before it, "" for none. Outside a sentence, in a list or a table, only the first word counts. A
    lower-case word at the start of a sentence is code, or the sentence was cut.
    """
    words = term.casefold().split()
    if words[0] in NO_TERM.split():
        return False
    if not in_sentence:
        return True
    if not {*words}.isdisjoint(NEVER.split()) or words[-1] in CONTEXTUAL.split() or CODE.search(term):
        return False
    if article in ("A", "An", "To"):
        return True
    is_gerund = words[0].endswith("ing") and len(words) > 1  # "Making a project installable" is no name
    return not is_gerund and (len(words) > 1 if article else term[0].isupper())


def _is_prose(sentence: str) -> bool:
    """Return whether this is a whole sentence of prose; it may span lines, as in a PDF."""
    letters = sum(char.isalpha() or char.isspace() for char in sentence)
    is_whole = len(sentence.split()) in CLOZE_WORDS and SENTENCE_END.search(sentence)
    return bool(is_whole) and letters >= 0.8 * len(sentence) and not NO_PROSE.search(sentence)


def _plain(text: str) -> str:
    """Return the case-folded words, without markup and punctuation."""
    return " ".join(re.findall(r"\w+", text.casefold()))
