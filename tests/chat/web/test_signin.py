"""Sign-in modes: cookie, password, OAuth and proxy header, one at a time, each over Chainlit's own routes."""

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
from chat.web.security import SecurityMiddleware
from chat.web.signin import AuthMode, auth_mode, check_providers, install, open_to_all, token_cookie, with_cookies
from rag.errors import BadSetting
from rag.settings import Settings, load_settings
from rag.web.hosts import Hosts

SECRET = "s" * 64
PASSWORD = "correct horse battery"
CALLBACKS = ("header_auth_callback", "password_auth_callback", "oauth_callback")
HEADER = "X-Forwarded-User"
PROXY = ("127.0.0.1", 50000)


@pytest.fixture(scope="module")
def lines() -> str:
    return "\n".join(["# who may sign in", "", make_line("anna", PASSWORD), make_line("jörg", "another password")])


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
    """Return a function: a sign-in mode -> a browser of Chainlit's routes behind it, with no history."""
    for name in CALLBACKS:
        monkeypatch.setattr(config.code, name, None)
    monkeypatch.setattr("chainlit.data._data_layer", None)
    monkeypatch.setattr("chainlit.data._data_layer_initialized", True)

    def open_browser(
        mode: AuthMode, client: tuple[str, int] = PROXY, base_url: str = "http://chat.example"
    ) -> TestClient:
        monkeypatch.setenv("CHAINLIT_AUTH_SECRET", mode.token_key(SECRET))
        app = FastAPI()
        app.include_router(router)
        install(mode, SECRET, app)
        app.add_middleware(SecurityMiddleware, hosts=Hosts(frozenset({"chat.example"})))
        return TestClient(app, client=client, base_url=base_url)

    yield open_browser
    for name in CALLBACKS:
        setattr(config.code, name, None)


def who(client: TestClient, **headers: str) -> str:
    """Return the user that Chainlit knows a browser as."""
    answer = client.get("/user", headers=headers)
    return str(answer.json()["identifier"]) if answer.status_code == 200 else str(answer.status_code)


def sign_in(client: TestClient, name: str, password: str) -> int:
    return client.post("/login", data={"username": name, "password": password}).status_code


# --- which way -----------------------------------------------------------------------------------------------------


def test_without_a_setting_the_mode_is_cookie(settings: Callable[..., Settings]) -> None:
    mode = auth_mode(settings())
    assert mode == AuthMode("cookie")
    assert mode.token_key(SECRET) == SECRET


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"passwords": "p", "oauth_allow": "ann"}, "THUMBTUNE_PASSWORDS and THUMBTUNE_OAUTH_ALLOW are set"),
        ({"oauth_allow": "*", "trusted_header": HEADER}, "THUMBTUNE_OAUTH_ALLOW and THUMBTUNE_TRUSTED_HEADER are set"),
        ({"passwords": "nowhere.txt"}, r"nowhere\.txt: cannot be read \(No such file or directory\); make a line"),
        ({"trusted_proxies": "10.0.0.7"}, "without THUMBTUNE_TRUSTED_HEADER"),
        ({"trusted_header": "X User:"}, "not a valid header name"),
        ({"trusted_header": HEADER, "trusted_proxies": "10.0.0.7,proxy"}, "'proxy' does not appear to be"),
        ({"trusted_header": HEADER, "host": "0.0.0.0"}, "anybody could send the header"),
        ({"trusted_header": HEADER, "host": "chat.example"}, "anybody could send the header"),
    ],
)
def test_a_setting_that_cannot_work_is_an_error_at_the_start(
    settings: Callable[..., Settings], values: dict[str, str], message: str
) -> None:
    with pytest.raises(BadSetting, match=message):
        auth_mode(settings(**values))


def test_a_list_of_proxies_lets_the_chat_listen_everywhere(settings: Callable[..., Settings]) -> None:
    mode = auth_mode(settings(trusted_header=HEADER, host="0.0.0.0", trusted_proxies="10.0.0.7, 10.1.0.0/16"))
    assert [mode.is_proxy((address, 1)) for address in ("10.0.0.7", "10.1.2.3", "::ffff:10.0.0.7")] == [True] * 3
    assert [mode.is_proxy((address, 1)) for address in ("10.0.0.8", "127.0.0.1", "::1", "testclient")] == [False] * 4
    assert not mode.is_proxy(None)


NETWORKS = ("0.0.0.0", "::", "192.168.1.5", "chat.example", "127.0.0.1.example")


@pytest.mark.parametrize("host", NETWORKS)
def test_on_a_network_sign_in_is_required_unless_the_settings_allow_it(
    settings: Callable[..., Settings], host: str
) -> None:
    with pytest.raises(BadSetting, match=rf"THUMBTUNE_HOST='{host}' without sign-in.*THUMBTUNE_OPEN=yes to allow it"):
        auth_mode(settings(host=host))
    allowed = settings(host=host, open="yes")
    assert auth_mode(allowed) == AuthMode("cookie")
    assert "everyone who can reach it can read the documents" in open_to_all(allowed, auth_mode(allowed))


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.0.0.2", "::1"])
def test_on_loopback_there_is_no_warning(settings: Callable[..., Settings], host: str) -> None:
    assert open_to_all(settings(host=host), auth_mode(settings(host=host))) == ""


def test_with_sign_in_a_network_needs_no_warning(settings: Callable[..., Settings], file: Path) -> None:
    for values in ({"passwords": file}, {"oauth_allow": "anna"}):
        signed = settings(host="0.0.0.0", **values)
        assert open_to_all(signed, auth_mode(signed)) == ""


def test_a_token_of_one_mode_is_invalid_in_another_and_after_a_change(lines: str, file: Path) -> None:
    before = read_passwords(file)
    file.write_text(lines.rpartition("\n")[0], "utf-8")  # without Jörg
    modes = [
        AuthMode("cookie"),
        AuthMode("password", passwords=before),
        AuthMode("password", passwords=read_passwords(file)),
        AuthMode("oauth", allowed=("ann",)),
        AuthMode("oauth", allowed=("ann", "bob")),
        AuthMode("header", header=HEADER),
    ]
    assert len({mode.token_key(SECRET) for mode in modes}) == len(modes)
    assert len({AuthMode("password", passwords=read_passwords(file)).token_key(SECRET) for _ in range(2)}) == 1


def test_a_provider_without_a_list_of_users_is_an_error_and_the_reverse() -> None:
    with pytest.raises(BadSetting, match="OAuth by github is configured, but not who may sign in"):
        check_providers(AuthMode("cookie"), ["github"])
    with pytest.raises(BadSetting, match="no provider: set, for example, OAUTH_GITHUB_CLIENT_ID"):
        check_providers(AuthMode("oauth", allowed=("ann",)), [])
    check_providers(AuthMode("oauth", allowed=("ann",)), ["github"])


# --- by cookie -----------------------------------------------------------------------------------------------------


def test_by_cookie_each_browser_is_signed_in_at_once_as_a_rater_of_its_own(
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


def test_an_anonymous_login_is_invalid_once_passwords_are_required(
    browser: Callable[..., TestClient], file: Path
) -> None:
    client = browser(AuthMode("cookie"))
    client.get("/auth/config")
    old = dict(client.cookies)
    client = browser(AuthMode("password", passwords=read_passwords(file)))
    client.cookies.update(old)
    assert who(client) == "401"


def test_over_https_a_login_is_sent_over_https_only(browser: Callable[..., TestClient], file: Path) -> None:
    mode = AuthMode("password", passwords=read_passwords(file))
    for url, secure in (("https://chat.example", True), ("http://chat.example", False)):
        answer = browser(mode, base_url=url).post("/login", data={"username": "anna", "password": PASSWORD})
        (line,) = answer.headers.get_list("set-cookie")
        assert ("; secure" in line.lower(), "httponly" in line.lower()) == (secure, True)


async def test_a_name_in_decomposed_unicode_is_the_same_user(file: Path) -> None:
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
        ("anna:secret", r"line 1: is not a valid name:hash line"),
        ("# x\nanna:scrypt-14-8-1$" + "0" * 32 + "$" + "0" * 64, r"line 2: is not a valid name:hash line"),
        ("rater-0123:scrypt-15-8-3$" + "0" * 32 + "$" + "0" * 64, r"line 1"),
        ("\n".join(["a:scrypt-15-8-3$" + "0" * 32 + "$" + "0" * 64] * 2), r"line 2: a has a line already"),
    ],
)
def test_an_invalid_passwords_file_is_an_error_with_its_line(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "passwords.txt").write_text(text)
    with pytest.raises(BadSetting, match=message):
        read_passwords(tmp_path / "passwords.txt")


@pytest.mark.parametrize("name", ["", "rater-1", "a:b", "a b", "x" * 65, "a\n"])
def test_an_ambiguous_name_gets_no_line(name: str) -> None:
    with pytest.raises(BadSetting, match="a name has 1 to 64"):
        make_line(name, PASSWORD)


def test_a_short_password_gets_no_line_and_a_line_does_not_contain_its_password() -> None:
    with pytest.raises(BadSetting, match="8 to 1024"):
        make_line("anna", "1234567")
    first, second = make_line("anna", PASSWORD), make_line("anna", PASSWORD)
    assert first.startswith("anna:scrypt-15-8-3$")
    assert first != second
    assert "horse" not in first


@pytest.mark.parametrize(
    ("typed", "code", "message"),
    [((PASSWORD, PASSWORD), 0, ""), ((PASSWORD, "other"), 2, "the two passwords differ"), (("short",) * 2, 2, "8 to")],
)
def test_the_command_prints_a_line_that_the_file_can_hold(
    typed: tuple[str, str],
    code: int,
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    answers = iter(typed)
    monkeypatch.setattr("getpass.getpass", lambda prompt: next(answers))
    monkeypatch.setattr("sys.argv", ["passwords", "anna"])
    assert passwords_main() == code
    shown = capsys.readouterr()
    assert message in shown.err
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
def test_by_oauth_users_on_the_list_sign_in(
    rules: tuple[str, ...], name: str, profile: dict[str, object], comes_in: bool
) -> None:
    assert AuthMode("oauth", allowed=rules).lets_in(name, profile) is comes_in


async def test_by_oauth_a_rater_has_the_providers_name_and_no_picture(
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
def mode(settings: Callable[..., Settings]) -> AuthMode:
    return auth_mode(settings(trusted_header=HEADER))


def test_by_header_each_request_is_the_user_of_the_header_not_of_the_cookie(
    browser: Callable[..., TestClient], mode: AuthMode
) -> None:
    client = browser(mode)
    assert who(client, **{HEADER: "anna"}) == "anna"
    client.post("/auth/header", headers={HEADER: "anna"})
    assert client.cookies[_auth_cookie_name]
    assert who(client, **{HEADER: "bob"}) == "bob"  # somebody else at the same browser
    assert who(client, **{HEADER: "bob", "Authorization": f"Bearer {token_cookie('anna')[_auth_cookie_name]}"}) == "bob"


@pytest.mark.parametrize("said", [{}, {HEADER: ""}, {HEADER: "rater-0123"}, {HEADER: "a;b"}, {HEADER: "x" * 129}])
def test_a_request_without_a_user_from_the_proxy_is_refused(
    browser: Callable[..., TestClient], mode: AuthMode, said: dict[str, str]
) -> None:
    client = browser(mode)
    client.cookies.update(token_cookie("anna"))
    answer = client.get("/user", headers=said)
    assert answer.status_code == 403
    assert "through its proxy" in answer.json()["detail"]


def test_a_second_header_from_the_browser_is_refused(browser: Callable[..., TestClient], mode: AuthMode) -> None:
    headers = [(HEADER, "anna"), (HEADER.lower(), "bob")]
    assert browser(mode).get("/user", headers=headers).status_code == 403  # type: ignore[arg-type]


@pytest.mark.parametrize("peer", [("192.0.2.9", 1), ("10.0.0.7", 1), ("testclient", 1)])
def test_a_header_from_elsewhere_than_the_proxy_is_refused(
    browser: Callable[..., TestClient], mode: AuthMode, peer: tuple[str, int]
) -> None:
    client = browser(mode, client=peer)
    assert who(client, **{HEADER: "anna"}) == "403"
    assert client.get("/", headers={HEADER: "anna", "X-Forwarded-For": "127.0.0.1"}).status_code == 403
    assert client.get("/health").json() == {"status": "ok"}


def test_a_token_in_the_request_is_replaced_in_every_form_it_can_have() -> None:
    headers = [(b"cookie", b"theme=dark; t=forged; t_0=for; t_1=ged"), (b"accept", b"*/*"), (b"cookie", b"t=again")]
    sent = with_cookies(headers, {"t": "ours"})
    assert sent == [(b"accept", b"*/*"), (b"cookie", b"theme=dark; t=ours")]
    assert Headers(raw=sent)["cookie"] == "theme=dark; t=ours"
