"""Read what an OpenDocument file embeds: charts with their values, formulas as one line, the values of form fields."""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy

from rag.loaders.builder import DocumentBuilder
from rag.loaders.opendocument.package import Element, OpenDocument, child, count_of, full, get, name_of
from rag.loaders.symbols import EMPTY, TICKED
from rag.loaders.web.mathml import math_to_text

MAX_VALUES = 2_000  # of a chart that are written; one with more is data
MAX_COLUMNS = 1_000  # of a chart's table
VALUES = ("form:current-value", "form:value", "form:date-value")
WITH_VALUE = ("text", "textarea", "formatted-text", "date", "time", "number", "value-range", "combobox")


def formula_text(root: Element) -> str:
    """Return an embedded formula on one line, "" if the object is none."""
    if name_of(root) != "math:math":
        return ""
    plain = deepcopy(root)
    for element in plain.iter():
        if isinstance(element.tag, str):
            element.tag = element.tag.rpartition("}")[2]
    return math_to_text(plain)


def write_chart(builder: DocumentBuilder, root: Element, with_values: bool = True) -> None:
    """Write the titles of an embedded chart and, as a table, its values; nothing if the object is no chart."""
    chart = next(root.iter(full("chart:chart")), None)
    if chart is None:
        return
    titles = [" ".join(" ".join(each.itertext()).split()) for each in chart.iter(full("chart:title"))]
    table = next(chart.iter(full("table:table")), None)
    rows = list(_rows(table)) if table is not None and with_values else []
    if sum(map(len, rows)) > MAX_VALUES:
        rows = []
    if rows and not rows[0][0]:
        rows[0][0] = "Category"
    builder.add(f"Chart: {' – '.join(filter(None, titles))}".strip() if any(titles) or rows else "")
    builder.table(rows, has_header=True)


def _rows(table: Element) -> Iterator[list[str]]:
    for row in table.iter(full("table:table-row")):
        cells = list[str]()
        for cell in row:
            if name_of(cell) == "table:table-cell":
                cells += [_value(cell)] * min(count_of(cell, "table:number-columns-repeated"), MAX_COLUMNS)
        if cells:
            yield cells


def _value(cell: Element) -> str:
    """Return a chart's value as people write it: 0.3 for 0.30000000000000004; one that is missing is ""."""
    text = " ".join("".join(cell.itertext()).split())
    try:
        number = float(text)
    except ValueError:
        return text
    return "" if number != number else f"{number:.10g}"  # NaN stands for an empty cell


def form_fields(document: OpenDocument) -> dict[str, str]:
    """Return what is filled into each form field by its id: its value, or ☒ or ☐ and the label."""
    fields = dict[str, str]()
    for form in document.body.iter(full("office:forms")):
        for field in form.iter():
            name = name_of(field)
            if name.startswith("form:") and (key := get(field, "xml:id") or get(field, "form:id")):
                fields[key] = _filled(field, name.removeprefix("form:"))
    return fields


def _filled(field: Element, kind: str) -> str:
    label = get(field, "form:label") or get(field, "form:name")
    if kind in ("checkbox", "radio"):
        states = ("form:current-state", "form:state") if kind == "checkbox" else ("form:current-selected",
                                                                                  "form:selected")  # fmt: skip
        state = next(filter(None, (get(field, each) for each in states)), "")
        return f"{TICKED if state in ('checked', 'true') else EMPTY} {label}".strip()
    if kind == "fixed-text":
        return label
    value = next(filter(None, (get(field, each) for each in VALUES)), "") if kind in WITH_VALUE else ""
    if kind == "listbox":
        chosen = [get(each, "form:label") for each in field if get(each, "form:current-selected") == "true"]
        chosen = chosen or [get(each, "form:label") for each in field if get(each, "form:selected") == "true"]
        value = ", ".join(chosen)
    return value  # its label stands next to it, as text


def comment_text(annotation: Element, where: str = "") -> str:
    """Return a comment as one line with its author; `where` is the cell that it is about."""
    author = "".join(child(annotation, "dc:creator").itertext()) if child(annotation, "dc:creator") is not None else ""
    lines = (" ".join("".join(each.itertext()).split()) for each in annotation.iter(full("text:p")))
    text = " ".join(filter(None, lines))
    by = f" by {author.strip()}" if author.strip() else ""
    return f"Comment{by}{f' on {where}' if where else ''}: {text}" if text else ""
