"""Settings come from the environment and .env, and a wrong one says its name, its value and what is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from rag.errors import BadSetting
from rag.settings import DEFAULT_LLM, EXTRACTIVE, load_settings


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_the_defaults_need_no_key_no_hub_and_no_gpu() -> None:
    settings = load_settings()
    assert (settings.base_model, settings.start_model, settings.answerer) == ("builtin", "builtin", EXTRACTIVE)
    assert settings.home == Path("data").resolve()


@pytest.mark.parametrize("name", ["OPENAI_API_KEY", "OPENAI_BASE_URL"])
def test_a_key_or_a_base_url_means_the_llm(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, "x")
    assert load_settings().answerer == DEFAULT_LLM


def test_the_answerer_can_be_named_in_spite_of_a_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "x")
    monkeypatch.setenv("THUMBTUNE_LLM", EXTRACTIVE)
    assert load_settings().answerer == EXTRACTIVE


def test_a_key_is_never_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-very-secret")
    assert "sk-very-secret" not in repr(load_settings())


def test_dot_env_is_read_and_the_environment_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".env").write_text("THUMBTUNE_K=7\nTHUMBTUNE_PORT=8123\n")
    monkeypatch.setenv("THUMBTUNE_PORT", "8124")
    settings = load_settings()
    assert (settings.k, settings.port) == (7, 8124)


def test_several_documents_folders_and_a_tilde(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/ann")
    monkeypatch.setenv("THUMBTUNE_DOCS", "~/papers:/srv/notes")
    assert load_settings().docs == (Path("/home/ann/papers"), Path("/srv/notes"))


def test_names_of_the_chat_are_a_list_and_its_public_address_is_the_one_that_chainlit_reads(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("THUMBTUNE_HOSTS", "chat.example.org, box.lan")
    monkeypatch.setenv("CHAINLIT_URL", "https://chat.example.org")
    settings = load_settings()
    assert settings.hosts == ("chat.example.org", "box.lan")
    assert settings.public_url == "https://chat.example.org"


def test_a_single_hit_leaves_no_place_to_explore_and_says_how_to_do_without(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("THUMBTUNE_K", "1")
    with pytest.raises(BadSetting, match=r"^THUMBTUNE_EXPLORE=1: must be below THUMBTUNE_K=1, .* \(0: none\)"):
        load_settings()
    monkeypatch.setenv("THUMBTUNE_EXPLORE", "0")
    assert load_settings().explore == 0


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("THUMBTUNE_K", "99", "less than or equal to 50"),
        ("THUMBTUNE_K", "many", "valid integer"),
        ("THUMBTUNE_EXPLORE", "5", "must be below THUMBTUNE_K=5"),
        ("THUMBTUNE_EXPLORE", "-1", "greater than or equal to 0"),
        ("THUMBTUNE_SEARCH", "words", "'dense' or 'hybrid'"),
        ("THUMBTUNE_MMR", "0", "greater than 0"),
        ("THUMBTUNE_MMR", "1.5", "less than or equal to 1"),
        ("THUMBTUNE_PORT", "70000", "65535"),
        ("THUMBTUNE_OPEN", "maybe", "valid boolean"),
        ("THUMBTUNE_LLM", "gpt-5", "give openai:NAME, gguf:PATH or extractive"),
        ("THUMBTUNE_LLM", "openai:gpt-5", "set OPENAI_API_KEY, or OPENAI_BASE_URL where no key is needed"),
        ("THUMBTUNE_LLM", "openai:", "give openai:NAME, gguf:PATH or extractive"),
        ("THUMBTUNE_START_MODEL", "openai:text-embedding-3-small", "fine-tuning needs weights"),
    ],
)
def test_a_wrong_value_is_named_with_its_reason(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, reason: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(BadSetting, match=reason) as caught:
        load_settings()
    assert str(caught.value).startswith(f"{name}='{value}'")
    assert "\n" not in str(caught.value)


def test_instructions_are_a_text_or_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "prompt.txt").write_text("Be brief.\n")
    monkeypatch.setenv("THUMBTUNE_INSTRUCTIONS", "file:prompt.txt")
    assert load_settings().instructions == "Be brief."
    monkeypatch.setenv("THUMBTUNE_INSTRUCTIONS", "x" * 4001)
    with pytest.raises(BadSetting, match=r"4,001 characters, and at most 4,000 are taken"):
        load_settings()
