"""Cache the vectors of sentences that the answerer without an LLM compares with a query, in memory and in a file.

Why: embedding the 60 or so sentences of a duel's passages takes 0.4 s of processor time, everything else 0.2 s. `warm`
embeds those of all passages ahead, a little at a time, so that most duels embed nothing but their query.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future
from hashlib import blake2b
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Vectors = NDArray[np.float32]
Embed = Callable[[list[str]], Vectors]
MOST = 20_000  # sentences, 30 MB of vectors; about 3,000 passages
BATCH = 16  # sentences that `warm` embeds at a time: a question waits at most a tenth of a second for them
REST = 4.0  # times as long as a batch took, before the next: `warm` uses a fifth of one core
KEY_BYTES = 16
log = logging.getLogger(__name__)


class SentenceVectors:
    """`embed` with an LRU cache of `most` texts, which `save` writes to a file for the next start. Thread-safe.

    A text that another thread is embedding just now is awaited, not embedded twice: both arms ask at the same time.
    """

    def __init__(self, embed: Embed, most: int = MOST, file: Path | None = None) -> None:
        self._embed, self._most, self._file = embed, most, file
        self._known: OrderedDict[bytes, Vectors] = _read(file) if file else OrderedDict()
        self._awaited: dict[bytes, Future[Vectors]] = {}
        self._lock = threading.Lock()
        self._is_saved = True

    def __call__(self, texts: list[str]) -> Vectors:
        """Return the texts' vectors, shape (n, dim)."""
        keys = [_key(text) for text in texts]
        text_of = dict(zip(keys, texts, strict=True))
        with self._lock:
            found = {key: self._known[key] for key in text_of if key in self._known}
            others = {key: self._awaited[key] for key in text_of if key in self._awaited}
            mine: dict[bytes, Future[Vectors]] = {
                key: Future() for key in text_of if key not in found and key not in others
            }
            self._awaited.update(mine)
        if mine:
            found.update(zip(mine, self._embed_for_all(mine, [text_of[key] for key in mine]), strict=True))
        found.update((key, each.result()) for key, each in others.items())
        with self._lock:
            for key in keys:
                self._known[key] = found[key]
                self._known.move_to_end(key)
            while len(self._known) > self._most:
                self._known.popitem(last=False)
        return np.stack([found[key] for key in keys])

    def warm(self, texts: Iterable[str], is_busy: Callable[[], bool], sleep: Callable[[float], None]) -> None:
        """Embed unknown texts until the cache is full, in small batches with rests; then save. Stops when `is_busy`."""
        unknown = (text for text in texts if _key(text) not in self._known)
        while batch := list(islice(unknown, BATCH)):
            if len(self._known) + len(batch) > self._most or is_busy():
                break
            began = time.perf_counter()
            self(batch)
            sleep(REST * (time.perf_counter() - began))
        self.save()

    def save(self) -> None:
        """Write the cache to its file, unless it is there already. A full disk is a warning: it can be made again."""
        with self._lock:
            if self._is_saved or not self._file or not self._known:
                return
            keys, vectors = list(self._known), list(self._known.values())
            self._is_saved = True
        rows = np.empty(len(keys), [("key", f"V{KEY_BYTES}"), ("vector", np.float32, vectors[0].shape)])
        rows["key"], rows["vector"] = keys, vectors
        draft = self._file.with_name(f"{self._file.stem}.{os.getpid()}.npy")
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            np.save(draft, rows)
            draft.replace(self._file)
        except OSError as error:
            log.warning("the sentences' vectors were not saved, so the next start embeds them again: %s", error)
        finally:
            draft.unlink(missing_ok=True)

    def _embed_for_all(self, mine: Mapping[bytes, Future[Vectors]], texts: list[str]) -> Vectors:
        """Return the vectors of the texts of `mine`, and give them, or the error, to whoever awaits them."""
        try:
            vectors = self._embed(texts)
            self._is_saved = False
            for each, vector in zip(mine.values(), vectors, strict=True):
                each.set_result(vector)
            return vectors
        except BaseException as error:
            for each in mine.values():
                if not each.done():
                    each.set_exception(error)
            raise
        finally:
            with self._lock:
                for key in mine:
                    del self._awaited[key]


def _key(text: str) -> bytes:
    return blake2b(text.encode("utf-8", "replace"), digest_size=KEY_BYTES).digest()


def _read(file: Path) -> OrderedDict[bytes, Vectors]:
    """Return what was saved, mapped into memory: what no question needs stays on the disk."""
    try:
        rows = np.load(file, mmap_mode="r")
        return OrderedDict(zip((bytes(key) for key in rows["key"]), rows["vector"], strict=True))
    except FileNotFoundError:
        return OrderedDict()
    except (OSError, ValueError, EOFError, IndexError, TypeError) as error:
        log.warning("%s is damaged and will be made again: %s", file, error)
        return OrderedDict()
