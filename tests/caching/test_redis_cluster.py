"""RedisCache on a cluster: the contract through both kinds of client, and the slots of every command's keys."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from redis.asyncio import Redis
from redis.asyncio.cluster import RedisCluster
from redis.crc import key_slot

from tests.caching.redis_support import FOREVER, SLIDING, TAGGED, OnRedis, Place, place, remove_all
from tests.services import require
from tornado_session.testing.servers.redis import RedisServer

Commands = list[tuple[Any, ...]]


@pytest.fixture(scope="module")
def cluster() -> Iterator[RedisServer]:
    server = RedisServer(cluster=True)
    try:
        require(server.start)
        yield server
    finally:
        server.close()


class TestRedisCacheOnACluster(OnRedis):
    @pytest.fixture(autouse=True)
    def _use_server(self, cluster: RedisServer) -> None:
        self.url = cluster.url

    def make_client(self) -> Any:
        return RedisCluster.from_url(self.url)


class TestRedisCacheOnAClusterThatLooksLikeOneServer(TestRedisCacheOnACluster):
    """As behind the proxy of a hosted Redis: the client knows of no cluster, and keys of two slots are refused."""

    def make_client(self) -> Any:
        return Redis.from_url(self.url)


def test_every_command_on_a_cluster_has_its_keys_in_one_slot(cluster: RedisServer) -> None:
    async def use() -> Commands:
        sent: Commands = []

        class Recording(RedisCluster):  # type: ignore[type-arg, unused-ignore]
            async def execute_command(self, *args: Any, **options: Any) -> Any:
                sent.append(args)
                return await super().execute_command(*args, **options)

        client = Recording.from_url(cluster.url)
        here = Place(client)
        try:
            await use_every_call(here)
            found = sent.copy()
            await remove_all(client, here.prefix)
        finally:
            await client.aclose()
        return found

    commands = asyncio.run(use())

    assert slots_of_each(commands)
    assert all(len(slots) == 1 for slots in slots_of_each(commands))


def test_every_command_through_a_proxy_that_shards_has_its_keys_in_one_slot(cluster: RedisServer) -> None:
    async def use() -> Commands:
        async with place(cluster.url, sharded=True) as here:
            sent = record(here.client)
            await use_every_call(here)
            return sent

    commands = asyncio.run(use())

    assert slots_of_each(commands)
    assert all(len(slots) == 1 for slots in slots_of_each(commands))


def test_a_cluster_that_looks_like_one_server_is_recognized_by_its_first_refusal(cluster: RedisServer) -> None:
    async def use() -> tuple[Commands, Commands]:
        async with place(cluster.url) as here:
            sent = record(here.client)
            await use_every_call(here)
            first = sent.copy()
            sent.clear()
            await use_every_call(here)
            return first, sent

    first, later = asyncio.run(use())

    assert any(len(slots) > 1 for slots in slots_of_each(first))
    assert all(len(slots) == 1 for slots in slots_of_each(later))


def test_parallel_reads_meet_the_cluster_and_all_find_their_entries(cluster: RedisServer) -> None:
    async def use() -> list[bytes]:
        async with place(cluster.url) as here:
            for number in range(20):
                await here.cache.set(f"key{number}", b"%d" % number, SLIDING)

            entries = await asyncio.gather(*(here.cache.get(f"key{number}") for number in range(20)))

            return [entry.value for entry in entries if entry]

    assert asyncio.run(use()) == [b"%d" % number for number in range(20)]


def test_more_parallel_calls_than_the_client_may_have_connections_succeed(cluster: RedisServer) -> None:
    async def use() -> list[int]:
        client = RedisCluster.from_url(cluster.url, max_connections=64)
        here = Place(client)
        try:
            await here.cache.get("key")  # connects: until then the calls wait for that
            versions = await asyncio.gather(*(here.cache.set(f"key{number}", b"", TAGGED) for number in range(200)))
            assert len(await here.listed("red")) == 200
            await remove_all(client, here.prefix)
        finally:
            await client.aclose()
        return versions

    assert all(asyncio.run(use()))


async def use_every_call(here: Place) -> None:
    cache = here.cache
    await asyncio.gather(*(cache.set(f"key{number}", b"", TAGGED) for number in range(10)))
    await asyncio.gather(*(cache.get(f"key{number}") for number in range(10)))
    version = await cache.add("new", b"", TAGGED)
    assert await cache.replace("new", b"", FOREVER, version=version)
    assert await cache.refresh("key1")
    assert await cache.remove("key2")
    assert len(await here.listed("red")) == 9
    for number in range(10):
        await cache.remove(f"key{number}")
    await cache.remove("new")


def record(client: Any) -> Commands:
    """The commands that a client sends from now on, alone or in pipelines."""
    sent: Commands = []
    connection_class = client.connection_pool.connection_class

    class Recording(connection_class):  # type: ignore[misc, valid-type]
        def pack_command(self, *args: Any) -> Any:
            sent.append(args)
            return super().pack_command(*args)

    client.connection_pool.connection_class = Recording
    return sent


def slots_of_each(commands: Commands) -> list[set[int]]:
    """The slots of the keys of each script that was run."""
    runs = [command for command in commands if command[0] in {"EVALSHA", "EVAL"}]
    return [{key_slot(key) for key in run[3 : 3 + int(run[2])]} for run in runs]
