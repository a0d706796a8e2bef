"""One session, several clients: random stories, with faults, against a model that is too simple to be wrong.

``HYPOTHESIS_PROFILE=long`` tells two thousand stories to each cache.
"""

import asyncio
import logging
import os
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from copy import deepcopy
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from time import time
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)

from tests.services import require, service_url
from tests.visits import Visit, make_sessions
from tornado_session import CacheError, MemoryCache, SessionOptions, session_settings
from tornado_session.application import SETTING
from tornado_session.caching.contract import CacheEntryOptions, DistributedCache
from tornado_session.testing import FakeClock, FaultyCache

IS_LONG = os.environ.get("HYPOTHESIS_PROFILE") == "long"
SETTINGS = settings(
    max_examples=2000 if IS_LONG else 100,
    stateful_step_count=40 if IS_LONG else 30,
    deadline=None,
    derandomize=not IS_LONG,
    database=None,
    phases=[Phase.explicit, Phase.generate, Phase.shrink],
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)

IDLE = timedelta(minutes=20).total_seconds()
MARK = timedelta(seconds=30).total_seconds()
OWNERS = ("user-1", "user-2")
KEEP: Any = object()
NEVER: Any = object()


class LosingCache(FaultyCache):
    """Beside failing, carries out calls whose answer is then lost."""

    lost: str | None = None

    async def add(self, key: str, value: bytes, options: CacheEntryOptions) -> int | None:
        return self._answer("add", await super().add(key, value, options))

    async def replace(
        self, key: str, value: bytes, options: CacheEntryOptions, *, version: int | None = None
    ) -> int | None:
        return self._answer("replace", await super().replace(key, value, options, version=version))

    async def remove(self, key: str) -> bool:
        return bool(self._answer("remove", await super().remove(key)))

    def _answer(self, call: str, answer: int | None) -> int | None:
        if self.lost == call:
            raise CacheError("the answer was lost")
        return answer


@dataclass
class World:
    """What all stories of one test share."""

    runner: asyncio.Runner
    cache: LosingCache
    clock: FakeClock | None

    def run(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        return self.runner.run(coroutine)


# -- the model ---------------------------------------------------------------------------------------------------------


@dataclass
class Stored:
    """A session in the model's store."""

    id: str
    values: dict[str, Any]
    owner: str | None
    expires: float
    revision: int = 0


@dataclass
class Request:
    """What the model knows of an open request."""

    real: Visit
    jar: int
    key: bytes | None
    cookie_key: bytes | None
    id: str | None = None
    revision: int = -1
    base: dict[str, Any] = field(default_factory=dict)
    values: dict[str, Any] = field(default_factory=dict)
    base_owner: str | None = None
    owner: str | None = None
    is_ended: bool = False
    was_destroyed: bool = False
    was_cleared: bool = False
    must_delete_cookie: bool = False

    @property
    def is_changed(self) -> bool:
        return self.was_cleared or self.values != self.base or self.owner != self.base_owner

    def forget(self) -> None:
        self.id = self.owner = self.base_owner = None
        self.base, self.values = {}, {}
        self.is_ended = self.was_cleared = False

    def end(self) -> None:
        self.id, self.is_ended = None, True

    def before_write(self) -> None:
        if self.was_destroyed:
            self.is_ended = self.was_destroyed = False


def merged(base: dict[str, Any], ours: dict[str, Any], theirs: dict[str, Any]) -> dict[str, Any]:
    outcome = deepcopy(theirs)
    for key in base.keys() | ours.keys():
        if ours.get(key, NEVER) == base.get(key, NEVER):
            continue
        if key in ours:
            outcome[key] = deepcopy(ours[key])
        else:
            outcome.pop(key, None)
    return outcome


class Machine(RuleBasedStateMachine):
    requests: Bundle[Request] = Bundle("requests")

    def __init__(self, world: World) -> None:
        super().__init__()
        self.world = world
        world.cache.fail, world.cache.lost = set(), None
        # Two processes; and owners of this story alone, for the store outlives it.
        self.processes = [make_world_sessions(world) for _ in range(2)]
        self.owners = [f"{owner}-{uuid4().hex}" for owner in OWNERS]
        self.jars: list[dict[str, str]] = [{}, {}, {}]
        self.jar_keys: list[bytes | None] = [None, None, None]
        self.slots: dict[bytes, Stored] = {}
        self.marks: dict[bytes, tuple[float, str | None]] = {}
        self.known: set[bytes] = set()

    # -- helpers -------------------------------------------------------------------------------------------------------

    @property
    def now(self) -> float:
        return self.world.clock() if self.world.clock else 0.0

    def found(self, key: bytes | None) -> Stored | None:
        if key is None:
            return None
        self.known.add(key)
        if key in self.slots and self.now >= self.slots[key].expires:
            del self.slots[key]
        if key in self.marks and self.now >= self.marks[key][0]:
            del self.marks[key]
        return self.slots.get(key)

    def has_mark(self, key: bytes | None) -> bool:
        self.found(key)
        return key in self.marks

    def put(self, request: Request, stored: Stored) -> None:
        assert request.key is not None
        self.known.add(request.key)
        self.slots[request.key] = stored

    def perform(self, coroutine: Coroutine[Any, Any, Any], fault: tuple[str, str] | None = None) -> bool:
        """Run an operation with a fault; tell whether it failed."""
        cache = self.world.cache
        if fault:
            kind, call = fault
            cache.fail, cache.lost = ({call}, None) if kind == "fail" else (set(), call)
        try:
            self.world.run(coroutine)
        except CacheError:
            assert fault, "an error without a fault"
            return True
        finally:
            cache.fail, cache.lost = set(), None
        return False

    def compare(self, request: Request) -> None:
        session = request.real.session
        assert dict(session) == request.values
        assert (session.is_ended, session.owner) == (request.is_ended, request.owner)

    def take(self, request: Request, stored: Stored) -> None:
        request.id, request.revision = stored.id, stored.revision
        request.base, request.values = deepcopy(stored.values), deepcopy(stored.values)
        request.base_owner = request.owner = stored.owner
        request.was_cleared = False

    def resolve(self, request: Request, found: Stored) -> None:
        """Merge into a request what others have stored."""
        request.values = merged(request.base, request.values, found.values)
        if request.owner == request.base_owner:
            request.owner = found.owner
        request.base, request.base_owner = deepcopy(found.values), found.owner
        request.id, request.revision = found.id, found.revision

    def store(self, request: Request, fault: tuple[str, str] | None, change: Callable[[], None] | None = None) -> bool:
        """What a commit does; tell whether it fails."""
        if request.was_cleared and not request.values and request.owner is None and change is None:
            return self.remove_cleared(request, fault)
        found = self.found(request.key)
        call = "add" if request.id is None else "replace"
        is_fresh = request.id is None and found is None and not self.has_mark(request.key)
        is_undisturbed = (
            request.id is not None
            and found is not None
            and (found.id, found.revision) == (request.id, request.revision)
        )
        if fault == ("fail", call):
            return True
        if fault == ("lose", call):
            if is_fresh or is_undisturbed:
                self.write(request, found)
            return True
        if self.has_mark(request.key) or (request.id is not None and (found is None or found.id != request.id)):
            request.end()
            return False
        if not is_fresh and not is_undisturbed:
            assert found is not None
            if fault is not None and fault[1] == "replace" and request.id is None:
                self.resolve(request, found)
                if fault[0] == "lose":
                    self.write(request, found)
                return True
            self.resolve(request, found)
        if change:
            change()
        self.take(request, self.write(request, found))
        return False

    def write(self, request: Request, found: Stored | None) -> Stored:
        key = request.real.session._key
        assert key is not None
        request.key = key
        stored = Stored(
            found.id if found else request.real.session._id,
            deepcopy(request.values),
            request.owner,
            self.now + IDLE,
            found.revision + 1 if found else 0,
        )
        self.put(request, stored)
        return stored

    def remove_cleared(self, request: Request, fault: tuple[str, str] | None) -> bool:
        if fault == ("fail", "remove"):
            return True
        assert request.key is not None
        self.slots.pop(request.key, None)
        self.marks.pop(request.key, None)
        if fault == ("lose", "remove"):
            return True
        request.forget()
        return False

    # -- what can happen -----------------------------------------------------------------------------------------------

    jar_numbers = st.integers(0, 2)
    names = st.sampled_from(["a", "b", "n"])
    things = st.integers(0, 3) | st.lists(st.integers(0, 1), max_size=2) | st.booleans().map(str)
    faults = st.one_of(
        st.none(),
        st.none(),
        st.none(),
        st.tuples(st.sampled_from(["fail", "lose"]), st.sampled_from(["add", "replace", "remove"])),
    )

    @initialize(target=requests)
    def establish(self) -> Request:
        """All clients know one session, which has an owner; a request of it is under way."""
        request = self.begin(0, 0, cache_is_down=True)
        self.regenerate(request, 0, None)
        self.change(request, "a", 1)
        self.change(request, "b", [1])
        self.finish(request, None)
        self.share_cookies(0, 1)
        self.share_cookies(0, 2)
        return self.begin(1, 1, cache_is_down=False)

    @rule(
        target=requests, jar=jar_numbers, process=st.integers(0, 1), cache_is_down=st.sampled_from([False] * 9 + [True])
    )
    def begin(self, jar: int, process: int, cache_is_down: bool) -> Any:
        if cache_is_down and self.jar_keys[jar] is not None:
            self.find_the_cache_down(jar)
            return multiple()
        visit = Visit(self.processes[process], self.jars[jar])
        key = self.jar_keys[jar]
        assert visit.session._key == key
        self.world.run(visit.load())
        request = Request(visit, jar, key, key)
        found = self.found(key)
        if found is not None:
            found.expires = self.now + IDLE
            self.take(request, found)
        request.is_ended = self.has_mark(key)
        session = visit.session
        assert (session.is_new, session.is_expired) == (found is None, key is not None and found is None)
        if found is not None:
            assert session.id == found.id
        self.compare(request)
        return request

    def find_the_cache_down(self, jar: int) -> None:
        self.world.cache.fail = {"get"}
        visit = Visit(self.processes[0], self.jars[jar])
        self.world.run(visit.load())
        self.world.cache.fail = set()
        assert (dict(visit.session), visit.session.is_available) == ({}, False)
        self.world.run(visit.finish())

    @rule(source=jar_numbers, target_jar=jar_numbers)
    def share_cookies(self, source: int, target_jar: int) -> None:
        cookies = dict(self.jars[source])
        self.jars[target_jar].clear()
        self.jars[target_jar].update(cookies)
        self.jar_keys[target_jar] = self.jar_keys[source]

    @rule(request=requests, name=names, thing=things | st.just(NEVER))
    def change(self, request: Request, name: str, thing: Any) -> None:
        """Assign, delete, or change in place."""
        values, session = request.values, request.real.session
        if isinstance(values.get(name), list) and isinstance(thing, list):
            values[name].append(7)
            session[name].append(7)
        elif thing is not NEVER:
            request.before_write()
            values[name] = deepcopy(thing)
            session[name] = deepcopy(thing)
        elif name in values:
            request.before_write()
            del values[name]
            del session[name]
        self.compare(request)

    @rule(
        request=requests, kind=st.sampled_from(["clear", "destroy", "move", "revoke", "sign in", "time"]), fault=faults
    )
    def end(self, request: Request, kind: str, fault: tuple[str, str] | None) -> None:
        """One rule for all ends, or most stories would end before anything has met."""
        if kind == "clear":
            self.clear(request)
        elif kind == "destroy":
            self.destroy(request, fault)
        elif kind == "time":
            self.let_time_pass(1201)
        elif kind == "move":
            self.regenerate(request, KEEP, fault)
        elif kind == "sign in":
            self.regenerate(request, 1, fault)
        else:
            self.revoke_this(request, 0)
            self.revoke_all(1)

    def clear(self, request: Request) -> None:
        if request.id is not None or request.values or request.owner is not None:
            request.before_write()
            request.values, request.owner = {}, None
            request.was_cleared = request.id is not None
        request.real.session.clear()
        self.compare(request)

    @rule(request=requests, name=names)
    def modify(self, request: Request, name: str) -> None:
        def change() -> None:
            current = request.values.get(name)
            request.values[name] = current + 1 if type(current) is int else 1

        request.before_write()
        # The model asks what is there before the real one changes it, but learns keys and ids from the real one.
        real = self.world.run(request.real.session.modify(name, lambda value: value + 1 if type(value) is int else 1))
        if not request.is_ended:
            self.store(request, None, change)
        if request.is_ended:
            change()
        assert real == request.values[name]
        self.compare(request)

    @rule(request=requests, fault=faults)
    def commit(self, request: Request, fault: tuple[str, str] | None) -> None:
        self.commit_both(request, request.real.session.commit(), fault)
        self.compare(request)

    @rule(request=consumes(requests), fault=faults)
    def finish(self, request: Request, fault: tuple[str, str] | None) -> None:
        if self.commit_both(request, request.real.finish(), fault):
            return  # A 503, without a cookie.
        if request.id is not None:
            # The cookie is sent when it is new to the browser, and only then.
            if request.key != request.cookie_key:
                self.jar_keys[request.jar] = request.key
        elif request.must_delete_cookie:
            self.jar_keys[request.jar] = None
        self.compare(request)

    def commit_both(self, request: Request, real: Coroutine[Any, Any, Any], fault: tuple[str, str] | None) -> bool:
        has_to_be_stored = request.is_changed and not request.is_ended
        has_failed = self.perform(real, fault)
        fails = has_to_be_stored and self.store(request, fault)
        assert has_failed == fails
        return has_failed

    @rule(request=requests)
    def reload(self, request: Request) -> None:
        self.world.run(request.real.session.reload())
        self.reload_model(request)
        self.compare(request)

    def reload_model(self, request: Request) -> None:
        if request.key is None or request.is_ended or (request.id is None and request.key != request.cookie_key):
            request.values, request.owner = {}, None
            return
        found = self.found(request.key)
        if found is not None and request.id in (None, found.id):
            self.take(request, found)
            return
        request.values, request.owner = {}, None
        if request.id is not None or self.has_mark(request.key):
            request.end()

    @rule(request=requests)
    def refresh(self, request: Request) -> None:
        self.world.run(request.real.session.refresh())
        if request.id is None or request.is_ended:
            return
        found = self.found(request.key)
        if found is not None:
            found.expires = self.now + IDLE
        elif not self.has_mark(request.key):
            request.end()
        self.compare(request)

    def destroy(self, request: Request, fault: tuple[str, str] | None) -> None:
        fails = request.key is not None and fault is not None and fault[1] == "remove"
        assert self.perform(request.real.session.destroy(), fault) == fails
        if request.key is not None and fault != ("fail", "remove"):
            self.slots.pop(request.key, None)
            self.marks.pop(request.key, None)
        if fails:
            return
        request.forget()
        request.key = None
        request.is_ended = request.was_destroyed = True
        request.must_delete_cookie = request.cookie_key is not None
        self.compare(request)

    def regenerate(self, request: Request, owner: Any, fault: tuple[str, str] | None) -> None:
        new_owner = self.owners[owner] if isinstance(owner, int) else owner
        session = request.real.session
        has_failed = self.perform(session.regenerate() if owner is KEEP else session.regenerate(owner=new_owner), fault)
        request.before_write()
        if request.is_ended:
            request.forget()
        if request.id is None:
            assert not has_failed
            request.owner = request.owner if owner is KEEP else new_owner
            request.key = session._key
        else:
            assert has_failed == self.move(request, owner, new_owner, fault)
        self.compare(request)

    def move(self, request: Request, owner: Any, new_owner: str | None, fault: tuple[str, str] | None) -> bool:
        old = request.key
        assert old is not None
        found = self.found(old)
        is_undisturbed = found is not None and (found.id, found.revision) == (request.id, request.revision)
        if fault == ("fail", "replace"):
            return True
        if fault == ("lose", "replace"):
            if is_undisturbed:
                self.mark(old)
            return True
        if found is None or found.id != request.id:
            request.end()
            return False
        self.resolve(request, found)
        self.mark(old)
        request.id, request.base, request.base_owner = None, {}, None
        request.owner = request.owner if owner is KEEP else new_owner
        request.key = request.real.session._key
        if fault == ("fail", "add"):
            return True
        stored = self.write(request, None)
        if fault == ("lose", "add"):
            return True
        if fault != ("fail", "remove"):
            del self.marks[old]
        if fault is not None and fault[1] == "remove":
            return True
        self.take(request, stored)
        return False

    def mark(self, key: bytes) -> None:
        self.marks[key] = (self.now + MARK, self.slots.pop(key).owner)

    def revoke_all(self, number: int) -> None:
        owner = self.owners[number]
        keys = [key for key in [*self.slots] if self.found(key) and self.slots[key].owner == owner]
        assert self.world.run(self.processes[1].revoke_all(owner)) == len(keys)
        for key in keys:
            del self.slots[key]
        self.marks = {key: mark for key, mark in self.marks.items() if mark[1] != owner}

    def revoke_this(self, request: Request, number: int) -> None:
        owner, session_id = self.owners[number], request.id or "unknown"
        keys = [key for key in [*self.slots] if self.found(key) and self.slots[key].id == session_id]
        keys = [key for key in keys if self.slots[key].owner == owner]
        assert self.world.run(self.processes[0].revoke(owner, session_id)) == bool(keys)
        for key in keys:
            del self.slots[key]

    @rule(seconds=st.sampled_from([1, 29, 31, 600, 1199]))
    def let_time_pass(self, seconds: int) -> None:
        if self.world.clock:
            self.world.clock.advance(timedelta(seconds=seconds))

    # -- what must hold ------------------------------------------------------------------------------------------------

    @invariant()
    def the_store_is_as_the_model_says(self) -> None:
        store = self.processes[0].store
        for key in self.known:
            expected = self.found(key)
            stored = self.world.run(store.load(store.cache_key(key), refresh=False))
            if expected is None:
                assert stored is None or stored.has_moved
                assert (stored is not None) == self.has_mark(key)
                continue
            record = stored.record
            assert record is not None
            assert (record.id, record.values, record.owner) == (expected.id, expected.values, expected.owner)

    def teardown(self) -> None:
        for owner in self.owners:
            live = {stored.id for key in [*self.slots] if (stored := self.found(key)) and stored.owner == owner}
            assert {info.id for info in self.world.run(self.listed(owner))} == live

    async def listed(self, owner: str) -> list[Any]:
        return [info async for info in self.processes[1].of(owner)]


def make_world_sessions(world: World) -> Any:
    if world.clock is not None:
        return make_sessions(world.cache, world.clock)
    settings_ = session_settings(
        cache=world.cache, cookie_secret="a secret of the model, for tests", session=SessionOptions(), clock=time
    )
    return settings_[SETTING]


@pytest.fixture(autouse=True)
def _quiet(caplog: pytest.LogCaptureFixture) -> None:
    """Thousands of stories would fill the memory with their lines."""
    caplog.set_level(logging.CRITICAL, logger="tornado_session")


# -- the caches --------------------------------------------------------------------------------------------------------


@asynccontextmanager
async def in_memory(_: str) -> AsyncIterator[DistributedCache]:
    yield MemoryCache()


@asynccontextmanager
async def in_mongodb(url: str) -> AsyncIterator[DistributedCache]:
    from pymongo import AsyncMongoClient

    from tornado_session.caching.mongodb import MongoCache

    async with AsyncMongoClient(url) as client:
        collection = client.get_database("tornado_session_tests").get_collection(uuid4().hex)
        yield MongoCache(collection)
        await collection.drop()


@asynccontextmanager
async def in_redis(url: str) -> AsyncIterator[DistributedCache]:
    from redis.asyncio import Redis

    from tornado_session.caching.redis import RedisCache

    client = Redis.from_url(url)
    prefix = f"{uuid4().hex}:"
    yield RedisCache(client, prefix)
    async for name in client.scan_iter(match=f"{prefix}*", count=1000):
        await client.delete(name)
    await client.aclose()


@asynccontextmanager
async def in_sql(url: str) -> AsyncIterator[DistributedCache]:
    from sqlalchemy.ext.asyncio import create_async_engine

    from tornado_session.caching.sql import SQLCache

    engine = create_async_engine(url)
    cache = SQLCache(engine, f"sessions_{uuid4().hex[:12]}")
    yield cache
    await engine.dispose()


@pytest.fixture
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """Where the server of a kind is; starts it where none is given."""
    if request.param == "mongodb":
        from tornado_session.testing.servers.mongodb import MongoServer

        with service_url("MONGODB_URI", MongoServer) as found:
            yield found
    elif request.param == "redis":
        from tornado_session.testing.servers.redis import RedisServer

        with service_url("REDIS_URL", RedisServer) as found:
            yield found
    else:
        yield f"sqlite+aiosqlite:///{tmp_path / 'sessions.db'}"


def tell_stories(make: Callable[[str], AbstractAsyncContextManager[DistributedCache]], url: str) -> None:
    with asyncio.Runner() as runner:
        context = make(url)
        cache = runner.run(context.__aenter__())
        try:
            world = World(runner, LosingCache(cache), None)
            run_state_machine_as_test(lambda: Machine(world), settings=SETTINGS)
        finally:
            runner.run(context.__aexit__(None, None, None))


def test_every_story_in_memory_goes_as_the_model_says_through_time_and_faults() -> None:
    with asyncio.Runner() as runner:

        def machine() -> Machine:
            clock = FakeClock()
            return Machine(World(runner, LosingCache(MemoryCache(clock=clock)), clock))

        run_state_machine_as_test(machine, settings=SETTINGS)


@pytest.mark.parametrize(("make", "url"), [(in_mongodb, "mongodb")], indirect=["url"])
def test_every_story_in_mongodb_goes_as_the_model_says(make: Any, url: str) -> None:
    tell_stories(make, url)


@pytest.mark.parametrize(("make", "url"), [(in_redis, "redis")], indirect=["url"])
def test_every_story_in_redis_goes_as_the_model_says(make: Any, url: str) -> None:
    tell_stories(make, url)


@pytest.mark.parametrize(("make", "url"), [(in_sql, "sqlite")], indirect=["url"])
def test_every_story_in_sqlite_goes_as_the_model_says(make: Any, url: str) -> None:
    require(lambda: __import__("aiosqlite"))
    tell_stories(make, url)
