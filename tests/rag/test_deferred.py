"""Defer a package's `__init__`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from rag.deferred import defer


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Return a package whose `__init__` prints that it runs."""
    folder = tmp_path / "slow_package"
    folder.mkdir()
    (folder / "__init__.py").write_text("from slow_package.part import VALUE as OTHER\nprint('runs')\n")
    (folder / "part.py").write_text("VALUE = 5\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    for name in ("slow_package", "slow_package.part"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    return folder.name


def test_a_submodule_loads_without_its_package_which_runs_once_when_it_is_needed(
    package: str, capsys: pytest.CaptureFixture[str]
) -> None:
    defer(package)
    from slow_package.part import VALUE  # type: ignore[import-not-found]

    assert VALUE == 5
    assert capsys.readouterr().out == ""
    from slow_package import OTHER  # type: ignore[import-not-found]

    assert OTHER == 5
    assert capsys.readouterr().out == "runs\n"
    with pytest.raises(ImportError, match="cannot import name 'MISSING'"):
        from slow_package import MISSING  # noqa: F401
    assert capsys.readouterr().out == ""


def test_a_loaded_or_missing_package_stays_as_it_is() -> None:
    defer("json")
    assert "__getattr__" not in vars(type(sys.modules["json"]))
    defer("no_such_package")
    assert "no_such_package" not in sys.modules


def test_all_of_lancedb_works_without_its_rest_client_loaded_first() -> None:
    code = """if True:
        import sys, rag.store.lance.tables, lancedb.namespace, lancedb.remote.table
        assert "lance_namespace_urllib3_client.api" not in sys.modules
        from lance_namespace_urllib3_client import TableApi
        assert TableApi.__module__ == "lance_namespace_urllib3_client.api.table_api"
    """
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_name_can_be_imported_from_a_deferred_package_which_runs_when_the_name_is_used(
    package: str, capsys: pytest.CaptureFixture[str]
) -> None:
    defer(package, "OTHER")
    from slow_package import OTHER

    assert capsys.readouterr().out == ""
    assert OTHER.real == 5
    assert capsys.readouterr().out == "runs\n"


def test_chainlit_works_without_the_telemetry_of_a_hosted_service() -> None:
    code = """if True:
        import sys, chat, chainlit, chainlit.server
        assert not {"pandas", "grpc", "traceloop.sdk.tracing"} & sys.modules.keys()
        from literalai.client import Traceloop
        assert Traceloop.set_association_properties
        assert "traceloop.sdk.tracing" in sys.modules
    """
    subprocess.run([sys.executable, "-c", code], check=True)
