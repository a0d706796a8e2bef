"""MongoCache against a real server, through the three clients that it takes."""

import asyncio
import time
import traceback
from collections import Counter
from collections.abc import Coroutine, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pymongo
import pytest
from motor.motor_asyncio import AsyncIOMotorClient
from motor.motor_tornado import MotorClient

from tests.caching.mongodb import (
    CLIENTS,
    FOREVER,
    HOUR,
    MOMENT,
    SLIDING,
    THROTTLED,
    UNSWEPT,
    Trips,
    connected,
    new_collection,
    oplog_entries,
    settled,
    with_each_client,
)
from tests.services import service_url
from tornado_session.caching.contract import CacheEntryOptions, DistributedCache
from tornado_session.caching.mongodb import MongoCache, commands, documents
from tornado_session.errors import CacheError
from tornado_session.testing.cache_contract import CacheContract
from tornado_session.testing.servers.mongodb import MongoServer


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with service_url("MONGODB_URI", lambda: MongoServer(options=UNSWEPT)) as found:
        yield found


class OnMongo(CacheContract):
    client_class: Any
    moment = MOMENT

    @pytest.fixture(autouse=True)
    def _use_server(self, url: str) -> None:
        self.url = url

    async def make_cache(self) -> DistributedCache:
        self.connection = connected(self.client_class, self.url)
        client = await self.connection.__aenter__()
        # One collection for all tests, with its indexes: their making would hold up the first calls of each.
        self.collection = client["tornado_session_tests"]["contract"]
        cache = MongoCache(self.collection)
        await cache.ensure_indexes()
        return cache

    async def close_cache(self, cache: DistributedCache) -> None:
        await self.collection.delete_many({})
        await self.connection.__aexit__(None, None, None)

    async def advance(self, duration: timedelta) -> None:
        await asyncio.sleep(duration.total_seconds())

    def now(self) -> datetime:
        return datetime.now(UTC)


class TestWithPyMongo(OnMongo):
    client_class = pymongo.AsyncMongoClient


class TestWithMotorOnTornado(OnMongo):
    client_class = MotorClient


class TestWithMotorOnAsyncio(OnMongo):
    client_class = AsyncIOMotorClient


# -- trips ------------------------------------------------------------------------------------------------------------


@with_each_client
async def test_a_call_that_is_alone_is_one_command(client_class: Any, url: str) -> None:
    trips = Trips()
    async with new_collection(client_class, url, event_listeners=[trips]) as collection:
        cache = MongoCache(collection)
        await cache.ensure_indexes()

        async def command_of(call: Coroutine[Any, Any, Any]) -> list[str]:
            trips.names.clear()
            await call
            return trips.names.copy()

        assert await command_of(cache.add("key", b"1", SLIDING)) == ["update"]
        assert await command_of(cache.add("key", b"1", SLIDING)) == ["update"]
        assert await command_of(cache.set("key", b"2", SLIDING)) == ["update"]
        assert await command_of(cache.replace("key", b"3", SLIDING)) == ["update"]
        assert await command_of(cache.get("key")) == ["findAndModify"]
        assert await command_of(cache.get("missing")) == ["findAndModify"]
        assert await command_of(cache.get("key", refresh=False)) == ["find"]
        assert await command_of(cache.refresh("key")) == ["findAndModify"]
        assert await command_of(cache.remove("key")) == ["delete"]


@with_each_client
async def test_a_reading_that_slides_now_and_then_is_one_command_too_and_mostly_one_that_only_reads(
    client_class: Any, url: str
) -> None:
    trips = Trips()
    interval = timedelta(seconds=1)
    async with new_collection(client_class, url, event_listeners=[trips]) as collection:
        cache, elsewhere = MongoCache(collection), MongoCache(collection)
        await cache.ensure_indexes()
        await elsewhere.ensure_indexes()
        await cache.set("key", b"", CacheEntryOptions(sliding=HOUR, refresh_interval=interval))
        await cache.set("fixed", b"", CacheEntryOptions(relative=HOUR))
        trips.names.clear()

        for _ in range(2):
            await cache.get("key")
            await cache.get("fixed")
            await elsewhere.get("key")
            await elsewhere.get("fixed")
        assert trips.names == ["find", "find", "findAndModify", "findAndModify"] + ["find"] * 4

        slid = []
        for _ in range(2):
            await asyncio.sleep(1.1 * interval.total_seconds())
            trips.names.clear()
            entry = await cache.get("key")
            assert trips.names == ["findAndModify"]
            assert await elsewhere.get("key") == entry
            assert entry is not None
            assert entry.refreshed is not None
            slid.append(entry.refreshed)
        assert slid[0] < slid[1]


@with_each_client
async def test_the_indexes_are_made_once_beside_the_first_call(client_class: Any, url: str) -> None:
    trips = Trips()
    async with new_collection(client_class, url, event_listeners=[trips]) as collection:
        cache = MongoCache(collection)
        await cache.set("key", b"", FOREVER)
        assert "createIndexes" not in trips.answered, "the first call waited for the indexes"

        await settled(cache)
        await asyncio.gather(*(cache.get(f"key{number}") for number in range(40)))

        assert Counter(trips.names)["createIndexes"] == 2
        indexes = await collection.index_information()
        assert indexes["exp_1"]["expireAfterSeconds"] == 0
        assert indexes["tag_1"]["partialFilterExpression"] == {"tag": {"$exists": True}}


@with_each_client
async def test_reads_of_parallel_requests_are_one_find_and_one_update_of_what_is_due(
    client_class: Any, url: str
) -> None:
    trips = Trips()
    async with new_collection(client_class, url, event_listeners=[trips]) as collection:
        cache = MongoCache(collection)
        await cache.ensure_indexes()
        for number in range(30):
            await cache.set(f"key{number}", b"%d" % number, SLIDING if number < 15 else THROTTLED)
        trips.names.clear()
        trips.commands.clear()

        entries = await asyncio.gather(*(cache.get(f"key{number}") for number in range(30)))

        assert trips.names == ["findAndModify", "find", "update"]
        (update,) = trips.commands[2]["updates"]
        assert sorted(update["q"]["_id"]["$in"]) == sorted(f"key{number}" for number in range(1, 15))
        assert [entry is not None and entry.value for entry in entries] == [b"%d" % number for number in range(30)]


@with_each_client
async def test_writes_of_parallel_requests_are_one_command_with_an_outcome_for_each(
    client_class: Any, url: str
) -> None:
    trips = Trips()
    async with new_collection(client_class, url, event_listeners=[trips]) as collection:
        cache = MongoCache(collection)
        await cache.ensure_indexes()
        old = await cache.set("known", b"old", FOREVER)
        await cache.set("other", b"old", FOREVER)
        past = CacheEntryOptions(absolute=datetime.now(UTC) - HOUR)
        trips.names.clear()

        outcomes = await asyncio.gather(
            cache.set("lone", b"", FOREVER),
            cache.set("new", b"new", FOREVER),
            cache.add("known", b"lost", FOREVER),
            cache.replace("missing", b"lost", FOREVER),
            cache.replace("other", b"lost", FOREVER, version=old),
            cache.set("past", b"lost", past),
            cache.add("added", b"new", FOREVER),
            return_exceptions=True,
        )

        assert trips.names == ["update", "update"]
        assert outcomes[2:5] == [None, None, None]
        assert isinstance(outcomes[5], ValueError)
        stored = {document["_id"]: bytes(document["d"]) async for document in collection.find()}
        assert stored == {"lone": b"", "new": b"new", "known": b"old", "other": b"old", "added": b"new"}
        for key, position in (("lone", 0), ("new", 1), ("added", 6)):
            entry = await cache.get(key)
            assert entry is not None
            assert entry.version == outcomes[position]


@with_each_client
async def test_replacements_of_parallel_requests_are_one_command_with_an_outcome_for_each(
    client_class: Any, url: str
) -> None:
    trips = Trips()
    async with new_collection(client_class, url, event_listeners=[trips]) as collection:
        cache = MongoCache(collection)
        await cache.ensure_indexes()
        versions = {key: await cache.set(key, b"old", FOREVER) for key in ("lone", "good", "outdated")}
        past = CacheEntryOptions(absolute=datetime.now(UTC) - HOUR)
        trips.names.clear()

        outcomes = await asyncio.gather(
            cache.replace("lone", b"new", FOREVER, version=versions["lone"]),
            cache.replace("good", b"new", SLIDING, version=versions["good"]),
            cache.replace("outdated", b"lost", FOREVER, version=versions["good"]),
            cache.replace("missing", b"lost", FOREVER, version=versions["good"]),
            cache.replace("past", b"lost", past, version=versions["good"]),
            return_exceptions=True,
        )

        assert trips.names == ["update", "update"]
        assert outcomes[2:4] == [None, None]
        assert isinstance(outcomes[4], ValueError)
        stored = {document["_id"]: bytes(document["d"]) async for document in collection.find()}
        assert stored == {"lone": b"new", "good": b"new", "outdated": b"old"}
        entry = await cache.get("good")
        assert entry is not None
        assert entry.version == outcomes[1]


@with_each_client
async def test_a_replacement_that_is_sent_again_since_its_answer_was_lost_is_no_conflict(
    client_class: Any, url: str
) -> None:
    async with new_collection(client_class, url) as collection:
        cache = MongoCache(collection)
        old = await cache.set("key", b"old", FOREVER)
        first = documents.Write.update("key", b"first", old + 1, FOREVER, only=old)
        second = documents.Write.update("key", b"second", old + 2, FOREVER, only=old + 1)
        assert await commands.write(collection, [first]) == {}

        assert await commands.write(collection, [first]) == {}
        assert await commands.write(collection, [second]) == {}
        too_late = await commands.write(collection, [first])

        assert commands.refusal(too_late[0]) is None
        entry = await cache.get("key")
        assert entry is not None
        assert entry.value == b"second"


@with_each_client
async def test_parallel_reads_of_more_than_a_reply_has_room_for_are_all_answered(client_class: Any, url: str) -> None:
    async with new_collection(client_class, url) as collection:
        cache = MongoCache(collection)
        large = bytes(6 * 2**20)
        for key in "abcd":
            await cache.set(key, large, FOREVER)

        entries = await asyncio.gather(*(cache.get(key) for key in "abcd"))

        assert [entry is not None and entry.value == large for entry in entries] == [True] * 4


@with_each_client
async def test_a_bad_entry_fails_alone_and_what_it_held_is_in_no_message(client_class: Any, url: str) -> None:
    async with new_collection(client_class, url) as collection:
        cache = MongoCache(collection)
        await cache.set("secretkey", b"", FOREVER)
        await settled(cache)  # While an index is built, there can be no validator.
        await collection.database.command("collMod", collection.name, validator={"tag": {"$ne": "refused"}})
        refused = CacheEntryOptions(tag="refused")

        outcomes = await asyncio.gather(
            cache.set("lone", b"", FOREVER),
            cache.set("good", b"", FOREVER),
            cache.set("secretkey", b"secretvalue", refused),
            return_exceptions=True,
        )
        alone = await asyncio.gather(cache.set("secretkey", b"secretvalue", refused), return_exceptions=True)

        assert isinstance(outcomes[1], int)
        for error in (outcomes[2], *alone):
            assert isinstance(error, CacheError)
            assert isinstance(error.__cause__, pymongo.errors.WriteError)
            assert error.__cause__.code == 121
            assert "secret" not in "".join(traceback.format_exception(error))


@with_each_client
async def test_a_version_that_no_entry_can_have_replaces_nothing_and_fails_none_of_the_calls_beside_it(
    client_class: Any, url: str
) -> None:
    async with new_collection(client_class, url) as collection:
        cache = MongoCache(collection)
        versions = {key: await cache.set(key, b"old", FOREVER) for key in ("lone", "good", "key")}

        for impossible in (-1, 0, 2**63, 2**80):
            versions["key"] = impossible
            replacing = (cache.replace(key, b"new", FOREVER, version=version) for key, version in versions.items())
            lone, good, refused = await asyncio.gather(*replacing, return_exceptions=True)

            assert refused is None
            assert isinstance(lone, int)
            assert isinstance(good, int)
            versions |= {"lone": lone, "good": good}
        entry = await cache.get("key")
        assert entry is not None
        assert entry.value == b"old"


@with_each_client
async def test_a_document_that_cannot_be_read_or_slid_fails_none_of_the_readings_beside_it(
    client_class: Any, url: str
) -> None:
    async with new_collection(client_class, url) as collection:
        cache = MongoCache(collection)
        await cache.ensure_indexes()
        for key in ("lone", "good", "refused"):
            await cache.set(key, b"value", SLIDING)
        far = datetime.now(UTC) + HOUR
        odd = {"d": b"", "v": 1, "ref": datetime.now(UTC), "exp": far, "int": 0, "ttl": "secret"}
        await collection.insert_many([{"_id": "empty", "v": 1}, {"_id": "odd", **odd}])
        await collection.database.command("collMod", collection.name, validator={"_id": {"$ne": "refused"}})

        for bad in ("empty", "odd", "refused"):
            together = await asyncio.gather(*map(cache.get, ("lone", "good", bad)), return_exceptions=True)
            outcomes: list[Any] = [*together]

            assert [outcome.value for outcome in outcomes[:2]] == [b"value", b"value"]
            assert isinstance(outcomes[2], CacheError)
            with pytest.raises(CacheError) as alone:
                await cache.get(bad)
            for error in (outcomes[2], alone.value):
                assert "secret" not in "".join(traceback.format_exception(error))


@with_each_client
async def test_writes_of_two_processes_at_once_never_overwrite_an_insert(client_class: Any, url: str) -> None:
    async with (
        new_collection(client_class, url) as collection,
        connected(pymongo.AsyncMongoClient, url) as other_client,
    ):
        other = MongoCache(other_client[collection.database.name][collection.name])
        caches = (MongoCache(collection), other)
        for attempt in range(40):
            key = f"key{attempt}"
            added = await asyncio.gather(*(cache.add(key, b"added", FOREVER) for cache in caches))
            assert sum(version is not None for version in added) == 1
            put = await asyncio.gather(*(cache.set(f"{key} put", b"", FOREVER) for cache in caches))
            entry = await other.get(f"{key} put")
            assert entry is not None
            assert entry.version in put


# -- expiry -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shift", [HOUR, -HOUR])
@pytest.mark.parametrize("client_class", CLIENTS)
def test_the_clock_of_the_client_does_not_matter(
    client_class: Any, url: str, shift: timedelta, monkeypatch: pytest.MonkeyPatch
) -> None:
    true_time, true_now = time.time, datetime.now

    class Shifted(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> Any:
            return true_now(tz) + shift

        @classmethod
        def utcnow(cls) -> Any:
            return true_now(UTC).replace(tzinfo=None) + shift

    async def test() -> None:
        async with new_collection(client_class, url) as collection:
            cache = MongoCache(collection)
            now = true_now(UTC)
            await cache.set("absolute", b"", CacheEntryOptions(absolute=now + HOUR / 2))
            with pytest.raises(ValueError, match="future"):
                await cache.set("past", b"", CacheEntryOptions(absolute=now - HOUR / 2))
            await cache.set("sliding", b"", CacheEntryOptions(sliding=4 * MOMENT))
            await cache.set("relative", b"", CacheEntryOptions(relative=4 * MOMENT))

            await asyncio.sleep(2 * MOMENT.total_seconds())
            assert await cache.get("sliding") is not None
            assert await cache.get("relative") is not None
            entry = await cache.get("absolute")
            assert entry is not None
            assert entry.refreshed is not None
            assert abs(entry.refreshed - now) < timedelta(seconds=30)

            await asyncio.sleep(2.1 * MOMENT.total_seconds())
            assert await cache.get("sliding") is not None
            assert await cache.get("relative") is None

    monkeypatch.setattr(time, "time", lambda: true_time() + shift.total_seconds())
    monkeypatch.setattr(time, "time_ns", lambda: int((true_time() + shift.total_seconds()) * 1e9))
    monkeypatch.setattr(documents, "datetime", Shifted)
    asyncio.run(test())


@with_each_client
async def test_what_has_expired_is_invisible_although_no_sweep_comes(client_class: Any, url: str) -> None:
    async with new_collection(client_class, url) as collection:
        await collection.create_index("exp", name="no index that sweeps can be made beside this one")
        cache = MongoCache(collection)
        for number in range(4):
            await cache.set(f"key{number}", b"", CacheEntryOptions(relative=MOMENT, tag="red"))
        await asyncio.sleep(1.1 * MOMENT.total_seconds())

        alone = [await cache.get("key0"), await cache.get("key0", refresh=False), await cache.refresh("key0")]
        together = await asyncio.gather(*(cache.get(f"key{number}") for number in range(4)))

        assert alone == [None, None, False]
        assert together == [None] * 4
        assert [key async for key, _ in cache.find("red")] == []
        assert await MongoCache(collection).get("key3") is None
        assert await cache.replace("key1", b"revived", FOREVER) is None
        assert await cache.remove("key2") is False
        assert await collection.count_documents({}) == 4, "something was swept"


@with_each_client
async def test_a_slide_that_is_not_due_writes_nothing(client_class: Any, url: str) -> None:
    async with new_collection(client_class, url) as collection:
        cache = MongoCache(collection)
        await cache.set("one", b"", THROTTLED)
        await cache.set("two", b"", THROTTLED)
        await cache.set("fixed", b"", CacheEntryOptions(relative=HOUR))
        await cache.set("forever", b"", FOREVER)
        before = await collection.find().to_list(None)
        written = await oplog_entries(collection)

        await cache.get("one")
        await cache.get("fixed")
        await cache.get("forever")
        await asyncio.gather(*(cache.get(key) for key in ("one", "two", "fixed", "forever")))
        await cache.refresh("two")

        assert await collection.find().to_list(None) == before
        assert await oplog_entries(collection) == written


@with_each_client
async def test_a_slide_that_is_due_is_written_and_told_alone_and_together(client_class: Any, url: str) -> None:
    async with new_collection(client_class, url) as collection:
        cache = MongoCache(collection)
        for key in ("alone", "first", "second"):
            await cache.set(key, b"", SLIDING)
        before = {document["_id"]: document["exp"] async for document in collection.find()}
        await asyncio.sleep(0.02)

        entries = await asyncio.gather(*(cache.get(key) for key in ("alone", "first", "second")))

        for key, entry in zip(("alone", "first", "second"), entries, strict=True):
            document = await collection.find_one({"_id": key})
            assert document["exp"] > before[key]
            assert entry is not None
            assert entry.expires is not None
            assert entry.refreshed is not None
            assert entry.expires - entry.refreshed == HOUR
            assert abs(entry.expires - document["exp"].replace(tzinfo=UTC)) < timedelta(seconds=1)
            assert abs(entry.refreshed - document["ref"].replace(tzinfo=UTC)) < timedelta(seconds=1)


@with_each_client
async def test_no_end_is_rounded_down_to_the_milliseconds_of_a_date(client_class: Any, url: str) -> None:
    async with new_collection(client_class, url) as collection:
        cache = MongoCache(collection)
        end = datetime(2099, 1, 2, 3, 4, 5, 678001, tzinfo=UTC)
        await cache.set("absolute", b"", CacheEntryOptions(absolute=end))
        await cache.set("relative", b"", CacheEntryOptions(relative=timedelta(seconds=30, microseconds=1)))

        absolute, relative = await cache.get("absolute"), await cache.get("relative")

        assert absolute is not None
        assert absolute.expires == datetime(2099, 1, 2, 3, 4, 5, 679000, tzinfo=UTC)
        assert relative is not None
        assert relative.expires is not None
        assert relative.refreshed is not None
        assert relative.expires - relative.refreshed == timedelta(seconds=30, milliseconds=1)


@with_each_client
async def test_the_longest_durations_and_the_last_instant_are_kept(client_class: Any, url: str) -> None:
    async with new_collection(client_class, url) as collection:
        cache = MongoCache(collection)
        await cache.set("sliding", b"", CacheEntryOptions(sliding=timedelta.max))
        await cache.set("relative", b"", CacheEntryOptions(relative=timedelta.max))
        await cache.set("absolute", b"", CacheEntryOptions(absolute=datetime.max.replace(tzinfo=UTC)))

        for key in ("sliding", "relative", "absolute"):
            entry = await cache.get(key)
            assert entry is not None, key
            assert entry.expires is not None
            assert entry.expires.year == 9999


@with_each_client
async def test_finding_the_entries_of_a_tag_touches_only_those(client_class: Any, url: str) -> None:
    trips = Trips()
    async with new_collection(client_class, url, event_listeners=[trips]) as collection:
        cache = MongoCache(collection)
        await cache.ensure_indexes()
        for start in range(0, 100_000, 10_000):
            await collection.insert_many(
                [
                    {"_id": f"key{number}", "d": b"", "v": 1, "tag": f"owner{number % 10_000}"}
                    for number in range(start, start + 10_000)
                ]
            )
        trips.commands.clear()

        found = {key async for key, _ in cache.find("owner4711")}

        assert found == {f"key{number}" for number in range(4711, 100_000, 10_000)}
        (sent,) = trips.commands
        query = {"find": sent["find"], "filter": sent["filter"], "projection": sent["projection"]}
        explained = await collection.database.command("explain", query, verbosity="executionStats")
        assert explained["executionStats"]["totalDocsExamined"] == 10
        assert explained["executionStats"]["totalKeysExamined"] <= 11
