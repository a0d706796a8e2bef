"""CacheContract: the tests that every DistributedCache has to pass."""

import asyncio
import functools
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

from tornado_session.caching.contract import MAX_KEY_SIZE, CacheEntryOptions, DistributedCache
from tornado_session.testing.clock import FakeClock

FOREVER = CacheEntryOptions()


def _with_cache(
    test: Callable[[Any, DistributedCache], Coroutine[Any, Any, None]],
) -> Callable[["CacheContract"], None]:
    """Run an asynchronous test on a loop and a cache of its own: it needs no plugin, and a cache can keep no loop."""

    @functools.wraps(test)
    def run(self: "CacheContract") -> None:
        asyncio.run(self._run(test))

    # Without this, pytest reads the wrapped test's signature and looks for a fixture called ``cache``.
    del run.__wrapped__
    return run


class CacheContract:
    """Subclass it with a name that your test runner collects, say how to make a cache, and run it.

    .. code-block:: python

        class TestMyCache(CacheContract):
            async def make_cache(self) -> DistributedCache:
                return MyCache(clock=self.clock)

    Works under pytest without any plugin, and under unittest with ``TestCase`` as a second base. A cache that goes by a
    server's clock overrides ``advance`` (wait) and ``moment`` (a short one).
    """

    moment: ClassVar[timedelta] = timedelta(minutes=1)
    """The unit of all durations here. On a server's clock: as short as the machine allows, say 300 ms."""

    clock: FakeClock
    """A new clock for every test."""

    async def make_cache(self) -> DistributedCache:
        """Make an empty cache; called once in every test, inside its event loop."""
        raise NotImplementedError(f"{type(self).__name__} does not say how to make a cache: override make_cache()")

    async def close_cache(self, cache: DistributedCache) -> None:
        """Give back what ``make_cache`` took; called once in every test, inside its event loop."""

    async def advance(self, duration: timedelta) -> None:
        """Let ``duration`` pass."""
        self.clock.advance(duration)

    def now(self) -> datetime:
        """The time by the clock that ``absolute`` is compared with."""
        return self.clock.now()

    async def _run(self, test: Callable[[Any, DistributedCache], Coroutine[Any, Any, None]]) -> None:
        self.clock = FakeClock()
        cache = await self.make_cache()
        try:
            await test(self, cache)
        finally:
            await self.close_cache(cache)

    def sliding(self, moments: float, **more: Any) -> CacheEntryOptions:
        return CacheEntryOptions(sliding=moments * self.moment, **more)

    def relative(self, moments: float, **more: Any) -> CacheEntryOptions:
        return CacheEntryOptions(relative=moments * self.moment, **more)

    # -- reading and writing ------------------------------------------------------------------------------------------

    @_with_cache
    async def test_a_missing_key_has_no_entry_and_is_no_error(self, cache: DistributedCache) -> None:
        assert await cache.get("missing") is None
        assert await cache.get("missing", refresh=False) is None
        assert await cache.refresh("missing") is False
        assert await cache.remove("missing") is False
        assert await cache.replace("missing", b"value", FOREVER) is None
        assert await cache.get("missing") is None

    @_with_cache
    async def test_what_was_set_comes_back_with_its_version(self, cache: DistributedCache) -> None:
        version = await cache.set("key", b"value", FOREVER)

        entry = await cache.get("key")

        assert entry is not None
        assert (entry.value, entry.version) == (b"value", version)
        assert version > 0

    @_with_cache
    async def test_set_replaces_value_and_version(self, cache: DistributedCache) -> None:
        first = await cache.set("key", b"one", FOREVER)
        second = await cache.set("key", b"two", FOREVER)

        entry = await cache.get("key")

        assert entry is not None
        assert (entry.value, entry.version) == (b"two", second)
        assert first != second

    @_with_cache
    async def test_set_replaces_the_expiry_too(self, cache: DistributedCache) -> None:
        await cache.set("key", b"one", self.sliding(1))
        await cache.set("key", b"two", FOREVER)

        await self.advance(2 * self.moment)

        assert await cache.get("key") is not None

    @_with_cache
    async def test_values_are_opaque_bytes_of_any_content_and_size(self, cache: DistributedCache) -> None:
        for value in (b"", b"\x00", bytes(range(256)), b"\xff" * 1024 * 1024):
            await cache.set("key", value, FOREVER)
            entry = await cache.get("key")
            assert entry is not None
            assert entry.value == value
            assert type(entry.value) is bytes

    @_with_cache
    async def test_keys_differ_in_case_in_blanks_and_in_accents(self, cache: DistributedCache) -> None:
        keys = [
            "key",
            "KEY",
            "key ",
            " key",
            "k\u00e9y",
            "ke\u0301y",
            "k:e{y}",
            "k'e\"y",
            "k%e_y*?",
            "k\ne\ty",
            "$k.e.y",
        ]
        for key in keys:
            await cache.set(key, key.encode(), FOREVER)

        for key in keys:
            entry = await cache.get(key)
            assert entry is not None, key
            assert entry.value == key.encode()

    @_with_cache
    async def test_a_key_of_512_bytes_is_kept_whole(self, cache: DistributedCache) -> None:
        longest = "k" * MAX_KEY_SIZE
        await cache.set(longest, b"longest", FOREVER)

        assert await cache.get(longest[:-1]) is None
        assert await cache.get(longest[:-1] + "x") is None
        assert await cache.get(longest) is not None

    @_with_cache
    async def test_removed_entries_are_gone(self, cache: DistributedCache) -> None:
        await cache.set("key", b"value", FOREVER)

        assert await cache.remove("key") is True
        assert await cache.get("key") is None
        assert await cache.remove("key") is False

    # -- add and replace ----------------------------------------------------------------------------------------------

    @_with_cache
    async def test_add_inserts_once(self, cache: DistributedCache) -> None:
        version = await cache.add("key", b"first", FOREVER)

        assert version
        assert await cache.add("key", b"second", FOREVER) is None
        entry = await cache.get("key")
        assert entry is not None
        assert (entry.value, entry.version) == (b"first", version)

    @_with_cache
    async def test_add_succeeds_over_an_expired_entry(self, cache: DistributedCache) -> None:
        await cache.set("key", b"old", self.relative(1))
        await self.advance(1.1 * self.moment)

        assert await cache.add("key", b"new", FOREVER) is not None

        entry = await cache.get("key")
        assert entry is not None
        assert entry.value == b"new"

    @_with_cache
    async def test_of_parallel_adds_one_wins(self, cache: DistributedCache) -> None:
        values = [b"%d" % number for number in range(16)]

        versions = await asyncio.gather(*(cache.add("key", value, FOREVER) for value in values))

        winners = [value for value, version in zip(values, versions, strict=True) if version is not None]
        entry = await cache.get("key")
        assert entry is not None
        assert [entry.value] == winners

    @_with_cache
    async def test_replace_updates_only_the_version_that_was_named(self, cache: DistributedCache) -> None:
        first = await cache.set("key", b"one", FOREVER)

        second = await cache.replace("key", b"two", FOREVER, version=first)
        assert second is not None
        assert second != first

        assert await cache.replace("key", b"three", FOREVER, version=first) is None
        entry = await cache.get("key")
        assert entry is not None
        assert (entry.value, entry.version) == (b"two", second)

    @_with_cache
    async def test_replace_without_a_version_updates_any(self, cache: DistributedCache) -> None:
        await cache.set("key", b"one", FOREVER)

        version = await cache.replace("key", b"two", FOREVER)

        entry = await cache.get("key")
        assert entry is not None
        assert (entry.value, entry.version) == (b"two", version)

    @_with_cache
    async def test_of_parallel_replaces_of_one_version_one_wins(self, cache: DistributedCache) -> None:
        version = await cache.set("key", b"start", FOREVER)
        values = [b"%d" % number for number in range(16)]

        versions = await asyncio.gather(*(cache.replace("key", value, FOREVER, version=version) for value in values))

        winners = [value for value, won in zip(values, versions, strict=True) if won is not None]
        entry = await cache.get("key")
        assert entry is not None
        assert [entry.value] == winners

    @_with_cache
    async def test_replace_does_not_bring_back_what_was_removed_or_has_expired(self, cache: DistributedCache) -> None:
        removed = await cache.set("removed", b"value", FOREVER)
        expired = await cache.set("expired", b"value", self.relative(1))
        await cache.remove("removed")
        await self.advance(1.1 * self.moment)

        for key, version in (("removed", removed), ("expired", expired)):
            assert await cache.replace(key, b"revived", FOREVER) is None
            assert await cache.replace(key, b"revived", FOREVER, version=version) is None
            assert await cache.get(key) is None

    @_with_cache
    async def test_a_version_is_not_used_again_after_remove_and_add(self, cache: DistributedCache) -> None:
        old = await cache.add("key", b"old", FOREVER)
        await cache.remove("key")
        await cache.add("key", b"new", FOREVER)

        assert await cache.replace("key", b"late", FOREVER, version=old) is None

    @_with_cache
    async def test_reading_and_refreshing_keep_the_version(self, cache: DistributedCache) -> None:
        version = await cache.set("key", b"value", self.sliding(3))

        await cache.get("key")
        await cache.refresh("key")

        assert await cache.replace("key", b"new", self.sliding(3), version=version) is not None

    # -- expiry -------------------------------------------------------------------------------------------------------

    @_with_cache
    async def test_an_entry_without_options_does_not_expire(self, cache: DistributedCache) -> None:
        await cache.set("key", b"value", FOREVER)

        await self.advance(3 * self.moment)

        assert await cache.get("key") is not None

    @_with_cache
    async def test_an_entry_lives_until_its_relative_end_and_not_longer(self, cache: DistributedCache) -> None:
        await cache.set("key", b"value", self.relative(2))

        await self.advance(self.moment)
        assert await cache.get("key") is not None

        await self.advance(self.moment)
        assert await cache.get("key") is None, "the end is exclusive"
        assert await cache.refresh("key") is False
        assert await cache.remove("key") is False

    @_with_cache
    async def test_an_entry_lives_until_its_absolute_end_and_not_longer(self, cache: DistributedCache) -> None:
        await cache.set("key", b"value", CacheEntryOptions(absolute=self.now() + 2 * self.moment))

        await self.advance(self.moment)
        assert await cache.get("key") is not None

        await self.advance(1.1 * self.moment)
        assert await cache.get("key") is None

    @_with_cache
    async def test_of_relative_and_absolute_the_earlier_end_counts(self, cache: DistributedCache) -> None:
        now = self.now()
        await cache.set("relative", b"", self.relative(1, absolute=now + 9 * self.moment))
        await cache.set("absolute", b"", self.relative(9, absolute=now + 1 * self.moment))

        await self.advance(1.1 * self.moment)

        assert await cache.get("relative") is None
        assert await cache.get("absolute") is None

    @_with_cache
    async def test_get_and_refresh_start_a_sliding_expiry_anew(self, cache: DistributedCache) -> None:
        await cache.set("read", b"", self.sliding(2))
        await cache.set("refreshed", b"", self.sliding(2))

        await self.advance(1.2 * self.moment)
        assert await cache.get("read") is not None
        assert await cache.refresh("refreshed") is True

        await self.advance(1.2 * self.moment)
        assert await cache.get("read") is not None
        assert await cache.get("refreshed") is not None

    @_with_cache
    async def test_get_without_refresh_leaves_a_sliding_expiry_alone(self, cache: DistributedCache) -> None:
        await cache.set("key", b"", self.sliding(2))

        await self.advance(1.2 * self.moment)
        assert await cache.get("key", refresh=False) is not None

        await self.advance(1.2 * self.moment)
        assert await cache.get("key") is None

    @_with_cache
    async def test_sliding_never_exceeds_the_fixed_end(self, cache: DistributedCache) -> None:
        await cache.set("key", b"", self.sliding(2, relative=3 * self.moment))

        await self.advance(1.5 * self.moment)
        assert await cache.get("key") is not None

        await self.advance(1.6 * self.moment)
        assert await cache.get("key") is None

    @_with_cache
    async def test_a_sliding_expiry_longer_than_the_fixed_end_is_cut_at_once(self, cache: DistributedCache) -> None:
        await cache.set("key", b"", self.sliding(9, relative=self.moment))

        await self.advance(1.1 * self.moment)

        assert await cache.get("key", refresh=False) is None

    @_with_cache
    async def test_durations_are_not_rounded_down(self, cache: DistributedCache) -> None:
        await cache.set("key", b"", self.sliding(1.9))

        await self.advance(1.2 * self.moment)

        assert await cache.get("key") is not None

    @_with_cache
    async def test_a_throttled_sliding_expiry_ends_late_by_the_interval_and_never_early(
        self, cache: DistributedCache
    ) -> None:
        throttled = self.sliding(3, refresh_interval=2 * self.moment)
        await cache.set("idle", b"", throttled)
        await cache.set("read", b"", throttled)

        await self.advance(self.moment)
        assert await cache.get("read") is not None

        await self.advance(2.5 * self.moment)
        assert await cache.get("read") is not None, "ended early: it was read less than its sliding expiry ago"

        await self.advance(2 * self.moment)
        assert await cache.get("read", refresh=False) is not None
        assert await cache.get("idle", refresh=False) is None, "ended more than the interval late"

    @_with_cache
    async def test_an_entry_tells_its_end_if_the_cache_knows_it(self, cache: DistributedCache) -> None:
        await cache.set("key", b"", self.relative(5))
        await cache.set("forever", b"", FOREVER)

        entry, forever = await cache.get("key"), await cache.get("forever")

        assert entry is not None
        assert forever is not None
        assert forever.expires is None
        if entry.expires is not None:
            assert entry.expires.tzinfo is UTC
            assert abs(entry.expires - (self.now() + 5 * self.moment)) <= self.moment

    # -- mistakes -----------------------------------------------------------------------------------------------------

    @_with_cache
    async def test_an_end_in_the_past_is_refused(self, cache: DistributedCache) -> None:
        past = CacheEntryOptions(absolute=self.now() - self.moment)
        await cache.set("key", b"value", FOREVER)

        await _refused(ValueError, cache.set, "key", b"", past)
        await _refused(ValueError, cache.add, "new", b"", past)
        await _refused(ValueError, cache.replace, "key", b"", past)

        entry = await cache.get("key")
        assert entry is not None
        assert entry.value == b"value"
        assert await cache.get("new") is None

    @_with_cache
    async def test_empty_and_over_long_keys_are_refused(self, cache: DistributedCache) -> None:
        for key in ("", "k" * (MAX_KEY_SIZE + 1), "\u00e9" * (MAX_KEY_SIZE // 2 + 1)):
            for read in (cache.get, cache.refresh, cache.remove):
                await _refused(ValueError, read, key)
            for write in (cache.set, cache.add, cache.replace):
                await _refused(ValueError, write, key, b"", FOREVER)
            await _refused(ValueError, _listed, cache, key)

    @_with_cache
    async def test_what_is_not_bytes_is_refused(self, cache: DistributedCache) -> None:
        await cache.set("key", b"value", FOREVER)
        for value in ("text", None, bytearray(b"bytes")):
            await _refused(TypeError, cache.set, "key", value, FOREVER)
            await _refused(TypeError, cache.add, "new", value, FOREVER)
            await _refused(TypeError, cache.replace, "key", value, FOREVER)

    # -- tags ---------------------------------------------------------------------------------------------------------

    @_with_cache
    async def test_find_yields_the_live_entries_of_one_tag(self, cache: DistributedCache) -> None:
        await cache.set("one", b"1", CacheEntryOptions(tag="red"))
        await cache.add("two", b"2", CacheEntryOptions(tag="red"))
        await cache.set("three", b"3", CacheEntryOptions(tag="Red"))
        await cache.set("four", b"4", FOREVER)

        assert await _listed(cache, "red") == {"one": b"1", "two": b"2"}
        assert await _listed(cache, "Red") == {"three": b"3"}
        assert await _listed(cache, "blue") == {}

    @_with_cache
    async def test_find_gives_versions_that_replace_accepts(self, cache: DistributedCache) -> None:
        await cache.set("key", b"one", CacheEntryOptions(tag="red"))

        versions = [entry.version async for _, entry in cache.find("red")]

        assert len(versions) == 1
        assert await cache.replace("key", b"two", CacheEntryOptions(tag="red"), version=versions[0]) is not None

    @_with_cache
    async def test_find_leaves_out_what_has_expired_or_was_removed(self, cache: DistributedCache) -> None:
        await cache.set("expired", b"", self.relative(1, tag="red"))
        await cache.set("removed", b"", CacheEntryOptions(tag="red"))
        await cache.set("live", b"", CacheEntryOptions(tag="red"))
        await cache.remove("removed")
        await self.advance(1.1 * self.moment)

        assert await _listed(cache, "red") == {"live": b""}

    @_with_cache
    async def test_find_does_not_slide(self, cache: DistributedCache) -> None:
        await cache.set("key", b"", self.sliding(2, tag="red"))

        await self.advance(1.2 * self.moment)
        assert await _listed(cache, "red") == {"key": b""}

        await self.advance(1.2 * self.moment)
        assert await cache.get("key") is None

    @_with_cache
    async def test_a_write_changes_the_tag(self, cache: DistributedCache) -> None:
        for key in ("set", "replaced", "untagged"):
            await cache.set(key, b"", CacheEntryOptions(tag="red"))

        await cache.set("set", b"", CacheEntryOptions(tag="blue"))
        await cache.replace("replaced", b"", CacheEntryOptions(tag="blue"))
        await cache.replace("untagged", b"", FOREVER)

        assert await _listed(cache, "red") == {}
        assert await _listed(cache, "blue") == {"set": b"", "replaced": b""}

    @_with_cache
    async def test_an_entry_that_is_added_anew_has_only_its_new_tag(self, cache: DistributedCache) -> None:
        await cache.set("key", b"", CacheEntryOptions(tag="red"))
        await cache.remove("key")
        await cache.add("key", b"", CacheEntryOptions(tag="blue"))

        assert await _listed(cache, "red") == {}
        assert await _listed(cache, "blue") == {"key": b""}

    @_with_cache
    async def test_entries_may_be_removed_while_they_are_listed(self, cache: DistributedCache) -> None:
        for number in range(20):
            await cache.set(f"key{number}", b"", CacheEntryOptions(tag="red"))

        removed = [await cache.remove(key) async for key, _ in cache.find("red")]

        assert removed == [True] * 20
        assert await _listed(cache, "red") == {}

    # -- together -----------------------------------------------------------------------------------------------------

    @_with_cache
    async def test_parallel_calls_for_different_keys_do_not_disturb_each_other(self, cache: DistributedCache) -> None:
        async def use(number: int) -> None:
            key, value = f"key{number}", b"%d" % number
            version = await cache.add(key, value, self.sliding(50))
            assert await cache.add(key, b"again", FOREVER) is None
            entry = await cache.get(key)
            assert entry is not None
            assert (entry.value, entry.version) == (value, version)
            assert await cache.replace(key, value * 2, self.sliding(50), version=version) is not None
            assert await cache.refresh(key) is True
            assert await cache.remove(key) is True

        await asyncio.gather(*(use(number) for number in range(40)))

    @_with_cache
    async def test_a_refused_call_does_not_disturb_its_neighbours(self, cache: DistributedCache) -> None:
        await cache.set("key", b"value", FOREVER)

        results = await asyncio.gather(
            cache.get("key"),
            cache.get(""),
            cache.set("other", b"other", FOREVER),
            cache.get("key"),
            return_exceptions=True,
        )

        assert isinstance(results[1], ValueError)
        assert not any(isinstance(result, BaseException) for result in (results[0], results[2], results[3]))


async def _refused(error: type[Exception], call: Callable[..., Coroutine[Any, Any, Any]], *arguments: Any) -> None:
    try:
        result = await call(*arguments)
    except error:
        return
    raise AssertionError(f"expected {error.__name__}, but the call returned {result!r}")


async def _listed(cache: DistributedCache, tag: str) -> dict[str, bytes]:
    return {key: entry.value async for key, entry in cache.find(tag)}
