"""What a session in MongoDB costs its server process: client CPU and latency per call, beside the same driver alone.

    python benchmarks/mongodb_batching.py

Starts a MongoDB of its own, or uses the one in MONGODB_URI. Runs for about a minute.
"""

import asyncio
import itertools
import os
import statistics
import time
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import pymongo
from motor.motor_asyncio import AsyncIOMotorClient

from tornado_session.caching.contract import CacheEntryOptions
from tornado_session.caching.mongodb import MongoCache
from tornado_session.testing.servers.mongodb import MongoServer

SESSIONS = 64
VALUE = os.urandom(300)
IN_FLIGHT = (1, 16, 64)
DRIVER_ALONE = ("read: find_one", "slide: find_one_and_update", "write: update_one")
ROUNDS = 5
SECONDS_PER_ROUND = 0.35

SLIDING = CacheEntryOptions(sliding=timedelta(minutes=20))
THROTTLED = CacheEntryOptions(sliding=timedelta(minutes=20), refresh_interval=timedelta(minutes=1))

Operation = Callable[[str], Awaitable[Any]]


def operations(collection: Any, keys: list[str]) -> dict[str, Operation]:
    """The calls to compare. The first of each kind is the driver alone, one command per call."""
    cache = MongoCache(collection)
    numbers = itertools.count()

    async def update_one(key: str) -> None:
        await collection.update_one({"_id": key}, {"$set": {"d": VALUE, "number": next(numbers)}})

    async def find_one(key: str) -> None:
        await collection.find_one({"_id": key})

    async def find_one_and_update(key: str) -> None:
        await collection.find_one_and_update({"_id": key}, {"$set": {"number": next(numbers)}})

    async def get(key: str) -> None:
        assert await cache.get("throttled" + key) is not None

    async def get_sliding(key: str) -> None:
        assert await cache.get("sliding" + key) is not None

    async def replace(key: str) -> None:
        assert await cache.replace("sliding" + key, VALUE, SLIDING) is not None

    return {
        "read: find_one": find_one,
        "read: get, slide not due": get,
        "slide: find_one_and_update": find_one_and_update,
        "slide: get, slides": get_sliding,
        "write: update_one": update_one,
        "write: replace": replace,
    }


async def fill(collection: Any, keys: list[str]) -> None:
    cache = MongoCache(collection)
    await cache.ensure_indexes()
    for key in keys:
        await cache.set("sliding" + key, VALUE, SLIDING)
        await cache.set("throttled" + key, VALUE, THROTTLED)
        await collection.insert_one({"_id": key, "d": VALUE})


async def load(operation: Operation, keys: list[str], in_flight: int) -> tuple[float, float]:
    """Microseconds of CPU and of waiting for each call, with so many callers one call after another."""
    ending = time.perf_counter() + SECONDS_PER_ROUND
    waits: list[float] = []

    async def caller(number: int) -> None:
        while (start := time.perf_counter()) < ending:
            await operation(keys[number % len(keys)])
            waits.append(time.perf_counter() - start)

    start = time.process_time()
    await asyncio.gather(*(caller(number) for number in range(in_flight)))
    return (time.process_time() - start) / len(waits) * 1e6, statistics.median(waits) * 1e6


async def measure(name: str, client: Any) -> None:
    collection = client["benchmark"]["sessions"]
    await collection.drop()
    keys = [f"{number:043d}" for number in range(SESSIONS)]
    await fill(collection, keys)
    table = operations(collection, keys)
    for in_flight in IN_FLIGHT:
        results: dict[str, list[tuple[float, float]]] = {label: [] for label in table}
        for _ in range(ROUNDS):
            for label, operation in table.items():
                results[label].append(await load(operation, keys, in_flight))
        report(name, in_flight, results)
    await collection.drop()


def report(name: str, in_flight: int, results: dict[str, list[tuple[float, float]]]) -> None:
    base = (1.0, 1.0)
    for label, rounds in results.items():
        cpu, wait = (statistics.median(figures) for figures in zip(*rounds, strict=True))
        if label in DRIVER_ALONE:
            base = (cpu, wait)
        ratios = f"{cpu / base[0]:6.2f} {wait / base[1]:6.2f}"
        print(f"{name:14} {in_flight:3}  {label:27} {cpu:7.1f} {wait:9.1f}  {ratios}")


async def main(url: str) -> None:
    print(f"{'driver':14} {'in flight':>3}  {'call':22} {'CPU µs':>7} {'median µs':>9}  {'CPU':>6} {'wait':>6} × alone")
    client: Any = pymongo.AsyncMongoClient(url)
    await measure("PyMongo Async", client)
    await client.close()
    client = AsyncIOMotorClient(url)
    await measure("Motor", client)
    client.close()


if __name__ == "__main__":
    if "MONGODB_URI" in os.environ:
        asyncio.run(main(os.environ["MONGODB_URI"]))
    else:
        with MongoServer() as server:
            asyncio.run(main(server.url))
