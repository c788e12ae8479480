"""Defer what a package's `__init__` runs until something of it is asked for.

Why: `import lancedb` loads the client of a REST service for one list of record types. 1.2 of the 2.7 processor
seconds of lancedb 0.40 build that client, which nothing here calls, and every command waits for them. `import chainlit`
loads the telemetry of a hosted service (literalai's traceloop.sdk, with pandas, grpc and 40 instrumentations): 47 MB.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from types import ModuleType


class _Name:
    """A name of a deferred package: importing it loads nothing, using it does."""

    def __init__(self, package: ModuleType, name: str) -> None:
        self._package, self._name = package, name

    def __getattr__(self, attribute: str) -> object:
        if isinstance(self._package, _Deferred):
            self._package.load()
        return getattr(getattr(self._package, self._name), attribute)


class _Deferred(ModuleType):
    """A package that runs its `__init__` when the first name is read that is not one of its imported submodules.

    Reading one of `names` runs nothing: it returns a stand-in that does when an attribute of it is used.
    """

    def __init__(self, spec: ModuleSpec, run: Callable[[ModuleType], None], names: Sequence[str]) -> None:
        super().__init__(spec.name)
        self.__spec__, self.__loader__ = spec, spec.loader
        self.__file__, self.__package__ = spec.origin, spec.name
        self.__path__ = spec.submodule_search_locations or []
        self._run, self._names = run, names

    def __getattr__(self, name: str) -> object:
        if name.startswith("__"):
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        if name in self._names:
            return _Name(self, name)
        self.load()
        return getattr(self, name)

    def load(self) -> None:
        """Run the package's `__init__`; from then on this is a plain module."""
        self.__class__ = ModuleType  # type: ignore[assignment]  # allowed for modules, see the data model
        self._run(self)


def defer(package: str, *names: str) -> None:
    """Make `package` importable without running its `__init__`. One that is loaded or not installed stays as it is.

    `names` can be imported from it without running it, too; it runs when an attribute of one of them is used.
    """
    spec = None if package in sys.modules else find_spec(package)
    if spec is not None and spec.loader is not None:
        sys.modules[package] = _Deferred(spec, spec.loader.exec_module, names)
