"""tornado_session, on each of its caches."""

from datetime import timedelta
from typing import Any

from motor.motor_asyncio import AsyncIOMotorClient
from pymongo import AsyncMongoClient
from redis.asyncio import Redis
from sqlalchemy.ext.asyncio import create_async_engine
from tornado.web import Application, RequestHandler

from benchmarks.servers import tornado_server
from benchmarks.servers.common import SESSION, Arguments, arguments
from tornado_session import DistributedCache, MemoryCache, SessionMixin, SessionOptions, session_settings
from tornado_session.caching.mongodb import MongoCache
from tornado_session.caching.redis import RedisCache
from tornado_session.caching.sql import SQLCache


class Start(SessionMixin, RequestHandler):
    async def get(self) -> None:
        self.session.update(SESSION)
        self.write("0")


class Untouched(SessionMixin, RequestHandler):
    async def get(self) -> None:
        self.write("0")


class Read(SessionMixin, RequestHandler):
    async def get(self) -> None:
        self.write(str(self.session["visits"]))


class Written(SessionMixin, RequestHandler):
    async def get(self) -> None:
        self.session["visits"] += 1
        self.write(str(self.session["visits"]))


class SetTempData(SessionMixin, RequestHandler):
    async def get(self) -> None:
        self.temp_data["notice"] = "n" * 300
        self.write("0")


class ReadTempData(SessionMixin, RequestHandler):
    async def get(self) -> None:
        self.write(str(len(self.temp_data["notice"])))


def make_application(given: Arguments) -> Application:
    store, _, seconds = given.store.partition("+")
    options = SessionOptions(refresh_interval=timedelta(seconds=int(seconds or 0)))
    handlers: list[Any] = [
        ("/bare", tornado_server.Bare),
        ("/start", Start),
        ("/none", Untouched),
        ("/read", Read),
        ("/written", Written),
        ("/temp_set", SetTempData),
        ("/temp_read", ReadTempData),
    ]
    settings = session_settings(
        cache=make_cache(store, given.url), cookie_secret="of the benchmark only", session=options
    )
    return tornado_server.quiet(Application(handlers, **settings))


def make_cache(store: str, url: str) -> DistributedCache:
    if store == "memory":
        return MemoryCache()
    if store == "mongodb":
        return MongoCache(AsyncMongoClient(url).benchmark.ours)
    if store == "mongodb-motor":
        return MongoCache(AsyncIOMotorClient(url).benchmark.ours)
    if store == "redis":
        return RedisCache(Redis.from_url(url))
    if store == "sqlite":
        return SQLCache(create_async_engine(url))
    raise ValueError(f"no store is called {store!r}")


if __name__ == "__main__":
    given = arguments()
    tornado_server.serve(given.port, lambda: make_application(given))
