"""The map: which floor a module is on, and which library lives where. Imports only go down, never sideways."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

FLOORS: dict[int, str] = {
    0: "rag.headings",
    1: "rag.errors rag.beside rag.places rag.chunking rag.records",
    2: "rag.settings rag.nearest rag.seen rag.tables rag.drafts rag.zips rag.filters rag.xhtml rag.formulas "
    "rag.pages rag.columns",
    3: "rag.markup rag.slides rag.sheets rag.code rag.archives rag.links rag.rows rag.coverage rag.words rag.fuse "
    "rag.front_matter rag.extract rag.weights rag.anchors rag.lines rag.underway rag.precision rag.int8",
    4: "rag.loaders rag.embed rag.store rag.registry rag.prompt rag.budget rag.llm rag.stats rag.jsonl rag.beir "
    "train.progress",
    5: "rag.files",
    6: "rag.ingest rag.parsed rag.rerank rag.online rag.ladder rag.agreement rag.feedback rag.interchange rag.followup",
    7: "rag.answer rag.scores rag.worklist rag.retrieve rag.index",
    8: "rag.duel rag.seek rag.intake rag.upkeep",
    9: "rag.serve rag.prepare",
    10: "rag.watch rag.suggest train.pairs train.synthesize train.sift train.split train.credit train.negatives "
    "train.recipe train.clock train.adapter train.evaluate train.abstain train.page train.plots",
    11: "train.folds train.choose train.precision train.folder train.gather train.questioner train.tune train.tables "
    "train.contrast chat.finding chat.passwords chat.page chat.html chat.charts",
    12: "train.make train.promote train.prospect train.asking chat.board_page chat.markdown chat.reveal "
    "chat.identity chat.history chat.guard chat.trainer chat.power",
    13: "train.contest train.facts chat.card chat.reports chat.signin",
    14: "train.course train.report train.card train.history train.measure chat.live",
    15: "train.run chat.visit",
    16: "chat.rating chat.teaching chat.sources chat.uploads chat.training chat.scoreboard",
    17: "chat.asking chat.review chat.returning",
    18: "chainlit_app chat.__main__ rag.__main__ train.__main__",
}
HOMES: dict[str, str] = {
    "chainlit": "chainlit_app chat",
    "lancedb": "rag.rows rag.store rag.words rag.nearest",
    "pyarrow": "rag.tables rag.places rag.store",
    "onnxruntime": "rag.int8",
    "onnx": "rag.int8",
    "sentence_transformers": "rag.embed rag.int8 rag.rerank train.tune train.choose train.make train.course",
    "transformers": "rag.embed rag.rerank train.tune",
    "langchain_core": "rag",
    "langchain_openai": "rag",
    "openai": "rag.embed rag.llm",
    "tenacity": "rag.llm",
    "tiktoken": "rag.budget",
    "scipy": "rag.stats rag.ladder train.split",
    "plotly": "chat.scoreboard",
    "psutil": "train.course rag.underway",
    "pypdfium2": "rag.loaders",
    "mammoth": "rag.markup",
    "pptx": "rag.slides",
    "openpyxl": "rag.sheets",
    "yaml": "rag.front_matter",
    "lxml": "rag.xhtml rag.formulas rag.pages",
    "httpx": "rag.links",
    "trafilatura": "rag.loaders",
    "huggingface_hub": "rag.weights train.card",
    "watchfiles": "rag.watch",
    "matplotlib": "train.plots",
    "peft": "train.tune",
    "markdown_it": "rag.loaders train.page",
}
FLOOR_OF = {module: floor for floor, modules in FLOORS.items() for module in modules.split()}


def modules() -> dict[str, Path]:
    paths = [
        *ROOT.glob("*.py"),
        *(path for package in ("rag", "train", "chat") for path in (ROOT / package).glob("*.py")),
    ]
    named = {".".join(path.relative_to(ROOT).with_suffix("").parts): path for path in paths}
    return {name: path for name, path in named.items() if not name.endswith("__init__")}


MODULES = modules()


def imports(path: Path) -> Iterator[str]:
    """Yield every module that a file imports anywhere, also within functions, `from x import y` as both x and x.y."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def is_within(module: str, homes: str) -> bool:
    return any(module == home or module.startswith(home + ".") for home in homes.split())


def test_every_module_has_a_floor_and_every_floor_its_modules() -> None:
    assert set(MODULES) == set(FLOOR_OF)


@pytest.mark.parametrize("module", MODULES)
def test_imports_only_go_down(module: str) -> None:
    own = {name for name in imports(MODULES[module]) if name in FLOOR_OF and name != module}
    wrong = {name for name in own if FLOOR_OF[name] >= FLOOR_OF[module]}
    assert not wrong, f"{module} (floor {FLOOR_OF[module]}) imports {wrong}"


@pytest.mark.parametrize("module", MODULES)
def test_rag_never_imports_train_nor_chat_and_chat_never_imports_train(module: str) -> None:
    forbidden = {"rag": "train chat chainlit_app", "chat": "train", "train": "chat chainlit_app"}
    package = module.partition(".")[0].replace("chainlit_app", "chat")
    assert not [name for name in imports(MODULES[module]) if is_within(name, forbidden[package])]


@pytest.mark.parametrize("module", MODULES)
def test_a_library_stays_in_its_home(module: str) -> None:
    for name in imports(MODULES[module]):
        home = HOMES.get(name.partition(".")[0])
        assert home is None or is_within(module, home), f"{module} imports {name}, whose home is {home}"


@pytest.mark.parametrize("library", HOMES)
def test_a_home_that_nobody_lives_in_is_struck_from_the_map(library: str) -> None:
    assert any(name.partition(".")[0] == library for path in MODULES.values() for name in imports(path))
