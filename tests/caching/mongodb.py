"""What the tests of MongoCache share: clients, collections of their own, and an eye on the commands."""

import asyncio
import logging
import os
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pymongo
import pytest
from motor.motor_asyncio import AsyncIOMotorClient
from motor.motor_tornado import MotorClient
from pymongo.monitoring import CommandListener

from tornado_session.caching.contract import CacheEntryOptions
from tornado_session.caching.mongodb import MongoCache

CLIENTS = (pymongo.AsyncMongoClient, MotorClient, AsyncIOMotorClient)
# The sweep of expired documents never comes: no test can pass by its help.
UNSWEPT = ("--setParameter", "ttlMonitorEnabled=false")
HOUR = timedelta(hours=1)
# As short as the machine allows: a busy one would let entries end between two calls.
MOMENT = timedelta(milliseconds=300) * min(3, max(1, os.getloadavg()[0] / (os.cpu_count() or 1)))
SLIDING = CacheEntryOptions(sliding=HOUR)
THROTTLED = CacheEntryOptions(sliding=HOUR, refresh_interval=HOUR)
FOREVER = CacheEntryOptions()


class Trips(CommandListener):
    """The names of the commands that a client sends, but for those by which it manages its connections."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self.commands: list[dict[str, Any]] = []
        self.answered: list[str] = []
        """The names of those that succeeded."""

    def started(self, event: Any) -> None:
        if event.command_name not in ("endSessions", "killCursors"):
            self.names.append(event.command_name)
            self.commands.append(dict(event.command))

    def succeeded(self, event: Any) -> None:
        self.answered.append(event.command_name)

    def failed(self, event: Any) -> None:
        pass


@asynccontextmanager
async def connected(client_class: Any, url: str, **options: Any) -> AsyncIterator[Any]:
    client = client_class(url, **options)
    try:
        yield client
    finally:
        closing = client.close()
        if closing is not None:
            await closing


@asynccontextmanager
async def new_collection(client_class: Any, url: str, **options: Any) -> AsyncIterator[Any]:
    async with connected(client_class, url, **options) as client:
        collection = client.get_database("tornado_session_tests").get_collection(uuid4().hex)
        yield collection
        await collection.drop()


async def settled(cache: MongoCache) -> None:
    """Wait until the cache has seen to its indexes."""
    while (task := cache._indexes._task) is not None and not task.done():
        await asyncio.sleep(0.01)


async def oplog_entries(collection: Any) -> int:
    """How often documents of the collection were written, by the record that a replica set keeps."""
    oplog = collection.database.client.get_database("local").get_collection("oplog.rs")
    count: int = await oplog.count_documents({"ns": collection.full_name})
    return count


class _Recorder(logging.Handler):
    def __init__(self, records: list[logging.LogRecord]) -> None:
        super().__init__()
        self.records = records

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)


@contextmanager
def logged() -> Iterator[list[logging.LogRecord]]:
    """The records of the cache's logger."""
    records: list[logging.LogRecord] = []
    handler = _Recorder(records)
    logger = logging.getLogger("tornado_session.caching.mongodb")
    logger.addHandler(handler)
    try:
        yield records
    finally:
        logger.removeHandler(handler)


Test = Callable[[Any, str], Coroutine[Any, Any, None]]


def with_each_client(test: Test) -> Callable[[Any, str], None]:
    """Run an asynchronous test once with every client class."""

    def run(client_class: Any, url: str) -> None:
        asyncio.run(test(client_class, url))

    run.__name__ = test.__name__
    parametrized: Callable[[Any, str], None] = pytest.mark.parametrize("client_class", CLIENTS)(run)
    return parametrized
