"""TempData over HTTP, with a cookie jar: what a browser meets."""

import asyncio
import logging
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

import pytest
from tornado.web import HTTPError, RequestHandler

from tests.conftest import Site, serve
from tests.temp_data.pages import deleted_names, page, set_names, templates
from tornado_session import (
    CookieOptions,
    CookieTempDataProvider,
    ResponseStartedError,
    SessionMixin,
    SessionTempDataProvider,
    TempDataProvider,
    TempDataTooLargeError,
)
from tornado_session.temp_data.contract import TempDataRequest

NAME = ".Tornado.TempData"
SMALL = {"chunk_size": 256, "max_size": 2560}


def leave(handler: Any) -> None:
    """POST /leave?n=...: leave a text of n characters (default 5) and go on to /read."""
    handler.temp_data["notice"] = "x" * int(handler.get_argument("n", "5"))
    handler.redirect("/read")


def stay(handler: Any) -> None:
    handler.temp_data["notice"] = "x" * int(handler.get_argument("n", "5"))


def read(handler: Any) -> None:
    handler.write(f"{len(handler.temp_data.get('notice') or '')}")


def look(handler: Any) -> None:
    handler.write(f"{len(handler.temp_data.peek('notice') or '')}")


def ignore(handler: Any) -> None:
    handler.write("nothing")


PAGES: list[Any] = [
    ("/leave", page(leave)),
    ("/stay", page(stay)),
    ("/read", page(read)),
    ("/look", page(look)),
    ("/ignore", page(ignore)),
]


async def left(site: Site, size: int = 5) -> Any:
    """A browser that holds TempData."""
    browser = site.browser()
    response = await browser.fetch(f"/stay?n={size}")
    assert response.code == 200
    return browser


async def held(browser: Any) -> int:
    """How much TempData a browser still holds; looking changes nothing."""
    response = await browser.fetch("/look")
    assert response.headers.get_list("Set-Cookie") == []
    return int(response.body)


# -- the story that TempData is for ----------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [5, 3000, 4500, 9000])
@pytest.mark.parametrize("provider", [CookieTempDataProvider(), SessionTempDataProvider()])
async def test_post_redirect_get_shows_the_message_once(size: int, provider: TempDataProvider) -> None:
    async with serve(PAGES, temp_data=provider) as site:
        browser = site.browser()

        shown = await browser.fetch(f"/leave?n={size}", method="POST", body="")
        again = await browser.fetch("/read")

    assert (shown.body, again.body) == (b"%d" % size, b"0")
    assert [name for name in browser.cookies if name.startswith(NAME)] == []


async def test_a_message_waits_until_it_is_read() -> None:
    async with serve(PAGES) as site:
        browser = await left(site)

        for path in ("/ignore", "/look", "/ignore"):
            response = await browser.fetch(path)
            assert response.headers.get_list("Set-Cookie") == []

        assert (await browser.fetch("/read")).body == b"5"


async def test_two_visitors_do_not_meet() -> None:
    async with serve(PAGES) as site:
        one, other = await left(site, 5), await left(site, 7)

        assert ((await other.fetch("/read")).body, (await one.fetch("/read")).body) == (b"7", b"5")


async def test_short_and_long_values_never_touch_the_cache_and_set_no_session_cookie() -> None:
    async with serve(PAGES) as site:
        for size in (5, 4500):
            browser = await left(site, size)
            await browser.fetch("/read")

        assert site.calls == []
        assert list(browser.cookies) == []


# -- redirects -------------------------------------------------------------------------------------------------------


def read_and_redirect(handler: Any) -> None:
    handler.temp_data.get("notice")
    handler.redirect("/look")


@pytest.mark.parametrize(("keep", "expected"), [(True, b"5"), (False, b"0")])
async def test_a_redirect_keeps_what_was_read_if_it_is_to(keep: bool, expected: bytes) -> None:
    provider = CookieTempDataProvider(keep_on_redirect=keep)
    async with serve([*PAGES, ("/redirect", page(read_and_redirect))], temp_data=provider) as site:
        browser = await left(site)

        assert (await browser.fetch("/redirect")).body == expected


@pytest.mark.parametrize("status", [300, 301, 302, 303, 307, 308, 399])
async def test_every_status_that_redirects_keeps(status: int) -> None:
    def redirect(handler: Any) -> None:
        handler.temp_data.get("notice")
        handler.redirect("/look", status=status)

    async with serve([*PAGES, ("/redirect", page(redirect))]) as site:
        browser = await left(site)
        await browser.fetch("/redirect", follow_redirects=False)

        assert await held(browser) == 5


@pytest.mark.parametrize(
    ("status", "location"),
    [(200, "/look"), (201, "/look"), (299, "/look"), (300, None), (400, "/look"), (401, "/look")],
)
async def test_what_leads_nowhere_or_is_no_redirect_consumes(status: int, location: str | None) -> None:
    def answer(handler: Any) -> None:
        handler.temp_data.get("notice")
        handler.set_status(status)
        if location:
            handler.set_header("Location", location)

    async with serve([*PAGES, ("/answer", page(answer))]) as site:
        browser = await left(site)
        await browser.fetch("/answer", follow_redirects=False)

        assert await held(browser) == 0


async def test_a_redirect_in_prepare_keeps_what_it_wrote_and_read() -> None:
    class Guarded(SessionMixin, RequestHandler):
        async def prepare(self) -> None:
            await super().prepare()
            self.temp_data["notice"] = self.temp_data.get("notice", "") + "please sign in"
            self.redirect("/look")

    async with serve([*PAGES, ("/guarded", Guarded)]) as site:
        browser = await left(site)

        assert (await browser.fetch("/guarded")).body == b"19"


# -- responses that report an error ----------------------------------------------------------------------------------


def read_write_and(raise_: Callable[[Any], None]) -> Any:
    def answer(handler: Any) -> None:
        handler.temp_data.get("notice")
        handler.temp_data["written"] = 1
        raise_(handler)

    return page(answer)


def fail(_handler: Any) -> None:
    raise ZeroDivisionError


def raised(status: int) -> Callable[[Any], None]:
    def raise_(_handler: Any) -> None:
        raise HTTPError(status)

    return raise_


def look_at_both(handler: Any) -> None:
    handler.write(f"{handler.temp_data.peek('notice')} {handler.temp_data.peek('written')}")


BOTH = ("/both", page(look_at_both))


@pytest.mark.parametrize(
    "failure",
    [fail, raised(500), raised(503), lambda handler: handler.send_error(502)],
    ids=["bug", "500", "503", "502"],
)
async def test_a_server_error_consumes_and_saves_nothing(failure: Callable[[Any], None]) -> None:
    async with serve([*PAGES, ("/fail", read_write_and(failure)), BOTH]) as site:
        browser = await left(site)

        response = await browser.fetch("/fail")

        assert response.code >= 500
        assert response.headers.get_list("Set-Cookie") == []
        assert (await browser.fetch("/both")).body == b"xxxxx None"


@pytest.mark.parametrize("status", [400, 403, 404, 429])
async def test_an_error_of_the_visitor_consumes_and_saves(status: int) -> None:
    async with serve([*PAGES, ("/fail", read_write_and(raised(status))), BOTH]) as site:
        browser = await left(site)

        assert (await browser.fetch("/fail")).code == status
        assert (await browser.fetch("/both")).body == b"None 1"


async def test_a_status_that_the_handler_sets_itself_is_its_own_answer() -> None:
    async with serve([*PAGES, ("/own", read_write_and(lambda handler: handler.set_status(500))), BOTH]) as site:
        browser = await left(site)

        assert (await browser.fetch("/own")).code == 500
        assert (await browser.fetch("/both")).body == b"None 1"


async def test_a_commit_that_fails_consumes_and_saves_nothing() -> None:
    def both(handler: Any) -> None:
        handler.session["a"] = 1

    async with serve([*PAGES, ("/commit", read_write_and(both)), BOTH]) as site:
        browser = await left(site)
        site.cache.fail = {"add"}

        response = await browser.fetch("/commit")

        assert response.code == 503
        assert response.headers.get_list("Set-Cookie") == []
        assert (await browser.fetch("/both")).body == b"xxxxx None"


# -- responses that show nothing new ---------------------------------------------------------------------------------


async def test_a_304_consumes_nothing_and_the_next_page_does() -> None:
    def constant(handler: Any) -> None:
        handler.temp_data.get("notice")
        handler.write("always the same")

    async with serve([*PAGES, ("/constant", page(constant))]) as site:
        etag = (await site.browser().fetch("/constant")).headers["Etag"]
        browser = await left(site)

        response = await browser.fetch("/constant", headers={"If-None-Match": etag})
        assert (response.code, response.headers.get_list("Set-Cookie")) == (304, [])
        assert await held(browser) == 5

        response = await browser.fetch("/constant", headers={"If-None-Match": '"another"'})
        assert response.code == 200
        assert await held(browser) == 0


@pytest.mark.parametrize(
    ("method", "status", "headers"), [("POST", 200, {}), ("GET", 201, {}), ("GET", 200, {"Etag": '"own"'})]
)
async def test_what_tornado_never_makes_a_304_consumes_whatever_etag_the_browser_has(
    method: str, status: int, headers: dict[str, str]
) -> None:
    def answer(handler: Any) -> None:
        handler.set_status(status)
        for name, value in headers.items():
            handler.set_header(name, value)
        handler.write(handler.temp_data["notice"])

    async with serve([*PAGES, ("/answer", page(answer))]) as site:
        browser = await left(site)
        body = "" if method == "POST" else None

        response = await browser.fetch("/answer", method=method, body=body, headers={"If-None-Match": "*"})

        assert (response.code, response.body) == (status, b"xxxxx")
        assert await held(browser) == 0


async def test_an_explicit_304_consumes_nothing() -> None:
    def not_modified(handler: Any) -> None:
        handler.temp_data.get("notice")
        handler.set_status(304)

    async with serve([*PAGES, ("/304", page(not_modified))]) as site:
        browser = await left(site)

        assert (await browser.fetch("/304")).code == 304
        assert await held(browser) == 5


async def test_head_consumes_nothing_but_keeps_what_it_wrote() -> None:
    def answer(handler: Any) -> None:
        handler.temp_data.get("notice")
        handler.temp_data["written"] = 1

    async with serve([*PAGES, ("/head", page(answer)), BOTH]) as site:
        browser = await left(site)

        await browser.fetch("/head", method="HEAD")

        assert (await browser.fetch("/both")).body == b"xxxxx 1"


# -- streaming and templates ------------------------------------------------------------------------------------------


async def test_streaming_consumes_what_was_read_before_the_first_chunk() -> None:
    async def stream(handler: Any) -> None:
        handler.write(handler.temp_data["notice"])
        await handler.flush()
        handler.write("more")

    async with serve([*PAGES, ("/stream", page(stream))]) as site:
        browser = await left(site)

        assert (await browser.fetch("/stream")).body == b"xxxxxmore"
        assert await held(browser) == 0


async def test_streaming_never_becomes_a_304_and_consumes_whatever_etag_the_browser_has() -> None:
    async def stream(handler: Any) -> None:
        handler.write(handler.temp_data["notice"])
        await handler.flush()

    async with serve([*PAGES, ("/stream", page(stream))]) as site:
        browser = await left(site)

        response = await browser.fetch("/stream", headers={"If-None-Match": "*"})

        assert (response.code, response.body) == (200, b"xxxxx")
        assert await held(browser) == 0


async def test_what_is_read_after_the_first_chunk_stays_for_the_next_page() -> None:
    async def stream(handler: Any) -> None:
        await handler.flush()
        handler.write(handler.temp_data["notice"])

    async with serve([*PAGES, ("/stream", page(stream))]) as site:
        browser = await left(site)

        assert (await browser.fetch("/stream")).body == b"xxxxx"
        assert await held(browser) == 5


async def test_a_template_that_reads_consumes() -> None:
    settings = templates({"page.html": "{{ temp_data['notice'] }}"})
    async with serve([*PAGES, ("/page", page(lambda h: h.render("page.html")))], app_settings=settings) as site:
        browser = await left(site)

        assert (await browser.fetch("/page")).body == b"xxxxx"
        assert await held(browser) == 0


@pytest.mark.parametrize("moment", ["flush", "finish", "redirect"])
async def test_writing_after_the_headers_have_left_is_refused(moment: str) -> None:
    refused = []

    async def answer(handler: Any) -> None:
        if moment == "flush":
            await handler.flush()
        elif moment == "finish":
            handler.finish()
        else:
            handler.redirect("/look")
        with pytest.raises(ResponseStartedError, match="TempData cannot be changed after the response has started"):
            handler.temp_data["late"] = 1
        refused.append("late" not in handler.temp_data)

    async with serve([*PAGES, ("/late", page(answer))]) as site:
        browser = site.browser()
        await browser.fetch("/late", follow_redirects=False)

    assert refused == [True]


# -- nothing for nothing ---------------------------------------------------------------------------------------------


async def test_temp_data_that_is_not_touched_is_neither_opened_nor_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    opened, saved = [], []
    provider = CookieTempDataProvider()
    load, save = provider.load, provider.save
    monkeypatch.setattr(provider, "load", lambda request: opened.append(1) or load(request))
    monkeypatch.setattr(provider, "save", lambda *arguments: saved.append(1) or save(*arguments))

    async with serve(PAGES, temp_data=provider) as site:
        browser = await left(site)
        assert (len(opened), len(saved)) == (1, 1)

        response = await browser.fetch("/ignore")
        assert (len(opened), len(saved)) == (1, 1)
        assert "Vary" not in response.headers
        assert "Cache-Control" not in response.headers

        response = await browser.fetch("/look")
        assert (len(opened), len(saved)) == (2, 1)
        assert response.headers["Vary"] == "Cookie"
        assert "Cache-Control" not in response.headers

        response = await browser.fetch("/read")
        assert (len(opened), len(saved)) == (3, 2)
        assert (response.headers["Vary"], response.headers["Cache-Control"]) == ("Cookie", "no-store")


@pytest.mark.parametrize("provider", [CookieTempDataProvider(), SessionTempDataProvider()])
async def test_what_was_touched_but_is_unchanged_sets_no_cookie_and_takes_no_commit(provider: TempDataProvider) -> None:
    def touch(handler: Any) -> None:
        handler.temp_data["notice"] = handler.temp_data["notice"]
        handler.temp_data.keep()
        list(handler.temp_data.items())
        handler.temp_data["other"] = 1
        del handler.temp_data["other"]

    async with serve([*PAGES, ("/touch", page(touch))], temp_data=provider) as site:
        browser = await left(site)
        assert site.calls == (["add"] if isinstance(provider, SessionTempDataProvider) else [])

        response = await browser.fetch("/touch")

        assert response.code == 200
        assert response.headers.get_list("Set-Cookie") == []
        assert site.calls == (["get"] if isinstance(provider, SessionTempDataProvider) else [])


async def test_the_session_s_provider_takes_no_trip_beyond_the_session_s_own() -> None:
    def both(handler: Any) -> None:
        handler.session["visits"] = handler.session.get("visits", 0) + 1
        handler.temp_data["notice"] = handler.session["visits"]

    async with serve([*PAGES, ("/both", page(both))], temp_data=SessionTempDataProvider()) as site:
        browser = site.browser()
        await browser.fetch("/both")
        assert site.calls == ["add"]
        await browser.fetch("/both")
        assert site.calls == ["get", "replace"]
        await browser.fetch("/ignore")
        assert site.calls == ["get"]
        assert list(browser.cookies) == [".Tornado.Session"]


# -- sizes -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "cookie",
    [
        CookieOptions(),
        CookieOptions(name="n" * 60, path="/", same_site="Strict"),
        CookieOptions(name="__Host-t", partitioned=True, same_site="None", max_age=timedelta.max),
        CookieOptions(name="t", domain="d" * 100),
    ],
    ids=["default", "long name", "many attributes", "long domain"],
)
async def test_no_line_exceeds_chunk_size_and_no_set_max_size(cookie: CookieOptions) -> None:
    provider = CookieTempDataProvider(cookie=cookie, **SMALL)
    async with serve(PAGES, temp_data=provider) as site:
        for size in range(0, 1600, 100):
            response = await site.browser().fetch(f"/stay?n={size}")
            lines = response.headers.get_list("Set-Cookie")
            if ".Tornado.Session" in set_names(response):
                continue
            assert lines
            assert max(len(line) for line in lines) <= 256
            assert sum(len(line) for line in lines) <= 2560


async def test_overflow_goes_to_the_session_comes_back_and_leaves_it() -> None:
    async with serve(PAGES) as site:
        browser = await left(site, 9000)
        assert list(browser.cookies) == [".Tornado.Session"]
        assert site.calls == ["add"]

        assert (await browser.fetch("/read")).body == b"9000"
        assert site.calls == ["get", "replace"]

        assert (await browser.fetch("/read")).body == b"0"
        assert site.calls == ["get"]


async def test_a_value_that_grows_into_the_session_and_shrinks_out_of_it_leaves_nothing_behind() -> None:
    async with serve(PAGES) as site:
        browser = await left(site, 4500)
        assert sorted(browser.cookies) == [NAME, f"{NAME}C1", f"{NAME}C2"]

        response = await browser.fetch("/stay?n=9000")
        assert deleted_names(response) == [NAME, f"{NAME}C1", f"{NAME}C2"]
        assert list(browser.cookies) == [".Tornado.Session"]

        await browser.fetch("/stay?n=7")
        assert sorted(browser.cookies) == [".Tornado.Session", NAME]
        assert (await browser.fetch("/read")).body == b"7"
        assert (await browser.fetch("/read")).body == b"0"


async def test_overflow_error_answers_500_before_anything_is_sent(log_of: Any) -> None:
    errors: list[Any] = []

    class Strict(SessionMixin, RequestHandler):
        def get(self) -> None:
            self.session["also"] = "dropped"
            self.temp_data["large"] = "x" * 9000
            self.write("never sent")

        def log_exception(self, typ: Any, value: Any, tb: Any) -> None:
            errors.append(value)

    provider = CookieTempDataProvider(overflow="error")
    async with serve([*PAGES, ("/strict", Strict)], temp_data=provider) as site:
        browser = await left(site)

        response = await browser.fetch("/strict")

        assert response.code == 500
        assert b"never sent" not in response.body
        assert response.headers.get_list("Set-Cookie") == []
        assert site.calls == []
        assert await held(browser) == 5
    assert [type(error) for error in errors] == [TempDataTooLargeError]
    assert "'large' (9008 bytes)" in str(errors[0])


# -- damage ----------------------------------------------------------------------------------------------------------


async def assert_dropped(site: Site, cookies: dict[str, str]) -> None:
    """A browser with these cookies gets its page, empty TempData, and every piece deleted."""
    browser = site.browser()
    for name, value in cookies.items():
        browser.set_cookie(name, value)
    response = await browser.fetch("/read")
    assert (response.code, response.body) == (200, b"0")
    assert sorted(deleted_names(response)) == sorted(cookies)
    assert set_names(response) == []
    assert browser.cookies == {}
    assert response.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize(
    "count",
    ["0", "-1", "+2", "2147483647", "99999999999999999999", "02", "2.0", "\u0662", "\u00b2", "", "1e1", "0x2", "50"],
)
async def test_a_count_that_was_never_written_is_dropped(count: str, log_of: Any) -> None:
    async with serve(PAGES) as site:
        cookies = (await left(site, 4500)).cookies
        browser = site.browser()
        cookies[NAME] = f"chunks-{count}"
        header = "; ".join(f"{name}={value}" for name, value in cookies.items())

        response = await browser.fetch("/read", headers={"Cookie": header.encode().decode("latin1")})

    assert (response.code, response.body) == (200, b"0")
    assert sorted(deleted_names(response)) == sorted(cookies)
    assert len(log_of(logging.WARNING)) == 1
    assert "the number of pieces is not one that was ever written" in log_of(logging.WARNING)[0]


async def test_missing_doubled_and_exchanged_pieces_are_dropped(log_of: Any) -> None:
    provider = CookieTempDataProvider(**SMALL)
    async with serve(PAGES, temp_data=provider) as site:
        whole = (await left(site, 700)).cookies
        assert len(whole) > 4
        for name in whole:
            await assert_dropped(site, {key: value for key, value in whole.items() if key != name})
        for name in list(whole)[1:-1]:
            await assert_dropped(site, whole | {name: whole[f"{NAME}C4"]} if name != f"{NAME}C4" else {NAME: "x"})
        await assert_dropped(site, {NAME: "chunks-2", f"{NAME}C1": whole[f"{NAME}C2"], f"{NAME}C2": whole[f"{NAME}C1"]})

    assert len(log_of(logging.WARNING)) == 1, "warnings of one kind are limited to one in a minute"


async def test_the_order_of_the_cookies_does_not_matter() -> None:
    async with serve(PAGES, temp_data=CookieTempDataProvider(**SMALL)) as site:
        cookies = (await left(site, 700)).cookies
        header = "; ".join(f"{name}={value}" for name, value in reversed(cookies.items()))

        assert (await site.browser().fetch("/read", headers={"Cookie": header})).body == b"700"


async def test_chunks_of_two_writes_and_of_two_visitors_never_mix() -> None:
    async with serve(PAGES, temp_data=CookieTempDataProvider(**SMALL)) as site:
        one, other = (await left(site, 700)).cookies, (await left(site, 700)).cookies
        assert list(one) == list(other)
        for name in list(one)[1:]:
            await assert_dropped(site, one | {name: other[name]})


async def test_an_expired_cookie_that_is_replayed_is_empty(log_of: Any) -> None:
    async with serve(PAGES) as site:
        cookies = (await left(site)).cookies
        site.clock.advance(timedelta(days=1) - timedelta(seconds=1))
        browser = site.browser()
        browser.set_cookie(NAME, cookies[NAME])
        assert await held(browser) == 5

        site.clock.advance(timedelta(seconds=1))
        await assert_dropped(site, cookies)

    assert log_of(logging.WARNING) == ["TempData in cookies was dropped: protected data has expired."]


async def test_damaged_pieces_that_are_not_asked_for_are_left_alone() -> None:
    async with serve(PAGES) as site:
        browser = site.browser()
        browser.set_cookie(NAME, "damaged")

        response = await browser.fetch("/ignore")

    assert response.headers.get_list("Set-Cookie") == []


async def test_a_new_value_replaces_damaged_pieces_in_the_same_response() -> None:
    async with serve(PAGES) as site:
        browser = site.browser()
        browser.set_cookie(NAME, "chunks-2")
        browser.set_cookie(f"{NAME}C2", "x")

        response = await browser.fetch("/stay")

        assert (set_names(response), deleted_names(response)) == ([NAME], [f"{NAME}C2"])
        assert await held(browser) == 5


async def test_left_over_pieces_are_deleted_with_the_attributes_that_they_were_set_with() -> None:
    cookie = CookieOptions(path="/", domain="example.org", secure="always", same_site="Strict")
    async with serve(PAGES, temp_data=CookieTempDataProvider(cookie=cookie, **SMALL)) as site:
        browser = await left(site, 700)
        before = dict(browser.cookies)

        response = await browser.fetch("/stay?n=5")

    assert sorted(deleted_names(response)) == sorted(set(before) - {NAME})
    attributes = "; Domain=example.org; Path=/; HttpOnly; Secure; SameSite=Strict"
    assert all(line.endswith(attributes) for line in response.headers.get_list("Set-Cookie"))
    assert list(browser.cookies) == [NAME]


async def test_fifty_pieces_at_most_are_deleted_in_one_response() -> None:
    async with serve(PAGES) as site:
        browser = site.browser()
        for number in range(120):
            browser.set_cookie(f"{NAME}C{number}", "x")

        deleted = [len(deleted_names(await browser.fetch("/read"))) for _ in range(4)]

    assert deleted == [50, 50, 20, 0]


# -- consent, case, and parallel requests ----------------------------------------------------------------------------


async def test_without_consent_temp_data_lasts_for_the_request_alone(log_of: Any) -> None:
    def both(handler: Any) -> None:
        handler.temp_data["notice"] = "x"
        handler.write(handler.temp_data.peek("notice"))

    def consent(handler: Any) -> bool:
        return "agreed" in handler.request.arguments

    async with serve([*PAGES, ("/both", page(both))], consent=consent) as site:
        browser = site.browser()
        for _ in range(2):
            response = await browser.fetch("/both")
            assert (response.body, response.headers.get_list("Set-Cookie")) == (b"x", [])

        await browser.fetch("/both?agreed=1")
        assert list(browser.cookies) == [NAME]
        assert (await browser.fetch("/read")).body == b"0", "a cookie that comes without consent counts as absent"
        assert (await browser.fetch("/read?agreed=1")).body == b"1"

    assert log_of(logging.WARNING) == ["TempData of visitors who have not agreed to cookies is not kept."]


async def test_an_essential_cookie_needs_no_consent() -> None:
    provider = CookieTempDataProvider(cookie=CookieOptions(is_essential=True))
    async with serve(PAGES, temp_data=provider, consent=lambda _: False) as site:
        assert (await site.browser().fetch("/leave")).body == b"5"


async def test_keys_are_found_in_the_next_request_without_regard_to_case() -> None:
    def write(handler: Any) -> None:
        handler.temp_data["NoTiCe"] = "x" * 5

    async with serve([*PAGES, ("/write", page(write))]) as site:
        browser = site.browser()
        await browser.fetch("/write")

        assert (await browser.fetch("/read")).body == b"5"
        assert await held(browser) == 0


async def test_parallel_requests_with_one_cookie_are_all_answered() -> None:
    async with serve(PAGES) as site:
        browser = await left(site)

        responses = await asyncio.gather(*(browser.fetch("/read") for _ in range(8)))

        assert {response.body for response in responses} <= {b"5", b"0"}
        assert {response.code for response in responses} == {200}
        assert await held(browser) == 0


async def test_large_temp_data_with_a_cache_that_is_down_is_a_503_and_small_goes_on(log_of: Any) -> None:
    async with serve(PAGES) as site:
        browser = await left(site, 9000)
        site.cache.fail = {"get", "add", "replace"}

        assert (await browser.fetch("/read")).body == b"0"
        assert (await browser.fetch("/stay?n=9000")).code == 503
        assert (await browser.fetch("/leave?n=5")).body == b"5"


# -- the lines of cookies ---------------------------------------------------------------------------------------------


async def test_what_the_handler_sets_itself_is_sent_beside_temp_data_whichever_way_it_is_set() -> None:
    def set_three(handler: Any) -> None:
        handler.add_header("Set-Cookie", "first=1")
        handler.set_cookie("last", "3")
        handler.temp_data["notice"] = "x" * 4500

    async with serve([("/", page(set_three))]) as site:
        response = await site.browser().fetch("/")

    assert set_names(response) == ["first", NAME, f"{NAME}C1", f"{NAME}C2", "last"]


@pytest.mark.parametrize(
    "line", ["a=1\r\nX-Added: 1", "a=1\nX-Added: 1", "a=1\rX-Added: 1", "a=\x00", "a=\x1f", "a=\x7f", "a=\u20ac"]
)
async def test_a_provider_s_line_that_no_header_carries_is_refused_before_anything_is_sent(line: str) -> None:
    class SplittingProvider(TempDataProvider):
        def load(self, request: TempDataRequest) -> dict[str, Any]:
            return {}

        def save(self, request: TempDataRequest, values: Mapping[str, Any]) -> None:
            request.set_cookie_line(line)

    async with serve(PAGES, temp_data=SplittingProvider()) as site:
        response = await site.browser().fetch("/stay", method="POST", body="")

    assert response.code == 500
    assert response.headers.get_list("Set-Cookie") == []
    assert "X-Added" not in response.headers
