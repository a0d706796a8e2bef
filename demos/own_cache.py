"""Own cache: sessions in whatever you have. Forty lines of logic over a plain dict, proved by ``CacheContract``.

Run ``python -m demos.own_cache`` and open http://127.0.0.1:8888/. The proof is four lines in the tests::

    class TestDictCache(CacheContract):
        async def make_cache(self):
            return DictCache(clock=self.clock)
"""

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from time import time

from tornado.options import define, options, parse_command_line
from tornado.web import Application

from demos import counter
from tornado_session import CacheEntry, CacheEntryOptions, DistributedCache
from tornado_session.caching.contract import check_absolute, check_key, check_value

NEVER = datetime.max.replace(tzinfo=UTC)


@dataclass
class Stored:
    value: bytes
    version: int
    options: CacheEntryOptions
    fixed_end: datetime
    refreshed: datetime

    @property
    def expires(self) -> datetime:
        if self.options.sliding is None:
            return self.fixed_end
        return min(self.fixed_end, self.refreshed + self.options.sliding + self.options.refresh_interval)


class DictCache(DistributedCache):
    """Nothing is awaited between looking and writing, so no other request comes in between: that makes it atomic."""

    def __init__(self, clock: Callable[[], float] = time) -> None:
        self._clock = clock
        self._entries: dict[str, Stored] = {}
        self._tags: dict[str, set[str]] = {}

    async def get(self, key: str, *, refresh: bool = True) -> CacheEntry | None:
        entry = self._find(key)
        if entry is None:
            return None
        if refresh and self._now() - entry.refreshed >= entry.options.refresh_interval:
            entry.refreshed = self._now()
        expires = None if entry.expires == NEVER else entry.expires
        return CacheEntry(entry.value, entry.version, expires, entry.refreshed)

    async def set(self, key: str, value: bytes, options: CacheEntryOptions) -> int:
        self._check(key, value, options)
        self._forget(key)
        version, now = secrets.randbits(62) + 1, self._now()
        fixed_end = min(options.absolute or NEVER, now + options.relative if options.relative else NEVER)
        self._entries[key] = Stored(value, version, options, fixed_end, now)
        if options.tag:
            self._tags.setdefault(options.tag, set()).add(key)
        return version

    async def add(self, key: str, value: bytes, options: CacheEntryOptions) -> int | None:
        self._check(key, value, options)
        return None if self._find(key) else await self.set(key, value, options)

    async def replace(
        self, key: str, value: bytes, options: CacheEntryOptions, *, version: int | None = None
    ) -> int | None:
        self._check(key, value, options)
        entry = self._find(key)
        if entry is None or version not in (None, entry.version):
            return None
        return await self.set(key, value, options)

    async def refresh(self, key: str) -> bool:
        return await self.get(key) is not None

    async def remove(self, key: str) -> bool:
        found = self._find(key) is not None
        self._forget(key)
        return found

    async def find(self, tag: str) -> AsyncIterator[tuple[str, CacheEntry]]:
        check_key(tag, name="tag")
        for key in list(self._tags.get(tag, ())):
            entry = await self.get(key, refresh=False)
            if entry is not None:
                yield key, entry

    def _find(self, key: str) -> Stored | None:
        check_key(key)
        entry = self._entries.get(key)
        if entry is not None and entry.expires <= self._now():
            # What is asked for again is swept here. A cache for a site also sweeps what nobody asks for.
            self._forget(key)
            return None
        return entry

    def _forget(self, key: str) -> None:
        entry = self._entries.pop(key, None)
        if entry is not None and entry.options.tag:
            keys = self._tags[entry.options.tag]
            keys.discard(key)
            if not keys:
                del self._tags[entry.options.tag]

    def _check(self, key: str, value: bytes, options: CacheEntryOptions) -> None:
        check_key(key)
        check_value(value)
        check_absolute(options, self._now())

    def _now(self) -> datetime:
        return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=self._clock())


def make_app(cache: DistributedCache, cookie_secret: str) -> Application:
    return counter.make_app(cache, cookie_secret)


async def serve(address: str, port: int) -> None:
    make_app(DictCache(), secrets.token_urlsafe(32)).listen(port, address)
    print(f"http://{address}:{port}/", flush=True)
    await asyncio.Event().wait()


def main() -> None:
    define("address", default="127.0.0.1", help="where to listen")
    define("port", default=8888, help="port to listen on")
    parse_command_line()
    with suppress(KeyboardInterrupt):
        asyncio.run(serve(options.address, options.port))


if __name__ == "__main__":
    main()
