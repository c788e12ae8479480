"""Debian's own Postgres, run for a test: by another user where the tests run as root, since it refuses that one."""

from __future__ import annotations

import contextlib
import getpass
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

import pytest

DEBIAN = "/usr/lib/postgresql"  # each version in a folder of its own, none in PATH
OTHER_USER = "postgres"  # Debian's package makes it
USER, PASSWORD = "tom", "s/p?ce:th@t#kept%"  # every character that an address must not have as it is
SECONDS = 60.0


def find_postgres() -> Path | None:
    """Return the folder of initdb and postgres, or None."""
    if found := shutil.which("initdb"):
        return Path(found).resolve().parent
    folders = sorted(Path(DEBIAN).glob("*/bin/initdb"), key=lambda each: float(each.parts[-3]))
    return folders[-1].parent if folders else None


def require_postgres() -> Path:
    """Return the folder of Postgres. Without it the test is skipped; in CI it fails."""
    if found := find_postgres():
        return found
    missing = "no Postgres found: apt-get install postgresql"
    if os.environ.get("CI"):
        pytest.fail(missing)
    pytest.skip(missing)


class Postgres:
    """A server on a port of this machine."""

    def __init__(self, binaries: Path, folder: Path) -> None:
        self.binaries, self.folder, self.port = binaries, folder, _free_port()
        self.process: subprocess.Popen[bytes] | None = None
        self._as = {"user": OTHER_USER, "group": OTHER_USER} if os.geteuid() == 0 else {}
        secret = folder / "password"
        secret.write_text(PASSWORD)
        if self._as:
            for path in (folder, secret):
                shutil.chown(path, OTHER_USER, OTHER_USER)
        made = ["-D", str(folder / "data"), "-U", USER, "-A", "scram-sha-256", "--pwfile", str(secret), "--no-sync"]
        self._call("initdb", *made, "-E", "UTF8", "--locale", "C.UTF-8")
        self.start()

    def url(self, database: str, password: str = PASSWORD) -> str:
        """Return the address of a database."""
        return f"postgresql://{USER}:{quote(password, safe='')}@127.0.0.1:{self.port}/{database}"

    def new_database(self, *options: str) -> str:
        """Create a database and return its address."""
        name = f"chats_{uuid.uuid4().hex[:8]}"
        self._call("createdb", *options, *self._client, name)
        return self.url(name)

    def query(self, url: str, sql: str) -> list[str]:
        """Return the lines that psql prints."""
        done = self._call("psql", *self._client, "-At", "-c", sql, url.rpartition("/")[2])
        return done.stdout.splitlines()

    def start(self) -> None:
        """Start it, and return when it lets people in."""
        call = [self.binaries / "postgres", "-D", self.folder / "data", "-p", str(self.port), "-k", self.folder]
        quick = ["-c", "fsync=off", "-c", "listen_addresses=127.0.0.1", "-c", "max_connections=40"]
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen([*call, *quick], stdout=log, stderr=log, cwd=self.folder, **self._as)
        for _ in range(int(SECONDS * 20)):
            try:
                self._call("psql", *self._client, "-c", "SELECT 1", "postgres")
                return
            except subprocess.CalledProcessError:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    self.process.wait(0.05)
                    break
        pytest.fail(f"Postgres did not start: {(self.folder / 'log').read_text()[-2000:]}")

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """Stop it: by default at once, with open connections cut; by SIGSTOP it only falls silent."""
        if not self.process:
            return
        if how is signal.SIGSTOP:
            self._all(signal.SIGSTOP)
            return
        self.process.send_signal(how)
        self.process.wait(SECONDS)
        self.process = None

    def go_on(self) -> None:
        """Let a server that is silent answer again."""
        self._all(signal.SIGCONT)

    def _all(self, how: signal.Signals) -> None:
        assert self.process
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        for pid in (self.process.pid, *map(int, children)):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, how)

    @property
    def _client(self) -> list[str]:
        return ["-h", str(self.folder), "-p", str(self.port), "-U", USER]

    def _call(self, name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        env = {"PATH": os.environ["PATH"], "PGPASSWORD": PASSWORD, "LC_ALL": "C.UTF-8"}
        call = [str(self.binaries / name), *arguments]
        return subprocess.run(
            call, env=env, cwd=self.folder, check=True, capture_output=True, text=True, timeout=SECONDS, **self._as
        )


@contextmanager
def running_postgres() -> Iterator[Postgres]:
    """Run a server in a folder of its own, which its user can reach; skip without one."""
    binaries = require_postgres()
    folder = Path(tempfile.mkdtemp(prefix=f"postgres-{getpass.getuser()}-", dir="/tmp"))
    try:
        server = Postgres(binaries, folder)
        try:
            yield server
        finally:
            if server.process:
                server.go_on()
                server.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
