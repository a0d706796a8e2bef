"""Waiting for the cache: bounded, and without a task where nothing waits."""

import asyncio
from datetime import timedelta

import pytest

from tornado_session.deadline import begin, within
from tornado_session.errors import CacheTimeoutError


async def test_what_takes_too_long_is_cancelled_and_told_with_the_limit() -> None:
    cancelled = asyncio.Event()

    async def hang() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    with pytest.raises(CacheTimeoutError, match=r"within 0:00:00.010000 \(SessionOptions.io_timeout\)"):
        await within(timedelta(milliseconds=10), hang())

    assert cancelled.is_set()


async def test_without_a_limit_the_wait_is_as_long_as_it_takes() -> None:
    assert await within(None, asyncio.sleep(0.01, "answer")) == "answer"


async def test_what_never_waits_is_done_at_once() -> None:
    done: list[str] = []

    async def work() -> None:
        done.append("first")

    assert begin(work()) is None
    assert done == ["first"]


async def test_what_waits_goes_on_where_it_stopped_when_its_rest_is_awaited() -> None:
    done: list[str] = []

    async def work() -> None:
        done.append("first")
        await asyncio.sleep(0.01)
        done.append("second")
        await asyncio.sleep(0)
        done.append("third")

    rest = begin(work())

    assert done == ["first"]
    assert rest is not None
    await asyncio.create_task(rest)
    assert done == ["first", "second", "third"]


async def test_what_fails_at_once_or_later_raises_where_it_is_awaited() -> None:
    async def fail_at_once() -> None:
        raise LookupError("at once")

    async def fail_later() -> None:
        await asyncio.sleep(0)
        raise LookupError("later")

    with pytest.raises(LookupError, match="at once"):
        begin(fail_at_once())
    rest = begin(fail_later())
    assert rest is not None
    with pytest.raises(LookupError, match="later"):
        await rest


async def test_a_cancellation_of_the_rest_reaches_what_waits_which_may_still_tidy_up() -> None:
    tidied: list[str] = []

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            tidied.append("tidied")

    rest = begin(work())
    assert rest is not None
    task = asyncio.create_task(rest)
    await asyncio.sleep(0)

    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task
    assert tidied == ["tidied"]


async def test_what_is_thrown_into_the_rest_of_a_coroutine_reaches_it() -> None:
    seen: list[str] = []

    async def waits() -> None:
        try:
            await asyncio.sleep(1)
        except asyncio.CancelledError:
            seen.append("cancelled")
        await asyncio.sleep(0)
        seen.append("over")

    rest = begin(waits())
    assert rest is not None
    task = asyncio.ensure_future(rest)
    await asyncio.sleep(0)
    task.cancel()
    await task

    assert seen == ["cancelled", "over"]
