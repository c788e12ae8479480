"""Ids are stable and collide for no two things; spellings of one query are one query."""

from __future__ import annotations

import pytest

from fakes import make_chunk
from rag.records import HEADING_BYTES, Document, Span, chunks_of, content_id, normalise_query


def test_parts_do_not_run_into_each_other() -> None:
    assert content_id("ab", "c") != content_id("a", "bc")
    assert content_id("ab", "c") == content_id("ab", "c")


@pytest.mark.parametrize("spelling", ["How  do I train?", "how do i train", "HOW DO I TRAIN ?", "ｈow do i train!"])
def test_spellings_of_a_query_are_one_query(spelling: str) -> None:
    assert normalise_query(spelling) == "how do i train"


def test_an_edit_elsewhere_leaves_a_chunks_id_alone_and_moves_its_offsets() -> None:
    before = Document("d", "a.md", "A", "1", "one. two.", (Span(0, 4), Span(5, 9)))
    after = Document("d", "a.md", "A", "2", "new one. two.", (Span(0, 8), Span(9, 13)))
    assert chunks_of(before)[1].id == chunks_of(after)[1].id
    assert (chunks_of(before)[1].start, chunks_of(after)[1].start) == (5, 9)


def test_the_same_text_twice_in_a_document_is_two_chunks() -> None:
    first, second = chunks_of(Document("d", "a.md", "A", "1", "x x", (Span(0, 1), Span(2, 3))))
    assert first.text == second.text
    assert first.id != second.id


def test_a_model_reads_a_chunk_behind_its_headings_and_people_read_it_as_it_stands() -> None:
    chunk = make_chunk("They expire after a year.", heading="Handbook > Passes > Guests")
    assert chunk.embedded == "Handbook > Passes > Guests: They expire after a year."
    assert make_chunk("They expire.", heading="").embedded == "They expire."


def test_of_a_long_path_the_inner_headings_are_read_and_of_a_long_heading_its_beginning() -> None:
    deep = make_chunk("x", heading=f"{'outer ' * 20} > {'middle ' * 10} > inner")
    assert deep.embedded == f"{'middle ' * 10} > inner: x"
    long = make_chunk("x", heading="長" * 100)  # 300 bytes
    assert long.embedded == f"{'長' * (HEADING_BYTES // 3)}: x"
