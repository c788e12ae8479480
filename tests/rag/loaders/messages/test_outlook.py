"""Messages that Outlook saves: subject, people, text and attachments, as `index` reads them."""

from __future__ import annotations

import resource
import struct
from datetime import datetime
from pathlib import Path

import olefile
import pytest

from outlook import write_msg
from rag.errors import Unreadable
from rag.ingest.documents import ingest
from rag.loaders.formats import LOADERS
from rag.loaders.messages.outlook_items import APPOINTMENT
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


def test_a_stream_that_is_larger_than_the_file_is_not_read() -> None:
    with olefile.OleFileIO(MESSAGE) as opened:
        first = opened.direntries[1]
        chain = 512 * (1 + opened.fat.tolist().index(olefile.FATSECT))  # the sector of the table of sectors
    swollen = bytearray(MESSAGE)
    place = MESSAGE.index(first.name.encode("utf-16-le"))
    swollen[place + 116 : place + 128] = struct.pack("<IQ", 0, 2**31)  # its first sector, and how many bytes it has
    swollen[chain : chain + 4] = struct.pack("<I", 0)  # the first sector is followed by itself
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(Unreadable, match=r"damaged \(OSError\): save it again, or as \.eml"):
        LOADERS[".msg"](bytes(swollen))
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss < before + 500_000  # kB


def test_an_appointment_has_its_place_and_times_and_exchange_addresses_are_left_out() -> None:
    exchange = "/o=ExchangeLabs/ou=Exchange Administrative Group/cn=Recipients/cn=0f-bob"
    data = write_msg(
        "Pier walk", "Bring boots.", ("Bob Müller", exchange), [(1, "Ann Smith", exchange)], {},
        named={
            (APPOINTMENT, 0x8208): "Pier 3, east gate",
            (APPOINTMENT, 0x820D): datetime(2026, 11, 30, 9, 30),
            (APPOINTMENT, 0x820E): datetime(2026, 11, 30, 11, 0),
        },
        p5D01="bob@example.org",
    )  # fmt: skip
    assert LOADERS[".msg"](data).text == (
        "# Pier walk\n\nFrom: Bob Müller <bob@example.org>\nTo: Ann Smith\nLocation: Pier 3, east gate\n"
        "Begin: 2026-11-30 09:30+00:00\nEnd: 2026-11-30 11:00+00:00\n\nBring boots.\n\n"
    )


def test_a_contact_has_its_numbers_and_an_encoded_sender_is_text() -> None:
    data = write_msg("Ann", "Met in May.", ("=?utf-8?q?B=C3=B6b?=", "bob@example.org"), [], {},
                     p001A="IPM.Contact", p3A16="Boats Ltd", p3A1C="+49 171 1")  # fmt: skip
    text = LOADERS[".msg"](data).text
    assert "Böb" in text
    assert "Company: Boats Ltd\nMobile phone: +49 171 1" in text
