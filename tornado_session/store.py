"""SessionStore: sessions in a cache; every method that asks it is one trip, begun when it is awaited."""

from collections.abc import Callable, Coroutine
from datetime import datetime, timedelta
from functools import lru_cache
from hashlib import sha256
from typing import Any, Final, TypeVar

import msgspec

from tornado_session import serializer
from tornado_session.caching.contract import CacheEntry, CacheEntryOptions, DistributedCache, timestamp
from tornado_session.deadline import Deadline
from tornado_session.errors import SessionTooLargeError
from tornado_session.logs import LimitedLog
from tornado_session.options import SessionOptions
from tornado_session.protection.key_ring import KeyRing
from tornado_session.record import MOVED, RecordFormat, SessionRecord
from tornado_session.turns import Turns

T = TypeVar("T")

_MOVED_FOR: Final = timedelta(seconds=30)
"""How long the mark of a session that has moved stays if the move was cut short; till then its cookie opens nothing."""


class StoredSession(msgspec.Struct):
    """What was found under a session's key."""

    record: SessionRecord | None
    """``None``: there is something, but it is not, or no longer, a live session."""
    version: int
    has_moved: bool = False
    """The session has just been regenerated: it goes on under another key, and nothing may be written here."""

    def copy(self) -> "StoredSession":
        """Give the same with values of its own, as if it had been read once more."""
        record = self.record
        if record is not None:
            record = msgspec.structs.replace(record, values=serializer.decode_dict(record.data))
        return StoredSession(record, self.version)


class SessionStore:
    """Knows how sessions are laid down in the cache of one application: under which key, until when, with which tag."""

    def __init__(
        self,
        cache: DistributedCache,
        options: SessionOptions,
        keys: KeyRing,
        clock: Callable[[], float],
        log: LimitedLog,
    ) -> None:
        self.options = options
        self.clock = clock
        self.log = log
        self.turns = Turns[StoredSession]()
        self.never_waits = bool(vars(type(cache)).get("never_waits"))
        self.deadline = None if self.never_waits or options.io_timeout is None else Deadline(options.io_timeout)
        self.cache = cache
        self._keys = keys
        opener = keys.protector("session payload", clock=clock)
        self.format = RecordFormat(opener if options.encrypt else None, opener, options.lifetime, clock)
        self._plain_options = CacheEntryOptions(sliding=options.idle_timeout, refresh_interval=options.refresh_interval)

    def bounded(self, trips: Coroutine[Any, Any, T]) -> Coroutine[Any, Any, T]:
        """Bound some trips to ``SessionOptions.io_timeout``; awaiting them may raise ``CacheTimeoutError``."""
        return trips if self.deadline is None else self.deadline.within(trips)

    @staticmethod
    @lru_cache(maxsize=4096)
    def cache_key(key: bytes) -> str:
        """Give the name under which the cache knows the session with ``key``: whoever reads the store gets no key."""
        return sha256(key).hexdigest()

    async def load(self, cache_key: str, *, refresh: bool) -> StoredSession | None:
        """Read a session; raises ``UnreadableRecordError`` for what is not understood, and ``CacheError``."""
        entry = await self.cache.get(cache_key, refresh=refresh)
        return None if entry is None else self.understand(cache_key, entry)

    def understand(self, cache_key: str, entry: CacheEntry) -> StoredSession:
        """Read what an entry holds; raises ``UnreadableRecordError``."""
        return StoredSession(self.format.loads(entry.value, cache_key), entry.version, has_moved=entry.value == MOVED)

    def add(self, cache_key: str, record: SessionRecord) -> Coroutine[Any, Any, int | None]:
        """Store a new session; ``None`` when something is stored under its key."""
        return self.cache.add(cache_key, self._bytes(cache_key, record), self._entry_options(record))

    def replace(self, cache_key: str, record: SessionRecord, version: int) -> Coroutine[Any, Any, int | None]:
        """Store a session over ``version`` of itself; ``None`` when it is gone or was changed."""
        value, options = self._bytes(cache_key, record), self._entry_options(record)
        return self.cache.replace(cache_key, value, options, version=version)

    def mark_moved(self, cache_key: str, record: SessionRecord, version: int) -> Coroutine[Any, Any, int | None]:
        """End ``version`` of a session that is about to be stored under another key; ``None`` as in ``replace``.

        The mark keeps the owner's tag, so that revoking the owner's sessions meets it in the middle of the move.
        """
        options = CacheEntryOptions(relative=_MOVED_FOR, tag=self._tag(record))
        return self.cache.replace(cache_key, MOVED, options, version=version)

    def refresh(self, cache_key: str) -> Coroutine[Any, Any, bool]:
        """Move the idle timeout; ``False`` when nothing is stored."""
        return self.cache.refresh(cache_key)

    def remove(self, cache_key: str) -> Coroutine[Any, Any, bool]:
        """Remove a session; ``False`` when nothing was stored."""
        return self.cache.remove(cache_key)

    def tags(self, owner: str) -> list[str]:
        """Give the tags of an owner's sessions, one for each key of the ring, the current key's first."""
        return self._keys.fingerprints("session owner", owner)

    def expires(self, created: float, written: float) -> datetime:
        """Tell when a session that was written then ends if it is not used again."""
        end = written + (self.options.idle_timeout + self.options.refresh_interval).total_seconds()
        if self.options.lifetime is not None:
            end = min(end, created + self.options.lifetime.total_seconds())
        return timestamp(end)

    def check_size(self, cache_key: str, record: SessionRecord) -> None:
        """Raise ``SessionTooLargeError`` for what could not be stored."""
        self._bytes(cache_key, record)

    def _entry_options(self, record: SessionRecord) -> CacheEntryOptions:
        if record.owner is None and self.options.lifetime is None:
            return self._plain_options
        return CacheEntryOptions(
            sliding=self.options.idle_timeout,
            refresh_interval=self.options.refresh_interval,
            relative=self._remaining(record),
            tag=self._tag(record),
        )

    def _remaining(self, record: SessionRecord) -> timedelta | None:
        # Said as a duration: ``created`` is by the application's clock, and the end is by the cache's.
        if self.options.lifetime is None:
            return None
        remaining = self.options.lifetime - timedelta(seconds=self.clock() - record.created)
        return max(remaining, timedelta(milliseconds=1))

    def _tag(self, record: SessionRecord) -> str | None:
        return None if record.owner is None else self.tags(record.owner)[0]

    def _bytes(self, cache_key: str, record: SessionRecord) -> bytes:
        value = self.format.dumps(record, cache_key)
        if len(value) > self.options.max_size:
            raise self._too_large(len(value), record)
        return value

    def _too_large(self, size: int, record: SessionRecord) -> SessionTooLargeError:
        largest = serializer.largest(record.values)
        return SessionTooLargeError(
            f"the session takes {size} bytes, and SessionOptions.max_size allows {self.options.max_size}; its largest "
            f"keys are {serializer.listed(largest)}. Keep large data elsewhere and a reference to it in the session",
            size=size,
            limit=self.options.max_size,
            largest=largest,
        )
