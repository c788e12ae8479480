"""Read the formats of Word and PowerPoint 97 to 2003 (.doc, .ppt): LibreOffice, where it is installed, converts them.

Why not a library: PyPI has none that reads .doc with its headings, lists and tables. LibreOffice runs in a folder and
with a profile of its own, without macros and links, within limits on time and memory, and is ended with its children.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from rag.errors import Unreadable
from rag.loaders import ole
from rag.loaders.builder import LoadedText
from rag.loaders.office.docx_epub import load_docx
from rag.loaders.office.pptx import load_pptx

PROGRAMS = ("soffice", "libreoffice")
PLACES = ("/Applications/LibreOffice.app/Contents/MacOS/soffice", "/opt/libreoffice/program/soffice")
MAX_SECONDS = 90  # by the clock; a book of 500 pages takes 15, and a worker that reads files has 150
START = """ulimit -v 4000000; ulimit -t 90; ulimit -f 1000000
parent=$0; "$@" & child=$!
while kill -0 $child && kill -0 $parent; do sleep 0.2; done 2>/dev/null
kill -0 $parent 2>/dev/null && wait $child || kill -9 0"""  # limits in KB, seconds, blocks; ends with its parent
NOWHERE = "http://127.0.0.1:9"  # a proxy that answers nobody: what a file links to is never fetched
WORD_ENCRYPTED, WORD_FLAGS = 0x0100, slice(10, 12)  # in the stream WordDocument
PROFILE = """<?xml version="1.0" encoding="UTF-8"?>
<oor:items xmlns:oor="http://openoffice.org/2001/registry">
<item oor:path="/org.openoffice.Office.Common/Security/Scripting"><prop oor:name="MacroSecurityLevel" oor:op="fuse">
<value>3</value></prop><prop oor:name="DisableMacrosExecution" oor:op="fuse"><value>true</value></prop>
<prop oor:name="BlockUntrustedRefererLinks" oor:op="fuse"><value>true</value></prop></item>
<item oor:path="/org.openoffice.Office.Writer/Content/Update"><prop oor:name="Link" oor:op="fuse">
<value>0</value></prop></item></oor:items>
"""


def load_doc(data: bytes) -> LoadedText:
    """Read a Word file of 97 to 2003, by way of .docx. Raises Unreadable, also where LibreOffice is not installed."""
    return _through(data, "doc", "docx", load_docx)


def load_ppt(data: bytes) -> LoadedText:
    """Read a PowerPoint file of 97 to 2003, by way of .pptx. Raises Unreadable, also without LibreOffice."""
    return _through(data, "ppt", "pptx", load_pptx)


def _through(data: bytes, old: str, new: str, load: Callable[[bytes], LoadedText]) -> LoadedText:
    if not data.startswith((ole.SIGNATURE, b"<?xml")):
        raise Unreadable(f"it is no .{old} file, or it is damaged: save it as .{new}")
    if is_encrypted(data):
        raise Unreadable("it is protected by a password: save a copy without one")
    program = find_office()
    if not program:
        raise Unreadable(f"install LibreOffice, or save it as .{new}")
    loaded = load(convert(program, data, old, new))
    return replace(loaded, note="; ".join(filter(None, ("converted by LibreOffice", loaded.note))))


def find_office() -> str:
    """Return the path of LibreOffice's program, "" if it is not installed."""
    return next(filter(None, (shutil.which(name) for name in (*PROGRAMS, *PLACES))), "")


def convert(program: str, data: bytes, old: str, new: str) -> bytes:
    """Return a file of format `old` in format `new`, both without a dot. Raises Unreadable."""
    with TemporaryDirectory(prefix="thumbtune-office-", ignore_cleanup_errors=True) as place:
        folder = Path(place)
        source, profile = folder / f"file.{old}", folder / "profile" / "user"
        source.write_bytes(data)
        profile.mkdir(parents=True)
        (profile / "registrymodifications.xcu").write_text(PROFILE, "utf-8")
        _run(program, folder, new, source)
        try:
            return source.with_suffix(f".{new}").read_bytes()
        except OSError:
            raise Unreadable(f"LibreOffice cannot read it: open it in its own program and save it as .{new}") from None


def _run(program: str, folder: Path, new: str, source: Path) -> None:
    """Run LibreOffice to its end, at most MAX_SECONDS. Raises Unreadable if it takes longer or cannot be started."""
    options = [f"-env:UserInstallation={(folder / 'profile').as_uri()}", "--headless", "--norestore", "--nologo",
               "--nolockcheck", "--convert-to", new, "--outdir", str(folder), str(source)]  # fmt: skip
    proxies = dict.fromkeys(("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY"), NOWHERE)
    kept = {name: value for name, value in os.environ.items() if name in ("PATH", "LANG", "LC_ALL", "SYSTEMROOT")}
    try:
        process = subprocess.Popen(
            ["/bin/sh", "-c", START, str(os.getpid()), program, *options],
            cwd=folder,
            env={**kept, **proxies, "HOME": str(folder), "TMPDIR": str(folder), "no_proxy": ""},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
    except OSError as error:
        raise Unreadable(f"LibreOffice cannot be started ({error.strerror}): save it as .{new}") from None
    try:
        process.wait(MAX_SECONDS)
    except subprocess.TimeoutExpired:
        raise Unreadable(f"LibreOffice needs more than {MAX_SECONDS} seconds: save it as .{new}") from None
    finally:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)  # the program starts others
        process.wait()


def is_encrypted(data: bytes) -> bool:
    """Return whether an old Office file is protected by a password to open it."""
    if not data.startswith(ole.SIGNATURE):
        return False
    try:
        with ole.open_ole(data) as opened:
            if opened.exists("EncryptedPackage") or opened.exists("EncryptedSummary"):
                return True
            if not opened.exists("WordDocument"):
                return False
            flags = opened.openstream("WordDocument").read(WORD_FLAGS.stop)[WORD_FLAGS]
    except ole.DAMAGED:
        return False  # LibreOffice says whether it can read a damaged file
    return bool(int.from_bytes(flags, "little") & WORD_ENCRYPTED)
