"""Waiting for the cache: bounded, and without a task where nothing waits."""

import asyncio
from contextlib import suppress
from datetime import timedelta

import pytest

from tornado_session.deadline import Deadline, begin
from tornado_session.errors import CacheTimeoutError


async def test_what_takes_too_long_is_cancelled_and_told_with_the_limit() -> None:
    cancelled = asyncio.Event()

    async def hang() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    with pytest.raises(CacheTimeoutError, match=r"within 0:00:00.010000 \(SessionOptions.io_timeout\)"):
        await Deadline(timedelta(milliseconds=10)).within(hang())

    assert cancelled.is_set()


SOON = timedelta(milliseconds=20)


async def test_each_of_many_waits_has_the_whole_limit_and_those_that_end_before_keep_nobody_up() -> None:
    deadline, loop = Deadline(timedelta(milliseconds=60)), asyncio.get_running_loop()
    ends: list[float] = []

    async def wait(delay: float, answer: float | None) -> None:
        await asyncio.sleep(delay)
        began = loop.time()
        if answer is not None:
            await deadline.within(asyncio.sleep(answer))
            return
        with pytest.raises(CacheTimeoutError):
            await deadline.within(asyncio.sleep(10))
        ends.append(loop.time() - began)

    waits = [(number * 0.01, 0.005 if number % 2 else None) for number in range(10)]
    await asyncio.wait_for(asyncio.gather(*(wait(*each) for each in waits)), timeout=5)

    assert len(ends) == 5
    assert all(0.059 <= end < 1 for end in ends), ends


async def test_waits_share_one_timer_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    deadline, loop, timers = Deadline(timedelta(seconds=5)), asyncio.get_running_loop(), []
    call_at = loop.call_at
    monkeypatch.setattr(loop, "call_at", lambda *args, **options: timers.append(args) or call_at(*args, **options))

    async def at_once() -> None:
        pass

    for _ in range(3):
        await asyncio.gather(*(deadline.within(at_once()) for _ in range(10)))

    assert len(timers) == 1


async def test_a_cancellation_by_others_is_no_timeout() -> None:
    task = asyncio.create_task(Deadline(timedelta(seconds=5)).within(asyncio.sleep(10)))
    await asyncio.sleep(0)
    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_cancellation_that_comes_together_with_the_deadline_is_not_lost() -> None:
    async def tidy_slowly() -> None:
        try:
            await asyncio.sleep(10)
        finally:
            await asyncio.sleep(0.02)

    task = asyncio.create_task(Deadline(SOON).within(tidy_slowly()))
    await asyncio.sleep(0.03)
    assert task.cancelling() == 1, "the deadline has passed"
    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task


async def test_what_swallows_the_deadline_leaves_no_cancellation_behind() -> None:
    async def answer_all_the_same() -> str:
        with suppress(asyncio.CancelledError):
            await asyncio.sleep(10)
        return "answer"

    assert await Deadline(SOON).within(answer_all_the_same()) == "answer"
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0


async def test_an_error_that_comes_of_the_deadline_is_passed_on_and_leaves_no_cancellation_behind() -> None:
    async def fail() -> None:
        try:
            await asyncio.sleep(10)
        finally:
            raise LookupError

    with pytest.raises(LookupError):
        await Deadline(SOON).within(fail())
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0


async def test_who_takes_long_to_stop_delays_no_deadline_of_others() -> None:
    deadline, hold = Deadline(SOON), asyncio.Event()

    async def stop_late() -> None:
        try:
            await asyncio.sleep(10)
        finally:
            await hold.wait()

    slow = asyncio.create_task(deadline.within(stop_late()))
    await asyncio.sleep(0.001)
    with pytest.raises(CacheTimeoutError):
        await asyncio.wait_for(deadline.within(asyncio.sleep(10)), timeout=5)

    assert not slow.done()
    hold.set()
    with pytest.raises(CacheTimeoutError):
        await slow


async def test_a_deadline_within_another_of_the_same_limit_raises_once() -> None:
    deadline = Deadline(SOON)

    with pytest.raises(CacheTimeoutError):
        await deadline.within(deadline.within(asyncio.sleep(10)))

    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0


def test_every_event_loop_has_deadlines_of_its_own_and_a_closed_one_is_forgotten() -> None:
    deadline = Deadline(SOON)

    async def overdue() -> None:
        with pytest.raises(CacheTimeoutError):
            await asyncio.wait_for(deadline.within(asyncio.sleep(10)), timeout=5)

    left = asyncio.new_event_loop()
    task = left.create_task(deadline.within(asyncio.sleep(10)))
    left.run_until_complete(asyncio.sleep(0))
    left.close()
    for _ in range(3):
        asyncio.run(overdue())

    assert id(left) not in deadline._lines
    task._log_destroy_pending = False  # type: ignore[attr-defined]


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
