"""What the scripts in ``redis_lua`` read and write: requests, and entries as stored. The formats are drawn there."""

from datetime import UTC, datetime, timedelta
from math import inf
from struct import Struct
from typing import Final, NamedTuple

from tornado_session.caching.contract import CacheEntry, CacheEntryOptions, timestamp

SET: Final = 0
ADD: Final = 1
REPLACE: Final = 2
ANY_VERSION: Final = 0

_FIXED_PART: Final = Struct(">BdQdddddH")
_REQUEST: Final = Struct(">BQQdddd")
_TOKEN: Final = Struct(">d")
_MICROSECOND: Final = timedelta(microseconds=1)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_LAST_INSTANT: Final = (datetime.max.replace(tzinfo=UTC) - _EPOCH) // _MICROSECOND


class Member(NamedTuple):
    """A member of the index of a tag."""

    token: float
    name: bytes


def write_request(mode: int, version: int, options: CacheEntryOptions, expected: int = ANY_VERSION) -> bytes:
    """What ``write.lua`` is asked to do."""
    absolute = options.absolute
    return _REQUEST.pack(
        mode,
        version,
        expected,
        _microseconds(options.sliding),
        options.refresh_interval // _MICROSECOND,
        _microseconds(options.relative),
        inf if absolute is None else (absolute - _EPOCH) // _MICROSECOND,
    )


def read_entry(stored: bytes) -> CacheEntry:
    """The entry in what a script found."""
    _, refreshed, version, sliding, interval, fixed_end, _, _, tag_size = _FIXED_PART.unpack_from(stored)
    ends = min(fixed_end, refreshed + sliding + interval)
    return CacheEntry(
        stored[_FIXED_PART.size + tag_size :],
        version,
        timestamp(ends / 1e6) if ends < _LAST_INSTANT else None,
        datetime.fromtimestamp(refreshed / 1e6, UTC),
    )


def read_tag(stored: bytes) -> tuple[bytes, float]:
    """The tag of what a script found, and the token of its member in the index of the tag."""
    *_, token, _, tag_size = _FIXED_PART.unpack_from(stored)
    return stored[_FIXED_PART.size : _FIXED_PART.size + tag_size], token


def read_member(member: bytes) -> Member:
    """Take apart a member of the index of a tag."""
    return Member(read_token(member), member[_TOKEN.size :])


def write_member(member: Member) -> bytes:
    """The bytes that ``read_member`` has taken apart."""
    return _TOKEN.pack(member.token) + member.name


def read_token(packed: bytes) -> float:
    """The number that a token's bytes stand for."""
    token: float
    (token,) = _TOKEN.unpack_from(packed)
    return token


def _microseconds(duration: timedelta | None) -> float:
    return inf if duration is None else duration // _MICROSECOND
