"""MemoryCache: sessions in the memory of one process."""

import logging
import sys
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from threading import Lock
from time import time
from typing import Final

from tornado_session.caching.contract import (
    CacheEntry,
    CacheEntryOptions,
    DistributedCache,
    check_absolute,
    check_key,
    check_value,
    lasting,
    new_entry,
    timestamp,
)
from tornado_session.caching.memory_table import Entry, MemoryTable, size_of
from tornado_session.errors import CacheError, ConfigurationError

logger = logging.getLogger(__name__)

_WARN_INTERVAL: Final = 60.0


class MemoryCache(DistributedCache):
    """Keeps everything in this process: the fastest cache, gone with the process, not shared with others.

    ``max_size``: bytes, with keys and bookkeeping counted (500 bytes for an entry beside its key, value and tag). When
    it is full, expired entries go first, of which each write looks for a few, and then the least recently used, with a
    warning; the new write is always kept.
    ``clock``: seconds since the epoch. Expired entries are removed a few at a time by the calls of others: nothing runs
    in the background, no call takes long, and the cache is safe to share between threads.

    Under ``fork_processes`` every process has a cache of its own, so a visitor loses the session whenever another
    process answers; the cache warns once when it finds itself in such a server.
    """

    never_waits = True

    def __init__(self, max_size: int = 200 * 2**20, clock: Callable[[], float] = time) -> None:
        if isinstance(max_size, bool) or not isinstance(max_size, int) or max_size <= 0:
            raise ConfigurationError(f"max_size is a positive number of bytes, but this is {max_size!r}")
        self._max_size = max_size
        self._clock = clock
        self._table = MemoryTable()
        self._lock = Lock()
        self._version = 0
        self._told_of_fork = False
        self._last_told_full: float | None = None

    def __repr__(self) -> str:
        return f"<MemoryCache with {len(self._table)} entries, {self._table.size} of {self._max_size} bytes>"

    async def get(self, key: str, *, refresh: bool = True) -> CacheEntry | None:
        now = self._clock()
        with self._lock:
            entry = self._table.read(key, now, slide=refresh)
            if entry is not None:
                return _told(entry)
        check_key(key)
        return None

    async def set(self, key: str, value: bytes, options: CacheEntryOptions) -> int:
        now = self._check(key, value, options)
        with self._lock:
            if now >= self._table.next_due:
                self._table.sweep(now)
            return self._put(key, value, options, now)

    async def add(self, key: str, value: bytes, options: CacheEntryOptions) -> int | None:
        now = self._check(key, value, options)
        with self._lock:
            if self._table.find(key, now) is not None:
                return None
            return self._put(key, value, options, now)

    async def replace(
        self, key: str, value: bytes, options: CacheEntryOptions, *, version: int | None = None
    ) -> int | None:
        now = self._check(key, value, options)
        with self._lock:
            entry = self._table.find(key, now)
            if entry is None or version not in (None, entry.version):
                return None
            return self._put(key, value, options, now)

    async def refresh(self, key: str) -> bool:
        return await self.get(key) is not None

    async def remove(self, key: str) -> bool:
        check_key(key)
        now = self._clock()
        with self._lock:
            entry = self._table.find(key, now)
            if entry is None:
                return False
            self._table.remove(entry)
            return True

    async def find(self, tag: str) -> AsyncIterator[tuple[str, CacheEntry]]:
        check_key(tag, name="tag")
        now = self._clock()
        with self._lock:
            found = [(entry.key, _told(entry)) for entry in self._table.tagged(tag) if now < entry.expires]
        for key, entry in found:
            yield key, entry

    def _check(self, key: str, value: bytes, options: CacheEntryOptions) -> float:
        """Raise for what cannot be written now, and tell when that is."""
        check_key(key)
        if type(value) is not bytes:
            check_value(value)
        now = self._clock()
        if options.absolute is not None:
            check_absolute(options, timestamp(now))
        if size_of(key, value, options.tag) > self._max_size:
            raise CacheError(f"a value of {len(value)} bytes does not fit a MemoryCache of {self._max_size} bytes")
        return now

    def _put(self, key: str, value: bytes, options: CacheEntryOptions, now: float) -> int:
        if not self._told_of_fork:
            self._warn_if_forked()
        self._version += 1
        self._table.put(key, value, self._version, options, now)
        if self._table.size > self._max_size:
            self._make_room(now)
        return self._version

    def _make_room(self, now: float) -> None:
        evicted = 0
        while self._table.size > self._max_size:
            # A few expired entries at a time: what was just written is the last to go, and there is room for it.
            if self._table.sweep(now):
                continue
            self._table.remove(self._table.least_recently_used())
            evicted += 1
        if evicted:
            self._warn_of_eviction(now)

    def _warn_of_eviction(self, now: float) -> None:
        last = self._last_told_full
        if last is not None and last <= now < last + _WARN_INTERVAL:
            return
        self._last_told_full = now
        logger.warning(
            "MemoryCache is full (%d bytes): the least recently used of its entries are dropped before they expire. "
            "Raise max_size, or keep sessions in MongoDB, Redis or SQL.",
            self._max_size,
        )

    def _warn_if_forked(self) -> None:
        self._told_of_fork = True
        # Asked, not imported: a cache knows nothing of Tornado, and where Tornado's module is absent nothing forked.
        process = sys.modules.get("tornado.process")
        if process is not None and process.task_id() is not None:
            logger.warning(
                "MemoryCache is used in a forked server: each process has its own, so visitors lose their sessions "
                "whenever another process answers. Use MongoCache, RedisCache or SQLCache (SQLite needs no server)."
            )


def _told(entry: Entry) -> CacheEntry:
    refreshed = datetime.fromtimestamp(entry.refreshed, UTC)
    try:
        slides = entry.expires < entry.fixed_end
        expires = refreshed + lasting(entry.sliding + entry.interval) if slides else _instant(entry.fixed_end)
    except OverflowError:
        expires = _instant(entry.expires)
    return new_entry(CacheEntry, (entry.value, entry.version, expires, refreshed))


def _instant(end: float) -> datetime | None:
    return None if end == Entry.NEVER else timestamp(end)
