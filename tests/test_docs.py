"""The documentation and the code say the same. A page is read as the app reads it: by the loader that indexes it."""

from __future__ import annotations

import argparse
import ast
import importlib
import json
import re
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from chat.actions.review import PAGE
from rag.answering.service import MAX_QUERY_CHARS
from rag.evaluation.scoreboard import DAYS, GROUPS, LEAST
from rag.feedback.ratings import MARK_WEIGHT, TAUGHT_WEIGHT
from rag.feedback.suggestions import MOST
from rag.ingest.documents import MAX_FILE_BYTES
from rag.loaders.formats import LOADERS, README
from rag.loaders.markup.markdown import load_markdown
from rag.records import normalise_query
from rag.retrieval.passage_search import DEPTH, SHOWN
from rag.settings import ROOT, Settings
from train.dataset.held_out import HELD_OUT_SHARE
from train.dataset.split import MIN_QUERIES
from train.dataset.synthetic_split import MOST_PASSAGES
from train.dataset.unanswerable import ENOUGH_KNOWN, MOST_FOREIGN
from train.judging.abstention import MIN_FOUND, MOST_DECLINED
from train.judging.serving_precision import MOST_JUDGING, WITHIN

DOCS = ROOT / "docs"
PAGES = sorted(DOCS.rglob("*.md"))
PROGRAMS = ("rag", "train", "chat", "serve")
QUESTIONS = [json.loads(line) for line in (DOCS / "questions.jsonl").read_text("utf-8").splitlines()]
ANSWERABLE = [question for question in QUESTIONS if question["source"]]
LEAST_ANSWERABLE, LEAST_UNANSWERABLE = 150, 45
DEFAULTS_OF_THE_MACHINE = {"docs", "train_threads"}  # described in words
LONGEST_ANSWER = 130  # characters: a phrase, so that it lies in one chunk

# What a page says of a number, for each number that has a name in the code.
NUMBERS = [
    ("concepts/embeddings.md", f"at most {WITHIN} below full precision"),
    ("concepts/embeddings.md", f"at most {MOST_JUDGING} of the evaluation queries"),
    ("how-to/train.md", f"Below {MIN_QUERIES} rated queries with a positive"),
    ("how-to/train.md", f"three in ten judge, at most {MOST_PASSAGES}"),
    ("how-to/rate-well.md", f"below {MIN_QUERIES} rated queries with a positive"),
    ("decisions/0004-minimum-of-50-rated-queries.md", f"refuses below {MIN_QUERIES} rated queries with a positive"),
    ("concepts/held-out.md", f"About {HELD_OUT_SHARE:.0%} of all queries"),
    ("concepts/the-loop.md", f"About {1 - HELD_OUT_SHARE:.0%} of the rated queries train"),
    ("decisions/0003-held-out-by-hash.md", f"the lowest {HELD_OUT_SHARE:.0%} of the hash's range"),
    ("how-to/when-something-is-wrong.md", f"more than {MAX_QUERY_CHARS:,} characters"),
    ("how-to/choose-an-llm.md", f"{Settings.model_fields['llm_max_tokens'].default} tokens by default"),
    ("how-to/when-something-is-wrong.md", f"more than {MAX_FILE_BYTES // 10**6} MB"),
    ("how-to/read-the-scoreboard.md", f"Groups with fewer than {LEAST} duels with a winner"),
    ("how-to/read-the-scoreboard.md", f"The {GROUPS} largest are shown"),
    ("how-to/read-the-scoreboard.md", f"longer than {DAYS} days"),
    ("how-to/teach.md", f"it weighs {TAUGHT_WEIGHT:.0f}, where a mark on a passage weighs {MARK_WEIGHT:.0f}"),
    ("how-to/teach.md", f"{DEPTH} passages each and a keyword search for {DEPTH} more"),
    ("how-to/teach.md", f"shows the best {SHOWN}"),
    ("how-to/teach.md", f"and {PAGE} are loaded at a time"),
    ("how-to/teach.md", f"At most {MOST} are compared"),
    (
        "concepts/not-knowing.md",
        f"At most {MOST_DECLINED:.0%} of the questions whose correct passage is among the first",
    ),
    ("concepts/not-knowing.md", f"fewer than {ENOUGH_KNOWN} are known, {MOST_FOREIGN} questions about this app"),
    ("concepts/not-knowing.md", f"fewer than {MIN_FOUND} questions find their passage"),
    *(("how-to/your-own-documents.md", f"`{suffix}`") for suffix in LOADERS if suffix != README),
]


@cache
def sections(page: Path) -> dict[str, str]:
    """Return heading -> text of a page, as the index has it."""
    extract = load_markdown(page.read_bytes())
    return {
        section.heading.rpartition(" > ")[2]: extract.text[section.blocks[0].start : section.blocks[-1].end]
        for section in extract.sections
        if section.blocks
    }


def env_name(field: str) -> str:
    """Return the environment variable of a setting: its owner's name where it has one, else ours."""
    alias: Any = Settings.model_fields[field].validation_alias
    return str(alias.choices[0]) if alias else f"THUMBTUNE_{field.upper()}"


def options(parser: argparse.ArgumentParser, name: str) -> Iterator[str]:
    """Yield every flag of a command line, and every subcommand with its program's name before it."""
    for action in parser._actions:
        yield from (flag for flag in action.option_strings if flag.startswith("--") and flag != "--help")
        if isinstance(action, argparse._SubParsersAction):
            for command, sub in action.choices.items():
                yield f"{name} {command}"
                yield from options(sub, f"{name} {command}")


def command_line() -> list[str]:
    """Return what can be typed after `python -m`."""
    programs = {name: importlib.import_module(f"{name}.__main__") for name in PROGRAMS}
    parsers = {name: module.build_parser() for name, module in programs.items() if hasattr(module, "build_parser")}
    return [*PROGRAMS, *(option for name, parser in parsers.items() for option in options(parser, name))]


def make_targets() -> list[str]:
    """Return the targets that people are meant to type: those with a name of plain letters and digits."""
    makefile = ROOT / "Makefile"
    lines = makefile.read_text("utf-8").splitlines() if makefile.exists() else []
    return [match[1] for line in lines if (match := re.match(r"([a-z][a-z0-9-]*):(?!=)", line))]


def packages_in_readme() -> set[str]:
    """Return the packages that README's tree names, as paths."""
    tree = (ROOT / "README.md").read_text("utf-8").partition("## The tree")[2].partition("\n## ")[0]
    found, floor = set(), ""
    for line in tree.splitlines():
        if match := re.match(r"    (\w+)/ ", line):
            floor = match[1]
        elif match := re.match(r"      (\w+)/ ", line):
            found.add(f"{floor}/{match[1]}")
    return found


@pytest.mark.parametrize("question", ANSWERABLE, ids=lambda question: question["question"])
def test_a_question_names_a_section_that_holds_its_answer(question: dict[str, str]) -> None:
    page = DOCS / question["source"]
    assert page.is_file()
    assert question["section"] in sections(page)
    assert question["answer"] in sections(page)[question["section"]]
    assert 0 < len(question["answer"]) <= LONGEST_ANSWER


def test_each_starter_is_a_question_whose_page_is_known() -> None:
    tree = ast.parse((ROOT / "chainlit_app.py").read_text("utf-8"))
    (starters,) = (
        ast.literal_eval(node.value)
        for node in tree.body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "STARTERS"
    )
    pages = {normalise_query(question["question"]): question["source"] for question in ANSWERABLE}
    assert {starter: pages.get(normalise_query(starter)) for starter in starters} == starters


def test_there_are_enough_questions_of_both_kinds() -> None:
    assert len(ANSWERABLE) >= LEAST_ANSWERABLE
    assert len(QUESTIONS) - len(ANSWERABLE) >= LEAST_UNANSWERABLE


def test_no_question_is_asked_twice() -> None:
    asked = Counter(normalise_query(question["question"]) for question in QUESTIONS)
    assert not [question for question, times in asked.items() if times > 1]


def test_every_section_that_explains_something_is_asked_for() -> None:
    asked = {(question["source"], question["section"]) for question in ANSWERABLE}
    named = {
        (page.relative_to(DOCS).as_posix(), heading)
        for page in PAGES
        if page.parent.name in ("how-to", "concepts")
        for heading in list(sections(page))[1:]
    }
    assert not named - asked


def test_no_two_sections_have_the_same_heading() -> None:
    headings = Counter(heading for page in PAGES for heading in sections(page))
    assert not [heading for heading, times in headings.items() if times > 1]


@pytest.mark.parametrize(("page", "said"), NUMBERS)
def test_a_page_gives_the_number_that_the_code_has(page: str, said: str) -> None:
    assert said in (DOCS / page).read_text("utf-8")


@pytest.mark.parametrize("field", Settings.model_fields)
def test_every_setting_is_in_the_example_and_in_the_reference(field: str) -> None:
    name = env_name(field)
    assert re.search(rf"^# {name}=", (ROOT / ".env.example").read_text("utf-8"), re.MULTILINE)
    assert f"| `{name}` |" in (DOCS / "how-to" / "settings.md").read_text("utf-8")


@pytest.mark.parametrize("field", sorted(set(Settings.model_fields) - DEFAULTS_OF_THE_MACHINE))
def test_the_reference_gives_the_default_that_the_code_has(field: str) -> None:
    default = Settings.model_fields[field].default
    shown = f"`{default:g}`" if isinstance(default, float) else f"`{default}`" if default else "empty"
    assert f"| `{env_name(field)}` | {shown} |" in (DOCS / "how-to" / "settings.md").read_text("utf-8")


def test_the_example_and_the_reference_name_no_setting_that_is_gone() -> None:
    named = (ROOT / ".env.example").read_text("utf-8") + "".join(page.read_text("utf-8") for page in PAGES)
    assert set(re.findall(r"THUMBTUNE_[A-Z_]+[A-Z]", named)) <= {env_name(field) for field in Settings.model_fields}


def test_every_command_and_flag_is_in_the_reference() -> None:
    text = (DOCS / "how-to" / "commands.md").read_text("utf-8")
    named = [option if option.startswith("--") else f"python -m {option}" for option in command_line()]
    assert not [option for option in named if option not in text]


def test_the_reference_names_what_the_one_command_takes() -> None:
    text = (DOCS / "how-to" / "commands.md").read_text("utf-8")
    assert all(
        f"`{named}`" in text
        for named in ("thumbtune chat", "thumbtune index", "thumbtune train", "thumbtune --version")
    )


def test_every_make_target_is_told_to_contributors() -> None:
    named = (ROOT / "README.md").read_text("utf-8") + (ROOT / "CONTRIBUTING.md").read_text("utf-8")
    assert not [target for target in make_targets() if f"make {target}" not in named]


def test_no_page_names_a_make_target_that_is_gone() -> None:
    pages = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *PAGES]
    named = {target for page in pages for target in re.findall(r"`make ([a-z0-9-]+)", page.read_text("utf-8"))}
    assert not make_targets() or named <= set(make_targets())


def test_readmes_tree_names_every_package() -> None:
    packages = {p.parent.relative_to(ROOT).as_posix() for name in PROGRAMS for p in (ROOT / name).glob("*/__init__.py")}
    assert packages_in_readme() == packages


@pytest.mark.parametrize("page", [*sorted(ROOT.glob("*.md")), *PAGES], ids=lambda page: str(page.relative_to(ROOT)))
def test_every_internal_link_leads_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", page.read_text("utf-8"))
    assert not [link for link in links if "://" not in link and not (page.parent / link).exists()]


def test_the_sites_menu_names_every_page_once() -> None:
    menu = re.findall(r"^ +- (?:[\w-]+: )?([\w/.-]+\.md)$", (ROOT / "mkdocs.yml").read_text("utf-8"), re.MULTILINE)
    assert sorted(menu) == sorted(page.relative_to(DOCS).as_posix() for page in PAGES)


@pytest.mark.parametrize("folder", ["", *PROGRAMS, "benchmarks", "tests"])
def test_every_module_says_what_it_does(folder: str) -> None:
    modules = (ROOT / folder).rglob("*.py") if folder else ROOT.glob("*.py")
    assert not [path for path in modules if not ast.get_docstring(ast.parse(path.read_text("utf-8")))]


def test_the_recorded_labels_quote_these_pages() -> None:
    """The journey in the browser trains on them and needs 50; a page that is rewritten may lose some."""
    pages = [words_of(page.read_text("utf-8")) for page in (ROOT / "docs").rglob("*.md")]
    lines = (ROOT / "tests" / "support" / "files" / "labels.jsonl").read_text("utf-8").splitlines()
    recorded = [json.loads(line) for line in lines]
    found = {each["query"] for each in recorded if any(words_of(each["text"]) in page for page in pages)}
    gone = sorted({each["query"] for each in recorded} - found)
    assert len(found) >= 60, f"give these labels the words of the pages as they are now: {gone}"


def words_of(text: str) -> str:
    return " ".join(re.findall(r"\w+", text.lower()))
