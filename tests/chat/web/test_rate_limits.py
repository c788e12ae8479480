"""Rate limits: a script is stopped, a class behind one address is not, and the right address counts."""

from __future__ import annotations

from ipaddress import ip_network
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from chat.web.rate_limits import LIMITS, RateLimits, SignInLimit, What
from rag.errors import TooMany
from rag.web.rate_limits import MOST_KEYS, client_address, network_of

SCHOOL = "203.0.113.7"
PROXY = (ip_network("10.0.0.0/8"),)


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def done(limits: RateLimits, what: What, rater: str, address: str, times: int) -> int:
    """Return how often somebody got through."""
    passed = 0
    for _ in range(times):
        try:
            limits.spend(what, rater, address)
        except TooMany:
            continue
        passed += 1
    return passed


def test_one_rater_is_stopped_and_told_how_long_to_wait() -> None:
    clock = Clock()
    limits = RateLimits(sign_in=True, clock=clock)
    most, seconds = LIMITS["question"].rater
    assert done(limits, "question", "ann", SCHOOL, most + 10) == most
    clock.now += 20
    with pytest.raises(TooMany, match=f"faster than this chat allows: wait {seconds - 20} seconds") as error:
        limits.spend("question", "ann", SCHOOL)
    assert error.value.seconds == seconds - 20
    assert done(limits, "question", "bob", SCHOOL, 1) == 1
    clock.now += seconds - 20
    assert done(limits, "question", "ann", SCHOOL, 1) == 1


def test_what_is_refused_does_not_lengthen_the_wait() -> None:
    clock = Clock()
    limits = RateLimits(sign_in=True, clock=clock)
    most, seconds = LIMITS["training"].rater
    done(limits, "training", "ann", SCHOOL, most)
    for _ in range(50):
        clock.now += seconds / 50
        done(limits, "training", "ann", SCHOOL, 1)
    assert done(limits, "training", "ann", SCHOOL, 1) == 1


@pytest.mark.parametrize(("what", "each"), [("question", 10), ("upload", 20), ("sign_in", 3)])
def test_a_class_of_forty_behind_one_address_works(what: What, each: int) -> None:
    limits = RateLimits(sign_in=True)
    raters = [f"pupil {n}" if what != "sign_in" else "" for n in range(40)]
    assert [done(limits, what, rater, SCHOOL, each) for rater in raters] == [each] * 40


def test_a_new_rater_for_each_question_is_stopped_by_the_address() -> None:
    limits = RateLimits()  # without sign-in a new rater costs one request
    most = LIMITS["question"].address.most
    assert sum(done(limits, "question", f"rater-{n}", SCHOOL, 1) for n in range(most + 50)) == most
    assert done(limits, "question", "rater-x", "203.0.113.8", 1) == 1


@pytest.mark.parametrize("address", ["127.0.0.1", "::1", ""])
def test_on_this_machine_without_sign_in_nothing_is_limited(address: str) -> None:
    assert done(RateLimits(), "question", "rater-1", address, 1000) == 1000
    most = LIMITS["question"].rater.most
    assert done(RateLimits(sign_in=True), "question", "ann", address, 1000) == most  # behind a proxy that says nothing


def test_the_household_of_an_ipv6_address_counts_as_one() -> None:
    assert network_of("2001:db8:1:2:aaaa::1") == network_of("2001:db8:1:2:bbbb::9") != network_of("2001:db8:1:3::1")
    assert network_of("::ffff:203.0.113.7") == SCHOOL


@pytest.mark.parametrize(
    ("client", "forwarded", "address"),
    [
        ("203.0.113.7", "", "203.0.113.7"),
        ("203.0.113.7", "198.51.100.1", "203.0.113.7"),  # who is no proxy can say what they like
        ("10.0.0.2", "198.51.100.1", "198.51.100.1"),
        ("10.0.0.2", "127.0.0.1, 198.51.100.1", "198.51.100.1"),  # the first was sent by the browser
        ("10.0.0.2", "198.51.100.1, 10.0.0.3", "198.51.100.1"),  # two proxies
        ("10.0.0.2", "forged", "10.0.0.2"),
        ("10.0.0.2", "", "10.0.0.2"),
        ("::ffff:10.0.0.2", "198.51.100.1", "198.51.100.1"),
    ],
)
def test_behind_a_trusted_proxy_the_address_of_the_browser_counts(client: str, forwarded: str, address: str) -> None:
    headers = [(b"x-forwarded-for", forwarded.encode())] if forwarded else []
    assert client_address({"type": "http", "client": (client, 5), "headers": headers}, PROXY) == address


def test_too_many_attempts_to_sign_in_are_refused_and_nothing_else_is() -> None:
    async def passed(request: Request) -> PlainTextResponse:
        return PlainTextResponse("wrong", 401)

    app = Starlette(routes=[Route("/{path:path}", passed, methods=["GET", "POST"])])
    app.add_middleware(SignInLimit, limits=RateLimits(sign_in=True))
    browser: Any = TestClient(app, client=(SCHOOL, 1))
    most = LIMITS["sign_in"].address.most
    statuses = [browser.post("/login").status_code for _ in range(most + 1)]
    assert statuses == [401] * most + [429]
    refused = browser.post("/login", headers={"Accept-Language": "de"})
    assert refused.json()["detail"].startswith("Zu viele Anmeldeversuche aus diesem Netz: Warten Sie ")
    assert 0 < int(refused.headers["retry-after"]) <= LIMITS["sign_in"].address.seconds
    assert browser.get("/auth/oauth/github/callback").status_code == 429
    assert browser.get("/login").status_code == browser.post("/logout").status_code == 401


def test_the_memory_of_raters_is_bounded() -> None:
    clock = Clock()
    limits = RateLimits(sign_in=True, clock=clock)
    for n in range(MOST_KEYS):
        limits.spend("question", f"rater-{n}", "")
    clock.now += LIMITS["question"].address.seconds + 1
    limits.spend("question", "ann", SCHOOL)
    assert len(limits) == 2
