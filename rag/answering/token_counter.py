"""Count LLM tokens with tiktoken, or estimate high while its vocabulary file is not cached.

Why: tiktoken downloads the file on first use without a timeout, which would block a question forever on a network that
drops packets. So the file is looked for first, and downloaded in a background thread.
"""

from __future__ import annotations

import hashlib
import logging
import os
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path

from rag.settings import Settings

ENCODING = "o200k_base"
# tiktoken caches the file under the SHA-1 of its URL and checks this SHA-256 (tiktoken_ext.openai_public)
CACHE_NAME = "fb374d419588a4632f3f557e76b4b70aebbca790"
SHA256 = "446a9538cb6c348e3516120d7c08b09f57c36495e2acfffe59a5bf8b0cfb1a2d"
BYTES_PER_TOKEN = 3  # English has about 4, so the estimate is high and the prompt rather too short than too long
CountTokens = Callable[[str], int]
log = logging.getLogger(__name__)


class TokenCounter:
    """Counts the tokens of a text: exact once tiktoken's file is there, estimated until then."""

    def __init__(self, settings: Settings) -> None:
        self._cache = _cache_folder(settings)
        self._count: CountTokens | None = self._load() if self._is_cached() else None

    @property
    def is_exact(self) -> bool:
        """Return whether tokens are counted and not estimated."""
        return self._count is not None

    def __call__(self, text: str) -> int:
        if self._count:
            return self._count(text)
        return -(-len(text.encode()) // BYTES_PER_TOKEN)

    def fetch(self) -> threading.Thread:
        """Download tiktoken's file in a daemon thread and return the thread. Never blocks, never raises."""
        thread = threading.Thread(target=self._fetch, name="tiktoken", daemon=True)
        thread.start()
        return thread

    def _fetch(self) -> None:
        import requests

        try:
            self._count = self._load()
        except (OSError, ValueError, requests.RequestException) as error:
            log.info("tiktoken's file could not be downloaded (%s): tokens are estimated", type(error).__name__)

    def _is_cached(self) -> bool:
        """Return whether the file is there and intact: tiktoken would delete and download a damaged one."""
        file = self._cache / CACHE_NAME
        return file.is_file() and hashlib.sha256(file.read_bytes()).hexdigest() == SHA256

    def _load(self) -> CountTokens:
        import tiktoken

        os.environ["TIKTOKEN_CACHE_DIR"] = str(self._cache)
        encoding = tiktoken.get_encoding(ENCODING)
        return lambda text: len(encoding.encode_ordinary(text))


def _cache_folder(settings: Settings) -> Path:
    """Return the folder of tiktoken's file: TIKTOKEN_CACHE_DIR, its default folder, or our cache."""
    if named := os.environ.get("TIKTOKEN_CACHE_DIR"):
        return Path(named)
    default = Path(tempfile.gettempdir()) / "data-gym-cache"
    return default if (default / CACHE_NAME).is_file() else settings.cache / "tiktoken"
