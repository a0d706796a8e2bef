"""MongoCache: one document for each entry, one command for each call, or for the calls of many parallel requests."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from datetime import timedelta
from typing import TYPE_CHECKING, Final, NamedTuple, TypeVar, TypeVarTuple, cast

from tornado_session.caching.batching import Batcher
from tornado_session.caching.contract import CacheEntry, CacheEntryOptions, DistributedCache, check_key, check_value
from tornado_session.caching.mongodb import commands, documents, driver
from tornado_session.caching.mongodb.documents import Document, Write
from tornado_session.caching.mongodb.dues import Dues
from tornado_session.caching.mongodb.indexes import Indexes
from tornado_session.caching.versions import fresh_version
from tornado_session.errors import CacheError

if TYPE_CHECKING:
    from tornado_session.caching.mongodb.driver import AnyCollection

_MAX_VALUE_SIZE: Final = 16 * 2**20 - 4096  # a document has 16 MiB; the rest is for key, tag and dates
_WRITE_OVERHEAD: Final = 600
_PAGE: Final = 100
_VERSIONS: Final = range(1, 2**63)  # what a document can hold: another would spoil the command for its neighbours

Arguments = TypeVarTuple("Arguments")
Result = TypeVar("Result")


class _Read(NamedTuple):
    key: str
    refresh: bool


class MongoCache(DistributedCache):
    """Keeps entries in a collection of PyMongo's ``AsyncMongoClient`` or of Motor (either of its clients).

    For MongoDB 4.4 and later: a server alone, a replica set, or a sharded cluster with hashed ``_id`` as shard key.
    ``collection`` should hold nothing else. Its client stays the application's: it may be made before the event loop
    runs, but after a fork, and works in one loop only; elsewhere calls raise ``ConfigurationError``. Writes use the
    collection's write concern ("majority" is the one under which a fail-over loses nothing); reads go to the primary
    whatever the client's options say. ``timeout`` bounds every command, finding a server included, and the wait for
    earlier calls of the same key.

    A call that is alone is one command; a reading takes a second one only when a slide is due that this process could
    not foresee, since another process wrote or slid the entry last. Calls of parallel requests go out together, at most
    ``batch_size`` of them: reads as one ``find`` and, where a slide is due, one update; writes as one update of many.

    The server's clock decides about every expiry, to the millisecond; ends are never rounded down. Expired documents
    are invisible at once and are removed by the server's own sweep, about once a minute. Its index, and that for
    ``find``, are made at first use, beside the request; or beforehand by ``ensure_indexes()``.

    Raises ``ConfigurationError`` for what is no such collection, or one with unacknowledged writes.
    """

    def __init__(
        self,
        collection: "AnyCollection",
        *,
        timeout: timedelta = timedelta(seconds=5),
        batch_size: int = 128,
    ) -> None:
        self._collection = driver.prepared(collection)
        self._calls = driver.Calls(timeout)
        # A command of PyMongo that is cancelled a second time while it undoes what it was about may keep the lock of
        # the client's pool for ever, and nobody would get a connection again. It ends by its own time limit.
        self._batcher = Batcher(max_calls=batch_size, patience=timeout, cancels=False)
        self._indexes = Indexes(self._collection)
        self._dues = Dues()

    def __repr__(self) -> str:
        return f"MongoCache({self._collection.full_name!r})"

    async def ensure_indexes(self) -> None:
        """Make the indexes now, and wait for them, however long that takes on a large collection.

        Raises ``CacheError`` that names the commands to run where rights are missing or another index is in the way.
        """
        await self._indexes.ensure()

    async def get(self, key: str, *, refresh: bool = True) -> CacheEntry | None:
        check_key(key)
        return await self._batcher.run(self._read, _Read(key, refresh), key=key, shared=True)

    async def set(self, key: str, value: bytes, options: CacheEntryOptions) -> int:
        _check(key, value)
        version = await self._write(Write.put(key, value, fresh_version(), options), options)
        assert version is not None, "an unconditional write is never refused"
        return version

    async def add(self, key: str, value: bytes, options: CacheEntryOptions) -> int | None:
        _check(key, value)
        return await self._write(Write.insert(key, value, fresh_version(), options), options)

    async def replace(
        self, key: str, value: bytes, options: CacheEntryOptions, *, version: int | None = None
    ) -> int | None:
        _check(key, value)
        if version is not None and version not in _VERSIONS:
            return None
        return await self._write(Write.update(key, value, fresh_version(), options, only=version), options)

    async def refresh(self, key: str) -> bool:
        return await self.get(key) is not None

    async def remove(self, key: str) -> bool:
        check_key(key)
        return await self._batcher.run(self._remove, key, key=key)

    async def find(self, tag: str) -> AsyncIterator[tuple[str, CacheEntry]]:
        check_key(tag, name="tag")
        cursor = self._collection.find(documents.live(tag=tag), documents.STORED)
        try:
            while page := await self._uncancelled(cursor.to_list, _PAGE):
                for document in page:
                    yield document["_id"], documents.entry(document)
        finally:
            with suppress(CacheError):
                await self._calls.run(cursor.close)

    async def _uncancelled(self, work: Callable[[*Arguments], Awaitable[Result]], *args: *Arguments) -> Result:
        """As ``_run``; whoever gives up waiting leaves the command to its time limit, as the batcher does."""
        running = asyncio.ensure_future(self._run(work, *args))
        try:
            return await asyncio.shield(running)
        except asyncio.CancelledError:
            # Whatever comes of it, there is nobody to tell.
            await asyncio.wait([running])
            raise

    async def _run(self, work: Callable[[*Arguments], Awaitable[Result]], *args: *Arguments) -> Result:
        result = await self._calls.run(work, *args)
        # Only now is the server known to answer.
        self._indexes.ensure_soon()
        return result

    async def _read(self, reads: list[_Read]) -> list[CacheEntry | Exception | None]:
        if len(reads) > 1:
            return await self._run(self._read_many, reads)
        return [await self._run(self._read_alone, reads[0])]

    async def _read_alone(self, read: _Read) -> CacheEntry | None:
        try:
            document = await self._read_one(*read)
            return None if document is None else documents.entry(document)
        except documents.MALFORMED:
            # Not chained: what was met instead is quoted there.
            raise CacheError("what is stored is no entry of a MongoCache, or one of a later release") from None

    async def _read_one(self, key: str, refresh: bool) -> Document | None:
        if refresh and self._dues.may_be_due(key):
            return await self._slide_one(key)
        document = await commands.find_one(self._collection, key)
        if document is None or not documents.is_live(document):
            return None
        self._dues.note_read(key, document)
        return await self._slide_one(key) if refresh and documents.is_due(document) else document

    async def _slide_one(self, key: str) -> Document | None:
        document = await commands.slide_one(self._collection, key)
        if document is not None:
            self._dues.note_slide(key, document)
        return document

    async def _read_many(self, reads: list[_Read]) -> list[CacheEntry | Exception | None]:
        try:
            return await self._read_together(reads)
        except commands.BAD_DOCUMENT:
            # Nothing tells which of them it is; so each is read alone.
            return await asyncio.gather(*map(self._read_or_fail, reads))

    async def _read_or_fail(self, read: _Read) -> CacheEntry | Exception | None:
        try:
            with driver.failures:
                return await self._read_alone(read)
        except CacheError as error:
            return error

    async def _read_together(self, reads: list[_Read]) -> list[CacheEntry | Exception | None]:
        stored = await commands.find_many(self._collection, {key for key, _ in reads})
        found = {document["_id"]: document for document in stored if documents.is_live(document)}
        wanted = {key for key, refresh in reads if refresh}
        sliding = {key for key, document in found.items() if key in wanted and documents.is_due(document)}
        if sliding:
            await commands.slide_many(self._collection, sliding)
        for key in sliding:
            documents.slide(found[key])
        return [documents.entry(found[key]) if key in found else None for key, _ in reads]

    async def _write(self, write: Write, options: CacheEntryOptions) -> int | None:
        version = await self._batcher.run(self._write_all, write, key=write.key, size=write.size + _WRITE_OVERHEAD)
        if version is not None:
            self._dues.note_write(write.key, options)
        return version

    async def _write_all(self, writes: list[Write]) -> list[int | Exception | None]:
        failures = await self._run(commands.write, self._collection, writes)
        return [
            commands.refusal(failures[index]) if index in failures else write.version
            for index, write in enumerate(writes)
        ]

    async def _remove(self, keys: list[str]) -> list[bool | Exception]:
        if len(keys) == 1:
            return [await self._run(self._remove_one, keys[0])]
        # One command each, since a command that removes many tells how many there were, but not which.
        removing = (self._run(self._remove_one, key) for key in keys)
        return cast("list[bool | Exception]", await asyncio.gather(*removing, return_exceptions=True))

    async def _remove_one(self, key: str) -> bool:
        result = await self._collection.delete_one(documents.live(_id=key))
        return result.deleted_count == 1


def _check(key: str, value: bytes) -> None:
    check_key(key)
    check_value(value)
    if len(value) > _MAX_VALUE_SIZE:
        raise ValueError(f"MongoDB keeps values of at most {_MAX_VALUE_SIZE} bytes, but this one has {len(value)}")
