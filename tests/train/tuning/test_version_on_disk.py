"""A power cut after a promotion or the first start: what serves is there, and so is the key that knows the raters."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from fakes import NOON
from power import watched
from rag.models.registry import Registry, Version
from rag.web.secret import load_secret
from train.dataset.earlier_versions import trained_pairs
from train.tuning.version_folder import missing, save

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="a handle's path is read from /proc")


def test_a_promoted_version_and_the_secret_are_on_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = tmp_path / "home"
    with watched(monkeypatch) as power:
        secret = load_secret(home / "secret")
        registry = Registry(home / "models")
        save(home / "models" / "v1", lambda folder: (folder / "model.safetensors").write_bytes(b"weights"), [], None)
        registry.add(Version("v1", "docs", "f1", "builtin", "ratings", "promote", "VERDICT", NOON))
        registry.promote("docs", "v1")
    left = tmp_path / "left"
    power.cut().restore(tmp_path.stat().st_ino, left)
    champion = Registry(left / "home" / "models").champion("docs")
    assert champion
    folder = left / "home" / "models" / champion.name
    assert (missing(folder), trained_pairs(folder)) == (None, [])
    assert (folder / "model.safetensors").read_bytes() == b"weights"
    assert load_secret(left / "home" / "secret") == secret
