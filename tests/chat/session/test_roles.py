"""Only admins change what everybody gets, whichever way it is tried."""

from __future__ import annotations

from pathlib import Path

import pytest

from chat.session.roles import is_admin, note_on_admins
from rag.settings import Settings, load_settings


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # no .env of the checkout


@pytest.mark.parametrize(
    ("given", "admins", "note"),
    [
        ({}, ["ann", "rater-1"], ""),
        ({"passwords": "p.txt"}, ["ann", "rater-1"], "everybody who may come in may upload"),
        ({"trusted_header": "X-User"}, ["ann", "rater-1"], "everybody who may come in may upload"),
        ({"open": True}, ["ann", "rater-1"], "everybody who may come in may upload"),
        ({"oauth_allow": "@example.org"}, ["ann", "rater-1"], "everybody who may come in may upload"),
        ({"oauth_allow": "*"}, [], "nobody may upload"),  # everybody with an account there
        ({"oauth_allow": "*", "THUMBTUNE_ADMINS": "ann, github:eve"}, ["ann"], ""),
        ({"passwords": "p.txt", "THUMBTUNE_ADMINS": "ann"}, ["ann"], ""),
        ({"THUMBTUNE_ADMINS": "bob"}, [], ""),
    ],
)
def test_who_is_an_admin(given: dict[str, object], admins: list[str], note: str) -> None:
    settings = load_settings(**given)
    assert [rater for rater in ("ann", "rater-1") if is_admin(settings, rater)] == admins
    said = note_on_admins(settings)
    assert said.startswith(note)
    assert bool(said) == bool(note)


def test_the_name_that_the_setting_had_before_still_restricts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("THUMBTUNE_TRAINERS", "ann")
    assert [is_admin(Settings(), rater) for rater in ("ann", "bob")] == [True, False]
