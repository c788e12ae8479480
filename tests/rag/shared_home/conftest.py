"""One S3 server for all tests here, and an address of its own for each."""

from __future__ import annotations

import secrets
from collections.abc import Iterator

import pytest

from object_store import BUCKET, KEYS, s3_server
from rag.shared_home.objects import Objects


@pytest.fixture(scope="session")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Return the endpoint of an S3 server."""
    with s3_server(tmp_path_factory.mktemp("s3")) as endpoint:
        yield endpoint


@pytest.fixture
def address(s3: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """Return an address in an empty part of the bucket, with the environment that reaches it."""
    for name, value in {**KEYS, "AWS_ENDPOINT_URL": s3}.items():
        monkeypatch.setenv(name, value)
    return f"s3://{BUCKET}/{secrets.token_hex(4)}"


@pytest.fixture
def objects(address: str) -> Objects:
    """Return the objects under that address."""
    found = Objects(address)
    assert found.get("nothing") is None  # from now on whatever the environment says
    return found
