"""Synthetic queries point at the right chunk, whose text never contains the query."""

import re
from pathlib import Path

import pytest

from fakes import make_chunk
from rag.errors import BadLabels
from train.synthetic.from_documents import (
    Question,
    from_clozes,
    from_definitions,
    from_headings,
    from_questions,
    in_rounds,
    read_questions,
    synthetic_weight,
)

RUN = "how-to/run.md"
INSTALL = make_chunk("## Install\n\nRun make chat and wait for the browser to open.", RUN, "Run it > Install")
PORT = make_chunk("If port 8000 is taken, set THUMBTUNE_PORT to another.", RUN, "Run it > Install")
STOP = make_chunk("## Stop\n\nPress Ctrl-C in the terminal.", RUN, "Run it > Stop")
OTHER = make_chunk("Run make chat as well.", "other.md", "Install")
CHUNKS = [INSTALL, PORT, STOP, OTHER]

PROSE = make_chunk(
    "# Apples\n\nApples keep for months in a cool cellar. Look at every single one of them once a week. "
    "Those with a bruise are eaten first, and those without one can wait until spring comes.",
    heading="Apples",
)


def questions_file(folder: Path, *lines: str) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "questions.jsonl").write_text("\n".join(lines))
    return folder


def test_a_question_leads_to_the_chunk_of_its_section_that_holds_the_answer():
    question = Question("which port?", RUN, "Install", "If port 8000 is taken")
    (pair,) = from_questions([question], CHUNKS)
    assert (pair.chunk_id, pair.text, pair.origin) == (PORT.id, PORT.text, "questions")


def test_case_blanks_and_markup_of_the_phrase_do_not_matter():
    question = Question("which port?", RUN, "install", "if **port 8000**\nis taken,")
    assert [pair.chunk_id for pair in from_questions([question], CHUNKS)] == [PORT.id]


def test_an_answer_split_between_chunks_matches_the_chunk_with_most_of_its_words():
    question = Question("how?", RUN, "Install", "wait for the browser to open. If port 8000")
    assert [pair.chunk_id for pair in from_questions([question], CHUNKS)] == [INSTALL.id]


def test_without_a_phrase_every_chunk_of_the_section_is_right():
    question = Question("how?", RUN, "Install")
    assert {pair.chunk_id for pair in from_questions([question], CHUNKS)} == {INSTALL.id, PORT.id}


def test_a_question_without_a_source_or_whose_section_is_gone_makes_no_pair():
    assert from_questions([Question("the weather?"), Question("lost?", RUN, "Uninstall")], CHUNKS) == []


def test_a_heading_leads_to_the_first_chunk_of_its_section_without_the_heading():
    (pair,) = from_headings([PROSE])
    assert (pair.query, pair.chunk_id, pair.origin) == ("Apples", PROSE.id, "heading")
    assert "# Apples" not in pair.text
    assert pair.text.startswith("Apples keep for months")


def test_a_section_makes_one_heading_query_and_one_with_hardly_any_text_makes_none():
    longer = make_chunk("word " * 30, "a.md", "Top > Part")
    second = make_chunk("more " * 30, "a.md", "Top > Part")
    bare = make_chunk("## Bare\n\nSee above.", "a.md", "Top > Bare")
    assert [(pair.query, pair.chunk_id) for pair in from_headings([longer, second, bare])] == [("Top: Part", longer.id)]


def test_a_cloze_is_a_sentence_of_its_chunk_and_the_text_to_find_lacks_it():
    pairs = from_clozes([PROSE])
    assert {pair.query for pair in pairs} == {
        "Apples keep for months in a cool cellar.",
        "Look at every single one of them once a week.",
        "Those with a bruise are eaten first, and those without one can wait until spring comes.",
    }
    assert all(pair.chunk_id == PROSE.id and pair.query not in pair.text for pair in pairs)
    assert all(pair.text.startswith("Apples: ") for pair in pairs)  # as a model reads it when it serves
    assert all(len(pair.text.split()) + len(pair.query.split()) == len(PROSE.embedded.split()) for pair in pairs)


def test_every_chunk_gives_one_cloze_before_any_gives_a_second():
    chunks = [make_chunk(f"{PROSE.text} And number {n}.", f"{n}.md") for n in range(20)]
    assert [len({pair.chunk_id for pair in from_clozes(chunks, most)}) for most in (7, 20, 27)] == [7, 20, 20]
    assert len(from_clozes(chunks, 27)) == 27


def test_a_sentence_that_a_pdf_broke_into_lines_is_one_query_on_one_line():
    chunk = make_chunk(PROSE.text.replace("in a cool", "in a\ncool"))
    assert "Apples keep for months in a cool cellar." in {pair.query for pair in from_clozes([chunk])}


def test_code_and_short_texts_make_no_cloze():
    code = make_chunk("x = {'a': 1, 'b': [2, 3]}; y = x['a'] + x['b'][0]; print(y * 2, sep='|', end='')\n" * 3)
    assert from_clozes([code, make_chunk("Too short to ask anything about it.")]) == []


@pytest.mark.parametrize("make", [from_headings, from_clozes, from_definitions])
def test_the_same_documents_give_the_same_pairs_and_as_many_as_wanted(make):
    texts = (f"{PROSE.text} Apple{n} is a very old kind of apple." for n in range(30))
    chunks = [make_chunk(text, f"{n}.md", f"H{n}") for n, text in enumerate(texts)]
    made = make(chunks)
    assert made == make(chunks[::-1])
    assert len({pair.chunk_id for pair in made}) == 30
    assert make(chunks, 9) == made[:9]


REST = "All of this has to be said at some length here, so that a chunk is left which somebody could look for."


@pytest.mark.parametrize(
    ("text", "query"),
    [
        ("A hard negative is a chunk that scores high and is wrong.", "what is a hard negative"),
        ("**Recall** is the share of right chunks that were found.", "what is Recall"),
        (
            "The Corona virus disease (COVID-19) is a contagious disease of the lungs.",
            "what is the Corona virus disease",
        ),
        ("An arm, or side, is one of the two chains.", "what is an arm"),
        ("Qrels are the judged truth of the held-out queries.", "what are Qrels"),
        ("To promote means that the challenger serves from now on.", "what does promote mean"),
        ("- **Kante**: die Verbindung von zwei Knoten im Graphen", "Kante"),
        ("**Knoten** – ein Punkt im Graphen, an dem Kanten enden", "Knoten"),
        ("- `top_k`: how many hits an answer is written from", "top_k"),
        ("| hit | a chunk with its rank for a query |", "hit"),
    ],
)
def test_a_term_leads_to_the_chunk_that_defines_it_without_the_term_in_that_place(text: str, query: str):
    chunk = make_chunk(f"{REST}\n\n{text}\n\n{REST}")
    (pair,) = from_definitions([chunk])
    assert (pair.query, pair.chunk_id, pair.origin) == (query, chunk.id, "definition")
    term = re.sub(r"^what (?:is|are|does) (?:an? |the )?| mean$", "", query)
    assert term not in pair.text
    assert text.split()[-2] in pair.text
    assert pair.text.count(REST) == 2


@pytest.mark.parametrize(
    "text",
    [
        "This is a sentence that says nothing of a term.",
        "The reason is a cable that nobody ever plugged in.",
        "It is the first of the three that we looked at.",
        "Attachment takes place by means of a pilus at the tip.",
        "Results are shown in the table on the next page.",
        "**Never** do this with a file that you still need.",
        "**Note:** the file is overwritten without being asked for.",
        "However there is a limit on the size of a file.",
        "Now APIStar is a set of tools to check what was written.",
        "Be aware that this is a setting of the server alone.",
        "The common example is a page that nobody may open.",
        "GitHub is a great way to follow along with changes.",
        "The app is an instance of the class that was imported.",
        "request.form is a dictionary of all that was sent.",
        "Making your project installable means that it can be used from anywhere.",
        "Reducing code duplication is one of the ideas that it follows.",
        "- Port: 8000",
        "| port | 8000 |",
        "| say | for |",
        "|---|---|",
    ],
)
def test_what_only_looks_like_a_definition_makes_no_pair(text: str):
    assert from_definitions([make_chunk(f"{REST}\n\n{text}\n\n{REST}")]) == []


def test_a_term_that_is_defined_twice_is_one_query_and_one_in_a_short_chunk_is_none():
    chunks = [make_chunk(f"{REST} A hit is a chunk with a rank.", source) for source in ("a.md", "b.md")]
    assert len(from_definitions(chunks)) == 1
    assert from_definitions([make_chunk("A hit is a chunk with a rank.")]) == []


def test_in_rounds_takes_the_first_of_every_group_before_any_second():
    assert in_rounds([["b", "a", "e"], ["d"], []], str, 9) == ["a", "d", "b", "e"]
    assert in_rounds([["b", "a", "e"], ["d"], []], str, 3) == ["a", "d", "b"]


def test_synthetic_pairs_weigh_less_the_more_queries_are_rated_but_never_zero():
    assert [synthetic_weight(n) for n in (0, 200, 600)] == [1.0, 0.5, 0.25]


def test_questions_are_read_from_every_documents_folder_that_has_some(tmp_path: Path):
    one = questions_file(tmp_path / "one", '{"question": "a?", "source": "x.md", "section": "S", "answer": "p"}', "")
    two = questions_file(tmp_path / "two", '{"question": "b?", "source": null, "section": null}')
    (tmp_path / "three").mkdir()
    assert read_questions([one, two, tmp_path / "three"]) == [Question("a?", "x.md", "S", "p"), Question("b?", "", "")]


@pytest.mark.parametrize(
    "line", ["no json", '{"query": "a"}', "[]", '{"source": "a.md"}', '{"question": "a?", "answer": 42}']
)
def test_a_line_that_is_no_question_is_named_with_file_and_line(tmp_path: Path, line: str):
    folder = questions_file(tmp_path / "docs", '{"question": "a?"}', line)
    with pytest.raises(BadLabels, match=r"questions\.jsonl:2: .* is not a question"):
        read_questions([folder])
