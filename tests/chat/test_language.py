"""The screen's texts: complete in every language, each one used, none written anywhere else."""

from __future__ import annotations

import ast
import copy
import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import chainlit
import pytest

from chat.language import (
    ENGLISH,
    FOLDER,
    LIBRARY,
    PLACEHOLDER,
    SECTION,
    Phrase,
    as_saved,
    from_saved,
    in_language,
    joined,
    language_for,
    languages,
    recognised,
    said,
    texts,
)
from rag.answering.reply_limits import cut_off
from rag.errors import BadRating
from rag.loaders.formats import not_read
from rag.settings import ROOT
from rag.store.filters import DocumentFilter

GERMAN, SPANISH = "de-DE", "es"
OTHERS = [language for language in languages() if language != ENGLISH]
PAGE = [*sorted((ROOT / "public").rglob("*.jsx")), *sorted((ROOT / "public").glob("*.js"))]
SERVER = [*sorted((ROOT / "chat").rglob("*.py")), *sorted((ROOT / "chat").rglob("*.html")), ROOT / "chainlit_app.py"]
GROUPS = "|".join({key.split(".")[0] for key in texts(ENGLISH)})
KEY = re.compile(rf"""["'`]((?:{GROUPS})\.[a-z_]*[a-z])["'`]""")
BEGINNING = re.compile(rf"""["'`]((?:{GROUPS})\.[a-z_]*)(?:\$\{{|" ~ )""")  # `review.${{kind}}`, "board.by_" ~ name
BY_NUMBER = {"number.group", "number.decimal"}  # read by what writes numbers
SLOT = re.compile(r"\{(\w+)")

COMMENT = re.compile(r"^\s*//.*$|\s//\s.*$|/\*.*?\*/", re.MULTILINE | re.DOTALL)
WRITTEN = [  # how a text looks that is written into the page's code
    re.compile(r"""(?<!=)>\s*([^<>{}()=;]*[A-Za-z]{3,}[^<>{}()=;]*)<"""),
    re.compile(r"""\b(?:aria-label|title|placeholder|alt)=["']([^"']*[A-Za-z][^"']*)["']"""),
    re.compile(r"""['"`]([^'"`\n=<>#\[)]*[a-z]{2,},? [a-z]{2,}[^'"`\n=<>]*)['"`]"""),
    re.compile(r"""(?:textContent|title) = ['"]([^'"]+)['"]"""),
]
VALUES = {  # not on the screen: what the page sends, names of the program, CSS selectors
    *("wrong source", "not in the documents", "both bad", "dry run", "noopener noreferrer", "thumbtune"),
    "input, textarea",
    "input, textarea, [contenteditable=true]",
}


def slots(text: str | Mapping[str, str]) -> Any:
    """Return the placeholders of a text, for each of its forms."""
    if isinstance(text, str):
        return Counter(SLOT.findall(text))
    return {form: Counter(SLOT.findall(each)) for form, each in text.items()}


def used(pattern: re.Pattern[str]) -> set[str]:
    found = {key for path in [*PAGE, *SERVER] for key in pattern.findall(path.read_text("utf-8"))}
    return found - {"training.log"}  # a file


@cache
def library() -> str:
    """Return all strings in the code, one a line; those of an f-string by their parts."""
    files = [path for package in ("rag", "train", "chat") for path in (ROOT / package).rglob("*.py")]
    nodes = (node for path in files for node in ast.walk(ast.parse(path.read_text("utf-8"))))
    return "\n".join(node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str))


def written(source: str) -> Iterator[str]:
    """Yield the texts that are written into a file of the page."""
    for pattern in WRITTEN:
        for found in pattern.findall(COMMENT.sub("", source)):
            if found.strip() not in VALUES:
                yield found.strip()


def test_german_and_spanish_are_shipped() -> None:
    assert {GERMAN, SPANISH} <= set(OTHERS)


@pytest.mark.parametrize("language", OTHERS)
def test_a_language_has_every_text_with_the_same_placeholders(language: str) -> None:
    groups = json.loads((FOLDER / f"{language}.json").read_text("utf-8"))[SECTION]
    own = {f"{group}.{name}": text for group, names in groups.items() for name, text in names.items()}
    assert own.keys() == texts(ENGLISH).keys()
    differing = [key for key, text in own.items() if slots(text) != slots(texts(ENGLISH)[key])]
    assert differing == []


@pytest.mark.parametrize("language", languages())
def test_a_language_has_every_text_of_chainlit(language: str) -> None:
    def names(part: Mapping[str, Any], above: str = "") -> set[str]:
        here = {f"{above}{name}" for name, text in part.items() if isinstance(text, str)}
        return here.union(*(names(below, f"{above}{name}.") for name, below in part.items() if isinstance(below, dict)))

    theirs = json.loads((Path(chainlit.__file__).parent / "translations" / "en-US.json").read_text("utf-8"))
    ours = json.loads((FOLDER / f"{language}.json").read_text("utf-8"))
    del ours[SECTION]
    assert names(ours) == names(theirs)


def test_every_key_in_the_code_exists() -> None:
    assert used(KEY) - texts(ENGLISH).keys() == set()


def test_every_text_is_used() -> None:
    keys, beginnings = used(KEY) | BY_NUMBER, tuple(used(BEGINNING))
    own = [key for key in texts(ENGLISH) if not key.startswith(LIBRARY)]
    assert [key for key in own if key not in keys and not key.startswith(beginnings)] == []


COMPOSED = {  # sentences that the code puts together
    "library.only_folder": DocumentFilter(folders=("how-to", "log.md")).summary(),
    "library.only_type": DocumentFilter(types=("pdf",)).summary(),
    "library.only_folder_type": DocumentFilter(folders=("how-to",), types=("pdf", "md")).summary(),
    "library.only_since": DocumentFilter(since="2026-01-01").summary(),
    "library.only_before": DocumentFilter(before="2026-01-01").summary(),
    "library.only_between": DocumentFilter(since="2025-01-01", before="2026-01-01").summary(),
    "library.not_read": not_read(".exe"),
    "library.not_read_bare": not_read(""),
    "library.cut_off": f"the answer was {cut_off(1024)}",
}


@pytest.mark.parametrize("key", COMPOSED)
def test_a_sentence_that_the_library_composes_is_recognised(key: str) -> None:
    phrase = recognised(COMPOSED[key])
    assert isinstance(phrase, Phrase)
    assert (phrase.key, phrase) == (key, COMPOSED[key])


@pytest.mark.parametrize("key", [key for key in texts(ENGLISH) if key.startswith(LIBRARY) and key not in COMPOSED])
def test_a_sentence_of_the_library_is_in_its_code(key: str) -> None:
    parts = [part.strip(" ,.:;()") for part in PLACEHOLDER.split(str(texts(ENGLISH)[key]))[::3]]
    code = library()
    assert [part for part in parts if part not in code] == []


@pytest.mark.parametrize("path", PAGE, ids=lambda path: path.name)
def test_no_text_is_written_into_the_page(path: Path) -> None:
    assert list(written(path.read_text("utf-8"))) == []


@pytest.mark.parametrize(
    "source",
    [
        "<p>No passages found.</p>",
        "<button>\n  Ask again\n</button>",
        '<div aria-label="Passages">',
        "setError('The search failed');",
        "node.title = 'Close';",
        "const words = `Really remove ${name}`;",
    ],
)
def test_a_text_in_the_pages_code_would_be_found(source: str) -> None:
    assert list(written(source))


def test_a_phrase_is_its_english_and_can_be_written_in_another_language() -> None:
    phrase = Phrase("card.reading", n=1234)
    assert phrase == "Reading 1,234 passages…"
    assert in_language(phrase, GERMAN) == "1.234 Passagen werden gelesen…"
    assert in_language({"lines": [phrase, "as it is"]}, SPANISH) == {"lines": ["Leyendo 1.234 pasajes…", "as it is"]}


def test_one_is_singular_and_every_other_number_plural() -> None:
    assert [Phrase("page.passages", n=n) for n in (0, 1, 2)] == ["0 passages", "1 passage", "2 passages"]


def test_numbers_have_the_decimals_that_the_text_asks_for() -> None:
    phrase = Phrase("reveal.time", seconds=0.8401)
    assert phrase == "answered in 0.8 s"
    assert in_language(phrase, GERMAN) == "in 0,8 s beantwortet"


def test_phrases_in_a_phrase_are_written_in_its_language() -> None:
    phrase = joined(Phrase("card.saved"), "", Phrase("lesson.done", what=Phrase("lesson.makes", n=2)))
    assert phrase == "Saved. It makes 2 training pairs."
    assert in_language(phrase, GERMAN) == "Gespeichert. Das erzeugt 2 Trainingspaare."


def test_a_missing_value_or_key_is_an_error() -> None:
    with pytest.raises(KeyError):
        Phrase("card.reading")
    with pytest.raises(KeyError):
        Phrase("card.no_such_text")


def test_a_saved_phrase_can_be_read_in_any_language_later() -> None:
    props = {"alike": "", "reveal": {"summary": Phrase("reveal.each", shared=4, n=1)}, "sides": [{"vote": 1}]}
    read = from_saved(json.loads(json.dumps(as_saved(props))))
    assert read == props
    assert in_language(read, SPANISH)["reveal"]["summary"].startswith("Ambos encontraron 4 pasajes")


def test_a_saved_phrase_whose_key_is_gone_stays_english() -> None:
    saved = {"phrase": "card.gone", "values": {}, "english": "Said by an earlier release."}
    assert from_saved({"line": saved}) == {"line": "Said by an earlier release."}


def test_a_copy_of_a_phrase_keeps_its_key() -> None:
    assert in_language(copy.deepcopy(Phrase("page.undo")), GERMAN) == "Rückgängig"


def test_an_errors_phrase_outlives_the_error() -> None:
    assert in_language(said(BadRating(Phrase("error.no_vote"))), SPANISH) == "no hay ninguna valoración que retirar"
    assert said(BadRating("a name of a file")) == "a name of a file"


@pytest.mark.parametrize(
    ("accepted", "language"),
    [
        ("de", GERMAN),
        ("de-AT,de;q=0.9,en;q=0.8", GERMAN),
        ("es-MX", SPANISH),
        ("fr-FR,fr;q=0.9,es;q=0.5,en;q=0.4", SPANISH),
        ("en-GB,de;q=0.9", ENGLISH),
        ("de;q=0, en", ENGLISH),
        ("tlh", ENGLISH),
        ("", ENGLISH),
        ("*", ENGLISH),
        (";;q=,de;q=x\x00", ENGLISH),
    ],
)
def test_the_most_preferred_language_that_there_is_is_taken(accepted: str, language: str) -> None:
    assert language_for(accepted) == language


def test_the_operator_can_fix_the_language(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chainlit.config.config.ui, "language", GERMAN)
    assert language_for("es") == GERMAN


@pytest.mark.parametrize(
    ("english", "german"),
    [
        ("5, by meaning, the last one may be a keyword match", "5, nach Bedeutung, die letzte kann ein Stichworttreffer sein"),  # noqa: E501
        ("the endpoint failed: try again in a moment (HTTP 503)", "Der Endpunkt ist ausgefallen: Versuchen Sie es gleich noch einmal (HTTP 503)"),  # noqa: E501
        ("Only documents in how-to, of type md.", "Nur Dokumente in how-to, vom Typ md."),
        ("the evidence so far is 7.8 of 25, which does not decide; the difference to the champion is +0.05 [+0.02, +0.07]; about 40 more rated questions would decide it, if the gain stays as it is", "Die Evidenz ist bisher 7.8 of 25 und entscheidet nicht; der Unterschied zum bisherigen Modell ist +0.05 [+0.02, +0.07]; etwa 40 weitere bewertete Fragen würden entscheiden, wenn der Gewinn so bleibt"),  # noqa: E501
        ("some reason that is in no file, or in another", "some reason that is in no file, or in another"),
    ],
)  # fmt: skip
def test_a_sentence_of_the_library_is_recognised(english: str, german: str) -> None:
    phrase = recognised(english)
    assert phrase == english
    assert in_language(phrase, GERMAN) == german
