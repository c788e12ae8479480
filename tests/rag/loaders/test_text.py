"""Source code: as it stands, cut where its author left blank lines."""

from __future__ import annotations

import pytest

from rag.errors import Unreadable
from rag.ingest.chunking import chunk_text
from rag.loaders.text import load_code

CODE = "def a():\n    return 1\n\n\ndef b():\n    x = 2\n\n    return x\n"


def test_code_is_kept_as_it_stands_and_cut_at_blank_lines() -> None:
    extract = load_code(CODE.encode())
    assert extract.text == CODE
    chunks = chunk_text(extract.text, extract.sections, lambda texts: [len(text.split()) for text in texts], 6)
    assert [CODE[start:end] for start, end, _ in chunks] == [
        "def a():\n    return 1",
        "def b():\n    x = 2",
        "    return x",
    ]


def test_what_a_program_made_of_code_is_refused() -> None:
    with pytest.raises(Unreadable, match="no code for people"):
        load_code(b"var a=1;" * 500)


def test_binary_with_the_name_of_code_is_refused() -> None:
    with pytest.raises(Unreadable, match="not text"):
        load_code(b"\x7fELF\0\0")
