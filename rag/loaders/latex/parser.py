r"""Parse LaTeX by pylatexenc, such that arguments which never end take no text with them.

pylatexenc reads an argument whose end is missing up to the end of the file, and then, where another one should follow,
the same text once more: twice for each of them within another, which is for ever. TeX stops with an error. Here braces
are in pairs (source.py), and a bracket that nothing closes in its paragraph is text.
"""

from __future__ import annotations

import re
from functools import cache
from typing import Any

from rag.loaders.latex.nodes import Node

LONGEST = 1_000  # characters of an argument in brackets
BRACKET = re.compile(r"\\end\b|\\.|[{}\[\]]|\n[ \t]*\n", re.DOTALL)


def parse(text: str, context: Any) -> list[Node]:  # noqa: ANN401  # pylatexenc ships no types
    """Return the nodes of a text by the commands of a context. Raises what pylatexenc does, IndexError among it."""
    walker = _walker()(text, latex_context=context, tolerant_parsing=True)
    return list(walker.get_latex_nodes()[0] or ())


def is_closed(text: str, start: int) -> bool:
    """Return whether the bracket that opens at `start` is closed in its paragraph, group and environment."""
    braces = brackets = 0
    for found in BRACKET.finditer(text, start, start + LONGEST):
        mark = found[0]
        braces += (mark == "{") - (mark == "}")
        brackets += (mark == "[") - (mark == "]") if braces == 0 else 0
        if brackets == 0 or braces < 0 or mark == r"\end" or mark[0] == "\n":
            return brackets == 0
    return False


@cache
def _walker() -> type[Any]:
    from pylatexenc.latexwalker import LatexWalker  # slow to import, and few folders hold LaTeX

    class Walker(LatexWalker):  # type: ignore[misc]
        """A LatexWalker for which a bracket that is not closed opens no argument."""

        def get_latex_maybe_optional_arg(self, pos: int, parsing_state: Any = None) -> Any:  # noqa: ANN401
            place = pos
            while self.s[place : place + 1].isspace():
                place += 1
            if self.s[place : place + 1] == "[" and not is_closed(self.s, place):
                return None
            return super().get_latex_maybe_optional_arg(pos, parsing_state)

    return Walker
