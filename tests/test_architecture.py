"""The layers: which row a package is on, and which library lives where. Imports only go down, never sideways."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("rag", "train", "chat", "serve", "thumbtune")

# From the lowest row up. Names on one row never import each other; inside a package imports must not form a cycle.
LAYERS = [
    "rag.deferred rag.errors rag.heading_path rag.languages",
    "rag.shared_home",
    "rag.cli rag.home_address",
    "rag.home rag.settings rag.records rag.groups rag.training_status rag.training_results",
    "rag.columns rag.tracing rag.history",
    "rag.loaders",
    "rag.ingest rag.store rag.evaluation",
    "rag.models rag.web",
    "rag.retrieval rag.indexing",
    "rag.answering",
    "rag.feedback",
    "rag.upkeep",
    "rag.commands",
    "train.context train.recipe train.progress train.chunk_vectors train.synthetic",
    "train.dataset",
    "train.tuning",
    "train.judging",
    "train.reporting train.factories",
    "train.session train.compare_versions",
    "train.pipeline train.compare_settings",
    "train.compare_answers",
    "train.commands",
    "serve.errors serve.keys serve.citations serve.metrics",
    "serve.bodies serve.access",
    "serve.conversation serve.feedback serve.retrieval",
    "serve.completions",
    "serve.mcp_server",
    "serve.app",
    "chat.passwords chat.language",
    "chat.web chat.elements",
    "chat.session",
    "chat.actions chat.training chat.scoreboard",
    "chainlit_app rag.__main__ train.__main__ chat.__main__ serve.__main__",
    "thumbtune.home",
    "thumbtune.langchain_retriever",
    "thumbtune.llama_index_retriever",
    "thumbtune.demo",
    "thumbtune.__main__",
]
HOMES: dict[str, str] = {
    "chainlit": "chainlit_app chat",
    "cmarkgfm": "rag.loaders",
    "httpx": "rag.ingest",
    "docutils": "rag.loaders",
    "huggingface_hub": "rag.models rag.answering train.reporting",
    "jinja2": "chat.scoreboard train.reporting",
    "lancedb": "rag.store",
    "langchain_core": "rag.answering thumbtune",
    "llama_index": "thumbtune",
    "langchain_openai": "rag.models rag.answering",
    "langsmith": "rag.tracing",
    "lxml": "rag.loaders",
    "mammoth": "rag.loaders",
    "markdown_it": "rag.answering rag.loaders train.reporting",
    "matplotlib": "train.reporting",
    "obstore": "rag.shared_home",
    "onnx": "rag.models",
    "onnxruntime": "rag.models",
    "openai": "rag.models rag.answering",
    "openpyxl": "rag.loaders",
    "opentelemetry": "rag.tracing",
    "mcp": "serve",
    "mwparserfromhell": "rag.loaders",
    "olefile": "rag.loaders",
    "oxmsg": "rag.loaders",
    "PIL": "rag.loaders",
    "pebble": "rag.ingest",
    "peft": "train.tuning",
    "pptx": "rag.loaders",
    "prometheus_client": "serve",
    "psycopg": "rag.history",
    "psutil": "rag.indexing rag.training_status rag.answering train.factories",
    "pyarrow": "rag.store",
    "pylatexenc": "rag.loaders",
    "pypdfium2": "rag.loaders",
    "rapidocr": "rag.loaders",
    "scipy": "rag.evaluation train.dataset train.tuning",
    "sentence_transformers": "rag.models rag.retrieval train.tuning train.factories",
    "sklearn": "train.tuning",
    "striprtf": "rag.loaders",
    "tenacity": "rag.answering",
    "tiktoken": "rag.answering",
    "tokenizers": "rag.models",
    "transformers": "rag.models rag.retrieval train.tuning",
    "watchfiles": "rag.indexing",
    "xllamacpp": "rag.answering",
    "xlrd": "rag.loaders",
    "yaml": "rag.loaders",
}
ROW = {name: row for row, names in enumerate(LAYERS) for name in names.split()}
FORBIDDEN = {
    "rag": ("train", "chat", "chainlit_app", "serve"),
    "train": ("chat", "chainlit_app", "serve"),
    "chat": ("train",),
    "serve": ("train", "chat", "chainlit_app"),
    "thumbtune": (),
}
MOST_FILES = 13  # more are two packages


def modules() -> dict[str, Path]:
    """Return dotted name -> file; a package goes by its own name."""
    paths = [*ROOT.glob("*.py"), *(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))]
    named = {".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path for path in paths}
    return {name: path for name, path in named.items() if name not in PACKAGES}


MODULES = modules()


def layer_of(module: str) -> str:
    """Return the name in LAYERS that a module belongs to."""
    return module if module in ROW else ".".join(module.split(".")[:2])


@cache
def imports(path: Path) -> frozenset[str]:
    """Return every module that a file imports anywhere, also in functions, `from x import y` as both x and x.y."""
    found = set[str]()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.update((node.module, *(f"{node.module}.{alias.name}" for alias in node.names)))
    return frozenset(found)


def is_within(module: str, homes: str) -> bool:
    return any(module == home or module.startswith(home + ".") for home in homes.split())


@pytest.mark.parametrize("module", MODULES)
def test_every_module_is_in_a_layer(module: str) -> None:
    assert layer_of(module) in ROW


@pytest.mark.parametrize("name", ROW)
def test_every_name_on_the_map_exists(name: str) -> None:
    assert name in MODULES


@pytest.mark.parametrize("module", MODULES)
def test_imports_only_go_down(module: str) -> None:
    here = layer_of(module)
    used = {layer_of(name) for name in imports(MODULES[module]) if name in MODULES and layer_of(name) != here}
    wrong = {name for name in used if ROW[name] >= ROW[here]}
    assert not wrong, f"{module} (row {ROW[here]}) imports {wrong}"


@pytest.mark.parametrize("layer", ROW)
def test_no_module_imports_itself_by_way_of_its_neighbours(layer: str) -> None:
    inside = {name for name in MODULES if layer_of(name) == layer and name != layer}
    uses = {name: {used for used in imports(MODULES[name]) if used in inside} - {name} for name in inside}
    while free := {name for name, used in uses.items() if not used}:
        uses = {name: used - free for name, used in uses.items() if name not in free}
    assert not uses, f"import cycle among {sorted(uses)}"


@pytest.mark.parametrize("module", MODULES)
def test_rag_imports_no_other_package_and_serve_and_chat_import_only_rag(module: str) -> None:
    package = module.partition(".")[0].replace("chainlit_app", "chat")
    forbidden = " ".join(FORBIDDEN[package])
    assert not [name for name in imports(MODULES[module]) if is_within(name, forbidden)]


@pytest.mark.parametrize("module", MODULES)
def test_a_library_stays_in_its_home(module: str) -> None:
    for name in imports(MODULES[module]):
        home = HOMES.get(name.partition(".")[0])
        assert home is None or is_within(module, home), f"{module} imports {name}, whose home is {home}"


@pytest.mark.parametrize("library", HOMES)
def test_every_home_of_a_library_uses_it(library: str) -> None:
    users = [name for name, path in MODULES.items() if library in {i.partition(".")[0] for i in imports(path)}]
    assert not [home for home in HOMES[library].split() if not any(is_within(name, home) for name in users)]


@pytest.mark.parametrize("package", [name for name, path in MODULES.items() if path.name == "__init__.py"])
def test_a_package_is_small_and_its_docstring_names_its_modules(package: str) -> None:
    files = {path.stem for path in MODULES[package].parent.glob("*.py")} - {"__init__"}
    listed = ast.get_docstring(ast.parse(MODULES[package].read_text())) or ""
    assert len(files) <= MOST_FILES
    assert {line.split()[0] for line in listed.splitlines()[2:]} >= files
