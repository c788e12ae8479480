"""Write other people's text into a prompt so that it can be nothing but quoted material.

Why: chat templates mark turns by tokens such as <|im_start|>, and servers read them wherever they stand in a prompt,
so a passage could end its own turn and begin the system's. A space within takes their meaning and leaves them readable.
"""

from __future__ import annotations

import re

from rag.loaders.invisible import without_invisible

TEMPLATE = re.compile(
    r"(?P<open><)(?=[|｜][^<>\n]{1,60}[|｜]>)"  # <|im_start|>, <|eot_id|>, <｜User｜>
    r"|(?P<turn></?)(?=(?:s|bos|eos|pad|unk|think|start_of_turn|end_of_turn|end_of_text|begin_of_text)\s*>)"
    r"|(?P<system><<)(?=/?SYS>>)"
    r"|(?P<bracket>\[/?)(?=(?:INST|SYSTEM_PROMPT|AVAILABLE_TOOLS|TOOL_CALLS|TOOL_RESULTS)\])",
    re.IGNORECASE,
)
FENCE = re.compile(r"<(?=\s*/?\s*(?:passage|turns|follow-up)\b)", re.IGNORECASE)  # as rag.answering.prompt writes them


def quoted(text: str, code: str) -> str:
    """Return a text without this prompt's code, invisible characters, working template tokens and fence look-alikes."""
    text = without_invisible(text)
    while code in text:  # what is left around one may be another
        text = text.replace(code, "")
    return FENCE.sub("‹", TEMPLATE.sub(lambda found: f"{found[0]} ", text))
