"""MemoryCache with a million entries: what an operation costs, what an entry takes, and how long the loop stands still.

Run with ``python -m benchmarks.memory`` (``--entries 100000`` for a quick look). Prints a table and exits with 1 when a
target is missed:

* an operation on a full table costs at most 1.5 times what it costs among 10,000 entries;
* an entry takes at most ``ENTRY_OVERHEAD`` bytes beside its key, its value and its tag, objects' headers included;
* while the table is filled, evicted from, and all of it expires at once, no two callbacks of the event loop are more
  than 10 ms apart.

All targets are of processor time, which a busy machine does not falsify; pauses are told by the wall clock too, where
other processes show. The garbage collector runs as in any server, and its passes count.
"""

import argparse
import asyncio
import gc
import logging
import os
import random
import statistics
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from time import perf_counter, thread_time
from typing import Any

from tornado_session import CacheEntryOptions, MemoryCache
from tornado_session.caching.memory_table import ENTRY_OVERHEAD
from tornado_session.testing import FakeClock

SMALL = 10_000
MOST_RATIO = 1.5
MOST_STALL = 0.010
OPTIONS = CacheEntryOptions(sliding=timedelta(minutes=20))
UNBOUNDED = 2**40
VALUE_SIZE = 100
Operation = Callable[[MemoryCache, str], Coroutine[Any, Any, object]]

missed: list[str] = []


def report(subject: str, figure: str, target: str, met: bool) -> None:
    print(f"{subject:<46} {figure:>16}   {target:<18} {'met' if met else 'MISSED'}", flush=True)
    if not met:
        missed.append(subject)


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def key(number: int) -> str:
    """64 characters, as a session's key in the cache has."""
    return f"{number * 0x9E3779B97F4A7C15 % 2**64:064x}"


async def fill(cache: MemoryCache, entries: int, *, first: int = 0, options: CacheEntryOptions = OPTIONS) -> None:
    for number in range(first, first + entries):
        await cache.set(key(number), number.to_bytes(VALUE_SIZE), options)
        if number % 10 == 0:
            await asyncio.sleep(0)


# -- what an operation costs ------------------------------------------------------------------------------------------


async def removed_and_added(cache: MemoryCache, key: str) -> None:
    await cache.remove(key)
    await cache.add(key, bytes(VALUE_SIZE), OPTIONS)


OPERATIONS: dict[str, Operation] = {
    "get": lambda cache, key: cache.get(key),
    "get, no refresh": lambda cache, key: cache.get(key, refresh=False),
    "get, missing": lambda cache, key: cache.get(key[1:] + "x"),
    "set": lambda cache, key: cache.set(key, bytes(VALUE_SIZE), OPTIONS),
    "add, exists": lambda cache, key: cache.add(key, bytes(VALUE_SIZE), OPTIONS),
    "replace": lambda cache, key: cache.replace(key, bytes(VALUE_SIZE), OPTIONS),
    "remove and add": removed_and_added,
}


async def filled(entries: int) -> tuple[MemoryCache, list[str]]:
    """A cache with so many entries, and as many keys of it in any case: what a working set costs is not the table's."""
    cache = MemoryCache(max_size=UNBOUNDED, clock=FakeClock())
    await fill(cache, entries)
    keys = [key(number) for number in random.Random(1).sample(range(entries), SMALL)]
    return cache, keys


async def seconds_for(cache: MemoryCache, operation: Operation, keys: list[str]) -> float:
    began = thread_time()
    for each in keys:
        await operation(cache, each)
    return (thread_time() - began) / len(keys)


async def measure_costs(entries: int) -> None:
    few, few_keys = await filled(SMALL)
    many, many_keys = await filled(entries)
    for name, operation in OPERATIONS.items():
        # Short runs of the one and the other by turns, and their medians: a passing load of the machine meets both.
        runs: list[tuple[float, float]] = []
        for start in range(0, 4 * SMALL, 500):
            part = slice(start % SMALL, start % SMALL + 500)
            small = await seconds_for(few, operation, few_keys[part])
            runs.append((small, await seconds_for(many, operation, many_keys[part])))
        small, large = (statistics.median(run[side] for run in runs) for side in (0, 1))
        figure = f"{large * 1e6:.2f} us ({large / small:.2f} x)"
        report(f"{name}, among {entries:,}", figure, f"<= {MOST_RATIO} x", large / small <= MOST_RATIO)


# -- what an entry takes ----------------------------------------------------------------------------------------------


def seconds_of_a_collection() -> float:
    began = thread_time()
    gc.collect()
    return thread_time() - began


async def measure_overhead(entries: int, *, tagged: bool) -> None:
    usual = seconds_of_a_collection()
    cache = MemoryCache(max_size=UNBOUNDED)
    before, objects = resident_bytes(), len(gc.get_objects())
    for number in range(entries):
        # As sessions of signed-in visitors have: one tag of 64 characters each.
        options = CacheEntryOptions(sliding=timedelta(minutes=20), tag=key(-number - 1)) if tagged else OPTIONS
        await cache.set(key(number), number.to_bytes(VALUE_SIZE), options)
    # Resident before the collection, whose own lists take as much as there are objects to look at.
    taken = (resident_bytes() - before) / entries - 64 - VALUE_SIZE - (64 if tagged else 0)
    name = "an entry with a tag" if tagged else "an entry without a tag"
    report(f"{name}, beside its texts", f"{taken:.0f} bytes", f"<= {ENTRY_OVERHEAD}", taken <= ENTRY_OVERHEAD)
    passed = seconds_of_a_collection() * 1000
    print(f"{'':<46} {passed:>13.2f} ms   for a full garbage collection, and {usual * 1000:.2f} ms before")
    more = len(gc.get_objects()) - objects
    report(f"{name}: objects for the collector to walk", f"{more:,}", "<= 5,000 in all", more <= 5000)


# -- how long the loop stands still -----------------------------------------------------------------------------------


class Pulse:
    """Runs at every turn of the loop and keeps the longest pauses between two turns."""

    def __init__(self) -> None:
        self.turns = 0
        self.longest = self.longest_by_the_wall = self.longest_collection = 0.0
        self.is_running = True
        self._collection_began = 0.0

    async def run(self) -> None:
        last, last_by_the_wall = thread_time(), perf_counter()
        while self.is_running:
            await asyncio.sleep(0)
            now, now_by_the_wall = thread_time(), perf_counter()
            self.longest = max(self.longest, now - last)
            self.longest_by_the_wall = max(self.longest_by_the_wall, now_by_the_wall - last_by_the_wall)
            last, last_by_the_wall = now, now_by_the_wall
            self.turns += 1

    def note_collection(self, phase: str, _info: dict[str, int]) -> None:
        if phase == "start":
            self._collection_began = thread_time()
        else:
            self.longest_collection = max(self.longest_collection, thread_time() - self._collection_began)


@asynccontextmanager
async def pulse() -> AsyncIterator[Pulse]:
    """Watch the loop meanwhile."""
    watched = Pulse()
    task = asyncio.create_task(watched.run())
    await asyncio.sleep(0)
    gc.callbacks.append(watched.note_collection)
    try:
        yield watched
    finally:
        gc.callbacks.remove(watched.note_collection)
        watched.is_running = False
        await task


def report_stall(subject: str, watched: Pulse) -> None:
    report(subject, f"{watched.longest * 1000:.2f} ms", "<= 10 ms", watched.longest <= MOST_STALL)
    print(
        f"{'':<46} {watched.longest_by_the_wall * 1000:>13.2f} ms   by the wall clock, in {watched.turns:,} turns; "
        f"longest garbage collection {watched.longest_collection * 1000:.2f} ms"
    )


async def measure_stalls(entries: int) -> None:
    clock = FakeClock()
    size = entries * (64 + VALUE_SIZE + ENTRY_OVERHEAD)
    cache = MemoryCache(max_size=size, clock=clock)

    async with pulse() as idle:
        for _ in range(20_000):
            await asyncio.sleep(0)
    report_stall("longest pause, nothing to do", idle)

    async with pulse() as watched:
        await fill(cache, entries)
    report_stall(f"longest pause, filling {entries:,}", watched)

    async with pulse() as watched:
        await fill(cache, entries // 10, first=entries)
    report_stall(f"longest pause, evicting {entries // 10:,}", watched)

    async with pulse() as watched:
        for number in range(100):
            await cache.set(f"large {number}", bytes(2**20), OPTIONS)
            await asyncio.sleep(0)
    report_stall("longest pause, evicting for 1 MiB at a time", watched)

    clock.advance(timedelta(hours=1))
    async with pulse() as watched:
        for number in range(entries):
            await cache.get(key(number))
            await asyncio.sleep(0)
    report_stall(f"longest pause, {entries:,} expired at once", watched)
    left = repr(cache).split()[2]
    report("entries left when all have expired", left, "0", left == "0")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--entries", type=int, default=1_000_000)
    entries = parser.parse_args().entries
    logging.disable(logging.WARNING)
    print(f"Python {sys.version.split()[0]}, {entries:,} entries of 64 + {VALUE_SIZE} bytes\n", flush=True)
    # Each in a process of its own: memory that one gave back to the allocator would count for nothing in the next.
    for measure in (
        lambda: measure_overhead(entries, tagged=False),
        lambda: measure_overhead(entries, tagged=True),
        lambda: measure_costs(entries),
        lambda: measure_stalls(entries),
    ):
        process_id = os.fork()
        if not process_id:
            asyncio.run(measure())
            sys.stdout.flush()
            os._exit(1 if missed else 0)
        if os.waitstatus_to_exitcode(os.waitpid(process_id, 0)[1]):
            missed.append("see above")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
