"""Column names are appended to the headings of a chunk that starts inside a table, and to no others."""

from __future__ import annotations

from rag.ingest.chunking import chunk_text
from rag.ingest.table_columns import MAX_BYTES, headings_with_columns
from rag.loaders.markup.markdown import load_markdown

ROWS = "".join(f"| k{n} | what the {n}th of them does |\n" for n in range(9))
TABLE = f"| Name | What it *does* |\n|:--|---|\n{ROWS}"


def count(texts: list[str]) -> list[int]:
    return [len(text.split()) for text in texts]


def headed(markdown: str, most: int = 30) -> list[tuple[str, str]]:
    """Return (heading path, first word) of each chunk."""
    loaded = load_markdown(markdown.encode())
    chunks = chunk_text(loaded.text, loaded.sections, count, most)
    paths = headings_with_columns(loaded.text, chunks)
    return [(path, loaded.text[start:].split(maxsplit=1)[0]) for path, (start, _, _) in zip(paths, chunks, strict=True)]


def test_a_chunk_that_starts_inside_a_table_has_its_column_names_in_the_headings() -> None:
    first, *others = headed(f"# Guide\n\n## Settings\n\n{TABLE}\n")
    assert first == ("Guide > Settings", "#")
    assert len(others) > 2
    assert {path for path, _ in others} == {"Guide > Settings > columns: Name | What it *does*"}


def test_only_the_chunks_of_a_table_without_heading_have_its_columns() -> None:
    paths = [
        path for path, _ in headed(f"{TABLE}\nOne two three four five six seven eight nine. " + "And more words. " * 9)
    ]
    assert (paths[0], paths[1], paths[-1]) == ("", "columns: Name | What it *does*", "")


def test_code_that_looks_like_a_table_has_no_columns() -> None:
    fenced = "```\n" + TABLE + "```\n"
    assert {path for path, _ in headed(f"# A\n\n{fenced}")} == {"A"}


def test_very_long_names_are_truncated_between_words() -> None:
    names = " | ".join(f"column number {n}" for n in range(12))
    table = f"| {names} |\n|{'---|' * 12}\n" + "".join(f"| {'x | ' * 12}\n" for _ in range(9))
    path = headed(table, 60)[-1][0]
    assert path.startswith("columns: column number 0 | column number 1 | ")
    assert len(path) <= len("columns: ") + MAX_BYTES
