"""Waiting for the cache: for how long at most, and not at all where the cache never waits."""

import asyncio
from collections.abc import Coroutine, Generator
from datetime import timedelta
from types import coroutine as generator_coroutine
from typing import Any, TypeVar

from tornado_session.errors import CacheTimeoutError

T = TypeVar("T")


async def within(limit: timedelta | None, awaited: Coroutine[Any, Any, T]) -> T:
    """Await a coroutine for at most ``limit``; raises ``CacheTimeoutError`` when that is over."""
    if limit is None:
        return await awaited
    try:
        async with asyncio.timeout(limit.total_seconds()):
            return await awaited
    except TimeoutError:
        raise CacheTimeoutError(f"the cache did not answer within {limit} (SessionOptions.io_timeout)") from None


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
