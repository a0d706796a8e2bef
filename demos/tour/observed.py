"""ObservedCache: notes every trip of a request to the cache, and lets one visitor have an outage.

What belongs to one request travels in a context variable: the cache knows nothing of requests, and other visitors'
requests, which run at the same time, see nothing of it.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

from tornado_session import CacheEntry, CacheEntryOptions, CacheError, DistributedCache

T = TypeVar("T")

SLOW: Final = 1.5  # seconds
# What the cache does for a visitor.
WEATHERS: Final = {
    "fine": "answers",
    "slow": "takes 1.5 seconds for each trip",
    "read_only": "refuses writes",
    "down": "does not answer",
}
_READS: Final = ("get", "find")


@dataclass
class Trip:
    """One command sent to the cache."""

    call: str
    outcome: str
    milliseconds: float
    size: int | None = None


@dataclass
class Journal:
    """What the cache was asked in one request, and which outage its visitor has chosen."""

    weather: str = "fine"
    trips: list[Trip] = field(default_factory=list)


_journal: ContextVar[Journal | None] = ContextVar("journal", default=None)


def begin_journal(weather: str) -> Journal:
    """Start noting trips in the current task and in those that it starts."""
    journal = Journal(weather if weather in WEATHERS else "fine")
    _journal.set(journal)
    return journal


class ObservedCache(DistributedCache):
    """Delegates to ``inner``."""

    def __init__(self, inner: DistributedCache) -> None:
        self.inner = inner

    def __repr__(self) -> str:
        return f"<ObservedCache around {self.inner!r}>"

    async def get(self, key: str, *, refresh: bool = True) -> CacheEntry | None:
        return await self._note("get", lambda: self.inner.get(key, refresh=refresh))

    async def set(self, key: str, value: bytes, options: CacheEntryOptions) -> int:
        return await self._note("set", lambda: self.inner.set(key, value, options), len(value))

    async def add(self, key: str, value: bytes, options: CacheEntryOptions) -> int | None:
        return await self._note("add", lambda: self.inner.add(key, value, options), len(value))

    async def replace(
        self, key: str, value: bytes, options: CacheEntryOptions, *, version: int | None = None
    ) -> int | None:
        return await self._note("replace", lambda: self.inner.replace(key, value, options, version=version), len(value))

    async def refresh(self, key: str) -> bool:
        return await self._note("refresh", lambda: self.inner.refresh(key))

    async def remove(self, key: str) -> bool:
        return await self._note("remove", lambda: self.inner.remove(key))

    async def find(self, tag: str) -> AsyncIterator[tuple[str, CacheEntry]]:
        async def listed() -> list[tuple[str, CacheEntry]]:
            return [found async for found in self.inner.find(tag)]

        for found in await self._note("find", listed):
            yield found

    async def _note(self, call: str, ask: Callable[[], Awaitable[T]], size: int | None = None) -> T:
        journal = _journal.get()
        if journal is None:
            return await ask()
        began, outcome = time.perf_counter(), "no answer"
        try:
            await _meet(journal.weather, call)
            answer = await ask()
            outcome = _OUTCOMES[call](answer)
            if isinstance(answer, CacheEntry):
                size = len(answer.value)
            return answer
        finally:
            # Also when it fails, or is given up for taking too long.
            journal.trips.append(Trip(call, outcome, 1000 * (time.perf_counter() - began), size))


async def _meet(weather: str, call: str) -> None:
    if weather == "slow":
        await asyncio.sleep(SLOW)
    if weather == "down" or (weather == "read_only" and call not in _READS):
        raise CacheError(f"{call}() failed, as this visitor asked for")


_OUTCOMES: Final[dict[str, Callable[[Any], str]]] = {
    "get": lambda entry: "nothing there" if entry is None else "found",
    "set": lambda _: "stored",
    "add": lambda version: "exists already" if version is None else "stored",
    "replace": lambda version: "changed or gone meanwhile" if version is None else "stored",
    "refresh": lambda found: "moved on" if found else "nothing there",
    "remove": lambda found: "removed" if found else "nothing there",
    "find": lambda found: f"{len(found)} found",
}
