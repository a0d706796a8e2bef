"""MongoCache while its servers are down, stopped, or electing a new primary."""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import pymongo
import pytest
from pymongo.errors import PyMongoError
from pymongo.monitoring import CommandListener
from pymongo.read_preferences import SecondaryPreferred
from pymongo.write_concern import WriteConcern

from tests.caching.mongodb import CLIENTS, SLIDING, connected, settled
from tests.services import require
from tornado_session.caching.mongodb import MongoCache
from tornado_session.errors import CacheError, CacheTimeoutError
from tornado_session.testing.servers.mongodb import MongoReplicaSet, MongoServer

TIMEOUT = timedelta(seconds=2)
SLACK = 2.0


@pytest.fixture
def server() -> Iterator[MongoServer]:
    server = require(MongoServer)
    try:
        require(server.start)
        yield server
    finally:
        server.close()


@pytest.fixture
def replica_set() -> Iterator[MongoReplicaSet]:
    servers = require(MongoReplicaSet)
    try:
        require(servers.start)
        yield servers
    finally:
        servers.close()


@asynccontextmanager
async def new_cache(client_class: Any, url: str) -> AsyncIterator[MongoCache]:
    async with connected(client_class, url, maxPoolSize=4) as client:
        cache = MongoCache(client["shop"]["sessions"], timeout=TIMEOUT)
        await cache.set("key", b"kept", SLIDING)
        await settled(cache)
        yield cache


async def outcomes_of_all_calls(cache: MongoCache) -> list[Any]:
    """One of each call, alone and at once, and how long the whole took."""
    begun = time.monotonic()
    outcomes = await asyncio.gather(
        *(cache.get(f"key{number}") for number in range(8)),
        cache.get("key", refresh=False),
        cache.set("one", b"", SLIDING),
        cache.add("two", b"", SLIDING),
        cache.replace("five", b"", SLIDING),
        cache.refresh("three"),
        cache.remove("four"),
        anext(cache.find("tag")),
        return_exceptions=True,
    )
    assert time.monotonic() - begun < TIMEOUT.total_seconds() + SLACK
    return outcomes


async def works_again(cache: MongoCache) -> None:
    async with asyncio.timeout(15):
        while True:
            try:
                entry = await cache.get("key")
            except CacheError:
                continue
            assert entry is not None
            assert entry.value == b"kept"
            return


@pytest.mark.parametrize("client_class", CLIENTS)
def test_a_server_that_is_down_costs_no_more_than_the_timeout_and_is_found_again(
    client_class: Any, server: MongoServer
) -> None:
    async def test() -> None:
        async with new_cache(client_class, server.url) as cache:
            server.kill()
            outcomes = await outcomes_of_all_calls(cache)
            assert [type(outcome) for outcome in outcomes if not isinstance(outcome, CacheError)] == []
            assert all(isinstance(outcome.__cause__, PyMongoError) for outcome in outcomes)
            await asyncio.to_thread(server.start)
            await works_again(cache)

    asyncio.run(test())


@pytest.mark.parametrize("client_class", CLIENTS)
def test_a_server_that_hangs_costs_no_more_than_the_timeout_and_is_found_again(
    client_class: Any, server: MongoServer
) -> None:
    async def test() -> None:
        process = server.process_id
        assert process is not None
        async with new_cache(client_class, server.url) as cache:
            os.kill(process, signal.SIGSTOP)
            os.waitpid(process, os.WUNTRACED)  # Until it has stopped, it may still answer.
            try:
                outcomes = [outcome for _ in range(3) for outcome in await outcomes_of_all_calls(cache)]
            finally:
                os.kill(process, signal.SIGCONT)
            assert [type(outcome) for outcome in outcomes if not isinstance(outcome, CacheTimeoutError)] == []
            assert all(isinstance(outcome.__cause__, PyMongoError) for outcome in outcomes)
            await works_again(cache)

    asyncio.run(test())


def test_no_call_outlives_its_limit_when_many_look_for_a_server_at_once(server: MongoServer) -> None:
    # The driver wakes all of them every half second, which is also when this limit ends.
    limit = timedelta(seconds=0.5)

    async def test() -> None:
        async with connected(pymongo.AsyncMongoClient, server.url) as client:
            cache = MongoCache(client["shop"]["sessions"], timeout=limit, batch_size=1)
            await cache.get("key")
            server.kill()
            for _ in range(6):
                calls = [asyncio.create_task(cache.get(f"key{number}")) for number in range(300)]
                done, late = await asyncio.wait(calls, timeout=limit.total_seconds() + 2 * SLACK)
                assert not late
                assert {type(call.exception()) for call in done} <= {CacheTimeoutError, CacheError}

    asyncio.run(test())


class Meddler(CommandListener):
    """Lets somebody else write as soon as an update was made, before its client can do anything more."""

    def __init__(self) -> None:
        self.meddle: Callable[[], object] | None = None

    def started(self, event: Any) -> None:
        pass

    def succeeded(self, event: Any) -> None:
        if event.command_name == "update" and self.meddle is not None:
            meddle, self.meddle = self.meddle, None
            meddle()

    def failed(self, event: Any) -> None:
        pass


@pytest.fixture
def faulty_server() -> Iterator[MongoServer]:
    """A server that fails where a test tells it to."""
    server = require(lambda: MongoServer(options=("--setParameter", "enableTestCommands=1")))
    try:
        require(server.start)
        yield server
    finally:
        server.close()


@pytest.mark.parametrize("client_class", CLIENTS)
def test_a_replacement_that_was_made_and_undone_by_others_before_it_was_sent_again_is_an_error_and_no_conflict(
    client_class: Any, faulty_server: MongoServer
) -> None:
    def step_down_in_the_next_update() -> None:
        failing = {"failCommands": ["update"], "writeConcernError": {"code": 91, "errmsg": "shutting down"}}
        with faulty_server.admin() as admin:
            admin("configureFailPoint", "failCommand", mode={"times": 1}, data=failing)

    async def test() -> None:
        meddler = Meddler()
        with pymongo.MongoClient[dict[str, Any]](faulty_server.url) as elsewhere:
            sessions = elsewhere["shop"]["sessions"]
            async with connected(client_class, faulty_server.url, event_listeners=[meddler]) as client:
                cache = MongoCache(client["shop"]["sessions"])
                await cache.ensure_indexes()
                for meddle in (
                    lambda: sessions.update_one({"_id": "key"}, {"$set": {"v": 1, "d": b"theirs"}}),
                    lambda: sessions.delete_one({"_id": "key"}),
                ):
                    version = await cache.set("key", b"old", SLIDING)
                    step_down_in_the_next_update()
                    meddler.meddle = meddle

                    with pytest.raises(CacheError):
                        await cache.replace("key", b"ours", SLIDING, version=version)

                    assert meddler.meddle is None
                assert await cache.get("key") is None

                version = await cache.set("key", b"old", SLIDING)
                step_down_in_the_next_update()
                replaced = await cache.replace("key", b"ours", SLIDING, version=version)
                entry = await cache.get("key")
                assert entry is not None
                assert (entry.value, entry.version) == (b"ours", replaced)
                assert await cache.replace("key", b"late", SLIDING, version=version) is None

    asyncio.run(test())


class Recorder:
    """A caller that writes one number after the other under a key of its own, and remembers which were acknowledged."""

    def __init__(self, cache: MongoCache, key: str) -> None:
        self.cache = cache
        self.key = key
        self.acknowledged = 0
        self.attempted = 0
        self.last_success = 0.0
        self.failures: list[CacheError] = []

    async def work_until(self, ended: asyncio.Event) -> None:
        version: int | None = None
        while not ended.is_set():
            self.attempted += 1
            try:
                version = version or await self._look_again()
                version = await self.cache.replace(self.key, b"%d" % self.attempted, SLIDING, version=version)
                assert version is not None, "somebody else wrote"
                self.acknowledged = self.attempted
                await self._look_again()
                self.last_success = time.monotonic()
            except CacheError as error:
                self.failures.append(error)
                version = None

    async def _look_again(self) -> int:
        entry = await self.cache.get(self.key)
        assert entry is not None, "an acknowledged entry is lost"
        assert self.acknowledged <= int(entry.value) <= self.attempted, "an acknowledged write is lost"
        return entry.version


async def until_all_work(recorders: list[Recorder], since: float) -> None:
    async with asyncio.timeout(20):
        while not all(recorder.last_success > since for recorder in recorders):
            await asyncio.sleep(0.02)


@pytest.mark.parametrize("client_class", CLIENTS)
def test_nothing_acknowledged_is_lost_when_the_primary_is_killed_under_load(
    client_class: Any, replica_set: MongoReplicaSet
) -> None:
    async def test() -> None:
        async with connected(client_class, replica_set.url) as client:
            collection = client["shop"]["sessions"].with_options(
                write_concern=WriteConcern("majority"), read_preference=SecondaryPreferred()
            )
            cache = MongoCache(collection)
            await cache.ensure_indexes()
            ended = asyncio.Event()
            recorders = [Recorder(cache, f"key{number}") for number in range(16)]
            for recorder in recorders:
                await cache.add(recorder.key, b"0", SLIDING)
            work = [asyncio.create_task(recorder.work_until(ended)) for recorder in recorders]
            await until_all_work(recorders, time.monotonic())

            killed = await asyncio.to_thread(replica_set.kill_primary)
            elected = await asyncio.to_thread(replica_set.primary)
            assert elected is not killed
            begun = time.monotonic()
            await until_all_work(recorders, begun)
            assert time.monotonic() - begun < 5, "the outage went on after a new primary was elected"

            await asyncio.to_thread(killed.start)
            await asyncio.to_thread(replica_set.wait_until_complete)
            await until_all_work(recorders, time.monotonic())
            ended.set()
            await asyncio.gather(*work)
            for recorder in recorders:
                entry = await cache.get(recorder.key)
                assert entry is not None
                assert recorder.acknowledged <= int(entry.value) <= recorder.attempted
                assert all(isinstance(failure.__cause__, PyMongoError) for failure in recorder.failures)

    asyncio.run(test())
