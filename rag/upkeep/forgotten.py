"""When a rater was last forgotten: backups that were made before then hold that person's data."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from rag.home_address import put_back, refreshed

FILE = "forgotten"


def note_forgotten(home: Path) -> None:
    """Note that a rater was forgotten now; not who. Raises OSError."""
    (home / FILE).write_text(f"{datetime.now(UTC).isoformat()}\n", "utf-8")
    put_back(home / FILE, over=True)


def forgotten_at(home: Path) -> datetime | None:
    """Return when a rater was last forgotten, None where that is not known to have happened."""
    try:
        return datetime.fromisoformat(refreshed(home / FILE).read_text("utf-8").strip())
    except (OSError, ValueError):
        return None
