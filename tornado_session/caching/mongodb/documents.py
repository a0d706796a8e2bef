"""What is stored under a key, and the expressions by which the server decides about it.

.. code-block:: text

    _id  the key
    d    the value, as BSON binary
    v    the version, a fresh random number at every write
    ref  date: when the expiry was last written
    exp  date: the end                                          absent: never
    ttl  milliseconds from a slide to the end it sets           absent: does not slide
    int  milliseconds that pass between two slides
    abs  date: the fixed end, which no slide passes             only beside ttl
    tag  what the entry belongs to                              absent: nothing

Every comparison with the present is made with the server's clock, ``$$NOW``, whether by the server or here with what it
sent along: the clocks of application servers may be wrong. Dates are read without a time zone, in UTC; what no
``datetime`` can tell is read as the last one that there is.
"""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any, Final, NamedTuple, TypeAlias

import bson
from bson.raw_bson import RawBSONDocument

from tornado_session.caching.contract import CacheEntry, CacheEntryOptions, new_entry

Expression: TypeAlias = Any
Document: TypeAlias = dict[str, Any]

LOST: Final = "lost"
"""The refusal of a write that found its entry missing, expired, existing or of another version."""
PAST: Final = "past"
"""The refusal of a write whose absolute end has passed."""

_MILLISECOND: Final = timedelta(milliseconds=1)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_LATEST: Final = datetime(9999, 12, 31, 23, 59, 59, 999000, tzinfo=UTC)
_MAX_MILLISECONDS: Final = (_LATEST - _EPOCH) // _MILLISECOND
# The driver reads dates without a time zone in a fifth of the time, and a sum adds it sooner than ``replace()``.
_READ_EPOCH: Final = _EPOCH.replace(tzinfo=None)
_READ_LATEST: Final = _LATEST.replace(tzinfo=None)


def _packed(document: Document) -> Expression:
    """A document that is always the same, turned to bytes once and not with every command."""
    return RawBSONDocument(bson.encode(document))


# A document that an upsert is about to make has no version yet, so it is not live either.
_LIVE: Final[Expression] = _packed({"$and": ["$v", {"$or": [{"$not": ["$exp"]}, {"$gt": ["$exp", "$$NOW"]}]}]})
_DUE: Final[Expression] = {"$and": ["$ttl", {"$gte": ["$$NOW", {"$add": ["$ref", "$int"]}]}]}
_END: Final[Expression] = {"$min": ["$abs", {"$add": ["$$NOW", "$ttl"]}]}
_SLID: Final[Document] = {
    "exp": {"$cond": [_DUE, _END, "$exp"]},
    "ref": {"$cond": [_DUE, "$$NOW", "$ref"]},
}

SLIDE: Final[list[Expression]] = [_packed({"$set": _SLID})]
"""Update: move the end if that is due. A document that comes out as it was is not written."""


def _refuse(reason: str) -> Expression:
    # A command that updates many documents tells how many it changed, but not which, unless an update fails: then it
    # tells which, why, and goes on with the others. No operator is there to fail, so this converts a word to a number.
    # The word stands in for a field that does not exist, or else the server would convert it when it reads the query.
    return _packed({"$toInt": {"$ifNull": ["$none", reason]}})


_REFUSED_AS_LOST: Final = _refuse(LOST)
_REFUSED_AS_PAST: Final = _refuse(PAST)

SLIDE_OR_REFUSE: Final[list[Expression]] = [
    _packed({"$set": {**_SLID, "v": {"$cond": [_LIVE, "$v", _REFUSED_AS_LOST]}}}),
]
"""Update by ``_id`` alone, which MongoDB finds by its shortest path: move the end, but refuse what has expired."""

STORED: Final[Document] = {"d": 1, "v": 1, "exp": 1, "ref": 1}
"""Projection: what ``entry()`` reads."""

STORED_AND_NOW: Final[Expression] = _packed({**STORED, "ttl": 1, "int": 1, "abs": 1, "now": "$$NOW"})
"""Projection: what ``is_live()``, ``due_in()`` and ``slide()`` read, the server's time included."""


MALFORMED: Final = (KeyError, TypeError, ValueError, OverflowError)
"""What reading a document raises that no MongoCache has written; it may quote what it met."""


def live(**equal: Any) -> Document:
    """Filter: documents with these fields that have not expired."""
    return {**equal, "$expr": _LIVE}


def is_live(document: Document) -> bool:
    """Whether a document with the server's time has not expired."""
    return "v" in document and ("exp" not in document or document["exp"] > document["now"])


def due_in(document: Document) -> int | None:
    """Milliseconds until the next slide of a document is due, by the server's time; ``None``: it does not slide."""
    if "ttl" not in document:
        return None
    passed: timedelta = document["now"] - document["ref"]
    return int(document["int"]) - passed // _MILLISECOND


def is_due(document: Document) -> bool:
    """Whether a slide of a document is due, by the server's time."""
    milliseconds = due_in(document)
    return milliseconds is not None and milliseconds <= 0


def slide(document: Document) -> None:
    """Do here what ``SLIDE`` does on the server to a document that is due."""
    now = document["now"]
    try:
        end = now + int(document["ttl"]) * _MILLISECOND
    except OverflowError:
        end = _READ_LATEST
    document["ref"] = now
    document["exp"] = min(end, document["abs"]) if "abs" in document else end


def among(keys: Iterable[str]) -> Document:
    """Filter: documents with any of these keys."""
    return {"_id": {"$in": list(keys)}}


def entry(document: Document) -> CacheEntry:
    """The entry that a document holds."""
    expires, refreshed = _instant(document.get("exp")), _instant(document.get("ref"))
    return new_entry(CacheEntry, (document["d"], int(document["v"]), expires, refreshed))


class Write(NamedTuple):
    """One update of one document by ``_id``, upserting; where its condition does not hold it fails instead."""

    key: str
    version: int
    pipeline: list[Document]
    size: int
    may_be_repeated: bool = False
    """Whether it makes no difference if the server is sent the same again, or too late."""

    @classmethod
    def put(cls, key: str, value: bytes, version: int, options: CacheEntryOptions) -> "Write":
        """Insert or replace."""
        return cls(key, version, _pipeline(value, version, options), len(value))

    @classmethod
    def insert(cls, key: str, value: bytes, version: int, options: CacheEntryOptions) -> "Write":
        """Insert; refuse where an entry is live."""
        checked_version = {"$cond": [_LIVE, _REFUSED_AS_LOST, version]}
        return cls(key, version, _pipeline(value, checked_version, options), len(value))

    @classmethod
    def update(
        cls, key: str, value: bytes, version: int, options: CacheEntryOptions, *, only: int | None = None
    ) -> "Write":
        """Replace; refuse where no entry is live, or none of the version ``only``."""
        if only is None:
            checked_version = {"$cond": [_LIVE, version, _REFUSED_AS_LOST]}
            return cls(key, version, _pipeline(value, checked_version, options), len(value))
        # The new version too: whoever has lost the answer and asks again finds what it has written itself.
        found = {"$and": [{"$in": ["$v", [only, version]]}, _LIVE]}
        checked_version = {"$cond": [found, version, _REFUSED_AS_LOST]}
        return cls(key, version, _pipeline(value, checked_version, options), len(value), may_be_repeated=True)


def _pipeline(value: bytes, checked_version: Expression, options: CacheEntryOptions) -> list[Document]:
    if options.absolute is not None:
        in_time = {"$gt": [_date(options.absolute), "$$NOW"]}
        checked_version = {"$cond": [in_time, checked_version, _REFUSED_AS_PAST]}
    document = {"_id": "$_id", "d": value, "v": checked_version, "ref": "$$NOW", **_expiry(options)}
    if options.tag is not None:
        document["tag"] = {"$literal": options.tag}
    return [{"$replaceWith": document}]


def _expiry(options: CacheEntryOptions) -> Document:
    end = _fixed_end(options)
    if options.sliding is None:
        return {} if end is None else {"exp": end}
    slid = _sliding_expiry(options.sliding, options.refresh_interval)
    return slid if end is None else {**slid, "exp": {"$min": [end, slid["exp"]]}, "abs": end}


@lru_cache(maxsize=32)
def _sliding_expiry(sliding: timedelta, refresh_interval: timedelta) -> Document:
    interval = _milliseconds(refresh_interval)
    ttl = _milliseconds(sliding) + interval
    return {"exp": _packed({"$add": ["$$NOW", ttl]}), "ttl": ttl, "int": interval}


def _fixed_end(options: CacheEntryOptions) -> Expression | None:
    absolute = None if options.absolute is None else _date(options.absolute)
    if options.relative is None:
        return absolute
    relative = {"$add": ["$$NOW", _milliseconds(options.relative)]}
    return relative if absolute is None else {"$min": [absolute, relative]}


def _milliseconds(duration: timedelta) -> int:
    """Rounded up: nothing ends early."""
    whole, rest = divmod(duration, _MILLISECOND)
    return whole + 1 if rest else whole


def _date(instant: datetime) -> datetime:
    """Rounded up to what a BSON date can tell, but for the last millisecond of time."""
    milliseconds = _milliseconds(instant - _EPOCH)
    return _LATEST if milliseconds >= _MAX_MILLISECONDS else _EPOCH + milliseconds * _MILLISECOND


def _instant(date: datetime | None) -> datetime | None:
    return None if date is None else _EPOCH + (date - _READ_EPOCH)
