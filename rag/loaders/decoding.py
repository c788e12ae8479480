"""Decode the bytes of a text file, and put text into the form that is stored: \\n line ends, no NULs."""

from __future__ import annotations

import codecs
import re
import unicodedata
from contextlib import suppress
from dataclasses import dataclass

from rag.errors import Unreadable
from rag.loaders.encoding_guess import guess_encoding, guess_wide
from rag.loaders.invisible import without_invisible

MAX_TITLE_CHARS = 200
BOMS = (  # UTF-32 before UTF-16: its mark begins with UTF-16's
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
ESCAPES = ((b"\x1b$", "iso2022_jp_2"), (b"\x1b(", "iso2022_jp_2"), (b"\x1b$)C", "iso2022_kr"))  # seven-bit encodings
DECLARED = re.compile(rb"""<(?:meta|\?xml)\b[^>]{0,200}?(?:charset|encoding)\s*=\s*["']?\s*([\w.:-]{2,20})""", re.I)
DECLARATION_BYTES = 4096
WEB_NAMES = {
    "iso-8859-1": "cp1252",
    "latin1": "cp1252",
    "us-ascii": "cp1252",
    "gb2312": "gb18030",
    "gbk": "gb18030",
    "shift_jis": "cp932",
    "euc-kr": "cp949",
    "iso-8859-9": "cp1254",
    "utf-16": "utf-8",
}  # as browsers read them
NO_ENCODINGS = frozenset(  # of Python's own: of host names and of source code, whose errors are others, too
    ["idna", "punycode", "undefined", "unicode-escape", "raw-unicode-escape"]
)
MULTIBYTE = re.compile(  # a character beyond ASCII in UTF-8
    rb"[\xc2-\xdf][\x80-\xbf]|[\xe0-\xef][\x80-\xbf]{2}|[\xf0-\xf4][\x80-\xbf]{3}"
)
MIXED_SHARE = 0.5  # of characters beyond ASCII that are valid UTF-8: above, the others are bad bytes of it; text in
# other encodings is below 0.2, since it fits UTF-8 only by chance
LATIN = ("cp1250", "cp1252", "cp1254", "cp1257", "iso-8859-2", "iso-8859-15")
FEW = 3  # bad bytes on lines without UTF-8: fewer say nothing about their encoding
MAX_BAD = 0.05  # of the characters of a text whose mark states its encoding
NUL_SHARE = 20  # NULs on one side of UTF-16's pairs for one on the other
FEW_NULS = 0.2  # of the bytes: Latin and Cyrillic letters have more in UTF-16
PLAUSIBLE = 0.98  # of the characters of UTF-16 text that are assigned
MAX_COST = 6.5  # nats per byte: random bytes cost more, text at most 5
MAX_CONTROLS = (
    0.01  # of the bytes: control characters other than line ends, tabs, backspaces (bold) and terminal escapes
)
CONTROLS = re.compile(rb"[\x01-\x07\x0e-\x1a\x1c-\x1f\x7f]")
LEADER = re.compile(
    r"(?<=\S)[ \t]*(?:[.·…_][ \t]?){5,}[ \t]*(?=(?:\d{1,4}|[ivxlcdm]{1,7}|[A-Z]-?\d{1,3})[ \t]*$)", re.MULTILINE
)
BINARY = "it is not text: it has NUL bytes, like a binary file"


@dataclass(frozen=True, slots=True)
class Decoded:
    """A text and, if its encoding was guessed or some bytes are wrong in it, a note that says so."""

    text: str
    note: str = ""


def shorten_leaders(text: str) -> str:
    """Return a text with " … " for the dots from an entry of a table of contents to its page, which fill chunks."""
    return LEADER.sub(" … ", text)


def decode(data: bytes) -> str:
    """Decode bytes as `decode_noting` does, without the note."""
    return decode_noting(data).text


def decode_noting(data: bytes) -> Decoded:
    """Decode bytes by their byte order mark, as UTF-8, or in the most likely encoding, and note what was guessed.

    Raises Unreadable for binary data.
    """
    for bom, encoding in BOMS:
        if data.startswith(bom):
            return _decode_as(encoding, data.removeprefix(bom))
    if b"\0" in data:
        return _decode_wide(data)
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        return _decode_by_guess(data)
    return _decode_escapes(data, text) if "\x1b" in text else Decoded(text)


def decode_declared(data: bytes) -> Decoded:
    """Decode a web page or XML file in the encoding that it declares, unless its bytes say something else."""
    declared = DECLARED.search(data[:DECLARATION_BYTES])
    if declared and not data.startswith(tuple(bom for bom, _ in BOMS)):
        name = declared[1].decode("ascii").lower()
        with suppress(LookupError, UnicodeDecodeError):
            data.decode("utf-8")  # a page that is valid UTF-8 is nothing else, whatever it declares
            name = "utf-8"
        with suppress(LookupError, UnicodeDecodeError):
            return Decoded(decode_named(data, WEB_NAMES.get(name, name)))
    return decode_noting(data)


def decode_named(data: bytes, name: str) -> str:
    """Decode bytes in an encoding that a file names. Raises LookupError if it is none of texts, UnicodeDecodeError."""
    try:
        found = codecs.lookup(name).name
    except ValueError:
        raise LookupError("a name with a NUL") from None
    if found in NO_ENCODINGS:
        raise LookupError(f"{found} is no encoding of texts")
    return data.decode(found)


def _decode_as(encoding: str, data: bytes) -> Decoded:
    """Decode bytes whose encoding is stated; bad ones become U+FFFD, and are noted."""
    if encoding == "utf-8" and b"\0" in data:
        raise Unreadable(BINARY)
    text = data.decode(encoding, "replace").removeprefix("\ufeff")
    bad = text.count("\ufffd") - data.count("\ufffd".encode(encoding))
    if encoding == "utf-8" and bad:
        return _decode_by_guess(data)
    if bad > MAX_BAD * len(text):
        raise Unreadable(f"it is not text: its first bytes say {encoding[:6].upper()}, and the others do not fit")
    return Decoded(text, _bad_note(encoding.upper().removesuffix("-LE").removesuffix("-BE"), bad))


def _decode_wide(data: bytes) -> Decoded:
    """Decode UTF-16 or UTF-32 without a byte order mark: NULs stand on one side of each pair. Raises Unreadable."""
    even, odd = data[::2].count(0), data[1::2].count(0)
    side = "le" if odd >= even else "be"
    if len(data) % 4 == 0 and 2 * (even + odd) >= len(data) and min(even, odd) * 4 >= len(data):
        encodings = ["utf-32-le", "utf-32-be"]
    elif len(data) % 2:
        raise Unreadable(BINARY)
    else:
        wide = guess_wide(data) if even + odd < FEW_NULS * len(data) else None  # in Chinese even "one" has a NUL
        encodings = [wide.encoding] if wide else [f"utf-16-{side}"] * (max(even, odd) >= NUL_SHARE * min(even, odd))
    for encoding in encodings:
        try:
            text = data.decode(encoding)
        except UnicodeDecodeError:
            continue
        if _is_plausible(text):
            return Decoded(text, f"read as {encoding[:6].upper()}, guessed from its bytes")
    raise Unreadable(BINARY)


def _is_plausible(text: str) -> bool:
    """Return whether nearly all characters are assigned, and none is a NUL."""
    sample = text[:10_000]
    strange = sum(unicodedata.category(char) in ("Cn", "Co", "Cs", "Cc") and char not in "\t\n\r\f" for char in sample)
    return "\0" not in text and strange <= (1 - PLAUSIBLE) * len(sample)


def _decode_escapes(data: bytes, text: str) -> Decoded:
    """Decode a seven-bit encoding, as Japanese mail has it; other escapes are those of a terminal."""
    for escape, encoding in ESCAPES:
        if escape in data and data.isascii():
            try:
                found = data.decode(encoding)
            except UnicodeDecodeError:
                continue
            if not found.isascii():
                return Decoded(found, f"read as {encoding[:9].upper().replace('_', '-')}, guessed from its bytes")
    return Decoded(text)


def _decode_by_guess(data: bytes) -> Decoded:
    """Decode bytes that are not UTF-8: as UTF-8 with bad bytes, in a legacy encoding, or line by line as either."""
    valid, bad = _utf8_balance(data)
    if len(CONTROLS.findall(data)) > MAX_CONTROLS * len(data):
        wide = guess_wide(data)
        if wide is None:
            raise Unreadable("it is not text: it has control characters, like a binary file")
        return Decoded(data.decode(wide.encoding, "replace"), "read as UTF-16, guessed from its bytes")
    if valid > MIXED_SHARE * (valid + bad):
        return _decode_lines(data)
    guess = guess_encoding(data)
    if guess.cost > MAX_COST:
        raise Unreadable("it is not text: no known encoding fits its bytes; save it as UTF-8")
    notes = [f"read as {guess.name}, guessed from its bytes"]
    if guess.encoding in LATIN and valid:
        text, mixed = _decode_latin(data, guess.encoding)
        notes += [f"{mixed} of its lines are UTF-8"] * bool(mixed)
    else:
        text = data.decode(guess.encoding, "replace")
    lost = text.count("\ufffd")
    return Decoded(text, "; ".join([*notes, _shown(lost)] if lost else notes))


def _decode_latin(data: bytes, encoding: str) -> tuple[str, int]:
    """Decode a Latin encoding; return the text and how many lines were UTF-8, which fits such text only on purpose."""
    texts, mixed = [], 0
    for line in data.splitlines(keepends=True):
        valid, bad = _utf8_balance(line) if not line.isascii() else (0, 0)
        mixed += valid > bad
        texts.append(line.decode("utf-8" if valid > bad else encoding, "replace"))
    return "".join(texts), mixed


def _utf8_balance(data: bytes) -> tuple[int, int]:
    """Return the number of valid UTF-8 characters beyond ASCII, and that of the other bytes beyond ASCII."""
    rest, valid = MULTIBYTE.subn(b"", data)
    return valid, len(rest) - len(rest.translate(None, bytes(range(0x80, 0x100))))


def _decode_lines(data: bytes) -> Decoded:
    """Decode UTF-8 in which some bytes are bad. A line that has hardly any UTF-8 is of another encoding."""
    lines = data.splitlines(keepends=True)
    balances = {number: _utf8_balance(line) for number, line in enumerate(lines) if not line.isascii()}
    foreign = [number for number, (valid, bad) in balances.items() if bad and valid <= MIXED_SHARE * (valid + bad)]
    if sum(balances[number][1] for number in foreign) < FEW:
        foreign = []
    guess = guess_encoding(b"".join(lines[number] for number in foreign)) if foreign else None
    texts, replaced, repaired = [], 0, 0
    for number, line in enumerate(lines):
        if guess and number in foreign:
            text = line.decode(guess.encoding, "replace")
            replaced += text.count("\ufffd")
        else:
            text, good, shown = _repair(line)
            repaired += good
            replaced += shown
        texts.append(text)
    notes = [f"{len(foreign)} of its lines read as {guess.name}, guessed from their bytes"] if guess else []
    if repaired:
        some = "1 byte that is" if repaired == 1 else f"{repaired} bytes that are"
        notes.append(f"{some} not UTF-8 read as Windows-1252")
    if replaced:
        notes.append(_shown(replaced))
    return Decoded("".join(texts), "; ".join(notes))


def _repair(line: bytes) -> tuple[str, int, int]:
    """Decode a line of UTF-8 with bad bytes; return it, how many were read as cp1252, and how many are U+FFFD."""
    try:
        return line.decode("utf-8"), 0, 0
    except UnicodeDecodeError:
        pass
    parts: list[str] = []
    good = shown = 0
    rest = line
    while rest:
        try:
            parts.append(rest.decode("utf-8"))
            break
        except UnicodeDecodeError as error:
            parts.append(rest[: error.start].decode("utf-8"))
            bad, rest = rest[error.start : error.end], rest[error.end :]
            char = _western(bad, parts[-1][-1:], rest[:1])
            good, shown = (good + 1, shown) if char else (good, shown + 1)
            parts.append(char or "\ufffd")
    return "".join(parts), good, shown


def _western(bad: bytes, before: str, after: bytes) -> str:
    """Return the cp1252 character of a bad byte where it fits between its neighbours, "" where it does not."""
    char = bad.decode("cp1252", "ignore") if len(bad) == 1 else ""
    if not char.isalpha():
        return char if char and char in "–—‘’“”„‚…•€°§£©®«»\xa0" else ""
    follows = after.decode("ascii", "ignore").isalpha()
    if char.islower():
        return char if before.isalpha() or follows else ""
    return char if follows and not before.islower() else ""


def _bad_note(name: str, bad: int) -> str:
    return f"{name} with bad bytes: {_shown(bad)}" if bad else ""


def _shown(count: int) -> str:
    return f"{count} bad bytes are shown as \ufffd" if count > 1 else "1 bad byte is shown as \ufffd"


def normalise(text: str) -> str:
    """Return text with \\n line ends, without invisible characters and what LanceDB cannot store: NULs, surrogates."""
    text = text.replace("\r\n", "\n").replace("\r", "\n").replace("\0", "")
    return without_invisible(text.encode("utf-8", "ignore").decode("utf-8"))


def one_line(title: str) -> str:
    """Return a title on one line, truncated to MAX_TITLE_CHARS."""
    return line_of(title)[:MAX_TITLE_CHARS]


def line_of(text: str) -> str:
    """Return a text on one line, with single spaces."""
    return " ".join(normalise(text).split())
