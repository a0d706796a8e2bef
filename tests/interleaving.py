"""A small deterministic scheduler: every order in which a cache can meet the calls of parallel requests, each once."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from typing import Any

from tornado_session.caching.contract import CacheEntry, CacheEntryOptions, DistributedCache


class SteppedCache(DistributedCache):
    """Suspends each call until it is told to go on; then the call is carried out and answered at once."""

    def __init__(self, inner: DistributedCache) -> None:
        self.inner = inner
        self.suspended: dict[asyncio.Task[Any], asyncio.Future[None]] = {}
        self.is_stepping = False

    async def step(self) -> None:
        """Wait to be told to go on."""
        if not self.is_stepping:
            return
        task = asyncio.current_task()
        assert task is not None
        permission: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.suspended[task] = permission
        await permission

    async def get(self, key: str, *, refresh: bool = True) -> CacheEntry | None:
        await self.step()
        return await self.inner.get(key, refresh=refresh)

    async def set(self, key: str, value: bytes, options: CacheEntryOptions) -> int:
        await self.step()
        return await self.inner.set(key, value, options)

    async def add(self, key: str, value: bytes, options: CacheEntryOptions) -> int | None:
        await self.step()
        return await self.inner.add(key, value, options)

    async def replace(
        self, key: str, value: bytes, options: CacheEntryOptions, *, version: int | None = None
    ) -> int | None:
        await self.step()
        return await self.inner.replace(key, value, options, version=version)

    async def refresh(self, key: str) -> bool:
        await self.step()
        return await self.inner.refresh(key)

    async def remove(self, key: str) -> bool:
        await self.step()
        return await self.inner.remove(key)

    async def find(self, tag: str) -> AsyncIterator[tuple[str, CacheEntry]]:
        await self.step()
        async for found in self.inner.find(tag):
            yield found


class Schedule:
    """One order of steps, chosen by number wherever more than one task could go on."""

    def __init__(self, choices: list[int]) -> None:
        self.choices = choices
        self.options: list[int] = []

    def choose(self, options: int) -> int:
        depth = len(self.options)
        self.options.append(options)
        return self.choices[depth] if depth < len(self.choices) else 0

    def following(self) -> "Schedule | None":
        """The next order that was not tried yet, depth first."""
        taken = [*self.choices, *([0] * (len(self.options) - len(self.choices)))]
        while taken and taken[-1] + 1 >= self.options[len(taken) - 1]:
            taken.pop()
        if not taken:
            return None
        return Schedule([*taken[:-1], taken[-1] + 1])


def schedules(most: int = 20_000) -> Iterator[Schedule]:
    """All orders, as the runs themselves reveal them."""
    schedule: Schedule | None = Schedule([])
    for _ in range(most):
        if schedule is None:
            return
        yield schedule
        schedule = schedule.following()
    raise AssertionError(f"more than {most} orders: this scenario is too long to enumerate")


async def run(
    schedule: Schedule,
    cache: SteppedCache,
    programs: list[Callable[[], Coroutine[Any, Any, None]]],
    after_each_step: Callable[[list[bool]], Awaitable[None]],
) -> None:
    """Run programs in parallel, one call to the cache after the other, in the order of ``schedule``.

    ``after_each_step`` is told which programs are over. What a program raises is raised here.
    """
    cache.is_stepping = True
    tasks = [asyncio.ensure_future(program()) for program in programs]
    await _settle()
    while not all(task.done() for task in tasks):
        waiting = [task for task in tasks if task in cache.suspended]
        assert waiting, "the programs wait for each other"
        task = waiting[schedule.choose(len(waiting))]
        cache.suspended.pop(task).set_result(None)
        await _settle()
        cache.is_stepping = False
        await after_each_step([task.done() for task in tasks])
        cache.is_stepping = True
    cache.is_stepping = False
    for task in tasks:
        task.result()


async def _settle() -> None:
    """Let every task run until it waits for the cache or for another task."""
    for _ in range(12):
        await asyncio.sleep(0)
