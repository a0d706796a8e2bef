"""Database: a connection for every call, in autocommit where that saves trips; what fails is understood here."""

import asyncio
import random
import time
from collections.abc import Callable, Iterable
from contextlib import AbstractAsyncContextManager, nullcontext
from typing import Any, Final, TypeVar

from sqlalchemy import Connection, PoolProxiedConnection, StaticPool
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.schema import ExecutableDDLElement

from tornado_session.caching.sql.dialect import Dialect
from tornado_session.caching.sql.failures import Failure, Kind
from tornado_session.caching.sql.progress import Progress
from tornado_session.caching.sql.semaphores import LoopSemaphores
from tornado_session.errors import CacheError

Result = TypeVar("Result")
Work = Callable[[Connection], Result]
"""What a call does with its connection, the commit included. It may be done more than once."""

ATTEMPTS: Final = 5
"""How often a call is tried that loses to a deadlock or a serialization failure."""
REST: Final = 1.0
"""Seconds that a connection may rest before it is asked whether its server is still there."""
_USED: Final = "tornado_session.used"


class Database:
    """Runs calls on connections of the application's engine; it opens no engine and closes none."""

    def __init__(self, engine: AsyncEngine, dialect: Dialect, max_connections: int) -> None:
        options: dict[str, Any] = {"preserve_rowcount": True}
        if dialect.commits_by_option:
            options["isolation_level"] = "AUTOCOMMIT"
        self._engine = engine.execution_options(**options)
        _keep_out_of_the_log(self._engine)
        self._dialect = dialect
        self._connections = LoopSemaphores(max_connections)
        # A database in memory is one connection, which all calls share.
        self._sharing: Callable[[], AbstractAsyncContextManager[None]] = (
            LoopSemaphores(1) if isinstance(engine.pool, StaticPool) else nullcontext
        )

    async def run(self, work: Work[Result], *, repeatable: bool = False) -> Result:
        """Return what ``work`` returns; raise ``CacheError`` for whatever it raises.

        It is done again after a deadlock or a serialization failure, which leave nothing applied; what is
        ``repeatable`` also once after its connection broke.
        """
        attempt = 1
        while True:
            try:
                return await self._attempt(work)
            except CacheError:
                raise
            except _StaleConnectionError:
                continue
            except Exception as error:  # noqa: BLE001 - drivers raise what they like, and all of it means: no answer
                failure = Failure(error)
            # Outside of ``except``, where the error with its parameters would become the context of ours.
            if not _is_worth_repeating(failure, attempt, repeatable=repeatable):
                raise failure.error()
            await asyncio.sleep(random.uniform(0, 0.01 * attempt))  # noqa: S311 - no secret
            attempt += 1

    def spell(self, definitions: Iterable[ExecutableDDLElement]) -> str:
        """The definitions as SQL for this database."""
        return "\n".join(f"{str(element.compile(dialect=self._engine.dialect)).strip()};" for element in definitions)

    async def _attempt(self, work: Work[Result]) -> Result:
        progress = Progress()
        task = asyncio.create_task(self._on_connection(work, progress))
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            progress.abandon(task)
            raise

    async def _on_connection(self, work: Work[Result], progress: Progress) -> Result:
        # Here, not around it: whoever is cancelled leaves a call that may go on, and has its connection still.
        async with self._connections(), self._sharing():
            progress.can_be_cancelled = False
            connection = self._engine.connect()
            await connection.start()
            try:
                if progress.is_abandoned:
                    raise asyncio.CancelledError
                progress.can_be_cancelled = self._dialect.can_be_cancelled
                return await connection.run_sync(self._perform, work)
            finally:
                progress.can_be_cancelled = False
                await connection.close()

    def _perform(self, connection: Connection, work: Work[Result]) -> Result:
        pooled = connection.connection
        if self._dialect.goes_away and self._is_stale(pooled):
            connection.invalidate()
            raise _StaleConnectionError
        result = work(connection)
        pooled.info[_USED] = time.monotonic()
        return result

    def _is_stale(self, pooled: PoolProxiedConnection) -> bool:
        """Whether the server has left a connection that the pool still holds, say by a restart.

        asyncpg sees that by itself. The others would only find out while they run a statement, when nobody knows
        whether it was applied: they are pinged, unless they were used just now.
        """
        is_closed: Callable[[], bool] | None = getattr(pooled.driver_connection, "is_closed", None)
        if is_closed is not None:
            return is_closed()
        used = pooled.info.get(_USED)
        if used is None or time.monotonic() - used < REST:
            return False
        try:
            return not self._engine.dialect.do_ping(pooled.dbapi_connection)  # type: ignore[arg-type]
        except Exception:  # noqa: BLE001 - see ``run``
            return True


class _StaleConnectionError(Exception):
    """The pool gave a connection whose server is gone; nothing was done with it."""


def _keep_out_of_the_log(engine: AsyncEngine) -> None:
    """An application that turns SQLAlchemy's log on would find its sessions there: as parameters, and as rows."""
    engine.sync_engine.hide_parameters = True
    engine.sync_engine._should_log_debug = lambda: False  # type: ignore[method-assign]  # noqa: SLF001 - no public way


def _is_worth_repeating(failure: Failure, attempt: int, *, repeatable: bool) -> bool:
    if failure.kind is Kind.CONFLICT:
        return attempt < ATTEMPTS
    return failure.kind is Kind.LOST and repeatable and attempt == 1
