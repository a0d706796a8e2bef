"""The application that is loaded and killed, as a process: ``python -m tests.proof.app PORT CACHE URL PATIENCE``.

Every answer tells what the session holds, so that whoever asks can tell whether it is theirs.
"""

import asyncio
import gc
import json
import logging
import os
import sys
import time
from collections.abc import Awaitable
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

from tornado.httpserver import HTTPServer
from tornado.web import Application, RequestHandler

from tests.proof.fuzz import resident_bytes
from tornado_session import DistributedCache, MemoryCache, SessionMixin, SessionOptions, session_settings
from tornado_session.testing import FakeClock

SECRET = "the secret of all processes of one site"
PATIENCE = 2.0
"""Seconds that a request waits for the cache: few enough to try what happens after them."""


_STATES = ("is_new", "is_expired", "is_ended")


class Base(SessionMixin, RequestHandler):
    """Answers with what the session holds."""

    def answer(self) -> None:
        session = self.session
        held = {"client": session.get("client"), "tokens": session.get("tokens", []), "id": session.id}
        held["state"] = [name for name in _STATES if getattr(session, name)]
        own = {name: value for name, value in session.items() if name.startswith("own")}
        if not session.is_available:
            self.set_status(503)
        self.write(json.dumps(held | own))

    def is_stranger(self) -> bool:
        """Send away who is not signed in, or cannot be known while the store is away: nothing of theirs is written."""
        if self.session.get("client") is not None:
            return False
        self.set_status(409 if self.session.is_available else 503)
        self.write("{}")
        return True


class Read(Base):
    def get(self) -> None:
        self.answer()


class SignIn(Base):
    """Begins a session for ``client``, or renews the key of the one there is."""

    async def post(self) -> None:
        self.session["client"] = self.get_argument("client")
        await self.session.regenerate(owner=self.get_argument("client"))
        self.answer()


class Append(Base):
    async def post(self) -> None:
        if self.is_stranger():
            return
        token = self.get_argument("token")
        await self.session.modify("tokens", lambda tokens: [*tokens, token], [])
        self.answer()


class Put(Base):
    """A plain write, a message for the next page, and a redirect to it."""

    def post(self) -> None:
        if self.is_stranger():
            return
        self.session[self.get_argument("name")] = self.get_argument("value")
        self.temp_data["notice"] = self.session["client"]
        self.redirect("/notice", status=303)


class Notice(Base):
    def get(self) -> None:
        self.write(json.dumps({"client": self.session.get("client"), "notice": self.temp_data.get("notice")}))


class SignOut(Base):
    async def post(self) -> None:
        await self.session.destroy()
        self.write("{}")


class Jump(RequestHandler):
    """Turns the application's clock."""

    def post(self) -> None:
        self.settings["jumping_clock"].advance(timedelta(seconds=float(self.get_argument("seconds"))))
        self.write("{}")


class State(RequestHandler):
    """What the process holds, after a collection of its garbage."""

    async def get(self) -> None:
        gc.collect()
        watch: Watch = self.settings["watch"]
        self.write(
            {
                "resident": resident_bytes(),
                "objects": len(gc.get_objects()),
                "tasks": sorted(task.get_coro().__qualname__ for task in asyncio.all_tasks()),  # type: ignore[union-attr]
                "descriptors": sum(1 for _ in Path("/proc/self/fd").iterdir()),
                "longest_stall": watch.longest_stall,
                "stalls": watch.stalls,
                "errors": watch.errors[:5],
                "cpu": time.process_time(),
            }
        )
        watch.longest_stall, watch.stalls = 0.0, 0


class Watch(logging.Handler):
    """Notes how long the loop stood still, and what was logged as an error."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.longest_stall = 0.0
        self.stalls = 0
        self.errors: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.errors.append(f"{record.name}: {record.getMessage()[:300]}")

    async def watch_loop(self) -> None:
        while True:
            # Processor time, for the machine has other things to do: what counts is what this process did meanwhile.
            before = time.process_time()
            await asyncio.sleep(0)
            took = time.process_time() - before
            self.stalls += took > 0.1
            self.longest_stall = max(self.longest_stall, took)
            await asyncio.sleep(0.01)


def settings(cache: DistributedCache, clock: Any, patience: float = PATIENCE) -> dict[str, Any]:
    """The hook, with as many seconds of patience with the cache."""
    options = SessionOptions(io_timeout=timedelta(seconds=patience), idle_timeout=timedelta(minutes=20))
    return session_settings(cache=cache, cookie_secret=SECRET, session=options, clock=clock)


async def make_cache(kind: str, url: str, patience: float = PATIENCE) -> DistributedCache:
    """The cache of one kind, with a driver that gives up a little sooner than the session does."""
    soon = patience * 0.75
    if kind == "mongodb":
        from pymongo import AsyncMongoClient

        from tornado_session.caching.mongodb import MongoCache

        limits: dict[str, Any] = {"serverSelectionTimeoutMS": int(soon * 1000), "connectTimeoutMS": int(soon * 1000)}
        client: Any = AsyncMongoClient(url, w="majority", **limits)
        return MongoCache(client.proof.sessions, timeout=timedelta(seconds=patience))
    if kind == "redis":
        from redis.asyncio import Redis

        from tornado_session.caching.redis import RedisCache

        return RedisCache(Redis.from_url(url, socket_timeout=soon, socket_connect_timeout=soon))
    if kind == "postgresql":
        from sqlalchemy.ext.asyncio import create_async_engine

        from tornado_session.caching.sql import SQLCache

        cache = SQLCache(create_async_engine("postgresql+asyncpg:" + url.partition(":")[2], pool_size=10))
        with suppress(Exception):
            await cache.create_table()
        return cache
    return MemoryCache()


def make_app(cache: DistributedCache, watch: Watch, patience: float = PATIENCE) -> Application:
    clock = FakeClock(time.time())
    handlers: list[tuple[str, Any]] = [
        ("/", Read),
        ("/sign-in", SignIn),
        ("/append", Append),
        ("/put", Put),
        ("/notice", Notice),
        ("/sign-out", SignOut),
        ("/jump", Jump),
        ("/state", State),
    ]
    more: dict[str, Any] = {"jumping_clock": clock, "watch": watch, "log_function": lambda _: None}
    return Application(handlers, **settings(cache, clock, patience), **more)


async def serve(port: int, kind: str, url: str, patience: float) -> None:
    watch = Watch()
    logging.getLogger().addHandler(watch)
    cache = await make_cache(kind, url, patience)
    server = HTTPServer(make_app(cache, watch, patience))
    server.listen(port, "127.0.0.1")
    watching: Awaitable[None] = asyncio.ensure_future(watch.watch_loop())
    print(os.getpid(), flush=True)
    await watching


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1]), sys.argv[2], sys.argv[3], float(sys.argv[4])))
