"""Escape text for Markdown, and render a report as one self-contained HTML page.

Why everything is escaped: queries and chunks are untrusted text, and must be shown exactly, neither rendered nor lost.
All Markdown syntax in them is escaped, raw HTML is off, and the page's CSP forbids loading or running anything.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from markdown_it import MarkdownIt
from markdown_it.token import Token
from markdown_it.utils import OptionsDict

INVISIBLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
INLINE = re.compile(r"[\\`*<|~$&]|(?<=\])\(|(?<![^\W_])_|_(?![^\W_])")  # an underscore within a word is not markup
LINE_START = re.compile(r"^(\d{1,9})?([#+\-.)>\[])")

POLICY = "default-src 'none'; style-src 'unsafe-inline'"
STYLE = """
:root { color-scheme: light dark; --ink: #1f2328; --soft: #59636e; --line: #d1d9e0; --band: #f6f8fa; --paper: #fff }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6edf3; --soft: #9198a1; --line: #3d444d; --band: #161b22; --paper: #0d1117 }
}
* { box-sizing: border-box }
body { margin: 0 auto; max-width: 62rem; padding: 1.5rem 1rem 4rem; background: var(--paper); color: var(--ink);
  font: 16px/1.55 system-ui, sans-serif; overflow-wrap: anywhere }
h1 { margin: 0 0 1rem; font-size: 1.7rem; line-height: 1.25 }
h2 { margin: 2.6rem 0 .8rem; padding-bottom: .3rem; border-bottom: 1px solid var(--line); font-size: 1.25rem }
h3 { margin: 1.8rem 0 .5rem; font-size: 1rem }
code { padding: .1em .35em; border-radius: 4px; background: var(--band); font: .88em ui-monospace, monospace }
h1 + p > code { display: block; padding: .8rem 1rem; border: 1px solid var(--line); font-size: .95rem }
ul { padding-left: 1.3rem }
.box { margin: .8rem 0; overflow-x: auto }
table { width: max-content; border-collapse: collapse; font-size: .875rem; font-variant-numeric: tabular-nums;
  overflow-wrap: normal }
th, td { padding: .35rem .7rem; border: 1px solid var(--line); text-align: left; vertical-align: top }
th { background: var(--band); font-weight: 600 }
td { min-width: 3.2rem; max-width: min(24rem, 70vw); overflow-wrap: break-word }
svg { display: block; width: 100%; max-width: 36rem; height: auto; color: var(--ink) }
@media print { body { max-width: none; font-size: 11pt } .box { overflow: visible } table { font-size: 8pt }
  tr, svg { break-inside: avoid } }
"""


def plain(text: str) -> str:
    """Escape a text for one line of Markdown or a table cell: no markup, no line break."""
    return INLINE.sub(r"\\\g<0>", " ".join(INVISIBLE.sub(" ", text).split()))


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table; the cells must be Markdown already."""
    return "\n".join(f"| {' | '.join(line)} |" for line in [head, ["---"] * len(head), *rows])


def bullets(values: Mapping[str, object] | Sequence[str]) -> str:
    """Return a Markdown list of "name: value", or of sentences; escapes both."""
    lines = [f"{name}: {value}" for name, value in values.items()] if isinstance(values, Mapping) else values
    return "\n".join(f"- {_not_a_block(plain(line))}" for line in lines)


def to_html(markdown: str, title: str, plots: Mapping[str, str]) -> str:
    """Render the HTML page; an image named in `plots` is replaced by that inline SVG."""
    writer = MarkdownIt("commonmark", {"html": False}).enable("table")

    def image(self: Any, tokens: Sequence[Token], at: int, options: OptionsDict, env: Any) -> str:  # noqa: ANN401
        return plots[str(tokens[at].attrs["src"])]

    writer.add_render_rule("image", image)
    writer.add_render_rule("table_open", lambda *_: '<div class="box" tabindex="0"><table>\n')
    writer.add_render_rule("table_close", lambda *_: "</table></div>\n")
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">\n'
        f"<title>{escape(title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<main>\n"
        f"{writer.render(markdown)}</main>\n</body>\n</html>\n"
    )


def _not_a_block(text: str) -> str:
    """Escape a line start that would open a heading, list, quote or code block."""
    return LINE_START.sub(r"\1\\\2", text)
