"""python -m train compare: versions, models, hybrid search and chunk sizes on the same held-out queries."""

from __future__ import annotations

from dataclasses import replace

import pytest

from fakes import make_chunk
from rag.records import Qrels
from train.__main__ import main
from train.compare_settings import parse_side, same_places
from train_world import contents


def test_two_ways_to_search_are_compared_on_all_rated_queries_where_neither_model_was_trained(use, capsys) -> None:
    settings = use("labelled")
    before = {path for path in contents(settings) if path.startswith("lancedb/")}
    assert main(["compare", "base,search=hybrid", "base"]) == 0
    out = capsys.readouterr().out
    assert out.startswith(
        "base,search=hybrid against base: 80 rated queries, since neither model was trained on ratings\n\n"
    )
    lines = out.splitlines()
    assert next(line for line in lines if line.startswith("ndcg@10")).count("[") == 1
    assert "base,search=hybrid: 80 chunks of 32 dimensions, " in out
    assert lines[-1].startswith("base,search=hybrid is better than base, statistically significant: ndcg@10 +0.")
    assert {path for path in contents(settings) if path.startswith("lancedb/")} == before


def test_the_champion_with_a_setting_is_compared_on_held_out_queries_and_other_chunks_are_indexed_apart(
    use, capsys
) -> None:
    settings = use("trained")
    assert main(["compare", "champion", "champion,chunk_tokens=16"]) == 0
    out = capsys.readouterr().out
    assert "15 held-out queries, which no version was trained on" in out
    assert (settings.cache / "compare").is_dir()


@pytest.mark.parametrize(
    ("side", "message"),
    [
        ("port=3", "error: 'port' cannot be compared: give one model"),
        ("v1,v2", "error: 'v1,v2' names 2 models: give one model"),
        ("search=words", "error: THUMBTUNE_SEARCH"),
        ("v9,search=hybrid", "error: v9: no such version"),
    ],
)
def test_what_cannot_be_compared_is_said_in_one_line(use, capsys, side: str, message: str) -> None:
    use("labelled")
    assert main(["compare", "base", side]) == 2
    assert capsys.readouterr().err.startswith(message)


def test_the_model_of_a_side_follows_from_what_it_changes() -> None:
    models = {text: parse_side(text).model for text in ("search=hybrid", "base_model=x", "start_model=x", "v3,mmr=0.7")}
    assert models == {
        "search=hybrid": "champion",
        "base_model=x": "base",
        "start_model=x": "start weights",
        "v3,mmr=0.7": "v3",
    }


def test_a_passage_is_found_again_by_its_place_where_documents_are_cut_differently() -> None:
    whole = replace(make_chunk("x" * 100), start=100, end=200)
    halves = [
        replace(make_chunk(text), start=start, end=end)
        for text, start, end in (("before", 50, 120), ("first", 120, 160), ("second", 160, 230), ("after", 230, 300))
    ]
    elsewhere = replace(make_chunk("first", "other.md"), start=120, end=160)
    found = same_places(Qrels({"q": frozenset({whole.id})}), [whole], [*halves, elsewhere])
    assert found.relevant == {"q": {halves[1].id, halves[2].id}}
