"""Keys: made once, stored as hashes, for what their scopes say, ended at once; and when none is needed."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
from pydantic import SecretStr

from rag.errors import BadSetting, StoreFailed
from rag.settings import Settings
from rag.web.rate_limits import SlidingWindows
from serve.access import CLIENT, PERSON, is_open, require_access
from serve.keys import KeyRing, add_key, keys_file, remove_key
from served import Served
from thumbtune.__main__ import main

CHAT = {"model": "thumbtune-base", "messages": [{"role": "user", "content": "Cats?"}]}


@pytest.fixture(autouse=True)
def _no_keys(served: Served) -> None:
    keys_file(served.settings.home).unlink(missing_ok=True)


def test_without_any_key_everybody_on_this_machine_may_ask(served: Served) -> None:
    assert served.client(key="sk-whatever").get("/v1/models").status_code == 200


def test_with_one_key_all_clients_need_one(served: Served) -> None:
    anybody = served.client()
    key = add_key(served.settings.home, "ci", ["ask"])
    refused = anybody.get("/v1/models")
    assert (refused.status_code, refused.json()["error"]["code"]) == (401, "invalid_api_key")
    assert refused.headers["www-authenticate"] == "Bearer"
    wrong = anybody.get("/v1/models", headers={"authorization": f"Bearer {key}x"})
    assert wrong.json()["error"]["message"].startswith("Incorrect API key provided.")
    assert served.client(key).get("/v1/models").status_code == 200
    add_key(served.settings.home, "other", ["ask"])
    remove_key(served.settings.home, "ci")
    assert served.client(key).get("/v1/models").status_code == 401


def test_a_key_is_for_what_its_scopes_say(served: Served) -> None:
    key = add_key(served.settings.home, "rater", ["rate"])
    refused = served.client(key).post("/v1/chat/completions", json=CHAT)
    assert (refused.status_code, refused.json()["error"]["code"]) == (403, "insufficient_scope")


def test_a_key_is_stored_as_a_hash_that_only_its_owner_can_read(tmp_path: Path) -> None:
    key = add_key(tmp_path, "ci", ["ask"])
    file = keys_file(tmp_path)
    assert key not in file.read_text()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


@pytest.mark.parametrize("name", ["", "a:b", "rater-1", "github", "import", "x" * 65, "a b"])
def test_a_name_that_could_be_somebody_elses_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(BadSetting, match="the name of a client"):
        add_key(tmp_path, name, ["ask"])


def test_an_unknown_scope_and_a_second_key_of_a_name_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BadSetting, match="--scope everything"):
        add_key(tmp_path, "ci", ["everything"])
    with pytest.raises(BadSetting, match="--scope nothing"):
        add_key(tmp_path, "ci", [""])
    add_key(tmp_path, "ci", ["ask"])
    with pytest.raises(BadSetting, match="has a key already"):
        add_key(tmp_path, "ci", ["ask"])


def test_a_damaged_file_of_keys_lets_nobody_in(served: Served) -> None:
    client = served.client()
    keys_file(served.settings.home).write_text("{")
    assert client.get("/v1/models").status_code == 503
    with pytest.raises(StoreFailed, match="make the keys again"):
        served.client()


def test_keys_of_the_settings_count_and_are_never_shown(served: Served, tmp_path: Path) -> None:
    given = SecretStr("ci:0123456789abcdef, web:fedcba9876543210")
    assert served.client("fedcba9876543210", api_keys=given).get("/v1/models").status_code == 200
    assert served.client(api_keys=given).get("/v1/models").status_code == 401
    with pytest.raises(BadSetting, match="entry 2: give NAME:KEY") as error:
        KeyRing(Settings(home=tmp_path, api_keys=SecretStr("ci:0123456789abcdef,short:secret")))
    assert "secret" not in str(error.value)


@pytest.mark.parametrize(
    ("values", "opens"),
    [
        ({}, True),
        ({"host": "0.0.0.0"}, False),
        ({"host": "0.0.0.0", "open": True}, True),
        ({"passwords": Path("p")}, False),
        ({"trusted_header": "X-User"}, False),
    ],
)
def test_a_key_is_needed_where_people_sign_in_or_others_can_reach_it(
    tmp_path: Path, values: dict[str, object], opens: bool
) -> None:
    settings = Settings(home=tmp_path, **values)
    assert is_open(settings) == opens
    if not opens:
        with pytest.raises(BadSetting, match="thumbtune keys add NAME"):
            require_access(settings, KeyRing(settings))


def test_a_client_and_a_person_are_told_how_long_to_wait(served: Served) -> None:
    client = served.client(add_key(served.settings.home, "web", ["ask", "rate"]))
    empty = {**CHAT, "messages": [{"role": "user", "content": " "}]}
    anns = {**empty, "user": "ann"}
    statuses = [client.post("/v1/chat/completions", json=anns).status_code for _ in range(PERSON.most + 1)]
    assert statuses == [400] * PERSON.most + [429]
    refused = client.post("/v1/chat/completions", json=anns)
    assert refused.json()["error"]["type"] == "rate_limit_error"
    assert 0 < int(refused.headers["retry-after"]) <= PERSON.seconds
    left = CLIENT["ask"].most - PERSON.most
    others = [client.post("/v1/chat/completions", json=empty).status_code for _ in range(left + 1)]
    assert (others.count(400), others[-1]) == (left, 429)


def test_two_keys_do_not_share_a_limit() -> None:
    windows = SlidingWindows(clock=lambda: 0.0)
    for _ in range(PERSON.most):
        assert windows.spend({"a": PERSON, "b": CLIENT["ask"]}) == 0
    assert windows.spend({"a": PERSON}) == PERSON.seconds
    assert windows.spend({"c": PERSON, "b": CLIENT["ask"]}) == 0


def test_keys_are_made_listed_and_removed_by_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("THUMBTUNE_HOME", str(tmp_path / "home"))
    assert main(["keys", "add", "openwebui", "--scope", "ask,rate"]) == 0
    out = capsys.readouterr()
    assert out.out.startswith("tt-")
    assert "openwebui may ask for ask, rate" in out.err
    assert main(["keys", "list"]) == 0
    assert "openwebui" in capsys.readouterr().out
    assert main(["keys", "remove", "openwebui"]) == 0
    assert main(["keys", "remove", "openwebui"]) == 2
    assert "has no key" in capsys.readouterr().err
