"""Where the work of indexing runs: the option `--engine`. Loads nothing for the local one."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rag.indexing.on_ray import RayEngine
    from rag.settings import Settings

LOCAL, RAY = "local", "ray"


def add_engine(parser: argparse.ArgumentParser) -> None:
    """Give a command the option."""
    text = "where files are parsed and chunks embedded: on this machine (default), or on a Ray cluster"
    parser.add_argument("--engine", choices=(LOCAL, RAY), default=LOCAL, help=text)


@contextmanager
def open_engine(name: str, settings: Settings) -> Iterator[RayEngine | None]:
    """Yield the workers of a cluster, None for this machine. Raises BadSetting and StoreFailed as RayEngine does."""
    if name == LOCAL:
        yield None
        return
    from rag.indexing.on_ray import RayEngine

    with RayEngine(settings) as engine:
        yield engine
