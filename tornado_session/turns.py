"""Turns: the commits of one process to one session take turns."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Generic, TypeVar

_Place = tuple[asyncio.AbstractEventLoop, str]
Word = TypeVar("Word")


class Line(Generic[Word]):
    """Those who wait for the same key, and what the one whose turn it is tells the next."""

    __slots__ = ("waiting", "word")

    def __init__(self) -> None:
        self.waiting: deque[asyncio.Future[None]] = deque()
        self.word: Word | None = None


class Turns(Generic[Word]):
    """Lets those who name the same key through one after the other, in the order of their coming.

    Only a courtesy: what keeps sessions right is the version that the cache compares. But of many parallel requests
    that change one session all but one would find their version outdated at every try.
    """

    def __init__(self) -> None:
        self._waiting: dict[_Place, Line[Word]] = {}

    @asynccontextmanager
    async def take(self, key: str) -> AsyncIterator[Line[Word]]:
        """Wait for the turn, and give it to the next on leaving; who is cancelled while waiting holds up nobody."""
        place = (asyncio.get_running_loop(), key)
        line = self._waiting.get(place)
        if line is None:
            line = self._waiting[place] = Line()
        else:
            await self._wait(place, line)
        try:
            yield line
        finally:
            self._leave(place)

    async def _wait(self, place: _Place, line: Line[Word]) -> None:
        turn = place[0].create_future()
        line.waiting.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._leave(place)
            raise

    def _leave(self, place: _Place) -> None:
        waiting = self._waiting[place].waiting
        while waiting:
            turn = waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        del self._waiting[place]
