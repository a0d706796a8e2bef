"""Parallel requests to one session: what each of the policies keeps, and what none of them loses."""

import asyncio
import logging
from datetime import timedelta
from time import time
from typing import Any

import pytest
from tornado.web import RequestHandler

from tests.conftest import SECRET, serve
from tests.test_session import Place
from tests.visits import Browser, Visit, make_sessions
from tornado_session import (
    CacheError,
    MemoryCache,
    SessionConflictError,
    SessionMixin,
    SessionOptions,
    SessionTooLargeError,
    session_settings,
)
from tornado_session.deadline import begin
from tornado_session.merge import merge, merge_one
from tornado_session.testing import FakeClock
from tornado_session.turns import Turns

PARALLEL = 64


async def both(place: Place, one: Any, other: Any) -> tuple[Visit, Visit]:
    """Two requests that were loaded together: the first one's response leaves before the second changes anything."""
    first, second = await place.browser.copy().begin(), await place.browser.copy().begin()
    one(first.session)
    await first.finish()
    other(second.session)
    await second.finish()
    return first, second


# -- merge -------------------------------------------------------------------------------------------------------------


async def test_parallel_requests_over_http_that_each_write_their_own_key_lose_nothing() -> None:
    class Write(SessionMixin, RequestHandler):
        async def get(self, number: str) -> None:
            await asyncio.sleep(0.005)  # All have loaded before the first stores.
            self.session[number] = int(number)

    class Read(SessionMixin, RequestHandler):
        def get(self) -> None:
            self.write({"sum": sum(self.session.values()), "keys": len(self.session)})

    async with serve([("/write/(.*)", Write), ("/read", Read)]) as site:
        site.cache.delay = timedelta(milliseconds=1)
        browser = site.browser()
        await browser.fetch("/write/0")

        responses = await asyncio.gather(*(browser.fetch(f"/write/{number}") for number in range(1, PARALLEL + 1)))

        assert {response.code for response in responses} == {200}
        assert (await browser.fetch("/read")).body == b'{"sum": 2080, "keys": 65}'


@pytest.mark.parametrize("processes", [1, 4])
async def test_parallel_requests_of_several_processes_lose_nothing(processes: int) -> None:
    place = Place()
    place.cache.delay = timedelta(milliseconds=1)
    everywhere = [make_sessions(place.cache, place.clock) for _ in range(processes)]
    await place.browser.write(start=True)

    async def write(number: int) -> None:
        browser = Browser(everywhere[number % processes], dict(place.browser.cookies))
        visit = await browser.begin()
        visit.session[str(number)] = number
        await visit.finish()

    await asyncio.gather(*map(write, range(PARALLEL)))

    assert await place.browser.read() == {"start": True} | {str(number): number for number in range(PARALLEL)}


@pytest.mark.parametrize("policy", ["merge", "last_write_wins", "fail"])
@pytest.mark.parametrize("processes", [1, 4])
async def test_modify_loses_no_increment_whatever_the_policy(processes: int, policy: str) -> None:
    place = Place(on_conflict=policy)
    place.cache.delay = timedelta(milliseconds=1)
    everywhere = [make_sessions(place.cache, place.clock, on_conflict=policy) for _ in range(processes)]
    await place.browser.write(count=0)
    results: list[int] = []

    async def increment(number: int) -> None:
        browser = Browser(everywhere[number % processes], dict(place.browser.cookies))
        visit = await browser.begin()
        results.append(await visit.session.modify("count", lambda count: count + 1))
        await visit.finish()

    await asyncio.gather(*map(increment, range(PARALLEL)))

    assert await place.browser.read() == {"count": PARALLEL}
    assert sorted(results) == list(range(1, PARALLEL + 1))


async def test_modify_of_one_request_twice_at_once_counts_twice() -> None:
    place = Place()
    place.cache.delay = timedelta(milliseconds=1)
    visit = await place.browser.begin()

    await asyncio.gather(*(visit.session.modify("count", lambda count: count + 1, 0) for _ in range(5)))
    await visit.finish()

    assert await place.browser.read() == {"count": 5}


async def test_an_undisturbed_commit_is_one_trip_and_a_disturbed_one_reads_and_tries_again() -> None:
    place = Place()
    await place.browser.write(a=1)
    place.cache.calls.clear()

    await both(place, lambda session: session.update(b=2), lambda session: session.update(c=3))

    assert place.calls == ["get", "get", "replace", "replace", "get", "replace"]
    assert await place.browser.read() == {"a": 1, "b": 2, "c": 3}


@pytest.mark.parametrize(
    ("one", "other", "merged"),
    [
        (lambda s: s.update(a=2), lambda s: s.update(a=3), {"a": 3, "b": [1]}),
        (lambda s: s.pop("a"), lambda s: s.update(c=1), {"b": [1], "c": 1}),
        (lambda s: s.update(c=1), lambda s: s.pop("a"), {"b": [1], "c": 1}),
        (lambda s: s.pop("a"), lambda s: s.update(a=9), {"a": 9, "b": [1]}),
        (lambda s: s.update(a=9), lambda s: s.pop("a"), {"b": [1]}),
        (lambda s: s.pop("a"), lambda s: s.pop("a"), {"b": [1]}),
        (lambda s: s["b"].append(2), lambda s: s.update(a=9), {"a": 9, "b": [1, 2]}),
        (lambda s: s["b"].append(2), lambda s: s["b"].append(3), {"a": 1, "b": [1, 3]}),
        (lambda s: s.update(a=True), lambda s: s.update(c=1), {"a": True, "b": [1], "c": 1}),
    ],
)
async def test_merge_keeps_the_changes_of_both_key_by_key_and_of_one_key_the_later(
    one: Any, other: Any, merged: dict[str, Any]
) -> None:
    place = Place()
    await place.browser.write(a=1, b=[1])

    await both(place, one, other)

    found = await place.browser.read()
    assert found == merged
    assert type(found.get("a")) is type(merged.get("a"))


@pytest.mark.parametrize(
    ("one", "other", "merged"),
    [("Phone", None, "Phone"), (None, "Laptop", "Laptop"), ("Phone", "Laptop", "Laptop")],
)
async def test_labels_are_merged_like_a_key(one: str | None, other: str | None, merged: str) -> None:
    place = Place()
    await place.browser.write(a=1)

    def labelled(label: str | None) -> Any:
        def change(session: Any) -> None:
            session["touched"] = label
            if label:
                session.label = label

        return change

    await both(place, labelled(one), labelled(other))

    assert (await place.browser.begin()).session.label == merged


@pytest.mark.parametrize(
    ("policy", "ours", "label"),
    [
        ("merge", None, "Phone"),
        ("merge", "Laptop", "Laptop"),
        ("last_write_wins", None, "Tablet"),
        ("last_write_wins", "Laptop", "Laptop"),
    ],
)
async def test_a_label_that_another_request_changed_stays_unless_this_one_changed_it_too_or_the_last_write_wins(
    policy: str, ours: str | None, label: str
) -> None:
    place = Place(on_conflict=policy)

    def change(key: str, label: str | None) -> Any:
        def apply(session: Any) -> None:
            session[key] = 1
            if label:
                session.label = label

        return apply

    visit = await place.browser.begin()
    change("a", "Tablet")(visit.session)
    await visit.finish()

    await both(place, change("b", "Phone"), change("c", ours))

    assert (await place.browser.begin()).session.label == label


async def test_a_commit_that_met_a_conflict_and_then_no_cache_can_be_tried_again() -> None:
    place = Place()
    await place.browser.write(a=1, gone=1)
    visit = await place.browser.begin()
    visit.session["mine"] = 1
    del visit.session["gone"]
    await place.browser.copy().write(theirs=1)
    load = place.memory.get

    async def load_once(*args: Any, **kwargs: Any) -> Any:
        place.cache.fail = {"replace"}
        return await load(*args, **kwargs)

    place.memory.get = load_once  # type: ignore[method-assign]
    with pytest.raises(CacheError):
        await visit.session.commit()
    place.memory.get = load  # type: ignore[method-assign]
    place.cache.fail = set()
    assert visit.session.is_modified
    await visit.session.commit()

    assert await place.browser.read() == {"a": 1, "theirs": 1, "mine": 1}


async def test_commits_of_different_sessions_do_not_wait_for_each_other() -> None:
    place = Place()
    other = Browser(place.sessions)
    await place.browser.write(a=1)
    await other.write(b=1)
    replace, goes_on = place.memory.replace, asyncio.Event()
    (slow_key, _) = await place.payloads()

    async def slow_replace(key: str, *args: Any, **kwargs: Any) -> Any:
        if key == slow_key:
            await goes_on.wait()
        return await replace(key, *args, **kwargs)

    place.memory.replace = slow_replace  # type: ignore[method-assign]
    visits = [await browser.begin() for browser in (place.browser, other)]
    for visit in visits:
        visit.session["c"] = 1
    commits = [asyncio.create_task(visit.finish()) for visit in visits]
    done, waiting = await asyncio.wait(commits, return_when=asyncio.FIRST_COMPLETED, timeout=5)

    assert (len(done), len(waiting)) == (1, 1)
    goes_on.set()
    await asyncio.gather(*commits)
    assert (await place.browser.read(), await other.read()) == ({"a": 1, "c": 1}, {"b": 1, "c": 1})


async def test_a_request_sees_after_its_commit_what_was_merged() -> None:
    place = Place()
    await place.browser.write(a=1)

    _, second = await both(place, lambda session: session.update(b=2), lambda session: session.update(c=3))

    assert dict(second.session) == {"a": 1, "b": 2, "c": 3}
    assert not second.session.is_modified


async def test_three_conflicts_in_a_row_are_merged_one_after_the_other() -> None:
    place = Place()
    await place.browser.write(start=1, gone=1)
    slow = await place.browser.copy().begin()
    slow.session["slow"] = 1
    del slow.session["gone"]
    replace, rivals = place.memory.replace, ["one", "two", "three"]

    async def overtaken(*args: Any, **kwargs: Any) -> Any:
        if rivals:
            rival, place.memory.replace = rivals.pop(), replace  # type: ignore[method-assign]
            await place.browser.copy().write(**{rival: 1})
            place.memory.replace = overtaken  # type: ignore[method-assign]
        return await replace(*args, **kwargs)

    # The rivals belong to another process: they wait for no turn of ours.
    place.browser.sessions = make_sessions(place.cache, place.clock)
    place.memory.replace = overtaken  # type: ignore[method-assign]
    await slow.finish()

    assert await place.browser.read() == {"start": 1, "slow": 1, "one": 1, "two": 1, "three": 1}


def rotated(place: Place) -> Browser:
    """The same browser, at an application whose current key is another one."""
    settings = session_settings(
        cache=place.cache,
        cookie_secret={0: SECRET, 1: "another secret of the site"},
        key_version=1,
        session=place.sessions.options,
        clock=place.clock,
    )
    return Browser(settings["sessions"], dict(place.browser.cookies))


async def test_what_is_only_written_anew_under_a_new_key_gives_way_to_what_others_changed() -> None:
    place = Place(on_conflict="fail", encrypt=True)
    await place.browser.write(a=1)
    reader = await rotated(place).begin()
    await place.browser.write(b=2)

    await reader.finish()

    assert await rotated(place).read() == {"a": 1, "b": 2}


async def test_what_is_changed_under_a_new_key_meets_the_changes_of_others_as_any_other() -> None:
    place = Place(on_conflict="fail", encrypt=True)
    await place.browser.write(a=1)
    writer = await rotated(place).begin()
    await place.browser.write(b=2)
    writer.session["c"] = 3

    with pytest.raises(SessionConflictError):
        await writer.finish()

    assert await place.browser.copy().read() == {"a": 1, "b": 2}


def test_merge_keeps_the_objects_that_the_handler_holds() -> None:
    ours, theirs = {"held": [1], "changed": [2]}, {"held": [1], "changed": [1], "new": [3]}

    merged = merge({"held": [1], "changed": [1]}, ours, theirs)

    assert merged == {"held": [1], "changed": [2], "new": [3]}
    assert merged["held"] is ours["held"]
    assert merged["changed"] is ours["changed"]


def test_merge_one_keeps_ours_if_it_was_changed_and_else_theirs() -> None:
    assert [merge_one(1, 2, 3), merge_one(1, 1, 3), merge_one(1, 2, 1), merge_one(None, None, None)] == [2, 3, 2, None]
    assert merge_one(1, True, 1) is True


# -- the other policies ------------------------------------------------------------------------------------------------


async def test_last_write_wins_replaces_the_whole() -> None:
    place = Place(on_conflict="last_write_wins")
    await place.browser.write(a=1)

    await both(place, lambda session: session.update(b=2), lambda session: session.update(c=3))

    assert await place.browser.read() == {"a": 1, "c": 3}


async def test_fail_raises_keeps_what_is_stored_and_answers_409_over_http() -> None:
    place = Place(on_conflict="fail")
    await place.browser.write(a=1)

    with pytest.raises(SessionConflictError, match=r"was changed by another request meanwhile\. Load it again"):
        await both(place, lambda session: session.update(b=2), lambda session: session.update(c=3))

    assert await place.browser.read() == {"a": 1, "b": 2}


async def test_a_conflict_at_the_end_of_a_response_is_one_409_in_the_log_without_a_traceback(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Slow(SessionMixin, RequestHandler):
        async def get(self) -> None:
            self.session["slow"] = 1
            await browser.fetch("/quick")

    class Quick(SessionMixin, RequestHandler):
        def get(self) -> None:
            self.session["quick"] = self.session.get("quick", 0) + 1

    async with serve([("/", Slow), ("/quick", Quick)], session=SessionOptions(on_conflict="fail")) as site:
        browser = site.browser()
        await browser.fetch("/quick")

        response = await browser.fetch("/")

        assert response.code == 409
    lines = [record for record in caplog.records if record.name == "tornado_session.handler"]
    assert [record.getMessage()[:11] for record in lines] == ["409 GET /: "]
    assert lines[0].exc_info is None


@pytest.mark.parametrize("policy", ["merge", "fail", "last_write_wins"])
async def test_nobodys_interference_is_no_conflict_under_any_policy(policy: str) -> None:
    place = Place(on_conflict=policy)
    for number in range(3):
        await place.browser.write(a=number)

    assert await place.browser.read() == {"a": 2}


# -- turns -------------------------------------------------------------------------------------------------------------


async def test_commits_of_one_process_take_turns_and_tell_each_other_so_that_each_is_one_trip() -> None:
    place = Place()
    place.cache.delay = timedelta(milliseconds=1)
    await place.browser.write(start=True)
    visits = [await place.browser.copy().begin() for _ in range(20)]
    for number, visit in enumerate(visits):
        visit.session[str(number)] = number
    place.cache.calls.clear()

    await asyncio.gather(*(visit.finish() for visit in visits))

    assert place.calls == ["replace"] * 20
    assert len(await place.browser.read()) == 21


async def at_once(place: Place, *changes: Any) -> list[Visit]:
    """Requests that were loaded together, changed each in its own way, and are stored one right after the other."""
    place.cache.delay = timedelta(milliseconds=1)
    visits = [await place.browser.copy().begin() for _ in changes]
    for visit, change in zip(visits, changes, strict=True):
        change(visit.session)
    place.cache.calls.clear()
    await asyncio.gather(*(visit.session.commit() for visit in visits))
    return visits


async def test_what_one_turn_tells_the_next_is_not_shared_between_their_requests() -> None:
    place = Place()
    await place.browser.write(start=True)
    first, second = await at_once(place, lambda one: one.update(items=["one"]), lambda other: other.update(other=1))
    assert place.calls == ["replace"] * 2

    first.session["items"].append("two")

    assert second.session["items"] == ["one"]
    await second.finish()
    await first.finish()
    assert await place.browser.read() == {"start": True, "items": ["one", "two"], "other": 1}


async def test_what_one_turn_tells_the_next_may_be_out_of_date_already() -> None:
    place = Place()
    await place.browser.write(start=True)
    elsewhere = Browser(make_sessions(place.cache, place.clock), dict(place.browser.cookies))
    replace = place.cache.inner.replace
    undisturbed = [True]

    async def replace_and_be_overtaken(*args: Any, **options: Any) -> int | None:
        version = await replace(*args, **options)
        if undisturbed.pop() if undisturbed else False:
            await elsewhere.write(elsewhere=1)
        return version

    place.cache.inner.replace = replace_and_be_overtaken

    await at_once(place, lambda one: one.update(one=1), lambda other: other.update(other=1))

    assert await place.browser.read() == {"start": True, "one": 1, "elsewhere": 1, "other": 1}


async def test_a_turn_that_fails_tells_the_next_nothing() -> None:
    place = Place()
    await place.browser.write(start=True)
    place.cache.delay = timedelta(milliseconds=1)
    visits = [await place.browser.copy().begin() for _ in range(3)]
    for number, visit in enumerate(visits):
        visit.session[str(number)] = number
    visits[1].session["large"] = bytes(2 * 2**20)

    results = await asyncio.gather(*(visit.session.commit() for visit in visits), return_exceptions=True)

    assert [type(result) for result in results] == [type(None), SessionTooLargeError, type(None)]
    assert await place.browser.read() == {"start": True, "0": 0, "2": 2}


async def test_under_fail_a_turn_asks_the_store_and_not_the_one_before_it() -> None:
    place = Place(on_conflict="fail")
    await place.browser.write(start=True)
    place.cache.delay = timedelta(milliseconds=1)
    visits = [await place.browser.copy().begin() for _ in range(2)]
    for number, visit in enumerate(visits):
        visit.session[str(number)] = number
    place.cache.calls.clear()

    results = await asyncio.gather(*(visit.session.commit() for visit in visits), return_exceptions=True)

    assert [type(result) for result in results] == [type(None), SessionConflictError]
    assert place.calls == ["replace", "replace", "get"]
    assert await place.browser.read() == {"start": True, "0": 0}


async def test_modify_is_told_by_the_turn_before_it_under_every_policy() -> None:
    for policy in ("merge", "fail", "last_write_wins"):
        place = Place(on_conflict=policy)
        await place.browser.write(count=0)
        place.cache.delay = timedelta(milliseconds=1)
        visits = [await place.browser.copy().begin() for _ in range(3)]
        place.cache.calls.clear()

        await asyncio.gather(*(visit.session.modify("count", lambda count: count + 1) for visit in visits))

        assert place.calls == ["replace"] * 3
        assert await place.browser.read() == {"count": 3}


async def test_a_session_that_moved_in_a_turn_is_looked_for_by_the_next() -> None:
    place = Place()
    await place.browser.write(start=True)
    place.cache.delay = timedelta(milliseconds=1)
    first, second = [await place.browser.copy().begin() for _ in range(2)]
    second.session["late"] = True
    place.cache.calls.clear()

    await asyncio.gather(first.session.regenerate(), second.session.commit())

    assert second.session.is_ended
    assert place.calls.count("replace") == 2


async def test_the_last_of_several_turns_wins_as_a_whole_where_the_last_write_does() -> None:
    place = Place(on_conflict="last_write_wins")
    await place.browser.write(start=True)

    await at_once(place, lambda one: one.update(one=1), lambda other: other.update(other=1))

    assert place.calls == ["replace"] * 2
    assert await place.browser.read() == {"start": True, "other": 1}


async def test_whoever_is_cancelled_while_waiting_for_a_turn_holds_up_nobody() -> None:
    turns = Turns()
    order: list[str] = []

    async def work(name: str) -> None:
        async with turns.take("key"):
            order.append(name)
            await asyncio.sleep(0.01)

    first, cancelled, last = (asyncio.ensure_future(work(name)) for name in ("first", "cancelled", "last"))
    await asyncio.sleep(0)
    cancelled.cancel()
    await asyncio.gather(first, last)

    assert order == ["first", "last"]
    assert cancelled.cancelled()
    assert turns._lines == {}


async def test_a_turn_that_comes_in_the_moment_of_a_cancellation_is_passed_on() -> None:
    turns = Turns()
    order: list[str] = []
    leave = asyncio.Event()

    async def work(name: str) -> None:
        async with turns.take("key"):
            order.append(name)
            await leave.wait()

    first, cancelled, last = (asyncio.ensure_future(work(name)) for name in ("first", "cancelled", "last"))
    await asyncio.sleep(0)
    leave.set()
    await asyncio.sleep(0)  # The first has left: the turn is the second's, who has not woken up yet.
    cancelled.cancel()
    await asyncio.gather(first, last)

    assert order == ["first", "last"]
    assert turns._lines == {}


async def test_turns_of_different_keys_are_independent() -> None:
    turns = Turns()
    async with turns.take("one"), turns.take("other"):
        assert len(turns._lines) == 2
    assert turns._lines == {}


@pytest.mark.parametrize("rivals", [1, 3])
async def test_a_response_over_memory_waits_through_a_storm_and_goes_out_stored(rivals: int) -> None:
    class Count(SessionMixin, RequestHandler):
        def get(self) -> None:
            self.session["count"] = self.session.get("count", 0) + 1
            self.write(str(self.session["count"]))

    memory = MemoryCache()
    async with serve([("/", Count)], cache=memory, clock=time) as site:
        browser = site.browser()
        await browser.fetch("/")
        replace, left = memory.replace, [None] * rivals

        async def overtaken(*args: Any, **kwargs: Any) -> Any:
            if left:
                left.pop()
                await replace(args[0], args[1], args[2])
                return None
            return await replace(*args, **kwargs)

        memory.replace = overtaken  # type: ignore[method-assign]
        response = await browser.fetch("/")
        memory.replace = replace  # type: ignore[method-assign]

        assert (response.code, response.body) == (200, b"2")
        assert (await browser.fetch("/")).body == b"3"


async def test_a_response_over_memory_whose_storm_never_ends_is_a_409() -> None:
    class Count(SessionMixin, RequestHandler):
        def get(self) -> None:
            self.session["count"] = self.session.get("count", 0) + 1

    memory = MemoryCache()
    async with serve([("/", Count)], cache=memory, clock=time) as site:
        browser = site.browser()
        await browser.fetch("/")
        memory.replace = always_overtaken  # type: ignore[method-assign]

        assert (await browser.fetch("/")).code == 409


class Contested(MemoryCache):
    """A memory cache that another thread shares, which writes just before each of the next ``contests`` replaces."""

    never_waits = True
    contests = 0

    async def replace(self, key: str, value: bytes, options: Any, *, version: int | None = None) -> int | None:
        if self.contests:
            self.contests -= 1
            entry = await self.get(key)
            assert entry is not None
            await super().replace(key, entry.value, options)
        return await super().replace(key, value, options, version=version)


async def contested_visit() -> tuple[Contested, Browser, Visit]:
    """A visitor whose session holds ``a=1``, in the middle of a visit that has set it to 2."""
    clock = FakeClock()
    cache = Contested(clock=clock)
    browser = Browser(make_sessions(cache, clock))
    await browser.write(a=1)
    visit = await browser.begin()
    visit.session["a"] = 2
    return cache, browser, visit


async def test_what_meets_another_thread_in_a_cache_that_never_waits_is_stored_without_waiting() -> None:
    cache, browser, visit = await contested_visit()
    cache.contests = 5

    assert begin(visit.session.commit()) is None

    assert (cache.contests, await browser.read()) == (0, {"a": 2})


async def test_a_commit_that_meets_another_thread_again_and_again_does_not_outlive_a_destroy() -> None:
    cache, browser, visit = await contested_visit()
    cache.contests = 3

    await asyncio.gather(visit.session.commit(), visit.session.destroy())

    assert (visit.session.is_ended, await browser.read()) == (True, {})
    assert len(cache._table) == 0


# -- storms ------------------------------------------------------------------------------------------------------------


async def always_overtaken(*_: Any, **__: Any) -> None:
    return None


async def test_after_ten_tries_a_merge_gives_up_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tornado_session.session_state._FIRST_PAUSE", 0)
    place = Place()
    await place.browser.write(a=1)
    visit = await place.browser.begin()
    visit.session["a"] = 2
    place.cache.calls.clear()
    monkeypatch.setattr(place.memory, "replace", always_overtaken)

    with pytest.raises(
        SessionConflictError, match=f"Session {visit.session.id} was changed by others 10 times in a row"
    ):
        await visit.finish()

    assert place.calls.count("replace") == 10


async def test_a_storm_answers_409_and_the_next_request_is_well(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tornado_session.session_state._FIRST_PAUSE", 0)

    class Count(SessionMixin, RequestHandler):
        def get(self) -> None:
            self.session["count"] = self.session.get("count", 0) + 1
            self.write(str(self.session["count"]))

    async with serve([("/", Count)]) as site:
        browser = site.browser()
        await browser.fetch("/")
        with monkeypatch.context() as patch:
            patch.setattr(site.cache.inner, "replace", always_overtaken)
            assert (await browser.fetch("/")).code == 409

        assert (await browser.fetch("/")).body == b"2"


async def test_retries_wait_longer_and_longer_and_end_with_io_timeout(log_of: Any) -> None:
    place = Place(io_timeout=timedelta(milliseconds=50))
    await place.browser.write(a=1)
    visit = await place.browser.begin()
    visit.session["a"] = 2
    place.memory.replace = always_overtaken  # type: ignore[method-assign]
    loop = asyncio.get_running_loop()
    start = loop.time()

    with pytest.raises(Exception, match=r"did not answer within|changed by others 10 times"):
        await visit.finish()

    assert loop.time() - start < 1
    assert log_of(logging.ERROR) == []
