"""SQLCache: entries in a table of SQLite, PostgreSQL, MariaDB, MySQL or SQL Server."""

from collections.abc import AsyncIterator, Callable, Sequence
from datetime import timedelta
from functools import partial

from sqlalchemy import Connection
from sqlalchemy.ext.asyncio import AsyncEngine

from tornado_session.caching.batching import Batcher
from tornado_session.caching.contract import (
    CacheEntry,
    CacheEntryOptions,
    DistributedCache,
    check_absolute,
    check_key,
    check_value,
)
from tornado_session.caching.sql import calls
from tornado_session.caching.sql.creation import create_table
from tornado_session.caching.sql.database import Database, Result, Work
from tornado_session.caching.sql.dialect import PAGE
from tornado_session.caching.sql.dialects import choose_dialect
from tornado_session.caching.sql.failures import is_table_missing
from tornado_session.caching.sql.rows import Parameters, encode_key, instant, written
from tornado_session.caching.sql.semaphores import LoopSemaphores
from tornado_session.caching.sql.sweeper import Sweeper
from tornado_session.caching.sql.table import define_table
from tornado_session.errors import CacheError, ConfigurationError

Write = Callable[[Parameters, Connection], int]


class SQLCache(DistributedCache):
    """Keeps entries in a table, on an asynchronous engine of SQLAlchemy.

    .. code-block:: python

        cache = SQLCache(create_cache_engine("sqlite+aiosqlite:///sessions.db"))

    ``engine``: from ``create_cache_engine``, which saves trips, or any other of ``create_async_engine``: SQLite with
    aiosqlite, PostgreSQL with asyncpg or psycopg, MariaDB and MySQL with asyncmy or aiomysql, SQL Server with aioodbc
    (written for it, but never run on one). It stays the application's: the cache opens and closes none.

    ``table``: its name; the table is made at first use, or by ``create_table()``.

    ``max_connections``: how many calls use the engine at once, while others wait their turn; 10 by default, and 2 on
    SQLite, where more are in each other's way. The engine's pool should be able to open as many (it opens 15, if nobody
    said otherwise) besides those that the application takes from it.

    ``sweep_interval``: expired rows are deleted by the writes that go by, at most 100 at a time: by every fiftieth, and
    by any one when this long has passed without. Nobody sees an expired row before that either.

    Expiry goes by the database's clock alone, to the microsecond (SQLite: millisecond), and never early. Values may be
    as large as the database takes; MariaDB and MySQL take up to ``max_allowed_packet``.

    While a reading is under way, those of parallel requests gather and are made together, as one statement, and one
    more where expiries slide. So are, on SQLite 3.35 and later and on PostgreSQL, writes over a known version, which
    is what sessions that change are; all other writes go one by one.

    A deadlock or a serialization failure is tried again a few times. When a connection breaks, a reading is tried once
    more; a write raises ``CacheError``, for it may have been applied. All who share a statement share such an end, and
    that by a time limit of the database; whatever else is wrong with one of them is its own.

    Raises ``ConfigurationError`` for an engine, a database, a name of a table or a number that it cannot work with.
    """

    def __init__(
        self,
        engine: AsyncEngine,
        table: str = "sessions",
        *,
        max_connections: int | None = None,
        sweep_interval: timedelta = timedelta(minutes=1),
    ) -> None:
        if max_connections is not None and max_connections < 1:
            raise ConfigurationError(f"max_connections must be at least 1, but is {max_connections}")
        self._table = define_table(table)
        self._dialect = choose_dialect(engine, self._table)
        self._database = Database(engine, self._dialect, max_connections or self._dialect.max_connections)
        self._sweeper = Sweeper(self._database, self._dialect, sweep_interval)
        self._readings = Batcher()
        # Apart, for readers do not wait for writers here, and a commit may take long.
        self._writes = Batcher()
        self._is_ready = False
        self._creation = LoopSemaphores(1)

    async def create_table(self) -> None:
        """Create the table and its indexes where they are missing; several processes may do so at once.

        Raises ``CacheError`` when that is forbidden, with the SQL for somebody who may, and when there is another
        table of this name.
        """
        await create_table(self._database, self._table)
        self._is_ready = True

    async def get(self, key: str, *, refresh: bool = True) -> CacheEntry | None:
        read = calls.Read(self._encode(key), refresh)
        return await self._readings.run(self._read, read, key=key, shared=True)

    async def set(self, key: str, value: bytes, options: CacheEntryOptions) -> int:
        version = await self._write(partial(calls.write, self._dialect, self._dialect.set), key, value, options)
        if version is None:
            raise CacheError("the database wrote nothing and did not say why; look for triggers on the table")
        return version

    async def add(self, key: str, value: bytes, options: CacheEntryOptions) -> int | None:
        return await self._write(partial(calls.add, self._dialect), key, value, options)

    async def replace(
        self, key: str, value: bytes, options: CacheEntryOptions, *, version: int | None = None
    ) -> int | None:
        statement = self._dialect.replace if version is None else self._dialect.replace_seen
        return await self._write(partial(calls.write, self._dialect, statement), key, value, options, seen=version)

    async def refresh(self, key: str) -> bool:
        at = self._encode(key)
        return await self._run(partial(calls.slide, self._dialect, at), repeatable=True)

    async def remove(self, key: str) -> bool:
        at = self._encode(key)
        return await self._run(partial(calls.write, self._dialect, self._dialect.remove, {"at": at})) > 0

    async def find(self, tag: str) -> AsyncIterator[tuple[str, CacheEntry]]:
        check_key(tag, name="tag")
        label, after = encode_key(tag, self._dialect), b""
        while True:
            # A whole page, so that no connection is held while the consumer works, perhaps on the only one there is.
            page = await self._run(partial(calls.find, self._dialect, label, after), repeatable=True)
            for found in page:
                yield found
            if len(page) < PAGE:
                return
            after = encode_key(page[-1][0], self._dialect)

    async def _read(self, reads: list[calls.Read]) -> Sequence[CacheEntry | CacheError | None]:
        if len(reads) > 1:
            return await self._run(partial(calls.read_many, self._dialect, reads), repeatable=True)
        (read,) = reads
        work = calls.read_and_slide if read.slides else calls.read
        return [await self._run(partial(work, self._dialect, read.at), repeatable=True)]

    def _encode(self, key: str) -> bytes:
        check_key(key)
        return encode_key(key, self._dialect)

    async def _write(
        self, write: Write, key: str, value: bytes, options: CacheEntryOptions, *, seen: int | None = None
    ) -> int | None:
        """Write a row with a fresh version; return that, or ``None`` when no row was met."""
        check_key(key)
        check_value(value)
        parameters = written(key, value, options, self._dialect)
        met: int | None = None
        if seen is not None:
            parameters["seen"] = seen
            met = await self._replace_among_others(key, parameters)
        if met is None:
            met = await self._run(partial(write, parameters))
        if not met:
            await self._check_absolute(options)
            return None
        await self._sweeper.after_write()
        version: int = parameters["fresh"]
        return version

    async def _replace_among_others(self, key: str, parameters: Parameters) -> int | None:
        """Replace a row together with those of parallel callers; ``None``: it has to be done alone.

        By then the turn of its key is over, and others may come first: as always, the version decides.
        """
        if self._dialect.replace_many is None:
            return None
        return await self._writes.run(self._replace, parameters, key=key, size=len(parameters["data"]))

    async def _replace(self, rows: list[Parameters]) -> list[int | None]:
        if len(rows) == 1:
            return [await self._run(partial(calls.write, self._dialect, self._dialect.replace_seen, rows[0]))]
        met = await self._run(partial(calls.replace_many, self._dialect, rows))
        return [1 if row["at"] in met else None for row in rows]

    async def _check_absolute(self, options: CacheEntryOptions) -> None:
        """Find out whether nothing was written because the end is in the past, by the database's clock."""
        if options.absolute is None:
            return
        now = instant(await self._run(partial(calls.tell_time, self._dialect), repeatable=True))
        if now is not None:
            check_absolute(options, now)

    async def _run(self, work: Work[Result], *, repeatable: bool = False) -> Result:
        if not self._is_ready:
            await self._make_ready()
        try:
            return await self._database.run(work, repeatable=repeatable)
        except CacheError as error:
            # Somebody has dropped the table: the next call makes it again.
            self._is_ready = not is_table_missing(error)
            raise

    async def _make_ready(self) -> None:
        async with self._creation():
            if not self._is_ready:
                await self.create_table()
