"""The databases that SQLCache is tested on: how to reach one, and when to skip it."""

import asyncio
import functools
import importlib
from collections.abc import Callable, Coroutine, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import event, text
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from tests.services import require
from tornado_session.caching.contract import CacheEntry
from tornado_session.caching.sql import SQLCache


@dataclass(frozen=True)
class Kind:
    """A database and a driver for it."""

    scheme: str
    is_in_memory: bool = False

    def __str__(self) -> str:
        return f"{self.scheme}{' in memory' if self.is_in_memory else ''}"

    @property
    def driver(self) -> str:
        return self.scheme.partition("+")[2]


SQLITE = Kind("sqlite+aiosqlite")
MEMORY = Kind("sqlite+aiosqlite", is_in_memory=True)
ASYNCPG = Kind("postgresql+asyncpg")
PSYCOPG = Kind("postgresql+psycopg")
ASYNCMY = Kind("mysql+asyncmy")
AIOMYSQL = Kind("mysql+aiomysql")

# What comes without MariaDB is required; MariaDB and the other drivers are tested where they are installed.
OPTIONAL = {"psycopg", "asyncmy", "aiomysql"}

ran: dict[str, str] = {}
"""The version of every database that answered, by SQLAlchemy's name for it."""


def on(*kinds: Kind) -> pytest.MarkDecorator:
    """Run a test on each of these; it asks for the fixture ``database``."""
    return pytest.mark.parametrize("database", kinds, indirect=True, ids=str)


on_every_database = on(SQLITE, ASYNCPG, ASYNCMY)
on_every_driver = on(SQLITE, MEMORY, ASYNCPG, PSYCOPG, ASYNCMY, AIOMYSQL)
on_every_server = on(ASYNCPG, PSYCOPG, ASYNCMY, AIOMYSQL)


@dataclass
class Database:
    """A database with a table of the test's own."""

    kind: Kind
    url: str
    table: str = field(default_factory=lambda: f"sessions_{uuid4().hex[:12]}")
    engines: list[AsyncEngine] = field(default_factory=list)

    def engine(
        self, make: Callable[..., AsyncEngine] = create_async_engine, *, url: str | None = None, **options: Any
    ) -> AsyncEngine:
        engine = make(url or self.url, **options)
        self.engines.append(engine)
        return engine

    def cache(self, make: Callable[..., AsyncEngine] = create_async_engine, **options: Any) -> SQLCache:
        return SQLCache(self.engine(make), self.table, **options)

    async def execute(self, *statements: str) -> list[Any]:
        """Run SQL beside the cache; return the rows of the last statement."""
        engine = self.engines[0] if self.kind.is_in_memory else create_async_engine(self.url)
        async with engine.begin() as connection:
            for statement in statements:
                result = await connection.execute(text(statement.format(table=self.table)))
            rows = list(result) if result.returns_rows else []
        if not self.kind.is_in_memory:
            await engine.dispose()
        return rows

    async def close(self) -> None:
        """Drop the table and dispose of the engines."""
        for engine in self.engines:
            ran[str(self.kind)] = ".".join(map(str, engine.dialect.server_version_info or ()))
            await engine.dispose()
        self.engines.clear()
        if not self.kind.scheme.startswith("sqlite"):
            await self.execute("DROP TABLE IF EXISTS {table}")


def asynchronous(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Run a test on a loop of its own, and give its database back on the same loop."""

    @functools.wraps(test)
    def run(*args: Any, **fixtures: Any) -> None:
        asyncio.run(_run(test, args, fixtures))

    return run


async def _run(test: Callable[..., Coroutine[Any, Any, None]], args: Any, fixtures: dict[str, Any]) -> None:
    try:
        await test(*args, **fixtures)
    finally:
        for fixture in fixtures.values():
            if isinstance(fixture, Database):
                await fixture.close()


def executed_by(engine: AsyncEngine) -> list[str]:
    """The statements that an engine executes from now on; the list grows."""
    executed: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        executed.append(statement)

    event.listen(engine.sync_engine, "before_cursor_execute", note)
    return executed


async def stored(cache: SQLCache, keys: Iterable[str]) -> list[CacheEntry]:
    """The entries under ``keys`` that there are; none is slid."""
    entries = [await cache.get(key, refresh=False) for key in keys]
    return [entry for entry in entries if entry is not None]


def check_driver(kind: Kind) -> None:
    """Skip the test where the driver is missing; fail it where services are required and the driver is no option."""
    if kind.driver in OPTIONAL:
        pytest.importorskip(kind.driver, exc_type=ImportError)
    else:
        require(lambda: importlib.import_module(kind.driver))


def url_of(kind: Kind, server_url: str | None, directory: Path) -> str:
    """The URL for SQLAlchemy, of a file in ``directory`` where there is no server."""
    if kind.is_in_memory:
        return f"{kind.scheme}://"
    if server_url is None:
        return f"{kind.scheme}:///{directory / 'sessions.db'}"
    return f"{kind.scheme}:{server_url.partition(':')[2]}"
