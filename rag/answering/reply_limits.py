"""Limit a whole reply of an LLM's endpoint in time and size, however slowly or long it is sent.

Why: the client's timeout is one for each read, so an endpoint that sends a byte a minute would never end.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

LONGEST_BYTES = 20_000_000  # of a reply; one of 100,000 tokens, the most that may be set, has 2 MB of JSON


def bounded_client(seconds: float, most: int = LONGEST_BYTES) -> Any:  # noqa: ANN401  # openai exports no type for it
    """Return openai's HTTP client; reading a reply raises ReadTimeout after `seconds`, ReadError after `most` bytes."""
    import openai
    from httpx2 import ReadError, ReadTimeout, SyncByteStream  # what openai is made with

    class Bounded(SyncByteStream):
        def __init__(self, parts: Any) -> None:  # noqa: ANN401
            self._parts, self._ends = parts, time.monotonic() + seconds

        def __iter__(self) -> Iterator[bytes]:
            size = 0
            for part in self._parts:
                size += len(part)
                if time.monotonic() > self._ends:
                    raise ReadTimeout(f"the reply was not complete after {seconds:.0f} s")
                if size > most:
                    raise ReadError(f"the reply has more than {most:,} bytes")
                yield part

        def close(self) -> None:
            self._parts.close()

    def bound(response: Any) -> None:  # noqa: ANN401
        response.stream = Bounded(response.stream)

    return openai.DefaultHttpxClient(event_hooks={"response": [bound]})
