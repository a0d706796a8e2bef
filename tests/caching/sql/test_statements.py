"""What SQLCache says to a database: how often, how many trips that takes, and whether an index answers."""

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import insert, text
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from tests.caching.sql.databases import (
    AIOMYSQL,
    ASYNCMY,
    ASYNCPG,
    MEMORY,
    PSYCOPG,
    SQLITE,
    Database,
    asynchronous,
    executed_by,
    on,
    on_every_database,
)
from tests.caching.sql.proxy import Proxy, proxy_of
from tornado_session.caching.contract import CacheEntryOptions
from tornado_session.caching.sql import SQLCache, create_cache_engine
from tornado_session.caching.sql.dialects import choose_dialect
from tornado_session.caching.sql.table import define_table

SLIDING = CacheEntryOptions(sliding=timedelta(minutes=20))
THROTTLED = CacheEntryOptions(sliding=timedelta(minutes=20), refresh_interval=timedelta(minutes=1))
FOREVER = CacheEntryOptions()


class Statements:
    """Those that an engine has executed since the last look."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._executed = executed_by(engine)

    def taken(self) -> list[str]:
        verbs = [statement.split(maxsplit=1)[0] for statement in self._executed]
        self._executed.clear()
        return verbs


@pytest.fixture
def counted(database: Database) -> tuple[SQLCache, Statements]:
    engine = database.engine()
    return SQLCache(engine, database.table), Statements(engine)


@on(SQLITE, MEMORY, ASYNCPG, PSYCOPG, ASYNCMY, AIOMYSQL)
@asynchronous
async def test_a_call_is_one_statement(database: Database, counted: tuple[SQLCache, Statements]) -> None:
    cache, statements = counted
    await cache.create_table()
    statements.taken()

    for call in (
        lambda: cache.get("missing"),
        lambda: cache.get("missing", refresh=False),
        lambda: cache.remove("missing"),
        lambda: cache.replace("missing", b"", SLIDING),
        lambda: cache.add("key", b"", THROTTLED),
        lambda: cache.set("key", b"", THROTTLED),
        lambda: cache.get("key"),
        lambda: cache.get("key", refresh=False),
        lambda: cache.replace("key", b"", FOREVER),
        lambda: cache.get("key"),
        lambda: _list(cache, "tag"),
        lambda: cache.remove("key"),
    ):
        await call()
        assert len(statements.taken()) == 1


@on(ASYNCPG, PSYCOPG)
@asynchronous
async def test_on_postgresql_a_reading_that_slides_is_one_statement_too(
    database: Database, counted: tuple[SQLCache, Statements]
) -> None:
    cache, statements = counted
    await cache.set("key", b"", SLIDING)
    statements.taken()

    await cache.get("key")
    await cache.add("key", b"", SLIDING)
    await cache.refresh("key")

    assert statements.taken() == ["WITH", "INSERT", "UPDATE"]


@on(SQLITE)
@asynchronous
async def test_on_sqlite_readings_that_always_slide_are_one_statement_after_the_first(
    database: Database, counted: tuple[SQLCache, Statements]
) -> None:
    cache, statements = counted
    await cache.set("key", b"", SLIDING)
    await cache.set("throttled", b"", THROTTLED)
    statements.taken()

    await cache.get("key")
    assert statements.taken() == ["SELECT", "UPDATE"]
    await cache.get("key")
    assert statements.taken() == ["UPDATE"]
    await cache.get("throttled")
    assert statements.taken() == ["UPDATE", "SELECT"]
    await cache.get("throttled")
    assert statements.taken() == ["SELECT"]


@on(ASYNCMY, AIOMYSQL)
@asynchronous
async def test_on_mariadb_sliding_and_a_key_that_is_taken_cost_a_second_statement(
    database: Database, counted: tuple[SQLCache, Statements]
) -> None:
    cache, statements = counted
    await cache.set("key", b"", SLIDING)
    statements.taken()

    await cache.get("key")
    assert statements.taken() == ["SELECT", "UPDATE"]
    await cache.add("key", b"", SLIDING)
    assert statements.taken() == ["INSERT", "SELECT"]


@on(ASYNCPG, PSYCOPG, ASYNCMY, AIOMYSQL)
@asynchronous
async def test_on_an_engine_of_its_own_a_statement_is_a_trip(database: Database) -> None:
    async with proxy_of(database.url) as proxy:
        cache = SQLCache(database.engine(create_cache_engine, url=proxy.url), database.table)

        trips = await _trips(cache, proxy)

    sliding = 1 if database.kind in (ASYNCPG, PSYCOPG) else 2
    assert trips == {"set": 1, "get": 1, "get sliding": sliding, "replace": 1, "remove": 1, "add": 1}


@on(ASYNCPG, PSYCOPG)
@asynchronous
async def test_on_postgresql_there_is_no_begin_and_no_commit_on_any_engine(database: Database) -> None:
    async with proxy_of(database.url) as proxy:
        cache = SQLCache(database.engine(create_async_engine, url=proxy.url), database.table)

        trips = await _trips(cache, proxy)

    assert set(trips.values()) == {1}


@on(ASYNCMY, AIOMYSQL)
@asynchronous
async def test_on_mariadb_an_engine_for_transactions_costs_a_commit_and_a_rollback(database: Database) -> None:
    async with proxy_of(database.url) as proxy:
        cache = SQLCache(database.engine(create_async_engine, url=proxy.url), database.table)

        trips = await _trips(cache, proxy)

    assert trips == {"set": 3, "get": 2, "get sliding": 4, "replace": 3, "remove": 3, "add": 3}


@on_every_database
@asynchronous
async def test_a_tag_and_the_expired_are_found_by_index(database: Database) -> None:
    engine = database.engine()
    await SQLCache(engine, database.table).create_table()
    await _fill(database, engine)
    dialect = choose_dialect(engine, define_table(database.table))

    for statement, index in ((dialect.find.params(label=b"red", after=b""), "tag"), (dialect.sweep, "expires")):
        assert f"{database.table}_{index}" in await _plan(engine, statement)


async def _trips(cache: SQLCache, proxy: Proxy) -> dict[str, int]:
    """The trips of each call, when it is made often: drivers prepare a statement after some times."""
    trips: dict[str, int] = {}
    for _ in range(8):
        for name, call in (
            ("set", lambda: cache.set("key", b"", SLIDING)),
            ("get", lambda: cache.get("key", refresh=False)),
            ("get sliding", lambda: cache.get("key")),
            ("replace", lambda: cache.replace("key", b"", SLIDING)),
            ("remove", lambda: cache.remove("key")),
            ("add", lambda: cache.add("key", b"", SLIDING)),
        ):
            before = proxy.trips
            await call()
            trips[name] = proxy.trips - before
    return trips


async def _fill(database: Database, engine: AsyncEngine) -> None:
    """Enough rows, one in a hundred tagged and another expired, that a planner prefers an index."""
    table = define_table(database.table)
    far = 2**60
    rows = [
        {
            "key": b"%d" % number,
            "value": b"x" * 100,
            "version": number,
            "expires": 1 if number % 100 == 1 else far + number,
            "refresh_interval": 0,
            "refreshed": 0,
            "tag": b"red" if number % 100 == 2 else b"%d" % number,
        }
        for number in range(3000)
    ]
    async with engine.begin() as connection:
        await connection.execute(insert(table), rows)
    if database.kind is not SQLITE:
        await database.execute("ANALYZE {table}" if database.kind is ASYNCPG else "ANALYZE TABLE {table}")


async def _plan(engine: AsyncEngine, statement: Any) -> str:
    """How the database would go about a statement."""
    compiled = statement.compile(dialect=engine.dialect, compile_kwargs={"literal_binds": True})
    explain = "EXPLAIN QUERY PLAN" if engine.dialect.name == "sqlite" else "EXPLAIN"
    async with engine.connect() as connection:
        return "\n".join(map(str, await connection.execute(text(f"{explain} {compiled}"))))


async def _list(cache: SQLCache, tag: str) -> list[str]:
    return [key async for key, _ in cache.find(tag)]
