"""Between what the contract speaks of and what the rows hold: keys, durations, instants, entries."""

from datetime import UTC, datetime, timedelta
from typing import Any, Final

from tornado_session.caching.contract import CacheEntry, CacheEntryOptions
from tornado_session.caching.sql.dialect import Dialect
from tornado_session.caching.versions import fresh_version

Parameters = dict[str, Any]

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
# Far beyond datetime's last year, and small enough that a sum of some of them is still a BIGINT.
_ENDLESS: Final = 2**60


def encode_key(key: str, dialect: Dialect) -> bytes:
    """Encode a key or a tag as its column holds it."""
    return key.encode() + dialect.terminator


def decode_key(column: bytes, dialect: Dialect) -> str:
    """Decode what ``encode_key`` made."""
    return column.removesuffix(dialect.terminator).decode()


def written(key: str, value: bytes, options: CacheEntryOptions, dialect: Dialect) -> Parameters:
    """The parameters of a write, with a fresh version.

    A version is random: unlike a counter it is not used again when an entry is removed and added anew.
    """
    sliding = _duration(options.sliding, dialect)
    relative = _duration(options.relative, dialect)
    interval = options.refresh_interval // _MICROSECOND
    return {
        "at": encode_key(key, dialect),
        "data": value,
        "fresh": fresh_version(),
        "until": None if options.absolute is None else (options.absolute - _EPOCH) // _MICROSECOND,
        "idle": sliding,
        "longest": relative,
        "lifetime": _first(None if sliding is None else sliding + interval, relative),
        "interval": interval,
        "label": None if options.tag is None else encode_key(options.tag, dialect),
    }


def entry(value: bytes, version: int, expires: int | None, refreshed: int) -> CacheEntry:
    """The entry in a row."""
    return CacheEntry(bytes(value), version, instant(expires), instant(refreshed))


def instant(microseconds: int | None) -> datetime | None:
    """The instant that a column holds; ``None`` for never and for what is beyond the years of ``datetime``."""
    if microseconds is None:
        return None
    try:
        return _EPOCH + timedelta(microseconds=microseconds)
    except OverflowError:
        return None


def _duration(duration: timedelta | None, dialect: Dialect) -> int | None:
    return None if duration is None else min(duration // _MICROSECOND + dialect.resolution - 1, _ENDLESS)


def _first(one: int | None, other: int | None) -> int | None:
    return min((end for end in (one, other) if end is not None), default=None)
