"""Read reStructuredText with docutils: titles, headings, roles, directives, field lists, tables and code blocks.

Why settings: docutils would read any file that a document names, so insertion and raw directives are switched off.
Sphinx's directives and roles, which docutils does not know, keep their text.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from rag.errors import Unreadable
from rag.loaders.builder import DocumentBuilder, LoadedText
from rag.loaders.decoding import decode, normalise, one_line
from rag.loaders.metadata import day
from rag.loaders.text import load_text

SETTINGS = {
    "file_insertion_enabled": False,
    "raw_enabled": False,
    "_disable_config": True,
    "report_level": 5,
    "halt_level": 5,
    "smart_quotes": False,
    "line_length_limit": 1_000_000,
    "syntax_highlight": "none",
    "doctitle_xform": True,
    "docinfo_xform": True,
}
CODE = re.compile(
    r"^([ \t]*)\.\.[ \t]+(?:code-block|sourcecode|highlight|prompt|testcode|testsetup|testoutput|doctest|"
    r"productionlist|ipython|jupyter-execute|parsed-literal|code)::(.*)$",
    re.M,
)
OUT = re.compile(
    r"^(?:literalinclude|include|raw|image|toctree|contents|index|meta|only|currentmodule|highlight|plot)$"
)
DIRECTIVE = re.compile(r"^([ \t]*)\.\.[ \t]+([\w+:.-]+?)::(?:[ \t]+(.*))?$")
OPTION = re.compile(r"^[ \t]+:[\w-]+:")
ROLE = re.compile(r"(?<![\w`]):(?:[\w+.-]+:)*[\w+.-]+:`([^`]+)`")
TARGET = re.compile(r"^(.*?)\s*<[^<>]+>$", re.S)
SUBSTITUTION = re.compile(r"(?<![\w|])\|([^|\s][^|\n]*?)\|(?![\w|])")
KNOWN = frozenset(
    re.findall(
        r"\S+",
        """note warning tip hint important caution danger attention error admonition topic sidebar figure table
        csv-table list-table math epigraph highlights pull-quote compound container rubric line-block replace
        code unicode date class role default-role""",
    )
)
# In the body of a directive that an extension adds, such as click:example: no prose begins as OPENING_CODE does; a
# line of CODE_LINE is a comment, a prompt, a call, an assignment, a statement, or has a bracket at either end.
OPENING_CODE = re.compile(r"\s*(?:@[\w.]+(?:\(.*)?$|(?:async def|def|class)\s.*:$|(?:from\s[\w.]+\s)?import\s[\w.]+)")
CODE_LINE = re.compile(
    r"^\s*(?:@\w|[#$>]\s|[\w.]+\s?(?:=|\()|[\])}]|(?:from|import)\s[\w.]+(?:\simport\b|$)|return\b|"
    r"(?:async def|def|class|if|elif|else|for|while|with|try|except|finally)\b.*:\s*(?:#.*)?$)|[;{(\[]\s*$"
)

BROKEN = (ValueError, LookupError, AttributeError, TypeError, AssertionError, RecursionError)  # what docutils raises

Node = Any  # docutils ships no types


def load_rst(data: bytes) -> LoadedText:
    """Read reStructuredText. What cannot be parsed is read as plain text, with a note. Raises Unreadable."""
    import docutils.core  # slow to import, and few folders hold reStructuredText
    import docutils.utils

    text = normalise(decode(data))
    left_out: list[str] = []
    try:
        prepared = _known_only(text, left_out)
        document = docutils.core.publish_doctree(prepared, settings_overrides=SETTINGS)
    except BROKEN as error:
        return replace(load_text(data), note=f"read as plain text: its markup is broken ({type(error).__name__})")
    builder = DocumentBuilder()
    date = _write(builder, document, 1 if document.get("title") else 0)
    loaded = builder.build(one_line(document.get("title") or "") or builder.first_heading)
    if not loaded.text and text.strip():
        raise Unreadable("it has no text: it only names other files")
    names = sorted(set(left_out))
    note = f"files that it names are not part of it: {', '.join(names)}" if names else ""
    return replace(loaded, date=date, note=note)


def _known_only(text: str, left_out: list[str]) -> str:
    """Return the source with Sphinx's roles and directives replaced by their text, code blocks by docutils' own."""
    lines: list[str] = []
    source = CODE.sub(r"\1.. code::\2", text).expandtabs(8).split("\n")
    position = 0
    while position < len(source):
        line = source[position]
        position += 1
        found = DIRECTIVE.match(line)
        if not found or line.strip().startswith(".. |"):
            lines.append(line)
            continue
        indent, name, argument = len(found[1]), found[2].lower(), (found[3] or "").strip()
        end = position
        while end < len(source) and (not source[end].strip() or _indent(source[end]) > indent):
            end += 1
        body = source[position:end]
        if OUT.match(name.rpartition(":")[2]):
            if "include" in name:
                left_out.append(argument)
            position = end
            lines.append("")
        elif name == "code":
            lines += [f"{found[1]}.. code::", *_without_options(body)]
            position = end
        elif name in KNOWN:
            lines.append(line)
        elif _is_code(own := _without_options(body)):
            lines += [f"{found[1]}.. code::", *own]
            position = end
        else:
            shift = min((_indent(each) for each in own if each.strip()), default=0) - indent
            position = end
            label = f"{found[1]}{argument}" if argument else ""
            lines += [
                "",
                _literal(label),
                "",
                *_known_only_lines([each[max(0, shift) :] for each in own], left_out),
                "",
            ]
    return "\n".join(lines)


def _is_code(body: Sequence[str]) -> bool:
    """Return whether a directive's body is code: it begins as code alone does, or most of its lines are code."""
    lines = [line for line in body if line.strip()]
    of_code = [bool(CODE_LINE.search(line)) and "`" not in line for line in lines]
    opening = next((line for line in lines if not line.lstrip().startswith("# ")), "")
    return bool(lines) and bool(OPENING_CODE.match(opening) or (of_code[0] and 2 * sum(of_code) > len(lines)))


def _known_only_lines(lines: Sequence[str], left_out: list[str]) -> list[str]:
    return _known_only("\n".join(lines), left_out).split("\n")


def _literal(label: str) -> str:
    """Return a directive's argument, such as a signature, so that docutils takes no mark in it for markup."""
    return re.sub(r"([\\*`|_])", r"\\\1", label)


def _without_options(body: list[str]) -> list[str]:
    first = next((number for number, line in enumerate(body) if not OPTION.match(line)), len(body))
    return ["", *body[first:]]


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip(" "))


def _write(builder: DocumentBuilder, node: Node, level: int) -> str:  # noqa: C901 - one branch a kind of node
    """Write a node's children as blocks; return the date that the document states, "" if none."""
    date = ""
    for child in node.children:
        kind = type(child).__name__
        if kind == "title":
            builder.heading(max(1, level), _plain(child))
        elif kind == "subtitle":
            builder.heading(2, _plain(child))
        elif kind in ("section", "document"):
            date = _write(builder, child, level + 1) or date
        elif kind in ("literal_block", "doctest_block", "math_block"):
            builder.add(f"```\n{child.astext()}\n```", "code")
        elif kind in ("bullet_list", "enumerated_list"):
            builder.add("\n".join(_items(child, 0)), "list")
        elif kind in ("table",):
            _write_table(builder, child)
        elif kind == "date":
            date = day(child.astext())
        elif kind in ("docinfo_item", "option_list_item") or (kind == "field" and not _is_for_sphinx(child)):
            builder.add(": ".join(filter(None, (_plain(part) for part in child.children))))
        elif kind in ("definition_list_item",):
            builder.add(_plain(child.children[0]))
            date = _write(builder, child, level) or date
        elif kind in ADMONITIONS:
            builder.add(kind.capitalize())
            date = _write(builder, child, level) or date
        elif kind in SILENT or (kind == "field" and _is_for_sphinx(child)):
            continue
        elif kind == "line_block":
            builder.add("\n".join(_plain(line) for line in child.children))
        elif any(hasattr(part, "children") and type(part).__name__ in BLOCKS for part in child.children):
            date = _write(builder, child, level) or date
        elif kind != "term":
            builder.add(_plain(child))
    return date


ADMONITIONS = frozenset("note warning tip hint important caution danger attention error".split())  # noqa: SIM905
SILENT = frozenset(
    ("comment", "target", "substitution_definition", "system_message", "pending", "image", "raw", "meta", "problematic")
)
SPHINX_METADATA = frozenset(("orphan", "tocdepth", "nocomments", "no-search", "nosearch"))
BLOCKS = frozenset(
    re.findall(
        r"\S+",
        """paragraph bullet_list enumerated_list definition_list field_list literal_block doctest_block table note
        warning tip hint important caution danger attention error admonition block_quote line_block section title
        definition field definition_list_item option_list option_list_item caption legend math_block figure topic
        compound container attribution label date author authors version rubric""",
    )
)


def _is_for_sphinx(field: Node) -> bool:
    """Return whether a field at the top of a page tells Sphinx how to make it, such as :orphan:."""
    return field.children[0].astext() in SPHINX_METADATA and type(field.parent.parent).__name__ in (
        "document",
        "section",
    )


def _title_of(role: re.Match[str]) -> str:
    """Return what a role shows: its title before <target>, else its target without the mark ~ or !."""
    titled = TARGET.match(role[1])
    return titled[1] if titled and titled[1] else role[1].lstrip("~!")


def _items(entries: Node, depth: int) -> list[str]:
    lines = []
    for number, item in enumerate(entries.children, 1):
        mark = f"{number}." if type(entries).__name__ == "enumerated_list" else "-"
        first = True
        for part in item.children:
            kind = type(part).__name__
            if kind in ("bullet_list", "enumerated_list"):
                lines += _items(part, depth + 1)
                continue
            written = part.astext() if kind in ("literal_block", "doctest_block") else _plain(part)
            for line in filter(None, written.split("\n") if kind.endswith("_block") else [written]):
                lines.append(f"{'  ' * depth}{mark} {line}" if first else f"{'  ' * (depth + 1)}{line}")
                first = False
    return lines


def _write_table(builder: DocumentBuilder, table: Node) -> None:
    rows: list[list[str]] = []
    has_header = False
    for part in table.findall():
        kind = type(part).__name__
        if kind == "title":
            builder.add(_plain(part))
        elif kind == "thead":
            has_header = True
        elif kind == "row":
            rows.append(
                [text for cell in part.children for text in (_plain(cell), *[""] * int(cell.get("morecols") or 0))]
            )
    builder.table(rows, has_header=has_header)


def _plain(node: Node) -> str:
    """Return a node's text on one line: code in backticks, roles by their titles."""
    kind = type(node).__name__
    if kind == "problematic":
        return SUBSTITUTION.sub(r"\1", ROLE.sub(_title_of, node.astext()))
    if kind in SILENT:
        return ""
    if kind == "literal":
        return f"`{node.astext()}`"
    if kind == "math":
        return f"${node.astext()}$"
    if not getattr(node, "children", None):
        return str(node.astext())
    space = " " if any(type(child).__name__ in BLOCKS for child in node.children) else ""
    return (
        " ".join(space.join(_plain(child) for child in node.children).split())
        if space
        else "".join(_plain(child) for child in node.children).replace("\n", " ")
    )
