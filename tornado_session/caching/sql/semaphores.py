"""LoopSemaphores: so many at once and the others in order, on whichever event loop they run."""

import asyncio
from weakref import WeakKeyDictionary


class LoopSemaphores:
    """Gives every event loop a semaphore of its own, so that a cache may outlive the loop it was used on.

    A pool of SQLAlchemy lets newcomers pass those who wait for a connection: a busy one keeps a few waiting for as long
    as it is busy. A semaphore is fair.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._semaphores: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Semaphore] = WeakKeyDictionary()

    def __call__(self) -> asyncio.Semaphore:
        """The semaphore of the running loop."""
        loop = asyncio.get_running_loop()
        semaphore = self._semaphores.get(loop)
        if semaphore is None:
            semaphore = self._semaphores[loop] = asyncio.Semaphore(self._limit)
        return semaphore
