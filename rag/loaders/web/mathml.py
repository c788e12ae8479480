r"""Write MathML as one line of text: E = mc^2, (a + b)/2, sqrt(x). TeX that the page carries along is preferred.

Why TeX: pages made from it keep the source in an annotation, and people search for what they would write.
"""

from __future__ import annotations

from typing import Any

Element = Any  # lxml ships no types
TEX = "application/x-tex"
FORMS = {
    ("mfrac", 2): "{}/{}",
    **dict.fromkeys((("msup", 2), ("mover", 2)), "{}^{}"),
    **dict.fromkeys((("msub", 2), ("munder", 2)), "{}_{}"),
    **dict.fromkeys((("msubsup", 3), ("munderover", 3)), "{}_{}^{}"),
    ("mroot", 2): "root({1}, {0})",
}
SPACED = frozenset("=+-−≤≥<>→≈≠∈·×")


def math_to_text(math: Element) -> str:
    """Return a formula on one line: its TeX where the page has it, else what MathML's elements say."""
    for annotation in math.iter("annotation"):
        if annotation.get("encoding") == TEX and annotation.text:
            return " ".join(annotation.text.split())
    if math.get("alttext"):
        return " ".join(math.get("alttext").split())
    return " ".join(_linear(math).split())


def _linear(node: Element) -> str:
    tag = node.tag.rpartition(":")[2] if isinstance(node.tag, str) else ""
    parts = [_linear(child) for child in node if isinstance(child.tag, str)]
    if tag in ("annotation", "annotation-xml", "mphantom"):
        return ""
    if tag == "mo":
        sign = (node.text or "").strip()
        return f" {sign} " if sign in SPACED else sign
    form = FORMS.get((tag, len(parts)))
    if form:
        return form.format(*map(_group, parts))
    if tag == "msqrt":
        return f"sqrt({''.join(parts).strip()})"
    if tag == "mtr":
        return ", ".join(part.strip() for part in parts) + "; "
    own = (node.text or "").strip() if not parts else ""
    return own + "".join(parts)


def _group(part: str) -> str:
    part = part.strip()
    return part if len(part) == 1 or part.isalnum() else f"({part})"
