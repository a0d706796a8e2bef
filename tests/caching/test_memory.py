"""MemoryCache keeps the contract, its bounds, and the order in which entries go."""

import asyncio
import gc
import logging
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta, timezone
from random import Random
from typing import Any

import pytest
import tornado.process

from tornado_session import CacheEntryOptions, CacheError, ConfigurationError, MemoryCache
from tornado_session.caching.contract import DistributedCache
from tornado_session.caching.memory_table import ENTRY_OVERHEAD, Entry, MemoryTable
from tornado_session.testing import CacheContract, FakeClock

FOREVER = CacheEntryOptions()
MINUTE = timedelta(minutes=1)
FULL = "MemoryCache is full"


class TestMemoryCache(CacheContract):
    async def make_cache(self) -> DistributedCache:
        return MemoryCache(clock=self.clock)


def run(coroutine: Coroutine[Any, Any, Any]) -> Any:
    return asyncio.run(coroutine)


def room_for(entries: int, size: int = 1) -> int:
    """Room for so many entries of a key of one character and a value of ``size`` bytes."""
    return entries * (1 + size + ENTRY_OVERHEAD)


async def keys_in(cache: MemoryCache, keys: str) -> str:
    """Which of the keys are there; does not change the order of use, for it asks the table."""
    return "".join(key for key in keys if cache._table.find(key, cache._clock()))


# -- who goes first ---------------------------------------------------------------------------------------------------


async def fill(cache: MemoryCache, keys: str, options: CacheEntryOptions = FOREVER) -> None:
    for key in keys:
        await cache.set(key, b"v", options)


def test_the_least_recently_used_go_first_one_by_one_and_the_new_one_stays() -> None:
    async def story() -> None:
        cache = MemoryCache(max_size=room_for(3))
        await fill(cache, "abc")

        for new, expected in (("d", "bcd"), ("e", "cde"), ("f", "def")):
            await fill(cache, new)
            assert await keys_in(cache, "abcdef") == expected

    run(story())


async def found(cache: MemoryCache, tag: str = "t") -> list[str]:
    return [key async for key, _ in cache.find(tag)]


@pytest.mark.parametrize(
    ("use", "gone"),
    [
        (lambda cache: cache.get("a"), "b"),
        (lambda cache: cache.get("a", refresh=False), "b"),
        (lambda cache: cache.refresh("a"), "b"),
        (lambda cache: cache.set("a", b"w", FOREVER), "b"),
        (lambda cache: cache.replace("a", b"w", FOREVER), "b"),
        (lambda cache: cache.set("a", b"w", CacheEntryOptions(tag="t")), "b"),
        (lambda cache: cache.add("a", b"w", FOREVER), "a"),
        (lambda cache: cache.replace("a", b"w", FOREVER, version=10**9), "a"),
        (lambda cache: cache.get("missing"), "a"),
        (found, "a"),
    ],
    ids=[
        "get",
        "get without refresh",
        "refresh",
        "set",
        "replace",
        "set with its tag",
        "add in vain",
        "replace in vain",
        "miss",
        "find",
    ],
)
def test_reading_and_writing_are_uses_and_looking_is_none(use: Any, gone: str) -> None:
    async def story() -> None:
        cache = MemoryCache(max_size=room_for(3) + 3)
        await fill(cache, "abc", CacheEntryOptions(tag="t"))
        await use(cache)

        await cache.set("d", b"v", FOREVER)

        assert await keys_in(cache, "abcd") == "abcd".replace(gone, "")

    run(story())


def test_expired_entries_go_before_live_ones_and_without_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    async def story() -> None:
        clock = FakeClock()
        cache = MemoryCache(max_size=room_for(40), clock=clock)
        await fill(cache, "a")
        for number in range(39):
            await cache.set(chr(200 + number), b"v", CacheEntryOptions(relative=MINUTE))
        clock.advance(MINUTE + timedelta(seconds=1))

        await fill(cache, "bcdefghij")

        assert await keys_in(cache, "abcdefghij") == "abcdefghij"

    run(story())
    assert FULL not in caplog.text


def test_expired_entries_make_room_for_a_large_value_before_live_ones_do(caplog: pytest.LogCaptureFixture) -> None:
    async def story() -> None:
        clock = FakeClock()
        cache = MemoryCache(max_size=room_for(40), clock=clock)
        await fill(cache, "a")
        for number in range(39):
            await cache.set(chr(200 + number), b"v", CacheEntryOptions(relative=MINUTE))
        clock.advance(2 * MINUTE)

        await cache.set("b", bytes(30 * (ENTRY_OVERHEAD + 2)), FOREVER)

        assert await keys_in(cache, "ab") == "ab"

    run(story())
    assert FULL not in caplog.text


@pytest.mark.parametrize("expired", [3, 8, 9, 11, 16, 40])
def test_as_long_as_expired_entries_make_the_room_no_live_one_goes(expired: int) -> None:
    async def story() -> None:
        clock = FakeClock()
        cache = MemoryCache(max_size=room_for(1 + expired), clock=clock)
        await fill(cache, "a")
        await fill(cache, "".join(chr(200 + number) for number in range(expired)), CacheEntryOptions(relative=MINUTE))
        clock.advance(2 * MINUTE)

        await cache.set("z", bytes(room_for(expired) - ENTRY_OVERHEAD - 1), FOREVER)

        assert await keys_in(cache, "az") == "az"
        assert repr(cache) == f"<MemoryCache with 2 entries, {room_for(1 + expired)} of {room_for(1 + expired)} bytes>"

    run(story())


@pytest.mark.parametrize(("before", "room"), [("removed", 8), ("used again", 3)])
def test_expired_entries_make_room_whatever_was_to_expire_before_them(before: str, room: int) -> None:
    async def story() -> None:
        clock = FakeClock()
        cache = MemoryCache(max_size=room_for(9), clock=clock)
        await fill(cache, "a")
        for number, key in enumerate("bcdef", start=1):
            await fill(cache, key, CacheEntryOptions(sliding=timedelta(seconds=number)))
        await fill(cache, "xyz", CacheEntryOptions(relative=MINUTE))
        for key in "bcdef":
            if before == "removed":
                await cache.remove(key)
            else:
                await fill(cache, key, CacheEntryOptions(sliding=10 * MINUTE))
        clock.advance(2 * MINUTE)

        await cache.set("k", bytes(room_for(room) - ENTRY_OVERHEAD - 1), FOREVER)

        assert await keys_in(cache, "ak") == "ak"

    run(story())


@pytest.mark.parametrize("value", [b"", b"v" * 1000])
def test_an_entry_that_is_written_over_counts_with_its_new_length(value: bytes) -> None:
    async def story() -> None:
        cache = MemoryCache()
        await fill(cache, "ab", CacheEntryOptions(tag="t"))

        await cache.set("a", value, CacheEntryOptions(tag="t"))

        assert cache._table.size == room_for(1) + room_for(1, len(value)) + 2
        await cache.remove("a")
        await cache.remove("b")
        assert cache._table.size == 0

    run(story())


def test_of_an_entry_that_was_replaced_nothing_is_counted_any_more() -> None:
    async def story() -> None:
        cache = MemoryCache(max_size=room_for(3))
        for _ in range(50):
            await fill(cache, "abc")

        assert await keys_in(cache, "abc") == "abc"
        assert cache._table.size == room_for(3)
        assert len(cache._table) == 3

    run(story())


def test_a_large_value_displaces_as_many_as_it_needs() -> None:
    async def story() -> None:
        cache = MemoryCache(max_size=room_for(5))
        await fill(cache, "abcde")

        await cache.set("f", bytes(2 * (ENTRY_OVERHEAD + 2)), FOREVER)

        assert await keys_in(cache, "abcdef") == "def"

    run(story())


@pytest.mark.parametrize("tag", [None, "t" * 100])
def test_keys_values_tags_and_bookkeeping_are_counted(tag: str | None) -> None:
    assert ENTRY_OVERHEAD == 500, "as the documentation has it"

    async def story() -> None:
        cache = MemoryCache()
        await cache.set("k" * 10, b"v" * 1000, CacheEntryOptions(tag=tag))

        assert cache._table.size == 1010 + ENTRY_OVERHEAD + len(tag or "")
        assert repr(cache) == f"<MemoryCache with 1 entries, {cache._table.size} of {200 * 2**20} bytes>"

        await cache.remove("k" * 10)
        assert cache._table.size == 0

    run(story())


@pytest.mark.parametrize("write", ["set", "add", "replace"])
def test_a_single_value_that_cannot_fit_is_a_cache_error_and_displaces_nothing(write: str) -> None:
    async def story() -> None:
        cache = MemoryCache(max_size=room_for(2))
        await fill(cache, "ab")
        options = CacheEntryOptions(tag="tag")
        most = room_for(2) - 1 - ENTRY_OVERHEAD - 3

        with pytest.raises(CacheError, match=f"a value of {most + 1} bytes does not fit a MemoryCache of"):
            await getattr(cache, write)("a", bytes(most + 1), options)
        assert await keys_in(cache, "ab") == "ab"

        assert await cache.set("a", bytes(most), options)
        assert await keys_in(cache, "ab") == "a"

    run(story())


@pytest.mark.parametrize("max_size", [0, -1, 1.5, "200", None, True])
def test_a_size_that_cannot_be_is_refused(max_size: Any) -> None:
    with pytest.raises(ConfigurationError, match="max_size is a positive number of bytes"):
        MemoryCache(max_size=max_size)


def test_the_smallest_size_is_one_byte_in_which_nothing_fits() -> None:
    cache = MemoryCache(max_size=1)

    with pytest.raises(CacheError, match="a value of 0 bytes does not fit a MemoryCache of 1 bytes"):
        run(cache.set("a", b"", FOREVER))


@pytest.mark.parametrize("call", ["get", "set", "add", "replace", "refresh", "remove"])
def test_no_call_ever_waits_and_the_cache_says_so(call: str) -> None:
    arguments = (b"v", FOREVER) if call in ("set", "add", "replace") else ()
    started = getattr(MemoryCache(), call)("a", *arguments)

    with pytest.raises(StopIteration):
        started.send(None)
    assert MemoryCache.never_waits is True


# -- warnings ---------------------------------------------------------------------------------------------------------


def test_the_warning_of_eviction_comes_once_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    async def story() -> None:
        clock = FakeClock()
        cache = MemoryCache(max_size=room_for(1), clock=clock)
        counts = []
        for seconds in (0, 0, 59, 1, 0, -3600, 59):
            clock.advance(timedelta(seconds=seconds))
            await fill(cache, "abc")
            counts.append(caplog.text.count(FULL))
        assert counts == [1, 1, 1, 2, 2, 3, 3], "a clock that was set back does not silence it"

    run(story())
    assert "Raise max_size, or keep sessions in MongoDB, Redis or SQL." in caplog.text


def test_a_forked_server_is_warned_once(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tornado.process, "_task_id", 0)

    async def story() -> None:
        cache = MemoryCache()
        assert caplog.text == "", "making one is no use yet: the server may fork later"
        await fill(cache, "abc")
        await cache.get("a")

    run(story())
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    assert "MemoryCache is used in a forked server: each process has its own" in caplog.text
    assert "Use MongoCache, RedisCache or SQLCache" in caplog.text


def test_a_server_that_is_not_forked_is_not_warned(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(fill(MemoryCache(), "abc"))
    monkeypatch.delitem(__import__("sys").modules, "tornado.process")
    run(fill(MemoryCache(), "abc"))

    assert caplog.records == []


# -- expiry -----------------------------------------------------------------------------------------------------------

FAR = [
    CacheEntryOptions(sliding=timedelta.max),
    CacheEntryOptions(relative=timedelta.max),
    CacheEntryOptions(sliding=timedelta.max, refresh_interval=timedelta.max),
    CacheEntryOptions(absolute=datetime.max.replace(tzinfo=UTC)),
    CacheEntryOptions(absolute=datetime.max.replace(tzinfo=timezone(timedelta(hours=-12)))),
    CacheEntryOptions(sliding=timedelta(microseconds=1), relative=timedelta.max, refresh_interval=timedelta(days=9000)),
]


@pytest.mark.parametrize("options", FAR, ids=range(len(FAR)))
def test_ends_beyond_the_calendar_are_kept_and_told_as_its_last_day(options: CacheEntryOptions) -> None:
    async def story() -> None:
        clock = FakeClock()
        cache = MemoryCache(clock=clock)
        await cache.set("key", b"v", options)
        for _ in range(30):
            clock.advance(timedelta(hours=1))
            entry = await cache.get("key")
            assert entry is not None
            assert entry.expires is not None
            assert entry.expires > clock.now() + timedelta(days=8000)
            assert entry.expires.tzinfo is UTC

    run(story())


def test_at_its_very_end_an_entry_is_neither_read_nor_found() -> None:
    async def story() -> None:
        clock = FakeClock()
        cache = MemoryCache(clock=clock)
        await fill(cache, "a", CacheEntryOptions(relative=MINUTE, tag="t"))

        clock.advance(MINUTE - timedelta(milliseconds=1))
        assert await found(cache) == ["a"]

        clock.advance(timedelta(milliseconds=1))
        assert await found(cache) == []
        assert await cache.get("a") is None

    run(story())


def test_a_tag_that_cannot_be_is_refused_by_its_name() -> None:
    with pytest.raises(ValueError, match=r"\btag\b"):
        run(found(MemoryCache(), ""))


def test_an_entry_that_lasted_and_was_given_an_end_again_goes_at_that_end() -> None:
    async def story() -> None:
        clock = FakeClock()
        cache = MemoryCache(clock=clock)
        for options in (CacheEntryOptions(relative=MINUTE), FOREVER, CacheEntryOptions(relative=2 * MINUTE)):
            await fill(cache, "ab", options)

        clock.advance(2 * MINUTE + timedelta(seconds=1))
        for _ in range(10):
            await cache.get("another")

        assert is_empty(cache._table)

    run(story())


def test_an_entry_tells_when_its_expiry_was_last_written() -> None:
    async def story() -> None:
        clock = FakeClock()
        cache = MemoryCache(clock=clock)
        await cache.set("key", b"v", CacheEntryOptions(sliding=3 * MINUTE, refresh_interval=2 * MINUTE))
        written = clock.now()
        seen = []
        for _ in range(3):
            clock.advance(MINUTE)
            entry = await cache.get("key")
            assert entry is not None
            assert entry.refreshed is not None
            assert entry.expires == entry.refreshed + 5 * MINUTE
            seen.append((entry.refreshed - written) // MINUTE)
        assert seen == [0, 2, 2]

    run(story())


def is_empty(table: MemoryTable) -> bool:
    """Whether nothing at all is left: no entry, no byte counted, no ring, no filed second."""
    return (
        len(table) == 0
        and table.size == 0
        and not any(table._shards)
        and not any(table._tags)
        and table._ends.older is table._ends.newer is table._ends
        and not table._filed
        and not table._seconds
    )


def test_all_memory_is_given_back_when_everything_has_expired() -> None:
    async def story() -> None:
        clock = FakeClock()
        cache = MemoryCache(clock=clock)
        random = Random(1)
        for number in range(2000):
            duration = timedelta(seconds=random.uniform(0.001, 8000))
            tag = random.choice([None, "red", "blue", f"tag {number}"])
            options = random.choice(
                [
                    CacheEntryOptions(sliding=duration, tag=tag),
                    CacheEntryOptions(relative=duration, tag=tag),
                    CacheEntryOptions(sliding=duration, relative=2 * duration, tag=tag),
                    CacheEntryOptions(absolute=clock.now() + duration, tag=tag),
                ]
            )
            await cache.set(f"key {number % 1500}", b"v", options)
            clock.advance(timedelta(seconds=random.uniform(0, 2)))
            await cache.get(f"key {random.randrange(1500)}")
        assert len(cache._table) > 100

        clock.advance(timedelta(days=1))
        for _ in range(4000):
            await cache.get("another")

        assert is_empty(cache._table)

    run(story())


def test_removing_one_by_one_leaves_nothing_but_seconds_to_come() -> None:
    async def story() -> None:
        clock = FakeClock()
        cache = MemoryCache(clock=clock)
        keys = [f"key {number}" for number in range(500)]
        for key in keys:
            await cache.set(key, b"v", CacheEntryOptions(sliding=MINUTE, tag=key[:5]))
        Random(1).shuffle(keys)
        assert [await cache.remove(key) for key in keys] == [True] * 500
        assert (len(cache._table), cache._table.size, any(cache._table._tags)) == (0, 0, False)

        clock.advance(2 * MINUTE)
        await cache.get("another")
        assert is_empty(cache._table)

    run(story())


def test_writing_one_key_again_and_again_files_no_second_twice() -> None:
    async def story() -> None:
        clock = FakeClock()
        cache = MemoryCache(clock=clock)
        for number in range(3000):
            await cache.set("key", b"v", CacheEntryOptions(sliding=20 * MINUTE))
            if number % 100 == 0:
                clock.advance(timedelta(seconds=1))
        assert len(cache._table._seconds) == len(cache._table._filed) <= 32

        clock.advance(21 * MINUTE)
        for _ in range(10):
            await cache.get("another")
        assert is_empty(cache._table)

    run(story())


def test_one_call_sweeps_only_a_few_of_many_that_expired_at_once() -> None:
    async def story() -> None:
        clock = FakeClock()
        cache = MemoryCache(clock=clock)
        for number in range(1000):
            await cache.set(f"key {number}", b"v", CacheEntryOptions(relative=MINUTE))
        clock.advance(2 * MINUTE)

        await cache.get("key 0")

        assert 980 <= len(cache._table) < 1000

    run(story())


def test_entries_of_a_tag_are_found_whichever_of_them_went_before() -> None:
    async def story() -> None:
        random = Random(2)
        cache = MemoryCache()
        expected: dict[str, set[str]] = {"red": set(), "blue": set()}
        for _ in range(3000):
            key, tag = f"key {random.randrange(40)}", random.choice(["red", "blue", None])
            for others in expected.values():
                others.discard(key)
            if random.random() < 0.4:
                await cache.remove(key)
            else:
                await cache.set(key, b"v", CacheEntryOptions(tag=tag))
                if tag:
                    expected[tag].add(key)
            for name, keys in expected.items():
                assert {found async for found, _ in cache.find(name)} == keys
        assert sum(map(len, cache._table._tags)) == sum(map(bool, expected.values()))

    run(story())


# -- threads and memory ----------------------------------------------------------------------------------------------


async def hammer(cache: MemoryCache, seed: int) -> None:
    random = Random(seed)
    for _ in range(3000):
        key = chr(100 + random.randrange(100))
        sliding, tag = random.choice([None, timedelta(microseconds=50), MINUTE]), random.choice([None, "a", "b"])
        options = CacheEntryOptions(sliding=sliding, tag=tag)
        calls: list[Coroutine[Any, Any, Any]] = [
            cache.set(key, bytes(random.randrange(30)), options),
            cache.add(key, b"v", options),
            cache.replace(key, b"value", options),
            cache.remove(key),
            cache.get(key),
            found(cache, "a"),
        ]
        chosen = calls.pop(random.randrange(len(calls)))
        for call in calls:
            call.close()
        await chosen


def test_threads_that_hammer_one_cache_keep_its_counts_right() -> None:
    cache = MemoryCache(max_size=room_for(60, 20))
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda seed: run(hammer(cache, seed)), range(4)))

    table = cache._table
    entries = [entry for shard in table._shards for entry in shard.values()]
    assert len(entries) == len(table)
    assert sum(entry.size for entry in entries) == table.size <= room_for(60, 20)
    assert sorted(entry.key for entry in ring(table)) == sorted(entry.key for entry in entries)
    assert len({entry.version for entry in entries}) == len(entries)


def test_repr_shows_no_value() -> None:
    entry = Entry("key", b"topsecret", 1)

    assert repr(entry) == "<Entry of 9 bytes>"


def ring(table: MemoryTable) -> list[Entry]:
    """All entries by last use; the ring is closed both ways."""
    entries = []
    entry = table._ends.newer
    while entry is not table._ends:
        assert entry is not None
        assert entry.newer is not None
        assert entry.newer.older is entry
        entries.append(entry)
        entry = entry.newer
    return entries


class Watched(bytes):
    """A value that tells when it ends."""

    ended = 0

    def __del__(self) -> None:
        Watched.ended += 1


@pytest.mark.parametrize("in_a_cycle", [False, True])
def test_a_cache_that_is_dropped_gives_its_entries_back(in_a_cycle: bool) -> None:
    Watched.ended = 0

    async def story() -> None:
        cache: Any = MemoryCache()
        for number in range(50):
            options = CacheEntryOptions(sliding=MINUTE, tag="t" if number % 2 else None)
            await cache.set(f"key {number}", Watched(b"v"), options)
        if in_a_cycle:
            cache.itself = cache

    run(story())
    gc.collect()

    assert Watched.ended == 50


def test_the_garbage_collector_has_no_entries_to_walk() -> None:
    async def story() -> None:
        cache = MemoryCache()
        gc.collect()
        before = len(gc.get_objects())
        for number in range(3000):
            await cache.set(f"key {number}", b"v", CacheEntryOptions(sliding=MINUTE, tag=f"tag {number}"))
        # Options with a tag of their own are the caller's, and gone; an entry refers to none of them.
        assert len(gc.get_objects()) - before < 300

    run(story())


def test_versions_are_positive_and_never_used_twice() -> None:
    async def story() -> None:
        cache = MemoryCache()
        versions = []
        for _ in range(50):
            versions += [await cache.set("a", b"", FOREVER), await cache.replace("a", b"", FOREVER)]
            await cache.remove("a")
            versions.append(await cache.add("a", b"", FOREVER))
            await cache.remove("a")
        assert len(set(versions)) == 150
        assert all(isinstance(version, int) and version > 0 for version in versions)

    run(story())


@pytest.mark.parametrize("key", [1, None, b"key", ["key"]])
def test_a_key_that_is_no_text_is_a_type_error(key: Any) -> None:
    for call in ("get", "refresh", "remove"):
        with pytest.raises(TypeError):
            run(getattr(MemoryCache(), call)(key))
