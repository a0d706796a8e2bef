"""Parallel writes of SQLCache over known versions share statements, and nothing else."""

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from tests.caching.sql.databases import (
    ASYNCMY,
    ASYNCPG,
    PSYCOPG,
    SQLITE,
    Database,
    asynchronous,
    executed_by,
    on,
    on_every_driver,
    stored,
)
from tornado_session.caching.contract import CacheEntry, CacheEntryOptions
from tornado_session.caching.sql import SQLCache, create_cache_engine
from tornado_session.errors import CacheError

SLIDING = CacheEntryOptions(sliding=timedelta(minutes=20))
TAGGED = CacheEntryOptions(relative=timedelta(hours=1), tag="owner")
KEYS = [f"key{number}" for number in range(20)]
on_those_that_share = on(SQLITE, ASYNCPG, PSYCOPG)


@on_every_driver
@asynchronous
async def test_parallel_writes_each_replace_their_own_with_value_expiry_and_tag(database: Database) -> None:
    cache, versions = await _filled(database)

    written = await asyncio.gather(
        *(
            cache.replace(key, key.encode() * number, TAGGED if number % 2 else SLIDING, version=versions[key])
            for number, key in enumerate(KEYS)
        )
    )

    found = {key: await cache.get(key, refresh=False) for key in KEYS}
    assert [entry and entry.value for entry in found.values()] == [key.encode() * n for n, key in enumerate(KEYS)]
    assert [entry and entry.version for entry in found.values()] == written
    assert {key async for key, _ in cache.find("owner")} == set(KEYS[1::2])
    soon, later = (datetime.now(UTC) + timedelta(minutes=minutes) for minutes in (30, 90))
    assert all(entry and entry.expires and (soon < entry.expires < later) for entry in list(found.values())[1::2])


@on_those_that_share
@asynchronous
async def test_what_gathers_while_a_write_is_under_way_is_one_statement(database: Database) -> None:
    cache, versions = await _filled(database)
    statements = executed_by(database.engines[0])

    await asyncio.gather(*_replacing(cache, versions))

    assert len(statements) == 2, "the first, and all others"
    assert "UPDATE" in statements[1]


@on(ASYNCMY)
@asynchronous
async def test_where_no_statement_can_tell_whom_it_met_each_write_is_one(database: Database) -> None:
    cache, versions = await _filled(database)
    statements = executed_by(database.engines[0])

    await asyncio.gather(*_replacing(cache, versions))

    assert len(statements) == len(KEYS)


@on_every_driver
@asynchronous
async def test_a_version_that_is_outdated_is_refused_among_others_that_are_not(database: Database) -> None:
    cache, versions = await _filled(database)
    await cache.remove(KEYS[9])
    versions[KEYS[5]] += 1

    written = dict(zip(KEYS, await asyncio.gather(*_replacing(cache, versions)), strict=True))

    assert [key for key, version in written.items() if version is None] == [KEYS[5], KEYS[9]]
    kept = await cache.get(KEYS[5])
    assert kept is not None
    assert kept.value == KEYS[5].encode()
    assert await cache.get(KEYS[9]) is None


@on_those_that_share
@asynchronous
async def test_an_end_in_the_past_is_refused_among_others_that_are_not(database: Database) -> None:
    cache, versions = await _filled(database)
    past = CacheEntryOptions(absolute=datetime.now(UTC) - timedelta(seconds=1))

    outcomes = await asyncio.gather(
        *(cache.replace(key, b"new", past if key == KEYS[5] else SLIDING, version=versions[key]) for key in KEYS),
        return_exceptions=True,
    )

    assert isinstance(outcomes.pop(5), ValueError)
    assert all(isinstance(outcome, int) for outcome in outcomes)


@on(SQLITE)
@asynchronous
async def test_a_row_that_the_database_refuses_fails_alone(database: Database) -> None:
    cache, versions = await _filled(database)
    await database.execute(
        "CREATE TRIGGER refuse_{table} BEFORE UPDATE ON {table} WHEN NEW.key = CAST('key5' AS BLOB) "
        "BEGIN SELECT RAISE(ABORT, 'secret'); END"
    )

    outcomes = await asyncio.gather(*_replacing(cache, versions), return_exceptions=True)

    error = outcomes.pop(5)
    assert isinstance(error, CacheError)
    assert "secret" not in f"{error}{error.__cause__}"
    assert all(isinstance(outcome, int) for outcome in outcomes)


@on(ASYNCPG, PSYCOPG)
@asynchronous
async def test_a_conflict_over_one_row_fails_neither_the_writes_nor_the_slides_of_others(database: Database) -> None:
    cache, versions = await _filled(database)
    await database.execute(
        "CREATE FUNCTION {table}_conflict() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN "
        "IF convert_from(NEW.key, ''UTF8'') = ''key5'' THEN RAISE EXCEPTION SQLSTATE ''40001''; END IF; "
        "RETURN NEW; END'",
        "CREATE TRIGGER conflict BEFORE UPDATE ON {table} FOR EACH ROW EXECUTE FUNCTION {table}_conflict()",
    )

    written = await asyncio.gather(*_replacing(cache, versions), return_exceptions=True)
    read = await asyncio.gather(*map(cache.get, KEYS), return_exceptions=True)

    assert isinstance(written.pop(5), CacheError)
    assert all(isinstance(version, int) for version in written)
    assert isinstance(read.pop(5), CacheError)
    assert [entry.value for entry in read if isinstance(entry, CacheEntry)] == [b"new"] * (len(KEYS) - 1)
    await database.execute("DROP FUNCTION {table}_conflict CASCADE")


@on(SQLITE, ASYNCPG)
@asynchronous
async def test_a_write_that_waits_for_a_lock_holds_up_no_reading_of_its_row(database: Database) -> None:
    cache = database.cache(create_cache_engine)
    version = await cache.set("key", b"old", SLIDING)
    engine = database.engine()

    async with engine.connect() as connection:
        await connection.exec_driver_sql("BEGIN IMMEDIATE" if database.kind is SQLITE else "BEGIN")
        await connection.exec_driver_sql(f"UPDATE {database.table} SET version = version")
        write = asyncio.ensure_future(cache.replace("key", b"new", SLIDING, version=version))
        await asyncio.sleep(0.05)
        async with asyncio.timeout(2):
            entry = await cache.get("key", refresh=False)
        assert not write.done()
        await connection.rollback()

    assert entry is not None
    assert entry.value == b"old"
    assert await write is not None


@on(ASYNCPG, PSYCOPG)
@asynchronous
async def test_a_row_that_is_locked_holds_up_its_own_write_alone(database: Database) -> None:
    cache, versions = await _filled(database)
    engine = database.engine()
    statement = f"SELECT key FROM {database.table} WHERE key = 'key5'::bytea FOR UPDATE"

    async with engine.connect() as connection:
        await connection.exec_driver_sql(statement)
        writes = [asyncio.ensure_future(write) for write in _replacing(cache, versions)]
        locked = writes.pop(5)
        async with asyncio.timeout(10):
            written = await asyncio.gather(*writes)
        assert None not in written
        assert not locked.done()
        await connection.rollback()

    assert await locked is not None


@on_those_that_share
@asynchronous
async def test_a_caller_that_is_cancelled_disturbs_no_other_write(database: Database) -> None:
    cache, versions = await _filled(database)

    writes = [asyncio.ensure_future(write) for write in _replacing(cache, versions)]
    await asyncio.sleep(0)
    for write in writes[::2]:
        write.cancel()
    outcomes = await asyncio.gather(*writes, return_exceptions=True)

    assert all(isinstance(outcome, asyncio.CancelledError) for outcome in outcomes[::2])
    assert all(isinstance(outcome, int) for outcome in outcomes[1::2])


@on_those_that_share
@asynchronous
async def test_as_many_writes_as_there_may_be_take_few_different_statements(database: Database) -> None:
    cache, versions = await _filled(database)
    statements = executed_by(database.engines[0])

    for number in range(2, len(KEYS) + 1):
        keys = KEYS[:number]
        written = await asyncio.gather(*(cache.replace(key, b"", SLIDING, version=versions[key]) for key in keys))
        versions |= {key: version for key, version in zip(keys, written, strict=True) if version is not None}

    together = {statement for statement in statements if "UNION ALL" in statement}
    assert 3 <= len(together) <= 5


@on_those_that_share
@asynchronous
async def test_of_caches_that_replace_the_same_rows_in_any_order_each_row_takes_one(database: Database) -> None:
    cache, versions = await _filled(database)
    other = SQLCache(database.engine(), database.table)

    for _ in range(10):
        backwards = dict(reversed(versions.items()))
        both = await asyncio.gather(*_replacing(cache, versions), *_replacing(other, backwards))
        one, another = both[: len(KEYS)], both[len(KEYS) :][::-1]
        assert [bool(mine) for mine in one] == [not theirs for theirs in another], "one of the two, and never both"
        versions = {key: mine or theirs or 0 for key, mine, theirs in zip(KEYS, one, another, strict=True)}

    assert {entry.version for entry in await stored(cache, KEYS)} == set(versions.values())


@on_those_that_share
@asynchronous
async def test_of_parallel_writes_to_one_row_the_first_is_written(database: Database) -> None:
    cache, versions = await _filled(database)
    seen = versions[KEYS[0]]

    written = await asyncio.gather(*(cache.replace(KEYS[0], b"%d" % n, SLIDING, version=seen) for n in range(5)))

    assert [version is not None for version in written] == [True, False, False, False, False]


@on(SQLITE)
@asynchronous
async def test_with_an_engine_that_saves_trips_writes_are_shared_all_the_same(database: Database) -> None:
    cache = SQLCache(database.engine(create_cache_engine), database.table)
    versions = {key: await cache.set(key, key.encode(), SLIDING) for key in KEYS}

    assert None not in await asyncio.gather(*_replacing(cache, versions))

    assert {entry.value for entry in await stored(cache, KEYS)} == {b"new"}


def _replacing(cache: SQLCache, versions: Mapping[str, int]) -> list[Any]:
    return [cache.replace(key, b"new", SLIDING, version=version) for key, version in versions.items()]


async def _filled(database: Database) -> tuple[SQLCache, dict[str, int]]:
    cache = database.cache()
    return cache, {key: await cache.set(key, key.encode(), SLIDING) for key in KEYS}
