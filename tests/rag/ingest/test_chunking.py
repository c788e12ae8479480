"""Chunks: no text lost, exact offsets, never too long, cut at natural boundaries."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag.ingest.chunking import CountTokens, chunk_text
from rag.loaders.blocks import SENTENCE, split
from rag.loaders.builder import LoadedText
from rag.loaders.markup.markdown import load_markdown
from rag.loaders.text import load_code, load_text
from rag.records import Document, Span, chunks_of

SPECIAL = 2  # as BERT adds: [CLS] and [SEP]


def words(texts: list[str]) -> list[int]:
    return [len(text.split()) + SPECIAL for text in texts]


def letters(texts: list[str]) -> list[int]:
    """Count the gaps between pieces, too: a chunk has more tokens than its pieces together."""
    return [len(text) + SPECIAL for text in texts]


def superadditive(texts: list[str]) -> list[int]:
    """Count far more for a joined text than for its pieces."""
    return [len(text.split()) ** 2 // 8 + len(text) // 7 for text in texts]


def chunk_texts(markdown: str, limit: int, count_tokens: CountTokens = words) -> list[str]:
    loaded = load_markdown(markdown.encode())
    return [loaded.text[start:end] for start, end, _ in chunk_text(loaded.text, loaded.sections, count_tokens, limit)]


def numbered(count: int, prefix: str = "w") -> str:
    return " ".join(f"{prefix}{number}" for number in range(count))


line = st.lists(
    st.sampled_from("cat dog. Fish! a e.g. 3. – naïve `x_y` **b** 日本。語".split()), min_size=1, max_size=12
).map(" ".join)
heading = st.builds(lambda level, title: f"{'#' * level} {title}", st.integers(1, 3), st.sampled_from("ABCDEF"))
fence = st.lists(line, max_size=6).map(lambda rows: "```\n# no heading\n" + "\n".join(rows) + "\n```")
bullets = st.lists(line, min_size=1, max_size=6).map(lambda rows: "\n".join(f"- {row}" for row in rows))
table = st.lists(line, min_size=1, max_size=4).map(
    lambda rows: "| a | b |\n|---|---|\n" + "\n".join(f"| {r} | 1 |" for r in rows)
)
wild = st.text(max_size=120)
markdown = st.lists(st.one_of(line, heading, fence, bullets, table, wild), max_size=14).map("\n\n".join)
counts = st.sampled_from([words, letters, superadditive])
limits = st.integers(16, 60)


def loaded_by(load: Callable[[bytes], LoadedText]) -> st.SearchStrategy[LoadedText]:
    return markdown.filter(lambda text: "\0" not in text).map(lambda text: load(text.encode()))


documents = st.one_of(loaded_by(load_markdown), loaded_by(load_text))


@given(documents, counts, limits)
def test_chunks_cover_all_text_in_order_without_overlap(loaded: LoadedText, count: CountTokens, limit: int) -> None:
    chunks = chunk_text(loaded.text, loaded.sections, count, limit)
    done, between = 0, []
    for start, end, _ in chunks:
        assert done <= start < end <= len(loaded.text)
        between.append(loaded.text[done:start])
        done = end
    assert "".join([*between, loaded.text[done:]]).strip() == ""


@given(documents, counts, limits)
def test_no_chunk_but_a_single_character_exceeds_the_limit(loaded: LoadedText, count: CountTokens, limit: int) -> None:
    for start, end, _ in chunk_text(loaded.text, loaded.sections, count, limit):
        assert count([loaded.text[start:end]])[0] <= limit or end - start == 1


@given(documents, counts, limits)
def test_chunking_is_deterministic(loaded: LoadedText, count: CountTokens, limit: int) -> None:
    assert chunk_text(loaded.text, loaded.sections, count, limit) == chunk_text(
        loaded.text, loaded.sections, count, limit
    )


@given(loaded_by(load_markdown), st.sampled_from([words, superadditive]), limits)
def test_no_chunk_is_only_a_heading_if_its_section_has_text(loaded: LoadedText, count: CountTokens, limit: int) -> None:
    for start, end, section in chunk_text(loaded.text, loaded.sections, count, limit):
        headings = [block for block in section.blocks if block.kind == "heading"]
        body = [block for block in section.blocks if block.kind != "heading"]
        short = count([loaded.text[block.start : block.end] for block in headings])
        if body and sum(short) <= limit // 2:
            assert any(start < block.end and block.start < end for block in body)


@given(st.lists(st.integers(1, 80), min_size=2, max_size=6), st.data())
def test_an_edit_in_one_section_keeps_the_ids_of_the_others(sizes: list[int], data: st.DataObject) -> None:
    edited = data.draw(st.integers(0, len(sizes) - 1))
    texts = [f"## S{n}\n\n{numbered(size, f's{n}w')}" for n, size in enumerate(sizes)]
    before = ids_by_heading("\n\n".join(texts))
    texts[edited] = texts[edited].replace("w0", "changed and longer") + " and more"
    after = ids_by_heading("\n\n".join(texts))
    assert {name: ids for name, ids in before.items() if name != f"S{edited}"} == {
        name: ids for name, ids in after.items() if name != f"S{edited}"
    }
    assert before[f"S{edited}"] != after[f"S{edited}"]


def ids_by_heading(text: str) -> dict[str, list[str]]:
    loaded = load_markdown(text.encode())
    spans = tuple(
        Span(start, end, section.heading) for start, end, section in chunk_text(loaded.text, loaded.sections, words, 20)
    )
    ids: dict[str, list[str]] = {}
    for chunk in chunks_of(Document("d", "d.md", "d", "h", loaded.text, spans)):
        ids.setdefault(chunk.heading, []).append(chunk.id)
    return ids


def test_a_text_that_fits_is_one_chunk() -> None:
    assert chunk_texts("# Cats\n\nCats sleep.\n\nThey eat.", 20) == ["# Cats\n\nCats sleep.\n\nThey eat."]


def test_no_chunk_crosses_a_heading() -> None:
    assert chunk_texts("# A\n\none\n\n## B\n\ntwo", 100) == ["# A\n\none", "## B\n\ntwo"]


def test_chunks_are_filled_up_to_the_limit() -> None:
    # ten sentences of three words; 14 - 2 special tokens hold four of them
    sentences = [f"Cat {number} sleeps." for number in range(10)]
    assert [len(text.split()) for text in chunk_texts(" ".join(sentences), 14)] == [12, 12, 6]


def test_a_paragraph_is_not_split_if_the_chunk_before_it_is_half_full() -> None:
    first, second = numbered(6, "a"), "b0 b1 b2. B3 b4 b5."
    assert chunk_texts(f"{first}\n\n{second}", 12) == [first, second]


def test_a_paragraph_is_split_at_a_sentence_if_the_chunk_before_it_is_nearly_empty() -> None:
    assert chunk_texts("a0\n\nB0 b1 b2 b3. B4 b5 b6 b7.", 10) == ["a0\n\nB0 b1 b2 b3.", "B4 b5 b6 b7."]


@pytest.mark.parametrize(
    "block",
    ["```\nc0 c1\n\nc2 c3\nc4\n```", "- c0 c1\n- c2\n- c3 c4", "| a | b |\n|---|---|\n| c | d |"],
    ids=["code", "list", "table"],
)
def test_code_lists_and_tables_that_fit_into_a_chunk_are_not_split(block: str) -> None:
    size = len(block.split())
    assert chunk_texts(f"{numbered(size // 2, 'a')}\n\n{block}", size + SPECIAL) == [numbered(size // 2, "a"), block]


def test_a_long_list_is_cut_between_its_items() -> None:
    items = [f"- i{n} {numbered(4, 'x')}\n  and on" for n in range(4)]
    assert chunk_texts("\n".join(items), 18) == ["\n".join(items[:2]), "\n".join(items[2:])]


def test_long_code_is_cut_between_lines_and_keeps_its_indentation() -> None:
    code = "```\ndef f():\n    a = 1\n    b = 2\n    return a\n```"
    assert chunk_texts(code, 8) == ["```\ndef f():\n    a = 1", "    b = 2\n    return a\n```"]


def test_a_command_that_goes_on_after_a_backslash_is_not_cut_there() -> None:
    code = "```\necho one two\ncurl http://localhost/a \\\n-H json \\\n-d body\necho three four\n```"
    texts = chunk_texts(code, 12)
    assert len(texts) > 1
    assert not any(text.rstrip("`\n").endswith("\\") for text in texts)


def test_a_long_sentence_is_cut_between_words_and_a_long_word_inside() -> None:
    assert chunk_texts(numbered(5), 4) == ["w0 w1", "w2 w3", "w4"]
    assert chunk_texts("abcdefgh", 6, letters) == ["abcd", "efgh"]


def test_an_endless_word_is_cut_although_the_tokenizer_counts_it_as_one_token() -> None:
    chunks = chunk_texts("a" * 10_000, 18)
    assert "".join(chunks) == "a" * 10_000
    assert max(map(len, chunks)) <= 16 * 16


def test_the_text_under_a_heading_is_split_rather_than_leaving_the_heading_alone() -> None:
    assert chunk_texts(f"# Title one\n\n{numbered(10)}", 12) == [
        f"# Title one\n\n{numbered(7)}",
        "w7 w8 w9",
    ]


def test_a_heading_is_not_left_alone_to_keep_code_whole() -> None:
    code = "```\nc0 c1 c2 c3 c4\nc5 c6 c7 c8 c9\n```"
    assert chunk_texts(f"# H0 h1 h2 h3\n\n{code}", 14) == [
        "# H0 h1 h2 h3\n\n```\nc0 c1 c2 c3 c4",
        "c5 c6 c7 c8 c9\n```",
    ]


def test_a_heading_with_nothing_under_it_joins_the_next_section() -> None:
    loaded = load_markdown(b"# Guide\n\n## Install\n\nRun make.\n\n## Last\n")
    chunks = [
        (loaded.text[a:b], section.heading) for a, b, section in chunk_text(loaded.text, loaded.sections, words, 50)
    ]
    assert chunks == [("# Guide\n\n## Install\n\nRun make.", "Guide > Install"), ("## Last", "Guide > Last")]


WRAPPED = """The committee met on Monday and heard the report
of the treasurer, who said that the accounts were
in good order. The chair thanked her for the work
and moved to the next point of the agenda. Nobody
objected to the plan for the roof of the old hall
since its costs had been settled in spring. Tea
was served."""


@pytest.mark.parametrize("markdown", [WRAPPED, f"```\n{WRAPPED}\n```"], ids=["paragraph", "pre"])
def test_hard_wrapped_prose_is_cut_at_sentences_and_not_at_lines(markdown: str) -> None:
    chunks = chunk_texts(markdown, 30)
    assert len(chunks) > 2
    assert all(chunk.removeprefix("```\n")[0].isupper() for chunk in chunks)


def test_lines_that_are_no_prose_are_cut_between_lines() -> None:
    lines = [f"application/x-{n} org.example.Parser{n} reads it" for n in range(6)]
    assert chunk_texts("\n".join(lines), 14) == ["\n".join(lines[n : n + 3]) for n in (0, 3)]


def test_a_sentence_that_is_too_long_is_cut_at_its_commas() -> None:
    clauses = [f"{numbered(5, 'a')},", f"{numbered(5, 'b')};", f"{numbered(4, 'c')}."]
    assert chunk_texts(" ".join(clauses), 11) == [clauses[0], " ".join(clauses[1:])]


def test_chinese_without_blanks_is_cut_at_sentences_then_at_its_commas() -> None:
    assert chunk_texts("猫在睡觉。狗在外面跑。鸟儿会唱歌。", 14, letters) == ["猫在睡觉。狗在外面跑。", "鸟儿会唱歌。"]
    assert chunk_texts("猫在睡觉，狗在外面跑，鸟儿会唱歌", 14, letters) == ["猫在睡觉，狗在外面跑，", "鸟儿会唱歌"]


def test_a_letter_is_not_torn_from_its_marks() -> None:
    for text in ("ที่นี่เปิดทุกวันไม่มีวันหยุดเลย", "नमस्तेदुनियाकैसेहोतुम", "👩‍👩‍👧‍👦👩‍👩‍👧‍👦👩‍👩‍👧‍👦"):
        chunks = chunk_texts(text, 14, letters)
        assert len(chunks) > 1
        assert "".join(chunks) == text
        assert not any(unicodedata.category(chunk[0]).startswith("M") or chunk[0] == "\u200d" for chunk in chunks)
        assert not any(chunk[-1] in "เแโใไ\u200d" for chunk in chunks)


def test_text_in_small_letters_is_cut_at_its_full_stops() -> None:
    assert chunk_texts("the cat sleeps here. the dog runs fast. it rains", 10) == [
        "the cat sleeps here. the dog runs fast.",
        "it rains",
    ]


def test_text_without_any_mark_is_cut_between_words() -> None:
    assert chunk_texts("สวัสดี ครับ ผม ชื่อ สมชาย", 4) == ["สวัสดี ครับ", "ผม ชื่อ", "สมชาย"]


FIRST, SECOND = "def f(a):\n    b = 1\n\n    return b", "def g(a):\n    return 2\n\n\n# end"


def test_code_is_cut_at_blank_lines_of_the_outermost_level_before_others() -> None:
    assert chunk_texts(f"```\n{FIRST}\n\n{SECOND}\n```", 11) == [f"```\n{FIRST}", f"{SECOND}\n```"]


def test_a_function_in_a_source_file_is_whole_where_it_fits() -> None:
    loaded = load_code(f"{FIRST}\n\n{SECOND}\n".encode())
    chunks = [loaded.text[start:end] for start, end, _ in chunk_text(loaded.text, loaded.sections, words, 10)]
    assert chunks == [FIRST, SECOND]


def test_code_without_blank_lines_is_cut_at_its_least_indentation() -> None:
    code = "if a:\n    b()\n    c()\nelse:\n    d()\n    e()"
    assert chunk_texts(f"```\n{code}\n```", 7) == ["```\nif a:\n    b()\n    c()", "else:\n    d()\n    e()\n```"]


def test_a_table_row_that_is_too_long_is_cut_between_cells() -> None:
    table = f"| n | text |\n|---|---|\n| 1 | {numbered(6, 'a')} | {numbered(6, 'b')} |"
    assert chunk_texts(table, 12)[-1] == f"| {numbered(6, 'b')} |"


def test_a_document_takes_few_tokenizer_calls() -> None:
    calls = []

    def counting(texts: list[str]) -> list[int]:
        calls.append(len(texts))
        return words(texts)

    chunk_texts("\n\n".join(f"# H{n}\n\n" + "Cat sleeps here. " * 40 for n in range(50)), 40, counting)
    assert len(calls) == 3  # the special tokens, all sentences, all chunks


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("It rains. We stay! Why? So…  Fine.", ["It rains.", "We stay!", "Why?", "So…", "Fine."]),
        ('She said "no." Then **left.** Now', ['She said "no."', "Then **left.**", "Now"]),
        ("See e.g. Fig. 3 by J. Smith et al. 2020, i.e. This one.", None),
        ("1. Foo\n2. Bar", None),
        ("2.1. Layout of files", None),
        ("Version 2.5 of x.y is out", None),
        ("これは猫。犬もいる！「はい。」終", ["これは猫。", "犬もいる！", "「はい。」", "終"]),
        ("彼は「はい。」と言った。帰った。", ["彼は「はい。」と言った。", "帰った。"]),
        ("价格是3.5元。真的吗？是的！！好", ["价格是3.5元。", "真的吗？", "是的！！", "好"]),
        ("这是什么?它是“猫。”他走了。", ["这是什么?", "它是“猫。”", "他走了。"]),
        ("ما هذا؟ هذا كتاب. وهو جديد.", ["ما هذا؟", "هذا كتاب.", "وهو جديد."]),
        ("یہ کتاب ہے۔ وہ قلم ہے؟ جی۔", ["یہ کتاب ہے۔", "وہ قلم ہے؟", "جی۔"]),
        ("यह घर है। वह स्कूल है॥ ठीक", ["यह घर है।", "वह स्कूल है॥", "ठीक"]),
        ("Obst, z. B. Äpfel und u. a. Birnen, d. h. Kernobst.", None),
        ("The genome has accession no. AY274119, see ref. 12, fig. 3, eq. (5) and nos. 7 to 9.", None),
        (
            "Is it so? The answer is no. Ask again. It is shown in the fig. Look there.",
            ["Is it so?", "The answer is no.", "Ask again.", "It is shown in the fig.", "Look there."],
        ),
        ("Nach Dr. Meier gilt Abs. 3 und Art. 5 bzw. S. 12, vgl. Nr. 7, Prof. Kurz.", None),
        ("Er kam am 3. Oktober 1990. Sie blieb.", ["Er kam am 3. Oktober 1990.", "Sie blieb."]),
        ("Es kostet 3.50 Euro. Das sind 2 Mio. Euro!", ["Es kostet 3.50 Euro.", "Das sind 2 Mio. Euro!"]),
        ("Er sagte: „Nein.“ Dann »ging er.« Ende", ["Er sagte: „Nein.“", "Dann »ging er.«", "Ende"]),
        ("¿Qué es? ¡Un gato! Sí, Sr. López.", ["¿Qué es?", "¡Un gato!", "Sí, Sr. López."]),
        ("Она пришла в 2020 г. из дома. Он ушёл.", ["Она пришла в 2020 г. из дома.", "Он ушёл."]),
    ],
)
def test_sentences_end_at_real_sentence_ends(text: str, sentences: list[str] | None) -> None:
    assert [text[start:end] for start, end in split(text, 0, len(text), SENTENCE)] == (sentences or [text])
