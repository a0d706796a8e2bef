"""Every cache of the package under one roof: for stories that have to come out the same on all of them."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, ExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from platform import python_version
from tempfile import TemporaryDirectory
from uuid import uuid4

from tests.services import require, service_url
from tornado_session import MemoryCache
from tornado_session.caching.contract import DistributedCache
from tornado_session.testing import FakeClock

ran: dict[str, str] = {}
"""The version of the server behind each cache that was used."""


@dataclass
class Place:
    """A cache of a test's own: nobody else writes where it writes."""

    cache: DistributedCache
    clock: FakeClock = field(default_factory=FakeClock)
    goes_by_its_own_clock: bool = True

    async def advance(self, duration: timedelta) -> None:
        """Let time pass for the application, and for the cache."""
        self.clock.advance(duration)
        if self.goes_by_its_own_clock:
            await asyncio.sleep(duration.total_seconds())


class Servers:
    """The servers behind the caches, each started when it is first asked for."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._urls: dict[str, str] = {}

    def mongodb(self) -> str:
        from tornado_session.testing.servers.mongodb import MongoServer

        return self._url("MONGODB_URI", MongoServer)

    def redis(self) -> str:
        from tornado_session.testing.servers.redis import RedisServer

        return self._url("REDIS_URL", RedisServer)

    def postgresql(self) -> str:
        from tornado_session.testing.servers.postgresql import PostgresServer

        return "postgresql+asyncpg:" + self._url("POSTGRES_URL", PostgresServer).partition(":")[2]

    def directory(self) -> Path:
        return Path(self._stack.enter_context(TemporaryDirectory(prefix="tornado-session-")))

    def close(self) -> None:
        self._stack.close()

    def _url(self, variable: str, make: Callable[..., object]) -> str:
        if variable not in self._urls:
            self._urls[variable] = self._stack.enter_context(service_url(variable, make))  # type: ignore[arg-type]
        return self._urls[variable]


@asynccontextmanager
async def on_memory(_servers: Servers) -> AsyncIterator[Place]:
    clock = FakeClock()
    ran["memory"] = f"Python {python_version()}"
    yield Place(MemoryCache(clock=clock), clock, goes_by_its_own_clock=False)


@asynccontextmanager
async def on_mongodb(servers: Servers) -> AsyncIterator[Place]:
    pymongo = require(lambda: __import__("pymongo"))
    from tornado_session.caching.mongodb import MongoCache

    async with pymongo.AsyncMongoClient(servers.mongodb()) as client:
        ran["mongodb"] = (await client.admin.command("buildInfo"))["version"]
        collection = client.tornado_session_tests[uuid4().hex]
        cache = MongoCache(collection)
        await cache.ensure_indexes()
        yield Place(cache)
        await collection.drop()


@asynccontextmanager
async def on_redis(servers: Servers) -> AsyncIterator[Place]:
    redis = require(lambda: __import__("redis.asyncio")).asyncio
    from tornado_session.caching.redis import RedisCache

    async with redis.Redis.from_url(servers.redis()) as client:
        ran["redis"] = (await client.info("server"))["redis_version"]
        prefix = f"{uuid4().hex}:"
        yield Place(RedisCache(client, prefix))
        async for name in client.scan_iter(f"{prefix}*"):
            await client.delete(name)


@asynccontextmanager
async def on_sqlite(servers: Servers) -> AsyncIterator[Place]:
    require(lambda: __import__("aiosqlite"))
    async with on_sql(f"sqlite+aiosqlite:///{servers.directory() / 'sessions.db'}", "sqlite") as place:
        yield place


@asynccontextmanager
async def on_postgresql(servers: Servers) -> AsyncIterator[Place]:
    require(lambda: __import__("asyncpg"))
    async with on_sql(servers.postgresql(), "postgresql") as place:
        yield place


@asynccontextmanager
async def on_sql(url: str, name: str) -> AsyncIterator[Place]:
    from sqlalchemy import text
    from sqlalchemy.ext.asyncio import create_async_engine

    from tornado_session.caching.sql import SQLCache

    engine = create_async_engine(url)
    table = f"sessions_{uuid4().hex[:12]}"
    try:
        yield Place(SQLCache(engine, table))
        ran[name] = ".".join(map(str, engine.dialect.server_version_info or ()))
        async with engine.begin() as connection:
            await connection.execute(text(f"DROP TABLE IF EXISTS {table}"))
    finally:
        await engine.dispose()


CACHES: dict[str, Callable[[Servers], AbstractAsyncContextManager[Place]]] = {
    "memory": on_memory,
    "mongodb": on_mongodb,
    "redis": on_redis,
    "sqlite": on_sqlite,
    "postgresql": on_postgresql,
}
