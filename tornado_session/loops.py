"""PerLoop: what every event loop has one of, for objects that serve several."""

import asyncio
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


class PerLoop(dict[asyncio.AbstractEventLoop, T]):
    """Gives each event loop its own, ``per_loop[loop]``, made when it first asks.

    What belongs to a loop that was closed is dropped when the next one asks. A plain dict: weak keys, under which it
    would go with the loop, take ten times as long to look up, and a loop that was closed amid its work is kept by the
    futures and tasks that it left behind.
    """

    def __init__(self, make: Callable[[], T]) -> None:
        super().__init__()
        self._make = make

    def __missing__(self, loop: asyncio.AbstractEventLoop) -> T:
        for known in tuple(self):
            if known.is_closed():
                self.pop(known, None)
        return self.setdefault(loop, self._make())
