"""Cut a passage into the units that an extractive answer may quote: sentences, list items, table rows, code blocks.

Passages are Markdown: loaders write code in fences, lists with bullets and tables with pipes, whatever the format was.
markdown-it finds these blocks, so that code keeps its lines and a table row its header. Headings, questions, rules
and entries of a table of contents answer nothing and are left out.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache, lru_cache
from itertools import pairwise
from pathlib import PurePath
from typing import Literal

from markdown_it import MarkdownIt
from markdown_it.token import Token

from rag.answering.evidence.citations import CITATION
from rag.loaders.blocks import CLOSERS, IDEOGRAPHS, SENTENCE, SMALL, SYMBOLS, is_wrapped, split
from rag.loaders.builder import fenced
from rag.loaders.formats import CODE_SUFFIXES, LOADERS, suffix_of

Shape = Literal["sentence", "line", "item", "row", "code"]

PASSAGES = 1_000  # whose units are kept, about 3 MB
SHORT_LINE = 50  # characters; prose is wrapped at more
CODE_SIGNS = 30  # characters to a sign of code, at most; prose has some 200
LONG_ITEM = 40  # words; a longer list item is quoted by its sentences
FENCE = re.compile(r"^[ \t]*(`{3,}|~{3,})[ \t]*([^`\n]*)$", re.MULTILINE)
LABEL_WORDS, LABEL_CHARS = 3, 30  # a paragraph of less, without an end mark, is the name of something
SENTENCE_END = re.compile(rf"[.!…:。！：؟۔।][{CLOSERS}]*$")
LABEL = re.compile(r"^[^\W\d_][^:\n|]{0,40}: \S")  # a line of a form: "Name: Ann"
LOWER_LINE = re.compile(rf"\n(?=[{SMALL}])")  # the line goes on
JOINED_LINE = re.compile(rf"(?<={IDEOGRAPHS.pattern})[ \t]*\n[ \t]*(?={IDEOGRAPHS.pattern})")  # no blank between these
CITED_ELSEWHERE = re.compile(rf"(?<!\\){CITATION.pattern}")  # [3] in a paper is not our [3]
HEADING = re.compile(r"^#{1,6} .*\n[ \t]*(?:\n|\Z)", re.MULTILINE)  # a comment in code has no blank line below it
ENTRY = re.compile(r"^.*\S … (?:(\d+)|[ivxlcdm]+)$", re.MULTILINE)  # of a table of contents, as loaders write it
ENTRIES = 3  # fewer may be prices or sums
ESCAPED = re.compile(r"\\([*_<\[\]])")
MARKED = re.compile(  # marks that Markdown would take for its own, outside code
    r"(`+)(?:(?!\n\n).)+?(?<!`)\1(?!`)|(?P<mark>\*(?=\S)|(?<=\S)\*|(?<![^\W_])_|_(?![^\W_])|<(?=[a-zA-Z/!]))", re.DOTALL
)


@dataclass(frozen=True, slots=True)
class Unit:
    """A quotable part of a passage.

    `text` is what is scored, on one line, and `shown` the Markdown that is quoted. `head` stands above the first of
    several rows of one table: its column names. Units of one `block` are one paragraph, list or table.
    """

    text: str
    shown: str
    shape: Shape
    block: int
    head: str = ""
    is_caption: bool = False

    @property
    def leads(self) -> bool:
        """Return whether the unit introduces what follows it, as "Install it:" or the caption of a table does."""
        return self.shape == "sentence" and (self.is_caption or self.text.endswith((":", "：")))


@lru_cache(PASSAGES)
def quotable_units(text: str, source: str) -> tuple[Unit, ...]:
    """Return the units of a passage of document `source` in reading order. Cached: both arms show the same ones."""
    suffix = suffix_of(PurePath(source))
    if suffix in CODE_SUFFIXES:
        return (_code(text.strip("\n"), suffix.lstrip("."), 0),)
    is_markdown = suffix in LOADERS and LOADERS[suffix].kind == "Markdown"
    whole = _with_fence(_without_contents(text))
    tokens = _parser(is_markdown).parse(whole)
    units = list(_units(tokens, whole.split("\n"), is_markdown))
    return tuple(replace(unit, is_caption=_is_caption(unit, units[n : n + 1])) for n, unit in enumerate(units, start=1))


def plain_text(shown: str) -> str:
    """Return quoted Markdown for a terminal: without the backslashes that keep marks from being taken as Markdown."""
    return ESCAPED.sub(r"\1", shown)


def _is_caption(unit: Unit, after: Sequence[Unit]) -> bool:
    """Return whether a unit is a line above a table that ends without an end mark."""
    above = any(next_one.shape == "row" and next_one.block == unit.block + 1 for next_one in after)
    return above and unit.shape == "sentence" and not SENTENCE_END.search(unit.text)


@cache
def _parser(is_markdown: bool) -> MarkdownIt:
    """Return a parser of blocks; outside Markdown, an indented line is a paragraph and not code."""
    parser = MarkdownIt("commonmark").enable("table").disable(["html_block", "reference", "inline"])
    return parser if is_markdown else parser.disable(["code", "lheading"])


def _units(tokens: list[Token], lines: list[str], is_markdown: bool) -> Iterator[Unit]:
    block, depth, head, bullet = 0, 0, "", ""
    for before, token in pairwise([Token("", "", 0), *tokens]):
        first, end = token.map or (0, 0)
        block += token.level == 0 and token.nesting >= 0
        if token.type in ("fence", "code_block"):
            yield _code(token.content.rstrip("\n"), token.info.strip(), block)
        elif token.type.startswith("list_item"):
            depth += token.nesting
            bullet = f"{token.info}{token.markup} " if token.info else "- "
        elif token.type == "thead_open":
            head = "\n".join(line.strip() for line in lines[first : end + 1])  # with the rule below it
        elif token.type == "tr_open" and before.type != "thead_open":
            row = lines[first].strip()
            if not _answers_nothing(row):
                yield Unit(_named(head, row), _marked(row, is_markdown), "row", block, head)
        elif token.type == "inline" and before.type == "paragraph_open" and depth:
            yield from _item(token.content, bullet, block, is_markdown)
            bullet = "- "
        elif token.type == "inline" and before.type == "paragraph_open":
            yield from _sentences(token.content, block, is_markdown)


def _without_contents(text: str) -> str:
    """Return a passage with an empty line for each entry of a table of contents: several, whose pages never fall."""
    pages = [int(page) for page in ENTRY.findall(text) if page]
    return ENTRY.sub("", text) if len(pages) >= ENTRIES and pages == sorted(pages) else text


def _named(head: str, row: str) -> str:
    """Return a table row for scoring, each cell with the name of its column: a number alone says nothing."""
    names, cells = ([cell.strip() for cell in line.strip("| ").split("|")] for line in (head.partition("\n")[0], row))
    if len(names) != len(cells):
        return row
    return ", ".join(f"{name}: {cell}" if name else cell for name, cell in zip(names, cells, strict=True) if cell)


def _code(code: str, info: str, block: int) -> Unit:
    return Unit(" ".join(code.split()), fenced(code, info.split(" ")[0]), "code", block)


def _item(text: str, bullet: str, block: int, is_markdown: bool) -> Iterator[Unit]:
    """Yield a list item whole, or by its sentences where it is long."""
    one_line = " ".join(text.split())
    if len(one_line.split()) > LONG_ITEM:
        yield from _sentences(text, block, is_markdown)
    elif not _answers_nothing(one_line):
        yield Unit(one_line, f"{bullet}{_marked(one_line, is_markdown)}", "item", block)


def _sentences(text: str, block: int, is_markdown: bool) -> Iterator[Unit]:
    """Yield the sentences of a paragraph, or its lines where these are lines of a form or a table."""
    wrapped = is_wrapped(text)
    if wrapped:
        text = JOINED_LINE.sub("", text)
    lines = LOWER_LINE.sub(" ", text).split("\n")
    by_line = len(lines) > 1 and (
        sum(bool(LABEL.match(line) or ENTRY.match(line)) or " | " in line for line in lines) * 2 > len(lines)
        or (not is_markdown and not wrapped and all(len(line) < SHORT_LINE for line in lines))
    )
    for line in lines if by_line else [text]:
        for start, end in [(0, len(line))] if ENTRY.match(line) else split(line, 0, len(line), SENTENCE):
            sentence = " ".join(line[start:end].split())
            if not _answers_nothing(sentence) and (by_line or not _is_label(sentence)):
                yield Unit(sentence, _marked(sentence, is_markdown), "line" if by_line else "sentence", block)


def _answers_nothing(text: str) -> bool:
    """Return whether a text is a question, a picture or without words."""
    return text.endswith(("?", "？", "؟")) or text.startswith("![") or not re.search(r"\w", text)


def _is_label(text: str) -> bool:
    """Return whether a paragraph only names something, as "Warning" or "SECRET_KEY" does."""
    return len(text.split()) < LABEL_WORDS and len(text) < LABEL_CHARS and not SENTENCE_END.search(text)


def _marked(text: str, is_markdown: bool) -> str:
    """Return a text as Markdown that shows what it says: marks of other formats and numbers of other works escaped."""
    text = CITED_ELSEWHERE.sub(r"\\[\1\\]", text)
    if is_markdown:
        return text
    return MARKED.sub(lambda found: f"\\{found['mark']}" if found["mark"] else found[0], text)


def _with_fence(text: str) -> str:
    """Return a passage that begins inside a code block, or lies in one, with the fence that an earlier part has."""
    if fence := fence_before(text):
        return f"{fence}\n{text}"
    return f"```\n{text}\n```" if not FENCE.search(text) and _is_code(text) else text


def fence_before(text: str) -> str:
    """Return the fence that a passage ends and an earlier part began, "" where it begins outside of code."""
    fences = list(FENCE.finditer(text))
    if len(fences) % 2 == 0 or fences[0][2].strip():
        return ""
    before = text[: fences[0].start()]
    looks_like_prose = re.search(r"[.:!?]\s*\Z", before) or before.count("\n\n") > 2
    return "" if not before.strip() or looks_like_prose else fences[0][1]


def _is_code(text: str) -> bool:
    """Return whether all of a passage is code: several lines, some indented, with many signs, in no list or table."""
    lines = [line for line in text.split("\n") if line.strip()]
    indented = sum(line.startswith((" ", "\t")) for line in lines)
    marked = HEADING.search(text) or any(line.startswith(("- ", "* ", "+ ", "|", "> ")) for line in lines)
    return len(lines) > 1 and indented > 0 and not marked and len(SYMBOLS.findall(text)) * CODE_SIGNS > len(text)
