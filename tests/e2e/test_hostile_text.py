"""Hostile text wherever text can come from outside, in a real browser: nothing of it runs, and nothing is fetched."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
from playwright.sync_api import Page, expect

from driver import ScriptedChat, ask, open_passage, open_place, place, side, thumb, wait_until_done
from fakes import stream
from rag.training_status import STATE_FILE, this_process, write_training
from results import facts
from train.reporting.report import write_report

pytestmark = pytest.mark.e2e
RUN = "window.hurt=1"
RUNNING = "v987"  # of a run folder that no registry knows
# Each would set `window.hurt`, draw a frame or a form, or fetch something from the other host.
HOSTILE = (
    f"<script>{RUN}</script>",
    f"</script><script>{RUN}</script>",
    f'<img src=x onerror="{RUN}">',
    f"<svg/onload={RUN}>",
    f'"><b onmouseover="{RUN}" onfocus="{RUN}" autofocus tabindex=1>x</b>',
    f'<iframe srcdoc="<script>parent.{RUN}</script>"></iframe>',
    f"[click](javascript:{RUN})",
    f"[click](data:text/html,<script>{RUN}</script>)",
    "![chart]({host}/leak.png?q=image)",
    "[![chart]({host}/leak.png?q=linked)]({host}/leak)",
    "<link rel=stylesheet href={host}/leak.css><style>@import '{host}/leak.css'</style>",
    "<form action={host}/leak><button>go</button></form><base href={host}/>",
    "<object data={host}/leak></object><embed src={host}/leak><video src={host}/leak autoplay></video>",
    "{{{{constructor.constructor('" + RUN + "')()}}}} ${{" + RUN + "}}",
    "see ```![chart]({host}/leak.png?q=fence)",  # the last, as it may begin code
)
CONCERNING = "iframe, object, embed, video, audio, base, form[action], [onerror], [onload], [onmouseover], [srcdoc]"
WRONG = f"""() => [
  ...(window.hurt === undefined ? [] : ['a script ran']),
  ...[...document.querySelectorAll({json.dumps(CONCERNING)})].map(node => node.outerHTML.slice(0, 200)),
  ...[...document.querySelectorAll('a[href^="javascript:" i], a[href^="data:" i], a[href^="vbscript:" i]')]
    .map(node => node.outerHTML.slice(0, 200)),
  ...[...document.images].filter(image => image.src.includes('/leak')).map(image => image.src),
]"""


class Leak(BaseHTTPRequestHandler):
    """Another host; what it is asked for is a leak."""

    asked: list[str]

    def do_GET(self) -> None:
        self.asked.append(self.path)
        self.send_error(404)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def leaks() -> Iterator[tuple[str, list[str]]]:
    """Return the address of another host, and what it was asked for."""
    handler = type("Other", (Leak,), {"asked": []})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", handler.asked
        server.shutdown()


@pytest.fixture
def attack(leaks: tuple[str, list[str]]) -> str:
    """Return all hostile texts as one."""
    return "\n\n".join(text.replace("{host}", leaks[0]).replace("{{", "{").replace("}}", "}") for text in HOSTILE)


@pytest.fixture
def hostile_home(chat: ScriptedChat, attack: str, tmp_path: Path) -> Iterator[Path]:
    """Write hostile text as the training's status and as a report; return a hostile file. Undone afterwards."""
    status, run = chat.home / STATE_FILE, chat.home / "runs" / RUNNING
    before = status.read_bytes() if status.exists() else None
    lines = tuple(attack.split("\n\n"))
    ended = replace(this_process(lines[2]), state="failed", told=attack, lines=lines, ended=datetime.now(UTC))
    write_training(chat.home, ended)
    given = facts(notes=list(lines), names={"base": lines[0], "champion": lines[2], "challenger": lines[6]})
    hits = {id_: replace(chunk, title=lines[2], heading=lines[3], text=attack) for id_, chunk in given.chunks.items()}
    write_report(run, replace(given, chunks=hits, config={lines[4]: lines[5]}))
    file = tmp_path / "a'\"onload=alert(1)<img src=x onerror=window.hurt=1>.md"
    file.write_text(f"# {lines[2]}\n\n{attack}\n\n## {lines[4]} {lines[6]}\n\nOtters juggle pebbles {attack}\n")
    yield file
    for path in run.iterdir():
        path.unlink()
    run.rmdir()
    with suppress(FileNotFoundError):
        status.unlink() if before is None else status.write_bytes(before)
    left = [path for path in (chat.home / "uploads").rglob("*") if path.is_file()]
    for path in left:
        path.unlink()
    if left:
        chat.run("rag", "index")


def fine(page: Page, leaks: tuple[str, list[str]]) -> None:
    """Assert that no script of the texts has run and nothing of them is more than text, and fetch nothing."""
    page.wait_for_timeout(300)  # an image's error comes after it was drawn
    assert page.evaluate(WRONG) == [], page.url
    assert leaks[1] == [], page.url


@pytest.mark.page_errors
def test_hostile_text_is_text_everywhere(  # one long walk, as each place needs what was made before
    page: Page, chat: ScriptedChat, hostile_home: Path, attack: str, leaks: tuple[str, list[str]]
) -> None:
    host = leaks[0]
    reply = f"Otters juggle [1]. See [a harmless name]({host}/leak?stolen=1). {attack} [2]"
    chat.writer.reply = stream(*(reply[n : n + 40] for n in range(0, len(reply), 40)))
    page.locator("#upload-button-input").wait_for(state="attached")
    page.locator("#chat-input").click()
    page.keyboard.insert_text("Otters?")
    expect(page.locator("#chat-submit")).to_be_enabled()
    page.locator("#upload-button-input").set_input_files(hostile_home)
    expect(page.locator("#chat-submit")).to_be_enabled()
    page.locator("#chat-submit").click()
    expect(page.get_by_role("region", name="Uploaded files")).to_contain_text("Added")
    wait_until_done(page)
    fine(page, leaks)
    ask(page, f"What do otters juggle? {HOSTILE[2]} {HOSTILE[6]}")
    wait_until_done(page, cards=2)
    thumb(page, "A", "bad").click()
    comment = side(page, "A").get_by_role("textbox")
    comment.fill(attack.replace("\n", " ")[:900])
    with page.expect_response(lambda answer: "hurt" in (answer.request.post_data or "")):
        comment.press("Enter")
    fine(page, leaks)

    side(page, "A").get_by_text("a harmless name").click()
    expect(page.locator(".tt-leads")).to_contain_text(f"leads out of the chat, to {host}/leak?stolen=1")
    assert leaks[1] == []
    page.locator(".tt-leads").get_by_role("button").click()
    expect(page.locator(".tt-leads")).to_have_count(0)

    open_passage(page, "A")
    fine(page, leaks)
    line = {"query": f"What? {attack}", "text": "Beer traps catch some", "label": 1, "rater": HOSTILE[2]}
    assert "error" not in page.request.post(f"{chat.url}/ratings.jsonl", data=json.dumps(line)).json()
    for word in ("Review", "Train", "Ratings", "Documents"):
        open_place(page, word)
        if word == "Documents":
            place(page, word).get_by_role("button", name="Show").last.click()
        fine(page, leaks)
    page.reload()
    wait_until_done(page, cards=2)
    fine(page, leaks)
    for path in ("/scoreboard", f"/runs/{RUNNING}/report.html"):
        assert page.goto(chat.url + path)
        page.wait_for_load_state("load")
        fine(page, leaks)
