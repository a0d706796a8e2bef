"""LimitedLog: warnings that a flood of bad requests cannot turn into a flood of lines."""

import logging
from collections.abc import Callable
from typing import Final

_INTERVAL: Final = 60.0


class LimitedLog:
    """Lets the first warning of each kind in a minute through, and counts the rest.

    One for each application. ``clock``: seconds since the epoch.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._last: dict[str, float] = {}
        self._held_back: dict[str, int] = {}

    def warning(self, logger: logging.Logger, kind: str, message: str) -> None:
        """Log ``message`` as a warning unless one of its ``kind`` was logged within the last minute."""
        now = self._clock()
        last = self._last.get(kind)
        # A clock that was set back must not silence anything for longer than it was set back.
        if last is not None and last <= now < last + _INTERVAL:
            self._held_back[kind] = self._held_back.get(kind, 0) + 1
            return
        self._last[kind] = now
        held_back = self._held_back.pop(kind, 0)
        logger.warning("%s%s", message, f" ({held_back} more since the last such line)" if held_back else "")

    def warning_once(self, logger: logging.Logger, kind: str, message: str) -> None:
        """Log ``message`` as a warning unless one of its ``kind`` was ever logged."""
        if kind not in self._last:
            self._last[kind] = self._clock()
            logger.warning("%s", message)
