"""Sentences by language: Django's translations, to count letters in, and GNOME's help, to try the guess on."""

from __future__ import annotations

import html
import re
from pathlib import Path

UNSPACED = ("ja", "zh_Hans", "zh_Hant")
SHORTEST = 30  # characters of a paragraph
GNOME = {"pt": "pt", "zh_Hans": "zh_CN", "zh_Hant": "zh_TW", "sr_Latn": "sr@latin"}  # its names, where they differ
WITHOUT_GNOME = ("th", "bg")
ENCODINGS = {
    **dict.fromkeys(("de", "es", "fr", "it", "pt", "nl"), ("cp1252", "iso-8859-1", "cp850", "mac_roman")),
    **dict.fromkeys(("fi", "sv", "da"), ("cp1252", "cp850")),
    **dict.fromkeys(("pl", "cs", "hu", "hr", "sl", "sr_Latn", "ro"), ("cp1250", "iso-8859-2", "cp852")),
    "tr": ("cp1254", "iso-8859-9"),
    "el": ("cp1253", "iso-8859-7"),
    "ru": ("cp1251", "koi8-r", "cp866", "iso-8859-5", "mac_cyrillic"),
    "uk": ("cp1251", "koi8-u", "iso-8859-5"),
    **dict.fromkeys(("sr", "bg"), ("cp1251",)),
    "he": ("cp1255", "iso-8859-8"),
    "th": ("cp874", "tis-620"),
    **dict.fromkeys(("lt", "lv"), ("cp1257",)),
    "ja": ("cp932", "euc_jp", "utf-16-le"),
    "ko": ("cp949", "utf-16-be"),
    "zh_Hans": ("gb18030", "utf-16-le"),
    "zh_Hant": ("big5", "utf-16-be"),
}
ENTRY = r'^{}(?:\[\d\])? ((?:"(?:[^"\\]|\\.)*"\s*)+)'
QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"')
MARKUP = re.compile(r"%\([^)]*\)[sd]?|%[sd]|<[^>]*>|&\w+;|&")


def counted(language: str, django: Path) -> list[str]:
    """Return Django's translations into a language; its English ones are the originals."""
    if language == "en":
        return [each for path in _catalogs(django, "de") for each in _messages(path, "msgid")]
    paths = _catalogs(django, language)
    if language in WITHOUT_GNOME:
        paths = [path for path in paths if "/contrib/a" not in path.as_posix()]
    return [each for path in paths for each in _messages(path)]


def held_out(language: str, django: Path, gnome: Path) -> list[str]:
    """Return paragraphs that no letters were counted in."""
    if language in WITHOUT_GNOME:
        paths = [path for path in _catalogs(django, language) if "/contrib/a" in path.as_posix()]
        return [" ".join(_messages(path)) for path in paths]
    english = set(_paragraphs(gnome, "C"))
    return [each for each in _paragraphs(gnome, GNOME.get(language, language)) if each not in english]


def _catalogs(django: Path, language: str) -> list[Path]:
    return sorted(django.glob(f"django/**/locale/{language}/LC_MESSAGES/*.po"))


def _messages(path: Path, key: str = "msgstr") -> list[str]:
    found = re.finditer(ENTRY.format(key), path.read_text("utf-8"), re.MULTILINE)
    texts = ("".join(QUOTED.findall(each[1])).replace("\\n", " ").replace('\\"', '"') for each in found)
    return [plain for text in texts if "Content-Type:" not in text and (plain := MARKUP.sub("", text).strip())]


def _paragraphs(gnome: Path, language: str) -> list[str]:
    pages = sorted(gnome.glob(f"usr/share/help/{language}/*/*.page"))
    found = (each for page in pages for each in re.findall(r"<p>(.*?)</p>", page.read_text("utf-8"), re.DOTALL))
    plain = (" ".join(html.unescape(re.sub(r"<[^>]*>", "", each)).split()) for each in found)
    return [each for each in plain if len(each) > SHORTEST]
