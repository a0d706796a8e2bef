"""RedisCache on one real server: the contract, trips, the server's clock, what is stored."""

import asyncio
import struct
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import redis
from redis.asyncio import Redis

from tests.caching.redis_support import FOREVER, SLIDING, TAGGED, OnRedis, Place, commands_of, place
from tests.services import service_url
from tornado_session.caching.contract import CacheEntryOptions
from tornado_session.caching.redis import RedisCache
from tornado_session.errors import CacheError, ConfigurationError
from tornado_session.testing.servers.redis import RedisServer


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with service_url("REDIS_URL", RedisServer) as found:
        yield found


class TestRedisCache(OnRedis):
    @pytest.fixture(autouse=True)
    def _use_server(self, url: str) -> None:
        self.url = url


class TestRedisCacheOnAClientThatDecodes(TestRedisCache):
    def make_client(self) -> Any:
        return Redis.from_url(self.url, decode_responses=True, protocol=2)


class TestRedisCacheThroughValkeyPy(TestRedisCache):
    def make_client(self) -> Any:
        valkey = pytest.importorskip("valkey.asyncio")
        return valkey.Valkey.from_url(self.url.replace("redis:", "valkey:"))


def test_the_server_is_one_that_is_supported(url: str, record_testsuite_property: Any) -> None:
    async def ask() -> dict[str, Any]:
        async with place(url) as here:
            return dict(await here.client.info("server"))

    server = asyncio.run(ask())
    version = server.get("valkey_version") or server["redis_version"]
    record_testsuite_property("redis server", version)
    print(f"RedisCache was tested on {server.get('server_name', 'redis')} {version}")

    assert tuple(map(int, version.split(".")[:2])) >= (6, 2)


# -- trips ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [SLIDING, TAGGED], ids=["untagged", "tagged"])
def test_every_call_is_one_command(url: str, options: CacheEntryOptions) -> None:
    async def use() -> None:
        async with place(url) as here:
            cache = here.cache
            await asyncio.gather(cache.remove("key"), cache.get("key"), cache.set("key", b"", options))  # load scripts
            version = await cache.set("key", b"", options)
            for call in (
                lambda: cache.get("key"),
                lambda: cache.get("key", refresh=False),
                lambda: cache.refresh("key"),
                lambda: cache.replace("key", b"value", options, version=version),
                lambda: cache.set("key", b"value", options),
                lambda: cache.remove("key"),
                lambda: cache.add("key", b"value", options),
            ):
                before = await trips(here)
                assert await call()
                assert await trips(here) - before == 1

    asyncio.run(use())


def test_parallel_calls_share_commands(url: str) -> None:
    async def use() -> None:
        async with place(url) as here:
            cache = here.cache
            await asyncio.gather(*(cache.set(f"key{number}", b"", SLIDING) for number in range(64)))
            before = await trips(here)

            versions = await asyncio.gather(
                *(cache.add(f"new{number}", b"%d" % number, TAGGED) for number in range(64))
            )
            entries = await asyncio.gather(*(cache.get(f"new{number}") for number in range(64)))

            assert all(versions)
            assert [entry.value for entry in entries if entry] == [b"%d" % number for number in range(64)]
            assert await trips(here) - before <= 8

    asyncio.run(use())


def test_reading_an_entry_that_was_read_lately_writes_nothing_when_an_interval_is_set(url: str) -> None:
    async def use() -> None:
        async with place(url) as here:
            lazy = CacheEntryOptions(sliding=timedelta(minutes=20), refresh_interval=timedelta(minutes=1))
            await here.cache.set("key", b"", lazy)
            before = await commands_of(here.client)

            assert await here.cache.get("key")

            after = await commands_of(here.client)
            assert after.get("pexpireat") == before.get("pexpireat")
            assert after.get("setrange") == before.get("setrange")

    asyncio.run(use())


async def trips(here: Place) -> int:
    counts = await commands_of(here.client)
    return counts.get("evalsha", 0) + counts.get("eval", 0)


# -- scripts ----------------------------------------------------------------------------------------------------------


def test_calls_go_on_after_the_server_has_forgotten_the_scripts(url: str) -> None:
    async def use() -> None:
        async with place(url) as here:
            cache = here.cache
            for number in range(3):
                await cache.set(f"key{number}", b"value", TAGGED)
            await here.client.script_flush()

            entry = await cache.get("key0")
            assert entry is not None
            await here.client.script_flush()
            mixed = await asyncio.gather(
                cache.get("key0"), cache.get("key1"), cache.add("new", b"", FOREVER), cache.remove("key2")
            )

            assert all(mixed)
            await here.client.script_flush()
            assert await here.listed("red") == ["key0", "key1"]

    asyncio.run(use())


def test_values_of_any_bytes_are_kept_apart_in_the_commands_that_parallel_calls_share(url: str) -> None:
    small = [
        b"",
        b"\0",
        b"\0\0\0\1s",
        b"s\0\0\0\5n",
        b"nnnn",
        b"\r\n$-1\r\n",
        bytes(range(256)),
        b"\xff" * 16_000,
    ]
    values = [*small, b"\xff" * 70_000, bytes(5 * 2**20)]

    async def use() -> None:
        async with place(url) as here:
            cache = here.cache
            await asyncio.gather(*(cache.set(f"key{number}", value, SLIDING) for number, value in enumerate(values)))

            for stored in (small, values):
                keys = [key for number in range(len(stored)) for key in (f"key{number}", f"missing{number}")]
                entries = await asyncio.gather(cache.get("missing"), *map(cache.get, keys))
                assert [None if entry is None else entry.value for entry in entries[1::2]] == stored
                assert entries[::2] == [None] * (len(stored) + 1)

            removed = await asyncio.gather(*(cache.remove(f"key{number}") for number in range(-3, len(values))))
            assert removed == [False] * 3 + [True] * len(values)

    asyncio.run(use())


def test_large_values_are_not_copied_again_and_again_within_the_server(url: str) -> None:
    size, number = 2**20, 32

    async def use() -> None:
        async with place(url) as here:
            cache = here.cache
            await here.client.script_flush()
            for each in range(number + 1):
                await cache.set(f"key{each}", bytes(size), SLIDING)
            before = (await here.client.info("memory"))["used_memory_lua"]

            await asyncio.gather(*(cache.get(f"key{each}") for each in range(number + 1)))

            after = (await here.client.info("memory"))["used_memory_lua"]
            assert after - before < 2 * number * size

    asyncio.run(use())


def test_one_bad_entry_fails_none_of_the_calls_beside_it(url: str) -> None:
    async def use() -> None:
        async with place(url) as here:
            cache = here.cache
            await here.client.rpush(here.name("list"), "x")
            await here.client.set(here.name("foreign"), "what another program stored")
            for number in range(4):
                await cache.set(f"key{number}", b"%d" % number, SLIDING)

            results: list[Any] = await asyncio.gather(
                *(cache.get(f"key{number}") for number in range(4)),
                *(cache.get(key) for key in ("list", "foreign")),
                *(cache.set(key, b"", SLIDING) for key in ("other", "list", "foreign")),
                return_exceptions=True,
            )

            assert [result.value for result in results[:4]] == [b"0", b"1", b"2", b"3"]
            assert [type(result) for result in results[4:]] == [CacheError, CacheError, int, CacheError, CacheError]
            assert await here.client.get(here.name("foreign")) == b"what another program stored"

    asyncio.run(use())


def test_an_error_names_neither_key_nor_value_and_chains_that_of_the_driver(url: str) -> None:
    async def use() -> CacheError:
        async with place(url) as here:
            await here.client.rpush(here.name("secret-key"), "x")
            with pytest.raises(CacheError) as caught:
                await here.cache.set("secret-key", b"secret-value", SLIDING)
            return caught.value

    error = asyncio.run(use())

    assert isinstance(error.__cause__, redis.RedisError)
    assert "secret" not in f"{error} {error.__cause__}"


# -- the end of an entry ----------------------------------------------------------------------------------------------


def test_an_entry_that_has_ended_is_not_returned_though_redis_still_has_it(url: str) -> None:
    async def use() -> None:
        async with place(url) as here:
            await here.cache.set("key", b"old", CacheEntryOptions(relative=timedelta(milliseconds=500)))
            await here.client.persist(here.name("key"))
            await asyncio.sleep(0.51)

            assert await here.client.exists(here.name("key"))
            assert await here.cache.get("key", refresh=False) is None
            assert await here.cache.refresh("key") is False
            assert await here.cache.replace("key", b"new", FOREVER) is None
            assert await here.cache.remove("key") is False
            assert await here.cache.add("key", b"new", FOREVER) is not None

    asyncio.run(use())


@pytest.mark.parametrize("microseconds", [1_300_500, 2_234_567, 86_400_000_001])
def test_a_duration_is_kept_to_the_microsecond_and_redis_keeps_the_key_until_then(url: str, microseconds: int) -> None:
    async def use() -> None:
        async with place(url) as here:
            duration = timedelta(microseconds=microseconds)
            for key, options in (
                ("relative", CacheEntryOptions(relative=duration)),
                ("sliding", CacheEntryOptions(sliding=duration)),
                ("both", CacheEntryOptions(sliding=timedelta(days=9), relative=duration)),
            ):
                before = await server_time(here.client)
                await here.cache.set(key, b"", options)
                after = await server_time(here.client)

                entry = await here.cache.get(key, refresh=False)

                assert entry is not None
                assert entry.expires is not None
                assert entry.refreshed is not None
                assert entry.expires - entry.refreshed == duration
                assert before <= entry.refreshed <= after
                assert timedelta(0) <= await end_of_key(here, key) - entry.expires < timedelta(milliseconds=1)

            slid = await here.cache.get("sliding")
            assert slid is not None
            assert slid.expires is not None
            assert timedelta(0) <= await end_of_key(here, "sliding") - slid.expires < timedelta(milliseconds=1)

    asyncio.run(use())


async def end_of_key(here: Place, key: str) -> datetime:
    """When Redis itself lets a key go. (It could be asked for that only since 7.0.)"""
    script = "return {redis.call('TIME'), redis.call('PTTL', KEYS[1]), redis.call('TIME')}"
    while True:
        before, left, after = await here.client.eval(script, 1, here.name(key))
        first, second = (int(seconds) * 1000 + int(microseconds) // 1000 for seconds, microseconds in (before, after))
        if first == second:
            return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=first + left)


def test_an_absolute_end_is_kept_to_the_microsecond(url: str) -> None:
    async def use() -> None:
        async with place(url) as here:
            end = datetime(2200, 2, 3, 4, 5, 6, 789_123, tzinfo=UTC)
            await here.cache.set("key", b"", CacheEntryOptions(absolute=end, sliding=timedelta(days=999_999)))

            entry = await here.cache.get("key")

            assert entry is not None
            assert entry.expires == end

    asyncio.run(use())


def test_an_end_beyond_what_a_datetime_can_tell_is_far_away(url: str) -> None:
    async def use() -> None:
        async with place(url) as here:
            await here.cache.set("key", b"value", CacheEntryOptions(sliding=timedelta.max, tag="red"))

            entry = await here.cache.get("key")

            assert entry is not None
            assert entry.expires is None
            assert await here.client.pttl(here.name("key")) > 10**12

    asyncio.run(use())


def test_reading_tells_when_the_entry_was_read_before_now(url: str) -> None:
    async def use() -> None:
        async with place(url) as here:
            await here.cache.set("key", b"", SLIDING)
            first = await here.cache.get("key")
            await asyncio.sleep(0.02)
            peeked = await here.cache.get("key", refresh=False)
            second = await here.cache.get("key")

            assert first is not None
            assert peeked is not None
            assert second is not None
            assert peeked.refreshed == first.refreshed
            assert second.refreshed is not None
            assert first.refreshed is not None
            assert second.refreshed - first.refreshed >= timedelta(milliseconds=20)

    asyncio.run(use())


async def server_time(client: Any) -> datetime:
    seconds, microseconds = await client.time()
    return datetime.fromtimestamp(seconds, UTC) + timedelta(microseconds=microseconds)


# -- what is stored ---------------------------------------------------------------------------------------------------


def test_an_entry_is_one_key_under_the_prefix(url: str) -> None:
    async def use() -> None:
        async with place(url) as here:
            await here.cache.set("key", b"value", SLIDING)
            await here.cache.get("key")

            assert await here.names() == {"key"}

    asyncio.run(use())


def test_an_entry_takes_little_more_than_its_key_and_its_value(url: str) -> None:
    async def use() -> int:
        async with place(url) as here:
            await here.cache.set("k" * 64, b"v" * 300, SLIDING)
            return int(await here.client.memory_usage(here.name("k" * 64)))

    assert asyncio.run(use()) - 64 - 300 <= 250


def test_caches_with_different_prefixes_do_not_see_each_other(url: str) -> None:
    async def use() -> None:
        async with place(url) as one, place(url) as other:
            await one.cache.set("key", b"one", TAGGED)

            assert await other.cache.get("key") is None
            assert await other.listed("red") == []
            assert await other.cache.remove("key") is False
            assert await one.cache.get("key") is not None

    asyncio.run(use())


def test_keys_that_look_like_an_index_are_keys(url: str) -> None:
    async def use() -> None:
        async with place(url) as here:
            keys = ["key:red", "key:tag:red", "red", "tag:", "tag:red"]
            for key in keys:
                await here.cache.set(key, key.encode(), TAGGED)

            assert await here.listed("red") == keys
            for key in keys:
                entry = await here.cache.get(key)
                assert entry is not None
                assert entry.value == key.encode()

    asyncio.run(use())


@pytest.mark.parametrize("version", [-1, 0, 2**64, 2**80])
def test_a_version_that_no_entry_can_have_replaces_nothing(url: str, version: int) -> None:
    async def use() -> None:
        async with place(url) as here:
            await here.cache.set("key", b"old", FOREVER)

            assert await here.cache.replace("key", b"new", FOREVER, version=version) is None

            entry = await here.cache.get("key")
            assert entry is not None
            assert entry.value == b"old"

    asyncio.run(use())


def test_a_version_is_told_apart_to_the_last_of_its_64_bits(url: str) -> None:
    async def use() -> None:
        async with place(url) as here:
            await here.cache.set("key", b"old", FOREVER)
            await here.client.setrange(here.name("key"), 9, struct.pack(">Q", 2**62 + 1))

            for version in (2**62, 2**62 + 2):
                assert await here.cache.replace("key", b"new", FOREVER, version=version) is None
            assert await here.cache.replace("key", b"new", FOREVER, version=2**62 + 1) is not None

    asyncio.run(use())


# -- mistakes ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "client", [redis.Redis(), object(), None, "redis://127.0.0.1"], ids=lambda it: type(it).__name__
)
def test_what_is_no_asynchronous_client_is_refused_at_once(client: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"redis\.asyncio\.Redis\.from_url"):
        RedisCache(client)


def test_a_prefix_that_is_no_text_is_refused_at_once(url: str) -> None:
    with pytest.raises(ConfigurationError, match="prefix must be a str, not bytes"):
        RedisCache(Redis.from_url(url), b"session:")  # type: ignore[arg-type]


def test_a_cache_shows_its_prefix_and_no_password(url: str) -> None:
    client = Redis.from_url(url, password="open sesame")

    assert repr(RedisCache(client, "shop:")) == "<RedisCache with prefix 'shop:'>"


def test_a_client_that_is_connected_in_another_loop_is_a_clear_error(url: str) -> None:
    client = Redis.from_url(url)
    cache = RedisCache(client)
    first, second = asyncio.new_event_loop(), asyncio.new_event_loop()
    try:
        first.run_until_complete(cache.get("key"))

        with pytest.raises(CacheError, match="a client and a cache for each loop"):
            second.run_until_complete(cache.get("key"))
        assert second.run_until_complete(cache.get("key")) is None

        second.run_until_complete(client.aclose())
        first.run_until_complete(asyncio.sleep(0.01))  # in which its connection is closed
    finally:
        first.close()
        second.close()
