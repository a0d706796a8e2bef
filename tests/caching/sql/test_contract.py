"""SQLCache keeps the contract of a cache on every database and with every driver."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from tests.caching.sql.databases import AIOMYSQL, ASYNCMY, ASYNCPG, MEMORY, PSYCOPG, SQLITE, Database, on
from tornado_session.caching.contract import DistributedCache
from tornado_session.caching.sql import create_cache_engine
from tornado_session.testing.cache_contract import CacheContract


class OnDatabase(CacheContract):
    moment = timedelta(milliseconds=300)
    make_engine: ClassVar[Callable[..., AsyncEngine]] = staticmethod(create_async_engine)

    @pytest.fixture(autouse=True)
    def _use(self, database: Database) -> None:
        self.database = database

    async def make_cache(self) -> DistributedCache:
        return self.database.cache(self.make_engine)

    async def close_cache(self, cache: DistributedCache) -> None:
        await self.database.close()

    async def advance(self, duration: timedelta) -> None:
        await asyncio.sleep(duration.total_seconds())

    def now(self) -> datetime:
        return datetime.now(UTC)


@on(SQLITE, MEMORY, ASYNCPG, AIOMYSQL)
class TestOnAnyEngine(OnDatabase):
    pass


@on(SQLITE, PSYCOPG, ASYNCMY)
class TestOnAnEngineOfItsOwn(OnDatabase):
    make_engine: ClassVar[Any] = staticmethod(create_cache_engine)
