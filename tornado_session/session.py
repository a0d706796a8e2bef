"""Session: values that stay between requests, and what can be done with them."""

import secrets
from collections.abc import Callable, Coroutine
from datetime import datetime
from typing import Any

from tornado_session import serializer
from tornado_session.caching.contract import timestamp
from tornado_session.deadline import begin
from tornado_session.errors import (
    CacheError,
    ConfigurationError,
    ResponseStartedError,
    SessionNotLoadedError,
    SessionUnavailableError,
)
from tornado_session.session_state import KEEP, SessionState, logger


class Session(SessionState):
    """What one visitor's requests share: a mapping that is loaded before the handler runs and saved before it answers.

    ``self.session`` in a handler with ``SessionMixin``. Reading never waits and never asks the cache. All that asks the
    cache is awaited, takes at most ``SessionOptions.io_timeout``, and raises ``CacheError`` when the cache does not
    answer. Values and keys: see ``SessionValues``; anything but plain values is refused when it is assigned.
    """

    __slots__ = ()

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
        """Whether there is anything to store; compares the values that were written, or handed out and could change."""
        self._snapshot = None
        if self._was_cleared:
            return True
        stored = self._record
        if self._label != (stored.label if stored else None) or self._owner != (stored.owner if stored else None):
            return True
        if self._may_differ:
            self._snapshot = serializer.dumps_changed(self._values, self._stored_data, self._may_differ)
        return self._snapshot is not None

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
        if self._expires is not None:
            return self._expires
        now = self._store.clock()
        return self._store.expires(self._created or now, self._stored_at or now)

    # -- trips --------------------------------------------------------------------------------------------------------

    async def load(self) -> None:
        """Read the session, once, and start its idle timeout anew; ``SessionMixin.prepare`` does it for every request.

        Raises ``CacheError``; and ``SessionUnavailableError`` when what is stored is not understood.
        """
        if not self._is_loaded:
            await self._fetch(True)

    async def reload(self) -> None:
        """Read the session again and drop what was changed here and not committed; does not move the idle timeout.

        A session that was ended elsewhere is empty afterwards, and ``is_ended`` is true.
        """
        await self._alone(self._fetch, False)

    async def commit(self) -> None:
        """Store the changes now; does nothing when there are none. A response stores them by itself before it ends.

        Raises ``CacheError``, ``SessionConflictError`` and ``SessionTooLargeError``. A session that was ended by
        another request is not stored: no error, ``is_ended`` is true.
        """
        self._before_read()
        await self._alone(self._commit)

    async def _commit(self) -> None:
        if self._has_to_be_stored:
            await self._store.bounded(self._save())

    async def refresh(self) -> None:
        """Start the idle timeout anew, now; for connections that live longer than a request."""
        self._before_read()
        await self._alone(self._refresh)

    async def _refresh(self) -> None:
        if self._record is None or not self._can_be_stored:
            return
        if await self._store.bounded(self._store.refresh(self._cache_key)):
            self._expires, self._stored_at = None, self._store.clock()
        else:
            self._end()

    async def regenerate(self, *, owner: str | None = KEEP) -> None:
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
        if owner is not KEEP:
            _check_owner(owner)
        await self._alone(self._regenerate, owner)
        self._host.renew_xsrf_token()

    async def _regenerate(self, owner: str | None) -> None:
        if self._is_ended:
            # Nothing of it goes on, least of all whose it was.
            self._start_anew()
        if self._record is None or not self._can_be_stored:
            self._begin_under_new_key(owner)
        else:
            await self._store.bounded(self._move(owner))

    async def destroy(self) -> None:
        """Remove the session now, and the browser's cookie with the response; to be called when somebody signs out.

        A parallel request that still holds the session cannot store it again. A write that follows in this request
        starts a new session.
        """
        await self._alone(self._destroy)

    async def _destroy(self) -> None:
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

        await self._alone(self._modify, change)
        if not outcome:
            change(self._values)
        self._values[key] = outcome[0]
        # The caller holds the new value, and may change it in place.
        self._note(key)
        return outcome[0]

    async def _modify(self, change: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
        if self._can_be_stored:
            await self._store.bounded(self._save(change))

    def clear(self) -> None:
        """Empty the session; the stored record, owner and label with it, is removed when the session is saved."""
        self._before_read()
        if self._record is None and not self._values and self._label is None and self._owner is None:
            return
        self._before_write()
        self._may_differ |= self._values.keys()
        self._values = {}
        self._owner = self._label = None
        self._was_cleared = self._record is not None

    # -- reading and writing ------------------------------------------------------------------------------------------

    def _before_read(self) -> None:
        self._is_touched = True
        if not self._is_loaded and not self._is_unavailable:
            raise SessionNotLoadedError(self._host.explain_not_loaded())

    def _before_write(self) -> None:
        self._is_touched = True
        if not self._is_loaded:
            self._before_read()
        self._may_be_modified = True
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

    # -- for the exchange that the session belongs to -----------------------------------------------------------------

    def _go_on_without(self, error: CacheError | SessionUnavailableError) -> None:
        """Do as ``when_unavailable`` says when loading the session for a request has raised ``error``."""
        if self._options.when_unavailable == "fail":
            raise SessionUnavailableError(f"The session could not be loaded: {error}") from error
        self._store.log.warning(
            logger, "unavailable", f"A session could not be loaded and reads as empty: {_described(error)}"
        )

    def _close(self) -> Coroutine[Any, Any, None] | None:
        """Refuse all further writes, which could not be part of the response, and begin to store those there were."""
        self._is_closed = True
        if not self._may_be_modified and not self._has_cookie_of_old_key:
            return None
        return self._start_commit()

    def _start_commit(self) -> Coroutine[Any, Any, None] | None:
        """Begin to store what changed; return what is left to wait for, if anything."""
        if not self._has_to_be_stored:
            return None
        if self._store.never_waits:
            return begin(self._save_what_was_found())
        return self._behind_lock(self._save_what_was_found)

    async def _save_what_was_found(self) -> None:
        """Store what ``_has_to_be_stored`` has just found changed, without looking for it again.

        Under ``"ignore"`` a cache that fails is logged, and the response goes on.
        """
        if self._is_ended or self._is_unavailable:
            return
        # A mere rewrite gives way to what others wrote, whatever ``on_conflict`` says.
        is_rewrite = self._has_cookie_of_old_key and self._has_to_be_rewritten and not self.is_modified
        try:
            await self._store.bounded(self._save(dict if is_rewrite else None))
        except CacheError as error:
            if self._options.when_unavailable != "ignore":
                raise
            logger.error("A session could not be stored: %s", _described(error))

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

    def _key_to_be_stored(self) -> bytes | None:
        """Give the key of a session that is not stored, but will be; ``None`` when it will not."""
        # The headers of a streamed response leave before its changes are stored, so the key must be known by then.
        if not self._host.headers_sent and self._has_to_be_stored and self._cache_key:
            return self._key
        return None

    def _begin_new(self) -> None:
        """Take it that there is nothing to load: the visitor brought no cookie."""
        self._is_loaded = True


def _check_owner(owner: str | None) -> None:
    if owner is not None and (not isinstance(owner, str) or not owner):
        raise ConfigurationError(
            f"a session's owner is the user's id as text that is not empty, or None, not {type(owner).__name__}"
        )
    serializer.check(owner, name="owner")


def _described(error: Exception) -> str:
    cause = f" ({type(error.__cause__).__name__})" if error.__cause__ else ""
    return f"{error}{cause}"
