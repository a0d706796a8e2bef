"""FaultyCache fails, hangs and is slow exactly where it is told to, and counts."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from time import perf_counter
from typing import Any

import pytest

from tornado_session import CacheEntryOptions, CacheError, MemoryCache
from tornado_session.caching.contract import DistributedCache
from tornado_session.testing import CacheContract, FaultyCache

FOREVER = CacheEntryOptions(tag="t")


async def listed(cache: DistributedCache) -> list[str]:
    return [key async for key, _ in cache.find("t")]


CALLS: dict[str, Callable[[DistributedCache], Awaitable[Any]]] = {
    "get": lambda cache: cache.get("key"),
    "set": lambda cache: cache.set("key", b"new", FOREVER),
    "add": lambda cache: cache.add("new", b"new", FOREVER),
    "replace": lambda cache: cache.replace("key", b"new", FOREVER),
    "refresh": lambda cache: cache.refresh("key"),
    "remove": lambda cache: cache.remove("key"),
    "find": listed,
}


class TestFaultyCache(CacheContract):
    """Left alone, it is a full cache: whatever it wraps."""

    async def make_cache(self) -> DistributedCache:
        return FaultyCache(MemoryCache(clock=self.clock))


async def holding() -> FaultyCache:
    cache = FaultyCache(MemoryCache())
    await cache.inner.set("key", b"value", FOREVER)
    return cache


@pytest.mark.parametrize("name", CALLS)
async def test_a_call_that_is_to_fail_raises_and_reaches_nothing(name: str) -> None:
    cache = await holding()
    cache.fail = {name}

    with pytest.raises(CacheError, match=rf"{name}\(\) failed because FaultyCache.fail names it"):
        await CALLS[name](cache)

    entry = await cache.inner.get("key")
    assert entry is not None
    assert entry.value == b"value"
    assert await cache.inner.get("new") is None
    assert cache.calls == [name]


@pytest.mark.parametrize("name", CALLS)
async def test_the_other_calls_go_on(name: str) -> None:
    cache = await holding()
    cache.fail = {other for other in CALLS if other != name}

    assert await CALLS[name](cache)


@pytest.mark.parametrize("name", CALLS)
async def test_a_call_that_is_to_hang_never_answers(name: str) -> None:
    cache = await holding()
    cache.hang = {name}

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.02):
            await CALLS[name](cache)


async def test_a_delay_comes_before_every_call() -> None:
    cache = FaultyCache(MemoryCache(), delay=timedelta(milliseconds=30))
    start = perf_counter()

    await cache.get("key")

    assert perf_counter() - start >= 0.029


async def test_calls_are_counted_in_order() -> None:
    cache = FaultyCache(MemoryCache(), fail=["get"], hang=["find"])

    for name in ("set", "add", "get", "remove"):
        try:
            await CALLS[name](cache)
        except CacheError:
            assert name == "get"

    assert cache.calls == ["set", "add", "get", "remove"]
