"""Properties of chunks with a real tokenizer: no text lost, exact offsets, never too long, stable ids."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rag.ingest.chunking import CountTokens, chunk_text
from rag.loaders.builder import LoadedText
from rag.loaders.markup.markdown import load_markdown
from rag.loaders.text import load_text
from rag.records import Chunk, Document, Span, chunks_of
from tiny import WORDS

LIMIT = 48  # tokens of the tiny model, which reads 64
quick = settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])

sentence = st.lists(st.sampled_from([*WORDS[:60], "naïve", "日本", "x_y", "3.14"]), min_size=1, max_size=14).map(
    lambda words: " ".join(words) + "."
)
paragraph = st.lists(sentence, min_size=1, max_size=6).map(" ".join)
heading = st.builds(lambda level, text: f"{'#' * level} {text}", st.integers(1, 4), st.sampled_from(WORDS[20:50]))
code = st.lists(st.sampled_from(["if cat:", "    return fish", "x = 1", "", "# not a heading"]), min_size=1, max_size=9)
fence = code.map(lambda lines: "\n".join(["```", *lines, "```"]))
row = st.lists(st.sampled_from(WORDS), min_size=2, max_size=2).map(lambda cells: f"| {' | '.join(cells)} |")
table = st.lists(row, min_size=1, max_size=14).map(lambda rows: "\n".join(["| one | two |", "|---|---|", *rows]))
odd = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=80)
markdown = st.lists(st.one_of(paragraph, heading, fence, table, odd), max_size=12).map("\n\n".join)
section = st.builds(lambda name, body: f"## {name}\n\n{body}", st.sampled_from(WORDS[50:80]), paragraph)


@pytest.fixture(scope="module")
def count(tiny_model: Path) -> CountTokens:
    """Return the tiny model's token counter, special tokens included."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(tiny_model, local_files_only=True)
    return lambda texts: [len(tokenizer(text, truncation=False, verbose=False)["input_ids"]) for text in texts]


def chunked(loaded: LoadedText, count: CountTokens) -> tuple[Document, list[Chunk]]:
    spans = tuple(
        Span(start, end, section.heading, section.page)
        for start, end, section in chunk_text(loaded.text, loaded.sections, count, LIMIT)
    )
    document = Document("d", "d.md", "d", "hash", loaded.text, spans)
    return document, chunks_of(document)


@quick
@given(text=markdown, load=st.sampled_from([load_markdown, load_text]))
def test_every_character_of_a_document_is_in_one_chunk_at_its_offsets(
    count: CountTokens, text: str, load: object
) -> None:
    document, chunks = chunked(load(text.encode()), count)  # type: ignore[operator]
    assert all(document.text[chunk.start : chunk.end] == chunk.text for chunk in chunks)
    assert [chunk.start for chunk in chunks] == sorted(chunk.start for chunk in chunks)
    covered = "".join(chunk.text for chunk in chunks)
    assert "".join(covered.split()) == "".join(document.text.split())


@quick
@given(text=markdown)
def test_no_chunk_exceeds_the_token_limit(count: CountTokens, text: str) -> None:
    _, chunks = chunked(load_markdown(text.encode()), count)
    assert all(count([chunk.text])[0] <= LIMIT or len(chunk.text) == 1 for chunk in chunks)


@quick
@given(sections=st.lists(section, min_size=2, max_size=6, unique_by=lambda text: text.splitlines()[0]), data=st.data())
def test_an_edit_keeps_the_chunk_ids_of_other_sections(
    count: CountTokens, sections: list[str], data: st.DataObject
) -> None:
    edited = data.draw(st.integers(0, len(sections) - 1))
    new = data.draw(st.one_of(paragraph, fence, table))
    after = [text if n != edited else f"{text.splitlines()[0]}\n\n{new}" for n, text in enumerate(sections)]
    name = sections[edited].splitlines()[0].removeprefix("## ")

    def others(texts: list[str]) -> list[tuple[str, str]]:
        _, chunks = chunked(load_markdown("\n\n".join(texts).encode()), count)
        return [(chunk.heading, chunk.id) for chunk in chunks if chunk.heading != name]

    assert others(sections) == others(after)


@quick
@given(before=paragraph, block=fence, after=paragraph)
def test_code_that_fits_into_a_chunk_is_cut_only_to_fill_a_nearly_empty_one(
    count: CountTokens, before: str, block: str, after: str
) -> None:
    document, chunks = chunked(load_markdown(f"{before}\n\n{block}\n\n{after}".encode()), count)
    start = document.text.index("```")
    end = document.text.rindex("```") + 3
    touched = [chunk for chunk in chunks if chunk.start < end and start < chunk.end]
    if count([document.text[start:end]])[0] <= LIMIT and len(touched) > 1:
        first = document.text[touched[0].start : start]
        assert 0 < count([first])[0] - 2 <= LIMIT // 4 + 1


@quick
@given(rows=st.lists(row, min_size=1, max_size=30))
def test_a_row_of_a_table_is_never_cut(count: CountTokens, rows: list[str]) -> None:
    document, chunks = chunked(load_markdown("\n".join(["| one | two |", "|---|---|", *rows]).encode()), count)
    lines = {line.strip() for line in document.text.splitlines()}
    assert all(line.strip() in lines for chunk in chunks for line in chunk.text.splitlines())
