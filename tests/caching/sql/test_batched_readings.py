"""Parallel readings of SQLCache share statements, and nothing else."""

import asyncio
from datetime import timedelta

from tests.caching.sql.databases import (
    ASYNCMY,
    ASYNCPG,
    SQLITE,
    Database,
    asynchronous,
    executed_by,
    on,
    on_every_database,
    on_every_driver,
    stored,
)
from tornado_session.caching.contract import CacheEntry, CacheEntryOptions
from tornado_session.caching.sql import SQLCache, create_cache_engine
from tornado_session.errors import CacheTimeoutError

SLIDING = CacheEntryOptions(sliding=timedelta(minutes=20))
THROTTLED = CacheEntryOptions(sliding=timedelta(minutes=20), refresh_interval=timedelta(minutes=5))
SOON = CacheEntryOptions(relative=timedelta(milliseconds=1))
KEYS = [f"key{number}" for number in range(20)]


@on_every_driver
@asynchronous
async def test_parallel_readings_each_find_their_own(database: Database) -> None:
    cache = await _filled(database, SLIDING)
    await cache.set("ended", b"", SOON)
    await asyncio.sleep(0.01)

    found = await asyncio.gather(*(cache.get(key) for key in ("missing", *KEYS, "ended", KEYS[0])))

    assert [entry and entry.value for entry in found] == [None, *map(str.encode, KEYS), None, KEYS[0].encode()]


@on_every_database
@asynchronous
async def test_what_gathers_while_a_reading_is_under_way_is_one_statement(database: Database) -> None:
    cache = await _filled(database, THROTTLED)
    statements = executed_by(database.engines[0])

    await asyncio.gather(*map(cache.get, KEYS))

    assert len(statements) == 2, "the first, and all others"
    assert statements[1].startswith("SELECT")


@on(SQLITE, ASYNCMY)
@asynchronous
async def test_what_slides_together_is_one_statement_more(database: Database) -> None:
    cache = await _filled(database, SLIDING)
    statements = executed_by(database.engines[0])

    await asyncio.gather(*map(cache.get, KEYS))

    # Where the machine is slow, the others do not wait until the first has slid.
    assert sorted(statement.split()[0] for statement in statements) == ["SELECT", "SELECT", "UPDATE", "UPDATE"]


@on_every_driver
@asynchronous
async def test_only_who_asks_for_it_slides(database: Database) -> None:
    cache = await _filled(database, SLIDING)
    before = await stored(cache, KEYS)
    await asyncio.sleep(0.02)

    told = await asyncio.gather(*(cache.get(key, refresh=number % 2 == 0) for number, key in enumerate(KEYS)))

    after = await stored(cache, KEYS)
    asked = [number % 2 == 0 for number in range(len(KEYS))]
    assert [now.expires > then.expires for then, now in zip(before, after, strict=True)] == asked  # type: ignore[operator]
    assert [entry.expires > then.expires for then, entry in zip(before, told, strict=True)] == asked  # type: ignore[operator, union-attr]


@on_every_database
@asynchronous
async def test_as_many_readings_as_there_may_be_take_few_different_statements(database: Database) -> None:
    cache = await _filled(database, THROTTLED)
    statements = executed_by(database.engines[0])

    for number in range(2, len(KEYS) + 1):
        await asyncio.gather(*map(cache.get, KEYS[:number]))

    together = {statement for statement in statements if " IN " in statement}
    assert 3 <= len(together) <= 5


@on_every_database
@asynchronous
async def test_a_caller_that_is_cancelled_disturbs_no_other(database: Database) -> None:
    cache = await _filled(database, SLIDING)

    readings = [asyncio.create_task(cache.get(key)) for key in KEYS]
    await asyncio.sleep(0)
    for reading in readings[::2]:
        reading.cancel()
    outcomes = await asyncio.gather(*readings, return_exceptions=True)

    assert all(isinstance(outcome, asyncio.CancelledError) for outcome in outcomes[::2])
    found = [outcome for outcome in outcomes[1::2] if isinstance(outcome, CacheEntry)]
    assert [entry.value for entry in found] == [key.encode() for key in KEYS[1::2]]


@on(ASYNCPG)
@asynchronous
async def test_a_row_that_is_locked_holds_up_none_of_the_others(database: Database) -> None:
    cache = await _filled(database, SLIDING)
    engine = database.engine()

    async with engine.connect() as connection:
        await connection.exec_driver_sql(
            f"SELECT key FROM {database.table} WHERE key = $1 FOR UPDATE", (KEYS[5].encode(),)
        )
        async with asyncio.timeout(10):
            found = await asyncio.gather(*map(cache.get, KEYS))
        await connection.rollback()

    assert None not in found


@on(SQLITE)
@asynchronous
async def test_a_slide_that_fails_fails_none_that_do_not_slide(database: Database) -> None:
    cache = SQLCache(database.engine(create_cache_engine, connect_args={"timeout": 0.1}), database.table)
    for key in KEYS:
        await cache.set(key, key.encode(), SLIDING if key == KEYS[5] else THROTTLED)
    engine = database.engine()

    async with engine.connect() as connection:
        await connection.exec_driver_sql("BEGIN IMMEDIATE")
        found = await asyncio.gather(*map(cache.get, KEYS), return_exceptions=True)
        await connection.rollback()

    assert isinstance(found.pop(5), CacheTimeoutError)
    assert all(isinstance(entry, CacheEntry) for entry in found)


@on_every_database
@asynchronous
async def test_caches_that_slide_the_same_rows_in_any_order_do_not_fail_each_other(database: Database) -> None:
    cache = await _filled(database, SLIDING)
    other = SQLCache(database.engine(), database.table)

    for _ in range(10):
        found = await asyncio.gather(*map(cache.get, KEYS), *map(other.get, reversed(KEYS)))
        assert None not in found


async def _filled(database: Database, options: CacheEntryOptions) -> SQLCache:
    cache = database.cache()
    for key in KEYS:
        await cache.set(key, key.encode(), options)
    return cache
