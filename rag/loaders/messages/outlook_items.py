"""Read what Outlook shows of appointments, tasks and contacts besides their text: place, begin, end, phone numbers.

Method: MS-OXPROPS (numbers of properties) and MS-OXMSG 2.2.3 (named properties, whose numbers differ per file).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from typing import Any
from uuid import UUID

from rag.loaders.ole import open_ole

ENTRIES, GUIDS = "__substg1.0_00030102", "__substg1.0_00020102"
FOLDER = "__nameid_version1.0"
APPOINTMENT, TASK, ADDRESS = (f"0006200{number}-0000-0000-c000-000000000046" for number in (2, 3, 4))
FIRST_NAMED = 0x8000
TEXTS = {  # label -> property of a contact
    "Company": 0x3A16, "Position": 0x3A17, "Department": 0x3A18, "Phone": 0x3A08, "Home phone": 0x3A09,
    "Mobile phone": 0x3A1C, "Fax": 0x3A24,
}  # fmt: skip
NAMED_TEXTS = {
    "Location": (APPOINTMENT, 0x8208),
    "Recurrence": (APPOINTMENT, 0x8232),
    "E-mail": (ADDRESS, 0x8083),
    "Address": (ADDRESS, 0x801B),
}
DATES = {"Begin": (APPOINTMENT, 0x820D), "End": (APPOINTMENT, 0x820E), "Start": (TASK, 0x8104), "Due": (TASK, 0x8105)}
CONTACT = "IPM.CONTACT"
Names = Mapping[tuple[str, int], int]


def named_properties(data: bytes) -> Names:
    """Return the number that a property has in this file by its set and its official number."""
    with open_ole(data) as opened:
        if not opened.exists([FOLDER, ENTRIES]):
            return {}
        entries = opened.openstream([FOLDER, ENTRIES]).read()
        guids = opened.openstream([FOLDER, GUIDS]).read() if opened.exists([FOLDER, GUIDS]) else b""
    found = {}
    for number, kind, index in struct.iter_unpack("<IHH", entries[: len(entries) // 8 * 8]):
        place = ((kind >> 1) - 3) * 16
        if not kind & 1 and 0 <= place <= len(guids) - 16:
            found[str(UUID(bytes_le=guids[place : place + 16])), number] = FIRST_NAMED + index
    return found


def item_lines(properties: Any, names: Names) -> Iterator[tuple[str, str]]:  # noqa: ANN401  # oxmsg's types are loose
    """Yield (label, value) of an appointment, a task or a contact; nothing for a message."""
    for label, key in NAMED_TEXTS.items():
        value = properties.str_prop_value(names[key]) if key in names else None
        if value and value.strip() and not value.lower().startswith("/o="):
            yield label, value
    for label, key in DATES.items():
        moment = properties.date_prop_value(names[key]) if key in names else None
        if moment is not None and moment.year < 4000:  # 4501 stands for "no date"
            yield label, moment.isoformat(sep=" ", timespec="minutes")
    if (properties.str_prop_value(0x001A) or "").upper().startswith(CONTACT):
        for label, number in TEXTS.items():
            if value := properties.str_prop_value(number):
                yield label, value
