"""MongoCache and what it finds: indexes, rights, options of the client, event loops, collections that are none."""

import asyncio
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pymongo
import pytest
from pymongo.read_preferences import SecondaryPreferred
from pymongo.write_concern import WriteConcern

from tests.caching.mongodb import (
    CLIENTS,
    FOREVER,
    SLIDING,
    Trips,
    connected,
    logged,
    new_collection,
    settled,
    with_each_client,
)
from tests.services import require, service_url
from tornado_session.caching.contract import CacheEntryOptions
from tornado_session.caching.mongodb import MongoCache
from tornado_session.errors import CacheError, ConfigurationError
from tornado_session.testing.servers.mongodb import MongoServer


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with service_url("MONGODB_URI", MongoServer) as found:
        yield found


@with_each_client
async def test_reads_go_to_the_primary_and_writes_keep_the_write_concern(client_class: Any, url: str) -> None:
    trips = Trips()
    async with new_collection(client_class, url, event_listeners=[trips]) as collection:
        majority = WriteConcern("majority", wtimeout=4321)
        cache = MongoCache(collection.with_options(read_preference=SecondaryPreferred(), write_concern=majority))

        await cache.set("key", b"", SLIDING)
        await cache.get("key")
        await cache.get("key", refresh=False)
        assert [key async for key, _ in cache.find("tag")] == []
        await cache.remove("key")
        await settled(cache)

    written = [command for command in trips.commands if {"update", "findAndModify", "delete"} & command.keys()]
    assert [command["writeConcern"]["w"] for command in written] == ["majority"] * 3
    asked = [command.get("$readPreference", {"mode": "primary"})["mode"] for command in trips.commands]
    assert set(asked) <= {"primary", "primaryPreferred"}


@with_each_client
async def test_writes_that_the_write_concern_does_not_cover_are_errors_of_each_caller(
    client_class: Any, url: str
) -> None:
    async with new_collection(client_class, url) as collection:
        cache = MongoCache(collection.with_options(write_concern=WriteConcern(w=9, wtimeout=100)))

        await MongoCache(collection).set("key", b"", SLIDING)
        alone: list[Any] = [*await asyncio.gather(cache.get("key"), return_exceptions=True)]
        alone += await asyncio.gather(cache.set("key", b"", FOREVER), return_exceptions=True)
        together = await asyncio.gather(
            *(cache.set(f"key{number}", b"", FOREVER) for number in range(4)), return_exceptions=True
        )

        for error in (*alone, *together):
            assert isinstance(error, CacheError)
            assert isinstance(error.__cause__, pymongo.errors.WriteConcernError)


@with_each_client
async def test_an_index_that_is_in_the_way_is_one_line_that_names_the_commands(client_class: Any, url: str) -> None:
    async with new_collection(client_class, url) as collection:
        await collection.create_index("exp", expireAfterSeconds=3600)
        cache = MongoCache(collection)
        with logged() as records:
            await cache.set("key", b"value", SLIDING)
            await settled(cache)
            entry = await cache.get("key")
            await settled(cache)

        assert entry is not None
        (line,) = [record.getMessage() for record in records]
        shell = f'db.getSiblingDB("{collection.database.name}").getCollection("{collection.name}")'
        assert f"{shell}.dropIndex({{exp: 1}});" in line
        assert f'{shell}.createIndex({{exp: 1}}, {{"expireAfterSeconds": 0}});' in line
        assert "tag" not in line
        assert "tag_1" in await collection.index_information()


@with_each_client
async def test_an_index_that_took_the_name_is_named_too(client_class: Any, url: str) -> None:
    async with new_collection(client_class, url) as collection:
        await collection.create_index("other", name="tag_1")

        with pytest.raises(CacheError, match=r"dropIndex\(\"tag_1\"\).*createIndex\(\{tag: 1\}") as raised:
            await MongoCache(collection).ensure_indexes()

        assert isinstance(raised.value.__cause__, pymongo.errors.OperationFailure)


@with_each_client
async def test_sessions_work_where_the_right_to_make_indexes_is_missing(client_class: Any, url: str) -> None:
    del url
    server = MongoServer(standalone=True, options=("--auth",))
    try:
        require(server.start)
        own = _with_an_account_that_makes_no_indexes(server)
        async with connected(client_class, own) as client:
            cache = MongoCache(client.get_database("shop").get_collection("sessions"))
            with logged() as records:
                version = await cache.set("key", b"value", SLIDING)
                await settled(cache)
                entries = await asyncio.gather(*(cache.get("key") for _ in range(3)))
                assert await cache.remove("key") is True

            assert [entry and entry.version for entry in entries] == [version] * 3
            (line,) = [record.getMessage() for record in records]
            assert 'db.getSiblingDB("shop").getCollection("sessions").createIndex({exp: 1}' in line
            assert ".createIndex({tag: 1}" in line
            assert "dropIndex" not in line
            with pytest.raises(CacheError, match="createIndex"):
                await cache.ensure_indexes()
    finally:
        server.close()


def _with_an_account_that_makes_no_indexes(server: MongoServer) -> str:
    with server.admin() as admin:
        privileges = [
            {
                "resource": {"db": "shop", "collection": "sessions"},
                "actions": ["find", "insert", "update", "remove"],
            }
        ]
        admin("createUser", "root", pwd="root", roles=["root"])
    client: Any = pymongo.MongoClient("127.0.0.1", server.port, username="root", password="root")
    client.admin.command("createRole", "sessions", privileges=privileges, roles=[])
    client.admin.command("createUser", "app", pwd="app", roles=["sessions"])
    client.close()
    return f"mongodb://app:app@127.0.0.1:{server.port}/"


@pytest.mark.parametrize("client_class", CLIENTS)
def test_a_client_made_before_the_loop_runs_works_in_the_first_loop_and_tells_in_another(
    client_class: Any, url: str
) -> None:
    client = client_class(url)
    cache = MongoCache(client["tornado_session_tests"]["loops"])

    async def use() -> int:
        version = await cache.set("key", b"", FOREVER)
        await settled(cache)
        return version

    async def close() -> None:
        closing = client.close()
        if closing is not None:
            await closing

    with asyncio.Runner() as runner:
        assert runner.run(use()) > 0
        with asyncio.Runner() as other, pytest.raises(ConfigurationError, match="belongs to another event loop"):
            other.run(use())
        again = MongoCache(client["tornado_session_tests"]["loops"])
        with asyncio.Runner() as other, pytest.raises(ConfigurationError, match="belongs to another event loop"):
            other.run(again.get("key"))
        assert runner.run(use()) > 0, "the mistake disturbed the loop in which the client is at home"
        runner.run(close())


@with_each_client
async def test_all_works_on_a_standalone_server(client_class: Any, url: str) -> None:
    del url
    with MongoServer(standalone=True) as server:
        async with new_collection(client_class, server.url) as collection:
            cache = MongoCache(collection)
            versions = await asyncio.gather(*(cache.add(f"key{number}", b"", SLIDING) for number in range(20)))
            entries = await asyncio.gather(*(cache.get(f"key{number}") for number in range(20)))
            assert [entry and entry.version for entry in entries] == versions
            assert await cache.remove("key1") is True
            assert await cache.get("key1") is None


def test_what_is_no_collection_of_an_asynchronous_client_is_refused(url: str) -> None:
    synchronous: Any = pymongo.MongoClient(url, connect=False)
    asynchronous: Any = pymongo.AsyncMongoClient(url, connect=False)
    wrong: Any
    for wrong in (synchronous.shop.sessions, asynchronous.shop, asynchronous, "shop.sessions", None):
        with pytest.raises(ConfigurationError, match="MongoCache needs a collection of PyMongo's AsyncMongoClient"):
            MongoCache(wrong)
    synchronous.close()


@pytest.mark.parametrize("client_class", CLIENTS)
def test_writes_that_nobody_acknowledges_are_refused(client_class: Any, url: str) -> None:
    async def test() -> None:
        async with connected(client_class, url) as client:
            collection = client["shop"]["sessions"].with_options(write_concern=WriteConcern(w=0))
            with pytest.raises(ConfigurationError, match="not acknowledged"):
                MongoCache(collection)

    asyncio.run(test())


@with_each_client
async def test_a_value_that_no_document_can_hold_is_refused_and_the_largest_is_kept(
    client_class: Any, url: str
) -> None:
    async with new_collection(client_class, url) as collection:
        cache = MongoCache(collection)
        largest = b"x" * (16 * 2**20 - 4096)
        options = CacheEntryOptions(sliding=timedelta(days=1), relative=timedelta(days=9), tag="t" * 512)

        await cache.set("k" * 512, largest, options)
        with pytest.raises(ValueError, match="at most"):
            await cache.set("key", largest + b"x", options)

        entry = await cache.get("k" * 512)
        assert entry is not None
        assert entry.value == largest
