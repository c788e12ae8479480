"""What benchmarks.browser.card compares the card with: two ordinary Chainlit messages, streamed token by token at once.

Run by it as `chainlit run benchmarks/browser/plain_chat.py`; TOKENS and PER_SECOND come from its environment.
"""

from __future__ import annotations

import asyncio
import os

import chainlit as cl

TOKENS, PER_SECOND = int(os.environ["TOKENS"]), float(os.environ["PER_SECOND"])


@cl.on_message
async def answer(message: cl.Message) -> None:
    """Stream two messages at the pace of an LLM."""
    await asyncio.gather(stream("Answer A"), stream("Answer B"))


async def stream(author: str) -> None:
    """Stream one message."""
    shown = cl.Message(content="", author=author)
    await shown.send()  # type: ignore[no-untyped-call]
    for number in range(TOKENS):
        await shown.stream_token(f"word{number} ")
        await asyncio.sleep(1 / PER_SECOND)
    await shown.update()  # type: ignore[no-untyped-call]
