"""Fresh keys at sign-in, whose session it is, and signing out here and everywhere."""

import asyncio
import json
import re
from datetime import timedelta
from typing import Any

import pytest
from tornado.web import RequestHandler

from tests.conftest import Site, serve
from tests.interleaving import SteppedCache
from tests.test_handler import COOKIE
from tests.test_session import Place
from tests.visits import MINUTE, Browser, make_sessions
from tornado_session import (
    CacheError,
    MemoryCache,
    SessionInfo,
    SessionMixin,
    SessionOptions,
    Sessions,
    session_settings,
)
from tornado_session.application import SETTING
from tornado_session.caching.contract import CacheEntryOptions
from tornado_session.testing import CookieClient, FakeClock, FaultyCache

OWNER = "user-42"


class Handler(SessionMixin, RequestHandler):
    @property
    def sessions(self) -> Sessions:
        found: Sessions = self.settings["sessions"]
        return found


class Cart(Handler):
    def get(self) -> None:
        self.session["cart"] = ["shoes"]


class SignIn(Handler):
    async def get(self) -> None:
        await self.session.regenerate(owner=self.get_argument("owner", OWNER))
        self.session.label = self.request.headers.get("User-Agent")
        self.write(self.session.id)


class Me(Handler):
    def get(self) -> None:
        self.write({"owner": self.session.owner, "id": self.session.id, "values": dict(self.session)})


class SignOut(Handler):
    async def get(self) -> None:
        await self.session.destroy()


class EverywhereElse(Handler):
    async def get(self) -> None:
        await self.session.regenerate()
        ended = await self.sessions.revoke_all(OWNER, keep=self.session.id)
        self.write(f"{ended} ended, kept {self.session.id}")


class Form(Handler):
    def get(self) -> None:
        self.write(self.xsrf_token)

    async def post(self) -> None:
        await self.session.regenerate(owner=OWNER)
        self.write(self.xsrf_token)


ROUTES = [
    ("/cart", Cart),
    ("/in", SignIn),
    ("/me", Me),
    ("/out", SignOut),
    ("/else", EverywhereElse),
    ("/form", Form),
]


def sessions_of(site: Site) -> Sessions:
    found: Sessions = site.app.settings["sessions"]
    return found


async def listed(sessions: Sessions, owner: str = OWNER) -> list[SessionInfo]:
    return [info async for info in sessions.of(owner)]


async def owner_of(browser: CookieClient) -> str | None:
    owner: str | None = json.loads((await browser.fetch("/me")).body)["owner"]
    return owner


# -- regenerate --------------------------------------------------------------------------------------------------------


async def test_signing_in_changes_key_and_id_keeps_the_data_and_removes_the_old_record() -> None:
    async with serve(ROUTES) as site:
        browser = site.browser()
        await browser.fetch("/cart")
        before = browser.cookies[COOKIE]
        old = json.loads((await browser.fetch("/me")).body)

        await browser.fetch("/in")

        assert browser.cookies[COOKIE] != before
        new = json.loads((await browser.fetch("/me")).body)
        assert (old["owner"], new["owner"]) == (None, OWNER)
        assert new["values"] == old["values"] == {"cart": ["shoes"]}
        assert new["id"] != old["id"]
        assert len(site.cache.inner._table) == 1  # type: ignore[attr-defined]


async def test_whoever_planted_or_stole_the_old_cookie_has_nothing() -> None:
    async with serve(ROUTES) as site:
        browser, attacker = site.browser(), site.browser()
        await attacker.fetch("/cart")
        browser.set_cookie(COOKIE, attacker.cookies[COOKIE])

        await browser.fetch("/in")

        assert await owner_of(browser) == OWNER
        assert b'"owner": null' in (await attacker.fetch("/me")).body
        assert b'"values": {}' in (await attacker.fetch("/me")).body


async def test_the_old_record_is_gone_before_the_response_leaves() -> None:
    seen: list[int] = []

    class Watching(SignIn):
        def on_finish(self) -> None:
            seen.append(len(site.cache.inner._table))  # type: ignore[attr-defined]

    async with serve([("/cart", Cart), ("/in", Watching)]) as site:
        browser = site.browser()
        await browser.fetch("/cart")
        site.cache.delay = timedelta(milliseconds=20)
        await browser.fetch("/in")

    assert seen == [1]


async def test_the_trips_of_signing_in() -> None:
    async with serve(ROUTES) as site:
        browser = site.browser()
        await browser.fetch("/in")
        assert site.calls == ["add"]
        await browser.fetch("/me")
        assert site.calls == ["get"]
        await browser.fetch("/else")

        # The old session is marked, the new one stored, the mark removed; then a look at what else the owner has.
        assert site.calls == ["get", "replace", "add", "remove", "find"]


async def test_regenerate_keeps_the_owner_unless_told_and_none_makes_it_nobodys() -> None:
    sessions = make_sessions()
    browser = Browser(sessions)
    visit = await browser.begin()
    await visit.session.regenerate(owner=OWNER)
    await visit.session.regenerate()
    assert visit.session.owner == OWNER
    visit.session["a"] = 1
    await visit.finish()

    visit = await browser.begin()
    await visit.session.regenerate(owner=None)
    await visit.finish()

    assert (visit.session.owner, await listed(sessions)) == (None, [])
    assert await browser.read() == {"a": 1}


async def test_what_is_written_after_signing_in_is_one_more_trip() -> None:
    place = Place()
    await place.browser.write(cart=1)
    visit = await place.browser.begin()
    await visit.session.regenerate(owner=OWNER)
    assert len(visit.session.id) == 22
    place.cache.calls.clear()

    visit.session["seen"] = True
    await visit.finish()

    assert place.calls == ["replace"]
    assert await place.browser.read() == {"cart": 1, "seen": True}


async def test_regenerate_without_anything_stored_stores_nothing() -> None:
    sessions = make_sessions(FaultyCache(MemoryCache()))
    browser = Browser(sessions)
    visit = await browser.begin()
    await visit.session.regenerate()
    await visit.finish()

    assert browser.cookies == {}


async def test_created_begins_anew_at_sign_in() -> None:
    clock = FakeClock()
    browser = Browser(make_sessions(clock=clock))
    await browser.write(a=1)
    began = clock.now()
    clock.advance(5 * MINUTE)

    visit = await browser.begin()
    assert visit.session.created == began
    await visit.session.regenerate(owner=OWNER)

    assert visit.session.created == clock.now()


async def test_a_parallel_request_on_the_old_key_ends_quietly_and_cannot_write() -> None:
    arrived, signed_in = asyncio.Event(), asyncio.Event()

    class Slow(Handler):
        async def get(self) -> None:
            arrived.set()
            await signed_in.wait()
            self.session["stale"] = True
            await self.session.commit()
            self.write(f"ended: {self.session.is_ended}")

    async with serve([*ROUTES, ("/slow", Slow)]) as site:
        browser = site.browser()
        await browser.fetch("/cart")
        tab = site.browser()
        tab.set_cookie(COOKIE, browser.cookies[COOKIE])
        slow = asyncio.ensure_future(tab.fetch("/slow"))
        await arrived.wait()
        await browser.fetch("/in")
        signed_in.set()
        response = await slow

        assert (response.code, response.body) == (200, b"ended: True")
        # It must not take the new cookie away from a browser that already has it.
        assert "Set-Cookie" not in response.headers
        assert b"stale" not in (await browser.fetch("/me")).body


async def test_the_xsrf_token_is_renewed_and_the_old_one_no_longer_opens_a_form() -> None:
    async with serve(ROUTES, app_settings={"xsrf_cookies": True}) as site:
        browser = site.browser()
        token = (await browser.fetch("/form")).body.decode()
        before = browser.cookies["_xsrf"]
        signed_in = await browser.fetch("/form", method="POST", body=f"_xsrf={token}")

        assert signed_in.code == 200
        assert browser.cookies["_xsrf"] != before
        assert (await browser.fetch("/form", method="POST", body=f"_xsrf={token}")).code == 403
        new_token = signed_in.body.decode()
        assert (await browser.fetch("/form", method="POST", body=f"_xsrf={new_token}")).code == 200


async def test_a_site_without_xsrf_cookies_gets_none() -> None:
    async with serve(ROUTES) as site:
        browser = site.browser()
        await browser.fetch("/in")

        assert set(browser.cookies) == {COOKIE}


async def test_a_token_that_was_asked_for_before_is_renewed_in_the_same_request() -> None:
    class Asking(Handler):
        async def post(self) -> None:
            before = self.xsrf_token
            await self.session.regenerate(owner=OWNER)
            assert self.xsrf_token != before
            self.write(self.xsrf_token)

        get = post

    async with serve([*ROUTES, ("/asking", Asking)], app_settings={"xsrf_cookies": True}) as site:
        assert (await site.browser().fetch("/asking")).code == 200, "also where the visitor had no token before"

        browser = site.browser()
        token = (await browser.fetch("/form")).body.decode()

        answer = await browser.fetch("/asking", method="POST", body=f"_xsrf={token}")

        assert answer.code == 200
        new_token = answer.body.decode()
        assert (await browser.fetch("/form", method="POST", body=f"_xsrf={token}")).code == 403
        assert (await browser.fetch("/form", method="POST", body=f"_xsrf={new_token}")).code == 200


async def test_a_site_that_checks_its_tokens_itself_has_them_renewed_too() -> None:
    async with serve(ROUTES) as site:
        browser = site.browser()
        await browser.fetch("/form")
        before = browser.cookies["_xsrf"]

        await browser.fetch("/in")

        assert browser.cookies["_xsrf"] != before


async def test_a_token_of_another_name_is_renewed_under_that_name() -> None:
    async with serve(ROUTES, app_settings={"xsrf_cookie_name": "token"}) as site:
        browser = site.browser()
        await browser.fetch("/form")
        before = browser.cookies["token"]

        await browser.fetch("/in")

        assert browser.cookies["token"] != before
        assert "_xsrf" not in browser.cookies


async def test_renewing_the_token_forgets_no_current_user_that_is_known() -> None:
    class Users(Handler):
        async def get(self) -> None:
            self.current_user = "somebody"
            await self.session.regenerate(owner=OWNER)
            self.write(f"hello {self.current_user}")

    async with serve([("/", Users)], app_settings={"xsrf_cookies": True}) as site:
        assert (await site.browser().fetch("/")).body == b"hello somebody"


async def test_renewing_the_token_does_not_fix_the_current_user_of_before() -> None:
    class Users(Handler):
        def get_current_user(self) -> Any:
            return self.session.get("user")

        async def get(self) -> None:
            await self.session.regenerate(owner=OWNER)
            self.session["user"] = "somebody"
            self.write(f"hello {self.current_user}")

    async with serve([("/", Users)], app_settings={"xsrf_cookies": True}) as site:
        assert (await site.browser().fetch("/")).body == b"hello somebody"


# -- whose sessions ----------------------------------------------------------------------------------------------------


async def test_an_owner_sees_every_device_and_nobody_elses() -> None:
    async with serve(ROUTES) as site:
        laptop, phone, stranger = site.browser(), site.browser(), site.browser()
        ids = {
            (await browser.fetch(f"/in?owner={owner}", headers={"User-Agent": name})).body.decode()
            for browser, owner, name in ((laptop, OWNER, "Laptop"), (phone, OWNER, "Phone"))
        }
        await stranger.fetch("/in?owner=user-43")
        began = site.clock.now()
        site.clock.advance(5 * MINUTE)
        await phone.fetch("/me")
        site.cache.calls.clear()

        found = {info.label: info for info in await listed(sessions_of(site))}

        assert site.calls == ["find"]
        assert set(found) == {"Laptop", "Phone"}
        assert {info.id for info in found.values()} == ids
        assert (found["Phone"].created, found["Phone"].last_seen) == (began, began + 5 * MINUTE)
        assert (found["Laptop"].last_seen, found["Laptop"].expires) == (began, began + 20 * MINUTE)


async def test_looking_at_the_list_moves_no_idle_timeout() -> None:
    async with serve(ROUTES) as site:
        browser = site.browser()
        await browser.fetch("/in")
        site.clock.advance(15 * MINUTE)
        assert len(await listed(sessions_of(site))) == 1
        site.clock.advance(5 * MINUTE)

        assert await listed(sessions_of(site)) == []


async def test_a_session_that_outlived_its_lifetime_is_not_listed() -> None:
    clock = FakeClock()
    cache = MemoryCache(clock=clock)
    browser = Browser(make_sessions(cache, clock))
    visit = await browser.begin()
    await visit.session.regenerate(owner=OWNER)
    await visit.finish()
    clock.advance(15 * MINUTE)
    stricter = make_sessions(cache, clock, lifetime=10 * MINUTE)

    assert await listed(stricter) == []


async def test_the_store_knows_the_owner_only_as_a_keyed_hash() -> None:
    cache = MemoryCache()
    browser = Browser(make_sessions(cache, encrypt=True))
    visit = await browser.begin()
    await visit.session.regenerate(owner="alice@example.org")
    await visit.finish()

    ((entry,),) = [list(shard.values()) for shard in cache._table._shards if shard]

    assert entry.tag is not None
    assert re.fullmatch("[0-9a-f]{64}", entry.tag)
    assert b"alice" not in entry.value


async def test_revoking_one_device_leaves_the_others() -> None:
    async with serve(ROUTES) as site:
        laptop, phone = site.browser(), site.browser()
        await laptop.fetch("/in")
        phone_id = (await phone.fetch("/in")).body.decode()
        sessions = sessions_of(site)

        assert await sessions.revoke(OWNER, phone_id)

        assert (await owner_of(laptop), await owner_of(phone)) == (OWNER, None)
        assert not await sessions.revoke(OWNER, phone_id)
        assert not await sessions.revoke("user-43", (await listed(sessions))[0].id)
        assert await owner_of(laptop) == OWNER


async def test_signing_out_everywhere_else_in_the_request_that_regenerates() -> None:
    async with serve(ROUTES) as site:
        browsers = [site.browser() for _ in range(4)]
        for browser in browsers:
            await browser.fetch("/in")

        response = await browsers[0].fetch("/else")

        assert response.body.startswith(b"3 ended, kept ")
        assert [await owner_of(browser) for browser in browsers] == [OWNER, None, None, None]
        assert await sessions_of(site).revoke_all(OWNER) == 1
        assert await sessions_of(site).revoke_all(OWNER) == 0


async def test_a_request_in_flight_cannot_bring_a_revoked_session_back() -> None:
    arrived, revoked = asyncio.Event(), asyncio.Event()

    class Slow(Handler):
        async def get(self) -> None:
            arrived.set()
            await revoked.wait()
            self.session["late"] = True

    async with serve([*ROUTES, ("/slow", Slow)]) as site:
        browser = site.browser()
        await browser.fetch("/in")
        slow = asyncio.ensure_future(browser.fetch("/slow"))
        await arrived.wait()
        await sessions_of(site).revoke_all(OWNER)
        revoked.set()

        assert (await slow).code == 200
        assert b'"owner": null' in (await browser.fetch("/me")).body
        assert await listed(sessions_of(site)) == []


async def test_signing_out_ends_this_session_alone_and_takes_the_cookie() -> None:
    async with serve(ROUTES) as site:
        laptop, phone = site.browser(), site.browser()
        await laptop.fetch("/in")
        await phone.fetch("/in")

        await phone.fetch("/out")

        assert phone.cookies == {}
        assert await owner_of(laptop) == OWNER
        assert len(await listed(sessions_of(site))) == 1


async def test_one_owner_of_many_touches_only_their_own_sessions() -> None:
    sessions = make_sessions(MemoryCache())
    for number in range(300):
        visit = await Browser(sessions).begin()
        await visit.session.regenerate(owner=f"user-{number % 30}")
        await visit.finish()
    understood: list[str] = []
    understand = sessions.store.understand

    def counted(key: str, entry: Any) -> Any:
        understood.append(key)
        return understand(key, entry)

    sessions.store.understand = counted  # type: ignore[method-assign]

    assert len(await listed(sessions, "user-7")) == 10
    assert len(understood) == 10


# -- rotation ----------------------------------------------------------------------------------------------------------


def rotated(cache: Any, clock: FakeClock, secrets: Any, version: int | None = None, **options: Any) -> Sessions:
    found: Sessions = session_settings(
        cache=cache, clock=clock, cookie_secret=secrets, key_version=version, session=SessionOptions(**options)
    )[SETTING]
    return found


async def test_owners_stay_findable_while_the_old_key_is_on_the_ring() -> None:
    clock = FakeClock()
    cache = MemoryCache(clock=clock)
    old, new = "the old secret of the site", "the new secret of the site"
    browser = Browser(rotated(cache, clock, old))
    visit = await browser.begin()
    await visit.session.regenerate(owner=OWNER)
    await visit.finish()
    later = rotated(cache, clock, {0: old, 1: new}, 1)
    newcomer = Browser(later)
    visit = await newcomer.begin()
    await visit.session.regenerate(owner=OWNER)
    await visit.finish()

    assert len(await listed(later)) == 2
    assert await later.revoke_all(OWNER) == 2
    assert await browser.read() == {}


async def test_what_this_version_cannot_read_is_revoked_all_the_same_and_not_listed(log_of: Any) -> None:
    cache = MemoryCache()
    sessions = make_sessions(cache)
    tag = sessions.store.tags(OWNER)[0]
    await cache.set("of a later version", b"\x63something", CacheEntryOptions(tag=tag))

    assert await listed(sessions) == []
    await sessions.revoke_all(OWNER)

    assert await cache.get("of a later version") is None
    assert any("its format has version 99" in line for line in log_of())


# -- a crash in the middle of a move -----------------------------------------------------------------------------------


@pytest.mark.parametrize("step", ["replace", "add", "remove"])
@pytest.mark.parametrize("when", ["before", "after"])
async def test_a_move_that_is_cut_short_never_leaves_two_live_sessions(step: str, when: str) -> None:
    clock = FakeClock()
    memory = MemoryCache(clock=clock)
    cache = FaultyCache(memory)
    sessions = make_sessions(cache, clock)
    browser = Browser(sessions)
    visit = await browser.begin()
    await visit.session.regenerate(owner=OWNER)
    visit.session["cart"] = ["shoes"]
    await visit.finish()
    stolen = browser.copy()
    moving = await browser.copy().begin()
    if when == "before":
        cache.fail = {step}
    else:
        original = getattr(memory, step)

        async def applied_but_not_answered(*args: Any, **kwargs: Any) -> Any:
            await original(*args, **kwargs)
            raise CacheError("the answer was lost")

        setattr(memory, step, applied_but_not_answered)

    with pytest.raises(CacheError):
        await moving.session.regenerate()

    # The process is gone: nothing else of this request happens.
    cache.fail = set()
    if when == "after":
        setattr(memory, step, original)
    live = await listed(sessions)
    assert len(live) <= 1
    if step == "replace" and when == "before":
        assert await browser.read() == {"cart": ["shoes"]}
    else:
        # Signed out, at once and after the mark has gone.
        assert await browser.read() == {}
        clock.advance(timedelta(seconds=31))
        assert await stolen.read() == {}
    assert await sessions.revoke_all(OWNER) == len(live)
    assert await listed(sessions) == []


async def test_a_visitor_who_meets_the_mark_of_a_move_is_new_and_writes_nothing_into_it() -> None:
    clock = FakeClock()
    cache = FaultyCache(MemoryCache(clock=clock))
    browser = Browser(make_sessions(cache, clock))
    await browser.write(a=1)
    moving = await browser.copy().begin()
    cache.fail = {"add"}
    with pytest.raises(CacheError):
        await moving.session.regenerate()
    cache.fail = set()

    visit = await browser.write(b=2)

    assert (visit.session.is_ended, visit.session.is_expired) == (True, True)
    assert await browser.read() == {}


async def test_signing_in_on_a_session_that_has_ended_begins_a_new_one() -> None:
    clock = FakeClock()
    cache = FaultyCache(MemoryCache(clock=clock))
    browser = Browser(make_sessions(cache, clock))
    await browser.write(a=1)
    moving = await browser.copy().begin()
    cache.fail = {"add"}
    with pytest.raises(CacheError):
        await moving.session.regenerate()
    cache.fail = set()

    visit = await browser.begin()
    await visit.session.regenerate(owner=OWNER)
    await visit.finish()

    again = await browser.begin()
    assert (again.session.owner, dict(again.session)) == (OWNER, {})


async def test_regenerate_of_a_session_that_was_revoked_meanwhile_does_not_sign_its_owner_in_again() -> None:
    sessions = make_sessions()
    browser = Browser(sessions)
    visit = await browser.begin()
    await visit.session.regenerate(owner=OWNER)
    visit.session.label = "Laptop"
    await visit.finish()
    slow = await browser.begin()
    await sessions.revoke_all(OWNER)
    slow.session["late"] = 1
    await slow.session.commit()
    assert slow.session.is_ended

    await slow.session.regenerate()
    slow.session["new"] = 1
    await slow.finish()

    visit = await browser.begin()
    assert (visit.session.owner, visit.session.label, dict(visit.session)) == (None, None, {"new": 1})
    assert await listed(sessions) == []


async def test_a_revocation_between_the_steps_of_a_move_ends_the_new_session_too() -> None:
    for steps_before in range(4):
        clock = FakeClock()
        cache = SteppedCache(MemoryCache(clock=clock))
        sessions = make_sessions(cache, clock)
        browser = Browser(sessions)
        visit = await browser.begin()
        await visit.session.regenerate(owner=OWNER)
        await visit.finish()
        moving = await browser.begin()
        cache.is_stepping = True
        move = asyncio.ensure_future(moving.session.regenerate())
        for _ in range(steps_before):
            await asyncio.sleep(0)
            while move not in cache.suspended and not move.done():
                await asyncio.sleep(0)
            if move in cache.suspended:
                cache.suspended.pop(move).set_result(None)
                await asyncio.sleep(0.001)
        cache.is_stepping = False

        await sessions.revoke_all(OWNER)
        if move in cache.suspended:
            cache.suspended.pop(move).set_result(None)
        await move
        await moving.finish()

        assert await listed(sessions) == []
        assert (await browser.begin()).session.owner is None
