"""Read messages that Outlook saves, .msg, by python-oxmsg."""

from __future__ import annotations

import codecs
from collections.abc import Iterator, Mapping
from email.header import decode_header, make_header
from io import BytesIO
from typing import Any

from rag.errors import Unreadable
from rag.loaders.builder import LoadedText
from rag.loaders.decoding import decode_declared, line_of
from rag.loaders.messages.letter import Attachment, Letter, choose_body, named
from rag.loaders.messages.outlook_items import item_lines, named_properties
from rag.loaders.metadata import day
from rag.loaders.ole import SIGNATURE

RECIPIENTS = {1: "To", 2: "Cc", 3: "Bcc"}
RECIPIENT_TYPE = 0x0C15  # property
SMTP_ADDRESS = 0x39FE  # property
SENDER_ADDRESSES = (0x5D01, 0x5D02)  # SMTP addresses of who sent the message, and for whom
SENDER_NAME, AUTHOR_NAME = 0x0C1A, 0x0042  # properties
RTF = 0x1009  # property: the body as compressed RTF
MAX_ATTACHMENTS = 1_000


def _windows_codec(name: str) -> codecs.CodecInfo | None:
    """Return the codec of "windows-950" and the like, which Python knows as cp950 only."""
    number = name.replace("_", "-").removeprefix("windows-")
    return codecs.lookup(f"cp{number}") if number in ("932", "936", "949", "950", "874") and number != name else None


codecs.register(_windows_codec)


def load_msg(data: bytes) -> LoadedText:
    """Read one message. Attachments are named in the text; `attachments_of` returns them. Raises Unreadable."""
    return read_letter(data).load()


def attachments_of(data: bytes) -> Iterator[Attachment]:
    """Yield (name, content or error) of each attachment."""
    yield from named(read_letter(data).attachments)


def read_letter(data: bytes) -> Letter:
    """Return the parts of a message. Raises Unreadable."""
    from oxmsg import Message  # slow to import, and most folders hold no such file

    if not data.startswith(SIGNATURE):
        raise Unreadable("it is no Outlook message: save it again, or as .eml")
    try:
        names = named_properties(data)  # first: it refuses what oxmsg would read gigabytes of
        return _letter(Message.load(BytesIO(data)), names)
    except Exception as error:  # a damaged file may fail anywhere in olefile and oxmsg
        raise Unreadable(f"it is damaged ({type(error).__name__}): save it again, or as .eml") from error


def _person(name: str, *addresses: str | None) -> str:
    """Return a name with the first address that people can write to; Exchange's own, "/o=ExchangeLabs/...", is none."""
    address = next((each for each in addresses if each and not each.lower().startswith("/o=")), "")
    name = "" if name.lower().startswith("/o=") else name
    return f"{name} <{address}>" if name and address and name != address else name or address


def _sender(message: Any) -> str:  # noqa: ANN401
    sender = message.sender or ""
    found = message.properties
    smtp = next(filter(None, map(found.str_prop_value, SENDER_ADDRESSES)), None)
    if "/o=" in sender.lower():
        return _person(found.str_prop_value(SENDER_NAME) or found.str_prop_value(AUTHOR_NAME) or "", smtp)
    return _decoded(str(sender))


def _decoded(header: str) -> str:
    """Return a header with its words in "=?utf-8?b?...?=" as text."""
    try:
        return str(make_header(decode_header(header))) if "=?" in header else header
    except (LookupError, ValueError):
        return header


def _letter(message: Any, names_of: Mapping[tuple[str, int], int]) -> Letter:  # noqa: ANN401  # oxmsg's types are loose
    letter = Letter(line_of(message.subject or ""))
    people: dict[str, list[str]] = {"From": [_sender(message)], "To": [], "Cc": [], "Bcc": []}
    for recipient in message.recipients:
        found = recipient.properties
        kind = RECIPIENTS.get(found.int_prop_value(RECIPIENT_TYPE) or 1, "To")
        people[kind].append(_person(recipient.name or "", recipient.email_address, found.str_prop_value(SMTP_ADDRESS)))
    letter.people = [(kind, "; ".join(filter(None, names))) for kind, names in people.items() if any(names)]
    if message.sent_date:
        letter.date = day(message.sent_date.date().isoformat())
        letter.people.append(("Date", message.sent_date.isoformat(sep=" ", timespec="minutes")))
    letter.people += item_lines(message.properties, names_of)
    page = message.html_body or ""
    page = decode_declared(page).text if isinstance(page, bytes) else page
    body = choose_body(message.body or "", page)
    letter.bodies = [body] * bool(body[1].strip())
    if not letter.bodies and message.properties.binary_prop_value(RTF):
        letter.lost.append("its text is in RTF only: save it as .eml")
    for attachment in list(message.attachments)[:MAX_ATTACHMENTS]:
        content = attachment.file_bytes
        name = attachment.file_name or "attachment"
        letter.attachments.append((name, content or Unreadable("it is a message or object inside: save it by itself")))
    return letter
