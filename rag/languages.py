"""Guess the language of a text from its script and its stop words: enough to tell English from other languages."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter

SAMPLE_CHARS = 4000  # of a text
MIN_LETTERS, MIN_STOP_WORDS = 40, 3  # with less, a document is of no known language
SCRIPTS = {
    "CJK": "Chinese or Japanese",
    "HIRAGANA": "Chinese or Japanese",
    "KATAKANA": "Chinese or Japanese",
    "HANGUL": "Korean",
    "CYRILLIC": "a Cyrillic script",
    "ARABIC": "Arabic script",
    "HEBREW": "Hebrew",
    "GREEK": "Greek",
    "THAI": "Thai",
    "DEVANAGARI": "Devanagari script",
}
ENGLISH = "English"
STOP_WORDS = {
    ENGLISH: "the of and to is that for it with was this are by from which be have not you",
    "German": "der die und das ist nicht ein eine mit von den für auf dem zu sich des im auch werden",
    "Spanish": "el la los las que del una por con para es se un al como más en su lo está",
    "French": "le la les des est une dans que pour qui du pas sur au et avec ce sont plus par",
    "Italian": "il di che la per una del non con sono della gli nel alla è si lo da anche più",
    "Portuguese": "o que da do uma para com não os em por mais as dos como ao é na no se",
    "Dutch": "de het een van en dat niet voor met zijn op te is aan ook er worden bij naar die",
    "Polish": "nie się że jest na do to jak dla przez oraz po od są być lub tym w z i",
    "Swedish": "och att det som är på för med den av inte ett har till om var de från kan en",
}
WORD = re.compile(r"[^\W\d_]+")
# Languages that join words: "Wettbewerbsrecht" must be found by "Recht".
COMPOUNDING = frozenset(("German", "Dutch", "Swedish"))


def guess_language(text: str) -> str:
    """Return the language of a text, or its script where that is not Latin; "" if there is too little to tell by."""
    sample = text[:SAMPLE_CHARS]
    scripts = Counter(unicodedata.name(letter, "").partition(" ")[0] for letter in sample if letter.isalpha())
    scripts["CJK"] += scripts.pop("IDEOGRAPHIC", 0)
    letters = scripts.total()
    if letters < MIN_LETTERS:
        return ""
    foreign = Counter[str]()
    for script, count in scripts.items():
        if script in SCRIPTS:
            foreign[SCRIPTS[script]] += count
    if foreign.total() > letters / 2:
        return foreign.most_common(1)[0][0]
    words = Counter(WORD.findall(sample.lower()))
    found = {name: sum(words[word] for word in stop.split()) for name, stop in STOP_WORDS.items()}
    best = max(found, key=found.__getitem__)
    return best if found[best] >= MIN_STOP_WORDS else ""
