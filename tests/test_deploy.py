"""The files in deploy/ pass their linters, and name nothing that is gone."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from rag.settings import ROOT, Settings

DEPLOY = ROOT / "deploy"
BIN = Path(sys.executable).parent


def lint(*command: str | Path) -> str:
    """Return what a linter says; it must find nothing."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_the_dockerfile_is_clean() -> None:
    assert lint(BIN / "hadolint", DEPLOY / "Dockerfile") == ""


@pytest.mark.parametrize("name", ["compose.yaml", "compose.ollama.yaml"])
def test_a_compose_file_follows_the_specification(name: str) -> None:
    lint(BIN / "check-jsonschema", "--builtin-schema", "vendor.compose-spec", DEPLOY / name)


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd is not installed")
def test_systemd_understands_every_line_of_the_unit(tmp_path: Path) -> None:
    unit = tmp_path / "thumbtune.service"
    text = (DEPLOY / "thumbtune.service").read_text("utf-8")
    unit.write_text(text.replace("/opt/thumbtune/bin/thumbtune", "/bin/true"))  # the command must exist
    assert lint("systemd-analyze", "verify", "--man=no", unit) == ""


@pytest.mark.parametrize("path", sorted(DEPLOY.glob("[!_b]*")), ids=lambda path: path.name)
def test_every_setting_in_it_exists(path: Path) -> None:
    known = {f"THUMBTUNE_{name.upper()}" for name in Settings.model_fields}
    assert set(re.findall(r"THUMBTUNE_[A-Z_]+[A-Z]", path.read_text("utf-8"))) <= known


def test_what_is_not_sent_to_docker_is_not_needed_by_the_wheel() -> None:
    left_out = {line for line in (ROOT / ".dockerignore").read_text("utf-8").splitlines() if line}
    assert not left_out & {"docs", "public", ".chainlit", "deploy", "rag", "train", "chat", "thumbtune"}
