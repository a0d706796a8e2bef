"""All that is taken from the drivers: a collection set up for sessions, bounded calls, and how writes turn out."""

import asyncio
import sys
import weakref
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias

import pymongo
from bson.codec_options import CodecOptions, DatetimeConversion
from bson.errors import BSONError
from pymongo.asynchronous.collection import AsyncCollection
from pymongo.errors import (
    AutoReconnect,
    BulkWriteError,
    OperationFailure,
    PyMongoError,
    WriteConcernError,
    WriteError,
    WTimeoutError,
)
from pymongo.read_preferences import ReadPreference

from tornado_session.caching.mongodb.documents import LOST, PAST, Document, Write
from tornado_session.errors import CacheError, CacheTimeoutError, ConfigurationError

if TYPE_CHECKING:
    from motor.core import AgnosticCollection

    AnyCollection: TypeAlias = "AsyncCollection[Any] | AgnosticCollection[Any]"

_DUPLICATE_KEY: Final = 11000
_CONVERSION_FAILURE: Final = 241


def prepared(collection: "AnyCollection") -> AsyncCollection[Document]:
    """The collection, reading from the primary, with dates as plain milliseconds, whatever the client's options say.

    Raises ``ConfigurationError`` for anything but a collection of ``AsyncMongoClient`` or of Motor, and for one whose
    writes are not acknowledged. What comes from Motor is called as if it came from PyMongo: it has the same methods.
    """
    if not isinstance(collection, AsyncCollection) and not _is_of_motor(collection):
        given = type(collection)
        raise ConfigurationError(
            "MongoCache needs a collection of PyMongo's AsyncMongoClient, such as client.shop.sessions, or one of "
            f"Motor, not {given.__module__}.{given.__qualname__}"
        )
    if not collection.write_concern.acknowledged:
        raise ConfigurationError(
            f"the writes of {collection.full_name} are not acknowledged (w=0), so no session in it would be sure to be "
            'kept; use collection.with_options(write_concern=WriteConcern("majority"))'
        )
    codec_options = CodecOptions[Document](datetime_conversion=DatetimeConversion.DATETIME_MS)
    options: Any = {"read_preference": ReadPreference.PRIMARY, "codec_options": codec_options}
    return collection.with_options(**options)  # type: ignore[return-value]


def _is_of_motor(collection: object) -> bool:
    # Whoever has one of Motor's collections has imported Motor; nobody else needs to.
    motor = sys.modules.get("motor.core")
    return motor is not None and isinstance(collection, motor.AgnosticCollection)


class Calls:
    """Bounds the time of every command, and gives every failure the one face that a cache shows.

    A client works in the event loop of its first command only; so do its ``Calls``, without keeping that loop alive.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._loop: weakref.ref[asyncio.AbstractEventLoop] | None = None

    @contextmanager
    def bounded(self) -> Iterator[None]:
        """Around one command or several: they end in time, and fail with a ``CacheError`` only.

        Raises ``ConfigurationError`` in another event loop than that of the first command.
        """
        self._check_loop()
        with failures(), pymongo.timeout(self._seconds):
            yield

    def _check_loop(self) -> None:
        loop = asyncio.get_running_loop()
        if self._loop is None:
            self._loop = weakref.ref(loop)
        elif self._loop() is not loop:
            raise ConfigurationError(_OTHER_LOOP)


@contextmanager
def failures() -> Iterator[None]:
    """Around commands: whatever a driver raises there becomes a ``CacheError``, its cause the driver's error."""
    try:
        yield
    except (PyMongoError, BSONError) as error:
        raise _translated(error) from _without_documents(error)
    except RuntimeError as error:
        if "loop" not in str(error):
            raise
        raise ConfigurationError(_OTHER_LOOP) from error


_OTHER_LOOP: Final = (
    "the MongoDB client belongs to another event loop: a client works only in the loop it was first used in; make a "
    "client and a MongoCache for every loop, and for every process after it was forked"
)


async def slide_many(collection: AsyncCollection[Document], condition: Document, update: list[Document]) -> None:
    """Update many documents, and again when the connection broke: unlike the driver we know that it does no harm."""
    try:
        await collection.update_many(condition, update)
    except AutoReconnect:
        await collection.update_many(condition, update)


async def slide_one(collection: AsyncCollection[Document], key: str, update: list[Document]) -> Document | None:
    """Update a document and return it as it is then; ``None`` when there is none or the update refused it."""
    try:
        found: Document | None = await collection.find_one_and_update({"_id": key}, update, return_document=True)
    except OperationFailure as failure:
        if failure.code != _CONVERSION_FAILURE:
            raise
        return None
    return found


async def write(collection: AsyncCollection[Document], writes: Sequence[Write]) -> dict[int, WriteError]:
    """Send the writes as one command; return the failures by the index of the write that failed."""
    if len(writes) == 1:
        return await _write_one(collection, writes[0])
    updates = [pymongo.UpdateOne({"_id": each.key}, each.pipeline, upsert=True) for each in writes]
    try:
        await collection.bulk_write(updates, ordered=False)
    except BulkWriteError as error:
        return _failures(error)
    return {}


async def _write_one(collection: AsyncCollection[Document], one: Write) -> dict[int, WriteError]:
    try:
        await collection.update_one({"_id": one.key}, one.pipeline, upsert=True)
    except WriteError as failure:
        return {0: failure}
    return {}


def _failures(error: BulkWriteError) -> dict[int, WriteError]:
    for failure in error.details["writeConcernErrors"]:
        # The writes are made, but a fail-over may undo some of them, and nobody knows which.
        kind = WTimeoutError if error.timeout else WriteConcernError
        raise kind(failure.get("errmsg", ""), failure.get("code")) from None
    return {
        failure["index"]: WriteError(failure.get("errmsg", ""), failure.get("code"))
        for failure in error.details["writeErrors"]
    }


class Refused(NamedTuple):
    """A command that the server understood and refused."""

    code: int | None
    error: Exception


async def create_index(collection: AsyncCollection[Document], field: str, **options: Any) -> Refused | None:
    """Make an index unless it exists; return the refusal where rights are missing or another is in the way."""
    try:
        await collection.create_index(field, **options)
    except OperationFailure as failure:
        return Refused(failure.code, failure)
    return None


def has_collided(failure: WriteError) -> bool:
    """Whether another client inserted the document at the same moment; the write may be sent again."""
    return failure.code == _DUPLICATE_KEY


def refusal(failure: WriteError) -> Exception | None:
    """What a failed write means: ``None`` when its condition did not hold, otherwise what its caller raises."""
    is_ours = failure.code == _CONVERSION_FAILURE
    if is_ours and f"'{LOST}'" in str(failure):
        return None
    if is_ours and f"'{PAST}'" in str(failure):
        return ValueError("absolute must be in the future, but has passed by the clock of the MongoDB server")
    error = _translated(failure)
    error.__cause__ = _without_documents(failure)
    return error


def _translated(error: Exception) -> CacheError:
    if isinstance(error, PyMongoError) and error.timeout:
        return CacheTimeoutError(f"MongoDB did not answer in time: {type(error).__name__}")
    return CacheError(f"MongoDB could not answer: {type(error).__name__}")


def _without_documents(error: Exception) -> Exception:
    """The error without the commands and documents that the server quoted: keys and values must not reach a log."""
    if not isinstance(error, OperationFailure):
        return error
    details = error.details or {}
    message = str(details.get("errmsg", error)).partition("{")[0].rstrip()
    return type(error)(message, error.code)
