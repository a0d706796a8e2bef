"""Whole stories over HTTP, told on every cache: each has to come out the same."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import timedelta
from typing import Any

import pytest
from tornado.web import HTTPError

from tests.caches import CACHES, Place, Servers
from tests.conftest import Site, serve
from tests.temp_data.pages import page
from tornado_session import SessionOptions, SessionTempDataProvider
from tornado_session.testing import CookieClient, FaultyCache

SESSION = ".Tornado.Session"
Open = Callable[..., AbstractAsyncContextManager[tuple[Site, Place]]]


@pytest.fixture(scope="session")
def servers() -> Iterator[Servers]:
    running = Servers()
    yield running
    running.close()


@pytest.fixture(params=CACHES)
def open_site(request: pytest.FixtureRequest, servers: Servers) -> Open:
    """Serves the pages of this module on one of the caches: ``async with open_site(**options) as (site, place)``."""

    @asynccontextmanager
    async def open_(**options: Any) -> AsyncIterator[tuple[Site, Place]]:
        async with (
            CACHES[request.param](servers) as place,
            serve(PAGES, cache=FaultyCache(place.cache), clock=place.clock, **options) as site,
        ):
            yield site, place

    return open_


# -- the pages -------------------------------------------------------------------------------------------------------


def visit(handler: Any) -> None:
    handler.session["visits"] = handler.session.get("visits", 0) + 1
    handler.write(f"visit {handler.session['visits']}")


def look(handler: Any) -> None:
    handler.write(f"visit {handler.session.get('visits', 0)}")


def put(handler: Any) -> None:
    for name in handler.request.arguments:
        handler.session[name] = handler.get_argument(name)


def show(handler: Any) -> None:
    handler.write(dict(handler.session))


async def put_slowly(handler: Any) -> None:
    put(handler)
    await handler.settings["gate"].wait()


async def count(handler: Any) -> None:
    await handler.session.modify("count", lambda value: value + 1, default=0)


async def sign_in(handler: Any) -> None:
    await handler.session.regenerate(owner=handler.get_argument("user"))
    handler.session.label = handler.get_argument("from", None)
    handler.redirect("/account")


def account(handler: Any) -> None:
    if handler.session.owner is None:
        raise HTTPError(403)
    handler.write(f"{handler.session.owner} {handler.session.get('cart')}")


async def sign_out(handler: Any) -> None:
    await handler.session.destroy()
    handler.redirect("/show")


async def devices(handler: Any) -> None:
    infos = [info async for info in handler.settings["sessions"].of(handler.session.owner)]
    handler.write(" ".join(sorted(info.label for info in infos)))


async def sign_out_elsewhere(handler: Any) -> None:
    ended = await handler.settings["sessions"].revoke_all(handler.session.owner, keep=handler.session.id)
    handler.write(f"{ended}")


def leave(handler: Any) -> None:
    handler.temp_data["notice"] = "x" * int(handler.get_argument("n"))
    handler.redirect("/notice")


def notice(handler: Any) -> None:
    handler.write(f"{len(handler.temp_data.get('notice', ''))}")


def empty(handler: Any) -> None:
    handler.session.clear()


FUNCTIONS = (visit, look, put, show, put_slowly, count, empty, leave, notice)
SIGN_IN = (sign_in, account, sign_out, devices, sign_out_elsewhere)
PAGES: list[Any] = [(f"/{function.__name__}", page(function)) for function in FUNCTIONS + SIGN_IN]


async def body(browser: CookieClient, path: str) -> str:
    response = await browser.fetch(path)
    assert response.code == 200, (path, response.code)
    return response.body.decode()


# -- the stories -----------------------------------------------------------------------------------------------------


async def test_a_counter_counts_the_visits_of_each_visitor(open_site: Open) -> None:
    async with open_site() as (site, _):
        one, other = site.browser(), site.browser()

        assert [await body(one, "/visit") for _ in range(3)] == ["visit 1", "visit 2", "visit 3"]
        assert await body(other, "/visit") == "visit 1"
        assert await body(one, "/look") == "visit 3"
        assert list(one.cookies) == [SESSION]


async def test_nothing_costs_nothing_reading_one_trip_and_writing_two(open_site: Open) -> None:
    async with open_site() as (site, _):
        browser = site.browser()
        await body(browser, "/look")
        assert (site.calls, browser.cookies) == ([], {})

        await body(browser, "/visit")
        assert site.calls == ["add"]
        await body(browser, "/look")
        assert site.calls == ["get"]
        await body(browser, "/visit")
        assert site.calls == ["get", "replace"]


async def test_sign_in_gives_a_new_key_and_sign_out_ends_it(open_site: Open) -> None:
    async with open_site() as (site, _):
        browser, thief = site.browser(), site.browser()
        await body(browser, "/put?cart=full")
        thief.set_cookie(SESSION, browser.cookies[SESSION])
        assert (await browser.fetch("/account")).code == 403

        assert await body(browser, "/sign_in?user=ann") == "ann full"
        assert browser.cookies[SESSION] != thief.cookies[SESSION]
        assert (await thief.fetch("/account")).code == 403
        assert await body(thief, "/show") == "{}"

        thief.set_cookie(SESSION, browser.cookies[SESSION])
        assert await body(browser, "/sign_out") == "{}"
        assert browser.cookies == {}
        assert (await thief.fetch("/account")).code == 403, "a cookie that was copied before is worth nothing now"


async def test_two_tabs_that_write_different_keys_lose_nothing(open_site: Open) -> None:
    gate = asyncio.Event()
    async with open_site() as (site, _):
        site.app.settings["gate"] = gate
        browser = site.browser()
        await body(browser, "/put?a=1&b=1")

        slow = asyncio.ensure_future(browser.fetch("/put_slowly?a=slow"))
        while site.cache.calls.count("get") == 0:
            await asyncio.sleep(0.001)
        await body(browser, "/put?b=quick")
        gate.set()
        assert (await slow).code == 200

        assert await body(browser, "/show") == '{"a": "slow", "b": "quick"}'


async def test_parallel_counts_are_all_counted(open_site: Open) -> None:
    async with open_site() as (site, _):
        browser = site.browser()
        await body(browser, "/put?count_me=1")

        responses = await asyncio.gather(*(browser.fetch("/count") for _ in range(6)))

        assert [response.code for response in responses] == [200] * 6
        assert await body(browser, "/show") == '{"count_me": "1", "count": 6}'


async def test_a_slow_request_does_not_bring_back_a_session_that_was_signed_out(open_site: Open) -> None:
    gate = asyncio.Event()
    async with open_site() as (site, _):
        site.app.settings["gate"] = gate
        browser, other_tab = site.browser(), site.browser()
        await body(browser, "/put?a=1")
        other_tab.set_cookie(SESSION, browser.cookies[SESSION])

        slow = asyncio.ensure_future(other_tab.fetch("/put_slowly?a=late"))
        while site.cache.calls.count("get") == 0:
            await asyncio.sleep(0.001)
        await body(browser, "/sign_out")
        gate.set()
        assert (await slow).code == 200

        assert await body(other_tab, "/show") == "{}"


async def test_a_user_sees_the_own_devices_and_signs_out_all_others(open_site: Open) -> None:
    async with open_site() as (site, _):
        phone, laptop, stranger = site.browser(), site.browser(), site.browser()
        await body(phone, "/sign_in?user=ann&from=phone")
        await body(laptop, "/sign_in?user=ann&from=laptop")
        await body(stranger, "/sign_in?user=bob&from=tablet")

        assert await body(laptop, "/devices") == "laptop phone"
        assert await body(laptop, "/sign_out_elsewhere") == "1"

        assert await body(laptop, "/devices") == "laptop"
        assert (await phone.fetch("/account")).code == 403
        assert await body(stranger, "/account") == "bob None"


@pytest.mark.parametrize("size", [5, 4500, 9000, 200_000])
async def test_a_notice_survives_a_redirect_and_is_shown_once(open_site: Open, size: int) -> None:
    async with open_site() as (site, _):
        browser = site.browser()

        assert await body(browser, f"/leave?n={size}") == f"{size}"
        assert await body(browser, "/notice") == "0"


async def test_temp_data_in_the_session_takes_no_trip_of_its_own(open_site: Open) -> None:
    async with open_site(temp_data=SessionTempDataProvider()) as (site, _):
        browser = site.browser()
        await body(browser, "/visit")
        assert site.calls == ["add"]

        assert await body(browser, "/leave?n=100") == "100"
        assert site.calls == ["get", "replace", "get", "replace"]
        assert list(browser.cookies) == [SESSION]


async def test_a_cleared_session_leaves_nothing_and_begins_anew(open_site: Open) -> None:
    async with open_site() as (site, _):
        browser = site.browser()
        await body(browser, "/visit")
        await body(browser, "/empty")
        assert site.calls == ["add", "get", "remove"]

        assert await body(browser, "/visit") == "visit 1"
        assert await body(browser, "/visit") == "visit 2"


async def test_an_idle_session_ends_and_one_that_is_used_does_not(open_site: Open) -> None:
    moment = timedelta(milliseconds=300)
    async with open_site(session=SessionOptions(idle_timeout=4 * moment)) as (site, place):
        busy, idle = site.browser(), site.browser()
        await body(busy, "/visit")
        await body(idle, "/visit")

        for _ in range(2):
            await place.advance(2.5 * moment)
            assert await body(busy, "/look") == "visit 1"

        assert await body(idle, "/visit") == "visit 1"
        assert await body(idle, "/visit") == "visit 2"


async def test_a_session_ends_at_its_lifetime_however_busy(open_site: Open) -> None:
    moment = timedelta(milliseconds=300)
    options = SessionOptions(idle_timeout=timedelta(minutes=20), lifetime=4 * moment)
    async with open_site(session=options) as (site, place):
        browser = site.browser()
        await body(browser, "/visit")

        await place.advance(2.5 * moment)
        assert await body(browser, "/visit") == "visit 2"

        await place.advance(2 * moment)
        assert await body(browser, "/visit") == "visit 1"


async def test_what_is_stored_can_be_encrypted_and_large(open_site: Open) -> None:
    async with open_site(session=SessionOptions(encrypt=True)) as (site, place):
        browser = site.browser()
        text = "the text that nobody is to see " * 1000
        response = await browser.fetch("/put", method="POST", body=f"text={text}")
        assert response.code == 200

        assert await body(browser, "/show") == f'{{"text": "{text.strip()}"}}'

        # A name so long that random bytes do not hold it by chance: three letters, once in 500 runs.
        user = "ann-whose-name-is-long"
        await body(browser, f"/sign_in?user={user}")
        tag = site.app.settings["sessions"].store.tags(user)[0]
        stored = [entry.value async for _, entry in place.cache.find(tag)]
        assert len(stored) == 1
        assert b"nobody is to see" not in stored[0]
        assert user.encode() not in stored[0]
