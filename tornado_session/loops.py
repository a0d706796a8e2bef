"""PerLoop: what every event loop has one of, for objects that serve several."""

import asyncio
import weakref
from collections.abc import Callable
from typing import Generic, TypeVar
from weakref import WeakKeyDictionary

T = TypeVar("T")


class PerLoop(Generic[T]):
    """Gives each event loop its own, made when it first asks, and forgotten with the loop."""

    __slots__ = ("_all", "_last", "_make")

    def __init__(self, make: Callable[[], T]) -> None:
        self._make = make
        self._all: WeakKeyDictionary[asyncio.AbstractEventLoop, T] = WeakKeyDictionary()
        self._last: tuple[Callable[[], asyncio.AbstractEventLoop | None], T] | None = None

    def of(self, loop: asyncio.AbstractEventLoop) -> T:
        """Give what belongs to ``loop``."""
        # Most programs have one loop only, and looking it up in the dictionary of all takes ten times as long.
        last = self._last
        return last[1] if last is not None and last[0]() is loop else self._other(loop)

    def _other(self, loop: asyncio.AbstractEventLoop) -> T:
        # A loop that was closed amid its work left futures and tasks behind, which keep it in the dictionary.
        for reference in self._all.keyrefs():
            known = reference()
            if known is not None and known.is_closed():
                self._all.pop(known, None)
        own = self._all.get(loop)
        if own is None:
            own = self._all.setdefault(loop, self._make())
        self._last = weakref.ref(loop), own
        return own
