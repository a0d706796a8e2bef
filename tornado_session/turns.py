"""Turns: the commits of one process to one session take turns."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

_Place = tuple[asyncio.AbstractEventLoop, str]


class Turns:
    """Lets those who name the same key through one after the other, in the order of their coming.

    Only a courtesy: what keeps sessions right is the version that the cache compares. But of many parallel requests
    that change one session all but one would find their version outdated at every try.
    """

    def __init__(self) -> None:
        self._waiting: dict[_Place, deque[asyncio.Future[None]]] = {}

    @asynccontextmanager
    async def take(self, key: str) -> AsyncIterator[None]:
        """Wait for the turn, and give it to the next on leaving; who is cancelled while waiting holds up nobody."""
        place = (asyncio.get_running_loop(), key)
        waiting = self._waiting.get(place)
        if waiting is None:
            self._waiting[place] = deque()
        else:
            await self._wait(place, waiting)
        try:
            yield
        finally:
            self._leave(place)

    async def _wait(self, place: _Place, waiting: deque[asyncio.Future[None]]) -> None:
        turn = place[0].create_future()
        waiting.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._leave(place)
            raise

    def _leave(self, place: _Place) -> None:
        waiting = self._waiting[place]
        while waiting:
            turn = waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        del self._waiting[place]
