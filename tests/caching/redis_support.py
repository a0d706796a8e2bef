"""What the tests of RedisCache share: caches under a prefix of their own, and a look at what they left behind."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from tornado_session.caching.contract import CacheEntryOptions, DistributedCache
from tornado_session.caching.redis import RedisCache
from tornado_session.testing import CacheContract

FOREVER = CacheEntryOptions()
SLIDING = CacheEntryOptions(sliding=timedelta(minutes=20))
TAGGED = CacheEntryOptions(sliding=timedelta(minutes=20), tag="red")


class OnRedis(CacheContract):
    """The contract on a real server, found under ``self.url``."""

    moment = timedelta(milliseconds=300)
    url: str
    client: Any

    def make_client(self) -> Any:
        return Redis.from_url(self.url)

    async def make_cache(self) -> DistributedCache:
        self.client = self.make_client()
        await self.client.ping()  # connects, which would take its time from the first entry's
        self.prefix = f"{uuid4().hex}:"
        return RedisCache(self.client, self.prefix)

    async def close_cache(self, cache: DistributedCache) -> None:
        await remove_all(self.client, self.prefix)
        await self.client.aclose()

    async def advance(self, duration: timedelta) -> None:
        await asyncio.sleep(duration.total_seconds())

    def now(self) -> datetime:
        return datetime.now(UTC)


class Place:
    """A cache under a prefix of its own, and the client beside it."""

    def __init__(self, client: Any, **options: Any) -> None:
        self.client = client
        self.prefix = f"{uuid4().hex}:"
        self.cache = RedisCache(client, self.prefix, **options)

    def name(self, rest: str) -> str:
        return self.prefix + rest

    async def names(self) -> set[str]:
        """The names in Redis under the prefix, without it."""
        found = [name async for name in self.client.scan_iter(match=f"{self.prefix}*", count=1000)]
        return {name.decode().removeprefix(self.prefix) for name in found}

    async def listed(self, tag: str) -> list[str]:
        return sorted([key async for key, _ in self.cache.find(tag)])

    async def members(self, tag: str) -> int:
        """How many members the index of a tag has, dead ones included."""
        return int(await self.client.zcard(self.name(f"tag:{tag}")))


@asynccontextmanager
async def place(url: str, *, sharded: bool = False, **options: Any) -> AsyncIterator[Place]:
    """Connect to a server, without the driver's own retries, and clear away what the test stores."""
    options.setdefault("retry", Retry(NoBackoff(), 0))
    client = Redis.from_url(url, **options)
    here = Place(client, sharded=sharded)
    try:
        yield here
        await remove_all(client, here.prefix)
    finally:
        await client.aclose()


async def remove_all(client: Any, prefix: str) -> None:
    """Remove what is stored under a prefix."""
    async for name in client.scan_iter(match=f"{prefix}*", count=1000):
        await client.delete(name)


async def commands_of(client: Any) -> dict[str, int]:
    """How often the server has run each command so far."""
    counts = await client.info("commandstats")
    return {name.removeprefix("cmdstat_"): count["calls"] for name, count in counts.items()}
