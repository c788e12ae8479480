"""Collect garbage while nobody waits for an answer: a full collection stops every thread.

Why: it looks at all that the sessions hold, a microsecond for each of 700 objects of a session, so that a hundred of
them blocked the event loop for 55 to 128 ms in the middle of their answers. It finds little: what a duel leaves in
cycles is collected young, but for some ten objects.
"""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Callable

LOOK_SECONDS = 5.0
LONGEST_SECONDS = 600.0  # without a full collection, however busy the chat is: memory must not grow for ever
DUE = 10  # collections of the middle generation since the last full one, as Python has it
NEVER = 1_000_000_000  # as a threshold


async def collect_when_idle(
    is_busy: Callable[[], bool], seconds: float = LOOK_SECONDS, longest: float = LONGEST_SECONDS
) -> None:
    """Do the full collections of this process whenever `is_busy` says no; Python does none by itself. Never returns."""
    young, middle, _ = gc.get_threshold()
    gc.set_threshold(young, middle, NEVER)
    last = time.monotonic()
    while True:
        await asyncio.sleep(seconds)
        is_late = time.monotonic() - last > longest
        if gc.get_count()[2] >= DUE and (is_late or not is_busy()):
            gc.collect()
            last = time.monotonic()
