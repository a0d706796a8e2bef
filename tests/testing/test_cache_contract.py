"""A cache that breaks a promise fails the contract's tests, and under the name of the promise."""

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from unicodedata import normalize
from unittest import TestCase

import pytest

from tornado_session import CacheEntry, CacheEntryOptions, MemoryCache
from tornado_session.caching.contract import DistributedCache
from tornado_session.testing import CacheContract

BROKEN: dict[str, tuple[type[MemoryCache], str]] = {}


def breaks(test: str) -> Callable[[type[MemoryCache]], type[MemoryCache]]:
    """Note which test of the contract has to fail for a class."""

    def note(cache: type[MemoryCache]) -> type[MemoryCache]:
        BROKEN[cache.__name__] = (cache, test)
        return cache

    return note


def without(options: CacheEntryOptions, **changes: Any) -> CacheEntryOptions:
    kept = {name: getattr(options, name) for name in ("sliding", "absolute", "relative", "refresh_interval", "tag")}
    return CacheEntryOptions(**(kept | changes))


# -- reading and writing ----------------------------------------------------------------------------------------------


@breaks("test_what_was_set_comes_back_with_its_version")
class TellsAnotherVersion(MemoryCache):
    async def get(self, key: str, *, refresh: bool = True) -> CacheEntry | None:
        entry = await super().get(key, refresh=refresh)
        return entry and entry._replace(version=entry.version + 1)


@breaks("test_what_was_set_comes_back_with_its_version")
class VersionsAreZero(MemoryCache):
    async def set(self, key: str, value: bytes, options: CacheEntryOptions) -> int:
        await super().set(key, value, options)
        return 0


@breaks("test_set_replaces_value_and_version")
class SetKeepsTheVersion(MemoryCache):
    async def set(self, key: str, value: bytes, options: CacheEntryOptions) -> int:
        self._version = 7
        return await super().set(key, value, options)


@breaks("test_set_replaces_the_expiry_too")
class SetKeepsTheFirstExpiry(MemoryCache):
    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.first: dict[str, CacheEntryOptions] = {}

    async def set(self, key: str, value: bytes, options: CacheEntryOptions) -> int:
        return await super().set(key, value, self.first.setdefault(key, options))


@breaks("test_values_are_opaque_bytes_of_any_content_and_size")
class StripsZeros(MemoryCache):
    async def get(self, key: str, *, refresh: bool = True) -> CacheEntry | None:
        entry = await super().get(key, refresh=refresh)
        return entry and entry._replace(value=entry.value.rstrip(b"\x00"))


@breaks("test_values_are_opaque_bytes_of_any_content_and_size")
class GivesByteArrays(MemoryCache):
    async def get(self, key: str, *, refresh: bool = True) -> CacheEntry | None:
        entry = await super().get(key, refresh=refresh)
        wrong: Any = entry and bytearray(entry.value)
        return entry and entry._replace(value=wrong)


class ByOtherKeys(MemoryCache):
    """Keeps entries under ``changed(key)``."""

    @staticmethod
    def changed(key: str) -> str:
        return key

    async def get(self, key: str, *, refresh: bool = True) -> CacheEntry | None:
        return await super().get(self.changed(key), refresh=refresh)

    async def set(self, key: str, value: bytes, options: CacheEntryOptions) -> int:
        return await super().set(self.changed(key), value, options)


@breaks("test_keys_differ_in_case_in_blanks_and_in_accents")
class FoldsCase(ByOtherKeys):
    changed = staticmethod(str.casefold)


@breaks("test_keys_differ_in_case_in_blanks_and_in_accents")
class StripsKeys(ByOtherKeys):
    changed = staticmethod(lambda key: key.rstrip(" ") or key)


@breaks("test_keys_differ_in_case_in_blanks_and_in_accents")
class NormalizesKeys(ByOtherKeys):
    @staticmethod
    def changed(key: str) -> str:
        return normalize("NFC", key)


@breaks("test_a_key_of_512_bytes_is_kept_whole")
class CutsKeys(ByOtherKeys):
    changed = staticmethod(lambda key: key[:255] if len(key) <= 512 else key)


@breaks("test_removed_entries_are_gone")
class RemovesNothing(MemoryCache):
    async def remove(self, key: str) -> bool:
        return await self.get(key, refresh=False) is not None


# -- add and replace --------------------------------------------------------------------------------------------------


@breaks("test_add_inserts_once")
class AddOverwrites(MemoryCache):
    async def add(self, key: str, value: bytes, options: CacheEntryOptions) -> int | None:
        return await self.set(key, value, options)


@breaks("test_add_succeeds_over_an_expired_entry")
class AddSeesExpiredEntries(MemoryCache):
    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.known: set[str] = set()

    async def set(self, key: str, value: bytes, options: CacheEntryOptions) -> int:
        self.known.add(key)
        return await super().set(key, value, options)

    async def add(self, key: str, value: bytes, options: CacheEntryOptions) -> int | None:
        return None if key in self.known else await super().add(key, value, options)


@breaks("test_of_parallel_adds_one_wins")
class AddChecksFirstAndWritesLater(MemoryCache):
    async def add(self, key: str, value: bytes, options: CacheEntryOptions) -> int | None:
        if await self.get(key, refresh=False) is not None:
            return None
        await asyncio.sleep(0)
        return await self.set(key, value, options)


@breaks("test_replace_updates_only_the_version_that_was_named")
class ReplaceIgnoresTheVersion(MemoryCache):
    async def replace(
        self, key: str, value: bytes, options: CacheEntryOptions, *, version: int | None = None
    ) -> int | None:
        return await super().replace(key, value, options)


@breaks("test_of_parallel_replaces_of_one_version_one_wins")
class ReplaceChecksFirstAndWritesLater(MemoryCache):
    async def replace(
        self, key: str, value: bytes, options: CacheEntryOptions, *, version: int | None = None
    ) -> int | None:
        entry = await self.get(key, refresh=False)
        if entry is None or version not in (None, entry.version):
            return None
        await asyncio.sleep(0)
        return await super().replace(key, value, options)


@breaks("test_replace_without_a_version_updates_any")
class ReplaceNeedsAVersion(MemoryCache):
    async def replace(
        self, key: str, value: bytes, options: CacheEntryOptions, *, version: int | None = None
    ) -> int | None:
        return await super().replace(key, value, options, version=version or -1)


@breaks("test_replace_does_not_bring_back_what_was_removed_or_has_expired")
class ReplaceRevives(MemoryCache):
    async def replace(
        self, key: str, value: bytes, options: CacheEntryOptions, *, version: int | None = None
    ) -> int | None:
        replaced = await super().replace(key, value, options, version=version)
        return await self.add(key, value, options) if replaced is None and key == "expired" else replaced


@breaks("test_a_missing_key_has_no_entry_and_is_no_error")
class ReplaceInserts(MemoryCache):
    async def replace(
        self, key: str, value: bytes, options: CacheEntryOptions, *, version: int | None = None
    ) -> int | None:
        return await self.set(key, value, options)


@breaks("test_a_version_is_not_used_again_after_remove_and_add")
class CountsVersionsFromOneForEachEntry(MemoryCache):
    async def add(self, key: str, value: bytes, options: CacheEntryOptions) -> int | None:
        self._version = 0
        return await super().add(key, value, options)


@breaks("test_reading_and_refreshing_keep_the_version")
class ReadingChangesTheVersion(MemoryCache):
    async def get(self, key: str, *, refresh: bool = True) -> CacheEntry | None:
        entry = await super().get(key, refresh=refresh)
        stored = self._table.find(key, self._clock())
        if stored is not None:
            stored.version += 1000
        return entry


# -- expiry -----------------------------------------------------------------------------------------------------------


@breaks("test_an_entry_lives_until_its_relative_end_and_not_longer")
class EndsInclusively(MemoryCache):
    async def get(self, key: str, *, refresh: bool = True) -> CacheEntry | None:
        clock, self._clock = self._clock, lambda: clock() - 0.001
        try:
            return await super().get(key, refresh=refresh)
        finally:
            self._clock = clock


@breaks("test_an_entry_lives_until_its_absolute_end_and_not_longer")
class GivesExpiredEntriesUntilTheyAreSwept(MemoryCache):
    async def set(self, key: str, value: bytes, options: CacheEntryOptions) -> int:
        return await super().set(key, value, without(options, absolute=None))


@breaks("test_an_entry_without_options_does_not_expire")
class ExpiresByDefault(MemoryCache):
    async def set(self, key: str, value: bytes, options: CacheEntryOptions) -> int:
        if options == CacheEntryOptions():
            options = CacheEntryOptions(relative=timedelta(minutes=2))
        return await super().set(key, value, options)


@breaks("test_of_relative_and_absolute_the_earlier_end_counts")
class AbsoluteAlwaysWins(MemoryCache):
    async def set(self, key: str, value: bytes, options: CacheEntryOptions) -> int:
        if options.absolute is not None:
            options = without(options, relative=None)
        return await super().set(key, value, options)


@breaks("test_get_and_refresh_start_a_sliding_expiry_anew")
class NeverSlides(MemoryCache):
    async def set(self, key: str, value: bytes, options: CacheEntryOptions) -> int:
        return await super().set(key, value, without(options, sliding=None, relative=options.sliding))


@breaks("test_get_and_refresh_start_a_sliding_expiry_anew")
class RefreshDoesNotSlide(MemoryCache):
    async def refresh(self, key: str) -> bool:
        return await self.get(key, refresh=False) is not None


@breaks("test_get_without_refresh_leaves_a_sliding_expiry_alone")
class AlwaysSlides(MemoryCache):
    async def get(self, key: str, *, refresh: bool = True) -> CacheEntry | None:
        return await super().get(key)


@breaks("test_sliding_never_exceeds_the_fixed_end")
class SlidesBeyondTheFixedEnd(MemoryCache):
    async def set(self, key: str, value: bytes, options: CacheEntryOptions) -> int:
        if options.sliding is not None and options.relative is not None and options.sliding < options.relative:
            options = without(options, relative=None)
        return await super().set(key, value, options)


@breaks("test_a_sliding_expiry_longer_than_the_fixed_end_is_cut_at_once")
class CutsAtTheFirstRead(MemoryCache):
    async def set(self, key: str, value: bytes, options: CacheEntryOptions) -> int:
        if options.sliding is not None and options.relative is not None and options.sliding > options.relative:
            options = without(options, relative=None)
        return await super().set(key, value, options)


@breaks("test_durations_are_not_rounded_down")
class CountsInWholeMinutes(MemoryCache):
    async def set(self, key: str, value: bytes, options: CacheEntryOptions) -> int:
        if options.sliding is not None:
            options = without(options, sliding=options.sliding // timedelta(minutes=1) * timedelta(minutes=1))
        return await super().set(key, value, options)


THROTTLED = "test_a_throttled_sliding_expiry_ends_late_by_the_interval_and_never_early"


@breaks(THROTTLED)
class ThrottledEntriesEndEarly(MemoryCache):
    async def set(self, key: str, value: bytes, options: CacheEntryOptions) -> int:
        if options.sliding is not None and options.refresh_interval:
            options = without(options, sliding=options.sliding - options.refresh_interval)
        return await super().set(key, value, options)


@breaks(THROTTLED)
class ThrottledEntriesEndLate(MemoryCache):
    async def set(self, key: str, value: bytes, options: CacheEntryOptions) -> int:
        if options.sliding is not None and options.refresh_interval:
            options = without(options, sliding=options.sliding + options.refresh_interval)
        return await super().set(key, value, options)


TELLS = "test_an_entry_tells_its_end_if_the_cache_knows_it"


@breaks(TELLS)
class TellsNaiveInstants(MemoryCache):
    async def get(self, key: str, *, refresh: bool = True) -> CacheEntry | None:
        entry = await super().get(key, refresh=refresh)
        if entry is None or entry.expires is None:
            return entry
        return entry._replace(expires=entry.expires.replace(tzinfo=None))


@breaks(TELLS)
class TellsAWrongEnd(MemoryCache):
    async def get(self, key: str, *, refresh: bool = True) -> CacheEntry | None:
        entry = await super().get(key, refresh=refresh)
        if entry is None or entry.expires is None:
            return entry
        return entry._replace(expires=entry.expires + timedelta(hours=1))


@breaks(TELLS)
class TellsAnEndThatThereIsNot(MemoryCache):
    async def get(self, key: str, *, refresh: bool = True) -> CacheEntry | None:
        entry = await super().get(key, refresh=refresh)
        return entry and (entry if entry.expires else entry._replace(expires=datetime.now(UTC)))


# -- mistakes ---------------------------------------------------------------------------------------------------------


@breaks("test_an_end_in_the_past_is_refused")
class AcceptsThePast(MemoryCache):
    async def set(self, key: str, value: bytes, options: CacheEntryOptions) -> int:
        return await super().set(key, value, without(options, absolute=None))


@breaks("test_empty_and_over_long_keys_are_refused")
class AcceptsAnyKeyInRemove(MemoryCache):
    async def remove(self, key: str) -> bool:
        return bool(key) and len(key) <= 512 and await super().remove(key)


@breaks("test_empty_and_over_long_keys_are_refused")
class CountsCharactersOfKeys(MemoryCache):
    async def get(self, key: str, *, refresh: bool = True) -> CacheEntry | None:
        return None if len(key) <= 512 < len(key.encode()) else await super().get(key, refresh=refresh)


@breaks("test_empty_and_over_long_keys_are_refused")
class AcceptsAnyTagInFind(MemoryCache):
    async def find(self, tag: str) -> AsyncIterator[tuple[str, CacheEntry]]:
        if 0 < len(tag.encode()) <= 512:
            async for found in super().find(tag):
                yield found


@breaks("test_what_is_not_bytes_is_refused")
class TakesAnything(MemoryCache):
    async def set(self, key: str, value: bytes, options: CacheEntryOptions) -> int:
        return await super().set(key, bytes(value or b"") if not isinstance(value, str) else b"", options)


# -- tags -------------------------------------------------------------------------------------------------------------


class Finding(MemoryCache):
    """Lists what ``found`` makes of each entry; ``None`` leaves it out."""

    async def find(self, tag: str) -> AsyncIterator[tuple[str, CacheEntry]]:
        async for key, entry in super().find(tag):
            changed = await self.found(key, entry)
            if changed is not None:
                yield key, changed

    async def found(self, key: str, entry: CacheEntry) -> CacheEntry | None:
        return entry


@breaks("test_find_yields_the_live_entries_of_one_tag")
class FindsOneAlone(Finding):
    async def found(self, key: str, entry: CacheEntry) -> CacheEntry | None:
        return entry if key != "two" else None


@breaks("test_find_yields_the_live_entries_of_one_tag")
class FoldsTags(MemoryCache):
    async def set(self, key: str, value: bytes, options: CacheEntryOptions) -> int:
        return await super().set(key, value, without(options, tag=options.tag and options.tag.lower()))


@breaks("test_find_gives_versions_that_replace_accepts")
class FindsWithoutVersions(Finding):
    async def found(self, key: str, entry: CacheEntry) -> CacheEntry | None:
        return entry._replace(version=1 if entry.version != 1 else 2)


@breaks("test_find_leaves_out_what_has_expired_or_was_removed")
class FindsTheExpired(MemoryCache):
    async def find(self, tag: str) -> AsyncIterator[tuple[str, CacheEntry]]:
        for entry in self._table.tagged(tag):
            yield entry.key, CacheEntry(entry.value, entry.version)


@breaks("test_find_does_not_slide")
class FindSlides(Finding):
    async def found(self, key: str, entry: CacheEntry) -> CacheEntry | None:
        return await self.get(key)


@breaks("test_a_write_changes_the_tag")
class ReplaceKeepsTheTag(MemoryCache):
    async def replace(
        self, key: str, value: bytes, options: CacheEntryOptions, *, version: int | None = None
    ) -> int | None:
        entry = self._table.find(key, self._clock())
        return await super().replace(key, value, without(options, tag=entry and entry.tag), version=version)


@breaks("test_an_entry_that_is_added_anew_has_only_its_new_tag")
class RemovedEntriesKeepTheirTag(MemoryCache):
    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.tags: dict[str, str] = {}

    async def set(self, key: str, value: bytes, options: CacheEntryOptions) -> int:
        if options.tag:
            self.tags[key] = options.tag
        return await super().set(key, value, options)

    async def add(self, key: str, value: bytes, options: CacheEntryOptions) -> int | None:
        return await super().add(key, value, without(options, tag=self.tags.get(key, options.tag)))


@breaks("test_entries_may_be_removed_while_they_are_listed")
class StopsListingAtTheFirstRemoval(MemoryCache):
    async def find(self, tag: str) -> AsyncIterator[tuple[str, CacheEntry]]:
        before = len(self._table)
        async for found in super().find(tag):
            if len(self._table) != before:
                return
            yield found


# -- together ---------------------------------------------------------------------------------------------------------


@breaks("test_parallel_calls_for_different_keys_do_not_disturb_each_other")
class MixesParallelCalls(MemoryCache):
    async def add(self, key: str, value: bytes, options: CacheEntryOptions) -> int | None:
        self.current = key
        await asyncio.sleep(0)
        return await super().add(self.current, value, options)


@breaks("test_a_refused_call_does_not_disturb_its_neighbours")
class OneRefusalFailsAll(MemoryCache):
    refused = False

    async def get(self, key: str, *, refresh: bool = True) -> CacheEntry | None:
        self.refused = self.refused or not key
        if self.refused:
            raise ValueError("refused, together with all others of its batch")
        return await super().get(key, refresh=refresh)


# -- the tests of the tests -------------------------------------------------------------------------------------------


def contract_for(kind: Callable[..., DistributedCache]) -> CacheContract:
    class Contract(CacheContract):
        async def make_cache(self) -> DistributedCache:
            return kind(clock=self.clock)

    return Contract()


def failures(contract: CacheContract) -> list[str]:
    """The names of the contract's tests that fail."""
    failed = []
    for name in sorted(name for name in dir(contract) if name.startswith("test_")):
        try:
            getattr(contract, name)()
        except Exception:  # noqa: BLE001 - however it fails, it fails
            failed.append(name)
    return failed


@pytest.mark.parametrize("name", BROKEN)
def test_a_cache_that_breaks_a_promise_fails_the_test_of_that_promise(name: str) -> None:
    kind, test = BROKEN[name]

    with pytest.raises((AssertionError, ValueError, TypeError)):
        getattr(contract_for(kind), test)()


def test_every_test_of_the_contract_fails_for_some_broken_cache() -> None:
    all_tests = {name for name in dir(CacheContract) if name.startswith("test_")}

    assert all_tests == {test for _, test in BROKEN.values()}


def test_a_cache_that_keeps_all_promises_fails_nothing() -> None:
    assert failures(contract_for(MemoryCache)) == []


def test_a_contract_that_does_not_say_how_to_make_a_cache_says_so() -> None:
    class Forgetful(CacheContract):
        pass

    with pytest.raises(
        NotImplementedError, match=r"Forgetful does not say how to make a cache: override make_cache\(\)"
    ):
        Forgetful().test_add_inserts_once()


def test_the_contract_runs_under_unittest_too() -> None:
    class UnitTest(CacheContract, TestCase):
        async def make_cache(self) -> DistributedCache:
            return MemoryCache(clock=self.clock)

    result = UnitTest("test_add_inserts_once").run()

    assert result is not None
    assert (result.testsRun, result.wasSuccessful()) == (1, True)


def test_each_test_closes_its_cache_also_when_it_fails() -> None:
    closed = []

    class Closing(CacheContract):
        async def make_cache(self) -> DistributedCache:
            return AddOverwrites(clock=self.clock)

        async def close_cache(self, cache: DistributedCache) -> None:
            closed.append(cache)

    Closing().test_removed_entries_are_gone()
    with pytest.raises(AssertionError):
        Closing().test_add_inserts_once()

    assert len(closed) == 2
