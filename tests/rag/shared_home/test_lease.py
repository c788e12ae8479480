"""Leases: one owner at a time, taken over when abandoned, and an owner that slept learns that it lost it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from rag.errors import StoreFailed
from rag.settings import ROOT
from rag.shared_home import lease
from rag.shared_home.lease import Held, holder, holding, take
from rag.shared_home.objects import Objects

SHORT = 2.0  # seconds: the time to live in these tests
HOLD = """
import sys, time
from rag.shared_home import lease
from rag.shared_home.objects import Objects
lease.TTL_SECONDS, lease.RENEW_SECONDS = {ttl}, {ttl} / 4
objects = Objects({address!r})
held = lease.take(objects, "index")
print("held", flush=True)
sys.stdin.readline()
try:
    held.check()
    objects.put("written-by-the-sleeper", b"")
except Exception as error:
    print(error, flush=True)
"""


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "TTL_SECONDS", SHORT)
    monkeypatch.setattr(lease, "RENEW_SECONDS", SHORT / 4)
    monkeypatch.setattr(lease, "POLL_SECONDS", 0.1)


def hold_elsewhere(address: str) -> subprocess.Popen[str]:
    """Hold the lease in another process until a line is written to it."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD.format(ttl=SHORT, address=address)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout
    assert process.stdout.readline() == "held\n"
    return process


def test_one_process_at_a_time(objects: Objects) -> None:
    with holding(objects, "index") as held:
        assert not held.taken_over
        held.check()
        with pytest.raises(Held, match=f"process {os.getpid()}"):
            take(objects, "index")
        assert f"process {os.getpid()}" in holder(objects, "index")
        take(objects, "training").release()
    assert holder(objects, "index") == ""


def test_a_token_only_grows(objects: Objects) -> None:
    tokens = []
    for _ in range(3):
        with holding(objects, "index") as held:
            tokens.append(held.token)
            assert not held.taken_over
    assert tokens == [1, 2, 3]


def test_of_eight_that_want_it_at_once_each_has_it_alone(objects: Objects, short: None) -> None:
    inside, most, turns = 0, 0, 0
    count = threading.Lock()

    def work() -> None:
        nonlocal inside, most, turns
        with holding(objects, "index"):
            with count:
                inside += 1
                turns += 1
                most = max(most, inside)
            time.sleep(0.02)
            with count:
                inside -= 1

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (most, turns) == (1, 8)


@pytest.mark.usefixtures("short")
def test_a_renewed_lease_outlives_its_time(objects: Objects) -> None:
    with holding(objects, "index") as held:
        time.sleep(2 * SHORT + 1.5)
        with pytest.raises(Held):
            take(objects, "index")
        held.check()


@pytest.mark.usefixtures("short")
def test_a_dead_owners_lease_is_taken_over(objects: Objects) -> None:
    process = hold_elsewhere(objects.address)
    process.kill()
    process.wait()
    with pytest.raises(Held, match=f"process {process.pid}"):
        take(objects, "index")
    began = time.monotonic()
    with holding(objects, "index", 30) as held:
        assert held.taken_over
        assert held.token == 2
    assert time.monotonic() - began < SHORT + 5


@pytest.mark.usefixtures("short")
def test_a_process_that_slept_through_its_lease_does_not_write(objects: Objects, tmp_path: Path) -> None:
    process = hold_elsewhere(objects.address)
    assert process.stdin
    assert process.stdout
    os.kill(process.pid, signal.SIGSTOP)
    try:
        with holding(objects, "index", 30) as held:
            assert held.taken_over
            os.kill(process.pid, signal.SIGCONT)
            process.stdin.write("\n")
            process.stdin.flush()
            line = process.stdout.readline()
    finally:
        process.kill()
        process.wait()
    assert "this process has lost its turn (index: " in line
    assert f"process {os.getpid()} has taken it over" in line
    assert objects.get("written-by-the-sleeper") is None


@pytest.mark.usefixtures("short")
def test_an_owner_learns_that_its_lease_was_deleted(objects: Objects) -> None:
    with holding(objects, "index") as held:
        objects.delete("leases/index.json")
        with pytest.raises(StoreFailed, match="it was deleted"):
            held.check()
