"""Formulas in office files -> runs of text within their XML, in one line: a fraction as a/b, an exponent as x^2.

What reads these files leaves formulas out without a word, and "The energy is E=mc^2" became "The energy is". On a slide
even the whole box around one was left out: it stands in an <mc:AlternateContent>, beside a picture for old programs.
"""

from __future__ import annotations

import re

from lxml import etree

WORD, SLIDE = b'<w:r><w:t xml:space="preserve">%s</w:t></w:r>', b"<a:r><a:t>%s</a:t></a:r>"
# No pattern looks beyond the next opening of its kind: forged files would else take for ever.
AROUND = re.compile(
    rb"</?(?:m:oMathPara|a14:m)(?:\s[^<>]*)?>|<m:oMathParaPr>(?:(?!<m:oMathParaPr>).)*?</m:oMathParaPr>", re.DOTALL
)
FORMULA = re.compile(rb"<m:oMath(?:\s[^<>]*)?>((?:(?!<m:oMath[\s>]).)*?)</m:oMath>", re.DOTALL)
PART = re.compile(
    rb"<m:(den|sup|sub|rad|e)(?:\s[^<>]*)?(?<!/)>|<m:t(?:\s[^<>]*)?>([^<]*)</m:t>|<m:chr m:val=\"([^\"<>]*)\""
)
MARKS = {b"den": b"/", b"sup": b"^", b"sub": b"_", b"rad": "√".encode()}
COMPATIBILITY = "{http://schemas.openxmlformats.org/markup-compatibility/2006}"


def word_math_to_text(xml: bytes) -> bytes:
    """Return a part of a Word file with its formulas as text."""
    return _as_runs(xml, WORD)


def slide_math_to_text(xml: bytes) -> bytes:
    """Return a part of a PowerPoint file with its formulas as text, and of alternatives what today's programs show."""
    return _as_runs(_chosen(xml) if b"AlternateContent" in xml else xml, SLIDE)


def _as_runs(xml: bytes, run: bytes) -> bytes:
    if b"<m:oMath" not in xml:
        return xml
    return FORMULA.sub(lambda found: run % _line(found[1]), AROUND.sub(b"", xml))


def _line(formula: bytes) -> bytes:
    line = mark = b""
    for part in PART.finditer(formula):
        if part[1]:
            mark = MARKS.get(part[1], b"")
        elif sign := part[2] or part[3]:  # the latter is that of a sum or an integral
            line += mark + sign
            mark = b""
    return line


def _chosen(xml: bytes) -> bytes:
    root = etree.fromstring(xml, etree.XMLParser(recover=True, resolve_entities=False, no_network=True))
    for both in list(root.iter(f"{COMPATIBILITY}AlternateContent") if root is not None else ()):
        choice = both.find(f"{COMPATIBILITY}Choice")
        for element in list(choice if choice is not None else ()):
            both.addprevious(element)
        both.getparent().remove(both)
    return xml if root is None else bytes(etree.tostring(root))
