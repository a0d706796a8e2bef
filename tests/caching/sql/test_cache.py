"""SQLCache beyond the contract: clocks, slides that write nothing, one connection, cancelled calls, mistakes."""

import asyncio
import time
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import AsyncAdaptedQueuePool, create_engine, event
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from tests.caching.sql.databases import (
    ASYNCMY,
    ASYNCPG,
    SQLITE,
    Database,
    asynchronous,
    on,
    on_every_database,
    on_every_driver,
)
from tornado_session.caching.contract import MAX_KEY_SIZE, CacheEntryOptions
from tornado_session.caching.sql import SQLCache, create_cache_engine, rows
from tornado_session.errors import CacheError, CacheTimeoutError, ConfigurationError

HOUR = timedelta(hours=1)
FOREVER = CacheEntryOptions()
SLIDING = CacheEntryOptions(sliding=timedelta(minutes=20))
THROTTLED = CacheEntryOptions(sliding=timedelta(minutes=20), refresh_interval=timedelta(minutes=5))


@pytest.fixture(params=[HOUR, -HOUR], ids=["an hour ahead", "an hour behind"])
def wrong_clock(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> timedelta:
    """The clock of this process goes wrong; that of the database does not."""
    error: timedelta = request.param

    class WrongDatetime(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> Any:
            return datetime.now(tz) + error

    real_time = time.time
    monkeypatch.setattr(time, "time", lambda: real_time() + error.total_seconds())
    monkeypatch.setattr(rows, "datetime", WrongDatetime)
    return error


@on_every_database
@asynchronous
async def test_the_clock_of_the_database_decides(database: Database, wrong_clock: timedelta) -> None:
    cache = database.cache()
    now = datetime.now(UTC)

    await cache.set("future", b"", CacheEntryOptions(absolute=now + HOUR / 2))
    await cache.set("short", b"", CacheEntryOptions(relative=timedelta(milliseconds=50)))
    for call in (cache.set, cache.add, cache.replace):
        with pytest.raises(ValueError, match="must be in the future"):
            await call("future" if call == cache.replace else "past", b"", CacheEntryOptions(absolute=now - HOUR / 2))
    await asyncio.sleep(0.06)

    entry = await cache.get("future")
    assert entry is not None
    assert entry.expires == now + HOUR / 2
    assert await cache.get("short") is None
    assert await cache.get("past") is None


@on_every_driver
@asynchronous
async def test_an_entry_tells_when_it_ends_and_when_that_was_written(database: Database) -> None:
    cache = database.cache()
    before = datetime.now(UTC) - timedelta(milliseconds=1)
    await cache.set("key", b"", THROTTLED)
    after = datetime.now(UTC)

    entry = await cache.get("key")

    assert entry is not None
    assert entry.refreshed is not None
    assert entry.expires is not None
    assert before <= entry.refreshed <= after
    assert entry.expires - entry.refreshed - timedelta(minutes=25) < timedelta(milliseconds=1)


@on_every_driver
@asynchronous
async def test_a_slide_tells_the_new_end(database: Database) -> None:
    cache = database.cache()
    await cache.set("key", b"", SLIDING)
    first = await cache.get("key", refresh=False)
    await asyncio.sleep(0.02)

    slid = [await cache.get("key") for _ in range(2)]
    stored = await cache.get("key", refresh=False)

    assert first is not None
    assert stored is not None
    assert None not in slid
    ends = [entry.expires for entry in (first, *slid) if entry and entry.expires]
    assert ends == sorted(ends)
    assert ends[1] - ends[0] >= timedelta(milliseconds=19)
    assert stored.expires is not None
    assert abs(stored.expires - ends[2]) < timedelta(milliseconds=50)


@on_every_database
@asynchronous
async def test_a_reading_that_is_not_due_to_slide_writes_nothing_and_waits_for_no_writer(database: Database) -> None:
    cache = database.cache(create_cache_engine)
    await cache.set("key", b"value", THROTTLED)
    engine = database.engine()

    async with engine.connect() as connection:
        await connection.exec_driver_sql("BEGIN IMMEDIATE" if database.kind is SQLITE else "BEGIN")
        await connection.exec_driver_sql(f"UPDATE {database.table} SET version = version")
        async with asyncio.timeout(2):
            entry = await cache.get("key")
        await connection.rollback()

    assert entry is not None
    assert entry.value == b"value"


@on_every_database
@asynchronous
async def test_keys_and_tags_may_hold_any_character(database: Database) -> None:
    cache = database.cache()
    keys = ["a", "a\x00", "a\x00b", "\x00", "\U0001f512", "\u00e9" * (MAX_KEY_SIZE // 2)]
    for key in keys:
        await cache.set(key, key.encode(), CacheEntryOptions(tag=key))

    for key in keys:
        assert [(found, entry.value) async for found, entry in cache.find(key)] == [(key, key.encode())]


@on_every_driver
@asynchronous
async def test_find_reads_page_by_page_and_leaves_the_only_connection_to_others_meanwhile(database: Database) -> None:
    cache = SQLCache(_engine_of_one_connection(database), database.table)
    keys = {f"key{number}" for number in range(120)}
    for key in keys:
        await cache.set(key, b"", CacheEntryOptions(tag="red"))

    removed = {key async for key, _ in cache.find("red") if await cache.remove(key)}

    assert removed == keys
    assert [key async for key, _ in cache.find("red")] == []


@on_every_driver
@asynchronous
async def test_many_calls_at_once_share_the_connections_in_turn(database: Database) -> None:
    cache = database.cache()

    async def use(number: int) -> None:
        await cache.set(f"key{number}", b"%d" % number, SLIDING)
        entry = await cache.get(f"key{number}")
        assert entry is not None
        assert entry.value == b"%d" % number

    async with asyncio.timeout(30):
        await asyncio.gather(*(use(number) for number in range(100)))


@on_every_driver
@asynchronous
async def test_a_cancelled_call_leaves_the_only_connection_usable(database: Database) -> None:
    cache = SQLCache(_engine_of_one_connection(database), database.table)
    await cache.set("key", b"value", SLIDING)

    for delay in (0, 0.0002, 0.0005, 0.001, 0.002):
        for call in (cache.get("key"), cache.set("other", b"x" * 100_000, SLIDING)):
            task = asyncio.create_task(call)
            await asyncio.sleep(delay)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    entry = await cache.get("key")
    assert entry is not None
    assert entry.value == b"value"
    other = await cache.get("other")
    assert other is None or len(other.value) == 100_000
    async with asyncio.timeout(2):
        assert await cache.replace("key", b"new", SLIDING) is not None, "no lock is left behind"


@on(ASYNCPG, ASYNCMY)
@asynchronous
async def test_a_call_that_waits_for_a_lock_can_be_cancelled(database: Database) -> None:
    cache = SQLCache(_engine_of_one_connection(database), database.table)
    await cache.set("key", b"value", SLIDING)
    engine = database.engine()

    async with engine.connect() as connection:
        await connection.exec_driver_sql(f"UPDATE {database.table} SET refreshed = 0")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3):
                await cache.replace("key", b"late", SLIDING)
        await connection.rollback()

    async with asyncio.timeout(3):
        assert await cache.replace("key", b"new", SLIDING) is not None


def test_a_cache_may_be_used_on_one_loop_after_another(tmp_path: Any) -> None:
    engine = create_cache_engine(f"sqlite+aiosqlite:///{tmp_path}/sessions.db")
    cache = SQLCache(engine)

    async def visit(number: int) -> int | None:
        versions = await asyncio.gather(*(cache.add(f"{number}-{other}", b"", FOREVER) for other in range(20)))
        await engine.dispose()
        return len([version for version in versions if version])

    assert [asyncio.run(visit(number)) for number in range(3)] == [20, 20, 20]


@on(SQLITE)
@asynchronous
async def test_endless_durations_are_kept(database: Database) -> None:
    cache = database.cache()

    await cache.set("key", b"value", CacheEntryOptions(sliding=timedelta.max, relative=timedelta.max))

    entry = await cache.get("key")
    assert entry is not None
    assert entry.expires is None


@on_every_database
@asynchronous
async def test_two_tables_of_one_database_share_nothing(database: Database) -> None:
    cache = database.cache()
    other = SQLCache(database.engine(), f"{database.table}_2")

    await cache.set("key", b"value", FOREVER)

    assert await other.get("key") is None
    await database.execute("DROP TABLE {table}_2")


def test_an_engine_that_is_not_asynchronous_is_refused() -> None:
    engine: Any = create_engine("sqlite://")

    with pytest.raises(ConfigurationError, match="create_cache_engine"):
        SQLCache(engine)


def test_a_database_that_the_cache_does_not_speak_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = create_async_engine("sqlite+aiosqlite://")
    monkeypatch.setattr(engine.dialect, "name", "oracle")

    with pytest.raises(ConfigurationError, match="is for oracle"):
        SQLCache(engine)


@pytest.mark.parametrize("number", [0, -1])
def test_fewer_than_one_connection_is_refused(number: int) -> None:
    with pytest.raises(ConfigurationError, match="max_connections must be at least 1"):
        SQLCache(create_async_engine("sqlite+aiosqlite://"), max_connections=number)


@pytest.mark.parametrize("name", ["", "a b", "a;b", "1a", "t" * 49, "\u00e9", None])
def test_a_name_that_no_table_should_have_is_refused(name: Any) -> None:
    with pytest.raises(ConfigurationError, match="table must"):
        SQLCache(create_async_engine("sqlite+aiosqlite://"), name)


@on(ASYNCPG)
@asynchronous
async def test_a_write_that_a_trigger_swallows_is_an_error(database: Database) -> None:
    cache = database.cache()
    await cache.create_table()
    await database.execute(
        "CREATE FUNCTION {table}_swallow() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'",
        "CREATE TRIGGER swallow BEFORE INSERT ON {table} FOR EACH ROW EXECUTE FUNCTION {table}_swallow()",
    )

    with pytest.raises(CacheError, match="wrote nothing"):
        await cache.set("key", b"", FOREVER)

    assert await cache.add("key", b"", FOREVER) is None
    await database.execute("DROP FUNCTION {table}_swallow CASCADE")


@on(SQLITE)
@asynchronous
async def test_a_file_that_stays_locked_is_a_timeout_and_nothing_is_half_written(database: Database) -> None:
    cache = SQLCache(database.engine(create_cache_engine, connect_args={"timeout": 0.1}), database.table)
    version = await cache.set("key", b"old", FOREVER)
    engine = database.engine()

    async with engine.connect() as connection:
        await connection.exec_driver_sql("BEGIN EXCLUSIVE")
        for call in (cache.set, cache.add, cache.replace):
            with pytest.raises(CacheTimeoutError, match="SQLITE_BUSY"):
                await call("key" if call != cache.add else "new", b"new", FOREVER)
        entry = await cache.get("key")
        await connection.rollback()

    assert entry is not None
    assert (entry.value, entry.version) == (b"old", version)
    assert await cache.get("new") is None
    assert await cache.replace("key", b"new", FOREVER, version=version) is not None


@on(SQLITE)
@asynchronous
async def test_an_engine_that_begins_its_transactions_itself_keeps_what_was_written(database: Database) -> None:
    # As SQLAlchemy's documentation advises for transactions that SQLite's driver would not begin.
    engine = database.engine()
    event.listen(engine.sync_engine, "connect", lambda connection, _: setattr(connection, "isolation_level", None))
    event.listen(engine.sync_engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN"))
    cache = SQLCache(engine, database.table)

    version = await cache.set("key", b"one", SLIDING)
    assert await cache.replace("key", b"two", SLIDING, version=version) is not None

    entry = await cache.get("key")
    assert entry is not None
    assert entry.value == b"two"


@on(SQLITE)
@asynchronous
async def test_calls_that_were_cancelled_take_no_more_connections_than_others(database: Database) -> None:
    cache = database.cache(create_cache_engine, max_connections=2)
    await cache.set("key", b"", FOREVER)
    engine = database.engine()

    async with engine.connect() as connection:
        await connection.exec_driver_sql("BEGIN IMMEDIATE")
        for number in range(6):
            with suppress(TimeoutError):
                async with asyncio.timeout(0.02):
                    await cache.set(f"key{number}", b"", FOREVER)
        pool = database.engines[0].pool
        assert isinstance(pool, AsyncAdaptedQueuePool)
        assert pool.checkedout() == 2
        await connection.rollback()

    assert await cache.set("key", b"", FOREVER)
    # What was abandoned ends before the loop does.
    async with asyncio.timeout(10):
        while pool.checkedout():
            await asyncio.sleep(0.01)


def _engine_of_one_connection(database: Database) -> AsyncEngine:
    if database.kind.is_in_memory:
        return database.engine()
    return database.engine(poolclass=AsyncAdaptedQueuePool, pool_size=1, max_overflow=0, pool_timeout=5)
