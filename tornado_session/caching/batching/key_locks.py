"""KeyLocks: who may use a key now, in the order of arrival; many readers at once, or one writer."""

from collections import deque
from collections.abc import Sequence
from typing import Generic, Protocol, TypeVar


class Queued(Protocol):
    """What stands in the queue of a key."""

    @property
    def key(self) -> str:
        """The key it waits for."""

    @property
    def shared(self) -> bool:
        """Whether it minds no others that are shared."""


Waiting = TypeVar("Waiting", bound=Queued)


class KeyLocks(Generic[Waiting]):
    """A fair readers-writer lock for every key, without tasks and futures; a key that nobody uses takes no room."""

    __slots__ = ("_active", "_parked")

    def __init__(self) -> None:
        self._active: dict[str, int] = {}  # how many shared ones have their turn; -1: one that is not shared
        self._parked: dict[str, deque[Waiting]] = {}

    def take(self, key: str, *, shared: bool) -> bool:
        """Begin a turn; ``False``: others come first, and ``park()`` puts it behind them."""
        active = self._active.get(key, 0)
        if active and (not shared or active < 0 or key in self._parked):
            return False
        self._active[key] = active + 1 if shared else -1
        return True

    def park(self, waiting: Waiting) -> None:
        """Put behind all others of its key; ``leave()`` hands it out when its turn has begun."""
        self._parked.setdefault(waiting.key, deque()).append(waiting)

    def leave(self, key: str) -> Sequence[Waiting]:
        """End a turn; return those whose turn it is now."""
        active = self._active.pop(key)
        if active > 1:
            self._active[key] = active - 1
            return ()
        return self._call_up(key) if key in self._parked else ()

    def forget(self, waiting: Waiting) -> Sequence[Waiting] | None:
        """Take out of the queue, and return those whose turn it is without it; ``None``: its own has begun already."""
        parked = self._parked.get(waiting.key)
        if parked is None or waiting not in parked:
            return None
        parked.remove(waiting)
        return self._call_up(waiting.key)

    def _call_up(self, key: str) -> list[Waiting]:
        parked = self._parked.pop(key)
        called = []
        while parked and self.take(key, shared=parked[0].shared):
            called.append(parked.popleft())
        if parked:
            self._parked[key] = parked
        return called
