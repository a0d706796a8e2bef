"""Turns: the commits of one process to one session take turns."""

import asyncio
from collections import deque
from typing import Generic, Self, TypeVar

_Place = tuple[asyncio.AbstractEventLoop, str]
Word = TypeVar("Word")


class Line(Generic[Word]):
    """Those who wait for the same key; ``async with`` waits for the turn, and gives it to the next on leaving.

    Who is cancelled while waiting holds up nobody.
    """

    __slots__ = ("_is_taken", "_lines", "_place", "_waiting", "word")

    def __init__(self, lines: "dict[_Place, Line[Word]]", place: _Place) -> None:
        self._lines = lines
        self._place = place
        self._is_taken = False
        self._waiting: deque[asyncio.Future[None]] = deque()
        self.word: Word | None = None
        """What the one whose turn it is tells the next."""

    async def __aenter__(self) -> Self:
        if self._is_taken:
            await self._wait()
        self._is_taken = True
        return self

    async def __aexit__(self, *_: object) -> None:
        self._leave()

    async def _wait(self) -> None:
        turn = self._place[0].create_future()
        self._waiting.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._leave()
            raise

    def _leave(self) -> None:
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        del self._lines[self._place]


class Turns(Generic[Word]):
    """Lets those who name the same key through one after the other, in the order of their coming.

    Only a courtesy: what keeps sessions right is the version that the cache compares. But of many parallel requests
    that change one session all but one would find their version outdated at every try.
    """

    def __init__(self) -> None:
        self._lines: dict[_Place, Line[Word]] = {}

    def take(self, key: str) -> Line[Word]:
        """Give the line for ``key``, to be entered at once: ``async with turns.take(key) as line``."""
        place = (asyncio.get_running_loop(), key)
        line = self._lines.get(place)
        if line is None:
            line = self._lines[place] = Line(self._lines, place)
        return line
