"""SessionState: what is known of a stored session, and how it is loaded and saved."""

import asyncio
import logging
import random
import secrets
from collections.abc import Callable, Coroutine
from datetime import datetime
from typing import Any, Final, Protocol, TypeVar

from tornado_session import serializer
from tornado_session.caching.contract import CacheEntry
from tornado_session.errors import CacheError, SessionConflictError, SessionUnavailableError
from tornado_session.merge import merge, merge_one
from tornado_session.record import MOVED, SessionRecord, UnreadableRecordError
from tornado_session.session_cookie import KEY_SIZE
from tornado_session.store import SessionStore, StoredSession
from tornado_session.values import NO_KEYS, NOTHING, SessionValues

T = TypeVar("T")
_Change = Callable[[dict[str, Any]], dict[str, Any]]
"""From the values that are there to those that are to be stored."""
_Write = Callable[[SessionRecord], Coroutine[Any, Any, int | None]]
"""Writes a record to the cache and gives its version; ``None``: another request was faster."""

logger = logging.getLogger("tornado_session.session")

_MOST_TRIES: Final = 10
_FIRST_PAUSE: Final = 0.004
_LONGEST_PAUSE: Final = 0.5

KEEP: Any = object()
"""Said of an owner: it stays who it is when the session moves, which a parallel request may have changed."""


class SessionHost(Protocol):
    """What a session asks of the request that it belongs to."""

    @property
    def headers_sent(self) -> bool: ...

    def explain_not_loaded(self) -> str: ...

    def renew_xsrf_token(self) -> None: ...


class SessionState(SessionValues):
    """The half of a session that meets the cache; ``Session`` is the half that meets the handler."""

    __slots__ = (
        "_blocked_reason",
        "_cookie_key",
        "_created",
        "_expires",
        "_has_cookie_of_old_key",
        "_host",
        "_id",
        "_is_closed",
        "_is_dropped",
        "_is_ended",
        "_is_expired",
        "_is_new",
        "_is_unavailable",
        "_key",
        "_label",
        "_lock",
        "_must_delete_cookie",
        "_options",
        "_owner",
        "_record",
        "_store",
        "_stored_at",
        "_version",
        "_was_cleared",
        "_was_destroyed",
    )

    def __init__(self, store: SessionStore, key: bytes | None, host: SessionHost, blocked_reason: str | None) -> None:
        self._values = {}
        self._stored_data = NOTHING
        self._is_loaded = self._is_touched = self._may_be_modified = False
        self._may_differ = NO_KEYS
        self._snapshot = None
        self._store = store
        self._options = store.options
        self._host = host
        self._lock: asyncio.Lock | None = None
        self._key = self._cookie_key = None if blocked_reason else key
        # The cookie's key is what the browser holds, whatever happens to the session.
        self._must_delete_cookie = self._has_cookie_of_old_key = False
        self._blocked_reason = blocked_reason
        # What is stored, as far as this request knows.
        self._record: SessionRecord | None = None
        self._version: int | None = None
        self._expires: datetime | None = None
        self._stored_at = 0.0
        # What the session is now.
        self._id, self._created = "", 0.0
        self._owner: str | None = None
        self._label: str | None = None
        self._is_new = True
        self._is_unavailable = self._is_expired = self._is_ended = False
        self._is_closed = self._is_dropped = self._was_cleared = self._was_destroyed = False

    @property
    def _can_be_stored(self) -> bool:
        return not (self._is_unavailable or self._is_ended or self._blocked_reason)

    @property
    def _cache_key(self) -> str:
        if self._key is None:
            self._key = secrets.token_bytes(KEY_SIZE)
        return self._store.cache_key(self._key)

    def _alone(self, trips: Callable[..., Coroutine[Any, Any, T]], *args: Any) -> Coroutine[Any, Any, T]:
        """Let what one request asks of the cache go one after the other, or a commit could overtake a destroy.

        What never waits is alone anyway.
        """
        return trips(*args) if self._store.never_waits else self._behind_lock(trips, *args)

    async def _behind_lock(self, trips: Callable[..., Coroutine[Any, Any, T]], *args: Any) -> T:
        if self._lock is None:
            self._lock = asyncio.Lock()
        # Not ``async with``, which takes two more coroutines.
        await self._lock.acquire()
        try:
            return await trips(*args)
        finally:
            self._lock.release()

    # -- loading ------------------------------------------------------------------------------------------------------

    async def _fetch(self, refresh: bool) -> None:
        key, store = self._key, self._store
        if key is None or self._is_ended or (self._record is None and key != self._cookie_key):
            self._values, self._may_differ = {}, NO_KEYS
            self._owner = self._label = None
            self._is_loaded = True
            return
        cache_key = store.cache_key(key)
        try:
            trip = store.cache.get(cache_key, refresh=refresh)
            entry = await (trip if store.deadline is None else store.deadline.within(trip))
            record = None if entry is None else store.format.loads(entry.value, cache_key)
        except (CacheError, UnreadableRecordError) as error:
            self._is_unavailable = not self._is_loaded
            if isinstance(error, UnreadableRecordError):
                raise SessionUnavailableError(f"{error}. It is left as it is") from None
            raise
        self._is_loaded, self._is_unavailable = True, False
        if entry is None or record is None or (self._record is not None and self._record.id != record.id):
            self._lose(entry)
            return
        self._take(record, entry.version)
        self._expires, self._values = entry.expires, record.values
        self._may_differ, self._snapshot = NO_KEYS, None
        self._is_new = self._is_expired = self._was_cleared = self._may_be_modified = False

    def _lose(self, entry: CacheEntry | None) -> None:
        self._values, self._may_differ = {}, NO_KEYS
        self._owner = self._label = None
        if self._record is not None:
            self._end()
            return
        self._version = entry.version if entry else None
        self._is_expired = True
        if entry is not None and entry.value == MOVED:
            self._is_ended = True
        logger.info("The session of a genuine cookie has ended; a new one begins.")

    def _take(self, record: SessionRecord, version: int) -> None:
        self._record, self._version = record, version
        self._id, self._created = record.id, record.created
        self._owner, self._label = record.owner, record.label
        self._stored_data = record.data

    def _end(self) -> None:
        """Note that another request has ended the session: from now on nothing of it is stored."""
        logger.info("Session %s was ended by another request; what this one changed is not stored.", self._id)
        self._record = self._version = None
        self._is_ended = True

    def _start_anew(self) -> None:
        """Forget all that is stored of the session, as if it had never been."""
        self._record = self._version = self._expires = None
        self._stored_at = 0.0
        self._values, self._stored_data, self._may_differ = {}, NOTHING, NO_KEYS
        self._was_cleared = self._is_ended = False
        self._id, self._created = "", 0.0
        self._owner = self._label = None
        self._is_new = True

    # -- saving -------------------------------------------------------------------------------------------------------

    def _save(self, change: _Change | None = None) -> Coroutine[Any, Any, None]:
        if self._was_cleared and change is None and not self._values and self._owner is None and self._label is None:
            return self._remove()
        if self._store.never_waits:
            return self._store_until_done(self._put, change)
        return self._after_others(self._put, change)

    async def _remove(self) -> None:
        await self._store.remove(self._cache_key)
        self._start_anew()

    def _begin_under_new_key(self, owner: str | None) -> None:
        self._key = None if self._blocked_reason else secrets.token_bytes(KEY_SIZE)
        self._id, self._created = secrets.token_urlsafe(16), self._store.clock()
        self._owner = self._owner if owner is KEEP else owner
        self._version = None

    async def _move(self, owner: str | None) -> None:
        # The old record is marked, then the new one is stored, then the mark goes. Whoever stops in between leaves a
        # visitor who is signed out, never two live sessions. Whoever revokes the owner's sessions in between finds the
        # mark, the new record, or both; and if it took the mark, the new record goes too.
        old = self._cache_key
        self._snapshot = None  # Much may have changed since it was last asked whether anything has.
        await self._after_others(self._mark_moved)
        if self._is_ended:
            return
        # What was noted as stored is the mark alone.
        self._record = None
        # If storing under the new key fails and the handler goes on, nothing of it is stored anywhere.
        self._stored_data, self._may_differ = NOTHING, self._values.keys()
        self._begin_under_new_key(owner)
        record = self._make_record(self._values)
        version = await self._store.add(self._cache_key, record)
        if version is None or not await self._store.remove(old):
            await self._store.remove(self._cache_key)
            self._end()
            return
        self._note_stored(record, version)

    async def _after_others(self, write: _Write, change: _Change | None = None) -> None:
        async with self._store.turns.take(self._cache_key) as line:
            left, line.word = line.word, None
            await self._store_until_done(write, change, self._news(left, change))
            if write == self._put and self._version is not None:
                line.word = StoredSession(self._record, self._version)

    def _news(self, left: StoredSession | None, change: _Change | None) -> StoredSession | None:
        """Say what the request that had its turn before left in the store, if this one can go on with that.

        It spares the vain try and the reading that would tell. Who may only fail asks the store itself.
        """
        if left is None or not self._goes_on_with(left):
            return None
        if self._options.on_conflict == "fail" and change is None:
            return None
        return left.copy()

    async def _store_until_done(
        self, write: _Write, change: _Change | None, theirs: StoredSession | None = None
    ) -> None:
        """Try ``write`` with what is to be stored until no other request comes in between, or the session has ended.

        ``theirs``: what another request is already known to have stored meanwhile.
        """
        values = self._values if theirs is None else self._resolved(theirs, must_merge=change is not None)
        for attempt in range(_MOST_TRIES):
            # Where nothing waits, only another thread can come in between, and this request's other tasks must not: no
            # lock keeps them out.
            if attempt > 1 and not self._store.never_waits:
                await _pause(attempt)
            record = self._make_record(values if change is None else change(values))
            version = await write(record)
            if version is not None:
                self._note_stored(record, version)
                return
            theirs = await self._store.load(self._cache_key, refresh=False)
            if not self._goes_on_with(theirs):
                self._end()
                return
            values = self._resolved(theirs, must_merge=change is not None)
        if self._options.on_conflict == "last_write_wins" and write == self._put and change is None:
            # Each try was overtaken by another write, which would have replaced this one.
            return
        raise SessionConflictError(f"Session {self._id} was changed by others {_MOST_TRIES} times in a row. Try again")

    def _put(self, record: SessionRecord) -> Coroutine[Any, Any, int | None]:
        if self._version is None:
            return self._store.add(self._cache_key, record)
        return self._store.replace(self._cache_key, record, self._version)

    def _mark_moved(self, record: SessionRecord) -> Coroutine[Any, Any, int | None]:
        assert self._record is not None
        assert self._version is not None
        # What cannot be stored must fail before the old record is gone.
        self._store.check_size(self._cache_key, record)
        return self._store.mark_moved(self._cache_key, self._record, self._version)

    def _make_record(self, values: dict[str, Any]) -> SessionRecord:
        if not self._id:
            self._id = secrets.token_urlsafe(16)
        self._created = self._created or self._store.clock()
        data = self._snapshot if values is self._values else None
        self._snapshot = None
        if data is None:
            data = serializer.dumps(values, name="session")
        return SessionRecord(self._id, self._created, self._owner, self._label, values, data)

    def _note_stored(self, record: SessionRecord, version: int) -> None:
        # Not owner and label: they may have been changed while the trip was under way.
        self._record, self._version, self._stored_data = record, version, record.data
        self._expires, self._stored_at = None, self._store.clock()
        self._was_cleared = self._has_cookie_of_old_key = False

    def _goes_on_with(self, theirs: StoredSession | None) -> bool:
        """Tell whether what another request left under the key is this session, or makes room for it."""
        if theirs is not None and theirs.has_moved:
            return False
        if self._record is None:
            return True
        return theirs is not None and theirs.record is not None and theirs.record.id == self._record.id

    def _resolved(self, theirs: StoredSession | None, *, must_merge: bool) -> dict[str, Any]:
        """Say what to store now that another request has stored ``theirs``."""
        if theirs is None or theirs.record is None:
            self._version = theirs.version if theirs else None
            return self._values
        if self._options.on_conflict == "fail" and not must_merge:
            raise SessionConflictError(f"Session {self._id} was changed by another request meanwhile. Load it again")
        self._snapshot = None
        base, base_values = self._record, serializer.loads(self._stored_data)
        owner, label = self._owner, self._label
        self._take(theirs.record, theirs.version)
        self._owner = merge_one(base.owner if base else None, owner, theirs.record.owner)
        self._label = label
        if must_merge or self._options.on_conflict == "merge":
            self._label = merge_one(base.label if base else None, label, theirs.record.label)
            self._values = merge(base_values, self._values, theirs.record.values)
        self._may_differ = self._values.keys() | theirs.record.values.keys()
        return self._values


async def _pause(attempt: int) -> None:
    """Wait a random while, longer at each attempt, so that processes in parallel come apart."""
    await asyncio.sleep(random.uniform(0, min(_FIRST_PAUSE * 2**attempt, _LONGEST_PAUSE)))  # noqa: S311
