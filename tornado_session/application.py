"""session_settings(): the hook into ``Application`` settings; Sessions: the one object that it puts there."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from dataclasses import dataclass
from datetime import datetime
from time import time
from typing import Any, Final

from tornado_session.caching.contract import CacheEntry, DistributedCache, timestamp
from tornado_session.errors import ConfigurationError, SessionNotConfiguredError
from tornado_session.logs import LimitedLog
from tornado_session.options import SESSION_COOKIE_NAME, SessionOptions
from tornado_session.protection.key_ring import KeyRing, Secret
from tornado_session.protection.protector import Protector
from tornado_session.record import SessionRecord, UnreadableRecordError
from tornado_session.session_cookie import SessionCookie
from tornado_session.store import SessionStore
from tornado_session.temp_data.contract import TempDataProvider
from tornado_session.temp_data.cookie import CookieTempDataProvider

logger = logging.getLogger(__name__)

SETTING: Final = "sessions"
_MOST_PASSES: Final = 100


def session_settings(
    *,
    cache: DistributedCache,
    cookie_secret: Secret | Mapping[int, Secret] | None = None,
    key_version: int | None = None,
    keys: KeyRing | None = None,
    session: SessionOptions | None = None,
    temp_data: TempDataProvider | None = None,
    consent: Callable[[Any], bool] | None = None,
    clock: Callable[[], float] = time,
) -> dict[str, Any]:
    """Give the settings that turn sessions on: ``Application(handlers, **session_settings(cache=..., ...))``.

    ``cache``: where sessions are kept. ``cookie_secret`` and ``key_version``: Tornado's own settings, passed on, from
    which the keys are derived; ``keys``: a ``KeyRing`` instead, or beside them if Tornado is to keep its own secret.
    ``session``: default ``SessionOptions()``. ``temp_data``: default ``CookieTempDataProvider()``. ``consent``: tells
    for a handler whether its visitor has agreed to cookies that are not essential; default: always. ``clock``: seconds
    since the epoch, for ``lifetime``, ``created`` and ``max_age``.

    Everything is checked here: ``ConfigurationError`` names argument and remedy. Two applications share nothing.
    """
    _check_type("cache", cache, DistributedCache, "a DistributedCache, such as MemoryCache()")
    _check_type("session", session, SessionOptions | None, "SessionOptions(...)")
    _check_type("temp_data", temp_data, TempDataProvider | None, "CookieTempDataProvider(...)")
    _check_type("keys", keys, KeyRing | None, "KeyRing({1: secret}, current=1)")
    _check_callable("consent", consent)
    _check_callable("clock", clock)
    sessions = Sessions(
        cache=cache,
        keys=keys or _keys_from(cookie_secret, key_version),
        options=session or SessionOptions(),
        temp_data=temp_data or CookieTempDataProvider(),
        consent=consent,
        clock=clock,
    )
    passed_on = {"cookie_secret": cookie_secret, "key_version": key_version}
    return {SETTING: sessions} | {name: value for name, value in passed_on.items() if value is not None}


@dataclass(frozen=True, kw_only=True, slots=True)
class SessionInfo:
    """One live session of an owner, as it can be shown to that owner. Instants are aware, UTC."""

    id: str
    """The session's public name."""
    created: datetime
    """When it began: at sign-in, or when it was last regenerated."""
    last_seen: datetime
    """When it was last used, up to ``SessionOptions.refresh_interval`` ago."""
    expires: datetime
    """When it ends if it is not used again."""
    label: str | None
    """What the application called it (``session.label``)."""


class Sessions:
    """All sessions of one application: ``self.settings["sessions"]`` in a handler, and usable outside of handlers."""

    def __init__(
        self,
        *,
        cache: DistributedCache,
        keys: KeyRing,
        options: SessionOptions,
        temp_data: TempDataProvider,
        consent: Callable[[Any], bool] | None,
        clock: Callable[[], float],
    ) -> None:
        self.cache = cache
        self.options = options
        self.temp_data = temp_data
        self.consent = consent
        self.clock = clock
        self.log = LimitedLog(clock)
        self.store = SessionStore(cache, options, keys, clock, self.log)
        self._keys = keys
        self._protectors: dict[tuple[str, ...], Protector] = {}
        self._tasks: set[object] = set()
        cookie_options = options.cookie.named(SESSION_COOKIE_NAME)
        self.cookie = SessionCookie(cookie_options, self.protector("session cookie", cookie_options.name or ""))
        self.session_needs_consent = consent is not None and not self.cookie.is_essential
        self.temp_data_needs_consent = consent is not None and not temp_data.is_essential
        temp_data.validate(self.cookie.name)

    def __repr__(self) -> str:
        return f"<Sessions in {self.cache!r}>"

    @classmethod
    def of_application(cls, settings: Mapping[str, Any]) -> "Sessions":
        """Find the object in an application's settings; raises ``SessionNotConfiguredError``."""
        sessions = settings.get(SETTING)
        if isinstance(sessions, cls):
            return sessions
        raise SessionNotConfiguredError(
            "Session has not been configured for this application or request. Build the application with "
            "tornado.web.Application(handlers, **session_settings(cache=MemoryCache(), cookie_secret=...))."
        )

    def protector(self, *purposes: str) -> Protector:
        """Give the protector for a purpose, on this application's keys and clock."""
        if purposes not in self._protectors:
            self._protectors[purposes] = self._keys.protector(*purposes, clock=self.clock)
        return self._protectors[purposes]

    def run(self, coroutine: Coroutine[Any, Any, None]) -> "asyncio.Future[None]":
        """Run what has to finish even if nobody waits for it, or whoever does is cancelled."""
        loop = asyncio.get_running_loop()
        waiting: asyncio.Future[None] = loop.create_future()
        task = loop.create_task(_passed_on(coroutine, waiting, self._tasks))
        # The loop alone would not keep the task alive.
        self._tasks.add(task)
        return waiting

    async def of(self, owner: str) -> AsyncIterator[SessionInfo]:
        """List the live sessions of an owner, in no order; does not move their idle timeouts."""
        async for _, entry, record in self._records_of(owner):
            if record is not None:
                yield self._info(entry, record)

    async def revoke(self, owner: str, id: str) -> bool:  # noqa: A002 - the session's own word for it
        """End one session of an owner, now and for good; ``False`` when the owner has no live session of this id."""
        async for key, _, record in self._records_of(owner):
            if record is not None and record.id == id:
                return await self.cache.remove(key)
        return False

    async def revoke_all(self, owner: str, keep: str | None = None) -> int:
        """End all sessions of an owner, except the one whose id is ``keep``, and return how many ended.

        Safe to repeat. Goes over the owner's sessions until it finds none to end: a session that was stored before the
        last pass began is gone, one that is regenerated meanwhile too; one that is stored later came later.
        """
        ended = 0
        for _ in range(_MOST_PASSES):
            removed = await self._revoke_pass(owner, keep)
            if removed is None:
                break
            ended += removed
        return ended

    async def _revoke_pass(self, owner: str, keep: str | None) -> int | None:
        """End what is found; ``None`` when there was nothing to end."""
        found, ended = False, 0
        async for key, _, record in self._records_of(owner):
            if record is not None and record.id == keep:
                continue
            found = True
            # What has no record goes too, uncounted: the mark of a session that is being regenerated, and with it the
            # new session; and what this version does not understand, for it is the owner's none the less.
            if await self.cache.remove(key) and record is not None:
                ended += 1
        return ended if found else None

    async def _records_of(self, owner: str) -> AsyncIterator[tuple[str, CacheEntry, SessionRecord | None]]:
        found: set[str] = set()
        # The current key's tag comes last: a session that is written meanwhile moves from an old one to that one.
        for tag in reversed(self.store.tags(owner)):
            async for key, entry in self.cache.find(tag):
                if key not in found:
                    found.add(key)
                    yield key, entry, self._understood(key, entry)

    def _understood(self, key: str, entry: CacheEntry) -> SessionRecord | None:
        try:
            return self.store.understand(key, entry).record
        except UnreadableRecordError as error:
            self.log.warning(logger, "unreadable", f"{error}")
            return None

    def _info(self, entry: CacheEntry, record: SessionRecord) -> SessionInfo:
        created = timestamp(record.created)
        return SessionInfo(
            id=record.id,
            created=created,
            last_seen=entry.refreshed or created,
            expires=entry.expires or self.store.expires(record.created, self.clock()),
            label=record.label,
        )


async def _passed_on(coroutine: Coroutine[Any, Any, None], waiting: "asyncio.Future[None]", tasks: set[object]) -> None:
    """Tell whoever waits how the coroutine ended: here, for a callback of the task would cost a turn of the loop."""
    task = asyncio.current_task()
    try:
        await coroutine
    except asyncio.CancelledError:
        waiting.cancel()
        raise
    except Exception as error:  # noqa: BLE001 - it is passed on
        if not waiting.done():
            waiting.set_exception(error)
            waiting.exception()  # Whoever does not wait need not hear of it.
    else:
        if not waiting.done():
            waiting.set_result(None)
    finally:
        tasks.discard(task)


def _keys_from(cookie_secret: Secret | Mapping[int, Secret] | None, key_version: int | None) -> KeyRing:
    if cookie_secret is None:
        raise ConfigurationError(
            "cookie_secret is missing: the session's cookie is encrypted with keys made from it. Make one with: "
            'python -c "import secrets; print(secrets.token_urlsafe(32))" and keep it out of the source'
        )
    return KeyRing.from_cookie_secret(cookie_secret, key_version)


def _check_type(name: str, value: object, kind: Any, example: str) -> None:
    if not isinstance(value, kind):
        # Its type, never the value itself: it may well be a secret.
        given = f"the class {value.__name__} itself" if isinstance(value, type) else type(value).__name__
        raise ConfigurationError(f"{name} must be {example}, not {given}")


def _check_callable(name: str, value: object) -> None:
    if value is not None and not callable(value):
        raise ConfigurationError(f"{name} must be a function, not {type(value).__name__}")
