"""The Python API: its documented examples run, and it reads and writes what the commands do."""

from __future__ import annotations

import asyncio
import importlib
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from rag.errors import BadQuery, BadRating, BadSetting, NotIndexed
from rag.feedback.ratings import current_labels
from rag.settings import ROOT, Settings
from thumbtune import Home, retriever

PAGE = ROOT / "docs" / "how-to" / "python.md"
EXAMPLES = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text("utf-8"), re.MULTILINE | re.DOTALL)


def open_home(settings: Settings) -> Home:
    names = ("base_model", "start_model", "chunk_tokens", "device", "train_threads")
    return Home(settings.home, docs=settings.docs, llm="extractive", **{n: getattr(settings, n) for n in names})


@pytest.fixture
def home(settings: Settings) -> Iterator[Home]:
    with open_home(settings) as home:
        home.index()
        yield home


def test_an_answer_is_stored_and_its_thumb_makes_labels(home: Home) -> None:
    answer = home.ask("what does the cat drink?")
    assert answer.arm == "tuned"
    assert answer.hits[0].chunk.text
    rating = home.rate(answer, 1, rater="ann")
    assert (rating.rater, rating.value) == ("ann", 1)
    store = home._open().store
    assert [each.id for each in store.feedback.answers()] == [answer.id]
    assert {label.rater for label in current_labels(store)} <= {"ann"}
    home.rate(answer.id, 0, rater="ann")
    assert [each.value for each in store.feedback.ratings("ann")] == [0]


def test_both_arms_can_be_compared_in_a_notebook(home: Home) -> None:
    async def in_a_loop() -> set[str]:
        return set(home.compare("what does the cat drink?"))

    assert asyncio.run(in_a_loop()) == {"base", "tuned"}


def test_search_returns_as_many_passages_as_asked_for_and_follows_filters(home: Home) -> None:
    assert [hit.rank for hit in home.search("cat", 2)] == [1, 2]
    with pytest.raises(BadQuery, match="1990"):
        home.search("bone before:1990", 2)


def test_a_closed_home_opens_again(home: Home) -> None:
    first = home.search("cat", 1)
    home.close()
    assert home.search("cat", 1) == first


def test_what_cannot_work_says_so_in_one_line(settings: Settings, home: Home) -> None:
    with pytest.raises(BadSetting, match="'ks' is no setting"):
        Home(settings.home, ks=3)
    for ask in (home.search, home.ask):
        with pytest.raises(BadSetting, match="arm='best': give one of base, tuned"):
            ask("cats", arm="best")
    with pytest.raises(BadSetting, match="k=0"):
        home.search("cat", 0)
    with pytest.raises(BadRating):
        home.rate("0" * 16, 1)
    other = settings.home.parent / "other"
    with pytest.raises(NotIndexed), Home(other, docs=settings.docs, base_model=settings.base_model) as empty:
        empty.search("cat")


def test_a_langchain_retriever_gives_the_passages_of_a_search(home: Home) -> None:
    documents = retriever(home, k=2).invoke("what does the cat drink?")
    hits = home.search("what does the cat drink?", 2)
    assert [each.id for each in documents] == [hit.chunk.id for hit in hits]
    assert [each.metadata["source"] for each in documents] == [hit.chunk.source for hit in hits]


def test_without_its_extra_the_llama_index_retriever_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "thumbtune.llama_index_retriever", raising=False)
    monkeypatch.setitem(sys.modules, "llama_index.core.retrievers", None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'thumbtune\[llama-index\]'"):
        importlib.import_module("thumbtune.llama_index_retriever")


def test_a_llama_index_retriever_gives_the_passages_of_a_search(home: Home) -> None:
    pytest.importorskip("llama_index.core", reason="the extra llama-index is not installed")
    from thumbtune.llama_index_retriever import ThumbtuneRetriever

    nodes = ThumbtuneRetriever(home, k=2).retrieve("what does the cat drink?")
    hits = home.search("what does the cat drink?", 2)
    assert [each.node.id_ for each in nodes] == [hit.chunk.id for hit in hits]
    assert [each.score for each in nodes] == pytest.approx([hit.score for hit in hits], abs=1e-6)


def test_the_examples_of_the_documentation_run(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("base_model", "start_model", "chunk_tokens", "device"):
        monkeypatch.setenv(f"THUMBTUNE_{name.upper()}", str(getattr(settings, name)))
    monkeypatch.setenv("THUMBTUNE_LLM", "extractive")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "docs").rename(tmp_path / "papers")
    assert len(EXAMPLES) >= 3
    names: dict[str, object] = {}
    for example in EXAMPLES:
        if "llama_index" not in example:
            exec(compile(example, str(PAGE), "exec"), names)
    assert "cats.md" in capsys.readouterr().out


def test_importing_thumbtune_loads_no_library() -> None:
    code = "import sys, thumbtune; print([n for n in ('pydantic', 'lancedb', 'langchain_core') if n in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_retriever_is_a_retriever_of_a_folder(settings: Settings, home: Home) -> None:
    found = retriever(
        settings.home,
        k=1,
        docs=settings.docs,
        base_model=settings.base_model,
        start_model=settings.start_model,
        chunk_tokens=32,
        device="cpu",
    )
    assert len(found.invoke("cat")) == 1
