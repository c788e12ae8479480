"""Serve a GGUF model: llama.cpp's own server in this process (extra `local-llm`), asked by the OpenAI client.

Why a server and not a call: it batches both arms' answers, keeps the prompts it has read, and stops writing when an
answer is no longer wanted, since the client hangs up. It listens on 127.0.0.1 alone and requires a key, generated in
each process, so no other program and no page in a browser can use it.
"""

from __future__ import annotations

import os
import re
import secrets
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from rag.errors import BadSetting
from rag.settings import GGUF, Settings

if TYPE_CHECKING:
    import xllamacpp

SLOTS = 2  # replies at once: one for each arm
SPARE_TOKENS = 1024  # of a prompt, for the instructions, the question and what models' tokenizers count differently
KEPT_PROMPTS_MIB = 512  # of prompts that were read and may come again
WORKING_BYTES = 400e6  # that a model of a few billion weights needs besides its file: attention cache and buffers
HUB_NAME = re.compile(r"(?P<repo>[\w.-]+/[\w.-]+)/(?P<file>[\w./-]+\.gguf)", re.IGNORECASE)
MAGIC = b"GGUF"
QUIET = -1  # of llama.cpp's log levels
_running: dict[str, tuple[Endpoint, xllamacpp.Server]] = {}  # by THUMBTUNE_LLM; a server stops when it is let go


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where an OpenAI-compatible endpoint is: its base URL, its key, and the model to ask for."""

    base_url: str
    key: str
    model: str


def serve(settings: Settings) -> Endpoint:
    """Return the endpoint of the model in THUMBTUNE_LLM=gguf:...; the first call loads it, which takes seconds.

    Raises BadSetting for a file that is missing, broken or too large for the free memory, and without the extra.
    """
    context = SLOTS * (settings.context_tokens + settings.llm_max_tokens + SPARE_TOKENS)
    if settings.llm not in _running:
        _running[settings.llm] = _load(check(settings), context)
    return _running[settings.llm][0]


def find_file(name: str) -> Path:
    """Return the file of a GGUF model: a path, or OWNER/REPOSITORY/FILE.gguf of a model hub, which is fetched once."""
    path = Path(name).expanduser()
    if path.is_file():
        with path.open("rb") as file:
            if file.read(len(MAGIC)) != MAGIC:
                raise BadSetting(f"THUMBTUNE_LLM={GGUF}{name}: this is no GGUF file; download it again")
        return path.resolve()
    named = HUB_NAME.fullmatch(name)
    if path.is_dir() or named is None:
        what = "a folder; name a file in it" if path.is_dir() else "no such file"
        raise BadSetting(f"THUMBTUNE_LLM={GGUF}{name}: {what}; give a path, or OWNER/REPOSITORY/FILE.gguf of a hub")
    return _fetch(named["repo"], named["file"])


def _fetch(repository: str, file: str) -> Path:
    """Return a file of a model hub, from its cache or fetched into it."""
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    try:
        return Path(hf_hub_download(repository, file))
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError, ValueError) as error:
        reason = type(error).__name__
        raise BadSetting(
            f"THUMBTUNE_LLM={GGUF}{repository}/{file}: no such file here, and the hub did not give it ({reason});"
            " check the name and the network, or download the file and give its path"
        ) from None


def check(settings: Settings) -> Path:
    """Return the file of the model in THUMBTUNE_LLM=gguf:... . Raises BadSetting where it could not be loaded.

    Whether the file is whole shows when it is loaded.
    """
    path = find_file(settings.llm.removeprefix(GGUF))
    if find_spec("xllamacpp") is None:
        raise BadSetting(
            f"THUMBTUNE_LLM={GGUF}{path.name}: llama.cpp is not installed; run `make local-llm`,"
            " or pip install 'thumbtune[local-llm]'"
        )
    need, free = path.stat().st_size + WORKING_BYTES, psutil.virtual_memory().available
    if need > free:
        raise BadSetting(
            f"THUMBTUNE_LLM={GGUF}{path.name}: it needs about {need / 1e9:.1f} GB of memory, and {free / 1e9:.1f} GB"
            " are free; close something, or take a smaller model"
        )
    return path


def _load(path: Path, context: int) -> tuple[Endpoint, xllamacpp.Server]:
    """Load a model and serve it for as long as the server object lives."""
    import xllamacpp

    print(f"loading {path.name} ({path.stat().st_size / 1e9:.1f} GB) ...", flush=True)
    key = secrets.token_hex(16)
    try:
        server = xllamacpp.Server(_params(xllamacpp.CommonParams(), path, context, key))
    except RuntimeError:
        raise BadSetting(
            f"THUMBTUNE_LLM={GGUF}{path.name}: llama.cpp cannot load it: the file is broken or incomplete, or its kind"
            " of model is newer than the installed llama.cpp; download it again, or take another"
        ) from None
    return Endpoint(f"{server.listening_address}/v1", key, path.stem), server


def _params(params: xllamacpp.CommonParams, path: Path, context: int, key: str) -> xllamacpp.CommonParams:
    """Return llama.cpp's parameters: two answers at once, on all cores, whose threads sleep while they wait."""
    params.model.path = str(path)
    params.api_keys = [key]
    params.ui = False
    params.verbosity = QUIET
    params.n_ctx, params.n_parallel, params.kv_unified = context, SLOTS, True
    params.cache_ram_mib = KEPT_PROMPTS_MIB
    params.n_gpu_layers = -1  # all that fit, where this build has a GPU
    for threads in (params.cpuparams, params.cpuparams_batch):
        threads.n_threads = os.cpu_count() or 1  # the chat needs little, and the system gives it its turn
        threads.poll = 0
    return params
