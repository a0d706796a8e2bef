"""RedisCache while its server is gone, slow, full, read-only or killed, and while answers are lost on their way."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from typing import Any

import pytest
import redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from tests.caching.redis_support import FOREVER, SLIDING, TAGGED, Place, place
from tests.services import require
from tornado_session.caching.contract import CacheEntryOptions
from tornado_session.errors import CacheError, CacheTimeoutError
from tornado_session.testing.servers.redis import RedisServer

SHORT = 0.3
"""Seconds that the client waits for an answer where a test wants it not to."""


@pytest.fixture
def server() -> Iterator[RedisServer]:
    yield from running(RedisServer())


def running(server: RedisServer) -> Iterator[RedisServer]:
    try:
        require(server.start)
        yield server
    finally:
        server.close()


# -- gone -------------------------------------------------------------------------------------------------------------


def test_an_outage_is_an_error_at_once_and_over_when_the_server_is_back(server: RedisServer) -> None:
    async def use() -> None:
        async with place(server.url) as here:
            await here.cache.set("key", b"value", SLIDING)
            server.kill()
            began = time.monotonic()
            for call in every_call(here):
                with pytest.raises(CacheError) as caught:
                    await call
                assert isinstance(caught.value.__cause__, redis.ConnectionError)
            assert time.monotonic() - began < 2

            server.start()

            assert await here.cache.get("key") is None
            await here.cache.set("key", b"again", SLIDING)
            assert await here.cache.get("key") is not None

    asyncio.run(use())


def test_a_restart_amid_parallel_calls_fails_some_and_mixes_up_none(server: RedisServer) -> None:
    async def use() -> None:
        async with place(server.url) as here:
            keys = [f"key{number}" for number in range(32)]
            failures, ended = 0, time.monotonic() + 1.5

            async def work(key: str) -> None:
                nonlocal failures
                while time.monotonic() < ended:
                    try:
                        version = await here.cache.set(key, key.encode(), TAGGED)
                        entry = await here.cache.get(key)
                    except CacheError:
                        failures += 1
                        await asyncio.sleep(0.05)
                        continue
                    assert entry is None or (entry.value, entry.version) == (key.encode(), version)

            async def restart() -> None:
                await asyncio.sleep(0.3)
                server.kill()
                await asyncio.sleep(0.3)
                await asyncio.to_thread(server.start)

            await asyncio.gather(restart(), *map(work, keys))

            assert failures > 0
            await forget_connections(here)
            assert await here.listed("red") == sorted(keys)

    asyncio.run(use())


async def forget_connections(here: Place) -> None:
    """Spare the checks that follow the errors of idle connections to a server that is gone, each of which has one."""
    await here.client.connection_pool.disconnect()


def every_call(here: Place) -> list[Any]:
    async def list_tag() -> None:
        await here.listed("red")

    return [
        here.cache.get("key"),
        here.cache.set("key", b"", TAGGED),
        here.cache.add("key", b"", SLIDING),
        here.cache.replace("key", b"", SLIDING),
        here.cache.refresh("key"),
        here.cache.remove("key"),
        list_tag(),
    ]


# -- slow -------------------------------------------------------------------------------------------------------------


def test_a_slow_server_is_a_timeout_by_the_limit_of_the_client(server: RedisServer) -> None:
    async def use() -> None:
        async with place(server.url, socket_timeout=SHORT) as here:
            await here.cache.set("key", b"value", SLIDING)
            await here.client.client_pause(int(4 * SHORT * 1000))
            began = time.monotonic()

            results = await asyncio.gather(*(here.cache.get("key") for _ in range(8)), return_exceptions=True)

            waited = time.monotonic() - began
            assert {type(result) for result in results} == {CacheTimeoutError}
            assert waited < 4 * SHORT
            await asyncio.sleep(4 * SHORT)
            assert await here.cache.get("key") is not None

    asyncio.run(use())


def test_a_cancelled_call_leaves_its_answer_to_nobody(server: RedisServer) -> None:
    async def use() -> None:
        async with place(server.url, max_connections=4) as here, place(server.url) as beside:
            keys = [f"key{number}" for number in range(8)]
            for key in keys:
                await here.cache.set(key, key.encode(), SLIDING)

            for cancelled in (["key0"], keys[:1], keys[:5], keys):
                await beside.client.client_pause(400)
                calls = {key: asyncio.create_task(here.cache.get(key)) for key in keys}
                await asyncio.sleep(0.02)
                for key in cancelled:
                    calls[key].cancel()
                results = dict(zip(keys, await asyncio.gather(*calls.values(), return_exceptions=True), strict=True))

                for key in keys:
                    assert isinstance(results[key], asyncio.CancelledError) is (key in cancelled)
                    if key not in cancelled:
                        assert value_of(results[key]) == key.encode()
                for key in reversed(keys):
                    assert value_of(await here.cache.get(key)) == key.encode()

    asyncio.run(use())


def test_a_cancelled_call_that_was_alone_leaves_its_answer_to_nobody(server: RedisServer) -> None:
    async def use() -> None:
        async with place(server.url, max_connections=1) as here, place(server.url) as beside:
            for key in ("one", "two"):
                await here.cache.set(key, key.encode(), SLIDING)

            for _ in range(3):
                await beside.client.client_pause(400)
                call = asyncio.create_task(here.cache.get("one"))
                await asyncio.sleep(0.02)
                call.cancel()
                with suppress(asyncio.CancelledError):
                    await call
                assert call.cancelled()

                assert value_of(await here.cache.get("two")) == b"two"

    asyncio.run(use())


def value_of(entry: Any) -> bytes:
    assert entry is not None
    return bytes(entry.value)


# -- answers that are lost --------------------------------------------------------------------------------------------


def test_a_write_that_the_driver_sends_again_is_one_write(server: RedisServer) -> None:
    async def use() -> None:
        again: dict[str, Any] = {"retry": Retry(NoBackoff(), 1), "retry_on_error": [redis.ConnectionError]}
        async with losing_answers(server) as (url, lose_next), place(url, **again) as here:
            await here.cache.set("warm", b"", TAGGED)
            first = await here.cache.set("replaced", b"old", TAGGED)

            lose_next()
            added = await here.cache.add("added", b"value", TAGGED)
            lose_next()
            replaced = await here.cache.replace("replaced", b"new", TAGGED, version=first)

            for key, version in (("added", added), ("replaced", replaced)):
                entry = await here.cache.get(key)
                assert entry is not None
                assert entry.version == version
            assert await here.members("red") == 3

    asyncio.run(use())


def test_without_retries_a_write_whose_answer_was_lost_is_an_error_and_was_sent_once(server: RedisServer) -> None:
    async def use() -> None:
        async with losing_answers(server) as (url, lose_next), place(url) as here:
            first = await here.cache.set("replaced", b"old", SLIDING)
            writes: list[Callable[[], Coroutine[Any, Any, Any]]] = [
                lambda: here.cache.add("added", b"value", SLIDING),
                lambda: here.cache.replace("replaced", b"new", SLIDING, version=first),
            ]
            for write in writes:
                await here.client.ping()  # connects, or else that would be the answer that is lost
                sent = scripts_run(server)
                lose_next()

                with pytest.raises(CacheError):
                    await write()

                assert scripts_run(server) == sent + 1
            assert value_of(await here.cache.get("added")) == b"value"
            assert value_of(await here.cache.get("replaced")) == b"new"

    asyncio.run(use())


def scripts_run(server: RedisServer) -> int:
    """How many scripts the server has been asked to run by their digests."""
    with redis.Redis.from_url(server.url) as client:
        statistics: Any = client.info("commandstats")
    return int(statistics["cmdstat_evalsha"]["calls"])


@asynccontextmanager
async def losing_answers(server: RedisServer) -> AsyncIterator[tuple[str, Any]]:
    """A relay before the server; when told to, it waits for the next answer and closes the connection instead."""
    to_lose = 0
    writers: list[asyncio.StreamWriter] = []

    def lose_next() -> None:
        nonlocal to_lose
        to_lose = 1

    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal to_lose
        server_reader, server_writer = await asyncio.open_connection("127.0.0.1", server.port)
        writers.extend((writer, server_writer))
        while request := await reader.read(2**16):
            server_writer.write(request)
            answer = await server_reader.read(2**16)
            if to_lose:
                to_lose = 0
                break
            writer.write(answer)
        for each in (writer, server_writer):
            each.close()

    listening = await asyncio.start_server(relay, "127.0.0.1", 0)
    try:
        yield f"redis://127.0.0.1:{listening.sockets[0].getsockname()[1]}/0", lose_next
    finally:
        listening.close()
        for writer in writers:
            writer.close()
        await asyncio.gather(*(writer.wait_closed() for writer in writers), return_exceptions=True)


# -- full, read-only --------------------------------------------------------------------------------------------------


def test_a_full_server_refuses_writes_and_keeps_what_it_has(server: RedisServer) -> None:
    async def use() -> None:
        async with place(server.url) as here:
            version = await here.cache.set("key", b"old", TAGGED)
            untagged = await here.cache.set("untagged", b"old", SLIDING)
            await fill_memory(here)

            for key, options in (("key", TAGGED), ("untagged", SLIDING), ("key", CacheEntryOptions(tag="blue"))):
                with pytest.raises(CacheError):
                    await here.cache.set(key, bytes(2**14), options)
            for key in ("new", "new tagged"):
                with pytest.raises(CacheError):
                    await here.cache.add(key, b"", TAGGED if key == "new tagged" else SLIDING)

            assert await here.listed("red") == ["key"]
            assert await here.members("red") == 1
            assert await here.listed("blue") == []
            for key, written in (("key", version), ("untagged", untagged)):
                entry = await here.cache.get(key)
                assert entry is not None
                assert (entry.value, entry.version) == (b"old", written)

    asyncio.run(use())


def test_a_full_server_still_lets_entries_be_read_slid_and_removed(server: RedisServer) -> None:
    async def use() -> None:
        async with place(server.url) as here:
            await here.cache.set("key", b"value", SLIDING)
            await fill_memory(here)
            before = await here.cache.get("key", refresh=False)
            await asyncio.sleep(0.01)

            after = await here.cache.get("key")

            assert before is not None
            assert after is not None
            assert after.expires is not None
            assert before.expires is not None
            assert after.expires > before.expires
            assert await here.cache.refresh("key") is True
            assert await here.cache.remove("key") is True

    asyncio.run(use())


async def fill_memory(here: Place) -> None:
    """Let the server find that it has no memory left, which it refuses to make by forgetting entries."""
    await here.client.config_set("maxmemory-policy", "noeviction")
    await here.client.config_set("maxmemory", 1)


def test_a_replica_refuses_writes_and_lets_entries_be_read(server: RedisServer) -> None:
    async def use() -> None:
        async with place(server.url) as here:
            await here.cache.set("key", b"value", SLIDING)
            await here.client.config_set("repl-diskless-sync-delay", "0")
            await here.client.execute_command("REPLICAOF", "127.0.0.1", "1")
            try:
                for call in (here.cache.set("key", b"new", SLIDING), here.cache.get("key"), here.cache.remove("key")):
                    with pytest.raises(CacheError):
                        await call
                entry = await here.cache.get("key", refresh=False)
            finally:
                await here.client.execute_command("REPLICAOF", "NO", "ONE")

            assert entry is not None
            assert entry.value == b"value"

    asyncio.run(use())


# -- killed in the middle ---------------------------------------------------------------------------------------------


@pytest.fixture
def durable_server() -> Iterator[RedisServer]:
    yield from running(RedisServer(appendonly=True))


def test_a_server_killed_under_load_has_stored_every_entry_whole_and_indexed(durable_server: RedisServer) -> None:
    async def use() -> None:
        async with place(durable_server.url) as here:
            stop = False

            async def work(number: int) -> None:
                tag = f"tag{number % 4}"
                options = CacheEntryOptions(sliding=timedelta(hours=1), tag=tag)
                turn = 0
                with suppress(CacheError):
                    while not stop:
                        turn += 1
                        key = f"{tag}.{number}.{turn % 50}"
                        version = await here.cache.add(key, b"%d" % turn, options)
                        if version is None:
                            await here.cache.replace(key, bytes(turn), options)
                        await here.cache.get(key)

            workers = [asyncio.create_task(work(number)) for number in range(16)]
            await asyncio.sleep(0.7)
            durable_server.kill()
            stop = True
            await asyncio.gather(*workers)
            await asyncio.to_thread(durable_server.start)
            await forget_connections(here)

            names = await here.names()
            keys = {name for name in names if not name.startswith("tag:")}
            assert len(keys) > 16
            for name in names:
                assert await here.client.pttl(here.name(name)) > 0, "a key without an end"
            for number in range(4):
                expected = sorted(key for key in keys if key.startswith(f"tag{number}."))
                assert await here.listed(f"tag{number}") == expected
            for key in keys:
                assert await here.cache.get(key) is not None

    asyncio.run(use())


def test_nothing_is_stored_of_a_write_that_is_refused(server: RedisServer) -> None:
    async def use() -> None:
        async with place(server.url) as here:
            await here.cache.set("key", b"old", FOREVER)

            assert await here.cache.add("key", b"new", TAGGED) is None
            assert await here.cache.replace("key", b"new", TAGGED, version=1) is None
            assert await here.cache.replace("missing", b"new", TAGGED) is None

            assert await here.names() == {"key"}
            assert await here.client.pttl(here.name("key")) == -1

    asyncio.run(use())
