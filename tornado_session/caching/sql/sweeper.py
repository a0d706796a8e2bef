"""Sweeper: deletes expired rows with the writes that go by, a few at a time."""

import asyncio
import logging
import time
from datetime import timedelta
from functools import partial
from typing import Final

from tornado_session.caching.sql import calls
from tornado_session.caching.sql.database import Database
from tornado_session.caching.sql.dialect import BATCH, Dialect
from tornado_session.errors import CacheError

WRITES: Final = 50
"""After this many writes a sweep is due. A sweep deletes twice as many rows, so the dead cannot gain on it."""
PATIENCE: Final = 1.0
"""Seconds that a call waits for the sweep it happens to do."""

_log = logging.getLogger("tornado_session.caching.sql")


class Sweeper:
    """Counts writes and sweeps after some of them: no background task, never two sweeps at once in a process."""

    def __init__(self, database: Database, dialect: Dialect, interval: timedelta) -> None:
        self._database = database
        self._sweep_batch = partial(calls.write, dialect, dialect.sweep, {})
        self._interval = interval.total_seconds()
        self._writes = 0
        self._swept = time.monotonic()
        self._is_sweeping = False

    async def after_write(self) -> None:
        """Sweep if it is time to. A sweep that fails is logged; the write, which is done, has not failed by it."""
        self._writes += 1
        if self._is_sweeping or not self._is_due():
            return
        self._is_sweeping = True
        try:
            await self._sweep()
        finally:
            self._is_sweeping = False

    def _is_due(self) -> bool:
        return self._writes >= WRITES or time.monotonic() - self._swept >= self._interval

    async def _sweep(self) -> None:
        self._writes = 0
        self._swept = time.monotonic()
        try:
            async with asyncio.timeout(PATIENCE):
                deleted = await self._database.run(self._sweep_batch)
        except (CacheError, TimeoutError) as error:
            _log.warning("expired sessions could not be deleted, which is tried again later: %s", error)
            return
        if deleted >= BATCH:
            # There are more: the next write goes on.
            self._writes = WRITES
