"""Turn Word's tick boxes, form fields, symbol fonts and readings above characters into plain text runs."""

from __future__ import annotations

import re

from lxml import etree

from rag.loaders.office.ooxml import Element, attribute, child, is_on, local
from rag.loaders.symbols import EMPTY, FONTS, TICKED, sign_of

W = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"
SPACE = "{http://www.w3.org/XML/1998/namespace}space"


def text_run(text: str, style: str = "") -> Element:
    """Return a run of text in a character style."""
    run = etree.Element(f"{W}r")
    if style:
        etree.SubElement(etree.SubElement(run, f"{W}rPr"), f"{W}rStyle").set(f"{W}val", style)
    written = etree.SubElement(run, f"{W}t")
    written.text = text
    written.set(SPACE, "preserve")
    return run


def tick_of(control: Element) -> bool | None:
    """Return whether a content control is a ticked box; None if it is no tick box."""
    box = child(control, "sdtPr", "checkbox")
    return None if box is None else child(box, "checked") is not None and is_on(child(box, "checked"))


def write_tick(control: Element) -> None:
    """Put ☒ or ☐ in place of what a tick box holds."""
    sign = TICKED if tick_of(control) else EMPTY
    child(control, "sdtPr").clear()
    content = child(control, "sdtContent")
    if content is None:
        content = etree.SubElement(control, f"{W}sdtContent")
    shown = list(content.iter(f"{W}t", f"{W}sym"))
    for each in shown[1:]:
        each.getparent().remove(each)
    if shown:
        shown[0].tag, shown[0].text = f"{W}t", sign
    else:
        place = next(content.iter(f"{W}p"), content)
        place.append(text_run(sign))


def write_form_field(mark: Element) -> None:
    """Write a run with the state of a legacy form field before it: a tick box, or the choice of a drop-down list."""
    data, run = child(mark, "ffData"), mark.getparent()
    box, choices = child(data, "checkBox"), child(data, "ddList")
    if attribute(mark, "fldCharType") != "begin" or local(run) != "r":
        return
    if box is not None:
        state = child(box, "checked") if child(box, "checked") is not None else child(box, "default")
        run.addprevious(text_run(TICKED if is_on(state) else EMPTY))
        data.remove(box)
    elif choices is not None:
        entries = [attribute(each, "val") for each in choices if local(each) == "listEntry"]
        chosen = attribute(child(choices, "result"), "val") or attribute(child(choices, "default"), "val") or "0"
        if chosen.isdigit() and int(chosen) < len(entries):
            run.addprevious(text_run(entries[int(chosen)]))


def write_ruby(ruby: Element) -> None:
    """Replace characters with a reading above them by the characters and the reading in brackets."""
    base, above = ("".join(child(ruby, name).itertext(f"{W}t")) if child(ruby, name) is not None else ""
                   for name in ("rubyBase", "rt"))  # fmt: skip
    ruby.tag, ruby.text = f"{W}t", f"{base} ({above})" if above else base
    for each in list(ruby):
        ruby.remove(each)


def write_symbol(element: Element) -> None:
    """Write the signs of symbol fonts, stored as letters or as private characters, as what they look like."""
    if local(element) == "sym":
        code = attribute(element, "char")
        sign = sign_of(attribute(element, "font"), int(code, 16)) if re.fullmatch(r"[0-9A-Fa-f]{1,6}", code) else ""
        if sign:
            element.tag, element.text = f"{W}t", sign
        return
    font = attribute(child(element.getparent(), "rPr", "rFonts"), "ascii")
    if font.strip().lower() in FONTS:
        element.text = "".join(sign_of(font, ord(letter)) or letter for letter in element.text)


def fill_row(before: Element) -> None:
    """Put an empty cell at the begin of a table row that starts further to the right."""
    row, width = before.getparent().getparent(), attribute(before, "val")
    if local(row) != "tr" or not width.isdigit() or not 0 < int(width) < 64:
        return
    cell = etree.Element(f"{W}tc")
    etree.SubElement(etree.SubElement(cell, f"{W}tcPr"), f"{W}gridSpan").set(f"{W}val", width)
    etree.SubElement(cell, f"{W}p")
    before.getparent().addnext(cell)
