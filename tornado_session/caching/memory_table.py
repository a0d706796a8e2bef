"""MemoryTable: entries by key, by tag, by last use and by expiry, with no step that takes long.

Three things could stop an event loop for tens of milliseconds at a million entries, and shape this module. A Python
dict of that size is copied when it grows: so the entries are spread over many small ones. The garbage collector walks
over all objects that it tracks: so the entries are structs that it does not track, linked into rings, and dicts of
those it skips too. Expired entries may come in crowds: so they are filed by the time at which they may expire and
removed a few at a time.
"""

from datetime import timedelta
from functools import lru_cache
from heapq import heappop, heappush
from math import inf
from typing import ClassVar, Final, Optional

import msgspec

from tornado_session.caching.contract import CacheEntryOptions

ENTRY_OVERHEAD: Final = 500
"""Bytes that an entry takes beside its key, value and tag, at the most; measured by ``benchmarks/memory.py``."""
_SHARDS: Final = 1024
_LONGEST_FILED: Final = 3600
_SWEPT_AT_ONCE: Final = 8


class Entry(msgspec.Struct, gc=False):
    """One entry, linked into three rings: by last use, by the second in which it may expire, and by its tag."""

    NEVER: ClassVar[float] = inf

    key: str
    value: bytes
    version: int
    tag: str | None = None
    sliding: float = inf
    interval: float = inf
    """Seconds to pass before the expiry slides again; one that does not slide waits for ever."""
    fixed_end: float = inf
    refreshed: float = 0.0
    expires: float = inf
    older: Optional["Entry"] = None
    newer: Optional["Entry"] = None
    due: int = 0
    due_before: Optional["Entry"] = None
    due_after: Optional["Entry"] = None
    tag_before: Optional["Entry"] = None
    tag_after: Optional["Entry"] = None

    def write(self, value: bytes, version: int, options: CacheEntryOptions, now: float) -> None:
        """Note what was written ``now``; the tag stays."""
        self.value, self.version = value, version
        self.sliding = inf if options.sliding is None else _seconds(options.sliding)
        self.interval = inf if options.sliding is None else _seconds(options.refresh_interval)
        self.fixed_end = inf if options.relative is None else now + options.relative.total_seconds()
        if options.absolute is not None:
            self.fixed_end = min(self.fixed_end, options.absolute.timestamp())
        self.slide(now)

    def slide(self, now: float) -> None:
        """Start the sliding expiry anew."""
        self.refreshed = now
        self.expires = min(now + self.sliding + self.interval, self.fixed_end)

    def __repr__(self) -> str:
        # Not the struct's own, which would show the value, and of all the neighbours too.
        return f"<Entry of {len(self.value)} bytes>"

    @property
    def size(self) -> int:
        """Bytes, as ``max_size`` counts them."""
        return size_of(self.key, self.value, self.tag)


def size_of(key: str, value: bytes, tag: str | None) -> int:
    """Tell how many bytes an entry counts for."""
    return len(key) + len(value) + len(tag or "") + ENTRY_OVERHEAD


class MemoryTable:
    """Every operation takes constant time, up to the number of entries that the caller asks to sweep."""

    def __init__(self) -> None:
        self.size = 0
        self._count = 0
        self._shards: list[dict[str, Entry]] = [{} for _ in range(_SHARDS)]
        self._tags: list[dict[str, Entry]] = [{} for _ in range(_SHARDS)]
        # The two ends of the ring by last use are one entry that is never stored.
        self._ends = Entry("", b"", 0)
        self._ends.older = self._ends.newer = self._ends
        # By the second in which an entry may have expired: the first entry of a ring, and the seconds as a heap. One
        # whose entries have all gone stays, with nothing under it, so that no second is on the heap twice.
        self._filed: dict[int, Entry | None] = {}
        self._seconds: list[int] = []
        self.next_due: float = inf
        """From when on any entry may have expired."""

    def __len__(self) -> int:
        return self._count

    def __del__(self) -> None:
        # The rings are cycles of objects that the garbage collector does not see: whoever made them opens them.
        entry = self._ends
        while entry is not None:
            following, entry.newer = entry.newer, None
            entry.older = entry.due_before = entry.due_after = entry.tag_before = entry.tag_after = None
            entry = following  # type: ignore[assignment]

    def find(self, key: str, now: float) -> Entry | None:
        """Give the entry under ``key`` unless it has expired; sweep a few others."""
        if now >= self.next_due:
            self.sweep(now)
        entry = self._shards[hash(key) % _SHARDS].get(key)
        return entry if entry is not None and now < entry.expires else None

    def read(self, key: str, now: float, *, slide: bool) -> Entry | None:
        """Give the entry under ``key`` unless it has expired; note its use, and slide its expiry if asked and due."""
        entry = self.find(key, now)
        if entry is None:
            return None
        if slide and now - entry.refreshed >= entry.interval:
            entry.slide(now)
        if entry.newer is not self._ends:
            self._use(entry)
        return entry

    def tagged(self, tag: str) -> list[Entry]:
        """Give all entries of one tag, expired ones included."""
        first = self._tags[hash(tag) % _SHARDS].get(tag)
        entries: list[Entry] = []
        entry = first
        while entry is not None:
            entries.append(entry)
            entry = entry.tag_after if entry.tag_after is not first else None
        return entries

    def least_recently_used(self) -> Entry:
        """Give the entry that was not used for longest; there must be one."""
        assert self._ends.newer is not None
        return self._ends.newer

    def put(self, key: str, value: bytes, version: int, options: CacheEntryOptions, now: float) -> None:
        """Insert an entry, or write over the one with its key."""
        entry = self._shards[hash(key) % _SHARDS].get(key)
        if entry is not None and entry.tag == options.tag:
            self.size += len(value) - len(entry.value)
            if entry.newer is not self._ends:
                self._use(entry)
        else:
            if entry is not None:
                self.remove(entry)
            entry = self._insert(key, value, options.tag)
        entry.write(value, version, options, now)
        # An end that comes later than before is found when the old one is due; one that comes earlier would be missed.
        if entry.due_before is None or entry.expires + 1 < entry.due:
            self._unfile(entry)
            if entry.expires != inf:
                self._file(entry, now)

    def remove(self, entry: Entry) -> None:
        """Remove ``entry``, which must be in the table."""
        del self._shards[hash(entry.key) % _SHARDS][entry.key]
        self._count -= 1
        self.size -= entry.size
        _unlink(entry)
        self._unfile(entry)
        if entry.tag is not None:
            self._untie(entry, entry.tag)

    def sweep(self, now: float) -> int:
        """Look at a few of the entries that may have expired, remove those that have, and return how many."""
        removed = 0
        for _ in range(_SWEPT_AT_ONCE):
            if now < self.next_due:
                break
            first = self._filed[self._seconds[0]]
            if first is None:
                del self._filed[heappop(self._seconds)]
                self.next_due = self._seconds[0] if self._seconds else inf
                continue
            if now < first.expires:
                self._unfile(first)
                self._file(first, now)
                continue
            self.remove(first)
            removed += 1
        return removed

    def _insert(self, key: str, value: bytes, tag: str | None) -> Entry:
        entry = Entry(key, value, 0, tag)
        self._shards[hash(key) % _SHARDS][key] = entry
        self._count += 1
        self.size += entry.size
        self._link_last(entry)
        if tag is not None:
            self._tie(entry, tag)
        return entry

    def _use(self, entry: Entry) -> None:
        _unlink(entry)
        self._link_last(entry)

    def _link_last(self, entry: Entry) -> None:
        last = self._ends.older
        assert last is not None
        entry.older, entry.newer = last, self._ends
        last.newer = self._ends.older = entry

    def _file(self, entry: Entry, now: float) -> None:
        # A sliding expiry moves on without being filed anew: the entry is found alive when its second comes, and is
        # filed again. What expires late is looked at once an hour, so that there are never many seconds.
        due = int(min(entry.expires, now + _LONGEST_FILED)) + 1
        entry.due = due
        first = self._filed.get(due)
        if first is None:
            if due not in self._filed:
                heappush(self._seconds, due)
                self.next_due = self._seconds[0]
            entry.due_before = entry.due_after = entry
            self._filed[due] = entry
            return
        last = first.due_before
        assert last is not None
        entry.due = first.due  # The same number in one object for all.
        entry.due_before, entry.due_after = last, first
        last.due_after = first.due_before = entry

    def _unfile(self, entry: Entry) -> None:
        before, after = entry.due_before, entry.due_after
        if before is None or after is None:
            return
        entry.due_before = entry.due_after = None
        if after is entry:
            self._filed[entry.due] = None
            return
        before.due_after, after.due_before = after, before
        if self._filed[entry.due] is entry:
            self._filed[entry.due] = after

    def _tie(self, entry: Entry, tag: str) -> None:
        firsts = self._tags[hash(tag) % _SHARDS]
        first = firsts.setdefault(tag, entry)
        last = first.tag_before or entry
        entry.tag_before, entry.tag_after = last, first
        last.tag_after = first.tag_before = entry

    def _untie(self, entry: Entry, tag: str) -> None:
        before, after = entry.tag_before, entry.tag_after
        assert before is not None
        assert after is not None
        entry.tag_before = entry.tag_after = None
        firsts = self._tags[hash(tag) % _SHARDS]
        if after is entry:
            del firsts[tag]
            return
        before.tag_after, after.tag_before = after, before
        if firsts[tag] is entry:
            firsts[tag] = after


@lru_cache(maxsize=64)
def _seconds(duration: timedelta) -> float:
    """Give equal durations one float for all: a million entries slide by the same twenty minutes."""
    return duration.total_seconds()


def _unlink(entry: Entry) -> None:
    older, newer = entry.older, entry.newer
    assert older is not None
    assert newer is not None
    older.newer, newer.older = newer, older
    entry.older = entry.newer = None
