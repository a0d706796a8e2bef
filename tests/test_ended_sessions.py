"""An ended session does not come back: all orders in which two requests can meet in the cache, enumerated."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest

from tests.interleaving import Schedule, SteppedCache, run, schedules
from tests.visits import Browser, Visit, make_sessions
from tornado_session import MemoryCache, SessionOptions, Sessions, session_settings, session_state
from tornado_session.application import SETTING
from tornado_session.record import SessionRecord
from tornado_session.testing import FakeClock

OWNER = "user-42"
Ending = Callable[["Scene"], Awaitable[None]]


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    async def no_pause(attempt: int) -> None:
        await asyncio.sleep(0)

    monkeypatch.setattr(session_state, "_pause", no_pause)


class Scene:
    """A stored session with an owner, and what happens to it."""

    def __init__(self, *, processes: int = 2, **options: Any) -> None:
        self.clock = FakeClock()
        self.cache = SteppedCache(MemoryCache(clock=self.clock))
        self.sessions = make_sessions(self.cache, self.clock, io_timeout=None, **options)
        # Another process: commits of one process take turns, and would hide most of the orders.
        self.elsewhere = self.sessions
        if processes == 2:
            self.elsewhere = make_sessions(self.cache, self.clock, io_timeout=None, **options)
        self.browser = Browser(self.sessions)
        self.id = ""

    async def begin(self) -> None:
        visit = await self.browser.begin()
        await visit.session.regenerate(owner=OWNER)
        visit.session["base"] = 1
        await visit.finish()
        self.id = visit.session.id
        # Each request got its cookies before the others' responses came.
        self.first, self.second = self.browser.copy(), Browser(self.elsewhere, dict(self.browser.cookies))

    async def live(self) -> list[SessionRecord]:
        """Every live session in the store, whoever may know its key."""
        inner = self.cache.inner
        assert isinstance(inner, MemoryCache)
        keys = [key for shard in inner._table._shards for key in shard]
        found = [(key, await inner.get(key, refresh=False)) for key in keys]
        stored = [self.sessions.store.understand(key, entry) for key, entry in found if entry is not None]
        return [each.record for each in stored if each.record is not None]


# -- how a session ends ------------------------------------------------------------------------------------------------


async def destroy(scene: Scene) -> None:
    visit = await scene.first.begin()
    await visit.session.destroy()
    await visit.finish()


async def clear(scene: Scene) -> None:
    visit = await scene.first.begin()
    visit.session.clear()
    await visit.finish()


async def revoke(scene: Scene) -> None:
    await scene.sessions.revoke(OWNER, scene.id)


async def revoke_all(scene: Scene) -> None:
    await scene.sessions.revoke_all(OWNER)


async def expire(scene: Scene) -> None:
    await scene.cache.step()
    scene.clock.advance(timedelta(minutes=20))


async def regenerate(scene: Scene) -> None:
    visit = await scene.first.begin()
    await visit.session.regenerate()
    await visit.finish()


class Writer:
    """A parallel request that writes; remembers whether the write was acknowledged for a session that is alive."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        self.visit: Visit | None = None
        self.wrote_to = ""

    async def __call__(self) -> None:
        self.visit = await self.scene.second.begin()
        self.visit.session["written"] = 1
        await self.visit.finish()
        if not self.visit.session.is_ended:
            self.wrote_to = self.visit.session.id


class Modifier(Writer):
    async def __call__(self) -> None:
        self.visit = await self.scene.second.begin()
        await self.visit.session.modify("written", lambda count: count + 1, 0)
        await self.visit.finish()
        if not self.visit.session.is_ended:
            self.wrote_to = self.visit.session.id


class Clearer(Writer):
    """Empties the session and begins again in the same request."""

    async def __call__(self) -> None:
        self.visit = await self.scene.second.begin()
        self.visit.session.clear()
        self.visit.session["written"] = 1
        await self.visit.finish()


async def every_order(
    make_scene: Callable[[], Scene],
    make_programs: Callable[[Scene], list[Any]],
    after_each_step: Callable[[Scene, list[Any], list[bool]], Awaitable[None]],
    at_the_end: Callable[[Scene, list[Any]], Awaitable[None]],
) -> int:
    orders = 0
    for schedule in schedules():
        scene = make_scene()
        await scene.begin()
        programs = make_programs(scene)

        async def check(done: list[bool], scene: Scene = scene, programs: list[Any] = programs) -> None:
            await after_each_step(scene, programs, done)

        try:
            await run(schedule, scene.cache, programs, check)
            await at_the_end(scene, programs)
        except BaseException as error:
            error.add_note(f"in the order {schedule.choices}")
            raise
        orders += 1
    return orders


def program(function: Ending, scene: Scene) -> Callable[[], Any]:
    return lambda: function(scene)


async def _nothing(*_: Any) -> None:
    pass


@pytest.mark.parametrize("processes", [1, 2])
@pytest.mark.parametrize("policy", ["merge", "last_write_wins"])
@pytest.mark.parametrize("writer", [Writer, Modifier, Clearer])
@pytest.mark.parametrize("end", [destroy, clear, revoke, revoke_all, expire])
def test_nothing_of_an_ended_session_is_live_once_its_end_was_acknowledged(
    end: Ending, writer: type[Writer], policy: str, processes: int
) -> None:
    async def nothing_is_live(scene: Scene, programs: list[Any], done: list[bool]) -> None:
        if not done[0]:
            return
        for record in await scene.live():
            # A request that came later may have begun a new session, which knows nothing of the old one.
            assert (record.owner, record.values) == (None, {"written": 1})
            # One that came earlier may have made it nobody's, out of its owner's reach.
            assert record.id != scene.id or (writer is Clearer and end in (revoke, revoke_all))

    orders = asyncio.run(
        every_order(
            lambda: Scene(on_conflict=policy, processes=processes),
            lambda scene: [program(end, scene), writer(scene)],
            nothing_is_live,
            _nothing,
        )
    )

    assert orders > 2


@pytest.mark.parametrize("writer", [Writer, Modifier])
def test_of_a_regenerated_session_only_the_new_one_is_live_and_what_was_stored_before_is_kept(
    writer: type[Writer],
) -> None:
    async def old_one_is_gone(scene: Scene, programs: list[Any], done: list[bool]) -> None:
        live = await scene.live()
        assert sum(record.owner == OWNER for record in live) <= 2
        if done[0]:
            assert scene.id not in [record.id for record in live]
            assert sum("base" in record.values for record in live) == 1

    async def nothing_is_lost(scene: Scene, programs: list[Any]) -> None:
        (moved,) = [record for record in await scene.live() if record.owner == OWNER]
        write = programs[1]
        if write.wrote_to == scene.id:
            assert moved.values == {"base": 1, "written": 1}
        else:
            # It came too late, or after all was over and began a session of its own.
            assert moved.values == {"base": 1}
        assert write.visit.session.is_ended or write.wrote_to

    orders = asyncio.run(
        every_order(
            Scene,
            lambda scene: [program(regenerate, scene), writer(scene)],
            old_one_is_gone,
            nothing_is_lost,
        )
    )

    assert orders > 10


def test_the_old_and_the_new_session_of_a_move_are_never_both_live() -> None:
    async def one_is_live(scene: Scene, programs: list[Any], done: list[bool]) -> None:
        assert len([record for record in await scene.live() if "base" in record.values]) <= 1

    asyncio.run(every_order(Scene, lambda scene: [program(regenerate, scene), Writer(scene)], one_is_live, _nothing))


def test_of_two_parallel_moves_one_wins_and_the_other_ends_quietly() -> None:
    class Move:
        def __init__(self, browser: Browser) -> None:
            self.browser = browser

        async def __call__(self) -> None:
            visit = await self.browser.begin()
            await visit.session.regenerate()
            await visit.finish()

    async def one_is_live(scene: Scene, programs: list[Any], done: list[bool]) -> None:
        assert len([record for record in await scene.live() if "base" in record.values]) <= 1

    async def one_is_left(scene: Scene, programs: list[Any]) -> None:
        (moved,) = [record for record in await scene.live() if "base" in record.values]
        assert moved.owner == OWNER
        # One of the two browsers has the new key, and nobody lost the way to the session.
        found = [(await program.browser.read()).get("base") for program in programs]
        assert found.count(1) >= 1

    orders = asyncio.run(
        every_order(Scene, lambda scene: [Move(scene.first), Move(scene.second)], one_is_live, one_is_left)
    )

    assert orders > 10


@pytest.mark.parametrize("end", [destroy, clear, revoke_all])
def test_an_end_that_meets_a_move_leaves_at_most_the_new_session_and_never_the_old(end: Ending) -> None:
    async def old_one_is_gone(scene: Scene, programs: list[Any], done: list[bool]) -> None:
        if done[0] or done[1]:
            assert scene.id not in [record.id for record in await scene.live()]

    class Move:
        def __init__(self, scene: Scene) -> None:
            self.scene = scene

        async def __call__(self) -> None:
            visit = await self.scene.second.begin()
            if visit.session.owner is None:
                return
            await visit.session.regenerate()
            await visit.finish()

    orders = asyncio.run(
        every_order(Scene, lambda scene: [program(end, scene), Move(scene)], old_one_is_gone, _nothing)
    )

    assert orders > 10


def test_revoke_all_never_misses_a_session_that_is_regenerated_while_it_runs() -> None:
    class Move:
        def __init__(self, scene: Scene) -> None:
            self.scene = scene

        async def __call__(self) -> None:
            visit = await self.scene.second.begin()
            if visit.session.owner is not None:
                await visit.session.regenerate()
                await visit.finish()

    async def no_one_is_signed_in(scene: Scene, programs: list[Any]) -> None:
        assert [record.owner for record in await scene.live()] == []

    orders = asyncio.run(
        every_order(Scene, lambda scene: [program(revoke_all, scene), Move(scene)], _nothing, no_one_is_signed_in)
    )

    assert orders > 20


def test_revoke_all_never_misses_a_session_that_moves_to_the_current_key_while_it_runs() -> None:
    old_secret, new_secret = "the older of two secrets", "the newer of two secrets"

    class RotatedScene(Scene):
        async def begin(self) -> None:
            before = session_settings(cache=self.cache, cookie_secret={1: old_secret}, key_version=1, clock=self.clock)
            self.browser = Browser(before[SETTING])
            await super().begin()
            after = session_settings(
                cache=self.cache,
                cookie_secret={1: old_secret, 2: new_secret},
                key_version=2,
                clock=self.clock,
                session=SessionOptions(io_timeout=None),
            )
            self.sessions: Sessions = after[SETTING]
            self.second.sessions = self.sessions

    async def no_one_is_signed_in(scene: Scene, programs: list[Any]) -> None:
        assert [record.owner for record in await scene.live() if record.owner] == []

    orders = asyncio.run(
        every_order(
            RotatedScene, lambda scene: [program(revoke_all, scene), Writer(scene)], _nothing, no_one_is_signed_in
        )
    )

    assert orders > 10


@pytest.mark.parametrize(("processes", "fewest"), [(1, 4), (2, 6)])
def test_two_writes_of_a_live_session_are_both_kept_in_every_order(processes: int, fewest: int) -> None:
    async def both_are_kept(scene: Scene, programs: list[Any]) -> None:
        assert await scene.browser.read() == {"base": 1, "one": 1, "two": 1}

    orders = asyncio.run(
        every_order(
            lambda: Scene(processes=processes),
            lambda scene: [Write(scene.first, "one"), Write(scene.second, "two")],
            _nothing,
            both_are_kept,
        )
    )

    assert orders >= fewest


class ExpiredScene(Scene):
    async def begin(self) -> None:
        await super().begin()
        self.clock.advance(timedelta(minutes=20))


class Write:
    def __init__(self, browser: Browser, key: str) -> None:
        self.browser, self.key = browser, key
        self.visit: Visit | None = None

    async def __call__(self) -> None:
        self.visit = await self.browser.write(**{self.key: 1})


def test_two_first_writes_under_an_expired_cookie_share_the_new_session_in_every_order() -> None:
    async def both_are_kept(scene: Scene, programs: list[Any]) -> None:
        (record,) = await scene.live()
        assert (record.owner, record.values) == (None, {"one": 1, "two": 1})
        assert record.id != scene.id

    orders = asyncio.run(
        every_order(
            ExpiredScene, lambda scene: [Write(scene.first, "one"), Write(scene.second, "two")], _nothing, both_are_kept
        )
    )

    assert orders >= 6


def test_a_first_write_under_an_expired_cookie_is_kept_or_ended_when_the_new_session_moves_on() -> None:
    class BeginAndMove(Write):
        async def __call__(self) -> None:
            visit = await self.browser.begin()
            visit.session[self.key] = 1
            await visit.session.commit()
            await visit.session.regenerate()
            await visit.finish()

    async def acknowledged_is_live(scene: Scene, programs: list[Any]) -> None:
        live = await scene.live()
        visit = programs[1].visit
        assert visit.session.is_ended == ("two" not in [key for record in live for key in record.values])
        assert sum("one" in record.values for record in live) == 1

    orders = asyncio.run(
        every_order(
            ExpiredScene,
            lambda scene: [BeginAndMove(scene.first, "one"), Write(scene.second, "two")],
            _nothing,
            acknowledged_is_live,
        )
    )

    assert orders > 10


def test_a_schedule_enumerates_every_order_once() -> None:
    seen = set()
    for schedule in schedules():
        assert isinstance(schedule, Schedule)
        orders = []
        left = {"a": 2, "b": 2}
        while any(left.values()):
            names = [name for name in left if left[name]]
            name = names[schedule.choose(len(names))]
            left[name] -= 1
            orders.append(name)
        seen.add("".join(orders))

    assert len(seen) == 6


def test_every_session_of_a_scene_is_seen_by_its_check() -> None:
    async def story() -> list[str | None]:
        scene = Scene()
        await scene.begin()
        await Browser(scene.sessions).write(other=1)
        return [record.owner for record in await scene.live()]

    assert sorted(asyncio.run(story()), key=str) == [None, OWNER]
