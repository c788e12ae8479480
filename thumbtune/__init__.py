"""The command `thumbtune`, and the Python API: `from thumbtune import Home; Home("data").ask("...")`.

home                   a home folder in Python: index, search, ask, rate, versions
langchain_retriever    a LangChain retriever
llama_index_retriever  a LlamaIndex retriever
demo                   `thumbtune demo`: a home with a tuned version, without training
__main__               the command: all programs in one
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from thumbtune.home import Home as Home
    from thumbtune.langchain_retriever import retriever as retriever

MODULES = {"Home": "home", "retriever": "langchain_retriever"}  # public name -> its module, imported when it is used
__all__ = ["Home", "retriever"]


def __getattr__(name: str) -> object:
    """Import a public name when it is used: the command would wait for libraries that it does not need."""
    if name not in MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{MODULES[name]}"), name)
