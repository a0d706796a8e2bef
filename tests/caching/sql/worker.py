"""What several processes do to one table at once."""

import asyncio
import multiprocessing
from collections.abc import Callable, Sequence
from multiprocessing.process import BaseProcess
from typing import Any

from tornado_session.caching.contract import CacheEntryOptions
from tornado_session.caching.sql import SQLCache, create_cache_engine

FOREVER = CacheEntryOptions()
PATIENCE = 60


def in_processes(number: int, work: Callable[..., None], *args: Any) -> list[int | None]:
    """Do it in so many processes at once; return their exit codes, ``None`` for one that had to be killed."""
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=work, args=args) for _ in range(number)]
    for process in processes:
        process.start()
    return [_end(process) for process in processes]


def count_up(url: str, table: str, keys: Sequence[str], times: int) -> None:
    """Add 1 to the number under each key so often, by replacing the version that was read; to all keys at once."""
    asyncio.run(_count_up(url, table, keys, times))


def use_first(url: str, table: str) -> None:
    """Be one of the first to use a table."""
    asyncio.run(_use_first(url, table))


async def _count_up(url: str, table: str, keys: Sequence[str], times: int) -> None:
    engine = create_cache_engine(url)
    cache = SQLCache(engine, table)
    await asyncio.gather(*(_count(cache, key, times) for key in keys))
    await engine.dispose()


async def _count(cache: SQLCache, key: str, times: int) -> None:
    await cache.add(key, b"0", FOREVER)
    for _ in range(times):
        replaced = None
        while replaced is None:
            entry = await cache.get(key)
            assert entry is not None
            replaced = await cache.replace(key, b"%d" % (int(entry.value) + 1), FOREVER, version=entry.version)


async def _use_first(url: str, table: str) -> None:
    engine = create_cache_engine(url)
    cache = SQLCache(engine, table)
    await asyncio.gather(*(cache.get(str(number)) for number in range(5)))
    await engine.dispose()


def _end(process: BaseProcess) -> int | None:
    process.join(PATIENCE)
    if process.exitcode is None:
        process.kill()
        process.join()
        return None
    return process.exitcode
