"""Session: values that stay between requests, and what can be done with them."""

import asyncio
import logging
import random
import secrets
from collections.abc import Callable, Coroutine
from datetime import datetime
from typing import Any, Final, Protocol

from tornado_session import serializer
from tornado_session.caching.contract import timestamp
from tornado_session.errors import (
    CacheError,
    ConfigurationError,
    ResponseStartedError,
    SessionConflictError,
    SessionNotLoadedError,
    SessionUnavailableError,
)
from tornado_session.merge import merge, merge_one
from tornado_session.record import SessionRecord, UnreadableRecordError
from tornado_session.session_cookie import KEY_SIZE
from tornado_session.store import SessionStore, StoredSession
from tornado_session.values import NOTHING, SessionValues

logger = logging.getLogger(__name__)

_MOST_TRIES: Final = 10
_FIRST_PAUSE: Final = 0.004
_LONGEST_PAUSE: Final = 0.5
_KEEP: Any = object()


class SessionHost(Protocol):
    """What a session asks of the request that it belongs to."""

    @property
    def headers_sent(self) -> bool: ...

    def explain_not_loaded(self) -> str: ...

    def renew_xsrf_token(self) -> None: ...


class Session(SessionValues):
    """What one visitor's requests share: a mapping that is loaded before the handler runs and saved before it answers.

    ``self.session`` in a handler with ``SessionMixin``. Reading never waits and never asks the cache. All that asks the
    cache is awaited, takes at most ``SessionOptions.io_timeout``, and raises ``CacheError`` when the cache does not
    answer. Values and keys: see ``SessionValues``; anything but plain values is refused when it is assigned.
    """

    # A request pays for each attribute that its session sets, so what most sessions leave alone stands here.
    _record: SessionRecord | None = None
    _version: int | None = None
    _expires: datetime | None = None
    _id = ""
    _created = 0.0
    _owner: str | None = None
    _label: str | None = None
    _is_loaded = False
    _is_unavailable = False
    _is_new = True
    _is_expired = False
    _is_ended = False
    _is_closed = False
    _is_dropped = False
    _was_cleared = False
    _was_destroyed = False
    _must_delete_cookie = False
    _has_cookie_of_old_key = False
    _lock: asyncio.Lock | None = None

    def __init__(
        self, store: SessionStore, key: bytes | None, host: SessionHost, *, blocked_reason: str | None = None
    ) -> None:
        super().__init__()
        self._store = store
        self._options = store.options
        self._host = host
        self._blocked_reason = blocked_reason
        self._key = None if blocked_reason else key
        self._cookie_key = self._key  # What the browser holds, whatever happens to the session.

    def __repr__(self) -> str:
        if not self._is_loaded:
            return "<Session, unavailable>" if self._is_unavailable else "<Session, not loaded>"
        return f"<Session {self._id!r} with {len(self._values)} keys>"

    # -- what is known without asking ---------------------------------------------------------------------------------

    @property
    def id(self) -> str:
        """The session's public name, safe to log; ``""`` while it is unavailable; changes with ``regenerate()``."""
        self._before_read()
        if not self._id and not self._is_unavailable:
            self._id = secrets.token_urlsafe(16)
        return self._id

    @property
    def is_loaded(self) -> bool:
        """Whether the session was read; ``False`` before, and when the cache could not be asked."""
        return self._is_loaded

    @property
    def is_available(self) -> bool:
        """Whether the session was read and can be written; ``False`` when the cache could not be asked."""
        return self._is_loaded and not self._is_unavailable

    @property
    def is_new(self) -> bool:
        """Whether nothing was stored of this session when the request began."""
        self._is_touched = True
        return self._is_new

    @property
    def is_expired(self) -> bool:
        """Whether the browser's cookie is genuine, but nothing is stored under it any more."""
        self._is_touched = True
        return self._is_expired

    @property
    def is_ended(self) -> bool:
        """Whether the session was destroyed, here or by another request: what is written then is not stored."""
        self._is_touched = True
        return self._is_ended

    @property
    def is_modified(self) -> bool:
        """Whether there is anything to store; compares the values if any of them could have changed in place."""
        self._snapshot = None
        if self._was_cleared:
            return True
        stored_label = self._record.label if self._record else None
        stored_owner = self._record.owner if self._record else None
        return self._label != stored_label or self._owner != stored_owner or self._values_changed()

    @property
    def blocked_reason(self) -> str | None:
        """``"consent"`` when the visitor has not agreed to cookies and this one is not essential, else ``None``."""
        return self._blocked_reason

    @property
    def owner(self) -> str | None:
        """Whose session it is, as last said with ``regenerate(owner=...)``; ``None``: nobody's."""
        self._before_read()
        return self._owner

    @property
    def label(self) -> str | None:
        """A text that helps its owner to recognise the session, such as the browser's name."""
        self._before_read()
        return self._label

    @label.setter
    def label(self, label: str | None) -> None:
        if label is not None and not isinstance(label, str):
            raise TypeError(f"a session's label is text or None, not {type(label).__name__}")
        serializer.check(label, name="session.label")
        self._before_write()
        self._label = label

    @property
    def created(self) -> datetime:
        """When the session began (aware, UTC): when it was first stored, or last regenerated; now, if it is new."""
        self._before_read()
        return timestamp(self._created or self._store.clock())

    @property
    def expires(self) -> datetime:
        """When the session ends if it is not used again (aware, UTC), as far as this request knows."""
        self._before_read()
        return self._expires or self._store.expires(self._created or self._store.clock())

    # -- trips --------------------------------------------------------------------------------------------------------

    async def load(self) -> None:
        """Read the session, once, and start its idle timeout anew; ``SessionMixin.prepare`` does it for every request.

        Raises ``CacheError``; and ``SessionUnavailableError`` when what is stored is not understood.
        """
        if not self._is_loaded:
            await self._fetch(refresh=True)

    async def reload(self) -> None:
        """Read the session again and drop what was changed here and not committed; does not move the idle timeout.

        A session that was ended elsewhere is empty afterwards, and ``is_ended`` is true.
        """
        async with self._alone():
            await self._fetch(refresh=False)

    async def commit(self) -> None:
        """Store the changes now; does nothing when there are none. A response stores them by itself before it ends.

        Raises ``CacheError``, ``SessionConflictError`` and ``SessionTooLargeError``. A session that was ended by
        another request is not stored: no error, ``is_ended`` is true.
        """
        self._before_read()
        async with self._alone():
            if self._has_to_be_stored:
                await self._store.bounded(self._save())

    async def refresh(self) -> None:
        """Start the idle timeout anew, now; for connections that live longer than a request."""
        self._before_read()
        async with self._alone():
            if self._record is None or not self._can_be_stored:
                return
            if await self._store.bounded(self._store.refresh(self._cache_key)):
                self._expires = self._store.expires(self._record.created)
            else:
                self._end()

    async def regenerate(self, *, owner: str | None = _KEEP) -> None:
        """Give the session a new key and a new id and keep its data; to be called whenever somebody signs in.

        ``owner``: whose session it is from now on; left out, that stays as it is. The old record is gone and the new
        one is stored, with all changes so far, when the call returns. What a parallel request stored before is kept;
        what it stores later is not. Also renews Tornado's XSRF token.

        Raises ``ResponseStartedError`` when the new cookie could not be sent any more, and what ``commit`` raises.
        """
        self._before_write()
        if self._host.headers_sent:
            raise ResponseStartedError(
                "The session cannot be regenerated after the response has started: the browser would not get the new "
                "key. Call regenerate() before the first flush()."
            )
        if owner is not _KEEP:
            _check_owner(owner)
        async with self._alone():
            if self._is_ended:
                # Nothing of it goes on, least of all whose it was.
                self._start_anew()
            new_owner = self._owner if owner is _KEEP else owner
            if self._record is None or not self._can_be_stored:
                self._begin_under_new_key(new_owner)
            else:
                await self._store.bounded(self._move(new_owner))
        self._host.renew_xsrf_token()

    async def destroy(self) -> None:
        """Remove the session now, and the browser's cookie with the response; to be called when somebody signs out.

        A parallel request that still holds the session cannot store it again. A write that follows in this request
        starts a new session.
        """
        async with self._alone():
            # Also when nothing was found under the key: a parallel request may have begun a session there meanwhile.
            if self._key is not None:
                await self._store.bounded(self._store.remove(self._cache_key))
            self._start_anew()
            self._key = None
            self._is_loaded, self._is_unavailable = True, False
            self._is_ended = self._was_destroyed = self._is_touched = True
            self._must_delete_cookie = self._cookie_key is not None

    async def modify(self, key: str, function: Callable[[Any], Any], default: Any = None) -> Any:
        """Change the value of one key such that nothing is lost to parallel requests; return the new value.

        ``function`` takes the current value, or ``default``, and returns the new one; it is called again when another
        request was faster, so it should do nothing else. The change is stored at once, together with other changes made
        here so far. Merges whatever ``on_conflict`` says. Raises what ``commit`` raises; after an exception in
        ``function`` nothing is stored.
        """
        self._before_write()
        outcome: list[Any] = []

        def change(values: dict[str, Any]) -> dict[str, Any]:
            current = serializer.loads(serializer.dumps(values[key])) if key in values else default
            value = function(current)
            serializer.check(value, name=f"session[{key!r}]")
            outcome[:] = [value]
            return values | {key: value}

        async with self._alone():
            if self._can_be_stored:
                await self._store.bounded(self._save(change))
            if not outcome:
                change(self._values)
        self._values[key] = outcome[0]
        # The caller holds the new value, and may change it in place.
        self._may_have_changed = True
        return outcome[0]

    def clear(self) -> None:
        """Empty the session; the stored record, owner and label with it, is removed when the session is saved."""
        self._before_read()
        if self._record is None and not self._values and self._label is None and self._owner is None:
            return
        self._before_write()
        self._values = {}
        self._owner = self._label = None
        self._was_cleared = self._record is not None
        self._may_have_changed = True

    # -- reading and writing ------------------------------------------------------------------------------------------

    def _before_read(self) -> None:
        self._is_touched = True
        if not self._is_loaded and not self._is_unavailable:
            raise SessionNotLoadedError(self._host.explain_not_loaded())

    def _before_write(self) -> None:
        self._before_read()
        if self._is_closed:
            raise ResponseStartedError(
                "The session cannot be changed after the response was finished. Write before redirect() and finish()."
            )
        if self._blocked_reason is not None:
            self._store.log.warning_once(
                logger, "consent", "Sessions of visitors who have not agreed to cookies are not stored."
            )
        elif self._is_unavailable:
            self._refuse_unavailable()
        elif self._record is None and self._key is None and self._host.headers_sent:
            raise ResponseStartedError(
                "The session cannot be established after the response has started. Write to it before the first "
                "flush(), or before the upgrade of a WebSocket."
            )
        elif self._was_destroyed:
            self._is_ended = self._was_destroyed = False

    def _refuse_unavailable(self) -> None:
        if self._options.when_unavailable != "ignore":
            raise SessionUnavailableError(
                "The session cannot be written: the cache could not be read when this request began. "
                "Read session.is_available first, or choose SessionOptions.when_unavailable."
            )
        self._store.log.warning(logger, "dropped", "A write to an unavailable session was dropped.")

    @property
    def _can_be_stored(self) -> bool:
        return not (self._is_unavailable or self._is_ended or self._blocked_reason)

    @property
    def _cache_key(self) -> str:
        if self._key is None:
            self._key = secrets.token_bytes(KEY_SIZE)
        return self._store.cache_key(self._key)

    # -- for the exchange that the session belongs to -----------------------------------------------------------------

    async def _commit_what_was_found(self) -> None:
        """Store what ``_has_to_be_stored`` has just found changed, without looking for it again."""
        async with self._alone():
            if self._can_be_stored:
                # A mere rewrite gives way to what others wrote, whatever ``on_conflict`` says.
                is_rewrite = self._has_to_be_rewritten and not self.is_modified
                await self._store.bounded(self._save(dict if is_rewrite else None))

    def _close(self) -> None:
        """Refuse all further writes."""
        self._is_closed = True

    def _drop_changes(self) -> None:
        """Store nothing any more; what is there stays readable."""
        self._is_dropped = True
        self._is_closed = False

    @property
    def _has_to_be_stored(self) -> bool:
        if not self._is_loaded or self._is_dropped or not self._can_be_stored:
            return False
        return self.is_modified or self._has_to_be_rewritten

    @property
    def _has_to_be_rewritten(self) -> bool:
        # What depends on the key ring in the store follows the cookie to the current key, or it would be lost when the
        # old key is dropped: an encrypted session could not be read, an owner's could not be found.
        if not self._has_cookie_of_old_key or self._record is None:
            return False
        return self._options.encrypt or self._record.owner is not None

    def _note_cookie_of_old_key(self) -> None:
        self._has_cookie_of_old_key = True

    def _key_for_cookie(self) -> tuple[bytes | None, bool]:
        """Give the key that the browser should hold, or ``None``, and whether it has a cookie to renew or to delete."""
        if self._record is not None or self._will_be_stored:
            return self._key, self._key == self._cookie_key
        return None, self._must_delete_cookie

    @property
    def _will_be_stored(self) -> bool:
        # The headers of a streamed response leave before its changes are stored, so the key must be known by then.
        if self._host.headers_sent or not self._has_to_be_stored:
            return False
        return bool(self._cache_key)

    def _alone(self) -> asyncio.Lock:
        """Let what one request asks of the cache go one after the other, or a commit could overtake a destroy."""
        if self._lock is None:
            self._lock = asyncio.Lock()
        return self._lock

    # -- loading ------------------------------------------------------------------------------------------------------

    def _begin_new(self) -> None:
        """Take it that there is nothing to load: the visitor brought no cookie."""
        self._is_loaded = True

    async def _fetch(self, *, refresh: bool) -> None:
        if self._key is None or self._is_ended or (self._record is None and self._key != self._cookie_key):
            self._values, self._may_have_changed = {}, False
            self._owner = self._label = None
            self._is_loaded = True
            return
        try:
            stored = await self._store.load_in_time(self._cache_key, refresh=refresh)
        except (CacheError, UnreadableRecordError) as error:
            self._is_unavailable = not self._is_loaded
            if isinstance(error, UnreadableRecordError):
                raise SessionUnavailableError(f"{error}. It is left as it is") from None
            raise
        self._is_loaded, self._is_unavailable = True, False
        self._adopt(stored)

    def _adopt(self, stored: StoredSession | None) -> None:
        if stored is None or stored.record is None:
            self._lose(stored)
            return
        if self._record is not None and self._record.id != stored.record.id:
            self._lose(stored)
            return
        self._take(stored.record, stored.version)
        self._expires = stored.entry.expires
        self._values = stored.record.values
        self._is_new = self._is_expired = self._may_have_changed = self._was_cleared = False

    def _lose(self, stored: StoredSession | None) -> None:
        self._values, self._may_have_changed = {}, False
        self._owner = self._label = None
        if self._record is not None:
            self._end()
            return
        self._version = stored.version if stored else None
        self._is_expired = True
        if stored is not None and stored.has_moved:
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
        self._values, self._stored_data = {}, NOTHING
        self._may_have_changed = self._was_cleared = self._is_ended = False
        self._id, self._created = "", 0.0
        self._owner = self._label = None
        self._is_new = True

    # -- saving -------------------------------------------------------------------------------------------------------

    async def _save(self, change: Callable[[dict[str, Any]], dict[str, Any]] | None = None) -> None:
        if self._was_cleared and change is None and not self._values and self._owner is None and self._label is None:
            await self._store.remove(self._cache_key)
            self._start_anew()
        else:
            await self._in_turn(self._put, change)

    def _begin_under_new_key(self, owner: str | None) -> None:
        self._key = None if self._blocked_reason else secrets.token_bytes(KEY_SIZE)
        self._id, self._created = secrets.token_urlsafe(16), self._store.clock()
        self._owner, self._version = owner, None

    async def _move(self, owner: str | None) -> None:
        # The old record is marked, then the new one is stored, then the mark goes. Whoever stops in between leaves a
        # visitor who is signed out, never two live sessions. Whoever revokes the owner's sessions in between finds the
        # mark, the new record, or both; and if it took the mark, the new record goes too.
        old = self._cache_key
        await self._in_turn(self._mark_moved)
        if self._is_ended:
            return
        self._record = None
        # If storing under the new key fails and the handler goes on, nothing of it is stored anywhere.
        self._stored_data, self._may_have_changed = NOTHING, True
        self._begin_under_new_key(owner)
        record = self._make_record(self._values)
        version = await self._store.add(self._cache_key, record)
        if version is None or not await self._store.remove(old):
            await self._store.remove(self._cache_key)
            self._end()
            return
        self._note_stored(record, version)

    async def _in_turn(
        self,
        store: Callable[[dict[str, Any]], Coroutine[Any, Any, bool]],
        change: Callable[[dict[str, Any]], dict[str, Any]] | None = None,
    ) -> None:
        if self._store.never_waits:
            await self._store_until_done(store, change)
            return
        async with self._store.turns.take(self._cache_key):
            await self._store_until_done(store, change)

    async def _store_until_done(
        self,
        store: Callable[[dict[str, Any]], Coroutine[Any, Any, bool]],
        change: Callable[[dict[str, Any]], dict[str, Any]] | None,
    ) -> None:
        """Try ``store`` with what is to be stored until no other request comes in between, or the session has ended."""
        values = self._values
        for attempt in range(_MOST_TRIES):
            await _pause(attempt)
            if await store(values if change is None else change(values)):
                return
            theirs = await self._store.load(self._cache_key, refresh=False)
            if not self._goes_on_with(theirs):
                self._end()
                return
            values = self._resolved(theirs, must_merge=change is not None)
        if self._options.on_conflict == "last_write_wins" and store == self._put and change is None:
            # Each try was overtaken by another write, which would have replaced this one.
            return
        raise SessionConflictError(f"Session {self._id} was changed by others {_MOST_TRIES} times in a row. Try again")

    async def _put(self, values: dict[str, Any]) -> bool:
        record = self._make_record(values)
        if self._version is None:
            version = await self._store.add(self._cache_key, record)
        else:
            version = await self._store.replace(self._cache_key, record, self._version)
        if version is None:
            return False
        self._note_stored(record, version)
        return True

    async def _mark_moved(self, values: dict[str, Any]) -> bool:
        assert self._record is not None
        assert self._version is not None
        # What cannot be stored must fail before the old record is gone.
        self._store.check_size(self._cache_key, self._make_record(values))
        return await self._store.mark_moved(self._cache_key, self._record, self._version) is not None

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
        self._expires = self._store.expires(record.created)
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
        base, base_values = self._record, serializer.loads(self._stored_data)
        owner, label = self._owner, self._label
        self._take(theirs.record, theirs.version)
        self._owner = merge_one(base.owner if base else None, owner, theirs.record.owner)
        self._label = label
        if must_merge or self._options.on_conflict == "merge":
            self._label = merge_one(base.label if base else None, label, theirs.record.label)
            self._values = merge(base_values, self._values, theirs.record.values)
        return self._values


async def _pause(attempt: int) -> None:
    """Wait a random while, longer at each attempt after the second, so that processes in parallel come apart."""
    if attempt > 1:
        await asyncio.sleep(random.uniform(0, min(_FIRST_PAUSE * 2**attempt, _LONGEST_PAUSE)))  # noqa: S311


def _check_owner(owner: str | None) -> None:
    if owner is not None and (not isinstance(owner, str) or not owner):
        raise ConfigurationError(
            f"a session's owner is the user's id as text that is not empty, or None, not {type(owner).__name__}"
        )
    serializer.check(owner, name="owner")
