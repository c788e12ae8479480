"""Messages that Outlook saves: subject, people, text and attachments, as `index` reads them."""

from __future__ import annotations

from pathlib import Path

import pytest

from outlook import write_msg
from rag.errors import Unreadable
from rag.ingest.documents import ingest
from rag.loaders.formats import LOADERS
from rag.records import Document

MESSAGE = write_msg(
    "Grüße: offer 400.01",
    "Dear Ann,\r\n\r\nthe price is 400.01 €.\r\n\r\nBob",
    ("Bob Müller", "bob@example.org"),
    [(1, "Ann Smith", "ann@example.org"), (2, "Cleo", "cleo@example.org"), (3, "Dan", "dan@example.org")],
    {"price list.txt": "Apples cost 3 €.".encode(), "table.csv": b"fruit,price\npear,4\n"},
)


def test_a_message_has_its_subject_people_and_text() -> None:
    loaded = LOADERS[".msg"](MESSAGE)
    assert loaded.title == "Grüße: offer 400.01"
    assert "the price is 400.01 €." in loaded.text
    for part in ("Bob Müller", "Ann Smith <ann@example.org>", "Cc: Cleo <cleo@example.org>", "price list.txt"):
        assert part in loaded.text


def test_its_attachments_are_documents_of_their_own(tmp_path: Path) -> None:
    (tmp_path / "offer.msg").write_bytes(MESSAGE)
    outcomes = ingest([tmp_path], known={}, count_tokens=lambda texts: [len(each) for each in texts], chunk_tokens=128)
    documents = {each.source: each.text for each in outcomes if isinstance(each, Document)}
    assert set(documents) == {"offer.msg", "offer.msg/price list.txt", "offer.msg/table.csv"}
    assert documents["offer.msg/price list.txt"] == "Apples cost 3 €."


@pytest.mark.parametrize("kept", [600, 2000, len(MESSAGE) - 600])
def test_half_a_message_is_refused_in_one_line(kept: int) -> None:
    with pytest.raises(Unreadable, match=r"save it again, or as \.eml"):
        LOADERS[".msg"](MESSAGE[:kept])
