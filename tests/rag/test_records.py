"""Ids are stable and collide for no two things; spellings of one query are one query."""

from __future__ import annotations

import pytest

from fakes import make_chunk
from rag.heading_path import HEADING_TOKENS
from rag.models.embedder import Embedder, load_embedder
from rag.records import Document, Span, chunks_of, content_id, normalise_query
from rag.settings import Settings


@pytest.fixture(scope="module")
def builtin() -> Embedder:
    return load_embedder("builtin", Settings())


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
    long = make_chunk("x", heading="長" * 100)  # a token each
    assert long.embedded == f"{'長' * (HEADING_TOKENS - 1)}: x"  # and one for the colon


def test_a_path_of_140_letters_of_english_is_read_whole() -> None:
    path = (
        "Everything that a new employee should know about travel, expenses and remote work > Booking flights and hotels"
        " > Limits for each day abroad"
    )
    assert len(path) == 139
    assert make_chunk("x", heading=path).embedded == f"{path}: x"


@pytest.mark.parametrize(
    "heading",
    [
        "Unfallverhütungsvorschriften der Berufsgenossenschaft, Gewährleistung und Schadensersatz",
        "Wartung der Pumpe und Entsorgung der Altteile, Anleitung für den Notfall",
        "Instrukcja obsługi: zabezpieczenia przeciwpożarowe, szczegółowe wymagania",
        "Norme di sicurezza e dichiarazione di conformita del costruttore",
        "Turvallisuusmääräykset ja huoltotoimenpiteet",
        "Εγχειρίδιο χρήσης, εγκατάσταση και συντήρηση",
        "Руководство пользователя, требования безопасности",
        "用户手册，安装与维护，安全要求",
        "사용자 설명서, 설치 및 유지보수",
        "دليل المستخدم ومتطلبات السلامة",
        "1.2.3.4 and 12.10.2.7",
        "getHTTPResponseCode of std::vector<T>::push_back",
        "src/utils/parse_cfg.py: def _rd_hdr(fd, buf, n)",
        "ISO/IEC 27001:2022, SOP-17 (HVAC, PPE)",
    ],
)
def test_the_headings_of_any_language_take_no_more_tokens_than_there_is_room_for(
    builtin: Embedder, heading: str
) -> None:
    for path in (" > ".join([heading] * 5), f"{heading} " * 5):
        read = make_chunk("x", heading=path).embedded
        bare, taken = builtin.count_tokens(["x", read])
        assert taken - bare <= HEADING_TOKENS
        assert heading[:10] in read
