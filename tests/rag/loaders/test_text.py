"""Plain text as a terminal shows it; source code: unchanged, cut at blank lines."""

from __future__ import annotations

import pytest

from rag.errors import Unreadable
from rag.ingest.chunking import chunk_text
from rag.loaders.formats import LOADERS
from rag.loaders.text import load_code

CODE = "def a():\n    return 1\n\n\ndef b():\n    x = 2\n\n    return x\n"


def test_code_is_unchanged_and_cut_at_blank_lines() -> None:
    loaded = load_code(CODE.encode())
    assert loaded.text == CODE
    chunks = chunk_text(loaded.text, loaded.sections, lambda texts: [len(text.split()) for text in texts], 6)
    assert [CODE[start:end] for start, end, _ in chunks] == [
        "def a():\n    return 1",
        "def b():\n    x = 2",
        "    return x",
    ]


def test_minified_code_is_refused() -> None:
    with pytest.raises(Unreadable, match="generated or minified"):
        load_code(b"var a=1;" * 500)


def test_binary_data_with_a_code_suffix_is_refused() -> None:
    with pytest.raises(Unreadable, match="not text"):
        load_code(b"\x7fELF\0\0")


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("N\bNA\bAZ\bZW\bWA\bA _\bo_\bf -\b--\b-help", "NAZWA of --help"),  # as man and nroff write
        ("_\b_\bS\bS\bS _\b_i_\bn i\b_n\b_", "S _in in"),
        ("字\b字 表\b\b表", "字 表"),
        ("+\bo a bullet; wrogn\b\bng", "o a bullet; wrong"),
        ("\b\bone\n\btwo", "one\ntwo"),
        ("\x1b[1mNAME\x1b[0m ls \x1b]8;;http://x.org\x1b\\a link\x1b]8;;\x1b\\", "NAME ls a link"),
    ],
)
@pytest.mark.parametrize("suffix", [".txt", ".log"])
def test_text_is_as_a_terminal_shows_it(suffix: str, written: str, shown: str) -> None:
    assert LOADERS[suffix](written.encode()).text == shown


def test_a_manual_in_latin_1_is_text_and_no_binary_file() -> None:
    written = "".join(f"{char}\b{char}" for char in "NÉCESSAIRE") + " où la clé est déjà rangée"
    assert LOADERS[".txt"](written.encode("latin-1")).text == "NÉCESSAIRE où la clé est déjà rangée"
