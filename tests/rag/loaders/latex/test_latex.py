"""LaTeX, through the loader of its suffix."""

from __future__ import annotations

import time
from itertools import pairwise

import pytest

from rag.errors import Unreadable
from rag.loaders.builder import LoadedText
from rag.loaders.formats import LOADERS
from rag.loaders.latex.parser import is_closed


def load(body: str, preamble: str = "") -> LoadedText:
    source = rf"\documentclass{{article}}{preamble}\begin{{document}}{body}\end{{document}}"
    return LOADERS[".tex"](source.encode())


def text_of(body: str, preamble: str = "") -> str:
    return load(body, preamble).text


def test_headings_are_sections_under_the_title() -> None:
    loaded = load(
        "\\maketitle\n\\section{One}\na\n\\subsection*{Two}\nb\n\\section[s]{Three}\nc",
        "\\title{Bees}\\author{Ann \\and Bob}\\date{2026-05-31}",
    )
    assert [section.heading for section in loaded.sections] == [
        "Bees",
        "Bees > One",
        "Bees > One > Two",
        "Bees > Three",
    ]
    assert (loaded.title, loaded.date) == ("Bees", "2026-05-31")
    assert "Ann\nBob" in loaded.text


def test_marks_of_formatting_and_comments_go_and_wrapped_lines_are_one() -> None:
    body = (
        'A \\textbf{bold} and \\emph{big\n  word}~here%secret\n, 5\\,\\% of it \\\\ K\\"oln \\s'
        's{} na\\"{\\i}ve --- \\ldots\n\n% gone\nNext'
    )
    assert text_of(body) == "A bold and big word here, 5 % of it\nKöln ß naïve — …\n\nNext\n\n"


def test_code_is_exact_to_the_letter() -> None:
    code = "def f(x):  % no comment\n    return Flask(__name__) & x\n\n\\begin{itemize}"
    for before, after in (
        ("\\begin{verbatim}\n", "\\end{verbatim}"),
        ("\\begin{lstlisting}[language=Python]\n", "\\end{lstlisting}"),
        ("\\begin{minted}{python}\n", "\\end{minted}"),
    ):
        text = text_of(f"a\n{before}{code}\n{after}\nb")
        assert text in (f"a\n\n```\n{code}\n```\n\nb\n\n", f"a\n\n```python\n{code}\n```\n\nb\n\n")
    assert text_of("Use \\verb|a_b %c| and \\lstinline{x&y}.") == "Use `a_b %c` and `x&y`.\n\n"


def test_formulas_stay_as_they_are_written() -> None:
    text = text_of("So $E = mc^2$ holds.\n\\begin{equation}\na &= b_1\n\\end{equation}")
    assert text == "So $E = mc^2$ holds.\n\n```\n\\begin{equation}\na &= b_1\n\\end{equation}\n```\n\n"


def test_lists_have_their_numbers_and_levels() -> None:
    body = (
        "\\begin{enumerate}\\item a\\begin{itemize}\\item b\n\nmore\\end{itemize}\\item c\\end{enumerate}"
        "\\begin{description}\\item[Fee] 5 euros\\end{description}"
    )
    assert text_of(body) == "1. a\n  - b\n    more\n2. c\n\n- Fee: 5 euros\n\n"


def test_a_table_names_its_columns_and_joins_two_rows_of_names() -> None:
    table = (
        "\\begin{table}[ht]\\caption{Fees}\\begin{tabular}{l|rr}\\toprule & \\multicolumn{2}{c"
        "}{Berlin} \\\\ Year & Cost & "
        "Visitors \\\\ \\midrule 2025 & 1 & 2 \\\\ 2026 & 3 & 4 \\\\ \\bottomrule\\end{tabular}\\end{table}"
    )
    assert text_of(table) == (
        "Fees\n\n| Year | Berlin, Cost | Berlin, Visitors |\n| --- | --- | --- |\n| 2025 | 1 |"
        " 2 |\n| 2026 | 3 | 4 |\n\n"
    )


def test_links_references_and_footnotes_are_text() -> None:
    body = (
        "See \\href{http://x.org}{the site}, \\url{http://y.org/a_b}, \\cite[p.~3]{knuth, lamport} and "
        "\\ref{sec:a}\\label{b}.\\footnote{In euros.}"
    )
    assert text_of(body) == ("See the site, http://y.org/a_b, [knuth, lamport] and [sec:a].[1]\n\n[1] In euros.\n\n")


def test_macros_of_the_file_are_expanded_and_unknown_ones_are_named() -> None:
    preamble = "\\newcommand{\\ours}{BeeNet}\\newcommand{\\by}[2][Ann]{#2 by #1}\\def\\x{y}\\newtheorem{thm}{Theorem}"
    loaded = load(
        "\\ours{} is \\by{made}, \\by[Bob]{sold}. \\theirs{} is not.\\begin{thm}Bees fly.\\end{thm}", preamble
    )
    assert loaded.text == "BeeNet is made by Ann, sold by Bob. is not.\n\nTheorem. Bees fly.\n\n"
    assert loaded.lost == "commands that it does not define are left out: \\theirs"


def test_named_files_and_drawings_are_noted() -> None:
    loaded = load("a \\input{chapters/one}\\begin{tikzpicture}\\draw (0,0);\\end{tikzpicture}")
    assert loaded.text == "a\n\n"
    assert loaded.note == "files that it names are not part of it: chapters/one"
    assert loaded.lost == "1 drawings in TeX are not read"


def test_macros_that_double_each_other_end() -> None:
    names = "abcdefghijklmnopqrstuvwxyz"
    bomb = "".join(f"\\newcommand{{\\z{a}}}{{\\z{b}\\z{b}}}" for a, b in pairwise(names))
    start = time.process_time()
    loaded = load("They sleep. \\za", f"{bomb}\\newcommand{{\\zz}}{{x}}")
    assert time.process_time() - start < 20
    assert loaded.text == "They sleep.\n\n"
    assert loaded.lost == "it has too many commands of its own, some are left out"


def test_groups_nested_without_end_are_refused() -> None:
    with pytest.raises(Unreadable, match="nested too deeply"):
        load("{" * 5000 + "}" * 5000)


def test_each_author_of_a_journal_article_with_a_command_of_its_own_is_named() -> None:
    authors = r"\title{Bees}\author[1]{Ann Lee}\affiliation{Pier}\author[2]{Bob Ray}"
    assert text_of("Hum.", authors).startswith("# Bees\n\nAnn Lee\nBob Ray")


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (r"one \begin{itemize}[ two", "one\n\n[ two\n\n"),
        (r"\begin{itemize}[ one \item two \end{itemize} three", "  [ one\n- two\n\nthree\n\n"),
        (r"one \item[ two", "one\n\n[ two\n\n"),
        (r"\begin{tabular}{ll a & b \\ c & d", "| ll a | b |\n| --- | --- |\n| c | d |\n\n"),
        (r"one \multicolumn{2}{c} two", "one two\n\n"),
        (r"one \textbf{ two } } three", "one two three\n\n"),
        ("one $ two\n\nthree", "one $ two\n\nthree\n\n"),
        ("one $$x$ and $y$ two\n\nthree", "one $$x$ and $y$ two\n\nthree\n\n"),
        (
            r"\begin{align} x \end{align*}" + "\n\ntwo",
            "```\n\\begin{align} x \\end{align*}\\end{align}\n```\n\ntwo\n\n",
        ),
        (
            r"\begin{align}x \\end{align} y" + "\n\ntwo",
            "```\n\\begin{align}x \\\\end{align} y\\end{align}\n```\n\ntwo\n\n",
        ),
        ("one $x$ costs $3.\n\nthree $$y$$", "one $x$ costs $3.\n\nthree\n\n```\n$$y$$\n```\n\n"),
    ],
)
def test_an_argument_without_an_end_takes_no_text_with_it(body: str, text: str) -> None:
    assert text_of(body) == text


def test_arguments_without_an_end_within_each_other_take_no_longer() -> None:
    unended = r"\multicolumn{2}{c{x} Bees \begin{tabular}{l|r fly. "
    start = time.process_time()
    assert text_of(unended * 40).count("Bees") == 40
    assert time.process_time() - start < 20


def test_a_definition_without_an_end_takes_no_text_with_it() -> None:
    assert text_of("They sleep.", r"\newcommand{\bee}[1]{{bee #1}\title{Bees}").endswith("They sleep.\n\n")
    assert text_of(r"They \bee{sleep}.", r"\newcommand{\bee}[1]{{fly }") == "They sleep.\n\n"


def test_a_bracket_is_closed_in_its_paragraph_group_and_environment() -> None:
    assert [is_closed(text, 0) for text in ("[a]", "[{]} a]", r"[\] a]", "[[a]]", "[a\nb]")] == [True] * 5
    assert [is_closed(text, 0) for text in ("[a", "[a}]", "[a\n\nb]", "[[a]", r"[a \end{b}]", r"[a\]")] == [False] * 6


def test_a_file_may_use_the_names_of_our_marks() -> None:
    assert text_of(r"one \thumbtunecode{two} \verb|x| three") == "one \\thumbtunecodetwo `x` three\n\n"


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (r"We use {\TeX}, \LaTeX\ and \BibTeX{}; \LaTeXe is new.", "We use TeX, LaTeX and BibTeX; LaTeX2e is new."),
        (r"\og Oui\fg{}, see \S~9 and \S 10, \copyright{} Ann", "« Oui », see § 9 and § 10, © Ann"),
        (r"\pdfbookmark[1]{License}{license} Free. \hypertarget{a-b}{Here}", "Free. Here"),
        (r"one \vskip 0.5\baselineskip two\kern1pt three \hskip 2em plus 1fil minus 2pt four", "one two three four"),
    ],
)
def test_logos_are_words_and_ids_and_distances_are_none(body: str, text: str) -> None:
    assert text_of(body) == f"{text}\n\n"


def test_a_file_that_is_named_without_braces_is_noted() -> None:
    loaded = load("one \\input tabs/names.tex\ntwo")
    assert loaded.text == "one two\n\n"
    assert loaded.note == "files that it names are not part of it: tabs/names.tex"


def test_a_command_of_another_file_in_place_of_a_word_is_named() -> None:
    assert LOADERS[".tex"](rb"For a listing see the \GCR.").lost == (
        "commands that it does not define are left out: \\GCR"
    )


def test_commands_that_are_left_out_are_counted_after_the_fifth_and_those_of_formulas_stay() -> None:
    loaded = load(r"\qa. \qb. \qc. \qd. \qe. \qf. \qg. $x \qh.$ \[ \qi. \] \hyperlink{an-id}{Here}")
    assert loaded.lost == r"commands that it does not define are left out: \qa, \qb, \qc, \qd, \qe and 2 more"
    assert loaded.text.endswith("Here\n\n")
    assert "an-id" not in loaded.text


def test_labels_stay_in_a_list_that_the_file_defines() -> None:
    own = r"\newenvironment{options}{\list{}{}}{\endlist}"
    assert text_of(r"\begin{options}\item[-a] adds \item[-b file] reads\end{options}", own) == (
        "-a: adds\n\n-b file: reads\n\n"
    )


def test_a_macro_with_a_condition_writes_one_of_its_texts() -> None:
    role = r"\providecommand*{\role}[2]{\ifcsname r#1\endcsname \csname r#1\endcsname{#2}\else #2\fi}"
    assert text_of(r"an abbreviation (\role{abbreviation}{abb.})", role) == "an abbreviation (abb.)\n\n"
    nested = r"\newcommand{\bee}[1]{\ifx\a\b one\else \ifnum1<2 two\else three #1\fi\fi}"
    assert text_of(r"They \bee{fly}.", nested) == "They three fly.\n\n"
