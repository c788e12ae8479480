"""HTML for a page of our own beside Chainlit's: a few pieces, all of which show text as the text it is.

The idea a reader would miss: names of documents and questions are other people's text. Whatever is not made here goes
through `text`, and what a script gets is JSON that cannot close its own tag.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

from rag.settings import ROOT

Html = str
THEME = ROOT / "public" / "theme.json"  # the chat's colours
LISTED = 20  # names or questions of one kind
LONGEST = 300  # characters of one of them
BEFORE_DRAWN = """
try { document.documentElement.dataset.theme = localStorage.getItem('vite-ui-theme') ?? '' } catch { /* no storage */ }
"""
PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title} · thumbtune</title>
<link rel="icon" href="/public/favicon.svg">
<style>{theme}</style>
<link rel="stylesheet" href="/public/scoreboard.css">
<script>{early}</script>
</head>
<body>
<header><a href="/">← Back to the chat</a><h1>{title}</h1></header>
<main>
<noscript><p class="note">{no_charts}</p></noscript>
<p class="note" id="no-charts" hidden>{no_charts}</p>
{body}
</main>
<footer>{footer}</footer>
<script type="application/json" id="figures">{figures}</script>
<script src="{plotly}" defer></script>
<script src="/public/scoreboard.js" defer></script>
</body>
</html>
"""
NO_CHARTS = "The charts cannot be drawn in this browser. Every number of theirs stands in the tables."


def text(value: object) -> Html:
    """Return text as HTML that shows just that."""
    return escape(str(value))


def page(title: str, sections: Iterable[Html], footer: str, figures: Mapping[str, Any], plotly: str) -> Html:
    """Return the page; `plotly` is the address of the script that draws the figures."""
    return PAGE.format(
        title=text(title),
        theme=theme_css(json.loads(THEME.read_text("utf-8"))["variables"]),
        early=BEFORE_DRAWN,
        no_charts=text(NO_CHARTS),
        body="\n".join(sections),
        footer=text(footer),
        figures=json.dumps(figures).replace("<", "\\u003c"),
        plotly=text(plotly),
    )


def theme_css(variables: Mapping[str, Mapping[str, str]]) -> str:
    """Return the chat's colours as CSS: light, and dark where the chat or else the system says so."""
    light, dark = (";".join(f"{name}:{value}" for name, value in variables[mode].items()) for mode in ("light", "dark"))
    return (
        f":root{{color-scheme:light;{light}}}"
        f":root[data-theme=dark]{{color-scheme:dark;{dark}}}"
        f"@media(prefers-color-scheme:dark){{:root:not([data-theme=light]){{color-scheme:dark;{dark}}}}}"
    )


def section(name: str, title: str, *parts: Html) -> Html:
    """Return a section under a heading; empty parts are left out."""
    body = "\n".join(filter(None, parts))
    heading = f'<h2 id="{name}-title">{text(title)}</h2>'
    return f'<section id="{name}" aria-labelledby="{name}-title">\n{heading}\n{body}\n</section>'


def paragraph(words: str) -> Html:
    """Return a paragraph of running text."""
    return f"<p>{text(words)}</p>"


def note(words: str) -> Html:
    """Return what there is to say where there is nothing to show."""
    return f'<p class="note">{text(words)}</p>'


def chart(name: str, label: str, figures: Mapping[str, Any]) -> Html:
    """Return the place where a figure is drawn, if there is one of this name."""
    if name not in figures:
        return ""
    return f'<div class="chart" data-figure="{name}" role="img" aria-label="{text(label)}"></div>'


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> Html:
    """Return a table; the first cell of a row names it. A wide one scrolls in itself."""
    top = "".join(f'<th scope="col">{text(cell)}</th>' for cell in head)
    body = "".join(
        f'<tr><th scope="row">{text(first)}</th>{"".join(f"<td>{text(cell)}</td>" for cell in rest)}</tr>'
        for first, *rest in rows
    )
    return f'<div class="box" tabindex="0"><table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table></div>'


def details(title: str, body: Html) -> Html:
    """Return what is shown after a click."""
    return f"<details><summary>{text(title)}</summary>{body}</details>"


def listed(what: str, names: Sequence[str]) -> Html:
    """Return how many there are, with the first of them behind a click."""
    if not names:
        return paragraph(f"0 {what}.")
    more = f"<li>and {len(names) - LISTED:,} more</li>" if len(names) > LISTED else ""
    items = "".join(f"<li>{text(name[:LONGEST])}</li>" for name in names[:LISTED])
    return details(f"{len(names):,} {what}", f"<ul>{items}{more}</ul>")
