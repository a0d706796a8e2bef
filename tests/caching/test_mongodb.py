"""MongoCache against a real server, through the three clients that it takes."""

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pymongo
import pytest
from motor.motor_asyncio import AsyncIOMotorClient
from motor.motor_tornado import MotorClient

from tests.services import service_url
from tornado_session.caching.contract import DistributedCache
from tornado_session.caching.mongodb import MongoCache
from tornado_session.testing.cache_contract import CacheContract
from tornado_session.testing.servers.mongodb import MongoServer

# The sweep of expired documents never comes: no test can pass by its help.
UNSWEPT = ("--setParameter", "ttlMonitorEnabled=false")


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with service_url("MONGODB_URI", lambda: MongoServer(options=UNSWEPT)) as found:
        yield found


class OnMongo(CacheContract):
    client_class: Any
    moment = timedelta(milliseconds=300)

    @pytest.fixture(autouse=True)
    def _use_server(self, url: str) -> None:
        self.url = url

    async def make_cache(self) -> DistributedCache:
        self.client = self.client_class(self.url)
        self.collection = self.client.get_database("tornado_session_tests").get_collection(uuid4().hex)
        return MongoCache(self.collection)

    async def close_cache(self, cache: DistributedCache) -> None:
        await self.collection.drop()
        closing = self.client.close()
        if closing is not None:
            await closing

    async def advance(self, duration: timedelta) -> None:
        await asyncio.sleep(duration.total_seconds())

    def now(self) -> datetime:
        return datetime.now(UTC)


class TestWithPyMongo(OnMongo):
    client_class = pymongo.AsyncMongoClient


class TestWithMotorOnTornado(OnMongo):
    client_class = MotorClient


class TestWithMotorOnAsyncio(OnMongo):
    client_class = AsyncIOMotorClient
