"""The units of a passage that can be quoted: sentences, list items, table rows and code, exact to the letter."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag.answering.quotable import LONG_ITEM, fence_before, plain_text, quotable_units

CODE = "from flask import Flask\n\napp = Flask(__name__)\nprint(argv[1])"


def shown(text: str, source: str = "a.md") -> list[str]:
    return [unit.shown for unit in quotable_units(text, source)]


@pytest.mark.parametrize(
    ("text", "units"),
    [
        ("One is here. Two is\nthere!", ["One is here.", "Two is there!"]),
        ("## Heading\n\nSome text.", ["Some text."]),
        ("- first item\n- second item\n  goes on", ["- first item", "- second item goes on"]),
        ("- item\n\n  and its second paragraph", ["- item", "- and its second paragraph"]),
        ("1. one\n2. two", ["1. one", "2. two"]),
        ("- outer\n  - inner\n\nAfter.", ["- outer", "- inner", "After."]),
        ("| a | b |\n|---|---|\n| 1 | 2 |\n|  | - |", ["| 1 | 2 |"]),
        ("```bash\nmake chat\n```", ["```bash\nmake chat\n```"]),
        ("So it looks.\n\n![A picture of it](../images/it.svg)", ["So it looks."]),
        ("Which one? The second.", ["The second."]),
        ("Use e.g. this. Version 3.5 too.", ["Use e.g. this.", "Version 3.5 too."]),
        ("> Quoted words.", ["Quoted words."]),
        ("---\n\nBelow a rule.", ["Below a rule."]),
        ("Warning\n\nHot surface", []),
        ("Done!", ["Done!"]),
        ("1 One … 3\n1.1 Two … 3\nA. Notes … iv\n2 Three … 12\n\nIt begins.", ["It begins."]),
        ("Tea … 3\nCake … 2\nSoup … 4", ["Tea … 3", "Cake … 2", "Soup … 4"]),
        ("", []),
    ],
)
def test_sentences_items_rows_and_code_of_a_passage_can_be_quoted(text: str, units: list[str]) -> None:
    assert shown(text) == units


def test_a_table_row_is_scored_with_its_column_names_and_its_caption_leads_to_it() -> None:
    caption, row = quotable_units("Ducks per year\n\n| Year | Ducks |\n|---|---|\n| 2022 | 170 |", "a.html")
    assert (row.text, row.shown) == ("Year: 2022, Ducks: 170", "| 2022 | 170 |")
    assert caption.leads
    assert not any(unit.leads for unit in quotable_units("It is so.\n\n| a | b |\n|---|---|\n| 1 | 2 |", "a.md"))


def test_in_a_terminal_no_backslash_is_left() -> None:
    (unit,) = quotable_units("Call __init__ [3] of <a@b.c>.", "a.txt")
    assert plain_text(unit.shown) == "Call __init__ [3] of <a@b.c>."


def test_a_table_row_carries_its_column_names() -> None:
    (unit,) = quotable_units("| a | b |\n|---|---|\n| 1 | 2 |", "a.md")
    assert unit.head == "| a | b |\n|---|---|"


@pytest.mark.parametrize("source", ["a.md", "a.html", "a.rst", "mail.eml"])
def test_a_code_block_is_exact_to_the_letter(source: str) -> None:
    text = f"Write this:\n\n```python title=x\n{CODE}\n```\n\nIt runs."
    assert shown(text, source) == ["Write this:", f"```python\n{CODE}\n```", "It runs."]


def test_code_that_contains_a_fence_gets_a_longer_one() -> None:
    assert shown("````\n```\nx\n```\n````") == ["````\n```\nx\n```\n````"]


def test_a_passage_that_begins_inside_a_code_block_is_code_up_to_its_end() -> None:
    assert shown("x = f(a)\ny = 2\n```\n\nThen run it.", "a.html") == ["```\nx = f(a)\ny = 2\n```", "Then run it."]
    assert shown("Then run it:\n\n```\nmake x", "a.html") == ["Then run it:", "```\nmake x\n```"]


def test_a_passage_inside_a_code_block_is_code() -> None:
    code = "@app.errorhandler(404)\ndef not_found(e):\n    # our own page\n    return render_template('404.html'), 404"
    assert shown(code, "a.rst") == [f"```\n{code}\n```"]
    commented = f"# not the level of the blueprint\n{code}"
    assert shown(commented, "a.rst") == [f"```\n{commented}\n```"]
    assert shown("A list of steps:\n\n- call f(x)\n  - and g[y](z)", "a.rst") == [
        "A list of steps:",
        "- call f(x)",
        "- and g[y](z)",
    ]


def test_source_code_is_one_unit_in_its_language() -> None:
    assert shown("def f(x):\n    return x\n", "src/a.py") == ["```py\ndef f(x):\n    return x\n```"]


def test_outside_markdown_marks_are_text_and_stay_so_on_the_screen() -> None:
    assert shown("Call __init__ of a*b <here>, not `__init__`.", "a.txt") == [
        r"Call \_\_init\_\_ of a\*b \<here>, not `__init__`."
    ]
    assert shown("Where 2 * 3 < 7, set SECRET_KEY.", "a.txt") == ["Where 2 * 3 < 7, set SECRET_KEY."]
    assert shown("This is *important*.", "a.md") == ["This is *important*."]
    assert shown("    indented prose.", "a.txt") == ["indented prose."]
    assert shown("A line.\n---\nNext.", "a.txt")[-1] == "Next."


def test_a_reference_of_the_passage_is_no_citation_of_ours() -> None:
    assert shown("Shown before [3], and [1, 2].") == [r"Shown before \[3\], and \[1, 2\]."]


def test_lines_of_a_form_are_units_of_their_own_and_wrapped_lines_are_not() -> None:
    form = "Name: Ann Smith\nAge: 34\nPlate: KA-PL 512"
    assert shown(form, "form.pdf") == ["Name: Ann Smith", "Age: 34", "Plate: KA-PL 512"]
    assert shown("The first line goes on\nin the second. Then\nit ends.", "a.txt") == [
        "The first line goes on in the second.",
        "Then it ends.",
    ]


def test_wrapped_lines_of_japanese_are_joined_without_a_blank_and_short_lines_stay() -> None:
    wrapped = (
        "これらのコマンドは、ソースパッケージの中でどんな変更をしたのか、バ\n"
        "イナリパッケージに必要なファイルが正しく収められているかどうかを確\n"
        "認します。便利です。"
    )
    first = wrapped.replace("\n", "").removesuffix("便利です。")
    assert shown(wrapped, "a.txt") == [first, "便利です。"]
    assert shown("春はあけぼの。\n夏は夜。\n秋は夕暮れ。", "a.txt") == ["春はあけぼの。", "夏は夜。", "秋は夕暮れ。"]


def test_a_long_list_item_is_quoted_by_its_sentences() -> None:
    first, second = "Word " * LONG_ITEM + "ends.", "Short one."
    assert shown(f"- {first} {second}") == [first, second]


@given(st.text(alphabet="ab.?:|-*#`~ \n\t>1[]()", max_size=80))
def test_any_text_has_units_and_no_unit_invents_a_letter(text: str) -> None:
    for unit in quotable_units(text, "a.txt"):
        assert set(filter(str.isalnum, unit.shown)) <= set(text)


@pytest.mark.parametrize(
    ("text", "fence"),
    [
        ("x = 1\n```\n\nNow it is one.", "```"),
        ("x = 1\n~~~~\nNow.", "~~~~"),
        ("Set it to one:\n```\nx = 1", ""),  # its own end is cut
        ("```python\nx = 1", ""),
        ("x\n```\ny\n```\n", ""),
        ("No code.", ""),
    ],
)
def test_the_fence_that_a_cut_of_a_document_lacks(text: str, fence: str) -> None:
    assert fence_before(text) == fence
