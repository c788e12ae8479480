"""Encodings: UTF-8 with bad bytes, mixed files, legacy encodings of short texts, UTF-16 without a mark, binary data."""

from __future__ import annotations

import random

import pytest

from rag.errors import Unreadable
from rag.loaders.decoding import Decoded, decode, decode_declared, decode_named, decode_noting, shorten_leaders
from rag.loaders.formats import LOADERS
from rag.loaders.office.docx_epub import decode_page

GERMAN = "Die Straße führt über die Brücke nach Köln. Die Gebühr beträgt drei Euro.\n"
TEXTS = {
    "cp1252": "Für Müll gilt: Größe bis 80 Liter kostet 5 € im Monat.",
    "iso-8859-1": "Le café est fermé à midi.",
    "iso-8859-2": "Żółta łódź płynie do Gdańska. Bilet kosztuje dziesięć złotych.",
    "cp1250": "Příliš žluťoučký kůň stojí u řeky.",
    "iso-8859-7": "Η βιβλιοθήκη είναι κλειστή τη Δευτέρα.",
    "iso-8859-9": "Kütüphane pazartesi günü kapalıdır, öğrenciler için ücretsiz.",
    "cp1251": "Библиотека закрыта по понедельникам.",
    "koi8-r": "Читательский билет стоит сто рублей.",
    "cp1255": "הספרייה סגורה ביום שני.",
    "cp1256": "المكتبة مغلقة يوم الاثنين.",
    "tis-620": "ห้องสมุดปิดวันจันทร์ ค่าสมาชิกยี่สิบบาท",
    "shift_jis": "図書館は月曜日に休みます。",
    "euc_jp": "開館時間は九時から五時までです。",
    "iso2022_jp": "図書館は月曜日に休みます。",
    "euc_kr": "도서관은 월요일에 쉽니다.",
    "big5": "圖書館星期一休館。借書證的費用是二十元。",
    "gb18030": "图书馆星期一关门。借书证的费用是二十元。",
    "utf-16-le": "The code is changed each May.\n",
    "utf-16-be": "Привет, мир. Как дела?\n",
    "utf-32-le": "A cat.\n",
}


@pytest.mark.parametrize("encoding", TEXTS)
def test_one_line_in_a_legacy_encoding_is_read_and_the_guess_is_noted(encoding: str) -> None:
    decoded = decode_noting(TEXTS[encoding].encode(encoding))
    assert decoded.text == TEXTS[encoding]
    assert "guessed from its bytes" in decoded.note


def test_utf16_of_chinese_without_a_mark_is_read() -> None:
    text = "图书馆星期一关门。借书证的费用是二十元一年。"
    assert decode(text.encode("utf-16-le")) == text


def test_what_is_certain_has_no_note() -> None:
    for data in (GERMAN.encode(), GERMAN.encode("utf-16"), b"\xef\xbb\xbfcat", b"\x1b[31mred\x1b[0m"):
        assert decode_noting(data).note == ""


def test_utf8_with_a_stray_byte_stays_utf8() -> None:
    decoded = decode_noting(GERMAN.encode() * 40 + b"Seite 3 \x96 5\n" + GERMAN.encode())
    assert decoded.text == GERMAN * 40 + "Seite 3 – 5\n" + GERMAN
    assert decoded.note == "1 byte that is not UTF-8 read as Windows-1252"


def test_a_byte_that_fits_nowhere_is_shown_as_such() -> None:
    decoded = decode_noting(GERMAN.encode() + b"a cut charact\xc3")
    assert decoded.text == f"{GERMAN}a cut charact\ufffd"
    assert decoded.note == "1 bad byte is shown as \ufffd"


def test_lines_of_a_log_are_decoded_one_by_one() -> None:
    line = "Benutzer Jörg angemeldet\n"
    decoded = decode_noting(line.encode() * 40 + line.encode("cp1252") * 3)
    assert decoded.text == line * 43
    assert decoded.note == "3 of its lines read as Windows-1252, guessed from their bytes"


def test_a_few_lines_of_utf8_in_a_latin_file_are_read_as_utf8() -> None:
    line = "Benutzer Jörg angemeldet\n"
    decoded = decode_noting(line.encode("cp1252") * 40 + line.encode() * 3)
    assert decoded.text == line * 43
    assert "3 of its lines are UTF-8" in decoded.note


def test_the_guess_rests_on_the_few_lines_of_a_long_file_that_have_letters_beyond_ascii() -> None:
    text = "plain line\n" * 2000 + "Żółta łódź płynie do Gdańska.\n" + "plain line\n" * 2000
    assert decode(text.encode("iso-8859-2")) == text


@pytest.mark.parametrize("data", [b"MZ\0", b"\x7fELF\0\0", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", bytes(range(256)) * 8])
def test_binary_data_is_refused(data: bytes) -> None:
    with pytest.raises(Unreadable, match="not text"):
        decode(data)


@pytest.mark.parametrize("seed", range(20))
def test_random_bytes_are_refused(seed: int) -> None:
    with pytest.raises(Unreadable, match="not text"):
        decode(random.Random(seed).randbytes(3000))


def test_a_page_is_read_in_the_encoding_that_it_declares_without_a_note() -> None:
    page = '<html><head><meta charset="iso-8859-2"></head><body><p>Ž</p></body></html>'
    assert decode_declared(page.encode("iso-8859-2")) == Decoded(page)


@pytest.mark.parametrize("declared", ["iso-8859-1", "no-such-code"])
def test_a_page_that_declares_a_wrong_encoding_is_read_by_its_bytes(declared: str) -> None:
    page = f'<html><head><meta charset="{declared}"></head><body><p>{GERMAN}</p></body></html>'
    assert decode_declared(page.encode()) == Decoded(page)


@pytest.mark.parametrize("name", ["undefined", "idna", "punycode", "unicode_escape", "rot13", "hex", "a\0b", "\u00e9"])
def test_a_name_that_is_no_encoding_of_texts_is_not_believed(name: str) -> None:
    with pytest.raises(LookupError):
        decode_named(b"x", name)
    page = f'<html><head><meta charset="{name.replace(chr(0), "")}"></head><body><p>{GERMAN}</p>'
    assert GERMAN.split()[1] in decode_declared(page.encode("cp1252")).text
    head = f"From: {'a' * 90}@example.org\nContent-Type: {{}}; charset={name}\n\n"
    for suffix, kind, text in ((".eml", "text/plain", GERMAN), (".mhtml", "text/html", page)):
        assert "Straße" in LOADERS[suffix](head.format(kind).encode() + text.encode("cp1252")).text
    assert "Straße" in decode_page(page.encode("cp1252"))


@pytest.mark.parametrize("suffix", [".txt", ".py", ".md", ".csv", ".html"])
def test_every_text_format_notes_what_was_guessed(suffix: str) -> None:
    assert "Windows-1252" in LOADERS[suffix](TEXTS["cp1252"].encode("cp1252")).note
    assert LOADERS[suffix](TEXTS["cp1252"].encode()).note == ""


def test_dots_that_lead_to_a_page_are_one_sign() -> None:
    written = "1.1 Bees . . . . . . . . 9\n1.2 Ants.............10\nIndex ......... iv \nNotes ·····A-3"
    assert shorten_leaders(written) == "1.1 Bees … 9\n1.2 Ants … 10\nIndex … iv \nNotes … A-3"
    other = "loading......\nWait ..... 5 seconds\na . . b\nx____5"
    assert shorten_leaders(other) == other
