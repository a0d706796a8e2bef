"""What is asked of the drivers: a collection set up for sessions, calls that end in time, errors of one kind."""

import asyncio
import sys
import weakref
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final, TypeAlias, TypeVar, TypeVarTuple

import pymongo
from bson.codec_options import CodecOptions, DatetimeConversion
from bson.errors import BSONError
from pymongo.asynchronous.collection import AsyncCollection
from pymongo.errors import OperationFailure, PyMongoError
from pymongo.read_preferences import ReadPreference

from tornado_session.caching.mongodb.documents import Document
from tornado_session.errors import CacheError, CacheTimeoutError, ConfigurationError

if TYPE_CHECKING:
    from motor.core import AgnosticCollection

    AnyCollection: TypeAlias = "AsyncCollection[Any] | AgnosticCollection[Any]"

Arguments = TypeVarTuple("Arguments")
Result = TypeVar("Result")


def prepared(collection: "AnyCollection") -> AsyncCollection[Document]:
    """The collection, reading from the primary, with dates as in ``documents``, whatever the client's options say.

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
    codec_options = CodecOptions[Document](datetime_conversion=DatetimeConversion.DATETIME_CLAMP)
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

    def __init__(self, limit: timedelta) -> None:
        self._seconds = limit.total_seconds()
        self._loop: weakref.ref[asyncio.AbstractEventLoop] | None = None

    async def run(self, commands: Callable[[*Arguments], Awaitable[Result]], *args: *Arguments) -> Result:
        """Await ``commands(*args)``, which ends in time, and fails with a ``CacheError`` only.

        Raises ``ConfigurationError`` in another event loop than that of the first command.
        """
        self._check_loop()
        # The driver's own limit, and not a cancellation: Motor's threads cannot be cancelled, and in PyMongo Async a
        # cancellation that comes at the same moment as news of a server is lost (``asyncio.wait_for`` before Python
        # 3.12), after which the command goes on for the 30 seconds that it may look for a server.
        with failures, pymongo.timeout(self._seconds):
            return await commands(*args)

    def _check_loop(self) -> None:
        loop = asyncio.get_running_loop()
        if self._loop is None:
            self._loop = weakref.ref(loop)
        elif self._loop() is not loop:
            raise ConfigurationError(_OTHER_LOOP)


class _Failures:
    def __enter__(self) -> None: ...

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        if error is None:
            return
        if isinstance(error, PyMongoError | BSONError):
            raise translated(error)
        if isinstance(error, RuntimeError) and "loop" in str(error):
            raise ConfigurationError(_OTHER_LOOP) from error


failures: Final = _Failures()
"""Around commands: whatever a driver raises there becomes a ``CacheError``, its cause the driver's error."""


_OTHER_LOOP: Final = (
    "the MongoDB client belongs to another event loop: a client works only in the loop it was first used in; make a "
    "client and a MongoCache for every loop, and for every process after it was forked"
)


def translated(error: Exception) -> CacheError:
    """The error of a cache that an error of the driver amounts to, and is the cause of."""
    if isinstance(error, PyMongoError) and error.timeout:
        own: CacheError = CacheTimeoutError(f"MongoDB did not answer in time: {type(error).__name__}")
    else:
        own = CacheError(f"MongoDB could not answer: {type(error).__name__}")
    own.__cause__ = _without_documents(error)
    return own


def _without_documents(error: Exception) -> Exception:
    """The error without the commands and documents that the server quoted: keys and values must not reach a log."""
    if not isinstance(error, OperationFailure):
        return error
    details = error.details or {}
    message = str(details.get("errmsg", error)).partition("{")[0].rstrip()
    return type(error)(message, error.code)
