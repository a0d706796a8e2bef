"""The public API as applications use it, for ``mypy --strict``: what is right passes, what is wrong is an error.

Never run. ``assert_type`` holds a type to what it is said to be; ``type: ignore`` with a code holds that there is an
error, for strict mypy reports one that is not needed.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, assert_type

import tornado.web
import tornado.websocket

from tornado_session import (
    CacheEntry,
    CacheEntryOptions,
    CookieOptions,
    CookieTempDataProvider,
    DistributedCache,
    ItemKey,
    KeyRing,
    MemoryCache,
    Protector,
    Session,
    SessionInfo,
    SessionMixin,
    SessionOptions,
    Sessions,
    SessionTempDataProvider,
    TempData,
    TempDataField,
    TempDataProvider,
    TempDataTooLargeError,
    UnknownKeyError,
    session_settings,
)
from tornado_session.temp_data.contract import TempDataRequest
from tornado_session.testing import CacheContract, CookieClient, FakeClock, FaultyCache

# -- the twelve lines -------------------------------------------------------------------------------------------------


class Counter(SessionMixin, tornado.web.RequestHandler):
    async def get(self) -> None:
        self.session["visits"] = self.session.get("visits", 0) + 1
        self.write(f"Visit {self.session['visits']}")


async def main() -> None:
    app = tornado.web.Application(
        [("/", Counter)],
        **session_settings(cache=MemoryCache(), cookie_secret="change me: 32 random bytes or more"),
    )
    app.listen(8888)
    await asyncio.Event().wait()


# -- a handler that uses everything -----------------------------------------------------------------------------------


@dataclass
class User:
    name: str


CURRENT_USER = ItemKey[User]("current user")
ATTEMPTS = ItemKey[int]("attempts")


class Account(SessionMixin, tornado.web.RequestHandler):
    session_autoload = False
    notice: str | None = TempDataField()
    renamed: int | None = TempDataField("another key")

    async def prepare(self) -> None:
        await super().prepare()
        await self.load_session()
        self.items[CURRENT_USER] = User("ann")
        self.items["anything"] = object()
        self.items[CURRENT_USER] = 5  # type: ignore[misc]

    async def get(self) -> None:
        assert_type(self.items[CURRENT_USER], User)
        assert_type(self.items.get(CURRENT_USER), User | None)
        assert_type(self.items.get(ATTEMPTS, 0), int)
        assert_type(self.items["anything"], Any)
        assert_type(self.notice, str | None)
        assert_type(self.renamed, int | None)
        self.notice = "Saved"
        self.notice = 5  # type: ignore[assignment]

    async def post(self) -> None:
        session = self.session
        assert_type(session, Session)
        assert_type(session.id, str)
        assert_type(session.owner, str | None)
        assert_type(session.expires, datetime)
        assert_type(session.blocked_reason, str | None)
        assert_type(session.is_expired, bool)
        assert_type(session["key"], Any)
        assert_type(session.get_string("name"), str | None)
        assert_type(session.get_int32("count"), int | None)
        assert_type(session.get_bytes("data"), bytes | None)
        session.set_string("name", "ann")
        session.set_int32("count", 1)
        session.set_bytes("data", b"")
        session.label = self.request.headers.get("User-Agent")
        assert_type(await session.modify("count", lambda count: count + 1, default=0), Any)
        await session.regenerate(owner="user-42")
        await session.regenerate()
        await session.commit()
        await session.destroy()
        session.id = "another"  # type: ignore[misc]
        session.set_int32("count", "1")  # type: ignore[arg-type]

    def put(self) -> None:
        temp_data = self.temp_data
        assert_type(temp_data, TempData)
        temp_data["notice"] = {"nested": [1, (2,)]}
        temp_data.keep("notice")
        temp_data.keep()
        assert_type(temp_data.peek("notice"), Any)
        assert_type(list(temp_data), list[str])
        self.flash("Saved", category="success")
        self.redirect("/")


class Live(SessionMixin, tornado.websocket.WebSocketHandler):
    async def on_message(self, message: str | bytes) -> None:
        await self.session.reload()
        if self.session.is_ended:
            self.close()
        await self.session.refresh()


# -- options ----------------------------------------------------------------------------------------------------------

OPTIONS = SessionOptions(
    cookie=CookieOptions(name="__Host-session", same_site="Strict", secure="always", max_age=timedelta(days=30)),
    idle_timeout=timedelta(minutes=20),
    lifetime=None,
    on_conflict="last_write_wins",
    when_unavailable="ignore",
    encrypt=True,
)
CookieOptions(same_site="lax")  # type: ignore[arg-type]
SessionOptions(on_conflict="mrege")  # type: ignore[arg-type]
SessionOptions(idle_timeout=20)  # type: ignore[arg-type]
OPTIONS.max_size = 5  # type: ignore[misc]


def consent(handler: tornado.web.RequestHandler) -> bool:
    return handler.get_cookie("consent") == "yes"


def settings() -> dict[str, Any]:
    return session_settings(
        cache=FaultyCache(MemoryCache(max_size=2**20, clock=FakeClock())),
        cookie_secret={1: "old", 2: b"new"},
        key_version=2,
        session=OPTIONS,
        temp_data=CookieTempDataProvider(chunk_size=3800, max_age=timedelta(hours=1), overflow="error"),
        consent=consent,
        clock=FakeClock(),
    )


def settings_with_keys() -> dict[str, Any]:
    keys = KeyRing({"2030": "secret", 7: b"secret"}, current="2030")
    return session_settings(cache=MemoryCache(), keys=keys, temp_data=SessionTempDataProvider())


async def administration(sessions: Sessions) -> None:
    async for info in sessions.of("user-42"):
        assert_type(info, SessionInfo)
        assert_type(info.last_seen, datetime)
        assert_type(await sessions.revoke("user-42", info.id), bool)
    assert_type(await sessions.revoke_all("user-42", keep="id"), int)


# -- protection -------------------------------------------------------------------------------------------------------


def protect(keys: KeyRing) -> bytes:
    protector = keys.protector("password reset", "user-42")
    assert_type(protector, Protector)
    protected = protector.protect(b"data", expires_in=timedelta(hours=1))
    try:
        assert_type(protector.unprotect(protected), bytes)
    except UnknownKeyError as error:
        assert_type(error.key_id, int | str)
    protector.protect("text")  # type: ignore[arg-type]
    return protected


def explain(error: TempDataTooLargeError) -> str:
    assert_type(error.largest, dict[str, int])
    return f"{error.size} of {error.limit}"


# -- one's own cache and provider -------------------------------------------------------------------------------------


class LoggingCache(DistributedCache):
    """A wrapper that delegates is a full cache."""

    def __init__(self, inner: DistributedCache) -> None:
        self.inner = inner

    async def get(self, key: str, *, refresh: bool = True) -> CacheEntry | None:
        entry = await self.inner.get(key, refresh=refresh)
        if entry is not None:
            assert_type(entry.value, bytes)
            assert_type(entry.version, int)
            assert_type(entry.expires, datetime | None)
        return entry

    async def set(self, key: str, value: bytes, options: CacheEntryOptions) -> int:
        return await self.inner.set(key, value, options)

    async def add(self, key: str, value: bytes, options: CacheEntryOptions) -> int | None:
        return await self.inner.add(key, value, options)

    async def replace(
        self, key: str, value: bytes, options: CacheEntryOptions, *, version: int | None = None
    ) -> int | None:
        return await self.inner.replace(key, value, options, version=version)

    async def refresh(self, key: str) -> bool:
        return await self.inner.refresh(key)

    async def remove(self, key: str) -> bool:
        return await self.inner.remove(key)

    async def find(self, tag: str) -> AsyncIterator[tuple[str, CacheEntry]]:
        async for found in self.inner.find(tag):
            yield found


class ForgetfulCache(DistributedCache):
    """One that misses a call cannot be made."""


ForgetfulCache()  # type: ignore[abstract]


class TestLoggingCache(CacheContract):
    async def make_cache(self) -> DistributedCache:
        return LoggingCache(MemoryCache(clock=self.clock))


CacheEntryOptions(sliding=timedelta(minutes=20), absolute=datetime.now(UTC), tag="user-42")
CacheEntryOptions(sliding=20)  # type: ignore[arg-type]


class FileTempDataProvider(TempDataProvider):
    """A provider of one's own takes what it needs from the request."""

    def load(self, request: TempDataRequest) -> dict[str, Any]:
        protected = request.cookies.get("file", "").encode()
        return {"opened": request.protector("file").unprotect(protected)}

    def save(self, request: TempDataRequest, values: Mapping[str, Any]) -> None:
        request.session["file"] = dict(values)
        request.set_cookie_line("file=name; Path=/")


async def visit(browser: CookieClient) -> str:
    response = await browser.fetch("/", follow_redirects=False)
    assert_type(browser.cookies, dict[str, str])
    return response.body.decode()
