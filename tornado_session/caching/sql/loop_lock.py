"""LoopLock: a lock that is tied to no event loop."""

import asyncio
from weakref import WeakKeyDictionary


class LoopLock:
    """Gives every event loop an ``asyncio.Lock`` of its own, so that a cache may outlive the loop it was used on."""

    def __init__(self) -> None:
        self._locks: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Lock] = WeakKeyDictionary()

    def __call__(self) -> asyncio.Lock:
        """The lock of the running loop."""
        return self._locks.setdefault(asyncio.get_running_loop(), asyncio.Lock())
