"""Read Markdown: title and date from its front matter, headings and blocks by outline.

Why: ordinary text may also stand between two rules at the top of a file. It counts as front matter only if it is a YAML
mapping, or if every line looks like one.
"""

from __future__ import annotations

import json
import re
import tomllib

import yaml

from rag.loaders.blocks import Block, Section
from rag.loaders.builder import LoadedText
from rag.loaders.decoding import decode_noting, normalise, one_line
from rag.loaders.markup.cleaning import clean_markdown
from rag.loaders.markup.outline import OutlineEntry, first_heading, outline_of
from rag.loaders.metadata import day

FRONT_MATTER = re.compile(r"\A---[ \t]*\n(.*?)^(?:---|\.\.\.)[ \t]*\n", re.DOTALL | re.MULTILINE)
TOML_MATTER = re.compile(r"\A\+\+\+[ \t]*\n(.{0,20000}?)^\+\+\+[ \t]*(?:\n|\Z)", re.DOTALL | re.MULTILINE)
MAX_FRONT_MATTER = 20_000  # characters: far more than anybody writes there
YAML_LINE = re.compile(r"[ \t#-]|[^\s:][^:\n]*:(?:[ \t]|$)")  # how a line of YAML begins
TITLE = re.compile(r"^title:[ \t]*(['\"]?)(.+?)\1[ \t]*$", re.MULTILINE)
DATES = [
    re.compile(rf"^{key}:[ \t]*['\"]?(\S+)", re.MULTILINE | re.IGNORECASE)
    for key in ("(?:last[-_]?)?mod(?:ified)?(?:[-_]?at)?", "(?:last[-_]?)?updated(?:[-_]?at)?", "date")
]


def load_markdown(data: bytes, mdx: bool = False) -> LoadedText:
    """Read Markdown. Front matter gives title and date and is not part of the text. Raises Unreadable."""
    decoded = decode_noting(data)
    title, date, text = take_front_matter(normalise(decoded.text))
    cleaned = clean_markdown(text, mdx)
    outline = outline_of(cleaned.text)
    title = title or first_heading(outline)
    note = "; ".join(filter(None, (decoded.note, cleaned.note())))
    return LoadedText(cleaned.text, sections_of(cleaned.text, outline), title, date=date, note=note)


def load_mdx(data: bytes) -> LoadedText:
    """Read Markdown with JSX: its imports, exports and tags are left out, their text is kept. Raises Unreadable."""
    return load_markdown(data, mdx=True)


def take_front_matter(text: str) -> tuple[str, str, str]:
    """Return (title, date, remaining text); title and date are "" where the front matter has none.

    The date of the last change takes precedence over the date of publication.
    """
    if text.startswith(("+++", "{")) and (found := _toml_or_json(text)):
        return found
    matter = FRONT_MATTER.match(text)
    if not matter or not _is_front_matter(matter[1]):
        return "", "", text
    title = TITLE.search(matter[1])
    matches = (pattern.search(matter[1]) for pattern in DATES)
    date = next(filter(None, (day(match[1]) for match in matches if match)), "")
    return one_line(title[2]) if title else "", date, text[matter.end() :]


def _toml_or_json(text: str) -> tuple[str, str, str] | None:
    """Return (title, date, remaining text) of front matter in TOML or JSON, None if there is none."""
    toml = TOML_MATTER.match(text)
    try:
        if toml:
            fields, end = tomllib.loads(toml[1]), toml.end()
        elif text.startswith("{"):
            fields, end = json.JSONDecoder().raw_decode(text[:MAX_FRONT_MATTER])
        else:
            return None
    except (ValueError, RecursionError):
        return None
    if not isinstance(fields, dict) or not fields or not (toml or text[end : end + 1] in ("", "\n")):
        return None
    named = {str(key).lower(): str(value) for key, value in fields.items() if not isinstance(value, dict | list)}
    dates = (day(named.get(key) or "") for key in ("lastmod", "modified", "updated", "last_modified_at", "date"))
    return one_line(named.get("title") or ""), next(filter(None, dates), ""), text[end:].removeprefix("\n")


def sections_of(text: str, outline: list[OutlineEntry]) -> tuple[Section, ...]:
    """Return one section per heading, with its path; a heading with nothing under it joins the next section."""
    starts = _line_starts(text)
    sections: list[Section] = []
    blocks: list[Block] = []
    path: list[OutlineEntry] = []
    heading = ""
    for entry in outline:
        if entry.kind == "heading":
            if blocks and blocks[-1].kind != "heading":
                sections.append(Section(tuple(blocks), heading))
                blocks = []
            path = [above for above in path if above.level < entry.level] + [entry]
            heading = " > ".join(above.title for above in path if above.title)
        block = Block(starts[entry.first], starts[entry.end], entry.kind)
        if text[block.start : block.end].strip():
            blocks.append(block)
    return (*sections, Section(tuple(blocks), heading))


def _is_front_matter(lines: str) -> bool:
    """Return whether lines are keys and values. An empty block, or one of comments only, counts too.

    Many titles contain an unquoted colon, which YAML rejects: then each line must look like YAML.
    """
    if len(lines) > MAX_FRONT_MATTER:
        return False
    try:
        return isinstance(yaml.load(lines, Loader=yaml.BaseLoader), dict | None)  # BaseLoader builds strings only
    except (yaml.YAMLError, RecursionError):
        return all(map(YAML_LINE.match, filter(str.strip, lines.splitlines())))


def _line_starts(text: str) -> list[int]:
    """Return the offset of every line, followed by the end of the text."""
    return [0, *(match.end() for match in re.finditer("\n", text)), len(text)]
