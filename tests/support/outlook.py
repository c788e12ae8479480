"""Write an Outlook message (.msg): a compound file whose streams hold the properties of a message. For tests only."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from datetime import datetime, timedelta
from uuid import UUID

SECTOR, MINI_SECTOR = 512, 64
FREE, END, FAT = 0xFFFFFFFF, 0xFFFFFFFE, 0xFFFFFFFD
STORAGE, STREAM, ROOT = 1, 2, 5
UNICODE, BINARY, INTEGER, TIME = 0x001F, 0x0102, 0x0003, 0x0040
SUBJECT, BODY, SENDER_NAME, SENDER_ADDRESS = 0x0037, 0x1000, 0x0C1A, 0x0C1F
NAME, ADDRESS, RECIPIENT_TYPE = 0x3001, 0x39FE, 0x0C15
FILE_NAME, FILE_BYTES = 0x3707, 0x3701
Node = "bytes | Mapping[str, Node]"


def write_msg(
    subject: str,
    body: str,
    sender: tuple[str, str],
    recipients: list[tuple[int, str, str]],
    attachments: Mapping[str, bytes],
    named: Mapping[tuple[str, int], str | datetime] | None = None,
    **more: str,
) -> bytes:
    """Return a message; `sender` is (name, address), a recipient (1 To, 2 Cc, 3 Bcc; name; address).

    `named` are properties by their set and number, `more` are those by a name such as p5D01.
    """
    own = {int(name[1:], 16): value for name, value in more.items()}
    own |= {0x8000 + at: value for at, value in enumerate((named or {}).values())}
    root = _storage(
        struct.pack("<8x4I8x", len(recipients), len(attachments), len(recipients), len(attachments)),
        {SUBJECT: subject, BODY: body, SENDER_NAME: sender[0], SENDER_ADDRESS: sender[1], **own},
    )
    if named:
        sets = list(dict.fromkeys(kind for kind, _ in named))
        entries = (struct.pack("<IHH", at, (sets.index(kind) + 3) << 1, n) for n, (kind, at) in enumerate(named))
        root["__nameid_version1.0"] = {
            "__substg1.0_00020102": b"".join(UUID(each).bytes_le for each in sets),
            "__substg1.0_00030102": b"".join(entries),
        }
    for number, (kind, name, address) in enumerate(recipients):
        found = {NAME: name, ADDRESS: address, RECIPIENT_TYPE: kind}
        root[f"__recip_version1.0_#{number:08X}"] = _storage(bytes(8), found)
    for number, (name, content) in enumerate(attachments.items()):
        root[f"__attach_version1.0_#{number:08X}"] = _storage(bytes(8), {FILE_NAME: name, FILE_BYTES: content})
    return compound_file(root)


def _storage(header: bytes, properties: Mapping[int, str | bytes | int | datetime]) -> dict[str, Node]:
    """Return the streams of an object with these properties, by their numbers."""
    streams: dict[str, Node] = {}
    for number, value in properties.items():
        if isinstance(value, datetime):
            ticks = (value - datetime(1601, 1, 1)) // timedelta(microseconds=1) * 10
            header += struct.pack("<HHIQ", TIME, number, 6, ticks)
            continue
        if isinstance(value, int):
            header += struct.pack("<HHIQ", INTEGER, number, 6, value)
            continue
        kind = UNICODE if isinstance(value, str) else BINARY
        content = value.encode("utf-16-le") if isinstance(value, str) else value
        header += struct.pack("<HHIII", kind, number, 6, len(content), 0)
        streams[f"__substg1.0_{number:04X}{kind:04X}"] = content
    return {"__properties_version1.0": header, **streams}


def compound_file(root: Mapping[str, Node]) -> bytes:
    """Return a compound file (MS-CFB) whose streams are all small ones: the contents lie in one "mini stream"."""
    entries: list[bytes] = []
    content, mini_chains = b"", list[int]()

    def add(name: str, node: Node, sibling: int) -> int:
        nonlocal content
        number, kind, child, start, size = len(entries), STORAGE, FREE, END, 0
        entries.append(b"")
        if isinstance(node, bytes):
            kind, size, start = STREAM, len(node), len(mini_chains)
            assert 0 < size < 4096, "a larger stream is stored in another way"
            sectors = -(-size // MINI_SECTOR)
            mini_chains.extend([*range(start + 1, start + sectors), END])
            content += node.ljust(sectors * MINI_SECTOR, b"\0")
        else:
            for inner, below in node.items():
                child = add(inner, below, child)
        entries[number] = _entry(name, kind, sibling, child, start, size)
        return number

    last = FREE
    entries.append(b"")
    for name, node in root.items():
        last = add(name, node, last)
    entries[0] = _entry("Root Entry", ROOT, FREE, last, 0, len(content))
    mini_fat = struct.pack(f"<{len(mini_chains)}I", *mini_chains)
    parts = [_whole(content), _whole(mini_fat, b"\xff"), _whole(b"".join(entries))]
    chains: list[int] = []
    starts = []
    for part in parts:
        starts.append(len(chains))
        chains.extend([*range(len(chains) + 1, len(chains) + len(part) // SECTOR), END])
    places = [len(chains)]
    fat = _whole(struct.pack(f"<{len(chains) + 1}I", *chains, FAT), b"\xff")
    assert len(fat) == SECTOR, "a larger file has more sectors of chains"
    header = struct.pack("<8s16sHHHHH6x", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", b"", 0x3E, 3, 0xFFFE, 9, 6)
    header += struct.pack("<9I", 0, len(places), starts[2], 0, 4096, starts[1], len(parts[1]) // SECTOR, END, 0)
    header += struct.pack("<109I", *places, *[FREE] * (109 - len(places)))
    return b"".join([header, *parts, fat])


def _entry(name: str, kind: int, sibling: int, child: int, start: int, size: int) -> bytes:
    encoded = name.encode("utf-16-le")
    numbers = (len(encoded) + 2, kind, 1, FREE, sibling, child, b"", 0, start, size, 0)
    return struct.pack("<64sHBBIII16sI16xIII", encoded, *numbers)


def _whole(data: bytes, fill: bytes = b"\0") -> bytes:
    """Return data filled up to whole sectors."""
    return data.ljust(-(-len(data) // SECTOR) * SECTOR, fill)
