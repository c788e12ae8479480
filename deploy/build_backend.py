"""Build backend (PEP 517): a wheel that holds all packages in `thumbtune`, from a checkout of several.

Why: `rag`, `train` and `chat` are names that other distributions install, too; see docs/decisions/0035. The checkout is
copied into a folder, with `rag/` as `thumbtune/rag/` and so on, its imports and module names get the prefix, and what
its texts tell people to type becomes the command `thumbtune`. setuptools then builds the wheel from that folder. The
source distribution and editable installs are setuptools' own, from the checkout as it is.
"""

from __future__ import annotations

import ast
import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from setuptools import build_meta
from setuptools.build_meta import (
    build_editable,
    build_sdist,
    get_requires_for_build_editable,
    get_requires_for_build_sdist,
    get_requires_for_build_wheel,
    prepare_metadata_for_build_editable,
)

__all__ = [
    "build_editable",
    "build_sdist",
    "build_wheel",
    "get_requires_for_build_editable",
    "get_requires_for_build_sdist",
    "get_requires_for_build_wheel",
    "prepare_metadata_for_build_editable",
    "prepare_metadata_for_build_wheel",
]

ROOT = Path(__file__).resolve().parent.parent
TOP = "thumbtune"
MOVED = ("rag", "train", "chat", "serve")  # packages that go into TOP; one that is not there yet is passed over
APP = "chainlit_app"  # the module that Chainlit runs
LEFT_OUT = ("log.md",)  # of docs/: measurements for those who work on the code, a tenth of all its text
TEXTS = (".py", ".json", ".md", ".jsonl", ".js", ".jsx", ".html", ".toml")  # files whose texts tell what to type
HAS_TEXTS = "thumbtune"  # the section of our translations; Chainlit copies others next to them, which lack it

# What a text tells people to type in a checkout -> where the app is installed. In this order.
TYPED: Mapping[str, str] = {
    r"`?make ocr`?(?:, or| oder| o) (`?)pip install": r"\1pip install",
    r"make ocr\b": "pip install 'thumbtune[ocr]'",
    r"make local-llm\b": "pip install 'thumbtune[local-llm]'",
    r"make chat DOCS=": "thumbtune chat ",
    r"make chat LLM=([^\s`]+)": r"THUMBTUNE_LLM=\1 thumbtune chat",
    r"make chat\b": "thumbtune chat",
    r"python -m chat\.passwords\b": "thumbtune passwords",
    r"python -m rag\b": "thumbtune",
    r"python -m (train|chat|serve)\b": r"thumbtune \1",
    r"; see \.env\.example": "; see `thumbtune settings`",
    r"Copy `\.env\.example` to `\.env`": "Write `thumbtune settings > .env`",
}


class Stray(Exception):
    """A name or text that would mean something else in the wheel than in the checkout."""


def build_wheel(
    wheel_directory: str,
    config_settings: Mapping[str, object] | None = None,
    metadata_directory: str | None = None,
) -> str:
    """Build the wheel and return its file name."""
    target = str(Path(wheel_directory).resolve())
    with staged():
        return str(build_meta.build_wheel(target, config_settings))


def prepare_metadata_for_build_wheel(
    metadata_directory: str, config_settings: Mapping[str, object] | None = None
) -> str:
    """Write the wheel's metadata and return the name of its folder."""
    target = str(Path(metadata_directory).resolve())
    with staged():
        return str(build_meta.prepare_metadata_for_build_wheel(target, config_settings))


@contextmanager
def staged() -> Iterator[Path]:
    """Make the folder that the wheel is built from, and work in it; setuptools reads the current folder."""
    before = Path.cwd()
    with tempfile.TemporaryDirectory(prefix="thumbtune-wheel-") as folder:
        stage(ROOT, Path(folder))
        os.chdir(folder)
        try:
            yield Path(folder)
        finally:
            os.chdir(before)


def stage(root: Path, folder: Path) -> None:
    """Lay out a checkout as the wheel has it. Raises Stray for what cannot be moved without changing its meaning."""
    top = folder / TOP
    packages = [name for name in MOVED if (root / name / "__init__.py").is_file()]
    copied = shutil.ignore_patterns("__pycache__", "*.pyc")
    shutil.copytree(root / TOP, top, ignore=copied)
    for name in packages:
        shutil.copytree(root / name, top / name, ignore=copied)
    for name in ("public", ".chainlit"):
        shutil.copytree(root / name, top / name)
    for path in [*root.glob("chainlit*.md"), root / ".env.example", root / f"{APP}.py"]:
        shutil.copy2(path, top)
    for translation in (top / ".chainlit" / "translations").glob("*.json"):
        if HAS_TEXTS not in json.loads(translation.read_text("utf-8")):
            translation.unlink()
    copy_docs(root / "docs", top / "docs")
    rewrite(top, modules_in(top, {*packages, APP}))
    for name in ("README.md", "LICENSE"):
        shutil.copy2(root / name, folder)
    (folder / "pyproject.toml").write_text(project(root, folder), "utf-8")


def rewrite(top: Path, modules: set[str]) -> None:
    """Rewrite all texts and all code in a folder, but not pdf.js, which is another project's."""
    for path in sorted(top.rglob("*")):
        if path.suffix not in TEXTS or path.is_relative_to(top / "public" / "pdf"):
            continue
        text = path.read_text("utf-8")
        new = as_typed(text)
        if path.suffix == ".py":
            new = with_prefix(new, modules, str(path.relative_to(top.parent)))
        if new != text:
            path.write_text(new, "utf-8")


def copy_docs(docs: Path, target: Path) -> None:
    """Copy the pages and their questions, without those on pages that are left out, and without pictures."""
    for page in docs.rglob("*.md"):
        name = page.relative_to(docs)
        if name.as_posix() not in LEFT_OUT:
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(page, target / name)
    lines = (docs / "questions.jsonl").read_text("utf-8").splitlines(keepends=True)
    kept = [line for line in lines if json.loads(line)["source"] not in LEFT_OUT]
    (target / "questions.jsonl").write_text("".join(kept), "utf-8")


def modules_in(top: Path, moved: set[str]) -> set[str]:
    """Return the names that the moved modules have in a checkout."""
    named = {".".join(path.relative_to(top).with_suffix("").parts) for path in top.rglob("*.py")}
    return {name.removesuffix(".__init__") for name in named if name.partition(".")[0] in moved}


def as_typed(text: str) -> str:
    """Return a text with what people type where the app is installed."""
    for pattern, replacement in TYPED.items():
        text = re.sub(pattern, replacement, text)
    return text


def with_prefix(source: str, modules: set[str], path: str) -> str:
    """Return Python source whose imports of moved modules, and strings that are their dotted names, say `thumbtune.`.

    A string of a single word, such as "rag", is left alone: code that means a module by it must say so in another way
    (rag.cli.python_of, `__package__`). Raises Stray where a rewritten import would bind another name, and where an
    f-string begins with a moved package.
    """
    tree = ast.parse(source)
    tops = {name.partition(".")[0] for name in modules}
    refuse_what_cannot_move(tree, tops, path)
    lines = [line.encode() for line in source.splitlines(keepends=True)]
    for number, column, name in sorted(places(tree, modules, tops), reverse=True):
        line = lines[number - 1]
        at = line.index(name.encode(), column)
        lines[number - 1] = line[:at] + f"{TOP}.".encode() + line[at:]
    new = b"".join(lines).decode()
    check(new, tops, path)
    return new


def places(tree: ast.AST, modules: set[str], tops: set[str]) -> Iterator[tuple[int, int, str]]:
    """Yield where a name gets the prefix: line, the byte in it from which the name is searched, the name."""
    docstrings = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        match node:
            case ast.ImportFrom(module=str(name), level=0) if name.partition(".")[0] in tops:
                yield node.lineno, node.col_offset, name
            case ast.alias(name=name) if name in modules and "." in name and isinstance(node, ast.alias):
                yield node.lineno, node.col_offset, name
            case ast.Constant(value=str(name)) if name in modules and "." in name and id(node) not in docstrings:
                yield node.lineno, node.col_offset, name


def refuse_what_cannot_move(tree: ast.AST, tops: set[str], path: str) -> None:
    """Raise Stray for an import that binds a moved package's name, and for an f-string that begins with one."""
    used = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    names_module = re.compile(rf"(?:{'|'.join(sorted(tops))})\.[a-z_.]*$")
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=names):
                for alias in names:
                    top = alias.name.partition(".")[0]
                    if top in tops and (alias.name == top or (alias.asname is None and top in used)):
                        raise Stray(f"{path}:{node.lineno}: `import {alias.name}`: write `from {top} import ...`")
            case ast.JoinedStr(values=[ast.Constant(value=str(first)), *_]) if names_module.match(first):
                raise Stray(f"{path}:{node.lineno}: an f-string names a module: write __package__ or __name__ in it")


def check(source: str, tops: set[str], path: str) -> None:
    """Raise Stray where source still imports a moved package by its old name, or tells people to run one."""
    for node in ast.walk(ast.parse(source)):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names = [str(node.module)]
        if strays := [name for name in names if name.partition(".")[0] in tops]:
            raise Stray(f"{path}:{node.lineno}: imports {strays[0]}")  # type: ignore[attr-defined]  # an import has one
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and as_typed(node.value) != node.value:
            raise Stray(f"{path}:{node.lineno}: a text that stands in two pieces says what to type: {node.value!r}")


def project(root: Path, folder: Path) -> str:
    """Return the checkout's pyproject.toml, with the packages and files of the folder, and setuptools as backend."""
    kept, skipping = [], False
    for line in (root / "pyproject.toml").read_text("utf-8").splitlines(keepends=True):
        if line.startswith("["):
            skipping = line.startswith(("[tool.", "[build-system]"))
        if not skipping:
            kept.append(line)
    files = [path for path in sorted((folder / TOP).rglob("*")) if path.is_file() and path.suffix != ".py"]
    data = [path.relative_to(folder / TOP).as_posix() for path in files]
    settings = f"""
[build-system]
requires = ["setuptools"]
build-backend = "setuptools.build_meta"

[tool.setuptools]
include-package-data = false

[tool.setuptools.packages.find]
include = ["{TOP}*"]
namespaces = false

[tool.setuptools.package-data]
{TOP} = {json.dumps(data)}
"""
    return "".join(kept) + settings
