"""Defer what a package's `__init__` runs until something of it is asked for.

Why: `import lancedb` loads the client of a REST service for one list of record types. 1.2 of the 2.7 processor
seconds of lancedb 0.40 build that client, which nothing here calls, and every command waits for them.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from types import ModuleType


class _Deferred(ModuleType):
    """A package that runs its `__init__` when the first name is read that is not one of its imported submodules."""

    def __init__(self, spec: ModuleSpec, run: Callable[[ModuleType], None]) -> None:
        super().__init__(spec.name)
        self.__spec__, self.__loader__ = spec, spec.loader
        self.__file__, self.__package__ = spec.origin, spec.name
        self.__path__ = spec.submodule_search_locations or []
        self._run = run

    def __getattr__(self, name: str) -> object:
        if name.startswith("__"):
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        self.__class__ = ModuleType  # type: ignore[assignment]  # allowed for modules, see the data model
        self._run(self)
        return getattr(self, name)


def defer(package: str) -> None:
    """Make `package` importable without running its `__init__`. One that is loaded or not installed stays as it is."""
    spec = None if package in sys.modules else find_spec(package)
    if spec is not None and spec.loader is not None:
        sys.modules[package] = _Deferred(spec, spec.loader.exec_module)
