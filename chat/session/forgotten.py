"""Follow `python -m rag forget` while the chat runs: tabs leave the threads that it deleted, and memory loses them."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

from chat.session.thread_store import ThreadStore
from rag.upkeep.forgotten import forgotten_at

EVERY_SECONDS = 2.0  # a read of a file of one line
log = logging.getLogger("thumbtune")


async def follow_forgotten(history: ThreadStore, home: Path, seconds: float = EVERY_SECONDS) -> None:
    """Have tabs leave deleted threads whenever somebody was forgotten; never returns."""
    last = forgotten_at(home)
    while True:
        await asyncio.sleep(seconds)
        if (now := await asyncio.to_thread(forgotten_at, home)) == last:
            continue
        try:
            await history.leave_deleted()
            last = now
        except Exception:
            log.exception("the threads of a forgotten rater could not be closed: trying again")
