"""The nodes of pylatexenc: a command's arguments, and how they are written."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from rag.loaders.decoding import line_of

Node = Any  # pylatexenc ships no types
BREAK = "\0"  # stands for a line break: no text contains a NUL


def argument_of(node: Node, at: int) -> list[Node]:
    """Return the nodes of a macro's argument, [] if it has none there."""
    arguments = node.nodeargd.argnlist if node.nodeargd is not None and node.nodeargd.argnlist else []
    chosen = arguments[at] if at < len(arguments) else None
    if chosen is None:
        return []
    return list(chosen.nodelist) if type(chosen).__name__ == "LatexGroupNode" else [chosen]


def last_argument(node: Node) -> list[Node]:
    """Return the nodes of a command's last argument, [] if it has none."""
    arguments = node.nodeargd.argnlist if node.nodeargd is not None and node.nodeargd.argnlist else []
    return argument_of(node, len(arguments) - 1) if arguments else []


def written(nodes: Iterable[Node]) -> str:
    """Return nodes as the file has them."""
    return "".join(each.latex_verbatim() for each in nodes)


def has_words(nodes: Sequence[Node]) -> bool:
    """Return whether an argument is more than what an accent stands on."""
    return len(written(nodes).strip("{} \\")) > 2


def tidy(text: str) -> str:
    """Return text with line breaks only where the file asks for them."""
    return "\n".join(filter(None, map(line_of, text.split(BREAK))))
