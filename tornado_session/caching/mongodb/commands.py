"""The commands by which entries are read, slid and written, and how each of a batch of writes turned out."""

from collections.abc import Collection, Iterable, Sequence
from contextlib import suppress
from typing import Any, Final, NamedTuple

import pymongo
from bson.errors import BSONError
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
    MALFORMED,
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
_REPETITIONS: Final = 2
# ShutdownInProgress, PrimarySteppedDown, NotWritablePrimary, InterruptedAtShutdown, InterruptedDueToReplStateChange,
# NotPrimaryNoSecondaryOk, NotPrimaryOrSecondary: the write was made, but the one who made it is primary no more.
_PRIMARY_GONE: Final = frozenset({91, 189, 10107, 11600, 11602, 13435, 13436})

BAD_DOCUMENT: Final = (WriteError, BSONError, *MALFORMED)
"""What a command for many documents, or reading its reply, raises for a single one that no MongoCache has written."""


class _Answer(NamedTuple):
    """The reply to a command that was sent until there was one."""

    reply: Document
    is_repeated: bool
    """Whether the same command may have been carried out before, without an answer."""


async def find_one(collection: AsyncCollection[Document], key: str) -> Document | None:
    """Read a document with the server's time, live or not."""
    cursor = await _first_batch(collection, {"_id": key}, limit=1, singleBatch=True)
    found: list[Document] = cursor["firstBatch"]
    return found[0] if found else None


async def find_many(collection: AsyncCollection[Document], keys: Collection[str]) -> list[Document]:
    """Read documents with the server's time, live or not."""
    # One more than there can be, so that the first reply is known to be the last.
    cursor = await _first_batch(collection, among(keys), batchSize=len(keys) + 1)
    found: list[Document] = cursor["firstBatch"]
    if not cursor["id"]:
        return found
    # A reply has room for 16 MiB. What does not fit is seldom enough to be read by the driver's own cursor.
    await collection.database.command({"killCursors": collection.name, "cursors": [cursor["id"]]})
    return await collection.find(among(keys), STORED_AND_NOW).to_list(None)


async def _first_batch(collection: AsyncCollection[Document], condition: Document, **options: Any) -> Document:
    command: Document = {"find": collection.name, "filter": condition, "projection": STORED_AND_NOW, **options}
    if collection.read_concern.document:
        command["readConcern"] = collection.read_concern.document
    answer = await _run_repeatable(collection, command)
    cursor: Document = answer.reply["cursor"]
    return cursor


async def slide_one(collection: AsyncCollection[Document], key: str) -> Document | None:
    """Slide a document if that is due, and return it as it is then; ``None`` when there is none that is live."""
    command: Document = {
        "findAndModify": collection.name,
        "query": {"_id": key},
        "update": SLIDE_OR_REFUSE,
        "new": True,
    }
    try:
        answer = await _run_writing(collection, command)
    except OperationFailure as failure:
        if failure.code != _CONVERSION_FAILURE:
            raise
        return None
    found: Document | None = answer.reply["value"]
    return found


async def slide_many(collection: AsyncCollection[Document], keys: Iterable[str]) -> None:
    """Slide those of the documents that are live and due."""
    answer = await _update(collection, [{"q": live(**among(keys)), "u": SLIDE, "multi": True}])
    for failure in answer.reply.get("writeErrors", ()):
        raise _write_error(failure)


async def _update(collection: AsyncCollection[Document], statements: list[Document]) -> _Answer:
    return await _run_writing(collection, {"update": collection.name, "ordered": False, "updates": statements})


async def _run_writing(collection: AsyncCollection[Document], command: Document) -> _Answer:
    if collection.write_concern.document:
        command["writeConcern"] = collection.write_concern.document
    answer = await _run_repeatable(collection, command)
    if "writeConcernError" in answer.reply:
        raise _concern_error(answer.reply["writeConcernError"])
    return answer


async def _run_repeatable(collection: AsyncCollection[Document], command: Document) -> _Answer:
    # By the driver's plain command: its cursors, its bulk writes, and the means by which it and the server make sure
    # that a write is not repeated, cost a tenth of a command and more. Unlike the driver we know that these may be
    # repeated.
    run = collection.database.command
    for repetition in range(_REPETITIONS):
        with suppress(AutoReconnect):
            reply: Document = await run(command, codec_options=collection.codec_options)
            if reply.get("writeConcernError", {}).get("code") not in _PRIMARY_GONE:
                return _Answer(reply, is_repeated=repetition > 0)
    return _Answer(await run(command, codec_options=collection.codec_options), is_repeated=True)


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
    if all(each.may_be_repeated for each in writes):
        answer = await _update(
            collection, [{"q": {"_id": each.key}, "u": each.pipeline, "upsert": True} for each in writes]
        )
        failures = {failure["index"]: _write_error(failure) for failure in answer.reply.get("writeErrors", ())}
        return _doubted(failures) if answer.is_repeated else failures
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
    return {failure["index"]: _write_error(failure) for failure in error.details["writeErrors"]}


def _doubted(failures: dict[int, WriteError]) -> dict[int, WriteError]:
    # What is refused now may have been written by the command that had no answer, and be replaced or removed since:
    # whoever took that for a conflict would make the same change twice.
    unknown = WriteError("refused when it was sent again, but perhaps written before, when the answer was lost")
    return {index: unknown if failure.code == _CONVERSION_FAILURE else failure for index, failure in failures.items()}


def _write_error(failure: Document) -> WriteError:
    return WriteError(failure.get("errmsg", ""), failure.get("code"))


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
