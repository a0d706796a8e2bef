"""The stores behind the contenders, and what their own counters say."""

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final, Protocol

import redis
from pymongo import MongoClient

from benchmarks.process import cpu_seconds
from tornado_session.testing.servers.mongodb import MongoServer
from tornado_session.testing.servers.redis import RedisServer

# Those of the driver for itself (hello, ping, endSessions) are left out: they come by the clock, not by the request.
_MONGO_COMMANDS: Final = ("find", "findAndModify", "getMore", "aggregate", "insert", "update", "delete", "bulkWrite")


class Store(Protocol):
    """Where sessions are kept."""

    url: str

    def trips(self) -> float | None:
        """Commands answered so far, by the server's own counters; ``None`` for what is no server."""
        ...

    def cpu(self) -> float | None:
        """CPU seconds used so far; ``None`` for what is no process of ours."""
        ...


class InProcess:
    """A store that lives in the contender's own process."""

    def __init__(self, url: str = "") -> None:
        self.url = url

    def trips(self) -> None:
        return None

    def cpu(self) -> None:
        return None


class Mongo:
    """A MongoDB, and the counters of its ``serverStatus``."""

    def __init__(self, url: str, process_id: int | None) -> None:
        self.url = url
        self.client: Any = MongoClient(url)
        self._process_id = process_id

    def trips(self) -> float:
        counted = self.client.admin.command("serverStatus")["metrics"]["commands"]
        return float(sum(counted.get(name, {}).get("total", 0) for name in _MONGO_COMMANDS))

    def cpu(self) -> float | None:
        return None if self._process_id is None else cpu_seconds(self._process_id)


class Redis:
    """A Redis, and the counters of its ``INFO``."""

    def __init__(self, url: str, process_id: int | None) -> None:
        self.url = url
        self._client: Any = redis.Redis.from_url(url)
        self._process_id = process_id

    def trips(self) -> float:
        # What was read from sockets: a pipeline is one trip, and what a script does inside the server is none.
        return float(self._client.info("stats")["total_reads_processed"])

    def cpu(self) -> float | None:
        return None if self._process_id is None else cpu_seconds(self._process_id)


@contextmanager
def store_for(group: str) -> Iterator[Store]:
    """The store of a group of contenders: one's own by environment variable, or one that runs meanwhile."""
    with ExitStack() as stack:
        if group == "mongodb":
            yield Mongo(*_served("MONGODB_URI", MongoServer, stack))
        elif group == "redis":
            yield Redis(*_served("REDIS_URL", RedisServer, stack))
        elif group == "sqlite":
            folder = stack.enter_context(TemporaryDirectory())
            yield InProcess(f"sqlite+aiosqlite:///{Path(folder) / 'sessions.db'}")
        else:
            yield InProcess()


def _served(variable: str, make: Any, stack: ExitStack) -> tuple[str, int | None]:
    own = os.environ.get(variable)
    if own:
        return own, None
    server = stack.enter_context(make())
    return server.url, server.process_id
