"""Lists of URLs: a page is fetched once a week; without a network its copy is used, or the reason is reported."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from pdfs import make_pdf
from rag.errors import NoDocuments, Unreadable
from rag.ingest.addresses import is_public
from rag.ingest.discovery import UPLOADS
from rag.ingest.documents import Outcome, Skipped, Unchanged, ingest
from rag.ingest.web_pages import WEEK, PageFetcher, parse_addresses
from rag.records import Document

Answers = Mapping[str, tuple[int, str, bytes]]  # path -> status, content type (or redirect target), body
PAGE = (
    200,
    "text/html; charset=utf-8",
    b"<html><body><article><h1>Cats</h1><p>Cats sleep.</p></article></body></html>",
)


@contextmanager
def site(answers: Answers) -> Iterator[tuple[str, list[str]]]:
    """Serve these answers; yield the server's address and the list of requested paths."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            status, kind, body = answers.get(self.path, (404, "text/plain", b"gone"))
            self.send_response(status)
            self.send_header("Location" if 300 <= status < 400 else "Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", asked
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def outcomes(folder: Path, fetch: PageFetcher | None, known: dict[str, str] | None = None) -> list[Outcome]:
    def words(texts: list[str]) -> list[int]:
        return [len(text.split()) + 2 for text in texts]

    return list(ingest([folder], known=known or {}, count_tokens=words, chunk_tokens=32, fetch=fetch))


def pages(tmp_path: Path, later: float = 0.0) -> PageFetcher:
    return PageFetcher(tmp_path / "pages", 1_000_000, now=lambda: tmp_path.stat().st_ctime + later, private=True)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("https://a.org/x\n# a note\n\n  http://b.org/y#part \nhttps://a.org/x#other", ["https://a.org/x", "http://b.org/y"]),
        ("[InternetShortcut]\r\nURL=https://a.org/\r\n", ["https://a.org/"]),
        ("file:///etc/passwd\nftp://a.org\njavascript:alert(1)", []),
    ],
)  # fmt: skip
def test_a_list_has_one_url_per_line_or_is_a_bookmark(text: str, found: list[str]) -> None:
    assert list(parse_addresses(text.encode())) == found


def test_the_source_of_a_page_is_its_address(tmp_path: Path) -> None:
    docs = tmp_path / "docs"
    docs.mkdir()
    answers = {"/cats": PAGE, "/old": (302, "/cats", b""), "/dogs": (200, "application/pdf", make_pdf("Dogs bark."))}
    with site(answers) as (url, _):
        (docs / "a.urls").write_text(f"{url}/cats\n{url}/dogs\n{url}/none\n")
        (docs / "b.url").write_text(f"URL={url}/old\n")
        (docs / "c.urls").write_text(f"{url}/cats#again\n")
        cats, dogs, none, old = outcomes(docs, pages(tmp_path))
    assert isinstance(cats, Document)
    assert isinstance(dogs, Document)
    assert isinstance(old, Document)
    assert (cats.source, cats.title, cats.text) == (f"{url}/cats", "Cats", "# Cats\n\nCats sleep.")
    assert (dogs.text.strip(), dogs.spans[0].page) == ("Dogs bark.", 1)
    assert none == Skipped(f"{url}/none", "its server replied 404 Not Found: check the address")
    assert old.text == cats.text


def test_a_page_is_fetched_once_a_week_and_its_copy_is_used_without_a_network(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with site({"/cats": PAGE}) as (url, asked):
        first = pages(tmp_path)(f"{url}/cats")
        assert pages(tmp_path)(f"{url}/cats") == first == (".html", PAGE[2])
        assert len(asked) == 1
        assert pages(tmp_path, later=WEEK + 60)(f"{url}/cats") == first
        assert len(asked) == 2
    os.utime(next((tmp_path / "pages").iterdir()), (0, 0))
    assert pages(tmp_path)(f"{url}/cats") == first
    assert "the copy of" in caplog.text


def test_a_page_that_did_not_change_is_not_parsed_again(tmp_path: Path) -> None:
    docs = tmp_path / "docs"
    docs.mkdir()
    with site({"/cats": PAGE}) as (url, _):
        (docs / "a.urls").write_text(f"{url}/cats")
        (document,) = outcomes(docs, pages(tmp_path))
        assert isinstance(document, Document)
        assert outcomes(docs, pages(tmp_path), {document.source: document.hash}) == [Unchanged(f"{url}/cats")]


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        ((200, "image/png", b"x"), "its content type, image/png, is not supported"),
        ((200, "text/plain", b""), "it is empty"),
        ((200, "text/plain", b"x" * 1_000_001), "it is too large"),
        ((500, "text/plain", b"x"), "its server replied 500"),
        ((302, "file:///etc/passwd", b""), "which was not listed"),
        ((302, "/page", b""), "redirects more than 5 times"),
    ],
)
def test_an_unusable_page_is_refused_with_the_reason(tmp_path: Path, answer: tuple[int, str, bytes], why: str) -> None:
    with site({"/page": answer}) as (url, _), pytest.raises(Unreadable, match=why):
        pages(tmp_path)(f"{url}/page")
    assert not (tmp_path / "pages").exists()


def test_an_unreachable_host_is_tried_once_per_run(tmp_path: Path) -> None:
    fetch = pages(tmp_path)
    for page in ("a", "b"):
        with pytest.raises(Unreadable, match="is there a network"):
            fetch(f"http://127.0.0.1:9/{page}")
    assert len(fetch._unreachable) == 1


@pytest.mark.parametrize(
    "ip",
    [
        *("127.0.0.1", "10.0.0.1", "169.254.169.254", "192.168.1.1", "100.64.0.1", "0.0.0.0", "224.0.0.1", "::1", "::"),
        *("fe80::1", "fd00::1", "::ffff:127.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::"),
    ],
)
def test_an_address_that_only_this_machine_or_its_network_reaches_is_private(ip: str) -> None:
    assert not is_public(ip)


@pytest.mark.parametrize("ip", ["8.8.8.8", "2001:4860:4860::8888", "::ffff:8.8.8.8", "64:ff9b::808:808"])
def test_an_address_that_everybody_reaches_is_public(ip: str) -> None:
    assert is_public(ip)


def test_a_private_address_is_not_fetched_by_whatever_name_and_its_copy_is_not_used(tmp_path: Path) -> None:
    with site({"/cats": PAGE}) as (url, asked):
        port = url.rpartition(":")[2]
        assert pages(tmp_path)(f"{url}/cats")[1] == PAGE[2]
        strict = PageFetcher(tmp_path / "pages", 1_000_000, lookup=lambda host: ["8.8.8.8", "127.0.0.1"])
        for address in (f"{url}/cats", f"http://localhost:{port}/cats", f"http://rebound.test:{port}/cats"):
            with pytest.raises(Unreadable, match="set THUMBTUNE_PRIVATE_ADDRESSES=yes if it is meant"):
                strict(address)
    assert len(asked) == 1


def test_a_public_page_may_not_redirect_to_a_private_address(tmp_path: Path) -> None:
    with site({"/page": (302, "http://127.0.0.2:9/admin", b""), "/here": (302, "/cats", b""), "/cats": PAGE}) as (
        url,
        _,
    ):
        for private in (False, True):
            fetch = PageFetcher(tmp_path, 1_000_000, private=private, public=lambda ip: ip == "127.0.0.1")
            with pytest.raises(Unreadable, match=r"private|which was not listed"):
                fetch(f"{url}/page")
            assert fetch(f"{url}/here")[1] == PAGE[2]


def test_a_host_is_looked_up_once_and_that_address_is_connected_to(tmp_path: Path) -> None:
    looked_up: list[str] = []

    def lookup(host: str) -> list[str]:
        looked_up.append(host)
        return ["127.0.0.1"] if len(looked_up) == 1 else ["127.0.0.2"]

    with site({"/cats": PAGE}) as (url, asked):
        fetch = PageFetcher(tmp_path, 1_000_000, lookup=lookup, public=lambda ip: ip == "127.0.0.1")
        assert fetch(f"http://rebinding.test:{url.rpartition(':')[2]}/cats")[1] == PAGE[2]
    assert (looked_up, len(asked)) == (["rebinding.test"], 1)


def test_a_password_in_an_address_is_neither_sent_nor_shown(tmp_path: Path) -> None:
    docs = tmp_path / "docs"
    docs.mkdir()
    with site({"/cats": PAGE}) as (url, asked):
        (docs / "a.urls").write_text(f"{url}/cats".replace("://", "://me:secret@"))
        (cats,) = outcomes(docs, pages(tmp_path))
    assert isinstance(cats, Document)
    assert cats.source == f"{url}/cats"
    assert "secret" not in "".join(map(str, asked))


def test_an_uploaded_list_is_not_fetched(tmp_path: Path) -> None:
    docs, uploads = tmp_path / "docs", tmp_path / "uploads"
    docs.mkdir()
    uploads.mkdir()
    (docs / "a.md").write_text("Cats sleep.")
    (uploads / "b.urls").write_text("http://127.0.0.1:9/secret")
    fetched: list[str] = []

    def fetch(address: str) -> tuple[str, bytes]:
        fetched.append(address)
        return ".txt", b"secret"

    found = list(
        ingest([docs], known={}, count_tokens=lambda t: [3] * len(t), chunk_tokens=32, uploads=uploads, fetch=fetch)
    )
    assert fetched == []
    assert found[1] == Skipped(UPLOADS + "b.urls", "lists of addresses are read only in the documents folder")


def test_the_reason_for_an_empty_list_says_what_to_write(tmp_path: Path) -> None:
    (tmp_path / "a.urls").write_text("nothing")
    (skipped,) = outcomes(tmp_path, pages(tmp_path))
    assert isinstance(skipped, Skipped)
    assert "one a line, beginning with http://" in skipped.reason
    with pytest.raises(NoDocuments):
        outcomes(tmp_path / "gone", None)
