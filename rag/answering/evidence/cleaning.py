"""Clean what a language model wrote: chat-template tokens, our fence marks, dead links, other citations; loops.

Code is left as it is, except that no mark of our prompt is shown in it either.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from rag.answering.evidence.citations import CODE, uniform_citations
from rag.records import Hit

FENCE_MARK = re.compile(  # of rag.answering.prompt; one with a number is how some models cite
    r"[\[<](?P<end>/?)passage-[0-9a-f]{6,}\b(?:[^>\]\n]*?\bn=\"(?P<n>\d{1,2})\")?[^>\]\n]*[>\]]?(?P<space>[^\S\n]*\n?)"
)
END = (
    r"(?:<[|｜](?!im_start|start_header)[\w/ ▁]{2,40}[|｜]>|</s>|\[/INST\]|<</SYS>>|<end_of_turn>|<end_of_text>"
    r"|<(?:eos|pad|unk)>)"
)
START = r"(?:<\|(?:im_start|start_header_id)\|>|<start_of_turn>|\[INST\]|<<SYS>>|<(?:s|bos)>)"
ROLE = r"(?:system|user|human|assistant|model)\b(?:<\|end_header_id\|>)?"
THOUGHT = r"<think>.*?(?:</think>|\Z)"
BEGIN = re.compile(rf"\A(?:\s*(?:{THOUGHT}|{START}\s*(?:assistant|model)\b|{START}|{END}))+\s*", re.DOTALL)
LAST = re.compile(rf"(?:\s*(?:{START}|{END}))+\s*\Z")
TOKENS = re.compile(
    rf"(?P<code>{CODE.pattern})|(?P<turn>(?:{END}\s*)*(?:{START}\s*{ROLE}|\[INST\]).*\Z)"
    rf"|(?P<token>{START}|{END})",
    re.DOTALL | re.IGNORECASE,
)
LINK = re.compile(
    rf"(?P<code>{CODE.pattern})"
    r"|(?<![\w)\]])!?\[(?P<words>(?:[^\[\]\n]|\[[^\[\]\n]*\])*)\]"
    r"\((?!<?(?:[a-z][a-z0-9+.-]{1,15}:|//))[^()\s]*(?:\([^()\s]*\)[^()\s]*)?(?:[^\S\n]+\"[^\"\n]*\")?\)",
    re.DOTALL | re.IGNORECASE,
)
UNFINISHED = re.compile(r"(?:<[|｜/]?[\w /-]{0,40}[|｜]?|\[/?[A-Za-z-]{0,12}|【[^】]{0,12}|\s?\[\^?\d{0,2})\Z")

TAIL = 2_400  # characters at the end of a text in which a loop is looked for
LONGEST = 600  # characters of what repeats
PROBE = 16  # characters at the end, which stand before, too, where something repeats
REPEATS, LOOP_CHARS = 4, 160  # so often in a row, and so much text, is a loop
LONG, LONG_REPEATS = 200, 3  # of a whole paragraph three copies are enough
COUNTED_REPEATS, COUNTED_CHARS = 8, 600  # the same where only numbers change, as in a list that never ends
NO_WORDS_CHARS = 1_000  # of dashes or blanks: a rule or a wide table has fewer


def clean_answer(text: str, hits: Sequence[Hit], *, is_complete: bool = True) -> str:
    """Return a model's text as it is shown and stored; at the end of an incomplete one, half a mark is held back."""
    if not is_complete:
        text = UNFINISHED.sub("", text)
    *_, linked = stages(text)
    return uniform_citations(linked, hits).rstrip()


def stages(text: str, *, is_begin: bool = True) -> tuple[str, str, str]:
    """Return a text without fence marks and template tokens at its ends, then without any tokens, then without links.

    `is_begin`: the text is the beginning of what was written, not a later part of it.
    """
    marked = FENCE_MARK.sub(_cited, text)
    marked = LAST.sub("", BEGIN.sub("", marked) if is_begin else marked)
    plain = TOKENS.sub(lambda found: found["code"] or "", marked)
    return marked, plain, LINK.sub(_words, plain)


def find_loop(text: str) -> int | None:
    """Return where a text begins to repeat itself without end: the end of the first copy; None where it does not."""
    tail = text[-TAIL:]
    if (length := _period(tail, REPEATS, LOOP_CHARS)) is not None:
        return _first_copy(text, length)
    counted = re.sub(r"\d+", "0", tail)
    if _period(counted, COUNTED_REPEATS, COUNTED_CHARS) is not None:
        return len(text) - len(tail) + len(tail) // 4
    return None


def cut_loop(text: str) -> str:
    """Return a text without the copies at its end, or as it is."""
    end = find_loop(text)
    return text if end is None else text[:end].rstrip()


def _cited(mark: re.Match[str]) -> str:
    """Return the citation that an opening mark with a number stands for, else nothing."""
    if mark["end"] or not mark["n"]:
        return ""
    return f"[{mark['n']}]{' ' if mark['space'] else ''}"


def _words(link: re.Match[str]) -> str:
    """Return the words of a link that leads nowhere here; a linked citation stays one."""
    if link["code"]:
        return link["code"]
    words = link["words"]
    return f"[{words}]" if re.fullmatch(r"\d{1,2}", words) else words


def _period(tail: str, repeats: int, chars: int) -> int | None:
    """Return the length of what the tail ends with at least `repeats` times, on at least `chars` characters."""
    end, before = tail[-PROBE:], len(tail) - 1
    while before > 0 and (at := tail.rfind(end, 0, before)) >= 0 and (length := len(tail) - PROBE - at) <= LONGEST:
        before = at + PROBE - 1
        unit = tail[-length:]
        if tail[-2 * length : -length] != unit:
            continue
        has_words = re.search(r"[^\W\d_]", unit)
        fewest = min(repeats, LONG_REPEATS) if length >= LONG else repeats
        times = max(fewest, -(-(chars if has_words else NO_WORDS_CHARS) // length))
        if times * length <= len(tail) and tail.endswith(unit * times):
            return length
    return None


def _first_copy(text: str, length: int) -> int:
    """Return the end of the first copy of the `length` characters that the text ends with."""
    start = len(text) - length
    while start > 0 and text[start - 1] == text[start - 1 + length]:
        start -= 1
    end = start + length
    while text[end : end + 1] in tuple('.!?…)"”'):  # what ends the line before may end this one, too
        end += 1
    return end
