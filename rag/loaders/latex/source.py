r"""Prepare LaTeX for its parser: comments go, code is put aside, \newcommand and \newtheorem are collected."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from rag.loaders.latex.macros import FORMULAS

CODE = r"verbatim\*?|Verbatim\*?|BVerbatim|lstlisting|minted|alltt|code|semiverbatim|spverbatim|listing\*"
SCAN = re.compile(
    r"(?P<escape>\\[\\%])|(?P<comment>%[^\n]*(?:\n[ \t]*|\Z))"
    rf"|\\begin\{{(?P<env>{CODE}|comment)\}}|(?P<iffalse>\\iffalse\b)"
    r"|\\(?:verb\*?|lstinline(?:\[[^\]\n]{0,300}\])?|mintinline(?:\[[^\]\n]{0,300}\])?\{[^{}\n]{0,50}\})"
    r"(?:(?P<mark>[^\w\s*{\[])(?P<verb>[^\n]{0,2000}?)(?P=mark)|\{(?P<braced>[^{}\n]{0,2000})\})"
)
FI = re.compile(r"\\fi\b")
LEADING = re.compile(r"\A(?:[ \t]*\[(?P<options>[^\]]*)\])?(?:[ \t]*\{(?P<language>[\w+#-]*)\})?[ \t]*\n?")
LANGUAGE = re.compile(r"language\s*=\s*\{?(?:\[[^\]]*\])?\s*([\w+#-]+)")
DEFINITION = re.compile(
    r"\\(?:re|provide|Declare\w*)?(?:new)?[cC]ommand\*?\s*\{?\s*\\(?P<name>[A-Za-z]+)\s*\}?\s*(?:\[(?P<count>\d)\])?"
    r"\s*(?:\[(?P<default>[^\]]*)\])?\s*(?=\{)|\\def\s*\\(?P<def>[A-Za-z]+)(?P<hash>(?:#\d)*)\s*(?=\{)"
)
ENVIRONMENT = re.compile(r"\\(?:re)?newenvironment\*?\s*\{[^{}\n]{0,100}\}\s*(?:\[[^\[\]]{0,300}\]\s*){0,9}(?=\{)")
THEOREM = re.compile(r"\\newtheorem\*?\s*\{([^{}]{1,100})\}\s*(?:\[[^\[\]]{0,100}\])?\s*\{([^{}]{1,300})\}")
OPTIONS = re.compile(
    r"(\\(?!item|sqrt|cite|footnote|caption|section|def)[A-Za-z]+\*?(?:\{Form\})?)\[[^\]\[{}\n]*=[^\]\n]*\]"
)
SIZES = re.compile(
    r"\\(?:parindent|parskip|textwidth|textheight|oddsidemargin|evensidemargin|topmargin|baselineskip|itemsep|parsep)"
    r"\s*=?\s*-?[\d.]+\s*(?:pt|cm|mm|in|em|ex|truein)\b"
)
SKIP = re.compile(  # a distance, which is no text: \vskip 0.5\baselineskip plus 1fil
    r"\\(?:[vhm]skip|m?kern)\s*-?\s*(?:[\d.]+\s*(?:(?:pt|cm|mm|in|em|ex|mu|bp|sp|pc|truein|fil+)\b|\\[a-zA-Z]+)|\\[a-zA-Z]+)"
    r"(?:\s*(?:plus|minus)\s*-?[\d.]+\s*(?:pt|cm|mm|in|em|ex|mu|fil+)\b)*"
)
INPUT = re.compile(r"\\(input|include)[ \t]+([\w./-]+)")  # without braces, as TeX has it
CONDITION = re.compile(r"\\if[a-zA-Z]*((?:(?!\\if[a-zA-Z]|\\fi\b).)*)\\fi\b", re.DOTALL)  # one with none in it
ELSE = re.compile(r"\\else\b\s*")
CSNAME = re.compile(r"\\csname\b.*?\\endcsname\b", re.DOTALL)
FIELD = r"\\{}\s*(?:\[[^\[\]]{{0,500}}\])?\s*(?=\{{)"
FILES = re.compile(r"\\(?:input|include|subfile|lstinputlisting(?:\[[^\[\]]{0,500}\])?)\s*\{([^{}]{1,500})\}")
BRACE = re.compile(r"\\.|[{}]", re.DOTALL)
DOLLAR = re.compile(r"\\.|\$\$?", re.DOTALL)
LONE = r"{\relax }"  # in place of a brace that never closes
DISPLAY = re.compile(rf"\\begin\{{(?P<name>(?:{'|'.join(sorted(FORMULAS))})\*?)\}}")
PARAGRAPH = re.compile(r"(\n[ \t]*\n)")
BEGIN, END = r"\begin{document}", r"\end{document}"
MAX_MACROS, MAX_NESTED = 1_000, 20
MARK = r"\thumbtune"


@dataclass(frozen=True, slots=True)
class Code:
    """Code that was put aside: its text, its language, and how it was written."""

    text: str
    language: str = ""
    raw: str = ""


@dataclass(frozen=True, slots=True)
class Macro:
    r"""What \newcommand defines; `optional` is whether the first argument has a default."""

    body: str
    arguments: int = 0
    optional: bool = False
    default: str = ""


@dataclass(slots=True)
class Source:
    """A file without comments and definitions; \\thumbtunecode{n} and \\thumbtuneverb{n} stand for `code[n]`."""

    body: str = ""
    title: str = ""
    author: str = ""
    date: str = ""
    code: list[Code] = field(default_factory=list)
    macros: dict[str, Macro] = field(default_factory=dict)
    theorems: dict[str, str] = field(default_factory=dict)
    files: list[str] = field(default_factory=list)


def read_source(text: str) -> Source:
    """Return a file's parts."""
    source = Source()
    text = text.replace(MARK, r"\textbackslash " + MARK[1:])  # the file's own, such as in a text about this program
    text = _put_code_aside(text, source.code)
    text = SKIP.sub(" ", INPUT.sub(r"\\\1{\2}", text))
    start = max(text.find(BEGIN), 0)
    text = _pair_braces(text[:start]) + _end_formulas(_pair_dollars(_pair_braces(text[start:])))
    text = _take_definitions(SIZES.sub("", OPTIONS.sub(r"\1", text)), source)
    source.theorems = dict(THEOREM.findall(text))
    source.files = [name.strip() for name in FILES.findall(text)]
    for name in ("title", "author", "date"):
        found = [group_at(text, match.end())[0] for match in re.finditer(FIELD.format(name), text)]
        setattr(source, name, r" \and ".join(found if name == "author" else found[:1]))  # journals: a command each
    start = text.find(BEGIN)
    if start >= 0:
        text = text[start + len(BEGIN) :]
        end = text.rfind(END)
        text = text[:end] if end >= 0 else text
    source.body = text
    return source


def _put_code_aside(text: str, code: list[Code]) -> str:
    """Return a text without comments and with marks for its code. An environment that never ends is read as text."""
    parts, place, copied = list[str](), 0, 0
    endless = set[str]()
    while found := SCAN.search(text, place):
        place, opened = found.end(), found["env"] or found["iffalse"]
        if found["escape"] or opened in endless:
            continue
        if not opened:
            parts += [text[copied : found.start()], _inline_code(found, code)]
            copied = place
            continue
        end = _end_of(text, found["env"], place)
        if end is None:
            endless.add(opened)
            continue
        parts.append(text[copied : found.start()])
        if found["env"] and found["env"] != "comment":
            parts.append(_block_code(found["env"], text[place : end[0]], text[found.start() : end[1]], code))
        place = copied = end[1]
    return "".join([*parts, text[copied:]])


def _end_of(text: str, environment: str | None, start: int) -> tuple[int, int] | None:
    """Return where the end of an environment, or the \\fi of \\iffalse, begins and ends; None if there is none."""
    if environment is None:
        found = FI.search(text, start)
        return found.span() if found else None
    end = rf"\end{{{environment}}}"
    at = text.find(end, start)
    return (at, at + len(end)) if at >= 0 else None


def _inline_code(found: re.Match[str], code: list[Code]) -> str:
    if found["mark"] or found["braced"] is not None:
        code.append(Code(found["verb"] if found["mark"] else found["braced"], raw=found[0]))
        return f"\\thumbtuneverb{{{len(code) - 1}}}"
    return ""


def _block_code(environment: str, body: str, raw: str, code: list[Code]) -> str:
    leading = LEADING.match(body) if environment in ("lstlisting", "minted", "Verbatim") else None
    named = LANGUAGE.search((leading["options"] or "") if leading else "")
    language = ((leading["language"] or "") if leading else "") or (named[1] if named else "")
    body = body[leading.end() :] if leading else body.removeprefix("\n")
    code.append(Code(body.rstrip(), language.lower(), raw))
    return f"\n\\thumbtunecode{{{len(code) - 1}}}\n"


def _pair_braces(text: str) -> str:
    """Return a text where a brace that never closes is an empty group, and one that closes nothing a space."""
    lone, opened = dict[int, str](), list[int]()
    for found in BRACE.finditer(text):
        if found[0] == "{":
            opened.append(found.start())
        elif found[0] == "}" and opened:
            opened.pop()
        elif found[0] == "}":
            lone[found.start()] = " "
    lone |= dict.fromkeys(opened, LONE)
    parts, copied = list[str](), 0
    for place in sorted(lone):
        parts += [text[copied:place], lone[place]]
        copied = place + 1
    return "".join([*parts, text[copied:]])


def _pair_dollars(text: str) -> str:
    """Return a text where a $ that has no partner in its paragraph, as TeX wants it, is a sign of dollars."""
    parts = PARAGRAPH.split(text)
    for at, part in enumerate(parts):
        lone, opened = list[re.Match[str]](), list[re.Match[str]]()
        for found in DOLLAR.finditer(part):
            if found[0][0] != "$":
                continue
            if opened and found[0] == opened[0][0]:
                opened.clear()
            elif opened and opened[0][0] == "$$":
                lone.append(found)
            else:
                opened[:] = [found]  # or `$a$$b$`: one formula ends where the next begins
        for found in sorted([*lone, *opened], key=lambda each: -each.start()):
            part = part[: found.start()] + found[0].replace("$", r"\$") + part[found.end() :]
        parts[at] = part
    return "".join(parts)


def _end_formulas(text: str) -> str:
    """Return a text where each display that has no end has it at the end of its paragraph, as TeX wants it."""
    parts, copied = list[str](), 0
    for found in DISPLAY.finditer(text):
        if found.start() < copied:
            continue
        end = rf"\end{{{found['name']}}}"
        ends = re.compile(rf"(?<!\\)(?:\\\\)*{re.escape(end)}")
        blank = PARAGRAPH.search(text, found.end())
        place = blank.start() if blank else len(text)
        if not ends.search(text, found.end(), place) and _is_another(text, found, ends.search(text, place)):
            parts += [text[copied:place], end]
            copied = place
    return "".join([*parts, text[copied:]])


def _is_another(text: str, begin: re.Match[str], end: re.Match[str] | None) -> bool:
    """Return whether the end that follows the paragraph of a display is not its own: another's, or there is none."""
    return end is None or text.find(begin[0], begin.end(), end.start()) >= 0


def _take_definitions(text: str, source: Source) -> str:
    r"""Return a text without its \newcommand, \def and \newenvironment, the first two collected."""
    parts, position = list[str](), 0
    while found := DEFINITION.search(text, position):
        body, end = group_at(text, found.end())
        parts.append(text[position : found.start()])
        position = max(end, found.end())
        name, body = found["name"] or found["def"], _without_conditions(body)
        count = int(found["count"] or 0) if found["name"] else (found["hash"] or "").count("#")
        if len(source.macros) < MAX_MACROS and f"\\{name}" not in body and f"{{{body}}}" != LONE:
            has_default = found["default"] is not None
            source.macros[name] = Macro(body, count, has_default, found["default"] or "")
    parts.append(text[position:])
    text = "".join(parts)
    parts, position = [], 0
    while found := ENVIRONMENT.search(text, position):
        parts.append(text[position : found.start()])
        _, end = group_at(text, found.end())
        while end < len(text) and text[end].isspace():
            end += 1
        _, position = group_at(text, end)
        position = max(position, found.end())
    return "".join([*parts, text[position:]])


def _without_conditions(body: str) -> str:
    r"""Return what a macro writes where no condition holds: the text after \else; names made by \csname are none."""
    for _ in range(MAX_NESTED):
        body, found = CONDITION.subn(lambda each: "".join(ELSE.split(each[1], maxsplit=1)[1:]), body)
        if not found:
            break
    return CSNAME.sub("", body)


def group_at(text: str, start: int) -> tuple[str, int]:
    """Return what stands in the braces that open at `start`, and the place after them; ("", start) if none does."""
    if text[start : start + 1] != "{":
        return "", start
    depth, position = 0, start
    while position < len(text):
        char = text[position]
        if char == "\\":
            position += 2
            continue
        depth += (char == "{") - (char == "}")
        position += 1
        if depth == 0:
            return text[start + 1 : position - 1], position
    return text[start + 1 :], len(text)
