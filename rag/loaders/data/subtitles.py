"""Read subtitles, .srt and .vtt, as paragraphs that begin with their time; repeated lines of rolling captions go."""

from __future__ import annotations

import html
import re
from collections import deque
from collections.abc import Iterator
from dataclasses import replace

from rag.loaders.builder import DocumentBuilder, LoadedText
from rag.loaders.decoding import decode_noting, line_of, normalise, one_line
from rag.loaders.text import load_text

TIME = r"(?:(\d{1,3}):)?(\d{1,2}):(\d{2})[.,](\d{1,3})"
CUE = re.compile(rf"^[ \t]*{TIME}[ \t]*-->[ \t]*{TIME}[^\n]*$", re.MULTILINE)
VOICE = re.compile(r"<v(?:\.[^\s>]*)?[ \t]+([^>]+)>")
TAG = re.compile(r"</?[A-Za-z\d.:][^>\n]*>|\{\\[^}]*\}")
HEAD = re.compile(r"\AWEBVTT[ \t]*(?:-[ \t]*)?([^\n]*)")
NUMBER = re.compile(r"\n\s*\n[^\n]*\s*\Z|\A[^\n]*\s*\Z")  # the line above a cue's time: its number or name
PAUSE = 4.0  # seconds of silence that end a paragraph
SOFT, HARD = 400, 900  # characters of a paragraph: from SOFT on it ends with a sentence
SENTENCE_END = re.compile(r"[.!?…。！？][\"”’»)\]]*$")
ROLLING = 3  # lines: captions that roll repeat this many earlier ones at most


def load_subtitles(data: bytes) -> LoadedText:
    """Read subtitles; a file without any time stamp is read as text, which is noted."""
    decoded = decode_noting(data)
    text = normalise(decoded.text)
    builder = DocumentBuilder()
    begun = end = 0.0
    parts: list[str] = []
    length = 0
    speaker, found = "", False
    for start, stop, voice, line in _lines(text):
        found = True
        is_full = length > HARD or (length > SOFT and SENTENCE_END.search(parts[-1]))
        if parts and (start - end > PAUSE or is_full):
            builder.add(f"[{_clock(begun)}] {_joined(parts)}")
            parts, length = [], 0
        if not parts:
            begun = start
        if voice and (voice != speaker or not parts):
            line = f"\n{voice}: {line}" if parts else f"{voice}: {line}"
        speaker = voice
        parts.append(line)
        length += len(line) + 1
        end = stop
    if parts:
        builder.add(f"[{_clock(begun)}] {_joined(parts)}")
    if not found:
        loaded = load_text(data)
        return replace(loaded, note="; ".join(filter(None, ("it has no time stamps: read as text", loaded.note))))
    head = HEAD.match(text)
    return replace(builder.build(one_line(head[1]) if head and "-->" not in head[1] else ""), note=decoded.note)


def _lines(text: str) -> Iterator[tuple[float, float, str, str]]:
    """Yield (start, end, speaker, text) of each line that is not a repetition, in seconds."""
    cues = list(CUE.finditer(text))
    recent: deque[str] = deque(maxlen=ROLLING)
    for cue, following in zip(cues, [*cues[1:], None], strict=False):
        body = text[cue.end() : following.start() if following else len(text)]
        if following:
            body = body[: NUMBER.search(body).start()] if NUMBER.search(body) else body  # type: ignore[union-attr]
        else:
            body = body.strip("\n").split("\n\n")[0]
        groups = cue.groups()
        voice = ""
        for line in body.split("\n"):
            named = VOICE.search(line)
            voice = line_of(html.unescape(named[1])) if named else voice
            plain = line_of(html.unescape(TAG.sub("", line)))
            if plain and plain not in recent:
                recent.append(plain)
                yield _seconds(groups[:4]), _seconds(groups[4:]), voice, plain


def _joined(parts: list[str]) -> str:
    """Return the lines of a paragraph as one, but a new speaker on a line of their own."""
    return " ".join(parts).replace(" \n", "\n")


def _seconds(time: tuple[str | None, ...]) -> float:
    hours, minutes, seconds, parts = (int(part or 0) for part in time)
    return hours * 3600 + minutes * 60 + seconds + parts / 1000


def _clock(seconds: float) -> str:
    whole = int(seconds)
    return f"{whole // 3600:02}:{whole // 60 % 60:02}:{whole % 60:02}"
