"""Which chunks answer a question of a SQuAD-format file: all that the learning benchmark says rests on it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from benchmarks.learning.squad import Few, _asked, build_world, count_questions, read_papers, write_papers
from fakes import make_chunk

TEXT = "Bees swarm in spring. Mites die of acid."  # "Bees swarm in " is 14 letters


def paper(context: str, *answers: tuple[str, int]) -> dict[str, Any]:
    qas = [
        {"question": f"what of {text!r}?", "answers": [{"text": text, "answer_start": start}]}
        for text, start in answers
    ]
    return {"context": context, "qas": qas}


def squad(path: Path, *papers: dict[str, Any]) -> Path:
    path.write_text(json.dumps({"version": "v2.0", "data": [{"paragraphs": [each]} for each in papers]}), "utf-8")
    return path


def gold(answer: str, start: int, *cuts: int, text: str = TEXT) -> set[str] | None:
    """Return what answers, of chunks that end at the cuts."""
    ends = [*cuts, len(text)]
    chunks = [
        replace(make_chunk(text[begin:end]), id=str(n), start=begin, end=end)
        for n, (begin, end) in enumerate(zip([0, *cuts], ends, strict=True))
    ]
    question = {"question": " what? ", "answers": [{"text": answer, "answer_start": start}]}
    found = _asked(question, TEXT, text, chunks, "train")
    return set(found.gold) if found else None


def test_the_chunk_that_holds_the_answer_is_right() -> None:
    assert gold("spring", 14, 21) == {"0"}
    assert gold("acid", 35, 21) == {"1"}


def test_of_an_answer_that_is_cut_in_two_both_halves_are_right_and_less_than_half_is_not() -> None:
    assert gold("spring", 14, 17) == {"0", "1"}
    assert gold("spring", 14, 15) == {"1"}


def test_of_an_answer_in_many_small_chunks_the_largest_piece_is_right() -> None:
    assert gold("Bees swarm in spring", 0, 4, 9, 18) == {"2"}  # 4, 5, 9 and 2 of 20 letters


def test_where_the_loader_changed_the_text_the_answer_is_looked_for_near_its_place() -> None:
    twice = f"spring {TEXT}"
    assert gold("spring", 14, 7, text=twice) == {"1"}
    assert gold("autumn", 14, 7, text=twice) is None


@pytest.mark.parametrize(
    "answers", [[], None, [{"text": "", "answer_start": 0}], [{"text": "no answer", "answer_start": -1}]]
)
def test_a_question_without_an_answer_is_left_out(answers: list[dict[str, Any]] | None) -> None:
    question = {"question": "What is the capital of Australia?", "answers": answers, "is_impossible": True}
    assert _asked(question, TEXT, TEXT, [make_chunk(TEXT)], "train") is None
    assert count_questions([{"context": TEXT, "qas": [question]}]) == 0


def test_a_small_run_takes_more_documents_until_there_are_enough_questions(tmp_path: Path) -> None:
    data = squad(tmp_path / "d.json", *(paper(f"{n} {TEXT}", ("acid", 37)) for n in range(10)))
    counted = {few: len(write_papers(data, tmp_path / "docs", few)) for few in (Few(3), Few(3, 5), Few(3, 50), None)}
    assert list(counted.values()) == [3, 5, 10, 10]
    assert len(list((tmp_path / "docs").iterdir())) == 10


@pytest.mark.parametrize(
    "content",
    [
        "hello",
        "[1, 2]",
        '{"data": []}',
        '{"data": [{"text": "x"}]}',
        '{"data": [{"paragraphs": [{"context": "x", "qas": [{}]}]}]}',
    ],
)
def test_a_file_of_another_format_is_refused_in_one_line(tmp_path: Path, content: str) -> None:
    data = tmp_path / "other.json"
    data.write_text(content, "utf-8")
    with pytest.raises(SystemExit, match=r"other\.json: no SQuAD-format file") as refused:
        read_papers(data)
    assert "\n" not in str(refused.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match=r"none\.json"):
        read_papers(tmp_path / "none.json")


def test_too_few_documents_to_learn_and_judge_are_refused_with_the_reason(tmp_path: Path) -> None:
    data = squad(tmp_path / "one.json", paper(TEXT, ("acid", 35)))
    with pytest.raises(SystemExit, match="need questions on more documents"):
        build_world(data, tmp_path / "world")


def test_a_world_splits_its_questions_by_document_and_gives_each_its_chunks(tmp_path: Path) -> None:
    papers = [paper(f"Number {n}. {TEXT}", ("Mites die of acid", len(f"Number {n}. ") + 22)) for n in range(12)]
    for n, each in enumerate(papers):
        each["qas"][0]["question"] = f"what of {n}?"
    world = build_world(squad(tmp_path / "d.json", *papers), tmp_path / "world")
    parts = {part: world.of(part) for part in ("train", "validation", "test")}  # type: ignore[arg-type]
    assert sum(map(len, parts.values())) == 12
    assert parts["train"]
    assert parts["test"]
    of_chunk = {chunk.id: chunk for chunk in world.chunks}
    sources = {part: {of_chunk[i].source for asked in some for i in asked.gold} for part, some in parts.items()}
    assert not sources["train"] & sources["test"]
    for asked in world.asked:
        (right,) = asked.gold
        assert f"Number {asked.query.removeprefix('what of ').removesuffix('?')}." in of_chunk[right].text
