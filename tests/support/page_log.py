"""What the pages of a browser test said, show and wait for, and which of their errors a test expects."""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Iterable
from http import HTTPStatus

from playwright.sync_api import BrowserContext, ConsoleMessage, Request

CHAINLIT_ERRORS = (  # what Chainlit's own page says in its console, whatever we do; nothing else belongs here
    # Its panel on a phone gives the title another id than the dialog is labelled by. public/app.js puts that right,
    # but the dialog has looked by then: both happen in one step.
    r"^console error: `DialogContent` requires a `DialogTitle`",
)


class PageLog:
    """What the pages of a context show, and what went wrong in them or on their way.

    `errors` are those of scripts and of the console, which fail a test that does not expect them.
    """

    def __init__(self, context: BrowserContext) -> None:
        self.context = context
        self.errors: list[str] = []
        self._troubles: list[str] = []
        note = self._troubles.append
        context.on("console", self._hear)
        context.on("weberror", lambda error: self._fail(f"page error: {error.error.stack or error.error}"))
        self._waiting: dict[Request, float] = {}
        context.on("request", lambda request: self._waiting.update({request: time.monotonic()}))
        context.on("requestfinished", lambda request: self._waiting.pop(request, None))
        context.on("requestfailed", self._hear_failure)
        context.on(
            "response",
            lambda answer: note(f"{answer.status} {answer.url}") if answer.status >= HTTPStatus.BAD_REQUEST else None,
        )

    def summary(self) -> str:
        pages = (f"--- {page.url}\n{page.locator('body').inner_text()}" for page in self.context.pages)
        now = time.monotonic()
        waiting = (
            f"no reply for {now - since:.0f} s: {it.method} {it.url}" for it, since in list(self._waiting.items())
        )
        return "\n".join([*pages, "---", *_counted(self._troubles), *waiting])

    def close(self) -> None:
        """Close the context, once everything is heard that its pages have said."""
        for page in self.context.pages:
            page.evaluate("1")
        self.context.remove_listener("console", self._hear)  # what is cut off by closing is no error
        self.context.close()

    def _hear(self, said: ConsoleMessage) -> None:
        line = f"console {said.type}: {said.text}"
        if said.type == "error":
            self._fail(f"{line} ({said.location['url']})" if said.location["url"] else line)
        else:
            self._troubles.append(line)

    def _hear_failure(self, request: Request) -> None:
        self._waiting.pop(request, None)
        self._troubles.append(f"failed: {request.method} {request.url} {request.failure}")

    def _fail(self, line: str) -> None:
        self._troubles.append(line)
        self.errors.append(line)


def _counted(lines: Iterable[str]) -> list[str]:
    """Return lines once each, with how often they came."""
    return [line if times == 1 else f"{line} ({times} times)" for line, times in Counter(lines).items()]


def unexpected(errors: Iterable[str], expected: Iterable[str]) -> list[str]:
    """Return the errors that no pattern describes."""
    known = [re.compile(pattern) for pattern in (*CHAINLIT_ERRORS, *expected)]
    return [error for error in errors if not any(pattern.search(error) for pattern in known)]
