"""LoopSemaphores: so many at once and the others in order, on whichever event loop they run."""

import asyncio
from functools import partial

from tornado_session.loops import PerLoop


class LoopSemaphores:
    """Gives every event loop a semaphore of its own, so that a cache may outlive the loop it was used on.

    A pool of SQLAlchemy lets newcomers pass those who wait for a connection: a busy one keeps a few waiting for as long
    as it is busy. A semaphore is fair.
    """

    def __init__(self, limit: int) -> None:
        self._semaphores = PerLoop(partial(asyncio.Semaphore, limit))

    def __call__(self) -> asyncio.Semaphore:
        """The semaphore of the running loop."""
        return self._semaphores[id(asyncio.get_running_loop())]
