"""Write a number as a cell of a workbook shows it: format "00000" shows 1069 as 01069, '0.00" kg"' 12.5 as 12.50 kg.

Method: ECMA-376 part 1, 18.8.31. Formats that follow the reader's country show as ISO dates here.
"""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from fractions import Fraction
from functools import lru_cache

TOKEN = re.compile(
    r'"(?P<quoted>[^"]*)"|\\(?P<escaped>.)|_.|\*.|\[(?P<bracket>[^\]]*)\]|(?P<noon>AM/PM|A/P)|(?P<exp>E[+-])'
    r"|(?P<date>y+|m+|d+|h+|s+(?:\.0+)?)|(?P<digits>[0#?][0#?,]*(?:\.[0#?]*)?,*|\.[0#?]+,*)|(?P<percent>%)"
    r"|(?P<general>General)|(?P<text>@)|(?P<other>.)",
    re.I | re.DOTALL,
)
CONDITION = re.compile(r"(<=|>=|<>|<|>|=)\s*(-?\d+(?:\.\d+)?)")
MONTHS: list[str] = re.findall(
    r"\w+", "January February March April May June July August September October November December"
)
DAYS: list[str] = re.findall(r"\w+", "Monday Tuesday Wednesday Thursday Friday Saturday Sunday")
ISO = {  # formats that follow the reader's country
    "mm-dd-yy": "yyyy-mm-dd",
    "m/d/yy": "yyyy-mm-dd",
    "m/d/yy h:mm": "yyyy-mm-dd hh:mm",
    "yyyy-mm-dd h:mm:ss": "yyyy-mm-dd hh:mm:ss",
}
LONGEST = 1e21  # larger ones are measured and no numbers of things
ROUNDED = 6  # significant digits: 1.5e+16 is no number of a thing either
MAX_SERIAL = 2_958_466  # the day after 9999-12-31
Token = tuple[str, str]


def show(value: float, style: str, from_1904: bool = False) -> str:
    """Return a number in a number format; in one that cannot show it, the plain number."""
    style = ISO.get(style.lower(), style) if value >= 1 else style
    if style.startswith("yyyy-mm-dd") and value == int(value):  # midnight, as dates are stored
        style = "yyyy-mm-dd"
    sections = _sections(style)
    section, shown = _choose(sections, value)
    kinds = {kind for kind, _ in section}
    try:
        if "date" in kinds or "elapsed" in kinds:
            return _date(value, section, from_1904) if 0 <= value < MAX_SERIAL else plain(value)
        if "digits" in kinds:
            is_fraction = ("other", "/") in section
            return _fraction(shown, section) if is_fraction else _number(shown, section)
    except (ValueError, OverflowError, ArithmeticError):
        return plain(value)
    if "digits" in kinds or not section:
        return plain(value)
    parts = [plain(shown) if kind in ("general", "text") else text for kind, text in section if kind != "bracket"]
    return " ".join("".join(parts).split()) or plain(value)


def plain(value: float) -> str:
    """Return a number with the digits that the file keeps: 3.3, not 3.3000000000000003.

    Excel shows one of 12 digits or more as 1.23457E+15 in a cell without a format, but people search for its digits.
    """
    if value != int(value) or abs(value) >= LONGEST:
        return f"{value:.15g}"
    digits = f"{Decimal(repr(value)):f}".removesuffix(".0")
    is_rounded = isinstance(value, float) and len(digits.strip("-").rstrip("0")) <= ROUNDED
    return f"{value:.15g}" if is_rounded and abs(value) >= 1e15 else digits


@lru_cache(maxsize=1000)
def _sections(style: str) -> tuple[tuple[Token, ...], ...]:
    found = list[list[Token]]([[]])
    for match in TOKEN.finditer(style):
        kind, text = match.lastgroup or "", match[match.lastgroup] if match.lastgroup else ""
        if kind == "other" and text == ";":
            found.append([])
        elif kind == "bracket" and text and set(text.lower()) <= set("hms") and len(set(text.lower())) == 1:
            found[-1].append(("elapsed", text.lower()))
        elif kind == "bracket" and text.startswith("$"):
            found[-1].append(("quoted", text[1:].partition("-")[0]))
        elif kind in ("quoted", "escaped"):
            found[-1].append(("quoted", text))
        elif kind:
            found[-1].append((kind, text.lower() if kind == "date" else text))
    return tuple(map(tuple, found))


def _choose(sections: tuple[tuple[Token, ...], ...], value: float) -> tuple[tuple[Token, ...], float]:
    """Return the section of a format for a value, and the value that it shows: without a minus sign in a second one."""
    for section in sections:
        brackets = (CONDITION.fullmatch(text) for kind, text in section if kind == "bracket")
        found = next(filter(None, brackets), None)
        if found:
            limit = float(found[2])
            if {"<": value < limit, ">": value > limit, "=": value == limit, "<=": value <= limit, ">=": value >= limit,
                "<>": value != limit}[found[1]]:  # fmt: skip
                return section, value
    if value < 0 and len(sections) > 1:
        return sections[1], -value
    return (sections[2], value) if value == 0 and len(sections) > 2 else (sections[0], value)


def _number(value: float, section: tuple[Token, ...]) -> str:
    digits = "".join(text for kind, text in section if kind == "digits")
    amount = Decimal(repr(value))
    if any(kind == "exp" for kind, _ in section):
        mantissa = next(text for kind, text in section if kind == "digits")
        return f"{value:.{len(mantissa.partition('.')[2].rstrip('#'))}E}"
    amount *= 100 ** sum(1 for kind, _ in section if kind == "percent")
    whole, _, fraction = digits.partition(".")
    scale = len(digits) - len(digits.rstrip(","))
    amount /= 1000**scale
    whole = whole.rstrip(",")
    places = fraction.replace(",", "")
    amount = amount.quantize(Decimal(1).scaleb(-len(places)), rounding=ROUND_HALF_UP)
    written = f"{abs(amount):f}"
    left, _, right = written.partition(".")
    need = len(places.rstrip("#?"))
    while len(right) > need and right.endswith("0"):
        right = right[:-1]
    zeros = whole.replace(",", "").count("0")
    left = left.lstrip("0").rjust(zeros, "0")
    if "," in whole:
        left = re.sub(r"(?<=\d)(?=(?:\d{3})+$)", ",", left)
    text = f"{left or ('0' if not right else '')}{'.' + right if right else ''}"
    text = f"-{text}" if amount < 0 else text
    return _assemble(section, text, whole)


def _fraction(value: float, section: tuple[Token, ...]) -> str:
    """Return a number as a whole one and a fraction: 2.5 in "# ?/?" is 2 1/2."""
    if abs(value) >= LONGEST:
        return plain(value)
    slash = section.index(("other", "/"))
    after = "".join(text for kind, text in section[slash + 1 :] if kind in ("digits", "other") and text.strip())
    before = [text for kind, text in section[:slash] if kind == "digits"]
    exact = Fraction(repr(value))
    if after.isdigit() and int(after):
        parts = Fraction(round(exact * int(after)), 1)
        top, bottom = int(parts), int(after)
    else:
        nearest = exact.limit_denominator(10 ** min(len(after), 4) - 1)
        top, bottom = nearest.numerator, nearest.denominator
    sign, top = "-" * (top < 0), abs(top)
    if len(before) < 2:  # no digits for a whole number: 5/2
        return f"{sign}{top}/{bottom}"
    whole, rest = divmod(top, bottom)
    return sign + " ".join([str(whole)] * bool(whole or not rest) + [f"{rest}/{bottom}"] * bool(rest))


def _assemble(section: tuple[Token, ...], text: str, whole: str) -> str:
    """Return the literals of a section with the number in place of its digits; formats such as 000-000 split it."""
    runs = [len(part.replace(",", "")) for kind, part in section if kind == "digits"]
    pieces = [text]
    if len(runs) > 1 and "." not in text and "," not in whole:
        pieces, rest = [], text
        for size in reversed(runs[1:]):
            pieces.insert(0, rest[-size:])
            rest = rest[:-size]
        pieces.insert(0, rest)
    out = ""
    for kind, part in section:
        if kind == "digits":
            out += pieces.pop(0) if pieces else ""
        elif kind != "bracket":
            out += part
    return " ".join(out.split())


def _date(value: float, section: tuple[Token, ...], from_1904: bool) -> str:
    has_seconds = any(kind == "date" and text[0] == "s" for kind, text in section)
    step = 1 if has_seconds else 60
    seconds = round(value * 86_400) if step == 1 else int((value * 86_400 + 0.5) // 60) * 60
    start = datetime(1904, 1, 1) if from_1904 else datetime(1899, 12, 30 if value >= 60 else 31)
    moment = start + timedelta(seconds=seconds)
    noon = any(kind == "noon" for kind, _ in section)
    tokens = [token for token in section if token[0] != "bracket"]
    out, last = "", ""
    for index, (kind, text) in enumerate(tokens):
        following = next((part for other, part in tokens[index + 1 :] if other == "date"), "")
        if kind == "elapsed":
            unit = {"h": 3600, "m": 60, "s": 1}[text[0]]
            out += str(seconds // unit).zfill(len(text))
        elif kind == "date":
            minute = text[0] == "m" and len(text) < 3 and (last[:1] == "h" or following[:1] == "s")
            out += _part(moment, text, noon, minute)
        elif kind == "noon":
            out += moment.strftime("%p") or "AM"
        elif kind in ("quoted", "other"):
            out += text
        last = text if kind in ("date", "elapsed") else last
    return " ".join(out.split())


def _part(moment: datetime, text: str, noon: bool, minute: bool) -> str:
    letter, size = text[0], len(text)
    if letter == "y":
        return f"{moment.year:04}" if size > 2 else f"{moment.year % 100:02}"
    if letter == "m" and not minute and size > 2:
        name = MONTHS[moment.month - 1]
        return name[:3] if size == 3 else name[0] if size == 5 else name
    if letter == "d" and size > 2:
        name = DAYS[moment.weekday()]
        return name[:3] if size == 3 else name
    hour = (moment.hour % 12 or 12) if noon else moment.hour
    number = {"m": moment.minute if minute else moment.month, "d": moment.day, "h": hour, "s": moment.second}[letter]
    return str(number).zfill(min(size, 2))
