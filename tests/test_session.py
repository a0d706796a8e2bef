"""A session as a mapping, what it tells about itself, when it ends, and how often it asks the cache."""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID
from weakref import ref

import pytest

from tests.conftest import SECRET
from tests.visits import MINUTE, Browser, make_sessions
from tornado_session import (
    CacheError,
    ConfigurationError,
    MemoryCache,
    ResponseStartedError,
    SerializationError,
    Session,
    SessionConflictError,
    SessionError,
    SessionNotLoadedError,
    SessionOptions,
    SessionTooLargeError,
    SessionUnavailableError,
    serializer,
    session_settings,
)
from tornado_session.caching.contract import CacheEntryOptions
from tornado_session.testing import FakeClock, FaultyCache


class Place:
    """A counted cache, a clock and a browser."""

    def __init__(self, **options: Any) -> None:
        self.clock = FakeClock()
        self.memory = MemoryCache(clock=self.clock)
        self.cache = FaultyCache(self.memory)
        self.sessions = make_sessions(self.cache, self.clock, **options)
        self.browser = Browser(self.sessions)

    @property
    def calls(self) -> list[str]:
        calls, self.cache.calls = self.cache.calls, []
        return calls

    async def new_session(self) -> Session:
        return (await Browser(self.sessions).begin()).session

    async def payloads(self) -> dict[str, bytes]:
        found = [
            (key, await self.memory.get(key, refresh=False)) for shard in self.memory._table._shards for key in shard
        ]
        return {key: entry.value for key, entry in found if entry is not None}


# -- a mapping ---------------------------------------------------------------------------------------------------------

VALUES: dict[str, Any] = {
    "none": None,
    "bool": True,
    "int": 2**70,
    "float": 1.5,
    "str": "2030-01-01",
    "bytes": b"\x00",
    "datetime": datetime(2030, 1, 1, tzinfo=UTC),
    "date": date(2030, 1, 1),
    "uuid": UUID(int=7),
    "decimal": Decimal("1.10"),
    "list": [1, [2]],
    "tuple": (1, (2,)),
    "set": {1, 2},
    "frozenset": frozenset({1}),
    "dict": {"a": {"b": []}},
}


async def test_every_kind_of_value_comes_back_equal_and_of_the_same_type() -> None:
    place = Place()
    await place.browser.write(**VALUES)

    found = await place.browser.read()

    assert found == VALUES
    assert {key: type(value) for key, value in found.items()} == {key: type(value) for key, value in VALUES.items()}


async def test_it_is_a_mutable_mapping_with_case_sensitive_keys() -> None:
    session = await Place().new_session()
    session["Name"] = 1
    session["name"] = 2
    session.setdefault("other", []).append(3)

    assert list(session) == ["Name", "name", "other"]
    assert (len(session), "NAME" in session, 7 in session) == (3, False, False)
    assert session.pop("Name") == 1
    assert session.get("Name") is None
    assert session.get("Name", "default") == "default"
    assert dict(session.items()) == {"name": 2, "other": [3]}
    with pytest.raises(KeyError):
        session["Name"]
    with pytest.raises(KeyError):
        del session["Name"]


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (object(), r"session\['key'\] is of type object"),
        ({"a": [1, {"b": object()}]}, r"session\['key'\]\['a'\]\[1\]\['b'\] is of type object"),
        (datetime(2030, 1, 1), "without a time zone"),  # noqa: DTZ001
        ({1: 2}, "a dict with a key of type int"),
        ("\ud800", "lone surrogates"),
    ],
)
async def test_what_cannot_be_kept_is_refused_at_assignment_and_named(value: Any, message: str) -> None:
    session = await Place().new_session()

    with pytest.raises(SerializationError, match=message):
        session["key"] = value

    assert "key" not in session


@pytest.mark.parametrize("key", [1, None, b"bytes", ("a",)])
async def test_a_key_that_is_not_text_is_refused(key: Any) -> None:
    session = await Place().new_session()

    with pytest.raises(SerializationError, match="the keys of a session are text") as caught:
        session[key] = 1

    assert caught.value.type_name == type(key).__name__


@pytest.mark.parametrize("key", ["\ud800", "a\udfff"])
async def test_a_key_that_cannot_be_stored_is_refused_at_assignment(key: str) -> None:
    session = await Place().new_session()

    with pytest.raises(SerializationError, match="a key of the session is text with lone surrogates"):
        session[key] = 1

    assert len(session) == 0


READINGS: dict[str, Callable[[Session], Any]] = {
    "[]": lambda session: session["a"],
    "get": lambda session: session.get("a"),
    "in": lambda session: "a" in session,
    "len": len,
    "iter": iter,
    "id": lambda session: session.id,
    "owner": lambda session: session.owner,
    "label": lambda session: session.label,
    "created": lambda session: session.created,
    "expires": lambda session: session.expires,
}
WRITES: dict[str, Callable[[Session], Any]] = {
    "[]=": lambda session: session.update(a=1),
    "del": lambda session: session.__delitem__("a"),
    "clear": lambda session: session.clear(),
    "label": lambda session: setattr(session, "label", "Firefox"),
}
AWAITED: dict[str, Callable[[Session], Any]] = {
    "commit": lambda session: session.commit(),
    "refresh": lambda session: session.refresh(),
    "regenerate": lambda session: session.regenerate(),
    "modify": lambda session: session.modify("a", lambda value: value),
}


@pytest.mark.parametrize("use", READINGS | WRITES | AWAITED)
async def test_a_session_that_was_not_loaded_can_neither_be_read_nor_written(use: str) -> None:
    place = Place()
    await place.browser.write(a=1)
    place.cache.calls.clear()
    session = place.browser.visit().session

    with pytest.raises(SessionNotLoadedError, match="Session not loaded"):
        await _done((READINGS | WRITES | AWAITED)[use](session))

    assert place.calls == []


@pytest.mark.parametrize("use", [*WRITES, "regenerate", "modify"])
async def test_a_session_whose_response_was_finished_is_readable_and_cannot_be_changed(use: str) -> None:
    place = Place()
    await place.browser.write(a=1)
    visit = await place.browser.begin()
    await visit.finish()

    with pytest.raises(ResponseStartedError, match="cannot be changed after the response was finished"):
        await _done((WRITES | AWAITED)[use](visit.session))

    with pytest.raises(KeyError):
        del visit.session["missing"]
    assert (dict(visit.session), visit.session.is_modified) == ({"a": 1}, False)
    assert await place.browser.read() == {"a": 1}


async def _done(result: Any) -> None:
    if isinstance(result, Coroutine):
        await result


async def test_the_typed_accessors_follow_those_of_isession() -> None:
    session = await Place().new_session()
    session.set_string("text", "a")
    session.set_int32("number", -(2**31))
    session.set_int32("most", 2**31 - 1)
    session.set_bytes("bytes", b"a")
    session["flag"] = True
    session["large"] = 2**31

    assert (session.get_string("text"), session.get_int32("number"), session.get_bytes("bytes")) == (
        "a",
        -(2**31),
        b"a",
    )
    assert session.get_int32("most") == 2**31 - 1
    assert (session.get_string("no"), session.get_int32("no"), session.get_bytes("no")) == (None, None, None)
    for getter, key in ((session.get_string, "number"), (session.get_int32, "flag"), (session.get_bytes, "text")):
        with pytest.raises(TypeError, match=f"session\\['{key}'\\] is "):
            getter(key)  # type: ignore[operator]
    with pytest.raises(TypeError, match="does not fit 32 bits"):
        session.get_int32("large")
    for wrong in (2**31, -(2**31) - 1):
        with pytest.raises(ValueError, match="does not fit 32 bits"):
            session.set_int32("number", wrong)
    setters: list[tuple[Callable[..., None], Any]] = [
        (session.set_int32, True),
        (session.set_int32, "1"),
        (session.set_string, 1),
        (session.set_bytes, "a"),
        (session.set_bytes, bytearray(b"a")),
    ]
    for setter, value in setters:
        with pytest.raises(TypeError, match="is to be"):
            setter("key", value)
    assert "key" not in session


# -- changes -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "change",
    [
        lambda session: session["list"][1].append(3),
        lambda session: session["dict"]["a"].update(c=1),
        lambda session: session.get("set").add(3),
        lambda session: [value.clear() for value in session.values() if isinstance(value, dict)],
        lambda session: session.update(int=float(session["int"])),
        lambda session: session.update(bool=1),
        lambda session: session.update(tuple=list(session["tuple"])),
        lambda session: session.pop("none"),
    ],
)
async def test_a_change_however_deep_or_small_is_noticed_and_stored(change: Callable[[Session], None]) -> None:
    place = Place()
    await place.browser.write(**VALUES)
    place.cache.calls.clear()
    visit = await place.browser.begin()
    change(visit.session)

    assert visit.session.is_modified
    await visit.finish()

    assert place.calls == ["get", "replace"]
    expected = dict(visit.session)  # Not before: what is read counts among what may have changed.
    found = await place.browser.read()
    assert found == expected
    assert {key: type(value) for key, value in found.items()} == {key: type(value) for key, value in expected.items()}


@pytest.mark.parametrize(
    "use",
    [
        lambda session: dict(session) and None,
        lambda session: session.update(VALUES),
        lambda session: session["list"].sort(key=str),
        lambda session: session.update(dict=dict(reversed(session["dict"].items()))),
        lambda session: (session.pop("int"), session.update(int=2**70)),
        lambda session: (session.id, session.owner, session.label, session.expires, session.created, repr(session)),
    ],
)
async def test_what_changes_nothing_is_not_stored(use: Callable[[Session], None]) -> None:
    place = Place()
    await place.browser.write(**VALUES)
    place.cache.calls.clear()
    visit = await place.browser.begin()
    use(visit.session)

    assert not visit.session.is_modified
    await visit.finish()

    assert place.calls == ["get"]


async def test_a_misspelt_attribute_is_an_error_and_a_weak_reference_is_none() -> None:
    session = await Place().new_session()

    with pytest.raises(AttributeError):
        session.lable = "a browser"  # type: ignore[attr-defined]

    assert ref(session)() is session


async def test_what_cannot_be_kept_is_refused_and_named_also_when_it_was_put_in_place_into_what_can() -> None:
    place = Place()
    await place.browser.write(list=[1], count=1)
    visit = await place.browser.begin()
    visit.session["list"].append(object())

    with pytest.raises(SerializationError, match=r"^session\['list'\]\[1\] is of type object"):
        await visit.session.commit()
    with pytest.raises(SerializationError, match=r"^session\['list'\]\[1\] is of type object"):
        await visit.session.modify("count", lambda count: count + 1)

    assert await place.browser.read() == {"list": [1], "count": 1}


async def test_the_result_of_modify_is_watched_for_changes_in_place() -> None:
    place = Place()
    await place.browser.write(cart=[1])
    visit = await place.browser.begin()
    cart = await visit.session.modify("cart", lambda cart: [*cart, 2])
    cart.append(3)
    await visit.finish()

    assert await place.browser.read() == {"cart": [1, 2, 3]}


# -- trips -------------------------------------------------------------------------------------------------------------


async def test_no_cookie_and_nothing_written_is_no_trip_no_cookie_and_no_record() -> None:
    place = Place()
    visit = await place.browser.begin()
    assert (visit.session.get("a"), len(visit.session), visit.session.is_new) == (None, 0, True)
    assert len(visit.session.id) == 22
    await visit.finish()

    assert (place.calls, place.browser.cookies, await place.payloads()) == ([], {}, {})


async def test_a_first_write_is_one_trip_a_reading_one_and_a_later_write_two() -> None:
    place = Place()
    await place.browser.write(a=1)
    first = place.calls
    await place.browser.read()
    reading = place.calls
    await place.browser.write(a=2)

    assert (first, reading, place.calls) == (["add"], ["get"], ["get", "replace"])


async def test_owner_label_created_last_seen_and_expires_cost_no_further_trip() -> None:
    place = Place()
    visit = await place.browser.begin()
    await visit.session.regenerate(owner="user-42")
    visit.session.label = "Firefox"
    await visit.finish()
    assert place.calls == ["add"]

    visit = await place.browser.begin()
    known = (visit.session.owner, visit.session.label, visit.session.created, visit.session.expires)
    await visit.finish()

    assert place.calls == ["get"]
    assert known == ("user-42", "Firefox", place.clock.now(), place.clock.now() + 20 * MINUTE)


async def test_the_cache_sees_neither_the_key_nor_anything_to_compute_it_from() -> None:
    place = Place()
    visit = await place.browser.write(a=1)
    key = visit.session._key
    assert key is not None

    ((name, value),) = (await place.payloads()).items()

    assert len(name) == 64
    assert key.hex() not in name
    assert key not in value
    assert visit.session.id.encode() in value


async def test_a_second_commit_stores_only_what_changed_since() -> None:
    place = Place()
    visit = await place.browser.begin()
    visit.session["a"] = 1
    await visit.session.commit()
    await visit.session.commit()
    await visit.finish()

    assert place.calls == ["add"]


# -- what it tells -----------------------------------------------------------------------------------------------------


async def test_the_flags_through_the_life_of_a_session() -> None:
    place = Place()
    visit = place.browser.visit()
    session = visit.session
    assert (session.is_loaded, session.is_available) == (False, False)
    await visit.load()
    assert (session.is_loaded, session.is_available, session.is_new, session.is_expired) == (True, True, True, False)
    assert (session.is_modified, session.is_ended, session.blocked_reason) == (False, False, None)
    session["a"] = 1
    assert session.is_modified
    await visit.finish()
    assert not session.is_modified

    session = (await place.browser.begin()).session
    assert (session.is_new, session.is_expired, session.is_modified) == (False, False, False)

    place.clock.advance(20 * MINUTE)
    session = (await place.browser.begin()).session
    assert (session.is_new, session.is_expired, session.is_ended, len(session)) == (True, True, False, 0)


async def test_repr_shows_the_public_id_and_no_value() -> None:
    place = Place()
    visit = place.browser.visit()
    assert repr(visit.session) == "<Session, not loaded>"
    await visit.load()
    visit.session["password"] = "hunter2"

    shown = f"<Session {visit.session.id!r} with 1 keys>"
    assert repr(visit.session) == shown
    place.cache.fail = {"get"}
    await visit.finish()
    unavailable = await place.browser.begin()
    assert repr(unavailable.session) == "<Session, unavailable>"
    assert unavailable.session.id == ""


async def test_the_id_is_the_same_in_every_request_and_another_after_an_expiry() -> None:
    place = Place()
    ids = {(await place.browser.write(a=number)).session.id for number in range(3)}
    place.clock.advance(20 * MINUTE)
    ids.add((await place.browser.write(a=1)).session.id)

    assert len(ids) == 2
    assert all(len(session_id) == 22 for session_id in ids)


async def test_the_id_of_a_new_session_is_the_one_that_it_is_stored_with() -> None:
    place = Place()
    visit = await place.browser.begin()
    before = visit.session.id
    visit.session["a"] = 1
    await visit.finish()

    assert (await place.browser.begin()).session.id == before == visit.session.id


async def test_an_expired_session_begins_anew_under_the_same_cookie_with_a_line_at_info(log_of: Any) -> None:
    place = Place()
    await place.browser.write(a=1)
    cookies = dict(place.browser.cookies)
    place.clock.advance(20 * MINUTE)

    await place.browser.write(b=2)

    assert place.browser.cookies == cookies
    assert await place.browser.read() == {"b": 2}
    assert log_of(logging.INFO) == ["The session of a genuine cookie has ended; a new one begins."]


# -- time --------------------------------------------------------------------------------------------------------------


async def test_every_request_that_brings_the_cookie_starts_the_idle_timeout_anew() -> None:
    place = Place()
    await place.browser.write(a=1)
    for _ in range(4):
        place.clock.advance(19 * MINUTE)
        visit = await place.browser.begin()  # The handler never touches the session.
        await visit.finish()
    place.clock.advance(timedelta(minutes=19, seconds=59, microseconds=999_999))
    assert await place.browser.read() == {"a": 1}

    place.clock.advance(20 * MINUTE)
    assert await place.browser.read() == {}


@pytest.mark.parametrize("lifetime", [None, 5 * MINUTE])
async def test_a_new_session_tells_when_it_began_and_would_end_if_it_were_stored_now(
    lifetime: timedelta | None,
) -> None:
    place = Place(lifetime=lifetime)
    visit = await place.browser.begin()
    for _ in range(2):
        place.clock.advance(MINUTE)
        known = (visit.session.created, visit.session.expires)
        assert known == (place.clock.now(), place.clock.now() + (lifetime or 20 * MINUTE))

    visit.session["a"] = 1
    await visit.session.commit()
    stored = place.clock.now()
    place.clock.advance(MINUTE)

    assert (visit.session.created, visit.session.expires) == (stored, stored + (lifetime or 20 * MINUTE))


async def test_a_clock_may_tell_whole_seconds() -> None:
    sessions = session_settings(cache=MemoryCache(), cookie_secret=SECRET, clock=lambda: 1893456000)["sessions"]
    browser = Browser(sessions)

    await browser.write(a=1)

    assert (await browser.begin()).session.created == datetime(2030, 1, 1, tzinfo=UTC)
    assert await browser.read() == {"a": 1}


async def test_a_lifetime_ends_a_session_however_active_and_counts_from_regenerate() -> None:
    place = Place(lifetime=timedelta(hours=1))
    await place.browser.write(a=1)
    for _ in range(5):
        place.clock.advance(11 * MINUTE)
        assert await place.browser.read() == {"a": 1}
    visit = await place.browser.begin()
    assert visit.session.expires == place.clock.now() + 5 * MINUTE
    await visit.session.regenerate()
    assert visit.session.created == place.clock.now()
    await visit.finish()
    for _ in range(5):
        place.clock.advance(11 * MINUTE)
        assert await place.browser.read() == {"a": 1}

    place.clock.advance(5 * MINUTE)
    visit = await place.browser.begin()
    assert (dict(visit.session), visit.session.is_expired) == ({}, True)


async def test_a_session_that_outlived_a_lifetime_chosen_later_is_replaced() -> None:
    place = Place()
    await place.browser.write(a=1)
    place.clock.advance(15 * MINUTE)
    stricter = Browser(make_sessions(place.cache, place.clock, lifetime=10 * MINUTE), place.browser.cookies)

    place.cache.calls.clear()

    visit = await stricter.write(b=2)

    assert visit.session.is_expired
    assert place.calls == ["get", "replace"]
    assert await stricter.read() == {"b": 2}


async def test_a_lifetime_chosen_later_counts_to_its_end_and_not_beyond() -> None:
    place = Place()
    await place.browser.write(a=1)
    stricter = Browser(make_sessions(place.cache, place.clock, lifetime=10 * MINUTE), place.browser.cookies)

    place.clock.advance(10 * MINUTE - timedelta(milliseconds=1))
    assert await stricter.read() == {"a": 1}

    place.clock.advance(timedelta(milliseconds=1))
    assert await stricter.read() == {}


async def test_a_write_that_meets_an_unreadable_record_leaves_it_and_is_answered_as_unavailable() -> None:
    place = Place()
    await place.browser.write(a=1)
    visit = await place.browser.begin()
    ((name, _),) = (await place.payloads()).items()
    await place.cache.set(name, b"of a later release", CacheEntryOptions())
    visit.session["b"] = 2

    with pytest.raises(SessionError, match="cannot be read") as raised:
        await visit.session.commit()

    assert raised.value.status_code == 503
    assert await place.payloads() == {name: b"of a later release"}


async def test_a_refresh_interval_ends_no_session_early_and_none_later_than_it_says() -> None:
    place = Place(refresh_interval=5 * MINUTE)
    await place.browser.write(a=1)
    place.clock.advance(4 * MINUTE)  # Nothing is written yet, and the end stays where it is.
    await place.browser.read()
    place.clock.advance(timedelta(minutes=20, seconds=59))
    assert await place.browser.read() == {"a": 1}

    place.clock.advance(25 * MINUTE)
    assert await place.browser.read() == {}


async def test_refresh_moves_the_idle_timeout_now_and_notices_an_end() -> None:
    place = Place()
    await place.browser.write(a=1)
    visit = await place.browser.begin()
    place.clock.advance(15 * MINUTE)
    await visit.session.refresh()
    assert visit.session.expires == place.clock.now() + 20 * MINUTE
    place.clock.advance(15 * MINUTE)
    assert (await place.browser.copy().begin()).session["a"] == 1
    place.clock.advance(20 * MINUTE)

    await visit.session.refresh()

    assert visit.session.is_ended


async def test_refresh_of_a_session_that_is_not_stored_is_no_trip() -> None:
    place = Place()
    visit = await place.browser.begin()

    await visit.session.refresh()

    assert place.calls == []


# -- clear, destroy, regenerate, reload --------------------------------------------------------------------------------


async def test_clear_removes_the_record_owner_and_label_at_commit_and_the_next_session_has_another_id() -> None:
    place = Place()
    visit = await place.browser.begin()
    await visit.session.regenerate(owner="user-42")
    visit.session.label = "Firefox"
    visit.session["a"] = 1
    await visit.finish()
    place.cache.calls.clear()

    cleared = await place.browser.begin()
    cleared.session.clear()
    assert (dict(cleared.session), cleared.session.owner, cleared.session.label) == ({}, None, None)
    assert len(await place.payloads()) == 1
    await cleared.finish()

    assert (place.calls, await place.payloads()) == (["get", "remove"], {})
    again = await place.browser.write(b=2)
    assert again.session.is_expired
    assert (again.session.id == visit.session.id, again.session.owner) == (False, None)


async def test_clear_of_nothing_is_nothing_and_clear_before_the_first_commit_stores_nothing() -> None:
    place = Place()
    visit = await place.browser.begin()
    visit.session.clear()
    visit.session["a"] = 1
    visit.session.clear()
    await visit.finish()

    assert (place.calls, place.browser.cookies) == ([], {})


async def test_clear_of_a_stored_session_that_was_emptied_removes_its_record() -> None:
    place = Place()
    await place.browser.write(a=1)
    visit = await place.browser.begin()
    del visit.session["a"]
    await visit.session.commit()
    assert len(await place.payloads()) == 1

    visit.session.clear()
    await visit.finish()

    assert await place.payloads() == {}


async def test_clear_of_nothing_is_no_write_when_it_is_too_late_for_one() -> None:
    place = Place()
    visit = await place.browser.begin()
    visit.host.headers_sent = True

    visit.session.clear()
    await visit.finish()
    visit.session.clear()

    assert (place.calls, visit.session.is_modified) == ([], False)


async def test_what_is_written_after_clear_is_all_that_is_stored() -> None:
    place = Place()
    await place.browser.write(a=1)
    visit = await place.browser.begin()
    visit.session.clear()
    visit.session["b"] = 2
    await visit.finish()

    assert place.calls == ["add", "get", "replace"]
    assert await place.browser.read() == {"b": 2}


@pytest.mark.parametrize("policy", ["merge", "last_write_wins"])
async def test_clear_and_write_do_not_bring_the_owner_back_when_another_request_wrote_meanwhile(policy: str) -> None:
    place = Place(on_conflict=policy)
    visit = await place.browser.begin()
    await visit.session.regenerate(owner="user-42")
    visit.session["user"] = "somebody"
    await visit.finish()
    slow = await place.browser.copy().begin()
    slow.session.clear()
    slow.session["notice"] = "signed out"
    await place.browser.write(seen=1)

    await slow.finish()

    visit = await place.browser.begin()
    assert (visit.session.owner, "user" in visit.session, visit.session["notice"]) == (None, False, "signed out")


async def test_destroy_removes_record_and_cookie_and_a_later_write_begins_under_a_fresh_key() -> None:
    place = Place()
    visit = await place.browser.write(a=1)
    stolen = place.browser.copy()
    leaving = await place.browser.begin()
    await leaving.session.destroy()
    assert leaving.session.is_ended
    assert (dict(leaving.session), await place.payloads()) == ({}, {})
    leaving.session["b"] = 2
    assert not leaving.session.is_ended
    await leaving.finish()

    assert await place.browser.read() == {"b": 2}
    assert await stolen.read() == {}
    assert leaving.session.id != visit.session.id


@pytest.mark.parametrize("end", ["destroy", "clear"])
async def test_what_begins_after_an_end_in_the_same_request_is_a_session_of_its_own(end: str) -> None:
    place = Place()
    ids = []
    for browser in (place.browser, Browser(place.sessions)):
        ids.append((await browser.write(a=1)).session.id)
        visit = await browser.begin()
        if end == "destroy":
            await visit.session.destroy()
        else:
            visit.session.clear()
            await visit.session.commit()
        assert (dict(visit.session), visit.session.is_new, visit.session.is_modified) == ({}, True, False)
        assert visit.session.expires == place.clock.now() + 20 * MINUTE

        visit.session["b"] = 2
        ids.append(visit.session.id)
        place.clock.advance(MINUTE)
        began = place.clock.now()
        await visit.finish()

        again = await browser.begin()
        assert (dict(again.session), again.session.id, again.session.created) == ({"b": 2}, ids[-1], began)

    assert len(set(ids)) == 4
    assert {len(session_id) for session_id in ids} == {22}


async def test_destroy_of_a_visitor_without_a_cookie_is_no_trip_and_no_cookie() -> None:
    place = Place()
    visit = await place.browser.begin()
    await visit.session.destroy()
    await visit.finish()

    assert (place.calls, list(visit.exchange.cookie_lines())) == ([], [])


async def test_destroy_ends_also_what_a_parallel_request_began_under_the_expired_cookie() -> None:
    place = Place()
    await place.browser.write(a=1)
    place.clock.advance(20 * MINUTE)
    leaving = await place.browser.copy().begin()
    await place.browser.write(b=2)

    await leaving.session.destroy()

    assert await place.payloads() == {}


async def test_destroy_without_loading_removes_the_session() -> None:
    place = Place()
    await place.browser.write(a=1)
    visit = place.browser.visit()

    await visit.session.destroy()

    assert await place.payloads() == {}


async def test_reload_drops_local_changes_and_takes_those_of_others() -> None:
    place = Place()
    await place.browser.write(a=1)
    visit = await place.browser.begin()
    visit.session["a"] = "local"
    visit.session.label = "local"
    await place.browser.copy().write(b=2)

    await visit.session.reload()

    assert (dict(visit.session), visit.session.label) == ({"a": 1, "b": 2}, None)
    assert not visit.session.is_modified


async def test_a_response_that_ends_during_a_reload_does_not_undo_what_others_wrote() -> None:
    place = Place()
    await place.browser.write(ours=1, theirs=1)
    visit = await place.browser.begin()
    await place.browser.copy().write(theirs=2)
    visit.session["ours"] = 2
    place.cache.delay = timedelta(milliseconds=1)

    await asyncio.gather(visit.session.reload(), visit.finish())

    assert (await place.browser.read())["theirs"] == 2


async def test_reload_does_not_move_the_idle_timeout() -> None:
    place = Place()
    await place.browser.write(a=1)
    visit = await place.browser.begin()
    place.clock.advance(15 * MINUTE)

    await visit.session.reload()

    assert visit.session.expires == place.clock.now() + 5 * MINUTE
    place.clock.advance(5 * MINUTE)
    assert await place.browser.read() == {}


async def test_reload_of_a_new_session_drops_all_of_it() -> None:
    place = Place()
    visit = await place.browser.begin()
    await visit.session.regenerate(owner="user-42")
    visit.session["a"] = 1
    visit.session.label = "local"

    await visit.session.reload()
    await visit.finish()

    assert (dict(visit.session), visit.session.owner, visit.session.label) == ({}, None, None)
    assert (place.calls, place.browser.cookies) == ([], {})


async def test_reload_finds_the_end_of_a_session_and_what_began_after_it_is_another() -> None:
    place = Place()
    await place.browser.write(a=1)
    visit = await place.browser.begin()
    other = await place.browser.copy().begin()
    other.session.clear()
    await other.finish()
    await place.browser.copy().write(b=2)

    await visit.session.reload()
    assert (visit.session.is_ended, dict(visit.session)) == (True, {})
    visit.session["c"] = 3
    await visit.finish()

    assert (visit.session.is_ended, await place.browser.read()) == (True, {"b": 2})


async def test_reload_that_fails_keeps_what_was_known() -> None:
    place = Place()
    await place.browser.write(a=1)
    visit = await place.browser.begin()
    place.cache.fail = {"get"}

    with pytest.raises(CacheError):
        await visit.session.reload()

    assert (visit.session.is_available, visit.session["a"]) == (True, 1)


async def test_load_again_is_no_trip() -> None:
    place = Place()
    await place.browser.write(a=1)
    visit = await place.browser.begin()
    place.cache.calls.clear()

    await visit.session.load()

    assert place.calls == []


async def test_load_on_demand_starts_the_idle_timeout_anew() -> None:
    place = Place()
    await place.browser.write(a=1)
    place.clock.advance(15 * MINUTE)
    visit = place.browser.visit()

    await visit.session.load()

    assert visit.session.expires == place.clock.now() + 20 * MINUTE
    place.clock.advance(15 * MINUTE)
    assert await place.browser.read() == {"a": 1}


async def test_an_ended_session_keeps_quiet_and_says_so_once_at_info(log_of: Any) -> None:
    place = Place()
    written = await place.browser.write(a=1)
    slow = await place.browser.copy().begin()
    leaving = await place.browser.begin()
    await leaving.session.destroy()
    await leaving.finish()
    slow.session["late"] = 1

    await slow.finish()

    assert slow.session.is_ended
    assert await place.payloads() == {}
    assert log_of(logging.INFO) == [
        f"Session {written.session.id} was ended by another request; what this one changed is not stored."
    ]


async def test_nothing_new_is_established_after_the_response_has_started_and_the_old_is_still_written() -> None:
    place = Place()
    new = await place.browser.begin()
    new.host.headers_sent = True
    with pytest.raises(ResponseStartedError, match="cannot be established after the response has started"):
        new.session["a"] = 1
    await place.browser.write(a=1)
    known = await place.browser.begin()
    known.host.headers_sent = True
    with pytest.raises(ResponseStartedError, match="cannot be regenerated after the response has started"):
        await known.session.regenerate()
    known.session["a"] = 2
    await known.finish()

    assert await place.browser.read() == {"a": 2}


# -- modify ------------------------------------------------------------------------------------------------------------


async def test_modify_stores_at_once_with_other_changes_and_returns_the_new_value() -> None:
    place = Place()
    visit = await place.browser.begin()
    visit.session["other"] = 1
    assert visit.session.is_modified

    assert await visit.session.modify("count", lambda count: count + 1, 0) == 1
    assert await visit.session.modify("count", lambda count: count + 1) == 2
    assert place.calls == ["add", "replace"]
    assert dict(visit.session) == {"other": 1, "count": 2}


async def test_modify_over_a_cache_that_never_waits_stores_at_once_and_is_applied_once() -> None:
    clock = FakeClock()
    browser = Browser(make_sessions(MemoryCache(clock=clock), clock))
    await browser.write(count=0)
    visit = await browser.begin()
    applied: list[int] = []

    def increment(count: int) -> int:
        applied.append(count)
        return count + 1

    assert await visit.session.modify("count", increment) == 1

    assert (applied, await browser.copy().read()) == ([0], {"count": 1})


async def test_an_exception_in_modify_stores_nothing_and_leaves_the_value() -> None:
    place = Place()
    await place.browser.write(cart=[1])
    visit = await place.browser.begin()

    def fail(cart: list[int]) -> list[int]:
        cart.append(2)
        raise RuntimeError("mistake")

    with pytest.raises(RuntimeError, match="mistake"):
        await visit.session.modify("cart", fail)
    with pytest.raises(SerializationError, match=r"session\['cart'\] is of type object"):
        await visit.session.modify("cart", lambda _: object())

    assert (visit.session["cart"], visit.session.is_modified) == ([1], False)


async def test_a_write_during_modify_is_not_lost() -> None:
    place = Place()
    await place.browser.write(count=0)
    visit = await place.browser.begin()
    replace = place.memory.replace

    async def slow_replace(*args: Any, **kwargs: Any) -> Any:
        visit.session["meanwhile"] = 1
        return await replace(*args, **kwargs)

    place.memory.replace = slow_replace  # type: ignore[method-assign]
    await visit.session.modify("count", lambda count: count + 1)
    place.memory.replace = replace  # type: ignore[method-assign]
    await visit.finish()

    assert await place.browser.read() == {"count": 1, "meanwhile": 1}


async def test_modify_of_an_ended_session_is_readable_and_not_stored() -> None:
    place = Place()
    await place.browser.write(count=1)
    slow = await place.browser.copy().begin()
    leaving = await place.browser.begin()
    await leaving.session.destroy()

    assert await slow.session.modify("count", lambda count: count + 1) == 2
    assert (slow.session["count"], slow.session.is_ended, await place.payloads()) == (2, True, {})
    with pytest.raises(SerializationError, match=r"session\['count'\] is of type object"):
        await slow.session.modify("count", lambda _: object())


@pytest.mark.parametrize("policy", ["merge", "last_write_wins", "fail"])
async def test_modify_that_is_overtaken_ten_times_says_so_and_loses_nothing_silently(
    policy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tornado_session.session_state._FIRST_PAUSE", 0)
    place = Place(on_conflict=policy)
    await place.browser.write(count=0)
    visit = await place.browser.begin()

    async def overtaken(*_: Any, **__: Any) -> None:
        return None

    monkeypatch.setattr(place.memory, "replace", overtaken)

    with pytest.raises(SessionConflictError, match="changed by others 10 times"):
        await visit.session.modify("count", lambda count: count + 1)


@pytest.mark.parametrize("policy", ["merge", "last_write_wins", "fail"])
async def test_a_commit_that_is_overtaken_ten_times_is_an_error_unless_the_last_write_wins(
    policy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tornado_session.session_state._FIRST_PAUSE", 0)
    place = Place(on_conflict=policy)
    await place.browser.write(a=1)
    visit = await place.browser.begin()
    visit.session["a"] = 2

    async def overtaken(*_: Any, **__: Any) -> None:
        return None

    monkeypatch.setattr(place.memory, "replace", overtaken)

    if policy == "last_write_wins":
        await visit.session.commit()
    else:
        with pytest.raises(SessionConflictError):
            await visit.session.commit()


async def test_a_move_that_is_overtaken_ten_times_under_last_write_wins_leaves_the_old_session_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("tornado_session.session_state._FIRST_PAUSE", 0)
    place = Place(on_conflict="last_write_wins")
    await place.browser.write(a=1)
    visit = await place.browser.begin()

    async def overtaken(*_: Any, **__: Any) -> None:
        return None

    with monkeypatch.context() as patch:
        patch.setattr(place.memory, "replace", overtaken)
        with pytest.raises(SessionConflictError):
            await visit.session.regenerate()

    assert await place.browser.read() == {"a": 1}
    assert len(await place.payloads()) == 1


# -- label, owner, size, encryption ------------------------------------------------------------------------------------


async def test_label_is_text_or_none() -> None:
    place = Place()
    visit = await place.browser.begin()
    visit.session.label = "Firefox"
    with pytest.raises(TypeError, match="a session's label is text or None, not int"):
        visit.session.label = 7  # type: ignore[assignment]
    with pytest.raises(SerializationError, match=r"session\.label is text with lone surrogates"):
        visit.session.label = "\ud800"
    await visit.finish()

    visit = await place.browser.begin()
    assert visit.session.label == "Firefox"
    visit.session.label = None
    await visit.finish()
    assert (await place.browser.begin()).session.label is None


@pytest.mark.parametrize("owner", ["", 42, b"user"])
async def test_an_owner_is_text_that_is_not_empty(owner: Any) -> None:
    session = await Place().new_session()

    with pytest.raises(ConfigurationError, match="a session's owner is the user's id as text"):
        await session.regenerate(owner=owner)


async def test_an_owner_that_cannot_be_stored_is_refused_before_the_session_moves() -> None:
    place = Place()
    await place.browser.write(a=1)
    visit = await place.browser.begin()
    place.cache.calls.clear()

    with pytest.raises(SerializationError, match=r"^owner is text with lone surrogates"):
        await visit.session.regenerate(owner="\ud800")

    assert (visit.session.owner, visit.session.is_modified, place.calls) == (None, False, [])


async def test_a_session_that_is_too_large_is_refused_naming_its_largest_keys_and_no_value() -> None:
    place = Place(max_size=1000)
    visit = await place.browser.begin()
    visit.session.update(small=1, medium="m" * 200, large="l" * 1000)

    with pytest.raises(SessionTooLargeError) as raised:
        await visit.session.commit()

    assert list(raised.value.largest) == ["large", "medium", "small"]
    assert (raised.value.limit, raised.value.size > 1200) == (1000, True)
    assert "its largest keys are 'large' (10" in str(raised.value)
    assert "lll" not in str(raised.value)
    assert await place.payloads() == {}


async def test_a_move_of_a_session_that_became_too_large_keeps_the_old_one() -> None:
    place = Place(max_size=1000)
    await place.browser.write(a=1)
    visit = await place.browser.begin()
    visit.session["large"] = "l" * 1000

    with pytest.raises(SessionTooLargeError):
        await visit.session.regenerate()

    assert await place.browser.read() == {"a": 1}


async def test_a_move_counts_what_was_written_after_is_modified_was_asked() -> None:
    place = Place(max_size=1000)
    await place.browser.write(a=1)
    visit = await place.browser.begin()
    visit.session["a"] = 2
    assert visit.session.is_modified
    visit.session["large"] = "l" * 1000

    with pytest.raises(SessionTooLargeError):
        await visit.session.regenerate()

    assert await place.browser.read() == {"a": 1}


async def test_encrypt_hides_values_and_owner_and_binds_them_to_their_session(log_of: Any) -> None:
    place = Place(encrypt=True)
    one, other = place.browser, Browser(place.sessions)
    for browser, name in ((one, "alice-0123456789"), (other, "bob-0123456789")):
        visit = await browser.begin()
        await visit.session.regenerate(owner=name)
        visit.session["name"] = name
        await visit.finish()
    payloads = await place.payloads()
    assert not any(b"0123456789" in payload for payload in payloads.values())

    first, second = payloads
    await place.memory.set(first, payloads[second], CacheEntryOptions())
    await place.memory.set(second, payloads[first], CacheEntryOptions())

    for browser in (one, other):
        visit = await browser.begin()
        assert (dict(visit.session), visit.session.owner, visit.session.is_available) == ({}, None, False)
        with pytest.raises(SessionUnavailableError):
            visit.session["a"] = 1
    assert any("a stored session cannot be read" in line for line in log_of(logging.WARNING))


async def test_a_payload_stored_in_clear_does_not_count_where_encryption_is_asked_for() -> None:
    place = Place()
    await place.browser.write(role="admin")
    encrypted = Browser(make_sessions(place.cache, place.clock, encrypt=True), place.browser.cookies)

    visit = await encrypted.begin()
    assert (dict(visit.session), visit.session.is_expired) == ({}, True)
    visit.session["role"] = "guest"
    await visit.finish()

    assert await encrypted.read() == {"role": "guest"}


async def test_a_payload_that_was_stored_in_clear_meanwhile_is_no_hindrance_where_encryption_is_asked_for() -> None:
    place = Place()
    await place.browser.write(a=1)
    place.clock.advance(20 * MINUTE)
    encrypted = Browser(make_sessions(place.cache, place.clock, encrypt=True), dict(place.browser.cookies))
    visit = await encrypted.begin()
    await place.browser.write(b=2)
    visit.session["c"] = 3

    await visit.finish()

    assert await encrypted.read() == {"c": 3}


async def test_what_was_encrypted_is_still_read_when_encryption_is_switched_off() -> None:
    place = Place(encrypt=True)
    await place.browser.write(a=1)
    plain = Browser(make_sessions(place.cache, place.clock), place.browser.cookies)

    assert await plain.read() == {"a": 1}


@pytest.mark.parametrize(
    "damage",
    [
        b"",
        b"\x01",
        b"\x01\xc1",
        b"\x01\x90",
        b"\x02short",
        b"\xff",
        b"\x01\x95\xa0\x00\xc0\xc0\xc4\x00",
        b"\x01" + serializer.dumps([7, 0.0, None, None, serializer.dumps({})]),
        b"\x01" + serializer.dumps(["id", 0.0, None, None, serializer.dumps([])]),
    ],
)
async def test_a_damaged_record_is_unavailable_and_never_an_error_of_another_kind(damage: bytes) -> None:
    place = Place()
    await place.browser.write(a=1)
    (key,) = await place.payloads()
    await place.memory.set(key, damage, CacheEntryOptions())

    visit = await place.browser.begin()
    await visit.finish()

    assert (visit.session.is_available, dict(visit.session)) == (False, {})
    assert (await place.payloads())[key] == damage


# -- options -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"idle_timeout": 20}, "idle_timeout must be a timedelta, such as"),
        ({"idle_timeout": timedelta(0)}, "idle_timeout must be positive"),
        ({"lifetime": -MINUTE}, "lifetime must be positive"),
        ({"io_timeout": timedelta(0)}, "io_timeout must be positive"),
        ({"io_timeout": 5}, "io_timeout must be a timedelta"),
        ({"refresh_interval": -MINUTE}, "refresh_interval is a timedelta that is not negative"),
        ({"refresh_interval": 20 * MINUTE}, r"refresh_interval \(0:20:00\) must be shorter than idle_timeout"),
        ({"on_conflict": "loses"}, "on_conflict is one of 'merge', 'last_write_wins', 'fail', but this is 'loses'"),
        ({"when_unavailable": "cry"}, "when_unavailable is one of 'read_only', 'fail', 'ignore'"),
        ({"max_size": 0}, "max_size is a positive number of bytes"),
        ({"max_size": True}, "max_size is a positive number of bytes"),
        ({"cookie": "name"}, r"cookie must be CookieOptions\(\.\.\.\), not str"),
    ],
)
def test_options_that_cannot_work_are_refused_with_their_name(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        SessionOptions(**options)
