"""OpenDocument text, through the loader of its suffix."""

from __future__ import annotations

import pytest

from office import edit_zip, make_zip
from opendocument import NAMESPACES, make_odf
from rag.errors import Unreadable
from rag.loaders.formats import LOADERS

OUTLINE = (
    "<office:styles><text:outline-style>"
    '<text:outline-level-style text:level="1" style:num-format="1"/>'
    '<text:outline-level-style text:level="2" style:num-format="a" style:num-suffix=")" text:display-levels="2"/>'
    "</text:outline-style></office:styles>"
)
CLAUSES = (
    '<text:list-style style:name="L1"><text:list-level-style-number text:level="1" style:num-format="1" '
    'style:num-suffix="."/><text:list-level-style-number text:level="2" style:num-format="i" style:num-prefix="(" '
    'style:num-suffix=")"/></text:list-style>'
    '<text:list-style style:name="B"><text:list-level-style-bullet text:level="1"/></text:list-style>'
)


def text_of(body: str, **parts: str) -> str:
    return LOADERS[".odt"](make_odf("text", body, **parts)).text


def item(text: str, inside: str = "") -> str:
    return f"<text:list-item><text:p>{text}</text:p>{inside}</text:list-item>"


def test_headings_have_the_numbers_that_the_file_shows() -> None:
    body = "".join(f'<text:h text:outline-level="{level}">{title}</text:h><text:p>x</text:p>'
                   for level, title in ((1, "Scope"), (2, "Who"), (2, "When"), (1, "Fees")))  # fmt: skip
    loaded = LOADERS[".odt"](make_odf("text", body, styles=OUTLINE))
    assert [section.heading for section in loaded.sections] == [
        "1 Scope", "1 Scope > 1.a) Who", "1 Scope > 1.b) When", "2 Fees",
    ]  # fmt: skip


def test_list_numbers_go_on_after_a_note_and_begin_again_in_a_new_list() -> None:
    first = f'<text:list text:style-name="L1">{item("a", "<text:list>" + item("b") + item("c") + "</text:list>")}'
    body = (
        f"{first}</text:list><text:p>A note.</text:p>"
        f'<text:list text:style-name="L1" text:continue-numbering="true">{item("d")}</text:list>'
        f'<text:list text:style-name="L1">{item("e")}</text:list>'
        f'<text:list text:style-name="B">{item("f")}</text:list>'
    )
    assert text_of(body, automatic=CLAUSES) == "1. a\n  (i) b\n  (ii) c\n\nA note.\n\n2. d\n\n1. e\n\n- f\n\n"


def test_a_list_that_starts_at_four_is_shown_so() -> None:
    start = '<text:list-item text:start-value="4"><text:p>a</text:p></text:list-item>'
    body = f'<text:list text:style-name="L1">{start}{item("b")}</text:list>'
    assert text_of(body, automatic=CLAUSES) == "4. a\n5. b\n\n"


def test_code_is_exact_to_the_letter() -> None:
    line = '<text:p text:style-name="Preformatted_20_Text">'
    first = f'{line}if x:<text:line-break/><text:s text:c="4"/>Flask(__name__)</text:p>'
    body = f"{first}{line}</text:p>{line}a<text:tab/>b</text:p>"
    assert text_of(body) == "```\nif x:\n    Flask(__name__)\n\na\tb\n```\n\n"


def test_notes_comments_and_text_boxes_follow_their_paragraph() -> None:
    body = (
        "<text:p>Fee<text:note><text:note-citation>1</text:note-citation><text:note-body><text:p>In euros.</text:p>"
        "</text:note-body></text:note> due<office:annotation><dc:creator>Ann</dc:creator><text:p>Since May?</text:p>"
        "</office:annotation>.<draw:frame><draw:text-box><text:p>In a box</text:p></draw:text-box></draw:frame>"
        "</text:p>"
    )
    assert text_of(body) == "Fee[1] due.\n\n[1] In euros.\n\nComment by Ann: Since May?\n\nIn a box\n\n"


def test_deleted_and_hidden_text_stays_out_and_hidden_text_is_noted() -> None:
    body = (
        "<text:tracked-changes><text:changed-region><text:deletion><text:p>gone</text:p></text:deletion>"
        '</text:changed-region></text:tracked-changes><text:p>Open<text:span text:style-name="T1"> secret</text:span>'
        '</text:p><text:section text:display="none"><text:p>inside</text:p></text:section>'
    )
    hidden = (
        '<style:style style:name="T1" style:family="text"><style:text-properties text:display="none"/></style:style>'
    )
    loaded = LOADERS[".odt"](make_odf("text", body, automatic=hidden))
    assert loaded.text == "Open\n\n"
    assert loaded.note == "hidden text is left out (2 passages)"


def test_page_headers_stand_once_without_page_numbers() -> None:
    page = (
        '<office:master-styles><style:master-page style:name="Standard"><style:header><text:p>Contract 4471, page '
        "<text:page-number>3</text:page-number></text:p></style:header><style:footer><text:p>Page "
        '<text:page-number>3</text:page-number></text:p></style:footer></style:master-page><style:master-page '
        'style:name="Unused"><style:header><text:p>Draft</text:p></style:header></style:master-page></office:master-styles>'
    )  # fmt: skip
    assert text_of("<text:p>x</text:p>", styles=page) == "Page header: Contract 4471, page\n\nx\n\n"


def test_a_table_names_its_columns_and_repeats_a_cell_over_several_rows() -> None:
    body = (
        "<table:table><table:table-header-rows><table:table-row><table:table-cell><text:p>City</text:p>"
        "</table:table-cell><table:table-cell><text:p>Fee</text:p></table:table-cell><table:table-cell><text:p>Note"
        "</text:p></table:table-cell></table:table-row></table:table-header-rows><table:table-row><table:table-cell "
        'table:number-rows-spanned="2"><text:p>Rome</text:p></table:table-cell><table:table-cell><text:p>5</text:p>'
        "</table:table-cell><table:table-cell/></table:table-row><table:table-row><table:covered-table-cell/>"
        '<table:table-cell table:number-columns-repeated="2"><text:p>7</text:p></table:table-cell></table:table-row>'
        "</table:table>"
    )
    assert text_of(body) == "| City | Fee | Note |\n| --- | --- | --- |\n| Rome | 5 |  |\n| Rome | 7 | 7 |\n\n"


def test_a_merged_cell_counts_in_each_of_its_rows_where_no_covered_cell_is_written() -> None:
    def cell(text: str, spans: str = "") -> str:
        return f"<table:table-cell {spans}><text:p>{text}</text:p></table:table-cell>"

    high, wide = 'table:number-rows-spanned="2"', 'table:number-columns-spanned="2"'
    rows = (
        cell("City") + cell("Fee") + cell("Note"),
        cell("Rome", high) + cell("x", wide),
        cell("y") + cell("z", high),
        cell("Oslo") + cell("w"),
    )
    body = "".join(f"<table:table-row>{row}</table:table-row>" for row in rows)
    lines = text_of(f"<table:table>{body}</table:table>").splitlines()
    assert lines[2:] == ["| Rome | x |  |", "| Rome | y | z |", "| Oslo | w | z |", ""]


def test_a_formula_a_chart_and_form_fields_are_text() -> None:
    chart = (
        "<office:document-content><office:body><office:chart><chart:chart><chart:title><text:p>Visitors</text:p>"
        "</chart:title><table:table><table:table-rows><table:table-row><table:table-cell/><table:table-cell><text:p>Rome"
        "</text:p></table:table-cell></table:table-row><table:table-row><table:table-cell><text:p>2025</text:p>"
        "</table:table-cell><table:table-cell><text:p>0.30000000000000004</text:p></table:table-cell></table:table-row>"
        "</table:table-rows></table:table></chart:chart></office:chart></office:body></office:document-content>"
    )
    formula = "<math:math><math:msup><math:mi>c</math:mi><math:mn>2</math:mn></math:msup></math:math>"
    body = (
        '<office:forms><form:form><form:checkbox form:id="c1" form:label="Yes" form:current-state="checked"/>'
        '<form:text form:id="c2" form:current-value="Rome"/></form:form></office:forms>'
        '<text:p>E = <draw:frame><draw:object xlink:href="./Object 1"/></draw:frame></text:p>'
        '<text:p><draw:frame><draw:object xlink:href="./Object 2"/></draw:frame></text:p>'
        '<text:p>City: <draw:control draw:control="c2"/><draw:control draw:control="c1"/></text:p>'
    )
    text = text_of(body, **{"Object 1": formula, "Object 2": chart})
    assert (
        text
        == "E = c^2\n\nChart: Visitors\n\n| Category | Rome |\n| --- | --- |\n| 2025 | 0.3 |\n\nCity: Rome ☒ Yes\n\n"
    )


def test_title_and_date_come_from_the_file() -> None:
    meta = "<dc:title>Rules</dc:title><dc:date>2026-05-31T10:00:00</dc:date>"
    loaded = LOADERS[".odt"](make_odf("text", "<text:p>x</text:p>", meta=meta))
    assert (loaded.title, loaded.date) == ("Rules", "2026-05-31")


def test_a_flat_file_is_read() -> None:
    body = "<office:body><office:text><text:p>They sleep.</text:p></office:text></office:body>"
    assert (
        LOADERS[".fodt"](f"<office:document {NAMESPACES}>{body}</office:document>".encode()).text == "They sleep.\n\n"
    )


def test_a_file_with_a_password_says_so() -> None:
    data = edit_zip(
        make_odf("text", ""), "META-INF/manifest.xml", "/>", "><manifest:encryption-data/></manifest:manifest>"
    )
    with pytest.raises(Unreadable, match="protected by a password: save a copy without one"):
        LOADERS[".odt"](data)


def test_entities_are_refused() -> None:
    bomb = '<!DOCTYPE x [<!ENTITY a "aaaa">]><office:document-content/>'
    with pytest.raises(Unreadable, match="declares XML entities"):
        LOADERS[".odt"](make_zip({"content.xml": bomb}))


def test_a_damaged_file_says_so() -> None:
    with pytest.raises(Unreadable, match="damaged"):
        LOADERS[".odt"](make_zip({"content.xml": "no markup"}))


def test_lists_nested_without_end_are_refused() -> None:
    with pytest.raises(Unreadable, match="nested too deeply"):
        LOADERS[".odt"](make_odf("text", "<text:section>" * 3000 + "</text:section>" * 3000))


def test_a_ruby_text_stands_in_brackets_and_one_that_is_missing_loses_nothing() -> None:
    ruby = "<text:ruby><text:ruby-base>{}</text:ruby-base>{}</text:ruby>"
    reading = "<text:ruby-text>とうきょう</text:ruby-text>"
    assert text_of(f"<text:p>{ruby.format('東京', reading)} Bay</text:p>") == "東京 (とうきょう) Bay\n\n"
    lacking = ruby.format("東京", "<text:span> Tower</text:span>")
    assert text_of(f"<text:p>{lacking}</text:p>") == "東京 Tower\n\n"
