"""Send a training's loss and learning rate to experiment trackers, by the integrations that transformers has.

Why they are wrapped: what a tracker raises before the first step ends the training, with one line; later it costs the
rest of its curve, and not hours of work.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from transformers.integrations import integration_utils

from rag.errors import BadSetting, TrainingRefused, first_line

INTEGRATIONS: Any = integration_utils  # it is typed in part
POINTS = 100  # of a curve
BEGINNING = ("on_init_end", "on_train_begin")


def check_reporters(names: Sequence[str]) -> None:
    """Raise BadSetting for a tracker that is unknown, or whose package is not installed."""
    for name in names:
        if name not in INTEGRATIONS.INTEGRATION_TO_CALLBACK:
            raise BadSetting(
                f"--report-to {name}: no such tracker: choose from {', '.join(INTEGRATIONS.INTEGRATION_TO_CALLBACK)}"
            )
        if name not in INTEGRATIONS.get_available_reporting_integrations():
            raise BadSetting(
                f"--report-to {name}: its package is not installed: install it into the same environment, such as by "
                f"`pip install {name.replace('_', '-')}`"
            )


def reporters(names: Sequence[str], say: Callable[[str], None]) -> list[Any]:
    """Return a callback of transformers' trainer for each tracker. Raises TrainingRefused where one cannot start."""
    return [Reporter(name, say) for name in names]


class Reporter:
    """Passes the trainer's events on to the callback of one tracker, until it fails."""

    def __init__(self, name: str, say: Callable[[str], None]) -> None:
        self._name, self._say = name, say
        self._callback: Any = _begun(name, INTEGRATIONS.INTEGRATION_TO_CALLBACK[name])

    def __getattr__(self, event: str) -> Callable[..., None]:
        """Return what handles an event. Its answer, which could change the training, is not passed on."""

        if not event.startswith("on_"):
            raise AttributeError(event)

        def handle(*given: Any, **named: Any) -> None:  # noqa: ANN401  # as the trainer calls it
            if self._callback is None:
                return
            if event in BEGINNING:
                _begun(self._name, lambda: getattr(self._callback, event)(*given, **named))
                return
            try:
                getattr(self._callback, event)(*given, **named)
            except Exception as error:  # noqa: BLE001  # of any library
                self._callback = None
                self._say(f"{self._name} gets no more of this training: {first_line(error)}")

        return handle


def _begun(name: str, begin: Callable[[], Any]) -> Any:  # noqa: ANN401  # the libraries ship no types
    try:
        return begin()
    except Exception as error:
        raise TrainingRefused(
            f"--report-to {name}: it cannot start ({first_line(error)}): check its settings"
        ) from error
