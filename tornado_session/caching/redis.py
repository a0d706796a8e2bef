"""RedisCache: sessions in Redis or Valkey, on one server or on a cluster."""

from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from functools import lru_cache, partial
from typing import Any, Final, cast

from tornado_session.caching.batching import Batcher
from tornado_session.caching.contract import CacheEntry, CacheEntryOptions, DistributedCache, check_key, check_value
from tornado_session.caching.redis_client import CrossSlotError, RedisClient, Reply, ScriptRunner
from tornado_session.caching.redis_entry import ADD, ANY_VERSION, REPLACE, SET, read_entry, write_request
from tornado_session.caching.redis_scripts import Call, Script
from tornado_session.caching.redis_tags import READ, TagIndex
from tornado_session.caching.versions import fresh_version
from tornado_session.errors import CacheError, ConfigurationError

_WRITE: Final = Script("entry", "tag_index", "write")
_REMOVE: Final = Script("entry", "remove")
_ADD_MEMBER: Final = Script("entry", "tag_index", "add_member")

_TAG: Final = b"tag:"
_KEY: Final = b"key:"
_READ_AND_SLIDE: Final = (b"read",)
_ONLY_READ: Final = (b"peek",)
_ATTEMPTS: Final = 5
_VERSIONS: Final = range(1, 2**64)


class RedisCache(DistributedCache):
    """Keeps entries in Redis 6.2 or later, or in Valkey: shared by all processes, quick, gone when the server forgets.

    ``client``: a ``redis.asyncio.Redis`` or ``RedisCluster`` of the application, or their twins of valkey-py; it may
    decode its replies or not. Connections, time limits and retries are its own, and so is the event loop it is used in.
    ``prefix``: begins every key in Redis, so that applications can share a database. ``sharded``: true behind a proxy
    that spreads the keys over servers as if they were one, such as Envoy or twemproxy; every command then names keys of
    one slot only. A cluster is noticed without it.

    An entry and its expiry are written by one command that runs wholly or not at all, and the server's clock decides
    when it has ended, to the microsecond. A call is one trip, and the calls of parallel requests share trips. On a
    cluster, storing under a new tag takes three trips, and so does, once a day, reading a tagged entry that slides.

    Redis must not evict what has not expired (``maxmemory-policy noeviction``, its default): the index of a tag could
    go before its entries. Raises ``ConfigurationError`` for a client that is not asynchronous.
    """

    def __init__(self, client: RedisClient, prefix: str = "session:", *, sharded: bool = False) -> None:
        if not isinstance(prefix, str):
            raise ConfigurationError(f"prefix must be a str, not {type(prefix).__name__}")
        self._prefix = prefix.encode()
        self._runner = ScriptRunner(client, sharded=sharded)
        # A cluster's client sends every command for itself; there is nothing to gain by sending them together.
        self._send: Callable[..., Coroutine[Any, Any, Reply]] = (
            partial(_send_by_itself, self._runner)
            if self._runner.is_cluster
            else partial(Batcher().run, self._runner.call_all)
        )

    def __repr__(self) -> str:
        return f"<RedisCache with prefix {self._prefix.decode()!r}>"

    async def get(self, key: str, *, refresh: bool = True) -> CacheEntry | None:
        asked = _READ_AND_SLIDE if refresh else _ONLY_READ
        # Most are answered at once, without the further steps of ``_run``.
        stored = await self._send((READ, (_name(self._prefix, key),), asked), key=key, shared=True)
        if type(stored) is list:
            stored = await self._run(READ, key, *asked, wanting=stored, shared=True)
        return None if stored is None else read_entry(stored)

    async def set(self, key: str, value: bytes, options: CacheEntryOptions) -> int:
        return cast("int", await self._write(SET, key, value, options))

    async def add(self, key: str, value: bytes, options: CacheEntryOptions) -> int | None:
        return await self._write(ADD, key, value, options)

    async def replace(
        self, key: str, value: bytes, options: CacheEntryOptions, *, version: int | None = None
    ) -> int | None:
        if version is not None and version not in _VERSIONS:
            check_key(key)
            return None
        return await self._write(REPLACE, key, value, options, ANY_VERSION if version is None else version)

    async def refresh(self, key: str) -> bool:
        return await self._run(READ, key, b"touch", shared=True) is not None

    async def remove(self, key: str) -> bool:
        return bool(await self._run(_REMOVE, key))

    async def find(self, tag: str) -> AsyncIterator[tuple[str, CacheEntry]]:
        check_key(tag, name="tag")
        index = TagIndex(self._runner, self._index_name(tag.encode()), tag.encode())
        async for name, entry in index.entries():
            yield self._key(name), entry

    async def _write(
        self, mode: int, key: str, value: bytes, options: CacheEntryOptions, expected: int = ANY_VERSION
    ) -> int | None:
        check_value(value)
        # The version also tells the script when the driver, having lost an answer, sends the same write again.
        version = fresh_version()
        request = write_request(mode, version, options, expected)
        tag = b"" if options.tag is None else options.tag.encode()
        stored = await self._run(_WRITE, key, request, value, tag=tag)
        if stored == 0:
            raise ValueError(f"absolute must be in the future, but {options.absolute} has passed by the server's clock")
        return None if stored is None else version

    async def _run(
        self,
        script: Script,
        key: str,
        *arguments: bytes,
        tag: bytes = b"",
        wanting: Sequence[bytes] | None = None,
        shared: bool = False,
    ) -> Reply:
        """Run a script on an entry; when it asks for it, put the entry into the index of its tag and run it again.

        ``wanting``: what it has asked for already.
        """
        name, size = _name(self._prefix, key), sum(map(len, arguments))
        proof: tuple[bytes, ...] = ()
        for _ in range(_ATTEMPTS):
            if wanting is not None:
                (tag, ends), wanting = wanting, None
                if not self._runner.is_one_slot:
                    adding: Call = (_ADD_MEMBER, (self._index_name(tag),), (name, ends))
                    proof = (await self._send(adding, key=key, shared=shared),)
            try:
                call = self._tagged(script, name, arguments, tag, proof) if tag else (script, (name,), arguments)
                reply = await self._send(call, key=key, shared=shared, size=size)
            except CrossSlotError:
                continue
            if type(reply) is not list:
                return reply
            wanting = reply
        raise CacheError(f"the entry could not be put into the index of its tag in {_ATTEMPTS} attempts")

    def _tagged(
        self, script: Script, name: bytes, arguments: tuple[bytes, ...], tag: bytes, proof: tuple[bytes, ...]
    ) -> Call:
        keys = (name, self._index_name(tag)) if self._runner.is_one_slot else (name,)
        return script, keys, (*arguments, tag, *proof)

    def _index_name(self, tag: bytes) -> bytes:
        return self._prefix + _TAG + tag

    def _key(self, name: bytes) -> str:
        return name.removeprefix(self._prefix).removeprefix(_KEY).decode()


@lru_cache(maxsize=4096)
def _name(prefix: bytes, key: str) -> bytes:
    """The name of an entry in Redis: prefix and key. A key that looks like an index is marked as a key.

    Raises what ``check_key`` raises. Kept, for who comes once comes again: a request reads and writes under one key.
    """
    check_key(key)
    encoded = key.encode()
    return prefix + (_KEY + encoded if encoded.startswith((_KEY, _TAG)) else encoded)


def _send_by_itself(
    runner: ScriptRunner,
    call: Call,
    *,
    key: str,  # noqa: ARG001 - these are a batcher's
    shared: bool = False,  # noqa: ARG001
    size: int = 0,  # noqa: ARG001
) -> Coroutine[Any, Any, Reply]:
    return runner.call(call)
