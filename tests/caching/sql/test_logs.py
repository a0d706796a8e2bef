"""Nothing of a session reaches a log: no key, no tag, no value, not by SQLAlchemy's log nor by an error's traceback."""

import logging
import traceback

import pytest
from sqlalchemy.exc import SQLAlchemyError

from tests.caching.sql.databases import ASYNCMY, ASYNCPG, PSYCOPG, SQLITE, Database, asynchronous, on, on_every_driver
from tornado_session.caching.contract import CacheEntryOptions
from tornado_session.caching.sql import SQLCache
from tornado_session.errors import CacheError

SECRET = "tHeSeCrEt"
HIDDEN = CacheEntryOptions(tag=SECRET)


def shows_secret(shown: str) -> bool:
    return SECRET in shown or SECRET.encode().hex() in shown.lower()


def everything_of(error: BaseException | None) -> str:
    """What a log could show of an error and of all that it came from, whether a traceback would show that or not."""
    if error is None:
        return ""
    shown = "".join(traceback.format_exception(error)) + repr(error) + str(getattr(error, "__dict__", ""))
    return shown + everything_of(error.__cause__) + everything_of(error.__context__)


@on_every_driver
@asynchronous
async def test_the_log_of_sqlalchemy_shows_neither_keys_nor_values(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    cache = SQLCache(database.engine(echo="debug"), database.table)

    await cache.set(SECRET, SECRET.encode(), HIDDEN)
    await cache.get(SECRET)
    await cache.replace(SECRET, SECRET.encode(), HIDDEN)
    found = [key async for key, _ in cache.find(SECRET)]

    assert found == [SECRET]
    assert "INSERT INTO" in caplog.text
    assert not shows_secret(caplog.text)


@on(SQLITE, ASYNCPG, PSYCOPG, ASYNCMY)
@asynchronous
async def test_an_error_shows_neither_keys_nor_values_wherever_one_looks(database: Database) -> None:
    cache = database.cache()
    await cache.create_table()
    await _refuse_inserts(database)

    with pytest.raises(CacheError) as caught:
        await cache.set(SECRET, SECRET.encode(), HIDDEN)

    assert caught.value.__cause__ is not None
    assert not isinstance(caught.value.__cause__, SQLAlchemyError)
    assert not shows_secret(everything_of(caught.value))


@on(SQLITE, ASYNCPG, PSYCOPG, ASYNCMY)
@asynchronous
async def test_an_error_in_the_midst_of_another_shows_no_more(database: Database) -> None:
    cache = database.cache()
    await cache.create_table()
    await _refuse_inserts(database)

    try:
        raise RuntimeError("the application's own trouble")
    except RuntimeError:
        with pytest.raises(CacheError) as caught:
            await cache.add(SECRET, SECRET.encode(), HIDDEN)

    assert isinstance(caught.value.__context__, RuntimeError)
    assert not shows_secret(everything_of(caught.value))


async def _refuse_inserts(database: Database) -> None:
    """Make inserts fail, on PostgreSQL with an error that quotes the whole row."""
    if database.kind is SQLITE:
        await database.execute(
            "CREATE TRIGGER full BEFORE INSERT ON {table} BEGIN SELECT RAISE(ABORT, 'no more'); END",
        )
    else:
        await database.execute("ALTER TABLE {table} ADD COLUMN more INTEGER DEFAULT 2 CHECK (more = 1)")
