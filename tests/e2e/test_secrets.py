"""Keys and secrets are in nothing that a whole session writes or sends: logs, tables, exports, reports, replies."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler

import pytest

from driver import PLANTED, ScriptedChat
from fakes import refuse, send_chunk, start_stream
from sockets import Rater

pytestmark = pytest.mark.e2e
COMMANDS = (
    ("rag", "doctor"),
    ("rag", "export", "labels.jsonl"),
    ("rag", "ask", "When do bees swarm?"),  # the endpoint fails, with the key
    ("train", "--dry-run"),
    ("train", "list"),
    ("rag", "export", "--rater", "nobody", "nobody.json"),
    ("rag", "backup", "backup"),
    ("rag", "backup", "--check", "backup"),
)
REPLIES = ("/project/settings", "/scoreboard", "/ratings.jsonl", "/", "/documents.json", "/user", "/first-start")


def echo(*, status: int = 200, kind: str = "text/html") -> Callable[[BaseHTTPRequestHandler, dict[str, object]], None]:
    """Return a reply that says back every header that it was sent, the key among them."""

    def reply(handler: BaseHTTPRequestHandler, body: dict[str, object]) -> None:
        data = f"<h1>{handler.headers}</h1>".encode()
        handler.send_response(status, PLANTED["OPENAI_API_KEY"])
        handler.send_header("Content-Type", kind)
        handler.send_header("Content-Length", str(len(data)))
        handler.end_headers()
        handler.wfile.write(data)

    return reply


def broken_stream(handler: BaseHTTPRequestHandler, body: dict[str, object]) -> None:
    """Begin an answer, then fail with the key in what is no JSON."""
    start_stream(handler)
    send_chunk(handler, {"delta": {"role": "assistant", "content": "Bees"}, "finish_reason": None})
    handler.wfile.write(f"data: {{broken {handler.headers['Authorization']}\n\n".encode())


def error_in_stream(handler: BaseHTTPRequestHandler, body: dict[str, object]) -> None:
    """Begin an answer, then report an error that has the key."""
    start_stream(handler)
    error = {"error": {"message": f"bad {handler.headers['Authorization']}", "code": "x", "type": "x"}}
    handler.wfile.write(f"data: {json.dumps(error)}\n\n".encode())


async def test_no_secret_is_written_or_sent(chat: ScriptedChat) -> None:
    key = PLANTED["OPENAI_API_KEY"]
    rater = Rater(chat.url)
    await rater.come_in()
    card = await rater.ask("When do bees swarm?")
    await rater.act("vote", {"answer": card["props"]["sides"][0]["answer"], "value": 1})
    faults = [refuse(401, f"Incorrect API key provided: {key}"), refuse(500, key), echo(), echo(status=403)]
    faults += [echo(kind="application/json"), echo(kind="text/event-stream"), broken_stream, error_in_stream]
    for fault in faults:
        chat.writer.reply = fault
        before = set(rater.elements)
        await rater.say("When do bees swarm?")
        await rater.until(lambda before=before: _failed(rater, before))  # type: ignore[misc]
        await rater.until_idle()
    replies = [(await rater.http.get(path)).text for path in (*REPLIES, f"/chats/{rater.thread_id}.md")]
    spoken = [done.stdout + done.stderr for done in (chat.run(*command) for command in COMMANDS)]
    assert (chat.cwd / "backup").is_dir(), spoken
    secrets = {**PLANTED, "secret": (chat.home / "secret").read_text().strip()}
    secrets |= {f"cookie {name}": value for name, value in rater.http.cookies.items()}
    heard = {"events": json.dumps(rater.events), "replies": "\n".join(replies), "commands": "\n".join(spoken)}
    rows = [*chat.store.feedback.answers(), *chat.store.feedback.ratings()]
    written = {**heard, "tables": repr(rows), **dict(_files(chat))}
    found = [(name, where) for name, secret in secrets.items() for where, text in written.items() if secret in text]
    assert found == []
    assert any(key in value for value in chat.env.values())  # it was really there to be found
    await rater.leave()


def _failed(rater: Rater, before: set[str]) -> bool:
    """Return whether a card that was not there before has both answers, none of which is open any more."""
    cards = [each for id_, each in rater.elements.items() if id_ not in before and each["name"] == "Compare"]
    states = [{side["state"] for side in card["props"]["sides"]} for card in cards]
    return any(each and each <= {"failed", "done", "stopped"} for each in states)


def _files(chat: ScriptedChat) -> Iterator[tuple[str, str]]:
    """Yield the name and bytes, as text, of the log and of each file of the home, exports and backups.

    Left out is the secret itself, which a backup has as well: docs/how-to/move-or-back-up.md says so.
    """
    folders = (chat.home, chat.cwd / "backup")
    paths = [path for top in folders for path in top.rglob("*") if path.is_file() and path.name != "secret"]
    for path in (chat.log, *chat.cwd.glob("*.json*"), *paths):
        yield str(path), path.read_bytes().decode("latin-1")
