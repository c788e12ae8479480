"""Replace formulas in Word and PowerPoint XML by one line of text: a fraction as a/b, an exponent as x^2.

Why: mammoth and python-pptx drop formulas silently, so "The energy is E=mc^2" became "The energy is". python-pptx even
drops the whole text box around a formula, because it is in an <mc:AlternateContent> with a picture for old programs.
"""

from __future__ import annotations

import re

from lxml import etree

WORD, SLIDE = b'<w:r><w:t xml:space="preserve">%s</w:t></w:r>', b"<a:r><a:t>%s</a:t></a:r>"
# No pattern matches past the next opening tag of its kind, or a crafted file would take quadratic time.
WRAPPER = re.compile(
    rb"</?(?:m:oMathPara|a14:m)(?:\s[^<>]*)?>|<m:oMathParaPr>(?:(?!<m:oMathParaPr>).)*?</m:oMathParaPr>", re.DOTALL
)
FORMULA = re.compile(rb"<m:oMath(?:\s[^<>]*)?>((?:(?!<m:oMath[\s>]).)*?)</m:oMath>", re.DOTALL)
PART = re.compile(
    rb"<m:(den|sup|sub|rad|e)(?:\s[^<>]*)?(?<!/)>|<m:t(?:\s[^<>]*)?>([^<]*)</m:t>|<m:chr m:val=\"([^\"<>]*)\""
)
MARKS = {b"den": b"/", b"sup": b"^", b"sub": b"_", b"rad": "√".encode()}
COMPATIBILITY = "{http://schemas.openxmlformats.org/markup-compatibility/2006}"


def word_math_to_text(xml: bytes) -> bytes:
    """Return an XML part of a Word file with its formulas as text runs."""
    return _as_runs(xml, WORD)


def slide_math_to_text(xml: bytes) -> bytes:
    """Return an XML part of a PowerPoint file with formulas as text runs, each AlternateContent as its first choice."""
    return _as_runs(_first_choice(xml) if b"AlternateContent" in xml else xml, SLIDE)


def _as_runs(xml: bytes, run: bytes) -> bytes:
    """Return the XML with each formula as one run; `run` is the template of a run."""
    if b"<m:oMath" not in xml:
        return xml
    return FORMULA.sub(lambda found: run % _line(found[1]), WRAPPER.sub(b"", xml))


def _line(formula: bytes) -> bytes:
    """Return the text of a formula with /, ^, _ and √ where its structure has them."""
    line = mark = b""
    for part in PART.finditer(formula):
        if part[1]:
            mark = MARKS.get(part[1], b"")
        elif sign := part[2] or part[3]:  # part[3] is the sign of a sum or an integral
            line += mark + sign
            mark = b""
    return line


def _first_choice(xml: bytes) -> bytes:
    """Return the XML with each mc:AlternateContent replaced by the content of its mc:Choice."""
    root = etree.fromstring(xml, etree.XMLParser(recover=True, resolve_entities=False, no_network=True))
    for alternatives in list(root.iter(f"{COMPATIBILITY}AlternateContent") if root is not None else ()):
        choice = alternatives.find(f"{COMPATIBILITY}Choice")
        for element in list(choice if choice is not None else ()):
            alternatives.addprevious(element)
        alternatives.getparent().remove(alternatives)
    return xml if root is None else bytes(etree.tostring(root))
