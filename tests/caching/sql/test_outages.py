"""What SQLCache does when its database goes away and comes back, breaks a line, or says: not now."""

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from tests.caching.sql.conftest import mariadb
from tests.caching.sql.databases import (
    AIOMYSQL,
    ASYNCMY,
    ASYNCPG,
    PSYCOPG,
    SQLITE,
    Database,
    Kind,
    asynchronous,
    check_driver,
    on,
    on_every_server,
    url_of,
)
from tests.caching.sql.proxy import proxy_of
from tests.services import require
from tornado_session.caching.contract import CacheEntryOptions
from tornado_session.caching.sql import SQLCache, create_cache_engine
from tornado_session.caching.sql import database as runner
from tornado_session.errors import CacheError, CacheTimeoutError
from tornado_session.testing.servers.postgresql import PostgresServer
from tornado_session.testing.servers.process import ServerProcess

FOREVER = CacheEntryOptions()


@pytest.fixture(scope="module")
def own_postgresql() -> Iterator[ServerProcess]:
    with require(PostgresServer) as server:
        yield server


@pytest.fixture(scope="module")
def own_mysql() -> Iterator[ServerProcess]:
    with require(mariadb) as server:
        yield server


@pytest.fixture(params=[ASYNCPG, PSYCOPG, ASYNCMY, AIOMYSQL], ids=str)
def outage(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[ServerProcess, SQLCache]:
    """A server to be killed, and a cache on it."""
    kind: Kind = request.param
    check_driver(kind)
    server: ServerProcess = request.getfixturevalue(f"own_{kind.scheme.partition('+')[0]}")
    table = f"sessions_{uuid4().hex[:12]}"
    return server, SQLCache(create_cache_engine(url_of(kind, server.url, tmp_path)), table)


def calls_of(cache: SQLCache) -> list[Callable[[], Any]]:
    return [
        lambda: cache.get("key"),
        lambda: cache.get("key", refresh=False),
        lambda: cache.set("key", b"", FOREVER),
        lambda: cache.add("key", b"", FOREVER),
        lambda: cache.replace("key", b"", FOREVER),
        lambda: cache.refresh("key"),
        lambda: cache.remove("key"),
        lambda: _list(cache, "tag"),
    ]


def test_while_the_server_is_away_every_call_is_an_error_and_afterwards_none(
    outage: tuple[ServerProcess, SQLCache],
) -> None:
    server, cache = outage

    async def live_through_an_outage() -> None:
        await cache.set("key", b"value", FOREVER)
        server.kill()
        for call in calls_of(cache):
            with pytest.raises(CacheError) as caught:
                await call()
            assert caught.value.__cause__ is not None
        server.start()
        entry = await cache.get("key")
        assert entry is not None
        assert entry.value == b"value"
        for call in calls_of(cache):
            await call()
        await cache._database._engine.dispose()

    asyncio.run(live_through_an_outage())


def test_connections_that_a_restart_has_left_in_the_pool_are_no_error(
    outage: tuple[ServerProcess, SQLCache], monkeypatch: pytest.MonkeyPatch
) -> None:
    server, cache = outage
    monkeypatch.setattr(runner, "REST", 0.1)

    async def live_through_a_restart() -> None:
        await asyncio.gather(*(cache.set(f"key{number}", b"", FOREVER) for number in range(8)))
        server.stop()
        server.start()
        await asyncio.sleep(0.15)
        await asyncio.gather(*(cache.set(f"key{number}", b"", FOREVER) for number in range(8)))
        await cache._database._engine.dispose()

    asyncio.run(live_through_a_restart())


@on_every_server
@asynchronous
async def test_a_reading_whose_connection_breaks_is_tried_once_more_and_a_write_is_an_error(database: Database) -> None:
    async with proxy_of(database.url) as proxy:
        cache = SQLCache(database.engine(create_cache_engine, url=proxy.url), database.table)
        await cache.set("key", b"value", FOREVER)

        for read in (lambda: cache.get("key"), lambda: cache.refresh("key"), lambda: _list(cache, "tag")):
            proxy.answers_to_cut = 1
            await read()
            assert proxy.answers_to_cut == 0
        for write in (cache.set, cache.replace, cache.add):
            proxy.answers_to_cut = 1
            with pytest.raises(CacheError, match="cannot be reached"):
                await write("other" if write == cache.add else "key", b"new", FOREVER)
        proxy.answers_to_cut = 2
        with pytest.raises(CacheError, match="cannot be reached"):
            await cache.get("key")


@on(ASYNCPG)
@asynchronous
async def test_a_serialization_failure_is_tried_again(database: Database) -> None:
    """PostgreSQL refuses to update what another has updated meanwhile, where transactions shall be serializable."""
    cache = SQLCache(
        database.engine(connect_args=_settings(default_transaction_isolation="serializable")), database.table
    )
    await cache.set("key", b"old", FOREVER)
    other = database.engine()

    async with other.connect() as connection:
        await connection.exec_driver_sql(f"UPDATE {database.table} SET refreshed = 1")
        replacing = asyncio.create_task(cache.replace("key", b"new", FOREVER))
        await asyncio.sleep(0.2)
        assert not replacing.done()
        await connection.commit()

    assert await replacing is not None
    entry = await cache.get("key")
    assert entry is not None
    assert entry.value == b"new"


@on(ASYNCMY, AIOMYSQL)
@asynchronous
async def test_a_deadlock_is_tried_again(database: Database) -> None:
    cache = database.cache()
    version = await cache.set("key", b"old", FOREVER)
    await _arrange_deadlocks(database, 3)

    assert await cache.replace("key", b"new", FOREVER, version=version) is not None
    assert await _deadlocks_left(database) == 0


@on(ASYNCMY)
@asynchronous
async def test_deadlocks_without_end_are_an_error(database: Database) -> None:
    cache = database.cache()
    version = await cache.set("key", b"old", FOREVER)
    await _arrange_deadlocks(database, 100)

    with pytest.raises(CacheError, match="1213"):
        await cache.replace("key", b"new", FOREVER, version=version)

    assert await _deadlocks_left(database) == 100 - runner.ATTEMPTS
    entry = await cache.get("key")
    assert entry is not None
    assert (entry.value, entry.version) == (b"old", version)


@on(ASYNCPG, ASYNCMY)
@asynchronous
async def test_a_lock_that_the_server_waits_for_too_long_is_a_timeout(database: Database) -> None:
    soon = (
        _settings(lock_timeout="100")
        if database.kind is ASYNCPG
        else {"init_command": "SET lock_wait_timeout = 1, innodb_lock_wait_timeout = 1"}
    )
    cache = SQLCache(database.engine(connect_args=soon), database.table)
    version = await cache.set("key", b"old", FOREVER)
    other = database.engine()

    async with other.connect() as connection:
        await connection.exec_driver_sql(f"UPDATE {database.table} SET refreshed = 1")
        with pytest.raises(CacheTimeoutError):
            await cache.replace("key", b"new", FOREVER)
        await connection.rollback()

    assert await cache.replace("key", b"new", FOREVER, version=version) is not None


@on_every_server
@asynchronous
async def test_a_pool_without_a_free_connection_is_a_timeout(database: Database) -> None:
    engine = database.engine(pool_size=1, max_overflow=0, pool_timeout=0.1)
    cache = SQLCache(engine, database.table)
    await cache.create_table()

    async with engine.connect():
        with pytest.raises(CacheTimeoutError):
            await cache.get("key")

    assert await cache.get("key") is None


@on(SQLITE, ASYNCPG, ASYNCMY)
@asynchronous
async def test_after_an_error_for_a_table_that_was_dropped_it_is_made_again(database: Database) -> None:
    cache = database.cache()
    await cache.set("key", b"value", FOREVER)
    await database.execute("DROP TABLE {table}")

    with pytest.raises(CacheError):
        await cache.get("key")

    assert await cache.get("key") is None
    assert await cache.set("key", b"value", FOREVER)


def _settings(**settings: str) -> dict[str, Any]:
    return {"server_settings": settings}


async def _arrange_deadlocks(database: Database, number: int) -> None:
    """Make as many updates fail as if they had met a deadlock. MyISAM counts on when a statement is rolled back."""
    await database.execute(
        "CREATE TABLE {table}_faults (deadlocks INT) ENGINE=MyISAM",
        f"INSERT INTO {{table}}_faults VALUES ({number})",
        "CREATE TRIGGER {table}_deadlock BEFORE UPDATE ON {table} FOR EACH ROW "
        "IF (SELECT deadlocks FROM {table}_faults) > 0 THEN UPDATE {table}_faults SET deadlocks = deadlocks - 1; "
        "SIGNAL SQLSTATE '40001' SET MYSQL_ERRNO = 1213; END IF",
    )


async def _deadlocks_left(database: Database) -> int:
    [(left,)] = await database.execute("SELECT deadlocks FROM {table}_faults")
    await database.execute("DROP TRIGGER {table}_deadlock", "DROP TABLE {table}_faults")
    return int(left)


async def _list(cache: SQLCache, tag: str) -> list[str]:
    return [key async for key, _ in cache.find(tag)]
