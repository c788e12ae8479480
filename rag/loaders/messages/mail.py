"""Read e-mail messages and mailboxes: subject as title, people, date, body and attachments, by Python's email package.

Why two readings of a header: people's programs write headers that the standard forbids, and the strict parser raises on
some of them. These are read as they stand, and noted.
"""

from __future__ import annotations

import codecs
import email.policy
import mimetypes
import re
from collections.abc import Iterator
from email.message import EmailMessage, Message
from email.parser import BytesParser
from email.utils import parsedate_to_datetime
from typing import Any

from rag.errors import Unreadable
from rag.loaders.builder import LoadedText
from rag.loaders.decoding import WEB_NAMES, decode, decode_named, decode_noting, line_of, normalise
from rag.loaders.messages.letter import Attachment, Letter, choose_body, named
from rag.loaders.metadata import day

PEOPLE = ("From", "To", "Cc", "Bcc", "Reply-To")
MAX_PARTS = 1_000  # of a message, nested ones included
MAX_MESSAGES = 50_000  # of a mailbox
MAX_PEOPLE = 2_000  # characters of a list of recipients
POSTMARK = re.compile(rb"(?:\A|(?<=\n)\r?\n)From [^\n]{0,300}\d\d?:\d\d[^\n]{0,60}\n")
QUOTED_POSTMARK = re.compile(rb"^>(>*From )", re.MULTILINE)
SIGNATURES = frozenset(("application/pgp-signature", "application/pkcs7-signature", "application/x-pkcs7-signature"))
ENCRYPTED = frozenset(("application/pgp-encrypted", "application/pkcs7-mime", "application/x-pkcs7-mime"))
HEADER = re.compile(rb"\A\s*(?:From [^\n]*\n)?(?:[!-9;-~]+[ \t]*:[^\n]*\n(?:[ \t][^\n]*\n)*)", re.ASCII)


def load_eml(data: bytes) -> LoadedText:
    """Read one message. Attachments are named in the text; `attachments_of` returns them. Raises Unreadable."""
    return read_letter(data).load()


def attachments_of(data: bytes) -> Iterator[Attachment]:
    """Yield (name, content or error) of each attachment of a message; a nested message ends in ".eml"."""
    yield from named(read_letter(data).attachments)


def messages_of(data: bytes) -> Iterator[tuple[str, bytes]]:
    """Yield (name, bytes) of each message of a mailbox, such as "0001 Subject". Raises Unreadable."""
    starts = list(POSTMARK.finditer(data))
    if not starts or data[: starts[0].start()].strip():
        raise Unreadable('it is no mailbox: a message of a mailbox begins with a line "From ..."')
    if len(starts) > MAX_MESSAGES:
        raise Unreadable(f"it has {len(starts):,} messages, the limit is {MAX_MESSAGES:,}: split it")
    ends = [*(match.start() for match in starts[1:]), len(data)]
    width = max(4, len(str(len(starts))))
    attached = []
    for number, (match, end) in enumerate(zip(starts, ends, strict=True), 1):
        message = QUOTED_POSTMARK.sub(rb"\1", data[match.end() : end])
        message = message if HEADER.match(message[:20_000]) else b"Subject:\n\n" + message
        subject = _header(_parse(message[:100_000], headers_only=True), "Subject", Letter())
        attached.append((f"{number:0{width}} {subject}".strip()[:100].replace("/", "_"), message))
    for name, message in attached:
        yield next(iter(named([(f"{name}.", message)])))[0].rstrip("."), message


def read_letter(data: bytes) -> Letter:
    """Return the parts of a message. Raises Unreadable if it has no header, or nested parts without end."""
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) or b"\0" in data[:100]:
        data = decode(data).encode()
    data = data.removeprefix(codecs.BOM_UTF8)
    if not HEADER.match(data[:20_000]):
        raise Unreadable("it is no e-mail message: it has no header lines such as From: and Subject:")
    letter = Letter()
    try:
        message = _parse(data)
        letter.subject = _header(message, "Subject", letter)
        letter.people = [(name, value) for name in PEOPLE if (value := _people(message, name, letter))]
        written = _header(message, "Date", letter)
        letter.date = _day(written, letter)
        if written:
            letter.people.append(("Date", written))
        _take(message, letter, [MAX_PARTS])
    except RecursionError:
        raise Unreadable("its parts are nested without end") from None
    return letter


def text_of_part(part: Message) -> tuple[str, str]:
    """Return the text of a part and a note if its encoding is not the one it states."""
    payload = part.get_payload(decode=True)
    data = payload if isinstance(payload, bytes) else str(part.get_payload()).encode("utf-8", "surrogateescape")
    charset = str(part.get_content_charset("") or "").lower()
    if charset and charset not in ("us-ascii", "utf-8", "utf-7", "unknown-8bit"):
        try:
            return decode_named(data, WEB_NAMES.get(charset, charset)), ""
        except (LookupError, UnicodeDecodeError):
            pass
    if charset == "utf-7":
        return data.decode("utf-7", "replace"), ""
    try:
        decoded = decode_noting(data)
    except Unreadable:
        return data.decode("utf-8", "replace").replace("\0", ""), "a part of it is in no known encoding"
    return decoded.text, decoded.note


def _parse(data: bytes, *, headers_only: bool = False) -> EmailMessage:
    if data.startswith(b"From ") or data[:1].isspace():
        data = data.lstrip()
        data = data.split(b"\n", 1)[-1] if data.startswith(b"From ") else data
    try:
        return BytesParser(policy=email.policy.default).parsebytes(data, headersonly=headers_only)
    except (ValueError, LookupError) as error:
        raise Unreadable(f"its headers are broken ({error})") from error


def _header(message: Message, name: str, letter: Letter) -> str:
    """Return a header on one line; where the parser rejects it, as it stands, noted in the letter."""
    raw = next((str(value) for key, value in message.raw_items() if key.lower() == name.lower()), "")
    if any("\udc80" <= char <= "\udcff" for char in raw):
        return line_of(decode(raw.encode("utf-8", "surrogateescape")))
    try:
        value = str(message[name] or "")
    except Exception:  # noqa: BLE001  # Python's header parser raises IndexError, ValueError and others on bad headers
        letter.notes.append(f"its header {name} is malformed")
        value = raw
    return line_of(value)


def _people(message: Message, name: str, letter: Letter) -> str:
    people = _header(message, name, letter)
    return f"{people[:MAX_PEOPLE]} …" if len(people) > MAX_PEOPLE else people


def _day(written: str, letter: Letter) -> str:
    """Return the day of a Date header, as 2026-05-31, in the sender's time zone."""
    if not written:
        return ""
    try:
        return day(parsedate_to_datetime(written).date().isoformat())
    except (TypeError, ValueError, IndexError, OverflowError):
        if iso := day(written):
            return iso
        letter.notes.append(f"its date {written[:40]!r} cannot be read")
        return ""


def _take(part: Message, letter: Letter, budget: list[int]) -> None:
    """Add the bodies and attachments of a part to a letter."""
    budget[0] -= 1
    if budget[0] < 0:
        raise Unreadable(f"it has more than {MAX_PARTS:,} parts")
    kind = part.get_content_type()
    if kind in SIGNATURES:
        return
    if kind in ENCRYPTED:
        letter.lost.append("it is encrypted or signed so that only a mail program can read it")
    elif kind == "message/rfc822":
        _take_nested(part, letter)
    elif kind == "multipart/alternative":
        _take_alternative(part, letter, budget)
    elif part.is_multipart() and kind.startswith("message/"):  # of a report on delivery
        letter.bodies.append(("plain", "\n\n".join(map(_as_text, _children(part)))))
    elif part.is_multipart():
        for child in _children(part):
            _take(child, letter, budget)
    elif _is_body(part):
        text = _body_text(part, letter)
        letter.bodies.append(("html" if kind == "text/html" else "plain", text))
    else:
        _take_attachment(part, letter)


def _as_text(part: Message) -> str:
    """Return a part of a report as it stands; Python cannot write one whose encoding is wrong."""
    try:
        return str(part)
    except (ValueError, LookupError):
        body: Any = part.get_payload(decode=True)
        head = "\n".join(f"{name}: {value}" for name, value in part.raw_items())
        whole = head.encode("utf-8", "surrogateescape") + (b"\n\n" + body if isinstance(body, bytes) else b"")
        return whole.decode("utf-8", "replace").replace("\0", "")


def _children(part: Message) -> list[Message]:
    payload: Any = part.get_payload()
    return [child for child in payload if isinstance(child, Message)] if isinstance(payload, list) else []


def _is_body(part: Message) -> bool:
    is_text = part.get_content_type() in ("text/plain", "text/html", "text/enriched", "text/markdown")
    return is_text and part.get_content_disposition() != "attachment" and not _filename(part)


def _filename(part: Message) -> str:
    try:
        return line_of(part.get_filename() or "")
    except Exception:  # noqa: BLE001  # as for headers
        return "attachment"


def _take_alternative(part: Message, letter: Letter, budget: list[int]) -> None:
    """Add the plain or the HTML version of a body, and what comes with either, such as an invitation."""
    plain, page, rest = "", "", []
    for child in _children(part):
        root = child
        while root.is_multipart() and root.get_content_type() != "message/rfc822" and _children(root):
            rest += _children(root)[1:]
            root = _children(root)[0]
        if not _is_body(root):
            rest.append(root)
        elif root.get_content_type() == "text/html":
            page = page or _body_text(root, letter)
        else:
            plain = plain or _body_text(root, letter)
    letter.bodies.append(choose_body(plain, page))
    for child in rest:
        _take(child, letter, budget)


def _body_text(part: Message, letter: Letter) -> str:
    text, note = text_of_part(part)
    letter.notes += [note] * bool(note)
    if str(part.get_param("format", "")).lower() == "flowed":
        return _unflow(normalise(text), delete=str(part.get_param("delsp", "")).lower() == "yes")
    return text


def _unflow(text: str, *, delete: bool) -> str:
    """Join the lines of "format=flowed" text, RFC 3676: a line that ends in a blank goes on in the next one."""
    lines: list[str] = []
    flows = False
    for line in text.split("\n"):
        quotes = re.match(r">*", line)
        mark = quotes[0] if quotes else ""
        rest = line[len(mark) :].removeprefix(" ")
        above = re.match(r">*", lines[-1]) if lines else None
        if flows and above and above[0] == mark:
            lines[-1] = (lines[-1][:-1] if delete else lines[-1]) + rest
        else:
            lines.append(f"{mark} {rest}" if mark else rest)
        flows = rest.endswith(" ") and rest != "-- "
    return "\n".join(lines)


def _take_nested(part: Message, letter: Letter) -> None:
    """Add a message that is attached to a message as an attachment of its own."""
    for child in _children(part):
        name = _filename(part) or _header(child, "Subject", letter) or "message"
        name = name if name.lower().endswith(".eml") else f"{name}.eml"
        try:
            letter.attachments.append((name, child.as_bytes(policy=email.policy.compat32)))
        except (KeyError, ValueError, LookupError, TypeError, AttributeError) as error:
            letter.attachments.append((name, Unreadable(f"it is damaged ({type(error).__name__})")))


def _take_attachment(part: Message, letter: Letter) -> None:
    """Add an attachment; one without a name or ending gets the ending of its type."""
    payload = part.get_payload(decode=True)
    kind = part.get_content_type()
    name = _filename(part)
    if not name and kind.startswith("image/"):
        return  # a picture in the text
    if "." not in name:
        name = f"{name or 'attachment'}{mimetypes.guess_extension(kind) or ''}"
    letter.attachments.append((name, payload if isinstance(payload, bytes) else b""))
