"""A filter at either end of a question says where to look, is no part of the query, and means one thing everywhere."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fakes import make_chunk
from rag.answering.service import open_service
from rag.errors import BadQuery
from rag.indexing.indexer import index
from rag.settings import Settings
from rag.store.filters import EVERYWHERE, DocumentFilter, explain_empty, split_filter
from rag.store.store import Store, open_store

SOURCES = [
    "readme.md",
    "reports/2025/growth.pdf",
    "reports/2026/Growth.PDF",
    "old/Annual Reports/növel 100%_'a.docx",
    "reports.md",
    "pages.zip/in/a.html",
    "https://example.org/reports/page",
    "MÜLL/x.md",
]


DATES = ["", *(f"2026-05-0{n}" for n in range(1, 8))]  # when each was changed; of the first nobody knows


@pytest.mark.parametrize(
    ("typed", "query", "only"),
    [
        ("What grew? in:reports", "What grew?", DocumentFilter(("reports",))),
        ("in:reports what grew?", "what grew?", DocumentFilter(("reports",))),
        ("type:pdf what grew in:Reports/2026/", "what grew", DocumentFilter(("reports/2026",), ("pdf",))),
        ("what grew in:reports?", "what grew", DocumentFilter(("reports",))),
        ('what grew in:"Annual Reports"', "what grew", DocumentFilter(("annual reports",))),
        ("what grew type:.PDF type:docx", "what grew", DocumentFilter((), ("pdf", "docx"))),
        ("in:a in:b in:a x", "x", DocumentFilter(("a", "b"))),
        ("in:a", "", DocumentFilter(("a",))),
        ("what does type:pdf at the end of it do?", "what does type:pdf at the end of it do?", EVERYWHERE),
        ("in: the beginning", "in: the beginning", EVERYWHERE),
        ("built-in:x y", "built-in:x y", EVERYWHERE),
        ("y built-in:x", "y built-in:x", EVERYWHERE),
        ("since:2026 what grew?", "what grew?", DocumentFilter(since="2026-01-01")),
        ("what grew before:2026-05?", "what grew", DocumentFilter(before="2026-05-01")),
        (
            "what grew since:2025-02-28 since:2024 before:2026 before:2027",
            "what grew",
            DocumentFilter((), (), "2025-02-28", "2026-01-01"),
        ),
        ("what does the log say: restart before:10", "what does the log say: restart before:10", EVERYWHERE),
        ("timeout before:30s?", "timeout before:30s?", EVERYWHERE),
        ("down since:10:45", "down since:10:45", EVERYWHERE),
        ("until:2026 what grew?", "until:2026 what grew?", EVERYWHERE),
        ("what grew before: the war", "what grew before: the war", EVERYWHERE),
        ("what is `type:pdf`", "what is `type:pdf`", EVERYWHERE),
    ],
)
def test_filters_are_taken_off_both_ends_and_left_alone_in_the_middle(
    typed: str, query: str, only: DocumentFilter
) -> None:
    assert split_filter(typed) == (query, only)


@pytest.mark.parametrize(
    "typed", ["since:yesterday", "before:2026-13", "before:2026-02-30", "since:20261", "since:2026-1-1"]
)
def test_what_is_no_date_is_told_with_what_one_is(typed: str) -> None:
    kind = typed.partition(":")[0]
    with pytest.raises(BadQuery, match=f"^{typed} is no date: write it as {kind}:2026, {kind}:2026-05 or"):
        split_filter(f"what grew {typed}?")


names = (
    st.text(st.sampled_from("ab 1-_%'."), min_size=1, max_size=6)
    .map(str.strip)
    .filter(lambda name: name and not name.startswith("."))
)


@given(st.lists(names, unique=True, max_size=3), st.lists(names, unique=True, max_size=3))
def test_a_filter_written_out_is_read_as_the_same_one(folders: list[str], types: list[str]) -> None:
    _, only = split_filter(" ".join([*(f'in:"{x}"' for x in folders), *(f'type:"{x}"' for x in types)]))
    assert only == DocumentFilter(tuple(folders), tuple(types))
    assert split_filter(f"why so? {only}") == ("why so?", only)


@given(st.text(max_size=60))
def test_splitting_never_loses_a_word_that_is_no_filter(text: str) -> None:
    query, only = split_filter(text)
    assert query in text
    assert only or query == text.strip()


@pytest.mark.parametrize(
    ("only", "allowed"),
    [
        (EVERYWHERE, SOURCES),
        (DocumentFilter(("reports",)), [SOURCES[1], SOURCES[2], SOURCES[6]]),
        (DocumentFilter(("reports/2026",)), [SOURCES[2]]),
        (DocumentFilter(("readme.md", "pages.zip")), [SOURCES[0], SOURCES[5]]),
        (DocumentFilter(("example.org",)), [SOURCES[6]]),
        (DocumentFilter((), ("pdf",)), [SOURCES[1], SOURCES[2]]),
        (DocumentFilter((), ("md", "html")), [SOURCES[0], SOURCES[4], SOURCES[5], SOURCES[7]]),
        (DocumentFilter(("reports", "müll"), ("pdf", "md")), [SOURCES[1], SOURCES[2], SOURCES[7]]),
        (DocumentFilter(("növel 100%_'a.docx",)), [SOURCES[3]]),
        (DocumentFilter((), ("d",)), []),
        (DocumentFilter(("report",)), []),
        (DocumentFilter(since=DATES[2]), SOURCES[2:]),
        (DocumentFilter(before=DATES[2]), [SOURCES[1]]),
        (DocumentFilter((), ("pdf",), DATES[1], DATES[2]), [SOURCES[1]]),
    ],
)
def test_both_searches_look_at_the_very_documents_that_a_filter_allows(
    tmp_path: Path, only: DocumentFilter, allowed: list[str]
) -> None:
    assert [source for source, date in zip(SOURCES, DATES, strict=True) if only.allows(source, date)] == allowed
    store = open_store(tmp_path)
    fill(store, SOURCES)
    vector = np.array([1, 0], np.float32)
    for hits in (store.chunks.search("t", vector, 9, only), store.chunks.search_text("t", "growth", vector, 9, only)):
        assert sorted(hit.chunk.source for hit in hits) == sorted(allowed)
        assert [hit.rank for hit in hits] == list(range(1, len(allowed) + 1))


def fill(store: Store, sources: list[str], dates: list[str] = DATES) -> None:
    chunks = [
        replace(make_chunk(f"growth {n}", source), date=date)
        for n, (source, date) in enumerate(zip(sources, dates, strict=True))
    ]
    store.chunks.put("t", chunks, np.tile(np.array([1, 0], np.float32), (len(chunks), 1)))
    store.chunks.build_text_index("t")


def test_the_nearest_that_are_allowed_are_found_and_not_those_among_the_nearest(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    angles = np.linspace(0, 1.5, 60)
    chunks = [make_chunk(f"text {n}", f"{'far' if n > 40 else 'near'}/{n}.md") for n in range(60)]
    store.chunks.put("t", chunks, np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32))
    hits = store.chunks.search("t", np.array([1, 0], np.float32), 3, DocumentFilter(("far",)))
    assert [hit.chunk.source for hit in hits] == ["far/41.md", "far/42.md", "far/43.md"]


def test_a_filter_that_leaves_nothing_says_what_there_is_instead() -> None:
    dates = dict(zip(SOURCES, DATES, strict=True))
    assert explain_empty(DocumentFilter(("reports",), ("pdf",)), dates) == ""
    assert "No document is in 'reprots': the folders are " in explain_empty(DocumentFilter(("reprots",)), dates)
    assert "the folders are MÜLL, https://example.org/reports, old/Annual Reports," in explain_empty(
        DocumentFilter(("x",)), dates
    )
    types = "No document is of type 'error': the types are docx, html, md, pdf. "
    assert explain_empty(DocumentFilter((), ("error",)), dates).startswith(types)
    assert explain_empty(DocumentFilter(("reports",), ("docx",)), dates).startswith(
        "No document is in reports, of type docx. "
    )
    assert explain_empty(DocumentFilter(("reports",), since="2027-01-01"), dates) == (
        "No document is in reports, changed since 2027-01-01. They are from 2026-05-01 to 2026-05-07. "
        "Or put a blank behind the colon, to search for these words."
    )
    assert "None of them has a date." in explain_empty(DocumentFilter(before="2027-01-01"), {"a.md": ""})
    assert "the types are none" in explain_empty(DocumentFilter((), ("pdf",)), {"LICENSE": ""})
    assert "..." in explain_empty(DocumentFilter(("x",)), {f"folder {n}/a.md": "" for n in range(20)})


def test_a_question_is_scoped_before_it_is_asked(settings: Settings) -> None:
    index(settings)
    serving = open_service(settings)
    assert serving.parse_query("What do they eat? in:cats.md") == ("What do they eat?", DocumentFilter(("cats.md",)))
    with pytest.raises(BadQuery, match="No document is of type 'pdf': the types are md"):
        serving.parse_query("What do they eat? type:pdf")
    with pytest.raises(BadQuery, match="empty"):
        serving.parse_query("in:cats.md")
    serving.close()


def test_what_is_searched_is_said_in_words() -> None:
    assert EVERYWHERE.summary() == ""
    assert DocumentFilter(("reports", "old"), ("pdf",)).summary() == "Only documents in reports or old, of type pdf."
    dated = DocumentFilter((), (), "2026-01-01", "2026-06-01")
    assert dated.summary() == "Only documents changed since 2026-01-01, changed before 2026-06-01."
    assert split_filter(f"why so? {dated}") == ("why so?", dated)


@pytest.mark.parametrize("typed", ["in:r\u00e9sum\u00e9s", "in:re\u0301sume\u0301s", "in:RE\u0301SUM\u00c9S"])
def test_a_letter_with_an_accent_is_found_as_one_character_and_as_two(tmp_path: Path, typed: str) -> None:
    _, only = split_filter(f"what grew {typed}")
    inside = ["r\u00e9sum\u00e9s/a.md", "re\u0301sume\u0301s/b.md"]  # the second as a Mac writes it
    sources = [*inside, "resumes/c.md", "d.md"]
    assert [source for source in sources if only.allows(source)] == inside
    store = open_store(tmp_path)
    fill(store, sources, [""] * 4)
    vector = np.array([1, 0], np.float32)
    for hits in (store.chunks.search("t", vector, 9, only), store.chunks.search_text("t", "growth", vector, 9, only)):
        assert sorted(hit.chunk.source for hit in hits) == sorted(inside)


def test_a_name_is_also_looked_for_as_it_was_typed() -> None:
    assert DocumentFilter(("\uf914",)).allows("\uf914/a.md")  # a character that both forms replace by another one
