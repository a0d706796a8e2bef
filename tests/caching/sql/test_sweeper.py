"""Expired rows go with the writes that go by: some at a time, one sweep at a time, and never at a call's expense."""

import asyncio
import logging
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from sqlalchemy import event, insert

from tests.caching.sql.databases import MEMORY, SQLITE, Database, asynchronous, on, on_every_database
from tornado_session.caching.contract import CacheEntryOptions
from tornado_session.caching.sql.dialect import BATCH
from tornado_session.caching.sql.table import define_table

FOREVER = CacheEntryOptions()
BRIEF = CacheEntryOptions(relative=timedelta(milliseconds=1))


@on_every_database
@asynchronous
async def test_every_fiftieth_write_deletes_some_expired_rows_and_no_others(database: Database) -> None:
    cache = database.cache()
    await cache.create_table()
    await _fill(database, expired=2 * BATCH + 30, live=20)

    left = []
    for number in range(52):
        await cache.set("key", b"%d" % number, FOREVER)
        left.append(await _rows(database))

    assert left[48] == 2 * BATCH + 51
    assert left[49:] == [BATCH + 51, 51, 21], "a full batch makes the next write go on"


@on(SQLITE)
@asynchronous
async def test_after_a_while_any_write_sweeps(database: Database) -> None:
    cache = database.cache(sweep_interval=timedelta(milliseconds=100))
    await cache.set("brief", b"", BRIEF)
    await asyncio.sleep(0.12)

    await cache.add("key", b"", FOREVER)

    assert await _rows(database) == 1


@on_every_database
@asynchronous
async def test_there_are_never_two_sweeps_at_once(database: Database) -> None:
    cache = database.cache(sweep_interval=timedelta(microseconds=1))
    await cache.create_table()
    await _fill(database, expired=3 * BATCH, live=0)
    running, most = 0, 0

    def begin(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        nonlocal running, most
        running += "DELETE" in statement
        most = max(most, running)

    def end(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        nonlocal running
        running -= "DELETE" in statement

    event.listen(database.engines[0].sync_engine, "before_cursor_execute", begin)
    event.listen(database.engines[0].sync_engine, "after_cursor_execute", end)
    await asyncio.gather(*(cache.set(f"key{number}", b"", FOREVER) for number in range(30)))

    assert most == 1


@on(SQLITE, MEMORY)
@asynchronous
async def test_a_sweep_that_fails_is_logged_and_fails_no_write(
    database: Database, log_of: Callable[..., list[str]]
) -> None:
    cache = database.cache(sweep_interval=timedelta(microseconds=1))
    await cache.create_table()
    await _fill(database, expired=1, live=0)
    await database.execute("CREATE TRIGGER stuck BEFORE DELETE ON {table} BEGIN SELECT RAISE(ABORT, 'not now'); END")

    version = await cache.set("key", b"value", FOREVER)

    entry = await cache.get("key")
    assert entry is not None
    assert entry.version == version
    assert [line for line in log_of(logging.WARNING) if "could not be deleted" in line]


async def _fill(database: Database, *, expired: int, live: int) -> None:
    rows = [
        {
            "key": b"row%d" % number,
            "value": b"",
            "version": 1,
            "expires": 1 if number < expired else None,
            "refresh_interval": 0,
            "refreshed": 0,
        }
        for number in range(expired + live)
    ]
    async with database.engines[0].begin() as connection:
        await connection.execute(insert(define_table(database.table)), rows)


async def _rows(database: Database) -> int:
    [(count,)] = await database.execute("SELECT COUNT(*) FROM {table}")
    return int(count)
