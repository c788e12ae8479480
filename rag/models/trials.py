"""Which version answers on trial: ahead of the start weights without enough evidence for a promotion.

Why trials: before anything is promoted both arms would be the same model, and nobody could compare them. So such a
version answers side by side with base, which is blind; where one arm is asked for by its name, it does not.
"""

from __future__ import annotations

from rag.models.registry import Registry, Version
from rag.settings import Settings


def may_try(settings: Settings, folders_id: str) -> bool:
    """Return whether both arms are the same model, so that a trial is the only difference between them."""
    return settings.start_model == settings.base_model and Registry(settings.models).champion(folders_id) is None


def trial_of(settings: Settings, folders_id: str) -> Version | None:
    """Return the version that answers on trial for the tuned arm, or None."""
    return Registry(settings.models).on_trial(folders_id) if may_try(settings, folders_id) else None
