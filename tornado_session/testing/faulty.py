"""FaultyCache: a cache that fails, hangs or is slow when a test says so."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from datetime import timedelta

from tornado_session.caching.contract import CacheEntry, CacheEntryOptions, DistributedCache
from tornado_session.errors import CacheError


class FaultyCache(DistributedCache):
    """Delegates to ``inner``, counts, and misbehaves on demand.

    ``fail``: names of the calls that raise ``CacheError`` before they reach ``inner``, such as ``{"get", "add"}``.
    ``hang``: names of the calls that never answer. ``delay``: how long every call waits first. ``calls``: the names of
    all calls so far, in order. All four may be changed at any time.
    """

    def __init__(
        self,
        inner: DistributedCache,
        *,
        fail: Iterable[str] = (),
        hang: Iterable[str] = (),
        delay: timedelta = timedelta(0),
    ) -> None:
        self.inner = inner
        self.fail = set(fail)
        self.hang = set(hang)
        self.delay = delay
        self.calls: list[str] = []

    async def get(self, key: str, *, refresh: bool = True) -> CacheEntry | None:
        await self._meet("get")
        return await self.inner.get(key, refresh=refresh)

    async def set(self, key: str, value: bytes, options: CacheEntryOptions) -> int:
        await self._meet("set")
        return await self.inner.set(key, value, options)

    async def add(self, key: str, value: bytes, options: CacheEntryOptions) -> int | None:
        await self._meet("add")
        return await self.inner.add(key, value, options)

    async def replace(
        self, key: str, value: bytes, options: CacheEntryOptions, *, version: int | None = None
    ) -> int | None:
        await self._meet("replace")
        return await self.inner.replace(key, value, options, version=version)

    async def refresh(self, key: str) -> bool:
        await self._meet("refresh")
        return await self.inner.refresh(key)

    async def remove(self, key: str) -> bool:
        await self._meet("remove")
        return await self.inner.remove(key)

    async def find(self, tag: str) -> AsyncIterator[tuple[str, CacheEntry]]:
        await self._meet("find")
        async for found in self.inner.find(tag):
            yield found

    async def _meet(self, call: str) -> None:
        self.calls.append(call)
        if self.delay:
            await asyncio.sleep(self.delay.total_seconds())
        if call in self.hang:
            await asyncio.Event().wait()
        if call in self.fail:
            raise CacheError(f"{call}() failed because FaultyCache.fail names it")
