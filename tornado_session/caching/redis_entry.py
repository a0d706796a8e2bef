"""What the scripts in ``redis_lua`` read and write: requests, and entries as stored. The formats are drawn there."""

from datetime import UTC, datetime, timedelta
from math import inf
from struct import Struct
from typing import Final, NamedTuple

from tornado_session.caching.contract import CacheEntry, CacheEntryOptions, lasting, new_entry, timestamp

SET: Final = 0
ADD: Final = 1
REPLACE: Final = 2
ANY_VERSION: Final = 0

_FIXED_PART: Final = Struct(">BdQdddddH")
# The same without what only the index of tags needs.
_FIXED_PART_BUT_INDEX: Final = Struct(">xdQddd16xH")
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
    refreshed, version, sliding, interval, fixed_end, tag_size = _FIXED_PART_BUT_INDEX.unpack_from(stored)
    refreshed_at = datetime.fromtimestamp(refreshed / 1e6, UTC)
    ends = refreshed + sliding + interval
    if ends < fixed_end and ends < _LAST_INSTANT:
        expires: datetime | None = refreshed_at + lasting((sliding + interval) / 1e6)
    else:
        expires = timestamp(fixed_end / 1e6) if fixed_end < _LAST_INSTANT else None
    return new_entry(CacheEntry, (stored[_FIXED_PART.size + tag_size :], version, expires, refreshed_at))


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
