"""Write what is on the screen in the reader's language: one file per language, next to Chainlit's own texts.

A `Phrase` is an English sentence that keeps its key and values. Logs, the terminal and tests read the English; what is
sent to a browser is written in its language (`in_language`), and what is saved can be read in another one later
(`as_saved`, `from_saved`). `public/language.js` does the same with the same files for what the page writes itself.

Files: .chainlit/translations/<language>.json, section "thumbtune": group -> name -> text. A text has {placeholders}, or
is a pair of texts "one" and "other", chosen by the value `n`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from functools import cache, reduce
from typing import Any

from rag.settings import ROOT

FOLDER = ROOT / ".chainlit" / "translations"
SECTION = "thumbtune"  # of a file; the rest is Chainlit's
ENGLISH = "en-US"
PLACEHOLDER = re.compile(r"\{(\w+)(?::\.(\d)f)?\}")  # with a number of decimals: {seconds:.1f}
PLACEHOLDER_ESCAPED = re.compile(r"\\\{(\w+)\\\}")
PREFERENCE = re.compile(r"\s*([A-Za-z]{2,3}(?:-[A-Za-z0-9]+)*)\s*(?:;\s*q\s*=\s*([01](?:\.\d{0,3})?))?\s*")
MAX_HEADER = 500  # characters of an Accept-Language header; browsers send 30
LIBRARY = "library."  # the group of sentences that rag/ writes, by which they are recognised
SAVED = {"phrase", "values", "english"}
Text = str | Mapping[str, str]  # as it is in a file: a sentence, or its forms "one" and "other"


class Phrase(str):
    """An English sentence that can be written in another language: `Phrase("card.reading", n=5)`.

    Raises KeyError for a key that is not in the English file, or for a placeholder without a value.
    """

    __slots__ = ("key", "values")
    key: str
    values: Mapping[str, Any]

    def __new__(cls, key: str, **values: Any) -> Phrase:  # noqa: ANN401  # numbers, names, other phrases
        """Return the sentence of a key with these values."""
        self = super().__new__(cls, _written(ENGLISH, key, values))
        self.key, self.values = key, values
        return self

    def __getnewargs_ex__(self) -> tuple[tuple[str], Mapping[str, Any]]:
        """Return what makes a copy of this phrase."""
        return (self.key,), self.values


def in_language(value: Any, language: str) -> Any:  # noqa: ANN401  # whatever is sent to a browser
    """Return a value with every phrase in it, at any depth, written in a language."""
    if isinstance(value, Phrase):
        return _written(language, value.key, value.values)
    if isinstance(value, Mapping):
        return {name: in_language(part, language) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [in_language(part, language) for part in value]
    return value


def as_saved(value: Any) -> Any:  # noqa: ANN401  # the props of an element
    """Return a value for the history, as JSON: phrases in it keep their keys."""
    if isinstance(value, Phrase):
        return {"phrase": value.key, "values": as_saved(value.values), "english": str(value)}
    if isinstance(value, Mapping):
        return {name: as_saved(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [as_saved(part) for part in value]
    return value


def from_saved(value: Any) -> Any:  # noqa: ANN401
    """Return what `as_saved` was given. A phrase whose key is gone since stays English."""
    if isinstance(value, list):
        return [from_saved(part) for part in value]
    if not isinstance(value, dict):
        return value
    if value.keys() != SAVED:
        return {name: from_saved(part) for name, part in value.items()}
    try:
        return Phrase(str(value["phrase"]), **from_saved(value["values"]))
    except KeyError:
        return str(value["english"])


def joined(*sentences: str, by: str = "page.two") -> str:
    """Return sentences as one, without the empty ones; `by` is the key of how two are joined."""
    given = [sentence for sentence in sentences if sentence]
    return reduce(lambda first, second: Phrase(by, first=first, second=second), given) if given else ""


def said(error: Exception) -> str:
    """Return an error's sentence, as a phrase if it is one: `str(error)` would be its English."""
    first = error.args[0] if error.args else ""
    return first if isinstance(first, Phrase) else recognised(str(error))


def recognised(text: str) -> str:
    """Return a sentence that rag/ wrote as the phrase of the group "library" that it fits, with the parts within it.

    Why: the errors and notes of rag/ are English and the commands print them, too. A sentence of none of these texts
    stays as it is.
    """
    if isinstance(text, Phrase):
        return text
    for key, pattern in _patterns():
        if found := pattern.fullmatch(text):
            return Phrase(key, **{name: recognised(part) for name, part in found.groupdict().items()})
    return text


def language_for(accepted: str) -> str:
    """Return the language of an Accept-Language header for which there is a file, the most preferred one; else English.

    A language matches with or without its region: "de-AT" reads de-DE.json. The `language` of .chainlit/config.toml
    takes precedence over what browsers ask for.
    """
    from chainlit.config import config  # here, as it reads its environment when it is imported

    for wanted in filter(None, [config.ui.language, *_preferred(accepted)]):
        for match in (str.lower, _base):
            for language in languages():
                if match(language) == match(wanted):
                    return language
    return ENGLISH


@cache
def languages() -> tuple[str, ...]:
    """Return the languages that have a file with this chat's texts, English first."""
    found = [path.stem for path in sorted(FOLDER.glob("*.json")) if SECTION in json.loads(path.read_text("utf-8"))]
    return (ENGLISH, *(language for language in found if language != ENGLISH))


@cache
def texts(language: str) -> Mapping[str, Text]:
    """Return a language's texts by "group.name"; those that its file lacks are English."""
    path = FOLDER / f"{language}.json"
    groups = json.loads(path.read_text("utf-8"))[SECTION]
    own = {f"{group}.{name}": text for group, names in groups.items() for name, text in names.items()}
    return own if language == ENGLISH else {**texts(ENGLISH), **own}


@cache
def _patterns() -> Sequence[tuple[str, re.Pattern[str]]]:
    """Return the texts of the group "library" as patterns, those with the most letters of their own first."""
    own = {key: str(text) for key, text in texts(ENGLISH).items() if key.startswith(LIBRARY)}
    ranked = sorted(own.items(), key=lambda each: -len(PLACEHOLDER.sub("", each[1])))
    return [
        (key, re.compile(PLACEHOLDER_ESCAPED.sub(r"(?P<\1>.+)", re.escape(text)), re.DOTALL)) for key, text in ranked
    ]


def _written(language: str, key: str, values: Mapping[str, Any]) -> str:
    """Return a text with its values: the form for `n`, numbers as they are written in this language."""
    known = texts(language)
    text = known[key]
    if not isinstance(text, str):
        text = text["one" if values["n"] == 1 else "other"]
    return PLACEHOLDER.sub(lambda found: _shown(values[found[1]], found[2], language, known), text)


def _shown(value: object, decimals: str | None, language: str, known: Mapping[str, Text]) -> str:
    if isinstance(value, int | float) and not isinstance(value, bool):
        marks = {",": str(known["number.group"]), ".": str(known["number.decimal"])}
        return re.sub(
            r"[,.]",
            lambda mark: marks[mark[0]],
            f"{value:,.{decimals}f}" if decimals else f"{value:,.{decimals}f}" if decimals else f"{value:,}",
        )
    return str(in_language(value, language))


def _preferred(accepted: str) -> list[str]:
    """Return the languages of an Accept-Language header, the most preferred first."""
    found = [PREFERENCE.fullmatch(part) for part in accepted[:MAX_HEADER].split(",")]
    ranked = [(float(each[2] or 1), each[1]) for each in found if each]
    return [language for weight, language in sorted(ranked, key=lambda each: -each[0]) if weight]


def _base(language: str) -> str:
    return language.lower().split("-")[0]
