"""List the pinned packages with their age, what brings them, and whether a chat loads them.

`python -m benchmarks.dependencies RELEASES [YEARS]`; RELEASES is a table of packages as tab-separated lines: name,
newest version, month of its release. Nothing is fetched. Printed are the packages without a release for YEARS, those
that a chat never loads by what brings them, and those whose pinned version is not the newest. Why: no list of
advisories could be had, so that a package nobody works on any more is the best hint of where a fault would stay.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from importlib.metadata import distribution, distributions
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
PIN = re.compile(r"^([\w.-]+)==(\S+)", re.MULTILINE)
YEARS = 2.0
# What a chat loads: it is imported as it starts, and what a first answer and a look at the scoreboard need.
LOADED = """
import json, os, sys
from chat.__main__ import chainlit_runner
chainlit_runner()
import chainlit_app, plotly.graph_objects, langchain_openai, onnxruntime, scipy.stats
from rag.store.store import open_store
from rag.loaders.formats import LOADERS
files = (getattr(module, "__file__", None) for module in list(sys.modules.values()))
print("\\n" + json.dumps([os.path.realpath(file) for file in files if file]), flush=True)
os._exit(0)
"""


def main() -> None:
    """Print the three lists."""
    releases = read_releases(Path(sys.argv[1]))
    years = float(sys.argv[2]) if sys.argv[2:] else YEARS
    pinned = {canonicalize_name(name): version for name, version in PIN.findall((ROOT / "constraints.txt").read_text())}
    installed = {canonicalize_name(each.name) for each in distributions()}
    brought, loaded = brought_by(pinned.keys() & installed), loaded_packages()
    print(f"{len(pinned)} packages are pinned, {len(pinned.keys() & installed)} installed, {len(loaded)} loaded")
    print(f"\nNewest release more than {years:g} years ago:\n\n| package | newest | released | brought by | a chat |")
    print("|---|---|---|---|---|")
    for name in sorted(pinned, key=lambda each: releases.get(each, ("", ""))[1]):
        version, month = releases.get(name, ("", ""))
        if month and age(month) > years:
            where = "loads it" if name in loaded else "does not load it"
            print(f"| {name} | {version} | {month} | {', '.join(sorted(brought.get(name, ())))} | {where} |")
    print("\nNot in the table of releases:", ", ".join(sorted(pinned.keys() - releases.keys())) or "none")
    print("\nNever loaded by a chat, by what brings them:")
    unloaded: dict[str, list[str]] = {}
    for name in sorted((pinned.keys() & installed) - loaded):
        unloaded.setdefault(", ".join(sorted(brought.get(name, ()))) or "nothing", []).append(name)
    for source, names in sorted(unloaded.items()):
        print(f"  {source}: {', '.join(names)}")
    behind = [f"{name} {pin} ({releases[name][0]})" for name, pin in pinned.items() if is_behind(name, pin, releases)]
    print(f"\nNot the newest: {', '.join(behind) or 'none'}")


def read_releases(table: Path) -> dict[str, tuple[str, str]]:
    """Return newest version and month by name."""
    rows = (line.split("\t") for line in table.read_text("utf-8").splitlines()[1:])
    return {canonicalize_name(row[0]): (row[1], row[2]) for row in rows if len(row) > 2}


def is_behind(name: str, pin: str, releases: Mapping[str, tuple[str, str]]) -> bool:
    """Return whether another version than the pinned one is the newest."""
    return name in releases and releases[name][0] != pin


def age(month: str) -> float:
    """Return how many years ago a month such as 2024-06 was."""
    now = datetime.now(UTC)
    year, number = (int(part) for part in month.split("-")[:2])
    return now.year - year + (now.month - number) / 12


def brought_by(names: Iterable[str]) -> dict[str, set[str]]:
    """Return which of the packages that pyproject.toml names bring a package, through others or not."""
    needs = {name: requirements_of(name) for name in names}
    brought: dict[str, set[str]] = {}
    for name in requirements_of("thumbtune", extras=True):
        seen, ahead = set[str](), [name]
        while ahead:
            each = ahead.pop()
            if each not in seen:
                seen.add(each)
                brought.setdefault(each, set()).add(name)
                ahead += needs.get(each, ())
    return brought


def requirements_of(name: str, *, extras: bool = False) -> set[str]:
    """Return the names of what an installed package requires here; with `extras`, whatever its extras do, too."""
    parsed = [Requirement(each) for each in distribution(name).requires or ()]
    wanted = [each for each in parsed if not each.marker or extras or each.marker.evaluate({"extra": ""})]
    return {canonicalize_name(each.name) for each in wanted}


def loaded_packages() -> set[str]:
    """Return the packages with a module that a chat loads."""
    with tempfile.TemporaryDirectory() as name:
        (docs := Path(name) / "docs").mkdir()
        (docs / "bees.md").write_text("# Bees\n\nBees swarm in late spring.\n")
        settings = {"THUMBTUNE_HOME": f"{name}/home", "THUMBTUNE_DOCS": str(docs), "THUMBTUNE_LLM": "extractive"}
        env = {**os.environ, **settings, "CHAINLIT_AUTH_SECRET": "x" * 32}
        subprocess.run([sys.executable, "-m", "rag", "index"], cwd=ROOT, env=env, stdout=subprocess.PIPE, check=True)
        command = [sys.executable, "-c", LOADED]
        done = subprocess.run(command, cwd=ROOT, env=env, stdout=subprocess.PIPE, text=True, check=True)
    files = set(json.loads(done.stdout.splitlines()[-1]))
    return {
        canonicalize_name(each.name)
        for each in distributions()
        if any(os.path.realpath(str(each.locate_file(file))) in files for file in each.files or ())
    }


if __name__ == "__main__":
    main()
