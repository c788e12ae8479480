"""Source code: unchanged, cut at blank lines."""

from __future__ import annotations

import pytest

from rag.errors import Unreadable
from rag.ingest.chunking import chunk_text
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
