"""Take out of Markdown what its generators read and people do not: heading ids, admonition marks, includes, JSX tags.

Code blocks, code spans and formulas stay exact to the letter. What an include would have brought is counted, not shown.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from cmarkgfm.cmark import Options, markdown_to_html

from rag.loaders.decoding import line_of
from rag.loaders.tables import table_lines

VALUE = r"""(?:[#.][\w:.-]+|[\w-]+=(?:"[^"]*"|'[^']*'|[^\s}"']+))"""
ATTRIBUTES = re.compile(rf"(?<![\^_\\{{$])[ \t]*\{{:?[ \t]*{VALUE}(?:[ \t]+{VALUE})*[ \t]*\}}")
HEADING_ID = re.compile(r"^([ \t]*#{1,6}[ \t].*?)[ \t]*(?:\{[ \t]*/\*.*?\*/[ \t]*\}|\{[ \t]*#[^{}\n]*\})[ \t]*$", re.M)
INDENTED = re.compile(r"^([ \t]*)(?:!!!|\?\?\?\+?|===!?\+?)[ \t]+(.+?)[ \t]*$")  # MkDocs: the body is indented
OPENING = re.compile(
    r"^( {0,3}(?:>[ \t>]*)?)(?:/{3,}|:{3,})[ \t]*([^\s/:].*?)?[ \t:]*$"
)  # a mark before and after the body
CALLOUT = re.compile(r"^([ \t]*(?:>[ \t]*)+)\[!([\w-]+)\][+-]?[ \t]*(.*)$", re.M)  # GitHub, Obsidian
FENCED = re.compile(r"^([ \t]*)(`{3,}|~{3,}|:{3,})\{(\w[\w-]*)\}[ \t]*(.*?)[ \t]*$")  # MyST
FENCE = re.compile(r"^[ \t>]*(?:(?:[-*+]|\d+[.)])[ \t]+)*(`{3,}|~{3,})")
UNWRAPPED = re.compile(
    r"^[ \t>]*(?:!!!|\?\?\?|===!?\+?[ \t]|/{3}|:{3}|[`~]{3,}\{)", re.M
)  # what one of these four begins with
MARKED = re.compile(r"`{3}|~{3}|:{3}|!{3}|\?{3}|={3}|/{3}")  # no line is a fence or one of these three without
CODE = re.compile(r'<pre data-sourcepos="(\d+):\d+-(\d+):\d+"')
NOTES = frozenset(
    re.findall(
        r"\S+",
        """note warning tip hint important caution danger attention error seealso admonition info todo versionadded
        versionchanged deprecated topic sidebar figure card tab-item dropdown""",
    )
)
NAMED_TITLE = re.compile(r"""title=(?:"([^"]*)"|'([^']*)')""")
BRACED = re.compile(r"\{[^{}]*\}")
PROTECTED = re.compile(  # code spans, which end with their paragraph or list item, and formulas
    r"(?<!`)(`+)(?!`)(?:[^\n]|\n(?![ \t]*(?:\n|[-*+#>]|\d+[.)])))+?(?<!`)\1(?!`)"
    r"|\$\$.+?\$\$|\$(?! )[^$\n`]+?(?<! )\$(?!\d)|\\[(\[].{1,2000}?\\[)\]]",
    re.S,
)
COMMENT = re.compile(r"<!--.*?(?:-->|\Z)|\{/\*.*?\*/\}|^\[//\]:[ \t]*#.*$", re.S | re.M)
INCLUDE = re.compile(
    r"^[ \t]*-{1,}8<-{1,}[ \t]*[\"']?(?P<a>[^\"'\n]*)[\"']?[ \t]*$|\{!>?[ \t]*(?P<b>[^}\n]+?)[ \t]*!\}"
    r"|\{\*[ \t]*(?P<c>\S+)[^}\n]*\*\}|\{%-?[ \t]*include(?:_relative|-markdown)?[ \t]+(?P<d>[^%\s]+)[^%]*%\}"
    r"|\{\{[<%][ \t]*include[ \t]+(?P<e>[^>%\s]+)[^>%]*[>%]\}\}|\{\{#(?:rustdoc_)?include[ \t]+(?P<f>[^}\s]+)[^}]*\}\}",
    re.M,
)
HIGHLIGHT = re.compile(
    r"^[ \t]*\{(?:%-?|\{<)[ \t]*highlight[ \t]+\"?([\w+#-]+)[^%>\n]*(?:%\}|>\}\})[ \t]*\n(.*?)\n"
    r"[ \t]*\{(?:%-?[ \t]*endhighlight[ \t]*-?%\}|\{<[ \t]*/[ \t]*highlight[ \t]*>\}\})",
    re.M | re.S,
)
TEMPLATE = re.compile(r"\{%.*?%\}|\{\{[<%].*?[>%]\}\}|\{\{<.*?>\}\}", re.S)
IMPORT = re.compile(r"^import[ \t]+(?:[\w*{}, \t\n$]+[ \t]+from[ \t]+)?['\"][^'\"\n]+['\"];?[ \t]*$", re.M)
EXPORT = re.compile(r"^export[ \t]+(?:const|let|default|function)\b.*?(?=\n[ \t]*\n|\Z)", re.M | re.S)
DATA_PICTURE = re.compile(r"!\[([^\]]*)\]\(\s*<?data:[^)]*\)|^[ \t]*\[[^\]]+\]:[ \t]*<?data:\S+.*$", re.M)
TABLE = re.compile(r"<table\b.*?</table\s*>", re.S | re.I)
PREFORMATTED = re.compile(r"<pre\b[^>]*>(.*?)</pre\s*>", re.S | re.I)
ELEMENTS = (
    "a|abbr|address|article|aside|b|big|blockquote|body|br|button|caption|center|cite|code|col|colgroup|dd|del|details|"
    "dfn|div|dl|dt|em|figcaption|figure|font|footer|form|h[1-6]|head|header|hr|html|i|iframe|img|input|ins|kbd|label|"
    "li|main|mark|nav|ol|option|p|picture|q|s|samp|section|select|small|source|span|strike|strong|style|sub|summary|"
    "sup|svg|path|table|tbody|td|textarea|tfoot|th|thead|tr|tt|u|ul|var|video|wbr|meta|link|script"
)
ATTRIBUTE = r"""(?:\s+[\w:@.$-]+(?:\s*=\s*(?:"[^"]*"|'[^']*'|\{(?:[^{}]|\{[^{}]*\})*\}|[^\s"'>{}]+))?|\s+\{[^{}]*\})"""
TAG = re.compile(rf"</?(?:{ELEMENTS})(?:{ATTRIBUTE})*\s*/?>", re.I)
JSX = re.compile(
    rf"(?:(?<![\w<])<|<(?=/))(?P<close>/?)(?P<name>[A-Z][\w.]*)(?P<rest>(?:{ATTRIBUTE})*)\s*(?P<empty>/?)>|<>|</>"
)
SHOWN = re.compile(r"""\s(?:alt|label|title|summary|heading)\s*=\s*\{?(?:"([^"]*)"|'([^']*)'|`([^`]*)`)""")
BLOCK_TAG = re.compile(r"</?(?:p|div|li|h[1-6]|tr|br|hr|details|summary|section|dt|dd|ul|ol|figcaption)\b", re.I)
BLANK_RUNS = re.compile(r"\n{4,}")
INCLUDE_MARKS = ("8<", "{!", "{*", "{%", "{{")  # what INCLUDE cannot do without, found in a tenth of the time
NEEDED = re.compile(r"[<{]|!!!|\?\?\?|^[ \t]*===|///|:::|--8<|\[!|data:|^(?:import|export)[ \t]|^\[//\]", re.M)


@dataclass(slots=True)
class Cleaned:
    """Markdown without its generator's marks, and the files that it would have included."""

    text: str
    included: list[str] = field(default_factory=list)

    def note(self) -> str:
        """Return a note for the report on what the page would have included, "" if nothing."""
        if not self.included:
            return ""
        if len(self.included) == 1:
            return f"includes another file, which is not part of it: {self.included[0]!r}"
        return f"includes {len(self.included)} other files, which are not part of it, the first: {self.included[0]!r}"


def clean_markdown(text: str, mdx: bool = False) -> Cleaned:
    """Return Markdown as text without ids, marks, tags, comments and includes; `mdx` takes out exports, too."""
    if not NEEDED.search(text):
        return Cleaned(text)
    cleaned = Cleaned("")
    text = HIGHLIGHT.sub(lambda match: f"```{match[1]}\n{match[2]}\n```", text)
    if UNWRAPPED.search(text):
        text = "\n".join(_unwrap(text.split("\n")))
    parts = []
    for is_code, part in _segments(text):
        parts.append(
            part if is_code else _clean(part, mdx or bool("import" in part and IMPORT.search(part)), cleaned.included)
        )
    cleaned.text = "".join(parts)
    return cleaned


def _unwrap(lines: list[str]) -> Iterator[str]:
    """Yield lines with the marks of admonitions and tabs replaced by their titles, and their bodies not indented."""
    position, fence, unwrapped = 0, "", ""
    while position < len(lines):
        line = lines[position]
        position += 1
        if unwrapped and line.strip() == unwrapped:
            unwrapped = ""
            yield ""
            continue
        if not MARKED.search(line):
            yield line
            continue
        directive = None if fence else FENCED.match(line)
        if directive and directive[3] in NOTES:
            unwrapped = directive[2]
            yield from ("", f"{directive[1]}{_title(directive[3] + ' ' + directive[4])}", "")
            continue
        mark = FENCE.match(line)
        if mark and (not fence or (line.strip().startswith(fence) and not line.strip().strip(fence[0]))):
            fence = "" if fence else mark[1]
        elif not fence and (indented := INDENTED.match(line)):
            body, position = _body(lines, position, len(indented[1]) + 4)
            yield from ("", f"{indented[1]}{_title(indented[2])}", "")
            yield from _unwrap([f"{indented[1]}{each}" if each else each for each in body])
            continue
        elif not fence and (opening := OPENING.match(line)):
            yield from ("", f"{opening[1]}{_title(opening[2] or '')}".rstrip(), "")
            continue
        yield line


def _body(lines: list[str], start: int, indent: int) -> tuple[list[str], int]:
    """Return the lines of an indented body without their indent, and the number of the line after it."""
    end = start
    for number in range(start, len(lines)):
        line = lines[number].replace("\t", "    ", 1) if lines[number].startswith("\t") else lines[number]
        if line.strip() and len(line) - len(line.lstrip(" ")) < indent:
            break
        end = number + 1 if line.strip() else end
    body = [line.replace("\t", "    ", 1) if line.startswith("\t") else line for line in lines[start:end]]
    return [line[indent:] for line in body], end


def _title(written: str) -> str:
    """Return what the line of an admonition says: 'note "Mind"' -> Note: Mind; {.callout-tip} -> Tip."""
    named = NAMED_TITLE.search(written)
    kind, _, rest = BRACED.sub(lambda match: match[0].strip("{}"), written).partition(" ")
    if kind.startswith(("#", ".", "=")):
        kind, rest = kind.lstrip("#.=").removeprefix("callout-"), ""
    if kind[:1] in "\"'":
        return written.strip("\"' ")
    kind, _, label = kind.partition("[")
    title = named[1] or named[2] if named else f"{label} {rest}".strip().strip("|[]\"' ")
    title = re.sub(r"^(?:inline|end|inline end)\b", "", title).strip("\"' ")
    kind = kind.replace("-", " ").strip().capitalize()
    return f"{kind}: {title}" if kind and title else title or kind


def _segments(text: str) -> Iterator[tuple[bool, str]]:
    """Yield (is code, text) for the runs of lines in and outside code blocks."""
    lines = [f"{line}\n" for line in text.split("\n")]
    lines[-1] = lines[-1][:-1]
    done = 0
    for first, end in _code_lines(text):
        if first > done:
            yield False, "".join(lines[done:first])
        if end > max(first, done):
            yield True, "".join(lines[max(first, done) : end])
        done = max(done, end)
    yield False, "".join(lines[done:])


def _code_lines(text: str) -> list[tuple[int, int]]:
    """Return the lines [first, end) of every code block, also of those in lists and quotations.

    By cmark, which states the lines in its HTML: a tenth of markdown-it's time. Blank lines may follow indented code.
    """
    rendered = markdown_to_html(text, options=Options.CMARK_OPT_SOURCEPOS)
    return [(int(first) - 1, int(last)) for first, last in CODE.findall(rendered)]


def _clean(text: str, mdx: bool, included: list[str]) -> str:
    """Return a text outside code blocks without marks; code spans and formulas are put aside meanwhile."""
    kept: list[str] = []

    def put_aside(match: re.Match[str]) -> str:
        kept.append(match[0])
        return f"\0{len(kept) - 1}\0"

    if any(mark in text for mark in ("`", "$", "\\")):
        text = PROTECTED.sub(put_aside, text)
    text = COMMENT.sub("", text) if any(mark in text for mark in ("<!--", "{/*", "[//]")) else text

    def include(match: re.Match[str]) -> str:
        included.append(line_of(next(filter(None, match.groups()), "")))
        return ""

    text = INCLUDE.sub(include, text) if any(mark in text for mark in INCLUDE_MARKS) else text
    text = _without_marks(text)
    if mdx:
        text = EXPORT.sub("", text)
    if "<" in text:
        text = _without_tags(text)
    if "\n\n\n\n" in text:
        text = BLANK_RUNS.sub("\n\n\n", text)
    return re.sub("\0(\\d+)\0", lambda match: kept[int(match[1])], text)


def _without_marks(text: str) -> str:
    """Return a text without template tags, data, ids, attributes and imports; callouts by their titles.

    What each pattern cannot do without is looked for first.
    """
    if "{%" in text or "{{" in text:
        text = TEMPLATE.sub("", text)
    if "data:" in text:
        text = DATA_PICTURE.sub(lambda match: match[1] or "", text)
    if "[!" in text:
        text = CALLOUT.sub(lambda match: f"{match[1]}{_title(f'{match[2].lower()} {match[3]}')}", text)
    if "{" in text:
        text = ATTRIBUTES.sub("", HEADING_ID.sub(r"\1", text))
    if "import" in text:
        text = IMPORT.sub("", text)
    return text


def _without_tags(text: str) -> str:
    """Return a text without HTML and JSX tags; tables become lines, <pre> a fence, and labels stay."""
    text = PREFORMATTED.sub(_fence_of, text)
    text = TABLE.sub(_table_of, text)
    text = re.sub(r"<(script|style)\b.*?</\1\s*>", "", text, flags=re.S | re.I)
    closing = set(re.findall(r"</([A-Z][\w.]*)\s*>", text))

    def component(match: re.Match[str]) -> str:
        name = match["name"]
        if name and not (match["empty"] or match["rest"] or name in closing):
            return match[0]  # a placeholder, such as <Name>
        shown = SHOWN.search(match["rest"] or "")
        return next(filter(None, shown.groups()), "") + "\n" if shown else ""

    def element(match: re.Match[str]) -> str:
        shown = SHOWN.search(match[0]) if match[0][:4].lower() == "<img" else None
        if shown:
            return next(filter(None, shown.groups()), "")
        return "\n" if BLOCK_TAG.match(match[0]) and match[0][:3].lower() in ("<br", "</p") else ""

    lines = TAG.sub(element, JSX.sub(component, text))
    return lines.replace('{" "}', " ").replace("{' '}", " ")


def _fence_of(match: re.Match[str]) -> str:
    code = html.unescape(TAG.sub("", match[1])).strip("\n")
    return f"\n```\n{code}\n```\n"


def _table_of(match: re.Match[str]) -> str:
    import lxml.html  # slow to import, and few pages hold an HTML table

    from rag.loaders.web.page_table import grid_of

    table = lxml.html.fromstring(match[0])
    rows, has_header = grid_of(table)
    header = () if has_header is None else None
    lines = table_lines(rows[1:], rows[0]) if has_header and len(rows) > 1 else table_lines(rows, header)
    return "\n" + "\n".join(lines) + "\n"
