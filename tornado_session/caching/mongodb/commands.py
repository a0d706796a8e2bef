"""The commands by which entries are read, slid and written, and how each of a batch of writes turned out."""

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

from tornado_session.caching.mongodb.documents import (
    LOST,
    PAST,
    SLIDE,
    SLIDE_OR_REFUSE,
    STORED_AND_NOW,
    Document,
    Write,
    among,
    live,
)
from tornado_session.caching.mongodb.driver import translated

_DUPLICATE_KEY: Final = 11000
_CONVERSION_FAILURE: Final = 241
_COLLISIONS: Final = 5


async def find_one(collection: AsyncCollection[Document], key: str) -> Document | None:
    """Read a document with the server's time, live or not."""
    command: Document = {
        "find": collection.name,
        "filter": {"_id": key},
        "projection": STORED_AND_NOW,
        "limit": 1,
        "singleBatch": True,
    }
    if collection.read_concern.document:
        command["readConcern"] = collection.read_concern.document
    reply = await _run_repeatable(collection, command)
    found: list[Document] = reply["cursor"]["firstBatch"]
    return found[0] if found else None


async def slide_one(collection: AsyncCollection[Document], key: str) -> Document | None:
    """Slide a document if that is due, and return it as it is then; ``None`` when there is none that is live."""
    command: Document = {
        "findAndModify": collection.name,
        "query": {"_id": key},
        "update": SLIDE_OR_REFUSE,
        "new": True,
    }
    if collection.write_concern.document:
        command["writeConcern"] = collection.write_concern.document
    try:
        reply = await _run_repeatable(collection, command)
    except OperationFailure as failure:
        if failure.code != _CONVERSION_FAILURE:
            raise
        return None
    if "writeConcernError" in reply:
        raise _concern_error(reply["writeConcernError"])
    found: Document | None = reply["value"]
    return found


async def _run_repeatable(collection: AsyncCollection[Document], command: Document) -> Document:
    # By the driver's plain command: its cursors, and the means by which it and the server make sure that a write is not
    # repeated, cost a tenth of a reading. Unlike the driver we know that these two may be repeated.
    run = collection.database.command
    try:
        return await run(command, codec_options=collection.codec_options)
    except AutoReconnect:
        return await run(command, codec_options=collection.codec_options)


async def slide_many(collection: AsyncCollection[Document], keys: Iterable[str]) -> None:
    """Slide those of the documents that are live and due."""
    condition = live(**among(keys))
    try:
        await collection.update_many(condition, SLIDE)
    except AutoReconnect:
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
        raise _concern_error(failure) from None
    return {
        failure["index"]: WriteError(failure.get("errmsg", ""), failure.get("code"))
        for failure in error.details["writeErrors"]
    }


def _concern_error(failure: Document) -> WriteConcernError:
    """The error of writes that were made, but that a fail-over may undo: nobody knows which."""
    kind = WTimeoutError if failure.get("errInfo", {}).get("wtimeout") else WriteConcernError
    return kind(failure.get("errmsg", ""), failure.get("code"))


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
