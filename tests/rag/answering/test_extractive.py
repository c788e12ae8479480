"""The extractive answerer: what it quotes, in which order, and when it abstains."""

from __future__ import annotations

from dataclasses import replace

from fakes import make_hits
from rag.answering.evidence.attribution import supported_numbers
from rag.answering.evidence.citations import cited_numbers
from rag.answering.extractive import (
    MARGIN,
    MAX_HITS,
    MAX_WORDS,
    THRESHOLD,
    choose_quotes,
    quote,
    rank_units,
    word_overlaps,
)
from rag.records import Hit


def scores(**table: float):
    """Return a scorer that gives a text the highest score of its words, else 0."""

    def score(query: str, texts: list[str]) -> list[float]:
        return [max((value for word, value in table.items() if word in text), default=0.0) for text in texts]

    return score


def test_the_best_hit_comes_first_and_its_best_sentence_opens() -> None:
    hits = make_hits("Beta is here. Noise.", "Gamma leads up. Alpha is there. Delta follows.")
    answer = quote("q", hits, scores(Alpha=0.9, Beta=0.8, Gamma=0.7, Delta=0.7))
    assert answer == "Alpha is there. Delta follows. [2]\n\nGamma leads up. [2]\n\nBeta is here. [1]"


def test_a_sentence_that_refers_back_brings_the_one_before_it_along() -> None:
    hits = make_hits("A thumb is stored. It is Alpha.")
    assert quote("q", hits, scores(Alpha=0.9)) == "A thumb is stored. It is Alpha. [1]"


def test_code_stands_below_the_line_that_leads_to_it_exact_to_the_letter() -> None:
    code = "```python\nfrom flask import Flask\napp = Flask(__name__)\nprint(argv[4])\n```"
    hits = make_hits(f"Other text.\n\nWrite this Alpha:\n\n{code}", "x", "x", "x")
    answer = quote("q", hits, scores(Alpha=0.9))
    assert answer == f"Write this Alpha: [1]\n\n{code}"
    answer = quote("q", hits, scores(flask=0.9))
    assert answer == f"Write this Alpha: [1]\n\n{code}"
    assert cited_numbers(answer, 4) == (1,)


def test_a_line_that_leads_to_nothing_is_quoted_only_where_it_is_all_there_is() -> None:
    hits = make_hits("Alpha is here. Write this Beta:")
    assert quote("q", hits, scores(Alpha=0.9, Beta=0.8)) == "Alpha is here. [1]"
    assert quote("q", hits, scores(Beta=0.9)) == "Write this Beta: [1]"


def test_a_code_block_alone_credits_its_passage() -> None:
    hits = make_hits("```\nmake chat\nmake test\n```")
    answer = quote("q", hits, scores(make=0.9))
    assert answer == "```\nmake chat\nmake test\n```\n\n[1]"
    assert supported_numbers(answer, hits) == (1,)


def test_rows_of_a_table_are_a_table_with_its_column_names() -> None:
    hits = make_hits("| city | cost |\n|---|---|\n| Bonn | 1 |\n| Alpha | 2 |")
    answer = quote("q", hits, scores(Alpha=0.9, Bonn=0.8))
    assert answer == "| city | cost |\n|---|---|\n| Bonn | 1 [1] |\n| Alpha | 2 [1] |"


def test_lines_of_a_form_stay_lines() -> None:
    (hit,) = make_hits("Name Ann\nNumber plate Alpha\nZone Old Town")
    form = Hit(replace(hit.chunk, source="form.pdf"), 1, 0.9)
    answer = quote("q", [form], scores(Alpha=0.9, Ann=0.8, Zone=0.8))
    assert answer == "Name Ann\nNumber plate Alpha\nZone Old Town [1]"


def test_list_items_stay_a_list() -> None:
    hits = make_hits("Do so:\n\n- Alpha first\n- Beta next")
    assert quote("q", hits, scores(Alpha=0.9, Beta=0.8)) == "Do so: [1]\n\n- Alpha first [1]\n- Beta next [1]"


def test_a_unit_far_below_the_best_one_is_left_out() -> None:
    hits = make_hits("Alpha. Beta.")
    assert quote("q", hits, scores(Alpha=0.95, Beta=0.95 - MARGIN - 0.01)) == "Alpha. [1]"
    assert quote("q", hits, scores(Alpha=0.95, Beta=0.95 - MARGIN + 0.01)) == "Alpha. Beta. [1]"


def test_an_answer_has_few_words_from_few_hits_without_duplicates() -> None:
    texts = [f"Alpha {'word ' * 12}{n}. Beta {'word ' * 12}{n}." for n in range(MAX_HITS + 2)]
    quotes = choose_quotes(rank_units("q", make_hits(*texts, texts[0]), scores(Alpha=0.9, Beta=0.8)))
    assert len({found.rank for found in quotes}) == MAX_HITS
    assert MAX_WORDS - 14 < sum(found.words for found in quotes) <= MAX_WORDS
    assert len({found.unit.text for found in quotes}) == len(quotes)


def test_the_best_unit_is_quoted_whole_however_long_it_is() -> None:
    (hit,) = make_hits(f"Alpha {'word ' * MAX_WORDS}ends. Beta.")
    (found,) = choose_quotes(rank_units("q", [hit], scores(Alpha=0.9, Beta=0.6)))
    assert found.words == MAX_WORDS + 2


def test_chinese_words_are_counted_by_characters() -> None:
    (found,) = rank_units("q", make_hits("我们今天去了北京。"), scores())
    assert found.words == 1 + 8 // 2


def test_a_sentence_is_scored_together_with_its_heading() -> None:
    (hit,) = make_hits("After a year.")
    headed = Hit(replace(hit.chunk, heading="Guide > Expiry"), 1, 0.9)
    assert quote("q", [headed], scores(Expiry=0.9)) == "After a year. [1]"
    assert quote("q", [headed], scores(Guide=0.9)) == ""


def test_of_equal_cosines_the_one_with_the_words_of_the_query_wins() -> None:
    hits = make_hits("The sun shines. Tables are stored daily. A dog barks.")
    assert quote("where is a table stored?", hits, scores(shines=0.9, stored=0.9)).startswith(
        "Tables are stored daily."
    )


def test_overlap_counts_rare_words_more_and_stop_words_not_at_all() -> None:
    texts = ["red kite", "a kite", "red is the", "reds", "is the", "is the"]
    both, rare, common, _, none, headed = word_overlaps("is the red kite?", texts, ["", "", "", "", "", "Kite"])
    assert both == 1
    assert 1 > rare == headed > common > 0 == none


def test_nothing_is_quoted_below_the_threshold() -> None:
    hits = make_hits("Alpha.")
    assert quote("q", hits, scores(Alpha=THRESHOLD - 0.01)) == ""
    assert quote("q", hits, scores(Alpha=THRESHOLD)) != ""
    assert quote("q", (), scores()) == ""


def test_what_two_documents_say_alike_is_quoted_once() -> None:
    hits = make_hits(
        "Use `--with-modules` for Alpha.", "Use \u2011\u2011with\u2011modules  for *Alpha*.", "Alpha ends."
    )
    assert quote("q", hits, scores(Alpha=0.9)) == "Use `--with-modules` for Alpha. [1]\n\nAlpha ends. [3]"
