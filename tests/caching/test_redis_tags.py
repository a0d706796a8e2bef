"""The indexes of tags in Redis: complete, cleaned as they are met, gone with their last entry."""

import asyncio
import struct
from collections.abc import Awaitable, Callable, Iterator
from datetime import timedelta
from functools import partial
from typing import Any

import pytest

from tests.caching.redis_support import FOREVER, SLIDING, TAGGED, Place, commands_of, place
from tests.services import service_url
from tornado_session.caching.batching import Batcher
from tornado_session.caching.contract import CacheEntryOptions
from tornado_session.caching.redis import RedisCache
from tornado_session.testing.servers.redis import RedisServer

DAY = timedelta(days=1)
TOKEN_AT, PROMISE_AT = 41, 49  # as drawn in entry.lua


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with service_url("REDIS_URL", RedisServer) as found:
        yield found


@pytest.fixture(params=[False, True], ids=["one slot", "sharded"])
def sharded(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


# -- indexes stay clean -----------------------------------------------------------------------------------------------


def test_an_entry_without_a_tag_is_in_no_index(url: str, sharded: bool) -> None:
    async def use() -> None:
        async with place(url, sharded=sharded) as here:
            await here.cache.set("key", b"", SLIDING)
            await here.cache.replace("key", b"", SLIDING)

            assert await here.names() == {"key"}

    asyncio.run(use())


def test_dead_members_are_removed_when_they_are_met(url: str) -> None:
    async def use() -> None:
        async with place(url) as here:
            for key in ("live", "removed", "moved", "untagged"):
                await here.cache.set(key, b"", TAGGED)
            await here.cache.set("ended", b"", CacheEntryOptions(relative=timedelta(milliseconds=20), tag="red"))
            await here.cache.remove("removed")
            await here.cache.set("moved", b"", CacheEntryOptions(tag="blue"))
            await here.cache.set("untagged", b"", FOREVER)
            await asyncio.sleep(0.03)

            assert await here.listed("red") == ["live"]
            assert await here.members("red") == 1

    asyncio.run(use())


def test_an_index_is_gone_when_its_last_dead_member_was_met(url: str) -> None:
    async def use() -> None:
        async with place(url) as here:
            await here.cache.set("key", b"", TAGGED)
            await here.cache.remove("key")

            assert await here.listed("red") == []
            assert await here.names() == set()

    asyncio.run(use())


def test_members_whose_promise_has_passed_go_when_another_is_added(url: str, sharded: bool) -> None:
    async def use() -> None:
        async with place(url, sharded=sharded) as here:
            long_ago = {struct.pack(">d", number) + b"dead": number for number in range(1, 51)}
            await here.client.zadd(here.name("tag:red"), long_ago)

            await here.cache.set("key", b"", TAGGED)

            assert await here.members("red") == 1

    asyncio.run(use())


def test_storing_an_entry_again_under_its_tag_adds_no_member(url: str, sharded: bool) -> None:
    async def use() -> None:
        async with place(url, sharded=sharded) as here:
            await here.cache.set("key", b"", TAGGED)
            before = await commands_of(here.client)

            for _ in range(5):
                await here.cache.replace("key", b"", TAGGED)
                await here.cache.get("key")

            after = await commands_of(here.client)
            assert after["zadd"] == before["zadd"]
            assert await here.members("red") == 1

    asyncio.run(use())


def test_members_that_are_too_young_are_left_alone_where_entries_come_later(url: str) -> None:
    async def use() -> None:
        async with place(url, sharded=True) as here:
            present = await now(here)
            young, old = (struct.pack(">d", (present - age) * 1e6) + b"dead" for age in (1, 120))
            far = (present + 86400) * 1e6
            await here.client.zadd(here.name("tag:red"), {young: far, old: far})

            assert await here.listed("red") == []

            assert await here.client.zrange(here.name("tag:red"), 0, -1) == [young]

    asyncio.run(use())


def test_an_entry_that_came_back_before_its_dead_member_was_removed_stays_in_the_index(url: str) -> None:
    async def use() -> None:
        async with place(url) as here:
            await here.cache.set("key", b"", TAGGED)
            await here.cache.remove("key")

            async def come_back(_: Any) -> None:
                await here.cache.set("key", b"back", TAGGED)

            after_the_first_reply(here, b"peek", come_back)

            assert await here.listed("red") == []
            assert await here.listed("red") == ["key"]
            assert await here.members("red") == 1

    asyncio.run(use())


# -- indexes are complete ---------------------------------------------------------------------------------------------


def test_a_tag_of_many_entries_yields_each_once(url: str, sharded: bool) -> None:
    async def use() -> None:
        async with place(url, sharded=sharded) as here:
            keys = [f"key{number:03}" for number in range(300)]
            await asyncio.gather(*(here.cache.set(key, key.encode(), TAGGED) for key in keys))

            assert await here.listed("red") == keys

    asyncio.run(use())


def test_entries_that_are_stored_anew_while_they_are_listed_are_still_seen(url: str, sharded: bool) -> None:
    async def use() -> None:
        async with place(url, sharded=sharded) as here:
            keys = [f"key{number:03}" for number in range(200)]
            for key in keys:
                await here.cache.set(key, b"", CacheEntryOptions(relative=timedelta(minutes=1), tag="red"))

            seen = []
            async for key, _ in here.cache.find("red"):
                seen.append(key)
                await here.cache.set(key, b"", CacheEntryOptions(relative=3 * DAY, tag="red"))

            assert sorted(seen) == keys
            assert await here.listed("red") == keys

    asyncio.run(use())


def test_an_index_lives_longer_than_its_entries_and_not_for_ever(url: str, sharded: bool) -> None:
    async def use() -> None:
        async with place(url, sharded=sharded) as here:
            await here.cache.set("long", b"", CacheEntryOptions(relative=10 * DAY, tag="red"))
            await here.cache.set("short", b"", CacheEntryOptions(relative=1 * DAY, tag="red"))

            assert 10 * DAY < await life(here, "tag:red") < 12 * DAY

    asyncio.run(use())


def test_an_index_has_no_end_while_an_entry_in_it_has_none(url: str, sharded: bool) -> None:
    async def use() -> None:
        async with place(url, sharded=sharded) as here:
            await here.cache.set("short", b"", TAGGED)
            await here.cache.set("forever", b"", CacheEntryOptions(tag="red"))
            await here.cache.set("later", b"", TAGGED)
            assert await here.client.pttl(here.name("tag:red")) == -1

            await here.cache.set("short", b"", CacheEntryOptions(sliding=3 * DAY, tag="red"))
            assert await here.client.pttl(here.name("tag:red")) == -1

    asyncio.run(use())


def test_an_entry_never_slides_beyond_what_the_index_has_promised(url: str, sharded: bool) -> None:
    async def use() -> None:
        async with place(url, sharded=sharded) as here:
            for key, slide in (("get", here.cache.get), ("refresh", here.cache.refresh)):
                await here.cache.set(key, b"value", TAGGED)
                await let_the_promise_run_out(here, key)

                assert await slide(key)

                assert await life(here, key) > timedelta(minutes=19)
                assert await promise(here, key) > await now(here) + 86400
                assert await life(here, "tag:red") > DAY
            assert await here.listed("red") == ["get", "refresh"]

    asyncio.run(use())


def test_an_entry_is_indexed_again_only_when_its_promise_runs_out(url: str, sharded: bool) -> None:
    async def use() -> None:
        async with place(url, sharded=sharded) as here:
            await here.cache.set("key", b"value", TAGGED)
            await let_the_promise_run_out(here, "key")
            before = await commands_of(here.client)

            for _ in range(5):
                assert await here.cache.get("key")

            after = await commands_of(here.client)
            assert after["zadd"] - before["zadd"] == 1
            if not sharded:
                assert await here.members("red") == 1, "the former member was left behind"

    asyncio.run(use())


def test_parallel_calls_get_their_answers_beside_one_that_has_to_be_indexed_again(url: str, sharded: bool) -> None:
    async def use() -> None:
        async with place(url, sharded=sharded) as here:
            cache = here.cache
            for key in ("lone", "plain", "empty"):
                await cache.set(key, b"" if key == "empty" else key.encode(), SLIDING)
            await cache.set("tagged", b"tagged", TAGGED)

            for _ in range(2):
                await let_the_promise_run_out(here, "tagged")
                answers = await asyncio.gather(
                    cache.get("lone"),
                    cache.get("plain"),
                    cache.get("tagged"),
                    cache.get("missing"),
                    cache.refresh("plain"),
                    cache.refresh("missing"),
                    cache.get("empty"),
                )

                found = [answer if isinstance(answer, bool) else answer and answer.value for answer in answers]
                assert found == [b"lone", b"plain", b"tagged", None, True, False, b""]
            assert await here.listed("red") == ["tagged"]

    asyncio.run(use())


def test_an_entry_whose_tag_changes_while_it_is_indexed_is_indexed_under_the_new_one(url: str, sharded: bool) -> None:
    async def use() -> None:
        async with place(url, sharded=sharded) as here:
            await here.cache.set("key", b"red", TAGGED)
            await let_the_promise_run_out(here, "key")

            other = RedisCache(here.client, here.prefix, sharded=sharded)

            async def change_the_tag(_: Any) -> None:
                await other.set("key", b"blue", CacheEntryOptions(sliding=DAY, tag="blue"))
                await let_the_promise_run_out(here, "key")

            after_the_first_reply(here, b"read", change_the_tag)
            entry = await here.cache.get("key")

            assert entry is not None
            assert entry.value == b"blue"
            for _ in range(2):
                assert await here.listed("red") == []
                assert await here.listed("blue") == ["key"]

    asyncio.run(use())


def test_an_entry_that_comes_too_late_after_its_member_is_indexed_again(url: str) -> None:
    async def use() -> None:
        async with place(url, sharded=True) as here:
            await here.cache.set("key", b"old", SLIDING)

            async def let_a_minute_pass(replies: list[Any]) -> None:
                token, far = struct.unpack(">dd", replies[0])
                replies[0] = struct.pack(">dd", token - 60e6, far)

            after_the_first_reply(here, here.name("key").encode(), let_a_minute_pass)
            await here.cache.set("key", b"new", TAGGED)

            assert await here.members("red") == 2
            assert await here.listed("red") == ["key"]
            (token,) = struct.unpack(">d", await here.client.getrange(here.name("key"), TOKEN_AT, TOKEN_AT + 7))
            assert abs(token / 1e6 - await now(here)) < 10

    asyncio.run(use())


def after_the_first_reply(here: Place, argument: bytes, act: Callable[[list[Any]], Awaitable[None]]) -> None:
    """Have ``act`` done between the first call with this argument and the next step, with the replies to change."""
    cache: Any = here.cache
    call_all, send = cache._runner.call_all, cache._send

    async def call_and_act(calls: Any) -> Any:
        replies = await call_all(calls)
        _, _, arguments = calls[0]
        if arguments[0] == argument:
            cache._runner.call_all, cache._send = call_all, send
            await act(replies)
        return replies

    cache._runner.call_all, cache._send = call_and_act, partial(Batcher().run, call_and_act)


def test_parallel_writers_of_one_tag_lose_no_entry(url: str, sharded: bool) -> None:
    async def use() -> None:
        async with place(url, sharded=sharded) as one, place(url, sharded=sharded) as other:
            other.prefix = one.prefix
            other.cache._prefix = one.cache._prefix

            async def write(here: Place, number: int) -> None:
                await here.cache.set(f"key{number}", b"", CacheEntryOptions(tag=f"tag{number % 3}"))
                await here.cache.set(f"key{number}", b"", TAGGED)

            writers = [write(here, number) for number in range(20) for here in (one, other)]
            await asyncio.gather(*writers, *(one.listed("red") for _ in range(10)))

            assert await one.listed("red") == sorted(f"key{number}" for number in range(20))
            for number in range(3):
                assert await one.listed(f"tag{number}") == []

    asyncio.run(use())


async def life(here: Place, rest: str) -> timedelta:
    return timedelta(milliseconds=await here.client.pttl(here.name(rest)))


async def now(here: Place) -> float:
    seconds, microseconds = await here.client.time()
    return float(seconds + microseconds / 1e6)


async def promise(here: Place, key: str) -> float:
    (microseconds,) = struct.unpack(">d", await here.client.getrange(here.name(key), PROMISE_AT, PROMISE_AT + 7))
    return float(microseconds / 1e6)


async def let_the_promise_run_out(here: Place, key: str) -> None:
    """Make the entry's promise, its member's score and the index end a minute from now, as after a day of reading."""
    soon = (await now(here) + 60) * 1e6
    await here.client.setrange(here.name(key), PROMISE_AT, struct.pack(">d", soon))
    for index in ("tag:red", "tag:blue"):
        for member in await here.client.zrange(here.name(index), 0, -1):
            await here.client.zadd(here.name(index), {member: soon})
        await here.client.pexpire(here.name(index), timedelta(minutes=1))
