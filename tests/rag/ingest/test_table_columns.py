"""Columns: a chunk amid a table is headed by their names, and no other chunk is."""

from __future__ import annotations

from rag.ingest.chunking import chunk_text
from rag.ingest.table_columns import MOST_BYTES, with_columns
from rag.loaders.markdown import load_markdown

ROWS = "".join(f"| k{n} | what the {n}th of them does |\n" for n in range(9))
TABLE = f"| Name | What it *does* |\n|:--|---|\n{ROWS}"


def count(texts: list[str]) -> list[int]:
    return [len(text.split()) for text in texts]


def headed(markdown: str, most: int = 30) -> list[tuple[str, str]]:
    """Return (heading path, first word) of each chunk."""
    extract = load_markdown(markdown.encode())
    chunks = chunk_text(extract.text, extract.sections, count, most)
    paths = with_columns(extract.text, chunks)
    return [
        (path, extract.text[start:].split(maxsplit=1)[0]) for path, (start, _, _) in zip(paths, chunks, strict=True)
    ]


def test_a_chunk_that_begins_amid_a_table_is_headed_by_its_columns() -> None:
    first, *others = headed(f"# Guide\n\n## Settings\n\n{TABLE}\n")
    assert first == ("Guide > Settings", "#")
    assert len(others) > 2
    assert {path for path, _ in others} == {"Guide > Settings > columns: Name | What it *does*"}


def test_a_table_under_no_heading_and_text_behind_a_table() -> None:
    paths = [
        path for path, _ in headed(f"{TABLE}\nOne two three four five six seven eight nine. " + "And more words. " * 9)
    ]
    assert (paths[0], paths[1], paths[-1]) == ("", "columns: Name | What it *does*", "")


def test_lines_of_code_and_rows_that_carry_their_names_have_no_columns() -> None:
    fenced = "```\n" + TABLE + "```\n"
    assert {path for path, _ in headed(f"# A\n\n{fenced}")} == {"A"}


def test_very_long_names_are_cut_between_words() -> None:
    names = " | ".join(f"column number {n}" for n in range(12))
    table = f"| {names} |\n|{'---|' * 12}\n" + "".join(f"| {'x | ' * 12}\n" for _ in range(9))
    path = headed(table, 60)[-1][0]
    assert path.startswith("columns: column number 0 | column number 1 | ")
    assert len(path) <= len("columns: ") + MOST_BYTES
