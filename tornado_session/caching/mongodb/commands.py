"""The commands by which entries are slid and written, and how each of a batch of writes turned out."""

from collections.abc import Iterable, Sequence
from typing import Any, Final, NamedTuple

import pymongo
from pymongo.asynchronous.collection import AsyncCollection
from pymongo.errors import (
    AutoReconnect,
    BulkWriteError,
    OperationFailure,
    WriteConcernError,
    WriteError,
    WTimeoutError,
)

from tornado_session.caching.mongodb.documents import LOST, PAST, SLIDE, SLIDE_OR_REFUSE, Document, Write, among, live
from tornado_session.caching.mongodb.driver import translated

_DUPLICATE_KEY: Final = 11000
_CONVERSION_FAILURE: Final = 241
_COLLISIONS: Final = 5


async def slide_one(collection: AsyncCollection[Document], key: str) -> Document | None:
    """Slide a document if that is due, and return it as it is then; ``None`` when there is none that is live."""
    try:
        found: Document | None = await collection.find_one_and_update(
            {"_id": key}, SLIDE_OR_REFUSE, return_document=True
        )
    except OperationFailure as failure:
        if failure.code != _CONVERSION_FAILURE:
            raise
        return None
    return found


async def slide_many(collection: AsyncCollection[Document], keys: Iterable[str]) -> None:
    """Slide those of the documents that are live and due."""
    condition = live(**among(keys))
    try:
        await collection.update_many(condition, SLIDE)
    except AutoReconnect:
        # Unlike the driver we know that doing it again does no harm.
        await collection.update_many(condition, SLIDE)


async def write(collection: AsyncCollection[Document], writes: Sequence[Write]) -> dict[int, WriteError]:
    """Send the writes as one command; return the failures by the index of the write that failed."""
    failures = await _attempt(collection, writes)
    for _ in range(_COLLISIONS):
        # Another client inserted the same document at the same moment: now it is there to be updated, or to refuse it.
        collided = [index for index, failure in failures.items() if failure.code == _DUPLICATE_KEY]
        if not collided:
            break
        again = await _attempt(collection, [writes[index] for index in collided])
        failures = {index: failure for index, failure in failures.items() if index not in collided}
        failures |= {collided[position]: failure for position, failure in again.items()}
    return failures


async def _attempt(collection: AsyncCollection[Document], writes: Sequence[Write]) -> dict[int, WriteError]:
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


def refusal(failure: WriteError) -> Exception | None:
    """What a failed write means: ``None`` when its condition did not hold, otherwise what its caller raises."""
    is_ours = failure.code == _CONVERSION_FAILURE
    if is_ours and f"'{LOST}'" in str(failure):
        return None
    if is_ours and f"'{PAST}'" in str(failure):
        return ValueError("absolute must be in the future, but has passed by the clock of the MongoDB server")
    return translated(failure)
