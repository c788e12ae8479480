"""Lines between two rules at the top of a Markdown file: front matter, or text."""

from __future__ import annotations

import pytest

from rag.loaders.markup.markdown import load_markdown


def test_front_matter_gives_the_title_and_is_not_part_of_the_text() -> None:
    loaded = load_markdown(b'---\ntitle: "The cats"\nlayout: page\n---\n# Heading\n\ntext\n')
    assert (loaded.title, loaded.text) == ("The cats", "# Heading\n\ntext\n")


def test_a_single_rule_at_the_start_begins_no_front_matter() -> None:
    assert "kept" in load_markdown(b"---\n\nkept, because no second rule follows\n").text


@pytest.mark.parametrize(
    "lines", ["]: x\n" * 5_000, "[" * 15_000 + "\n", "word " * 1_000_000 + "\n", "a: &a [*a]\n" * 99]
)
def test_hostile_front_matter_is_read_quickly(lines: str) -> None:
    assert load_markdown(f"---\n{lines}---\nEnd.\n".encode()).text.endswith("End.\n")


@pytest.mark.parametrize(
    "lines",
    ["text\n" * 9, "# Heading\n- item\n", "title: A\nand text that goes on\n", "https://a.example: x\nb\n"],
)
def test_text_between_two_rules_is_kept(lines: str) -> None:
    assert load_markdown(f"---\n{lines}---\nEnd.\n".encode()).text == f"---\n{lines}---\nEnd.\n"


@pytest.mark.parametrize(
    "lines",
    [
        "# comment\n\ntitle: A\n",
        "title: A\ntags:\n- b\n  - c\n\n# comment\nlist: [\n  d,\n]\n",
        "title: A\ntext: |\n  b\n\n  c: d\n",
        "'a key': b\ntitle: A\n",
        "\ntitle: A\n",
        'title: A\ndescription: "foo\nbar baz."\n',
        'title: A\ntags: [\n"a",\n"b"\n]\n',
        "og:title: Foo\ntitle: A\n",
        "title: A\nsubtitle: B: of colons\n",
    ],
)
def test_front_matter_is_a_yaml_mapping_or_looks_like_one(lines: str) -> None:
    for end in ("---", "..."):
        loaded = load_markdown(f"---\n{lines}{end}\nEnd.\n".encode())
        assert (loaded.title, loaded.text) == ("A", "End.\n")


def text_of(markdown: str) -> str:
    """Return the text of Markdown without blank lines."""
    return "\n".join(filter(str.strip, load_markdown(markdown.encode()).text.splitlines()))


@pytest.mark.parametrize(
    "mark", [" { #first-steps }", " {#id}", "{#id}", " {: .y }", ' {: #a .b c="d e" }', " {.unnumbered}"]
)
def test_the_id_of_a_heading_is_in_no_title_path_or_text(mark: str) -> None:
    loaded = load_markdown(f"# First steps{mark}\n\nText{{: .note }}\n".encode())
    assert (loaded.title, loaded.sections[0].heading, loaded.text) == (
        ("First steps",) * 2 + ("# First steps\n\nText\n",)
    )


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ('!!! warning "Hot"\n    Do not touch.\n\n    At all.\n\nEnd.', "Warning: Hot\nDo not touch.\nAt all.\nEnd."),
        ("??? note\n    Inner.", "Note\nInner."),
        ("/// tip | Mind\n\nStep.\n\n///\n\nEnd.", "Tip: Mind\nStep.\nEnd."),
        (":::tip[Pro]\nDo it.\n:::", "Tip: Pro\nDo it."),
        (":::note Title here\nDo it.\n:::", "Note: Title here\nDo it."),
        (':::{.callout-tip title="Pro"}\nDo it.\n:::', "Tip: Pro\nDo it."),
        ("> [!NOTE]\n> Read.", "> Note\n> Read."),
        ("```{note}\nRead *this*.\n```", "Note\nRead *this*."),
        ('=== "Linux"\n    Run it.', "Linux\nRun it."),
    ],
)
def test_an_admonition_is_text_without_its_marks(written: str, read: str) -> None:
    assert text_of(written) == read


@pytest.mark.parametrize(
    "include",
    [
        "{! a.md !}",
        "{* a.md hl[1] *}",
        '--8<-- "a.md"',
        "{% include a.md %}",
        "{{< include a.md >}}",
        "{{#include a.md}}",
    ],
)
def test_an_include_is_counted_and_not_shown(include: str) -> None:
    loaded = load_markdown(f"Before.\n\n{include}\n\nAfter.\n".encode())
    assert loaded.text.split() == ["Before.", "After."]
    assert loaded.note == "includes another file, which is not part of it: 'a.md'"


def test_jsx_comments_and_data_pictures_are_left_out_and_their_text_is_kept() -> None:
    page = (
        "import Tabs from '@theme/Tabs';\n\n<Tabs groupId='x'>\n<TabItem value='a' label='Python'>\n\nRun it.\n\n"
        "</TabItem>\n</Tabs>\n\n<!-- secret\nlines -->{/* hidden */}\n\n![plan](data:image/png;base64,AAAA)\n\n"
        "<div align='center'>\n\nUse <name> and List<String>.\n\n</div>\n"
    )
    assert text_of(page) == "Python\nRun it.\nplan\nUse <name> and List<String>."


@pytest.mark.parametrize(
    "code",
    [
        "```python\napp = Flask(__name__)  # {: .y } <!-- c --> {% include x %}\n\n!!! note\n```\n",
        "    a = <b>{#id}</b>\n    ::: x\n",
        "Use `Flask(__name__) {#id}` and `<b>` and $x_{.5}$ here.\n",
        "A lone ` tick.\n\nUse `<HTML>`, then `<b>`.\n",
        "- a lone ` tick\n- use `<HTML>`, then `<b>`\n",
        "- item\n\n  ```html\n  <div class='a'>{{ x }}</div>\n  ```\n",
    ],
)
def test_code_and_formulas_stay_exact_to_the_letter(code: str) -> None:
    assert load_markdown(f"# A {{#a}}\n\n{code}".encode()).text == f"# A\n\n{code}"


def test_code_in_an_admonition_keeps_its_inner_indent() -> None:
    assert "```py\nif x:\n    y\n```" in load_markdown(b"!!! note\n    ```py\n    if x:\n        y\n    ```\n").text


@pytest.mark.parametrize(
    "matter",
    [
        '+++\ntitle = "A"\ndate = 2026-05-31\n[params]\nx = 1\n+++\n',
        '{\n"title": "A",\n"date": "2026-05-31T10:00:00Z"\n}\n',
        "---\ntitle: A\ndate: 2026-05-31\n---\n",
    ],
)
def test_front_matter_may_be_toml_or_json(matter: str) -> None:
    loaded = load_markdown(f"{matter}End.\n".encode())
    assert (loaded.title, loaded.date, loaded.text) == ("A", "2026-05-31", "End.\n")


def test_an_html_table_in_markdown_is_read_by_rows() -> None:
    table = "<table><tr><th>Ink</th><th>Cost</th></tr><tr><td>red</td><td>3</td></tr></table>"
    assert text_of(table) == "| Ink | Cost |\n| --- | --- |\n| red | 3 |"


@pytest.mark.parametrize("separator", ["\f", "\v", "\x85", "\u2028"])
def test_code_stays_exact_after_a_line_with_a_sign_that_python_takes_for_a_line_end(separator: str) -> None:
    written = f"one{separator}two{separator}three\n\n```html\n<b>{{ #x }}</b>\n```\n\n<b>bold</b>\n"
    text = load_markdown(written.encode()).text
    assert "```html\n<b>{ #x }</b>\n```" in text
    assert "\nbold\n" in text
