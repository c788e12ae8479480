"""Which documents questions search: found in the picker, put before a question, and never more than it shows."""

from __future__ import annotations

from typing import cast

import pytest

from chat.actions.scope import SHOWN, choose, search_scope, within
from chat.session.context import AppState, RequestContext, SessionState
from rag.store.filters import split_filter

DOCUMENTS = [
    ("a.md", "Alpha", 3),
    ("notes/old/b b.md", "Bees", 1),
    ("notes/c.md", "c.md", 2),
    ("https://x.y/z", "Z", 1),
]


@pytest.fixture
def context() -> RequestContext:
    return RequestContext(cast(AppState, None), SessionState(), "ann")


def found(words: str) -> list[str]:
    return [entry["source"] for entry in search_scope(DOCUMENTS, words)[0]]


def test_folders_come_before_documents_and_both_are_found_by_path_or_title() -> None:
    assert found("") == ["notes", "notes/old", "a.md", "notes/old/b b.md", "notes/c.md", "https://x.y/z"]
    assert [found("BEES"), found("notes c"), found("nothing")] == [["notes/old/b b.md"], ["notes/c.md"], []]
    (folder, *_), total = search_scope(DOCUMENTS, "notes")
    assert (folder["documents"], folder["is_folder"], total) == (2, True, 4)
    many = [(f"{n:03}.md", "", 1) for n in range(SHOWN + 5)]
    assert (len(search_scope(many, "md")[0]), search_scope(many, "md")[1]) == (SHOWN, SHOWN + 5)
    assert search_scope([('say "hi".md', "", 1)], "")[1] == 0  # cannot be written as a filter


def test_every_place_that_is_found_can_be_chosen(context: RequestContext) -> None:
    for source in found(""):
        choose(context, {"scope": [source]})
        query, only = split_filter(within(context, " What is it? "))
        assert (query, only.folders, only.allows(source)) == ("What is it?", (source,), True)


def test_a_question_that_names_a_place_itself_is_searched_there(context: RequestContext) -> None:
    choose(context, {"scope": ["a.md", "notes"]})
    assert split_filter(within(context, "in:other why? type:md"))[1].folders == ("other",)
    assert split_filter(within(context, "why? type:md"))[1].folders == ("a.md", "notes")
    choose(context, {"scope": []})
    assert within(context, "why?") == "why?"


@pytest.mark.parametrize("sent", [{"scope": None}, {"scope": [7]}, {"scope": ["x"] * 9}, {"scope": ["x" * 5000]}, None])
def test_what_another_page_posts_chooses_nothing(context: RequestContext, sent: object) -> None:
    choose(context, {"scope": ["a.md"]})
    choose(context, sent)
    assert within(context, "why?") == "why?"
