"""Making the table: when, by whom, and what to do where it cannot be made."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.dialects.sqlite.base import SQLiteDialect
from sqlalchemy.ext.asyncio import create_async_engine

from tests.caching.sql.databases import ASYNCPG, SQLITE, Database, asynchronous, on, on_every_database
from tornado_session.caching.contract import CacheEntryOptions
from tornado_session.caching.sql import SQLCache, create_cache_engine
from tornado_session.errors import CacheError

FOREVER = CacheEntryOptions()


@on_every_database
@asynchronous
async def test_creating_a_table_that_exists_changes_nothing(database: Database) -> None:
    cache = database.cache()
    await cache.create_table()
    await cache.set("key", b"value", FOREVER)

    await cache.create_table()
    await database.cache().create_table()

    assert await cache.get("key") is not None


@on_every_database
@asynchronous
async def test_an_index_that_is_missing_is_made(database: Database) -> None:
    await database.cache().create_table()
    on_table = " ON {table}" if database.kind.scheme.startswith("mysql") else ""
    await database.execute(f"DROP INDEX {{table}}_tag{on_table}")

    await database.cache().create_table()

    await database.execute(f"DROP INDEX {{table}}_tag{on_table}")


@on_every_database
@asynchronous
async def test_a_table_of_somebody_else_is_refused(database: Database) -> None:
    await database.execute("CREATE TABLE {table} (id INTEGER PRIMARY KEY, expires INTEGER)")

    with pytest.raises(CacheError, match=r"no column key, value, version, .*name another one"):
        await database.cache().get("key")


@on(SQLITE)
@asynchronous
async def test_a_table_that_another_process_makes_in_the_moment_of_looking_is_taken(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    look, looks = SQLiteDialect.get_columns, []

    def look_too_early(*args: Any, **options: Any) -> Any:
        # SQLAlchemy asks for the columns, finds none, asks for the table, and finds that there is one by now.
        looks.append(args)
        return [] if len(looks) == 1 else look(*args, **options)

    await database.cache().create_table()
    monkeypatch.setattr(SQLiteDialect, "get_columns", look_too_early)

    assert await database.cache().add("key", b"value", FOREVER) is not None

    assert len(looks) == 2


@on(ASYNCPG)
@asynchronous
async def test_without_the_right_to_create_it_the_error_shows_the_sql_for_somebody_who_may(database: Database) -> None:
    role = f"{database.table}_role"
    await database.execute(f"CREATE ROLE {role} LOGIN", "REVOKE CREATE ON SCHEMA public FROM PUBLIC")
    humble = SQLCache(database.engine(url=database.url.replace("postgres@", f"{role}@")), database.table)

    with pytest.raises(CacheError, match="may create tables run") as caught:
        await humble.get("key")
    remedy = str(caught.value).partition("\n")[2]
    await database.execute(*remedy.split(";")[:-1], f"GRANT ALL ON {{table}} TO {role}")
    await humble.set("key", b"value", FOREVER)

    assert await humble.get("key") is not None
    await database.execute(f"REVOKE ALL ON {{table}} FROM {role}", f"DROP ROLE {role}")


def test_where_a_file_cannot_be_opened_the_error_says_so(tmp_path: Path) -> None:
    async def ask() -> None:
        with pytest.raises(CacheError, match="SQLITE_CANTOPEN"):
            await SQLCache(create_async_engine(f"sqlite+aiosqlite:///{tmp_path}/missing/sessions.db")).get("key")
        # The thread of the connection that failed still has something to tell the loop.
        await asyncio.sleep(0.1)

    asyncio.run(ask())


def test_a_cache_engine_puts_a_file_into_wal_mode_and_commits_each_statement(tmp_path: Path) -> None:
    async def ask() -> list[object]:
        engine = create_cache_engine(f"sqlite+aiosqlite:///{tmp_path}/sessions.db")
        async with engine.connect() as connection:
            answers = [await connection.scalar(text(f"PRAGMA {name}")) for name in ("journal_mode", "synchronous")]
            await connection.execute(text("CREATE TABLE kept (id INTEGER)"))
            await connection.execute(text("INSERT INTO kept VALUES (1)"))
        async with engine.connect() as connection:
            answers.append(await connection.scalar(text("SELECT COUNT(*) FROM kept")))
        await engine.dispose()
        return answers

    assert asyncio.run(ask()) == ["wal", 1, 1]
