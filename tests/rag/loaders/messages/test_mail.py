"""E-mail: subject, people, date, body in any encoding, attachments and messages of a mailbox as documents."""

from __future__ import annotations

from email.message import EmailMessage
from pathlib import Path

import pytest

from office import make_zip
from pdfs import make_pdf
from rag.errors import Unreadable
from rag.ingest.discovery import LeftOut
from rag.ingest.documents import Outcome, Skipped, Unchanged, ingest
from rag.ingest.workers import Parsing
from rag.loaders.builder import LoadedText
from rag.loaders.formats import LOADERS
from rag.loaders.messages import mail as mail_module
from rag.loaders.messages.mail import load_eml, messages_of
from rag.records import Document

HEAD = b"From: Ann <ann@example.org>\nTo: bob@example.org\nSubject: Boiler\nDate: Mon, 6 May 2024 23:00:00 -0800\n"


def message(subject: str, body: str = "Text.") -> EmailMessage:
    mail = EmailMessage()
    mail["From"], mail["To"], mail["Subject"] = "Ann <ann@example.org>", "Bob <bob@example.org>", subject
    mail["Date"] = "Mon, 6 May 2024 10:00:00 +0000"
    mail.set_content(body)
    return mail


def outcomes(folder: Path, known: dict[str, str] | None = None) -> list[Outcome]:
    def words(texts: list[str]) -> list[int]:
        return [len(text.split()) + 2 for text in texts]

    return list(ingest([folder], known=known or {}, count_tokens=words, chunk_tokens=64))


def texts(found: list[Outcome]) -> dict[str, str]:
    return {each.source: each.text for each in found if isinstance(each, Document)}


def test_a_message_has_subject_people_date_and_body() -> None:
    loaded = load_eml(HEAD + b"\nThe boiler is repaired on Tuesday.\n\nAnn\n")
    assert (loaded.title, loaded.date, loaded.note) == ("Boiler", "2024-05-06", "")
    assert loaded.text == (
        "# Boiler\n\nFrom: Ann <ann@example.org>\nTo: bob@example.org\nDate: Mon, 06 May 2024 23:00:00 -0800\n\n"
        "The boiler is repaired on Tuesday.\n\nAnn\n\n"
    )


def test_encoded_headers_and_bodies_are_decoded() -> None:
    mail = message("Größe der Tür", "Für Müll gilt: Größe bis 80 Liter.")
    assert "Für Müll gilt: Größe" in load_eml(mail.as_bytes()).text
    assert load_eml(mail.as_bytes()).title == "Größe der Tür"
    polish = HEAD + b"Content-Type: text/plain; charset=iso-8859-2\n\n" + "Żółta łódź".encode("iso-8859-2")
    assert "Żółta łódź" in load_eml(polish).text


def test_a_body_whose_encoding_is_not_stated_is_guessed_and_noted() -> None:
    loaded = load_eml(HEAD + b"\n" + "Für Müll gilt: Größe bis 80 Liter kostet 5 €.".encode("cp1252"))
    assert "Für Müll" in loaded.text
    assert "Windows-1252" in loaded.note


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-8-sig"])
def test_a_message_saved_in_another_encoding_is_read(encoding: str) -> None:
    loaded = load_eml((HEAD + b"\nThe boiler.\n").decode().encode(encoding))
    assert loaded.title == "Boiler"
    assert "The boiler." in loaded.text


@pytest.mark.parametrize("charset", ["us-ascii", "no-such-encoding", "a\0b"])
def test_a_report_whose_encoding_is_wrong_is_read(charset: str) -> None:
    report = (
        "Content-Type: multipart/report; boundary=x\n\n--x\nContent-Type: message/delivery-status\n\n"
        f'Content-Type: text/plain; charset="{charset}"\nStatus: 5.1.1\nDiagnostic-Code: Käfer unbekannt\n\n--x--\n'
    )
    text = load_eml(f"Subject: Undelivered\n{report}".encode()).text
    assert "Status: 5.1.1" in text
    assert "unbekannt" in text


def test_a_header_that_python_cannot_parse_is_told() -> None:
    nulls = b"\0" * 52  # with a few it is taken for no text at all
    kind = (
        b'Content-Type: text/plain; charset=us-ascii;\n     title*0*="us-asc'
        + nulls
        + b"ii'en'This%20is%20even%20more%20\";"
    )
    broken = b"Received: by mail.zzz.org (Postfix, from userid 889)\n" + kind
    with pytest.raises(Unreadable, match="its headers are broken"):
        LOADERS[".eml"](broken)


def test_raw_bytes_in_a_header_are_decoded() -> None:
    data = "Subject: Schöne Grüße aus Köln\nFrom: a@b.c\n\nText.".encode("cp1252")
    assert load_eml(data).title == "Schöne Grüße aus Köln"


def test_the_plain_version_is_read_and_the_html_one_where_there_is_no_plain_text() -> None:
    mail = message("Two", "The plain version has these words.")
    mail.add_alternative("<p>The HTML version has these words.</p>", subtype="html")
    assert "plain version" in load_eml(mail.as_bytes()).text
    assert "HTML version" not in load_eml(mail.as_bytes()).text
    mail = message("One", " ")
    mail.add_alternative(
        "<html><body><h2>Rooms</h2><p>They open at nine.</p><ul><li>Blue</li></ul><blockquote><p>On Monday Bob wrote: "
        "which rooms are open?</p></blockquote></body></html>",
        subtype="html",
    )
    text = load_eml(mail.as_bytes()).text
    assert all(words in text for words in ("Rooms", "They open at nine.", "Blue", "which rooms are open?"))
    assert "<" not in text.replace("<ann@example.org>", "").replace("<bob@example.org>", "")


def test_flowed_lines_are_joined_and_quotes_stay() -> None:
    body = b"\nThis line \ngoes on here.\n> quoted and \n> long\nEnd.\n"
    text = load_eml(HEAD + b"Content-Type: text/plain; format=flowed\n" + body).text
    assert "This line goes on here.\n> quoted and long\nEnd." in text


def test_attachments_are_documents_of_their_own(tmp_path: Path) -> None:
    mail = message("Invoice", "See the attached invoice.")
    mail.add_attachment(make_pdf("Total 412 Euro."), maintype="application", subtype="pdf", filename="invoice.pdf")
    mail.add_attachment(b"again", maintype="text", subtype="plain", filename="../notes.txt")
    mail.add_attachment(b"again", maintype="text", subtype="plain", filename="../notes.txt")
    mail.add_attachment(b"\x89PNG", maintype="image", subtype="png", filename="logo.png")
    mail.add_attachment(b"x", maintype="text", subtype="calendar", filename="meeting.ics")
    mail.add_attachment(make_zip({"a.md": "In a zip."}), maintype="application", subtype="zip", filename="more.zip")
    mail.add_attachment(message("Inner", "The inner text."))
    (tmp_path / "mail.eml").write_bytes(mail.as_bytes())
    found = outcomes(tmp_path)
    read = texts(found)
    assert list(read) == [
        "mail.eml",
        "mail.eml/invoice.pdf",
        "mail.eml/notes.txt",
        "mail.eml/notes (2).txt",
        "mail.eml/more.zip/a.md",
        "mail.eml/Inner.eml",
    ]
    assert "Attachments: invoice.pdf" in read["mail.eml"]
    assert "inner text" not in read["mail.eml"]
    assert "412 Euro" in read["mail.eml/invoice.pdf"]
    assert [each for each in found if isinstance(each, LeftOut)] == [
        LeftOut("mail.eml/logo.png", "illustration"),
        LeftOut("mail.eml/meeting.ics", "kind"),
    ]
    known = {each.source: each.hash for each in found if isinstance(each, Document)}
    assert {each.source for each in outcomes(tmp_path, known) if isinstance(each, Unchanged)} == set(read)


def test_messages_attached_to_each_other_end(tmp_path: Path) -> None:
    mail = message("0")
    for number in range(1, 12):
        outer = message(str(number))
        outer.add_attachment(mail)
        mail = outer
    (tmp_path / "deep.eml").write_bytes(mail.as_bytes())
    found = outcomes(tmp_path)
    assert "attached to each other" in str(found[-1])
    assert len(found) < 10


def test_each_message_of_a_mailbox_is_a_document(tmp_path: Path) -> None:
    post = b"From ann@example.org Mon May  6 10:00:00 2024\n"
    first, second = message("Re: a/b", "From here on.\n\n>From quoted").as_bytes(), message("Ö").as_bytes()
    (tmp_path / "box.mbox").write_bytes(post + first.replace(b"\nFrom here", b"\n>From here") + b"\n" + post + second)
    read = texts(outcomes(tmp_path))
    assert list(read) == ["box.mbox/0001 Re_ a_b", "box.mbox/0002 Ö"]
    assert "\nFrom here on." in next(iter(read.values()))


def test_a_file_that_is_no_mailbox_is_refused() -> None:
    with pytest.raises(Unreadable, match="no mailbox"):
        list(messages_of(b"Dear Ann,\nFrom there we went on.\n"))


def test_a_date_that_cannot_be_read_is_noted() -> None:
    loaded = load_eml(b"From: a@b.c\nSubject: x\nDate: last Tuesday\n\nText.")
    assert loaded.date == ""
    assert loaded.note == "its date 'last Tuesday' cannot be read"


@pytest.mark.parametrize(
    "header",
    [b"To: <@>,,;:<", b'From: "', b"Subject: =?x?q?=?=", b"Date: \xff\xfe", b"To: a@b: c;;", b"Subject: =?utf-8?b?*?="],
)
def test_a_malformed_header_never_hides_the_message(header: bytes) -> None:
    assert "The text." in load_eml(b"X: y\n" + header + b"\n\nThe text.").text


def test_an_encrypted_message_says_so() -> None:
    data = HEAD + b"Content-Type: application/pkcs7-mime; name=smime.p7m\nContent-Transfer-Encoding: base64\n\nAAAA\n"
    assert "encrypted" in load_eml(data).lost


def test_a_text_that_is_no_message_is_refused() -> None:
    with pytest.raises(Unreadable, match="no e-mail message"):
        load_eml(b"Dear Ann,\n\nthe boiler is repaired.\n")


def test_a_saved_web_page_is_read_with_its_title() -> None:
    page = (
        b'MIME-Version: 1.0\nSubject: Rooms\nContent-Type: multipart/related; boundary="b"\n\n--b\n'
        b"Content-Type: text/html; charset=cp1252\nContent-Transfer-Encoding: quoted-printable\n\n"
        b"<html><head><title>Rooms</title></head><body><h1>Rooms</h1><p>K=F6ln has two.</p></body></html>\n--b\n"
        b"Content-Type: image/png\nContent-Transfer-Encoding: base64\n\niVBORw0=\n--b--\n"
    )
    loaded = LOADERS[".mhtml"](page)
    assert loaded.title == "Rooms"
    assert "Köln has two." in loaded.text
    assert LOADERS[".doc"](page).note == "by its content it is saved web page"


def test_a_damaged_outlook_message_is_refused() -> None:
    with pytest.raises(Unreadable, match="damaged"):
        LOADERS[".msg"](b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 600)
    with pytest.raises(Unreadable, match="no Outlook message"):
        LOADERS[".msg"](b"From: Ann")


def test_attachments_that_crash_their_parser_cost_themselves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def crash(data: bytes) -> None:
        raise KeyError("page")

    monkeypatch.setattr(mail_module, "attachments_of", crash)
    (tmp_path / "a.eml").write_bytes(message("Invoice").as_bytes())
    (tmp_path / "b.md").write_text("After it.")
    read, skipped, after = outcomes(tmp_path)
    assert isinstance(read, Document)
    assert isinstance(skipped, Skipped)
    assert skipped.source == "a.eml/attachments"
    assert skipped.reason.startswith("its parser failed (KeyError: 'page')")
    assert isinstance(after, Document)


def test_attachments_of_a_message_that_cannot_be_read_are_not_opened(tmp_path: Path) -> None:
    opened: list[bytes] = []

    def refuse() -> LoadedText:
        raise Unreadable("it hangs its parser")

    mail = message("Invoice")
    mail.add_attachment(b"Cats sleep.", maintype="text", subtype="plain", filename="cats.txt")
    (tmp_path / "a.eml").write_bytes(mail.as_bytes())
    found = list(
        ingest(
            [tmp_path],
            known={},
            count_tokens=lambda texts: [1 for _ in texts],
            chunk_tokens=9,
            submit=lambda suffix, data: opened.append(data) or Parsing(refuse),
        )
    )
    assert found == [Skipped("a.eml", "it hangs its parser")]
    assert len(opened) == 1
