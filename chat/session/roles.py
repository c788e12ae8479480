"""Say who may change what everybody gets: documents, models, and the ratings of others.

| what | everybody who may come in | admins |
|---|---|---|
| ask, rate, teach, review; own chats; export and import of own ratings | yes | yes |
| upload and remove documents | no | yes |
| train, cancel, promote, roll back | no | yes |
| export the ratings of all, import ratings in the name of others | no | yes |

Admins are those whom THUMBTUNE_ADMINS names. Without it everybody is one, as in a team whose members trust each other;
but where an OAuth provider lets in anybody (THUMBTUNE_OAUTH_ALLOW=*), nobody is. `python -m rag forget` and all other
commands are for who has a terminal on the machine.
"""

from __future__ import annotations

from rag.errors import NotAllowed
from rag.settings import Settings

ANYBODY = "*"  # in THUMBTUNE_OAUTH_ALLOW


def is_admin(settings: Settings, rater: str) -> bool:
    """Return whether a rater may change what everybody gets."""
    if settings.admins:
        return rater in settings.admins
    return ANYBODY not in settings.oauth_allow


def require_admin(settings: Settings, rater: str, refusal: str) -> None:
    """Raise NotAllowed with this sentence unless a rater is an admin."""
    if not is_admin(settings, rater):
        raise NotAllowed(refusal)


def note_on_admins(settings: Settings) -> str:
    """Return one line for the start of a chat whose settings name no admins although others may come in, else ""."""
    signs_in = settings.passwords or settings.oauth_allow or settings.trusted_header
    if settings.admins or not (signs_in or settings.open):
        return ""
    if ANYBODY in settings.oauth_allow:
        return (
            "nobody may upload, remove documents, train or promote from the chat until THUMBTUNE_ADMINS names somebody"
        )
    return "everybody who may come in may upload and remove documents and train; THUMBTUNE_ADMINS names who alone may"
