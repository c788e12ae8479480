r"""Read LaTeX with pylatexenc: sections, lists, tables, code, footnotes; formulas stay as they are written.

Why code is taken out first: pylatexenc reads the inside of minted and of most code environments as LaTeX. Macros that
the file defines are expanded, a few thousand times at most, since they can double each other.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from rag.errors import Unreadable
from rag.loaders.builder import DocumentBuilder, LoadedText
from rag.loaders.decoding import decode_noting, line_of, normalise, one_line
from rag.loaders.latex.macros import (
    ARGUMENTS,
    BREAKS,
    DRAWINGS,
    DROPPED,
    FORMULAS,
    LISTS,
    PARAGRAPHS,
    REFERENCES,
    RULES,
    SECTIONS,
    TABLES,
    WORDS,
)
from rag.loaders.latex.nodes import BREAK, Node, argument_of, has_words, last_argument, tidy, written
from rag.loaders.latex.parser import parse
from rag.loaders.latex.source import Source, read_source
from rag.loaders.markup.writer import MarkupWriter
from rag.loaders.metadata import day
from rag.loaders.office.header_rows import join_headers

logging.getLogger("pylatexenc").setLevel(logging.CRITICAL)  # it warns of commands without their arguments
MAX_EXPANSIONS, MAX_DEPTH = 3_000, 8
SIZES = "tiny scriptsize footnotesize small normalsize large Large LARGE huge Huge hfill xspace hbox mbox unitlength"
SILENT = DROPPED | PARAGRAPHS | set(WORDS) | set(SIZES.split())  # commands that are known to stand for no word
NAMED = 5  # of the commands that are left out
FORMULA = re.compile(  # stays as it is written
    rf"\$[^$]*\$|\\\[.*?\\\]|\\\(.*?\\\)|\\begin\{{(?P<name>(?:{'|'.join(sorted(FORMULAS))})\*?)\}}.*?\\end\{{(?P=name)\}}",
    re.DOTALL,
)
IN_TEXT = re.compile(r"\\([A-Za-z]+)(?:\{\}|(?=[.,;:!?)]))")  # a command that stands where a word would
MAX_HEADER = 4  # rows of names above a table
OPTIONS = re.compile(r"\A\s*\[[^\]]*\]")
MAX_CHARS = 5_000_000


def load_tex(data: bytes) -> LoadedText:
    """Read LaTeX, or the text of it that is not a definition. Raises Unreadable for binary data."""
    decoded = decode_noting(data)
    text = normalise(decoded.text)
    if len(text) > MAX_CHARS:
        raise Unreadable(f"it has more than {MAX_CHARS:,} characters: split it")
    source = read_source(text)
    builder = DocumentBuilder()
    writer = _Writer(MarkupWriter(builder), source)
    try:
        writer.write_title()
        writer.write(writer.parse(source.body))
        writer.end()
    except RecursionError:
        raise Unreadable("its markup is nested too deeply") from None
    except IndexError:  # pylatexenc cannot read \verb as the last word
        raise Unreadable("its markup cannot be read: a command at its end lacks an argument") from None
    title = one_line(writer.plain(source.title)) or builder.first_heading
    notes = [decoded.note]
    unknown = writer.unknown()
    if source.files:
        notes.append(f"files that it names are not part of it: {', '.join(sorted(set(source.files)))}")
    lost = [f"{writer.drawings} drawings in TeX are not read"] if writer.drawings else []
    lost += ["it has too many commands of its own, some are left out"] if writer.cut else []
    more = f" and {len(unknown) - NAMED} more" if len(unknown) > NAMED else ""
    lost += [f"commands that it does not define are left out: {', '.join(unknown[:NAMED])}{more}"] if unknown else []
    date = day(writer.plain(source.date))
    return replace(builder.build(title), date=date, note="; ".join(filter(None, notes)), lost="; ".join(lost))


@dataclass(slots=True)
class _List:
    """A list that is being read: its kind and the number of the last item."""

    kind: str
    number: int = 0
    mark: str = ""
    parts: list[str] = field(default_factory=list)


class _Writer:
    """Walks the nodes; inline text is collected until a block begins or ends."""

    def __init__(self, writer: MarkupWriter, source: Source) -> None:
        from pylatexenc import latex2text, latexwalker  # slow to import, and few folders hold LaTeX
        from pylatexenc.macrospec import MacroSpec

        self.drawings = 0
        self.cut = False  # whether commands of the file were not expanded, since there were too many
        self._out, self._source = writer, source
        self._context = latexwalker.get_default_latex_context_db()
        own = [MacroSpec(name, "[" * macro.optional + "{" * (macro.arguments - macro.optional))
               for name, macro in source.macros.items()]  # fmt: skip
        extra = [MacroSpec(name, arguments) for name, arguments in ARGUMENTS.items()]
        self._context.add_context_category("thumbtune", macros=[*extra, *own], prepend=True)
        self._names = latex2text.get_default_latex_context_db()
        self._to_text = latex2text.LatexNodes2Text(math_mode="verbatim", strict_latex_spaces=False)
        used = [name for name in SECTIONS if re.search(rf"\\{name}\b", source.body)]
        shift = 2 if source.title else 1
        self._levels = {name: at + shift for at, name in enumerate(used)}
        self._deepest = len(used) + shift
        self._line = list[str]()
        self._lists = list[_List]()
        self._expansions = self._nested = 0

    def unknown(self) -> list[str]:
        """Return the commands in place of a word, as in "\\name{}" or "\\name.", neither defined here nor TeX's own."""
        names = sorted(set(IN_TEXT.findall(FORMULA.sub("", self._source.body))) - set(self._source.macros) - SILENT)
        known = (self._names.get_macro_spec(name) for name in names)
        return [f"\\{name}" for name, spec in zip(names, known, strict=True) if spec is None or not spec.macroname]

    def parse(self, text: str) -> Sequence[Node]:
        return parse(text, self._context)

    def write_title(self) -> None:
        """Write title, authors and date as the file states them."""
        if title := self.plain(self._source.title):
            self._out.heading(1, title)
            for line in (self._source.author, self._source.date):
                self._out.paragraph(tidy(self._inline(self.parse(line))) if r"\today" not in line else "")

    def plain(self, latex: str) -> str:
        """Return a piece of LaTeX as one line."""
        return line_of(self._inline(self.parse(latex))) if latex else ""

    def end(self) -> None:
        self._flush()
        self._out.flush()

    def write(self, nodes: Iterable[Node], depth: int = 0) -> None:
        """Write nodes as blocks; text between them is collected."""
        if depth > 150:
            raise RecursionError
        for node in nodes:
            kind = type(node).__name__
            if kind == "LatexCharsNode":
                self._chars(node.chars)
            elif kind == "LatexGroupNode":
                self.write(node.nodelist, depth + 1)
            elif kind == "LatexMathNode" and node.displaytype == "display":
                self._formula(node.latex_verbatim())
            elif kind == "LatexEnvironmentNode":
                self._environment(node, depth)
            elif kind == "LatexMacroNode":
                self._macro(node, depth)
            elif kind != "LatexCommentNode":
                self._line.append(self._inline([node]))

    def _chars(self, chars: str) -> None:
        first, *others = re.split(r"\n[ \t]*\n\s*", chars)
        self._line.append(first)
        for part in others:
            self._flush()
            self._line.append(part)

    def _flush(self) -> None:
        """End a paragraph: of a list item, or one of its own."""
        text, self._line = tidy("".join(self._line)), []
        if not self._lists:
            self._out.paragraph(text)
        elif text:
            current = self._lists[-1]
            if current.mark:
                self._out.item(len(self._lists) - 1, current.mark, text)
                current.mark = ""
            else:
                self._out.more(len(self._lists) - 1, text)

    def _formula(self, latex: str) -> None:
        self._flush()
        self._out.code(self._restored(latex).strip())

    def _macro(self, node: Node, depth: int) -> None:
        name = node.macroname
        if (name in self._levels and name != "frametitle") or name == "frametitle":
            self._flush()
            self._out.heading(self._levels.get(name, self._deepest), line_of(self._inline(last_argument(node))))
        elif name == "item":
            self._flush()
            self._item(node)
        elif name in PARAGRAPHS:
            self._flush()
        elif name == "thumbtunecode":
            self._flush()
            code = self._source.code[int(written(last_argument(node)))]
            self._out.code(code.text, code.language)
        elif name == "caption":
            self._flush()
            self._line.append(self._inline(last_argument(node)))
            self._flush()
        elif name == "bibitem":
            self._flush()
            self._line.append(f"[{written(last_argument(node))}] ")
        elif name == "frame":
            self._flush()
            self.write(last_argument(node), depth + 1)
            self._flush()
        elif name in self._source.macros and (body := self._expanded(node)) is not None:
            self._nested += 1
            self.write(self.parse(body), depth + 1)
            self._nested -= 1
        elif name in ("parbox", "resizebox", "scalebox", "adjustbox", "raisebox", "textcolor", "colorbox", "hyperref"):
            self.write(last_argument(node), depth + 1)
        else:
            self._line.append(self._inline([node]))

    def _item(self, node: Node) -> None:
        if not self._lists:  # of a list that the file defines for itself
            if label := line_of(self._inline(argument_of(node, 0))):
                self._line.append(f"{label}{'' if label.endswith((':', '.', ')')) else ':'} ")
            return
        current = self._lists[-1]
        if current.mark:  # an item without text
            self._out.item(len(self._lists) - 1, current.mark, "")
        label = line_of(self._inline(argument_of(node, 0)))
        current.number += not label
        ordered = "enum" in current.kind
        current.mark = f"{current.number}." if ordered and not label else "-"
        if label:
            colon = "" if label.endswith((":", ".", ")")) or current.kind != "description" else ":"
            self._line.append(f"{label}{colon} ")

    def _environment(self, node: Node, depth: int) -> None:
        name = node.environmentname
        bare = name.rstrip("*")
        if bare in FORMULAS:
            self._formula(node.latex_verbatim())
            return
        self._flush()
        if name in DRAWINGS:
            self.drawings += 1
        elif bare in TABLES:
            title, rows, has_header = self._table(node.nodelist)
            self._out.paragraph(title)
            self._out.table(rows, has_header)
        elif bare in LISTS:
            self._lists.append(_List(bare))
            self.write(node.nodelist, depth + 1)
            self._flush()
            self._lists.pop()
            if not self._lists:
                self._out.flush()
        else:
            self._other(node, bare, depth)

    def _other(self, node: Node, name: str, depth: int) -> None:
        """Write any other environment: theorems with their names, frames with their titles."""
        nodes = list(node.nodelist)
        held, self._lists = (self._lists, []) if name in ("minipage", "figure", "table", "frame") else ([], self._lists)
        if name == "abstract":
            self._out.heading(min(self._levels.values(), default=2), "Abstract")
        elif name in self._source.theorems:
            self._line.append(f"{self._source.theorems[name]}. ")
        elif name == "frame" and nodes and type(nodes[0]).__name__ == "LatexGroupNode":
            self._out.heading(self._deepest, line_of(self._inline(nodes.pop(0).nodelist)))
        if nodes and type(nodes[0]).__name__ == "LatexCharsNode":
            found = OPTIONS.match(nodes[0].chars)
            if found and ("=" in found[0] or re.fullmatch(r"\s*\[[!htbpHTB\d.]*\]", found[0])):
                self._chars(nodes.pop(0).chars[found.end() :])
        if name in ("minipage", "wrapfigure", "thebibliography", "multicols", "columns", "column", "adjustbox"):
            while nodes and type(nodes[0]).__name__ in ("LatexGroupNode",):
                nodes.pop(0)
        self.write(nodes, depth + 1)
        self._flush()
        self._lists = held or self._lists

    def _table(self, nodes: Iterable[Node]) -> tuple[str, list[list[str]], bool]:
        """Return a table's title, rows, and whether the first is a header: those above the first line in it."""
        rows, cells, cell = list[list[str]](), list[str](), list[Node]()
        spans, widths = list[int](), list[int]()
        ruled = set[int]()
        nodes = list(nodes)
        while nodes and type(nodes[0]).__name__ == "LatexGroupNode":
            nodes.pop(0)  # the columns' format
        if nodes and type(nodes[0]).__name__ == "LatexCharsNode":
            nodes[0].chars = OPTIONS.sub("", nodes[0].chars)
            while (
                nodes
                and type(nodes[0]).__name__ == "LatexCharsNode"
                and not nodes[0].chars.strip()
                and (len(nodes) > 1 and type(nodes[1]).__name__ == "LatexGroupNode")
            ):
                del nodes[:2]
        for node in [*nodes, None]:
            kind, name = type(node).__name__, getattr(node, "macroname", "")
            if node is None or (kind == "LatexMacroNode" and name in BREAKS):
                texts = self._cell(cell)
                cells, widths = [*cells, *texts], [*widths, len(texts)]
                if any(cells):
                    rows.append(cells)
                    spans = spans or widths
                cells, cell, widths = [], [], []
            elif kind == "LatexSpecialsNode" and node.specials_chars == "&":
                texts = self._cell(cell)
                cells, widths, cell = [*cells, *texts], [*widths, len(texts)], []
            elif kind == "LatexMacroNode" and name in RULES:
                ruled.add(len(rows))
            elif kind == "LatexMacroNode" and name == "caption":
                self._out.paragraph(self._inline(last_argument(node)))
            else:
                cell.append(node)
        marked = min((at for at in ruled if at), default=0)
        marked = 0 if marked > MAX_HEADER or set(range(1, len(rows))) <= ruled else marked
        return join_headers(rows, spans, marked)

    def _cell(self, nodes: Sequence[Node]) -> list[str]:
        """Return a cell's text, and empty ones for the other columns that it covers."""
        wide = 1
        for node in nodes:
            if getattr(node, "macroname", "") == "multicolumn":
                count = written(argument_of(node, 0))
                wide = min(int(count), 100) if count.isdigit() else 1
        return [line_of(self._inline(nodes)), *[""] * (wide - 1)]

    def _inline(self, nodes: Iterable[Node], depth: int = 0) -> str:
        if depth > 150:
            raise RecursionError
        return "".join(self._piece(node, depth) for node in nodes)

    def _piece(self, node: Node, depth: int) -> str:
        kind = type(node).__name__
        if kind == "LatexCharsNode":
            return str(node.chars)
        if kind == "LatexGroupNode":
            return self._inline(node.nodelist, depth + 1)
        if kind == "LatexMathNode":
            return self._restored(node.latex_verbatim())
        if kind == "LatexEnvironmentNode":
            if node.environmentname.rstrip("*") in FORMULAS:
                return f" {self._restored(node.latex_verbatim())} "
            self.drawings += node.environmentname in DRAWINGS
            inner = [] if node.environmentname in DRAWINGS else node.nodelist
            return f" {self._inline(inner, depth + 1)} "
        if kind == "LatexMacroNode":
            return self._inline_macro(node, depth + 1)
        return str(self._to_text.node_to_text(node)) if kind == "LatexSpecialsNode" else ""

    def _inline_macro(self, node: Node, depth: int) -> str:  # noqa: C901  # one case per macro
        name = node.macroname
        if name in ("thumbtuneverb", "thumbtunecode"):
            code = self._source.code[int(written(last_argument(node)))]
            return f"`{code.text}`"
        if name in ("footnote", "footnotetext", "thanks"):
            return self._out.note(self._inline(last_argument(node), depth))
        if name in self._source.macros and (body := self._expanded(node)) is not None:
            self._nested += 1
            text = self._inline(self.parse(body), depth)
            self._nested -= 1
            return text
        if name in WORDS:
            return f"{WORDS[name]}{' ' * bool(node.macro_post_space)}"
        if name in REFERENCES:
            return f"[{', '.join(part.strip() for part in written(last_argument(node)).split(','))}]"
        if name in DROPPED or name in RULES:
            return ""
        if name in BREAKS or name in ("And", "AND"):
            return BREAK
        if name in ("url", "nolinkurl", "path"):
            return written(last_argument(node))
        if name == "item":
            return f" - {self._inline(argument_of(node, 0), depth)}"
        if name == "and":
            return BREAK
        if name == "texorpdfstring":
            return self._inline(argument_of(node, 0), depth)
        named = self._names.get_macro_spec(name)
        own = last_argument(node)
        if named is not None and named.simplify_repl is not None and (len(own) == 0 or not has_words(own)):
            return str(self._to_text.node_to_text(node))
        if own or name in ("textbf", "emph"):
            return self._inline(own, depth)
        text = str(self._to_text.node_to_text(node)) if named is not None else ""
        return text or " "  # a command of a package or of another file

    def _expanded(self, node: Node) -> str | None:
        """Return what a macro of the file stands for; None if there were too many of them."""
        self._expansions += 1
        if self._expansions > MAX_EXPANSIONS or self._nested >= MAX_DEPTH:
            self.cut = True
            return None
        macro = self._source.macros[node.macroname]
        body = macro.body
        for at in range(macro.arguments):
            argument = argument_of(node, at)
            written = "".join(each.latex_verbatim() for each in argument) or (macro.default if at == 0 else "")
            body = body.replace(f"#{at + 1}", written)
        return body[:100_000]

    def _restored(self, latex: str) -> str:
        return re.sub(r"\\thumbtuneverb\{(\d+)\}", lambda found: self._source.code[int(found[1])].raw, latex)
