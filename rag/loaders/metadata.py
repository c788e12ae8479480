"""Titles and dates as files state them, without the defaults that programs write."""

from __future__ import annotations

import re
from datetime import date

from rag.loaders.decoding import one_line

NOT_A_TITLE = re.compile(
    r"^(\(?anonymous\)?|\(?untitled.*|microsoft word - |powerpoint |slide 1$|document\d*$|file://|[a-z]:[\\/]|/[^ ]*/"
    r"|.*\.(docx?|tex|dvi|indd|rtf|odt|pptx?|odp|html?|xlsx?|txt|pdf|ps|pages|md|qxd|wpd)$)",
    re.IGNORECASE,
)
FIRST_DAY = "1980-01-01"  # an earlier date means that the program did not know it
TEMPLATE_DAYS = ("2013-01-27", "2013-12-23")  # of the templates that python-pptx and python-docx start from
DAY = re.compile(r"\s*(?:D:)?(\d{4})[-/]?(\d\d)[-/]?(\d\d)(?!\d{1,5}(?:\D|$))")  # PDFs write D:20260531120000


def good_title(title: str) -> str:
    """Return the title in a file's properties, or "" for a program's default such as "Untitled"."""
    title = one_line(title)
    return "" if NOT_A_TITLE.match(title) else title


def day(written: str) -> str:
    """Return the day of a date or timestamp, as 2026-05-31; "" if there is none, or if it is a program's default."""
    found = DAY.match(written)
    try:
        iso = date(*map(int, found.groups())).isoformat() if found else ""
    except ValueError:
        return ""
    return "" if iso < FIRST_DAY or iso in TEMPLATE_DAYS else iso
