"""Who names the same key waits for its turn; who names another one, or gives up, holds up nobody."""

import asyncio

import pytest

from tornado_session.turns import Turns


async def enter(turns: Turns, key: str, name: str, seen: list[str], leave: asyncio.Event) -> None:
    async with turns.take(key):
        seen.append(name)
        await leave.wait()


async def test_turns_come_in_the_order_of_asking_and_one_at_a_time() -> None:
    turns, seen, leave = Turns(), [], asyncio.Event()
    tasks = [asyncio.create_task(enter(turns, "key", name, seen, leave)) for name in "abc"]
    await asyncio.sleep(0)
    assert seen == ["a"]

    leave.set()
    await asyncio.gather(*tasks)

    assert seen == ["a", "b", "c"]
    assert not turns._lines


async def test_another_key_does_not_wait() -> None:
    turns, seen, leave = Turns(), [], asyncio.Event()
    tasks = [asyncio.create_task(enter(turns, key, key, seen, leave)) for key in "ab"]
    await asyncio.sleep(0)

    assert seen == ["a", "b"]
    leave.set()
    await asyncio.gather(*tasks)


async def test_who_is_cancelled_while_waiting_is_passed_over() -> None:
    turns, seen, leave = Turns(), [], asyncio.Event()
    first, second, third = (asyncio.create_task(enter(turns, "key", name, seen, leave)) for name in "abc")
    await asyncio.sleep(0)

    second.cancel()
    await asyncio.sleep(0)
    leave.set()
    await asyncio.gather(first, third)

    assert seen == ["a", "c"]
    assert second.cancelled()
    assert not turns._lines


async def test_who_is_cancelled_in_the_moment_of_being_called_hands_the_turn_on() -> None:
    turns, seen, leave = Turns(), [], asyncio.Event()
    leave.set()
    holding = turns.take("key")
    await holding.__aenter__()
    second, third = (asyncio.create_task(enter(turns, "key", name, seen, leave)) for name in "bc")
    await asyncio.sleep(0)

    await holding.__aexit__(None, None, None)
    second.cancel()

    await third
    with pytest.raises(asyncio.CancelledError):
        await second
    assert seen == ["c"]
    assert not turns._lines


async def test_an_error_in_a_turn_gives_it_on() -> None:
    turns = Turns()
    with pytest.raises(LookupError):
        async with turns.take("key"):
            raise LookupError

    async with asyncio.timeout(1), turns.take("key"):
        pass
