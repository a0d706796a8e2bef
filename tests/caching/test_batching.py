"""Batcher, with a store whose answers the tests give by hand."""

import asyncio
import functools
import gc
import random
import threading
import time
import weakref
from collections.abc import Callable, Coroutine
from contextvars import ContextVar
from datetime import timedelta
from typing import Any, cast

import pytest

from tornado_session.caching.batching import Batcher
from tornado_session.caching.batching.lane import Lane, Waiting
from tornado_session.errors import CacheError, CacheTimeoutError

PATIENT = timedelta(seconds=30)
TOO_LATE = "not sent, since earlier calls for the same key took longer than 0.01 seconds"


class Store:
    """Keeps every command until the test answers it; echoes the calls unless told otherwise."""

    def __init__(self) -> None:
        self.batches: list[list[Any]] = []
        self.cancelled: list[list[Any]] = []
        self._answers: list[asyncio.Future[list[Any] | None]] = []

    async def send(self, calls: list[Any]) -> list[Any]:
        self.batches.append(calls)
        answer: asyncio.Future[list[Any] | None] = asyncio.get_running_loop().create_future()
        self._answers.append(answer)
        try:
            results = await answer
        except asyncio.CancelledError:
            self.cancelled.append(calls)
            raise
        return calls if results is None else results

    async def send_elsewhere(self, calls: list[Any]) -> list[Any]:
        return await self.send(calls)

    async def answer(self, number: int, results: list[Any] | None = None) -> None:
        self._answers[number].set_result(results)
        await settle()

    async def fail(self, number: int, error: Exception) -> None:
        self._answers[number].set_exception(error)
        await settle()


async def settle() -> None:
    for _ in range(12):
        await asyncio.sleep(0)


async def start(*calls: Coroutine[Any, Any, Any]) -> list[asyncio.Task[Any]]:
    tasks = [asyncio.create_task(call) for call in calls]
    await settle()
    return tasks


def on_a_loop(test: Callable[[], Coroutine[Any, Any, None]]) -> Callable[[], None]:
    """Run an asynchronous test, and fail it for anything that the loop complains about."""

    @functools.wraps(test)
    def run() -> None:
        complaints: list[dict[str, Any]] = []

        async def main() -> None:
            asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
            await test()
            gc.collect()
            await settle()

        asyncio.run(main())
        assert complaints == []

    return run


def patient(**limits: Any) -> Batcher:
    return Batcher(**{"max_wait": PATIENT, **limits})


@on_a_loop
async def test_a_lone_call_is_sent_at_once_by_its_own_caller() -> None:
    batcher, senders = Batcher(), []

    async def send(calls: list[str]) -> list[str]:
        senders.append(asyncio.current_task())
        return [call.upper() for call in calls]

    assert await batcher.run(send, "one", key="a") == "ONE"

    assert senders == [asyncio.current_task()]


@on_a_loop
async def test_calls_made_while_a_command_is_in_flight_go_out_together_as_the_next() -> None:
    batcher, store = patient(), Store()

    tasks = await start(*(batcher.run(store.send, key, key=key) for key in "abcd"))
    assert store.batches == [["a"]]

    await store.answer(0)
    assert store.batches == [["a"], ["b", "c", "d"]]

    await store.answer(1)
    assert [task.result() for task in tasks] == ["a", "b", "c", "d"]


@on_a_loop
async def test_each_caller_gets_its_own_result_or_its_own_error() -> None:
    batcher, store = patient(), Store()
    tasks = await start(*(batcher.run(store.send, key, key=key) for key in "abcd"))
    await store.answer(0, [ValueError("bad a")])

    await store.answer(1, ["B", KeyError("bad c"), None])

    assert tasks[1].result() == "B"
    assert tasks[3].result() is None
    with pytest.raises(ValueError, match="bad a"):
        tasks[0].result()
    with pytest.raises(KeyError, match="bad c"):
        tasks[2].result()


@on_a_loop
async def test_a_failed_command_fails_all_its_callers_each_with_an_error_of_its_own() -> None:
    batcher, store, cause = patient(), Store(), OSError("no route")
    tasks = await start(*(batcher.run(store.send, key, key=key) for key in "abcd"))
    await store.answer(0)
    error = CacheError("down")
    error.__cause__ = cause

    await store.fail(1, error)

    raised = [task.exception() for task in tasks[1:]]
    assert [type(each) for each in raised] == [CacheError] * 3
    assert [str(each) for each in raised] == ["down"] * 3
    assert all(each is not None and each.__cause__ is cause for each in raised)
    assert len(set(map(id, raised))) == 3
    assert tasks[0].result() == "a"


@on_a_loop
async def test_a_failed_lone_call_leaves_the_way_free_for_those_that_gathered() -> None:
    batcher, store = patient(), Store()
    tasks = await start(*(batcher.run(store.send, key, key=key) for key in "abc"))

    await store.fail(0, CacheError("down"))
    await store.answer(1)

    assert isinstance(tasks[0].exception(), CacheError)
    assert [task.result() for task in tasks[1:]] == ["b", "c"]


@on_a_loop
async def test_too_few_results_are_an_error_of_all_and_block_nobody() -> None:
    batcher, store = patient(), Store()
    tasks = await start(*(batcher.run(store.send, key, key=key) for key in "abc"))
    await store.answer(0)

    await store.answer(1, ["only one"])

    assert [type(task.exception()) for task in tasks[1:]] == [RuntimeError] * 2
    assert await asyncio.wait_for(_echoed(batcher, "b"), 1) == "b"


@on_a_loop
async def test_calls_of_one_key_are_never_in_flight_together_and_keep_their_order() -> None:
    batcher, store = patient(), Store()
    calls = [("a", 1), ("b", 1), ("b", 2), ("c", 1), ("b", 3)]

    await start(*(batcher.run(store.send, call, key=call[0]) for call in calls))
    for number in range(4):
        await store.answer(number)

    assert store.batches == [[("a", 1)], [("b", 1), ("c", 1)], [("b", 2)], [("b", 3)]]


@on_a_loop
async def test_calls_of_one_key_keep_their_order_across_different_commands() -> None:
    batcher, store = patient(), Store()

    tasks = await start(
        batcher.run(store.send, "first", key="a"),
        batcher.run(store.send_elsewhere, "second", key="a"),
        batcher.run(store.send, "third", key="a"),
        batcher.run(store.send_elsewhere, "neighbour", key="b"),
    )

    assert store.batches == [["first"], ["neighbour"]]
    await store.answer(0)
    await store.answer(1)
    assert store.batches[2:] == [["second"]]
    await store.answer(2)
    assert store.batches[3:] == [["third"]]
    await store.answer(3)
    assert [task.result() for task in tasks] == ["first", "second", "third", "neighbour"]


@on_a_loop
async def test_reads_of_one_key_share_a_command_but_no_write_overtakes_them_nor_they_it() -> None:
    batcher, store = patient(), Store()
    read = functools.partial(batcher.run, store.send, key="a", shared=True)

    await start(
        batcher.run(store.send, "lone", key="other"),
        read("read 1"),
        read("read 2"),
        batcher.run(store.send, "write", key="a"),
        read("read 3"),
        read("read 4"),
    )
    for number in range(4):
        await store.answer(number)

    assert store.batches == [["lone"], ["read 1", "read 2"], ["write"], ["read 3", "read 4"]]


@on_a_loop
async def test_a_batch_has_no_more_calls_than_allowed_and_full_ones_do_not_wait() -> None:
    batcher, store = patient(max_calls=3), Store()

    await start(*(batcher.run(store.send, key, key=key) for key in "abcdefgh"))

    assert store.batches == [["a"], ["b", "c", "d"], ["e", "f", "g"]]
    await store.answer(0)
    assert store.batches[3:] == [["h"]]
    for number in (1, 2, 3):
        await store.answer(number)


@on_a_loop
async def test_a_batch_has_no_more_bytes_than_allowed_but_a_large_call_still_goes_out() -> None:
    batcher, store = patient(max_bytes=100), Store()
    sizes = {"a": 1, "b": 60, "c": 30, "d": 20, "e": 500, "f": 10}

    await start(*(batcher.run(store.send, key, key=key, size=size) for key, size in sizes.items()))

    assert store.batches == [["a"], ["b", "c"], ["d"], ["e"]]
    for number in range(5):
        await store.answer(number)
    assert store.batches[4:] == [["f"]]


@on_a_loop
async def test_a_slow_command_delays_others_by_no_more_than_the_longest_wait() -> None:
    batcher, store = Batcher(max_wait=timedelta(milliseconds=5)), Store()
    tasks = await start(*(batcher.run(store.send, key, key=key) for key in "abc"))

    await asyncio.sleep(0.05)

    assert store.batches == [["a"], ["b", "c"]]
    await store.answer(1)
    assert [task.done() for task in tasks] == [False, True, True]
    await store.answer(0)


@on_a_loop
async def test_at_busy_times_the_first_call_takes_along_those_that_arrive_with_it() -> None:
    batcher, store = patient(), Store()
    await start(*(batcher.run(store.send, key, key=key) for key in "abc"))
    await store.answer(0)
    await store.answer(1)

    await start(*(batcher.run(store.send, key, key=key) for key in "abc"))

    assert store.batches[2:] == [["a", "b", "c"]]
    await store.answer(2)


@on_a_loop
async def test_a_batch_lets_a_larger_one_of_another_command_land_first_and_takes_along_its_callers() -> None:
    batcher, store = patient(), Store()
    await start(*(batcher.run(store.send, key, key=key) for key in "abcd"))
    await store.answer(0)

    async def read_then_write(key: str) -> None:
        await batcher.run(store.send, key, key=key)
        await batcher.run(store.send_elsewhere, key, key=key)

    await start(*(read_then_write(key) for key in "efg"))
    await store.answer(1)
    await start(*(batcher.run(store.send_elsewhere, key, key=key) for key in "hi"))
    assert store.batches == [["a"], ["b", "c", "d"], ["e", "f", "g"]]

    await store.answer(2)

    assert store.batches[3:] == [["h", "i", "e", "f", "g"]]
    await store.answer(3)


@on_a_loop
async def test_a_batch_does_not_wait_for_a_smaller_one_of_another_command() -> None:
    batcher, store = patient(), Store()
    await start(*(batcher.run(store.send, key, key=key) for key in "abc"))
    await store.answer(0)

    await start(*(batcher.run(store.send_elsewhere, key, key=key) for key in "efg"))

    assert store.batches == [["a"], ["b", "c"], ["e", "f", "g"]]
    await store.answer(1)
    await store.answer(2)


@on_a_loop
async def test_a_batch_waits_for_another_command_no_longer_than_the_longest_wait() -> None:
    batcher, store = Batcher(max_wait=timedelta(milliseconds=20)), Store()
    await start(*(batcher.run(store.send, key, key=key) for key in "abcd"))
    await store.answer(0)
    await start(batcher.run(store.send_elsewhere, "e", key="e"))
    assert store.batches == [["a"], ["b", "c", "d"]]

    await asyncio.sleep(0.1)

    assert store.batches[2:] == [["e"]]
    await store.answer(1)
    await store.answer(2)


@on_a_loop
async def test_a_cancelled_caller_cancels_neither_the_command_nor_its_neighbours() -> None:
    batcher, store = patient(), Store()
    tasks = await start(*(batcher.run(store.send, key, key=key) for key in "abc"))
    await store.answer(0)

    tasks[1].cancel()
    await settle()
    await store.answer(1)

    assert tasks[1].cancelled()
    assert tasks[2].result() == "c"
    assert store.cancelled == []


@on_a_loop
async def test_a_key_stays_taken_while_its_cancelled_call_is_in_flight() -> None:
    batcher, store = patient(), Store()
    tasks = await start(*(batcher.run(store.send, key, key=key) for key in "abc"))
    await store.answer(0)
    tasks[1].cancel()

    (late,) = await start(batcher.run(store.send_elsewhere, "late", key="b"))

    assert store.batches[2:] == []
    await store.answer(1)
    assert store.batches[2:] == [["late"]]
    await store.answer(2)
    assert late.result() == "late"


@on_a_loop
async def test_a_command_is_cancelled_when_nobody_waits_for_it_any_more() -> None:
    batcher, store = patient(), Store()
    tasks = await start(*(batcher.run(store.send, key, key=key) for key in "abc"))
    await store.answer(0)

    for task in tasks[1:]:
        task.cancel()
    await settle()

    assert store.cancelled == [["b", "c"]]
    assert await asyncio.wait_for(_echoed(batcher, "b"), 1) == "b"


@on_a_loop
async def test_where_commands_are_not_cancelled_they_end_by_themselves_and_keep_their_keys() -> None:
    batcher, store = patient(cancels=False), Store()
    (lone,) = await start(batcher.run(store.send, "lone", key="a"))
    gathered = await start(*(batcher.run(store.send, key, key=key) for key in "bc"))

    for task in (lone, *gathered):
        task.cancel()
    await settle()
    (late,) = await start(batcher.run(store.send_elsewhere, "late", key="a"))

    assert store.cancelled == []
    assert store.batches == [["lone"]]
    await store.answer(0)
    assert ["late"] in store.batches
    await store.answer(store.batches.index(["late"]))
    assert late.result() == "late"


@on_a_loop
async def test_a_batch_whose_callers_leave_before_it_starts_blocks_nobody() -> None:
    batcher, store = patient(max_calls=2), Store()
    tasks = [asyncio.create_task(batcher.run(store.send, key, key=key)) for key in "abc"]
    await asyncio.sleep(0)

    for task in tasks[1:]:
        task.cancel()
    await settle()
    await store.answer(0)

    assert tasks[0].result() == "a"
    assert await asyncio.wait_for(_echoed(batcher, "b"), 1) == "b"


@on_a_loop
async def test_a_call_that_is_cancelled_before_it_is_sent_is_never_sent() -> None:
    batcher, store = patient(), Store()
    tasks = await start(
        batcher.run(store.send, "a", key="a"),
        batcher.run(store.send, "gathering", key="b"),
        batcher.run(store.send, "parked", key="b"),
        batcher.run(store.send, "behind", key="b"),
        batcher.run(store.send, "neighbour", key="c"),
    )

    tasks[1].cancel()
    tasks[2].cancel()
    await settle()
    await store.answer(0)

    assert store.batches[1:] == [["neighbour", "behind"]]
    await store.answer(1)
    assert tasks[3].result() == "behind"


@on_a_loop
async def test_a_cancelled_lone_caller_harms_none_of_those_that_gathered_meanwhile() -> None:
    batcher, store = patient(), Store()
    tasks = await start(*(batcher.run(store.send, key, key=key) for key in "abc"))

    tasks[0].cancel()
    await settle()
    await store.answer(1)

    assert store.cancelled == [["a"]]
    assert [task.result() for task in tasks[1:]] == ["b", "c"]


@on_a_loop
async def test_each_caller_keeps_its_own_time_limit() -> None:
    batcher, store = patient(), Store()
    first, hurried, calm = await start(
        batcher.run(store.send, "a", key="a"),
        asyncio.wait_for(batcher.run(store.send, "b", key="b"), 0.2),
        batcher.run(store.send, "c", key="c"),
    )
    await store.answer(0)

    await asyncio.wait([hurried])

    assert isinstance(hurried.exception(), TimeoutError)
    assert (first.done(), calm.done()) == (True, False)
    await store.answer(1)
    assert calm.result() == "c"


@on_a_loop
async def test_readers_behind_a_writer_that_is_cancelled_go_on_beside_those_before_it() -> None:
    batcher, store = patient(), Store()
    first, writer, behind = await start(
        batcher.run(store.send, "first", key="a", shared=True),
        batcher.run(store.send_elsewhere, "writer", key="a"),
        batcher.run(store.send_elsewhere, "behind", key="a", shared=True),
    )

    writer.cancel()
    await settle()

    assert store.batches == [["first"], ["behind"]]
    await store.answer(1)
    await store.answer(0)
    assert (first.result(), behind.result()) == ("first", "behind")


@on_a_loop
async def test_readers_behind_a_writer_that_gives_up_go_on_beside_those_before_it() -> None:
    batcher, store = patient(patience=timedelta(milliseconds=20)), Store()
    _, writer = await start(
        batcher.run(store.send, "first", key="a", shared=True),
        batcher.run(store.send_elsewhere, "writer", key="a"),
    )
    await asyncio.sleep(0.015)
    (behind,) = await start(batcher.run(store.send_elsewhere, "behind", key="a", shared=True))

    await asyncio.wait([writer])
    await settle()
    await store.answer(1)

    assert isinstance(writer.exception(), CacheTimeoutError)
    assert behind.result() == "behind"
    await store.answer(0)


@on_a_loop
async def test_a_call_whose_turn_does_not_come_in_time_is_given_up_and_never_sent() -> None:
    batcher, store = patient(patience=timedelta(milliseconds=20)), Store()
    first, late, other = await start(
        batcher.run(store.send, "first", key="a"),
        batcher.run(store.send_elsewhere, "late", key="a"),
        batcher.run(store.send_elsewhere, "other", key="b"),
    )

    await asyncio.sleep(0.06)

    assert isinstance(late.exception(), CacheTimeoutError)
    assert store.batches == [["first"], ["other"]]
    await store.answer(0)
    await store.answer(1)
    assert (first.result(), other.result()) == ("first", "other")
    assert await asyncio.wait_for(_echoed(batcher, "a"), 1) == "a"


@on_a_loop
async def test_a_call_that_is_cancelled_when_it_was_given_up_blocks_nobody() -> None:
    batcher, store = patient(patience=timedelta(milliseconds=5)), Store()
    first, late = await start(batcher.run(store.send, "first", key="a"), batcher.run(store.send, "late", key="a"))

    time.sleep(0.01)  # the loop will find its timer due, and then this cancellation, before the caller runs
    asyncio.get_running_loop().call_later(0, late.cancel)
    await settle()
    await store.answer(0)

    assert late.done()
    assert first.result() == "first"
    assert await asyncio.wait_for(_echoed(batcher, "a"), 1) == "a"


@on_a_loop
async def test_a_batch_runs_in_no_callers_context() -> None:
    batcher, store = patient(), Store()
    variable: ContextVar[str] = ContextVar("variable", default="nobody's")
    seen = []

    async def send(calls: list[str]) -> list[str]:
        seen.append(variable.get())
        return await store.send(calls)

    async def call(key: str) -> str:
        variable.set(key)
        return await batcher.run(send, key, key=key)

    await start(call("a"), call("b"), call("c"))
    await store.answer(0)
    await store.answer(1)

    assert seen == ["a", "nobody's"]


@on_a_loop
async def test_errors_that_nobody_waits_for_are_not_complained_about() -> None:
    batcher, store = patient(), Store()
    tasks = await start(*(batcher.run(store.send, key, key=key) for key in "abc"))
    await store.answer(0)
    tasks[1].cancel()
    await settle()

    await store.answer(1, [ValueError("nobody's"), ValueError("somebody's")])

    assert tasks[1].cancelled()
    assert isinstance(tasks[2].exception(), ValueError)


@on_a_loop
async def test_nothing_is_kept_when_nothing_is_in_flight() -> None:
    batcher, store = Batcher(), Store()
    tasks = await start(*(batcher.run(store.send, key, key=key) for key in "abbc"))
    for number in range(3):
        await store.answer(number)
    assert [task.result() for task in tasks] == ["a", "b", "b", "c"]
    kept = [weakref.ref(task) for task in tasks]

    del tasks
    gc.collect()

    assert [each() for each in kept] == [None] * 4
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def answer(store: Store) -> None:
    await store.answer(1)


async def answer_with_an_error_among_others(store: Store) -> None:
    await store.answer(1, [ValueError("refused"), "c"])


async def fail(store: Store) -> None:
    await store.fail(1, ValueError("down"))


async def answer_too_late(store: Store) -> None:
    await asyncio.sleep(0.02)
    await answer(store)


@pytest.mark.parametrize(
    ("land", "outcomes"),
    [
        (answer, ["a", "b", "c", "c"]),
        (answer_with_an_error_among_others, ["a", "refused", "c", "c"]),
        (fail, ["a", "down", "down", "c"]),
        (answer_too_late, ["a", "b", "c", TOO_LATE]),
    ],
)
def test_calls_that_have_ended_leave_nothing_for_the_garbage_collector(
    land: Callable[[Store], Coroutine[Any, Any, None]], outcomes: list[str]
) -> None:
    @on_a_loop
    async def test() -> None:
        batcher, store = Batcher(patience=timedelta(milliseconds=10)), Store()
        tasks = await start(*(batcher.run(store.send, key, key=key) for key in "abcc"))
        await store.answer(0)
        gc.collect()
        gc.disable()
        try:
            await land(store)
            await settle()
            if len(store.batches) > 2:
                await store.answer(2)
            assert [str(task.exception() or task.result()) for task in tasks] == outcomes

            del tasks

            assert gc.collect() == 0
        finally:
            gc.enable()

    test()


def test_a_loop_that_was_closed_amid_its_work_does_not_disturb_the_next_nor_is_it_kept() -> None:
    batcher = patient()

    async def leave_unfinished() -> weakref.ref[asyncio.AbstractEventLoop]:
        store = Store()
        await start(*(batcher.run(store.send, key, key=key) for key in "abbc"))
        return weakref.ref(asyncio.get_running_loop())

    async def use() -> list[str]:
        return await asyncio.gather(*(_echoed(batcher, key) for key in "abbc"))

    closed = asyncio.run(leave_unfinished())

    assert asyncio.run(use()) == ["a", "b", "b", "c"]
    gc.collect()
    assert closed() is None


def test_callers_in_the_loops_of_two_threads_never_share_a_batch() -> None:
    batcher, batches, both_in = patient(), [], threading.Barrier(2, timeout=10)

    async def use(name: str) -> None:
        async def send(calls: list[str]) -> list[str]:
            if calls[0].endswith("0"):
                both_in.wait()
            batches.append(calls)
            await asyncio.sleep(0.01)
            return calls

        results = await asyncio.gather(*(batcher.run(send, f"{name}{n}", key=str(n)) for n in range(5)))
        assert results == [f"{name}{n}" for n in range(5)]

    threads = [threading.Thread(target=asyncio.run, args=(use(name),)) for name in ("x", "y")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=20)

    assert sorted(batches) == [["x0"], ["x1", "x2", "x3", "x4"], ["y0"], ["y1", "y2", "y3", "y4"]]


@on_a_loop
async def test_under_a_storm_of_calls_and_cancellations_every_rule_holds() -> None:
    chance = random.Random(8)
    limits = {"max_wait": timedelta(milliseconds=1), "patience": timedelta(milliseconds=150)}
    batcher = Batcher(max_calls=8, max_bytes=800, **limits)
    active: dict[str, list[bool]] = {}
    begun: dict[str, list[tuple[int, bool]]] = {}
    arrived: dict[str, int] = {}

    async def send(calls: list[tuple[str, int, bool]]) -> list[Any]:
        assert len(calls) <= 8
        for key, number, shared in calls:
            others = active.setdefault(key, [])
            assert not others or (shared and all(others)), "a write was in flight together with another call"
            others.append(shared)
            begun.setdefault(key, []).append((number, shared))
        try:
            await asyncio.sleep(chance.random() * 0.003)
        finally:
            for key, _, shared in calls:
                active[key].remove(shared)
        if chance.random() < 0.05:
            raise CacheError("down")
        return [ValueError(number) if number % 7 == 0 else number for _, number, _ in calls]

    async def send_elsewhere(calls: list[tuple[str, int, bool]]) -> list[Any]:
        return await send(calls)

    async def call(number: int) -> str:
        await asyncio.sleep(chance.random() * 0.6)
        key, shared, lane = f"key{chance.randrange(25)}", chance.random() < 0.5, (send, send_elsewhere)[number % 2]
        arrived[key] = arrived.get(key, 0) + 1
        try:
            async with asyncio.timeout(chance.choice((0.001, 0.004, 10, 10, 10))):
                result = await batcher.run(lane, (key, arrived[key], shared), key=key, shared=shared, size=100)
        except (TimeoutError, CacheError, ValueError) as error:
            return type(error).__name__
        assert isinstance(result, int)
        return "answered"

    outcomes = await asyncio.wait_for(asyncio.gather(*(call(number) for number in range(3000))), 30)

    # How many of each depends on how busy the machine is.
    assert {"answered"} <= set(outcomes)
    assert set(outcomes) <= {"answered", "TimeoutError", "CacheError", "ValueError", "CacheTimeoutError"}
    for numbers in begun.values():
        for position, (number, shared) in enumerate(numbers):
            assert shared or all(earlier < number for earlier, _ in numbers[:position]), "a write was overtaken"
            assert shared or all(later > number for later, _ in numbers[position + 1 :]), "a write overtook"


async def _echoed(batcher: Batcher, key: str) -> str:
    async def echo(calls: list[str]) -> list[str]:
        await asyncio.sleep(0)
        return calls

    return await batcher.run(echo, key, key=key)


def test_the_repr_of_a_call_that_waits_shows_nothing_of_it() -> None:
    waiting = Waiting(cast("Lane", None), "topsecret", "secret key", False, 9, cast("asyncio.Future[Any]", None))

    assert repr(waiting) == "<Waiting with 9 bytes>"
