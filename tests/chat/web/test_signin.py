"""One way in at a time: by cookie, password, OAuth or a proxy's header; each over Chainlit's own routes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from chainlit.auth.cookie import _auth_cookie_name
from chainlit.config import config
from chainlit.server import router
from chainlit.user import User
from fastapi import FastAPI
from starlette.datastructures import Headers
from starlette.testclient import TestClient

from chat.passwords import main as passwords_main
from chat.passwords import make_line, read_passwords
from chat.web.security import Hosts, SecurityMiddleware
from chat.web.signin import AuthMode, auth_mode, check_providers, install, open_to_all, token_cookie, with_cookies
from rag.errors import BadSetting
from rag.settings import Settings, load_settings

SECRET = "s" * 64
PASSWORD = "correct horse battery"
CALLBACKS = ("header_auth_callback", "password_auth_callback", "oauth_callback")
HEADER = "X-Forwarded-User"
PROXY = ("127.0.0.1", 50000)


@pytest.fixture(scope="module")
def lines() -> str:
    return "\n".join(["# who may come in", "", make_line("anna", PASSWORD), make_line("jörg", "another password")])


@pytest.fixture
def file(tmp_path: Path, lines: str) -> Path:
    path = tmp_path / "passwords.txt"
    path.write_text(lines, "utf-8")
    return path


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Settings]:
    monkeypatch.chdir(tmp_path)  # away from a developer's .env
    return lambda **values: load_settings(home=tmp_path / "home", **values)


@pytest.fixture
def browser(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., TestClient]]:
    """Return a function: a door -> a browser of Chainlit's routes behind it, with no history."""
    for name in CALLBACKS:
        monkeypatch.setattr(config.code, name, None)
    monkeypatch.setattr("chainlit.data._data_layer", None)
    monkeypatch.setattr("chainlit.data._data_layer_initialized", True)

    def open_browser(
        door: AuthMode, client: tuple[str, int] = PROXY, base_url: str = "http://chat.example"
    ) -> TestClient:
        monkeypatch.setenv("CHAINLIT_AUTH_SECRET", door.token_key(SECRET))
        app = FastAPI()
        app.include_router(router)
        install(door, SECRET, app)
        app.add_middleware(SecurityMiddleware, hosts=Hosts(frozenset({"chat.example"})))
        return TestClient(app, client=client, base_url=base_url)

    yield open_browser
    for name in CALLBACKS:
        setattr(config.code, name, None)


def who(client: TestClient, **headers: str) -> str:
    """Return whom Chainlit takes a browser for."""
    answer = client.get("/user", headers=headers)
    return str(answer.json()["identifier"]) if answer.status_code == 200 else str(answer.status_code)


def sign_in(client: TestClient, name: str, password: str) -> int:
    return client.post("/login", data={"username": name, "password": password}).status_code


# --- which way -----------------------------------------------------------------------------------------------------


def test_without_a_setting_everybody_comes_in_by_cookie(settings: Callable[..., Settings]) -> None:
    door = auth_mode(settings())
    assert door == AuthMode("cookie")
    assert door.token_key(SECRET) == SECRET


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"passwords": "p", "oauth_allow": "ann"}, "THUMBTUNE_PASSWORDS and THUMBTUNE_OAUTH_ALLOW are set"),
        ({"oauth_allow": "*", "trusted_header": HEADER}, "THUMBTUNE_OAUTH_ALLOW and THUMBTUNE_TRUSTED_HEADER are set"),
        ({"passwords": "nowhere.txt"}, r"nowhere\.txt: cannot be read \(No such file or directory\); make a line"),
        ({"trusted_proxies": "10.0.0.7"}, "without THUMBTUNE_TRUSTED_HEADER"),
        ({"trusted_header": "X User:"}, "no name of a header"),
        ({"trusted_header": HEADER, "trusted_proxies": "10.0.0.7,proxy"}, "'proxy' does not appear to be"),
        ({"trusted_header": HEADER, "host": "0.0.0.0"}, "anybody could send the header"),
        ({"trusted_header": HEADER, "host": "chat.example"}, "anybody could send the header"),
    ],
)
def test_what_cannot_work_is_told_at_the_start(
    settings: Callable[..., Settings], values: dict[str, str], message: str
) -> None:
    with pytest.raises(BadSetting, match=message):
        auth_mode(settings(**values))


def test_a_list_of_proxies_lets_the_chat_listen_everywhere(settings: Callable[..., Settings]) -> None:
    door = auth_mode(settings(trusted_header=HEADER, host="0.0.0.0", trusted_proxies="10.0.0.7, 10.1.0.0/16"))
    assert [door.is_proxy((address, 1)) for address in ("10.0.0.7", "10.1.2.3", "::ffff:10.0.0.7")] == [True] * 3
    assert [door.is_proxy((address, 1)) for address in ("10.0.0.8", "127.0.0.1", "::1", "testclient")] == [False] * 4
    assert not door.is_proxy(None)


NETWORKS = ("0.0.0.0", "::", "192.168.1.5", "chat.example", "127.0.0.1.example")


@pytest.mark.parametrize("host", NETWORKS)
def test_on_a_network_nobody_comes_in_without_sign_in_unless_the_settings_say_so(
    settings: Callable[..., Settings], host: str
) -> None:
    with pytest.raises(BadSetting, match=rf"THUMBTUNE_HOST='{host}' without sign-in.*THUMBTUNE_OPEN=yes to allow it"):
        auth_mode(settings(host=host))
    allowed = settings(host=host, open="yes")
    assert auth_mode(allowed) == AuthMode("cookie")
    assert "everyone who can reach it can read the documents" in open_to_all(allowed, auth_mode(allowed))


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.0.0.2", "::1"])
def test_on_this_machine_alone_nobody_is_warned(settings: Callable[..., Settings], host: str) -> None:
    assert open_to_all(settings(host=host), auth_mode(settings(host=host))) == ""


def test_where_people_sign_in_a_network_is_fine(settings: Callable[..., Settings], file: Path) -> None:
    for values in ({"passwords": file}, {"oauth_allow": "anna"}):
        signed = settings(host="0.0.0.0", **values)
        assert open_to_all(signed, auth_mode(signed)) == ""


def test_a_token_of_one_way_is_worth_nothing_in_another_and_none_outlives_a_change(lines: str, file: Path) -> None:
    before = read_passwords(file)
    file.write_text(lines.rpartition("\n")[0], "utf-8")  # without Jörg
    doors = [
        AuthMode("cookie"),
        AuthMode("password", passwords=before),
        AuthMode("password", passwords=read_passwords(file)),
        AuthMode("oauth", allowed=("ann",)),
        AuthMode("oauth", allowed=("ann", "bob")),
        AuthMode("header", header=HEADER),
    ]
    assert len({door.token_key(SECRET) for door in doors}) == len(doors)
    assert len({AuthMode("password", passwords=read_passwords(file)).token_key(SECRET) for _ in range(2)}) == 1


def test_a_provider_without_who_may_come_in_is_told_and_the_other_way_round() -> None:
    with pytest.raises(BadSetting, match="OAuth by github is configured, but not who may come in"):
        check_providers(AuthMode("cookie"), ["github"])
    with pytest.raises(BadSetting, match="no provider: set, for example, OAUTH_GITHUB_CLIENT_ID"):
        check_providers(AuthMode("oauth", allowed=("ann",)), [])
    check_providers(AuthMode("oauth", allowed=("ann",)), ["github"])


# --- by cookie -----------------------------------------------------------------------------------------------------


def test_by_cookie_everybody_is_in_at_the_first_visit_and_nobody_is_anybody_else(
    browser: Callable[..., TestClient],
) -> None:
    ann, bob = browser(AuthMode("cookie")), browser(AuthMode("cookie"))
    for client in (ann, bob):
        client.get("/auth/config")
    assert who(ann).startswith("rater-")
    assert who(ann) == who(ann) != who(bob)
    assert sign_in(ann, "anna", PASSWORD) == 400


# --- by password ---------------------------------------------------------------------------------------------------


def test_by_password_a_person_signs_in_and_out(browser: Callable[..., TestClient], file: Path) -> None:
    client = browser(AuthMode("password", passwords=read_passwords(file)))
    assert client.get("/auth/config").json()["passwordAuth"] is True
    assert who(client) == "401"
    assert sign_in(client, "anna", PASSWORD) == 200
    assert who(client) == "anna"
    assert client.post("/logout").status_code == 200
    assert _auth_cookie_name not in client.cookies
    assert who(client) == "401"


def test_a_wrong_password_and_an_unknown_name_get_the_same_answer(
    browser: Callable[..., TestClient], file: Path
) -> None:
    client = browser(AuthMode("password", passwords=read_passwords(file)))
    wrong, unknown, header = (
        client.post("/login", data={"username": "anna", "password": "another password"}),
        client.post("/login", data={"username": "nobody", "password": PASSWORD}),
        client.post("/auth/header"),
    )
    assert (wrong.status_code, wrong.json()) == (unknown.status_code, unknown.json()) == (401, unknown.json())
    assert header.status_code == 400
    assert who(client) == "401"


def test_a_visitor_of_the_open_days_is_not_in_when_passwords_are_asked_for(
    browser: Callable[..., TestClient], file: Path
) -> None:
    client = browser(AuthMode("cookie"))
    client.get("/auth/config")
    old = dict(client.cookies)
    client = browser(AuthMode("password", passwords=read_passwords(file)))
    client.cookies.update(old)
    assert who(client) == "401"


def test_over_https_a_login_is_sent_over_https_only(browser: Callable[..., TestClient], file: Path) -> None:
    door = AuthMode("password", passwords=read_passwords(file))
    for url, secure in (("https://chat.example", True), ("http://chat.example", False)):
        answer = browser(door, base_url=url).post("/login", data={"username": "anna", "password": PASSWORD})
        (line,) = answer.headers.get_list("set-cookie")
        assert ("; secure" in line.lower(), "httponly" in line.lower()) == (secure, True)


async def test_who_types_a_letter_as_two_characters_is_the_same_person(file: Path) -> None:
    passwords = read_passwords(file)
    assert await passwords.check("jo\u0308rg", "another password") == "jörg"
    assert await passwords.check("jörg", PASSWORD) is None
    assert await passwords.check("anna", PASSWORD * 100) is None


async def test_an_unknown_name_costs_a_hash_as_a_known_one_does(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = []
    monkeypatch.setattr("hashlib.scrypt", lambda typed, **_: made.append(typed) or bytes(32))
    passwords = read_passwords(file)
    for name in ("anna", "nobody", ""):
        assert await passwords.check(name, "guess") is None
    assert made == [b"guess"] * 3


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "has no names"),
        ("anna:secret", r"line 1: is no name:hash"),
        ("# x\nanna:scrypt-14-8-1$" + "0" * 32 + "$" + "0" * 64, r"line 2: is not a valid name:hash line"),
        ("rater-0123:scrypt-15-8-3$" + "0" * 32 + "$" + "0" * 64, r"line 1"),
        ("\n".join(["a:scrypt-15-8-3$" + "0" * 32 + "$" + "0" * 64] * 2), r"line 2: a has a line already"),
    ],
)
def test_a_file_that_cannot_be_right_is_told_with_its_line(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "passwords.txt").write_text(text)
    with pytest.raises(BadSetting, match=message):
        read_passwords(tmp_path / "passwords.txt")


@pytest.mark.parametrize("name", ["", "rater-1", "a:b", "a b", "x" * 65, "a\n"])
def test_a_name_that_could_be_taken_for_another_gets_no_line(name: str) -> None:
    with pytest.raises(BadSetting, match="a name has 1 to 64"):
        make_line(name, PASSWORD)


def test_a_short_password_gets_no_line_and_a_line_tells_nothing_of_its_password() -> None:
    with pytest.raises(BadSetting, match="8 to 1024"):
        make_line("anna", "1234567")
    first, second = make_line("anna", PASSWORD), make_line("anna", PASSWORD)
    assert first.startswith("anna:scrypt-15-8-3$")
    assert first != second
    assert "horse" not in first


@pytest.mark.parametrize(
    ("typed", "code", "told"),
    [((PASSWORD, PASSWORD), 0, ""), ((PASSWORD, "other"), 2, "the two passwords differ"), (("short",) * 2, 2, "8 to")],
)
def test_the_command_prints_a_line_that_the_file_can_hold(
    typed: tuple[str, str],
    code: int,
    told: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    answers = iter(typed)
    monkeypatch.setattr("getpass.getpass", lambda prompt: next(answers))
    monkeypatch.setattr("sys.argv", ["passwords", "anna"])
    assert passwords_main() == code
    shown = capsys.readouterr()
    assert told in shown.err
    (tmp_path / "passwords.txt").write_text(shown.out)
    assert PASSWORD not in shown.out
    assert bool(shown.out) is (code == 0)
    if code == 0:
        assert asyncio.run(read_passwords(tmp_path / "passwords.txt").check("anna", PASSWORD)) == "anna"


# --- by OAuth ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rules", "name", "profile", "comes_in"),
    [
        (("ann",), "Ann", {}, True),
        (("ann",), "anna", {}, False),
        (("@example.org",), "bob@Example.org", {"verified_email": True}, True),
        (("@example.org",), "bob@example.org", {"verified_email": False}, False),
        (("@example.org",), "bob@example.org", {"email_verified": False}, False),
        (("@example.org",), "bob@evil-example.org", {}, False),
        (("@example.org",), "bob@example.org.evil", {}, False),
        (("*",), "anybody", {}, True),
    ],
)
def test_by_oauth_those_on_the_list_come_in(
    rules: tuple[str, ...], name: str, profile: dict[str, object], comes_in: bool
) -> None:
    assert AuthMode("oauth", allowed=rules).lets_in(name, profile) is comes_in


async def test_by_oauth_a_rater_carries_the_providers_name_and_no_picture(
    browser: Callable[..., TestClient], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OAUTH_GITHUB_CLIENT_ID", "id")
    monkeypatch.setenv("OAUTH_GITHUB_CLIENT_SECRET", "secret")
    client = browser(AuthMode("oauth", allowed=("ann",)))
    assert client.get("/auth/config").json()["oauthProviders"] == ["github"]
    away = client.get("/auth/oauth/github", follow_redirects=False).headers["location"]
    assert away.startswith("https://github.com/login/oauth/authorize?")
    theirs = User(identifier="Ann", metadata={"image": "https://elsewhere/x.png"})
    assert config.code.oauth_callback
    ours = await config.code.oauth_callback("github", "token", {}, theirs)
    assert ours
    assert (ours.identifier, ours.display_name, ours.metadata) == ("github:Ann", "Ann", {})
    assert await config.code.oauth_callback("github", "token", {}, User(identifier="eve")) is None


# --- by a proxy's header -------------------------------------------------------------------------------------------


@pytest.fixture
def door(settings: Callable[..., Settings]) -> AuthMode:
    return auth_mode(settings(trusted_header=HEADER))


def test_by_header_each_request_is_who_the_proxy_says_whatever_the_browser_says(
    browser: Callable[..., TestClient], door: AuthMode
) -> None:
    client = browser(door)
    assert who(client, **{HEADER: "anna"}) == "anna"
    client.post("/auth/header", headers={HEADER: "anna"})
    assert client.cookies[_auth_cookie_name]
    assert who(client, **{HEADER: "bob"}) == "bob"  # somebody else at the same browser
    assert who(client, **{HEADER: "bob", "Authorization": f"Bearer {token_cookie('anna')[_auth_cookie_name]}"}) == "bob"


@pytest.mark.parametrize("said", [{}, {HEADER: ""}, {HEADER: "rater-0123"}, {HEADER: "a;b"}, {HEADER: "x" * 129}])
def test_who_is_not_named_by_the_proxy_is_refused(
    browser: Callable[..., TestClient], door: AuthMode, said: dict[str, str]
) -> None:
    client = browser(door)
    client.cookies.update(token_cookie("anna"))
    answer = client.get("/user", headers=said)
    assert answer.status_code == 403
    assert "through its proxy" in answer.json()["detail"]


def test_a_second_header_that_a_browser_slips_in_is_refused(browser: Callable[..., TestClient], door: AuthMode) -> None:
    headers = [(HEADER, "anna"), (HEADER.lower(), "bob")]
    assert browser(door).get("/user", headers=headers).status_code == 403  # type: ignore[arg-type]


@pytest.mark.parametrize("peer", [("192.0.2.9", 1), ("10.0.0.7", 1), ("testclient", 1)])
def test_a_header_from_anywhere_but_the_proxy_is_refused_not_believed(
    browser: Callable[..., TestClient], door: AuthMode, peer: tuple[str, int]
) -> None:
    client = browser(door, client=peer)
    assert who(client, **{HEADER: "anna"}) == "403"
    assert client.get("/", headers={HEADER: "anna", "X-Forwarded-For": "127.0.0.1"}).status_code == 403
    assert client.get("/health").json() == {"status": "ok"}


def test_a_token_in_the_request_is_replaced_in_every_form_it_can_have() -> None:
    headers = [(b"cookie", b"theme=dark; t=forged; t_0=for; t_1=ged"), (b"accept", b"*/*"), (b"cookie", b"t=again")]
    sent = with_cookies(headers, {"t": "ours"})
    assert sent == [(b"accept", b"*/*"), (b"cookie", b"theme=dark; t=ours")]
    assert Headers(raw=sent)["cookie"] == "theme=dark; t=ours"
