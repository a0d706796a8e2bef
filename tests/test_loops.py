"""PerLoop: what belongs to a loop is made once, and goes with it."""

import asyncio
import gc

from tornado_session.loops import PerLoop


async def own(per_loop: PerLoop[list[object]]) -> list[object]:
    return per_loop[id(asyncio.get_running_loop())]


def test_each_loop_has_its_own_and_keeps_it() -> None:
    per_loop, one, other = PerLoop[list[object]](list), asyncio.new_event_loop(), asyncio.new_event_loop()
    try:
        first = one.run_until_complete(own(per_loop))
        second = other.run_until_complete(own(per_loop))

        assert one.run_until_complete(own(per_loop)) is first
        assert other.run_until_complete(own(per_loop)) is second
        assert first is not second
    finally:
        one.close()
        other.close()


def test_what_belongs_to_a_loop_goes_with_it() -> None:
    per_loop = PerLoop[list[object]](list)

    asyncio.run(own(per_loop))
    gc.collect()

    assert per_loop == {}


def test_what_holds_a_loop_that_was_closed_goes_when_the_next_one_asks() -> None:
    per_loop, one, other = PerLoop[list[object]](list), asyncio.new_event_loop(), asyncio.new_event_loop()
    try:
        one.run_until_complete(own(per_loop)).append(one)
        one.close()

        kept = other.run_until_complete(own(per_loop))

        assert list(per_loop.values()) == [kept]
    finally:
        other.close()
