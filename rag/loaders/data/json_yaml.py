"""Read JSON and JSON Lines as readable lines under their keys, and YAML as written, with its keys as headings.

Why YAML stays as written: people write it by hand, comments and all, and ask for the line to change. JSON is written by
programs, often on one line.
"""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import Any

from rag.errors import Unreadable
from rag.loaders.blocks import PARAGRAPH, Block, Section, split
from rag.loaders.builder import DocumentBuilder, LoadedText
from rag.loaders.decoding import decode_noting, normalise, one_line
from rag.loaders.text import load_text

MAX_BYTES = 30_000_000  # parsed, JSON takes about ten times its size
MAX_VALUES = 500_000  # a larger file is data, not a document
LABEL_KEYS = {"query", "label"}  # of ratings that were exported; indexed, they would answer the test questions
MAX_DEPTH = 60  # deeper values are written as JSON
MAX_COLUMNS = 40  # of a table of objects
LONG = 160  # characters: a longer text is a paragraph of its own, and no cell of a table
HEADINGS = 4  # levels of keys that become headings
TITLES = ("title", "name", "headline", "subject", "label", "id")
SHORT_SECTION = 1_500  # characters: a longer part of a YAML file is cut at its second level of keys, too
KEY = re.compile(
    r"^(?P<quote>['\"]?)(?P<key>[^\s#\-'\"{\[&*!|>%@`][^\n]{0,120}?)(?P=quote)[ \t]*:(?=\s|$)", re.MULTILINE
)
INNER_KEY = re.compile(
    r"^ {1,8}(?P<quote>['\"]?)(?P<key>[^\s#\-'\"{\[][^\n]{0,120}?)(?P=quote)[ \t]*:(?=\s|$)", re.MULTILINE
)


def load_json(data: bytes) -> LoadedText:
    """Read JSON; text that is not valid JSON, such as a file with comments, is read as text. Raises Unreadable."""
    _check_size(data)
    decoded = decode_noting(data)
    text = normalise(decoded.text)
    try:
        value = json.loads(text)
    except ValueError:
        return _load_invalid(data, text)
    except RecursionError:
        raise Unreadable("its values are nested too deeply") from None
    return replace(_load_value(value), note=decoded.note)


def load_jsonl(data: bytes) -> LoadedText:
    """Read one JSON value per line; lines that are not JSON are counted as lost. Raises Unreadable."""
    _check_size(data)
    decoded = decode_noting(data)
    values, bad = [], 0
    for line in filter(str.strip, normalise(decoded.text).split("\n")):
        try:
            values.append(json.loads(line))
        except (ValueError, RecursionError):
            bad += 1
    if not values:
        raise Unreadable("it is no JSON Lines: none of its lines is a JSON value")
    if isinstance(values[0], dict) and values[0].keys() >= LABEL_KEYS:
        raise Unreadable("it holds questions and labels, which are not indexed: `python -m rag import` reads them")
    lost = f"{bad} of its lines are not valid JSON" if bad else ""
    return replace(_load_value(values), note=decoded.note, lost=lost)


def load_yaml(data: bytes) -> LoadedText:
    """Read YAML unchanged, in sections by its outermost keys. Raises Unreadable for binary data."""
    decoded = decode_noting(data)
    text = normalise(decoded.text)
    sections: list[Section] = []
    for start, end, key in _parts(text, 0, len(text), KEY):
        inner = _parts(text, start, end, INNER_KEY) if end - start > SHORT_SECTION and key else [(start, end, "")]
        for begin, stop, below in inner:
            blocks = tuple(Block(first, last, "code") for first, last in split(text, begin, stop, PARAGRAPH))
            if blocks:
                sections.append(Section(blocks, " > ".join(filter(None, (key, below)))))
    return LoadedText(text, tuple(sections), note=decoded.note)


def _check_size(data: bytes) -> None:
    if len(data) > MAX_BYTES:
        raise Unreadable(f"it is data: {len(data) / 1e6:.0f} MB, the limit for JSON is {MAX_BYTES / 1e6:.0f}; split it")


def _load_invalid(data: bytes, text: str) -> LoadedText:
    """Read text that is not JSON: as JSON Lines, if all of its first lines are values, or as plain text."""
    first = [line for line in text.split("\n") if line.strip()][:3]
    if len(first) > 1 and all(line.lstrip().startswith(("{", "[")) and line.rstrip()[-1:] in "}]" for line in first):
        return load_jsonl(data)
    loaded = load_text(data)
    return replace(loaded, note="; ".join(filter(None, ("it is not valid JSON: read as text", loaded.note))))


def _load_value(value: object) -> LoadedText:
    builder = DocumentBuilder()
    writer = _Writer(builder)
    writer.write(value, "", 0)
    title = (
        next((value[key] for key in TITLES[:4] if isinstance(value.get(key), str)), "")
        if isinstance(value, dict)
        else ""
    )
    return builder.build(one_line(title))


class _Writer:
    """Writes JSON values as blocks, and counts them: raises Unreadable above MAX_VALUES."""

    def __init__(self, builder: DocumentBuilder) -> None:
        self._builder = builder
        self._left = MAX_VALUES

    def write(self, value: object, name: str, depth: int) -> None:
        """Write a value under its name; depth counts from 0."""
        if isinstance(value, dict):
            self._write_object(value, depth)
        elif isinstance(value, list):
            self._write_list(value, name, depth)
        else:
            self._builder.add(self._line(name, value))

    def _write_object(self, value: dict[str, Any], depth: int) -> None:
        lines: list[str] = []
        nested = []
        for key, each in value.items():
            flat = self._flat(each)
            if flat is None or len(flat) > LONG:
                nested.append((key, each, flat))
            elif flat:
                lines.append(f"{key}: {flat}")
        self._builder.add("\n".join(lines), "list")
        for key, each, long in nested:
            if long is not None and not isinstance(each, dict | list):
                self._builder.add(f"{key}: {long}")
            elif depth < MAX_DEPTH:
                if depth < HEADINGS:
                    self._builder.heading(depth + 1, str(key))
                    self.write(each, "", depth + 1)
                else:
                    self._builder.add(f"{key}:")
                    self.write(each, str(key), depth + 1)
            else:
                self._builder.add(json.dumps({key: each}, ensure_ascii=False))

    def _write_list(self, value: list[Any], name: str, depth: int) -> None:
        objects = [each for each in value if isinstance(each, dict)]
        if len(objects) == len(value) > 1 and (columns := self._columns(objects)):
            rows = [[self._flat(each.get(column, "")) or "" for column in columns] for each in objects]
            self._builder.table([columns, *rows], has_header=True)
        elif value and all(isinstance(each, list) for each in value) and self._is_grid(value):
            self._builder.table([[self._flat(cell) or "" for cell in row] for row in value])
        else:
            flats = [self._flat(each) for each in value]
            if all(flat is not None for flat in flats):
                self._builder.add("\n".join(f"- {flat}" for flat in flats if flat), "list")
                return
            for number, each in enumerate(value, 1):
                self._write_entry(each, number, name, depth)

    def _write_entry(self, each: object, number: int, name: str, depth: int) -> None:
        if isinstance(each, dict | list) and depth < MAX_DEPTH:
            named = (
                next((each[key] for key in TITLES if isinstance(each.get(key), str)), "")
                if isinstance(each, dict)
                else ""
            )
            if depth < HEADINGS:
                self._builder.heading(depth + 1, str(named) or f"{name or 'Entry'} {number}")
            self.write(each, name, depth + 1)
        elif isinstance(each, dict | list):
            self._builder.add(json.dumps(each, ensure_ascii=False))
        else:
            self._builder.add(self._line(name, each))

    def _columns(self, objects: list[dict[str, Any]]) -> list[str]:
        """Return the keys of all objects if they are a table: few keys, short values; else an empty list."""
        columns = list(dict.fromkeys(key for each in objects for key in each))
        if not 1 < len(columns) <= MAX_COLUMNS:
            return []
        filled = sum(map(len, objects))
        short = all(
            (flat := self._flat(cell)) is not None and len(flat) <= LONG for each in objects for cell in each.values()
        )
        return columns if short and filled * 2 >= len(columns) * len(objects) else []

    def _is_grid(self, rows: list[list[Any]]) -> bool:
        return len({len(row) for row in rows}) == 1 and all(
            not isinstance(cell, dict | list) for row in rows for cell in row
        )

    def _line(self, name: str, value: object) -> str:
        flat = self._flat(value) or ""
        return f"{name}: {flat}" if name and flat else flat

    def _flat(self, value: object) -> str | None:
        """Return a scalar, a short list of scalars or a small object of scalars as text, None for anything else."""
        if isinstance(value, dict):
            inner = [(key, each) for key, each in value.items()]
            if len(inner) > 4 or any(isinstance(each, dict | list) for _, each in inner):
                return None
            flat = ", ".join(f"{key} {self._flat(each)}" for key, each in inner if each not in (None, ""))
            return flat if len(flat) <= LONG else None
        if isinstance(value, list):
            if any(isinstance(each, dict | list) for each in value):
                return None
            flat = ", ".join(filter(None, (self._flat(each) for each in value)))
            return flat if len(flat) <= LONG else None
        self._left -= 1
        if self._left < 0:
            raise Unreadable(f"it has more than {MAX_VALUES:,} values: it is data; save the part that matters")
        return "" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def _parts(text: str, start: int, end: int, pattern: re.Pattern[str]) -> list[tuple[int, int, str]]:
    """Return (start, end, key) of the parts of `text[start:end]` that begin with a key; comments above go with it."""
    begins: list[tuple[int, str]] = []
    indent = ""
    for match in pattern.finditer(text, start, end):
        here = match[0][: len(match[0]) - len(match[0].lstrip(" "))]
        indent = indent or here
        if here == indent:
            begins.append((_with_comments(text, start, match.start()), match["key"]))
    begins = [(start, ""), *begins] if not begins or begins[0][0] > start else begins
    ends = [*(begin for begin, _ in begins[1:]), end]
    return [(begin, stop, one_line(key)) for (begin, key), stop in zip(begins, ends, strict=True) if begin < stop]


def _with_comments(text: str, first: int, start: int) -> int:
    """Return where the comment lines directly above a key begin."""
    while start > first:
        above = text.rfind("\n", first, start - 1) + 1 if start - 1 > first else first
        above = max(above, first)
        if above >= start or not text[above:start].lstrip().startswith("#"):
            break
        start = above
    return start
