"""A signed cookie tells raters apart; the key that signs it is made once and kept private."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from chat.web.rater_cookie import RaterCookie, RaterCookieMiddleware, cookie_tag
from rag.errors import StoreFailed
from rag.web.secret import load_secret


def cookie_header(cookie: RaterCookie, value: str) -> Headers:
    return Headers({"cookie": f'theme={{"a": 1}}; {cookie.name}={value}; other=x'})


def browser(cookie: RaterCookie) -> TestClient:
    """Return a browser of a page that prints its rater."""

    async def who(request: Request) -> PlainTextResponse:
        return PlainTextResponse(cookie.read(request.headers) or "nobody")

    app = Starlette(routes=[Route("/", who)])
    app.add_middleware(RaterCookieMiddleware, cookie=cookie, sign_in=lambda rater: {"token": f"for-{rater}"})
    return TestClient(app)


def test_a_secret_is_made_once_and_only_its_owner_can_read_it(tmp_path: Path) -> None:
    path = tmp_path / "home" / "secret"
    secret = load_secret(path)
    assert load_secret(path) == secret
    assert len(secret) == 64
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_two_homes_have_two_secrets(tmp_path: Path) -> None:
    assert load_secret(tmp_path / "a") != load_secret(tmp_path / "b")


def test_an_empty_secret_is_an_error_and_never_used(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("")
    with pytest.raises(StoreFailed, match="delete it"):
        load_secret(tmp_path / "secret")


def test_a_secret_that_cannot_be_created_is_an_error_with_its_path(tmp_path: Path) -> None:
    (tmp_path / "home").write_text("a file where the folder should be")
    with pytest.raises(StoreFailed, match=str(tmp_path / "home")):
        load_secret(tmp_path / "home" / "secret")


def test_a_browser_stays_the_same_rater_and_two_browsers_are_two(tmp_path: Path) -> None:
    cookie = RaterCookie(load_secret(tmp_path / "secret"))
    ann, bob = browser(cookie), browser(cookie)
    assert ann.get("/").text == "nobody"
    assert bob.get("/").text == "nobody"
    assert ann.get("/").text == ann.get("/").text != bob.get("/").text
    assert ann.get("/").text.startswith("rater-")


def test_the_cookie_is_hidden_from_scripts_and_from_other_sites_and_set_once(tmp_path: Path) -> None:
    client = browser(RaterCookie(load_secret(tmp_path / "secret")))
    first = client.get("/").headers.get_list("set-cookie")
    assert len(first) == 2
    assert all("HttpOnly" in line and "SameSite=Lax" in line and "Path=/" in line for line in first)
    assert not any("Secure" in line for line in first)
    assert client.get("/").headers.get_list("set-cookie") == []


def test_over_https_the_cookie_is_sent_over_https_only(tmp_path: Path) -> None:
    client = browser(RaterCookie(load_secret(tmp_path / "secret")))
    client.base_url = "https://chat.example"
    assert all("Secure" in line for line in client.get("/").headers.get_list("set-cookie"))


def test_a_new_rater_is_signed_in_under_the_same_name(tmp_path: Path) -> None:
    client = browser(RaterCookie(load_secret(tmp_path / "secret")))
    client.get("/")
    assert client.cookies["token"] == f"for-{client.get('/').text}"


@pytest.mark.parametrize("forged", ["", "x", "abc.def", "0123456789abcdef", "0123456789abcdef.AAAA"])
def test_a_cookie_with_an_invalid_signature_has_no_rater(forged: str) -> None:
    cookie = RaterCookie("s" * 64)
    assert cookie.read(cookie_header(cookie, forged)) is None


def test_a_cookie_signed_with_another_secret_has_no_rater() -> None:
    cookie, other = RaterCookie("s" * 64), RaterCookie("t" * 64)
    rater, value = other.make()
    assert other.read(cookie_header(other, value)) == rater
    assert cookie.read(cookie_header(cookie, value)) is None


def test_chats_of_two_homes_on_one_host_do_not_overwrite_each_others_cookies() -> None:
    assert RaterCookie("s" * 64).name != RaterCookie("t" * 64).name
    assert cookie_tag("s" * 64) not in "s" * 64
