"""Waiting for the cache: for how long at most, and not at all where the cache never waits."""

import asyncio
from collections.abc import Coroutine, Generator
from datetime import timedelta
from types import coroutine as generator_coroutine
from typing import Any, TypeVar

import msgspec

from tornado_session.errors import CacheTimeoutError
from tornado_session.loops import PerLoop

T = TypeVar("T")


class Deadline:
    """Bounds what tasks wait for, each to the same limit, and otherwise behaves as ``asyncio.timeout`` does.

    That one makes a timer for every wait and takes it back, which costs several times what all else does here. Waits
    that are equally long end in the order in which they began, and need one timer at a time for all of them.
    """

    def __init__(self, limit: timedelta) -> None:
        self._limit = limit
        self._seconds = limit.total_seconds()
        self._lines = PerLoop(_Line)

    async def within(self, awaited: Coroutine[Any, Any, T]) -> T:
        """Await a coroutine for at most the limit; raises ``CacheTimeoutError`` when that is over."""
        loop = asyncio.get_running_loop()
        task = asyncio.current_task(loop)
        assert task is not None
        line = self._lines[id(loop)]
        wait = _Wait(task, loop.time() + self._seconds, task.cancelling())
        line.waits[wait] = None
        if not line.is_watched:
            line.watch(loop, wait)
        try:
            result = await awaited
        except BaseException as error:
            del line.waits[wait]
            if wait.take_back() and isinstance(error, asyncio.CancelledError):
                limit = f"{self._limit} (SessionOptions.io_timeout)"
                raise CacheTimeoutError(f"the cache did not answer within {limit}") from None
            raise
        del line.waits[wait]
        if wait.is_over:  # Asked here too: a call less for those, nearly all, who had their answer in time.
            wait.take_back()
        return result


class _Wait(msgspec.Struct, eq=False):
    """One task that waits."""

    task: "asyncio.Task[Any]"
    ends: float
    cancelling: int
    """How often others had cancelled the task before."""
    is_over: bool = False

    def take_back(self) -> bool:
        """Once the wait has ended: tell whether its deadline has cancelled the task, and nobody else."""
        return self.is_over and self.task.uncancel() <= self.cancelling


class _Line:
    """The waits of one event loop, in the order in which they end."""

    __slots__ = ("is_watched", "waits")

    def __init__(self) -> None:
        self.waits: dict[_Wait, None] = {}
        self.is_watched = False

    def watch(self, loop: asyncio.AbstractEventLoop, wait: _Wait) -> None:
        """See to it that the deadline of ``wait`` is kept, and that of those behind it."""
        # Not taken back when the wait ends before: the next to wait find somebody who watches.
        self.is_watched = True
        loop.call_at(wait.ends, self._look, loop)

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        self.is_watched = False
        for wait in tuple(self.waits):
            if wait.is_over:
                continue
            if loop.time() < wait.ends:
                self.watch(loop, wait)
                return
            wait.is_over = True
            wait.task.cancel()


def begin(started: Coroutine[Any, Any, None]) -> Coroutine[Any, Any, None] | None:
    """Run a coroutine up to where it first waits, and return the rest of it; ``None`` when it never waited.

    Only for what may be run by one task first and by another afterwards, as a task's own timeouts may not.
    """
    try:
        waited_for = started.send(None)
    except StopIteration:
        return None
    return _finish(started, waited_for)


async def _finish(steps: Coroutine[Any, Any, None], waited_for: Any) -> None:
    await _resume(steps, waited_for)


@generator_coroutine
def _resume(steps: Coroutine[Any, Any, None], waited_for: Any) -> Generator[Any, Any, None]:
    while True:
        error: BaseException | None = None
        try:
            yield waited_for
        except BaseException as raised:  # noqa: BLE001 - a cancellation too belongs to the coroutine that waits
            error = raised
        try:
            waited_for = steps.send(None) if error is None else steps.throw(error)
        except StopIteration:
            return
