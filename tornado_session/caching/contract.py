"""DistributedCache: the contract that every cache keeps, and the values that cross it."""

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import ClassVar, Final, NamedTuple

MAX_KEY_SIZE: Final = 512
"""The longest key and the longest tag, in bytes of UTF-8."""
_LAST_SECOND: Final = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC).timestamp()


class CacheEntry(NamedTuple):
    """What a cache keeps under one key."""

    value: bytes
    """Opaque to the cache."""
    version: int
    """Changes with every ``set``, ``add`` and ``replace``, never with a read; greater than zero; never used again
    under the same key, not even after the entry was removed and added anew."""
    expires: datetime | None = None
    """When the entry ends (aware, UTC); ``None``: never, or this cache does not tell."""
    refreshed: datetime | None = None
    """When the expiry was last written (aware, UTC); ``None``: this cache does not tell."""

    def __repr__(self) -> str:
        # Not the value, which may be somebody's session.
        return f"<CacheEntry of {len(self.value)} bytes, version {self.version}, expires {self.expires}>"


new_entry: Final[Callable[[type[CacheEntry], tuple[object, ...]], CacheEntry]] = tuple.__new__
"""What ``CacheEntry(...)`` comes down to, without the call of a function in between; takes a tuple of all fields."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CacheEntryOptions:
    """How long an entry lives and what it belongs to. Without a duration it never expires.

    Raises ``TypeError`` for a wrong type, ``ValueError`` for a duration that is not positive, a naive ``absolute``
    and an empty or over-long tag. An ``absolute`` in the past is refused by the cache, which has the clock.
    """

    sliding: timedelta | None = None
    """The entry ends when it was not read for this long."""
    absolute: datetime | None = None
    """The entry ends at this instant (aware), however often it is read."""
    relative: timedelta | None = None
    """The entry ends this long after it was written, by the cache's own clock. With ``absolute`` the earlier counts."""
    refresh_interval: timedelta = timedelta(0)
    """A sliding expiry is written only when this much time has passed since it was last written, and is then set this
    much later: never early, at most this much late. It saves a store most of the writes of its readers."""
    tag: str | None = None
    """What the entry belongs to: ``find(tag)`` yields all entries of one tag."""

    def __post_init__(self) -> None:
        for name in ("sliding", "relative"):
            duration = getattr(self, name)
            if duration is not None:
                _check_duration(name, duration)
        if not isinstance(self.refresh_interval, timedelta):
            raise TypeError(f"refresh_interval must be a timedelta, not {type(self.refresh_interval).__name__}")
        if self.refresh_interval < timedelta(0):
            raise ValueError(f"refresh_interval must not be negative, but is {self.refresh_interval}")
        if self.absolute is not None:
            _check_instant("absolute", self.absolute)
        if self.tag is not None:
            check_key(self.tag, name="tag")


class DistributedCache(ABC):
    """From key to bytes, with an expiry: where sessions are kept.

    Six coroutines and one asynchronous iterator are the whole contract; a wrapper that delegates them is a full cache.
    ``tornado_session.testing.CacheContract`` proves a cache against it.

    For all of them: an expired entry is never returned, not even before the store has swept it, and the end is
    exclusive. Keys are case-sensitive. An empty or over-long key (more than 512 bytes) and an end in the past are a
    ``ValueError``; a value that is not ``bytes`` is a ``TypeError``. A cache that cannot answer raises ``CacheError``,
    or ``CacheTimeoutError``, chained to the driver's error; whether a write that failed so was applied is unknown.
    Nothing is ever half written.
    """

    never_waits: ClassVar[bool] = False
    """A class that sets this in its own body promises that its coroutines end without ever waiting for anything, and is
    spared timeouts, tasks and locks. Not inherited: a subclass may wait."""

    @abstractmethod
    async def get(self, key: str, *, refresh: bool = True) -> CacheEntry | None:
        """Read the entry under ``key`` and, with ``refresh``, start its sliding expiry anew in the same trip.

        ``None`` for a missing or expired entry. Reading keeps the version.
        """

    @abstractmethod
    async def set(self, key: str, value: bytes, options: CacheEntryOptions) -> int:
        """Insert or replace the entry under ``key``, its expiry and its tag; return the new version."""

    @abstractmethod
    async def add(self, key: str, value: bytes, options: CacheEntryOptions) -> int | None:
        """Insert an entry; return its version, or ``None`` when one exists that has not expired."""

    @abstractmethod
    async def replace(
        self, key: str, value: bytes, options: CacheEntryOptions, *, version: int | None = None
    ) -> int | None:
        """Update an existing entry, its expiry and its tag; return the new version.

        ``None``, and nothing written, when the entry is missing, has expired, or is not of ``version``.
        """

    @abstractmethod
    async def refresh(self, key: str) -> bool:
        """Start the sliding expiry of an entry anew; ``False`` when it is missing or has expired."""

    @abstractmethod
    async def remove(self, key: str) -> bool:
        """Remove an entry; ``False`` when there was none that had not expired."""

    @abstractmethod
    def find(self, tag: str) -> AsyncIterator[tuple[str, CacheEntry]]:
        """Yield key and entry of every live entry stored under ``tag``, in no order, without sliding them.

        Touches only entries of that tag. What is added or removed meanwhile may or may not be seen.
        """


def check_key(key: str, *, name: str = "key") -> None:
    """Raise ``TypeError`` or ``ValueError`` for what cannot be a key, or a tag."""
    if type(key) is str and 0 < len(key) <= MAX_KEY_SIZE and key.isascii():
        return
    if not isinstance(key, str):
        raise TypeError(f"{name} must be a str, not {type(key).__name__}")
    if not key:
        raise ValueError(f"{name} must not be empty")
    size = _encoded_size(key, name)
    if size > MAX_KEY_SIZE:
        raise ValueError(f"{name} must have at most {MAX_KEY_SIZE} bytes, but has {size}")


def _encoded_size(text: str, name: str) -> int:
    try:
        return len(text.encode())
    except UnicodeEncodeError:
        # Not chained: that error quotes the whole text.
        raise ValueError(f"{name} must be text that UTF-8 can encode, without lone surrogates") from None


def check_value(value: bytes) -> None:
    """Raise ``TypeError`` for what is not ``bytes``."""
    if not isinstance(value, bytes):
        raise TypeError(f"a cache keeps bytes, not {type(value).__name__}; serialize the value first")


def check_absolute(options: CacheEntryOptions, now: datetime) -> None:
    """Raise ``ValueError`` when ``options.absolute`` is not after ``now``."""
    if options.absolute is not None and options.absolute <= now:
        raise ValueError(f"absolute must be in the future, but {options.absolute} is not after {now}")


def timestamp(seconds: float) -> datetime:
    """The aware UTC instant of ``seconds`` since the epoch; the last one that there is for what comes later."""
    return datetime.fromtimestamp(min(seconds, _LAST_SECOND), UTC)


@lru_cache(maxsize=64)
def lasting(seconds: float) -> timedelta:
    """The duration of ``seconds``, kept for who asks again; the longest that there is for what is longer.

    To add one to an instant takes a fraction of the time of making another instant from seconds.
    """
    try:
        return timedelta(seconds=seconds)
    except OverflowError:
        return timedelta.max


def _check_duration(name: str, duration: timedelta) -> None:
    if not isinstance(duration, timedelta):
        raise TypeError(f"{name} must be a timedelta, not {type(duration).__name__}")
    if duration <= timedelta(0):
        raise ValueError(f"{name} must be positive, but is {duration}")


def _check_instant(name: str, instant: datetime) -> None:
    if not isinstance(instant, datetime):
        raise TypeError(f"{name} must be a datetime, not {type(instant).__name__}")
    if instant.tzinfo is None:
        raise ValueError(f"{name} must be aware, but {instant} has no time zone; use datetime.now(timezone.utc)")
