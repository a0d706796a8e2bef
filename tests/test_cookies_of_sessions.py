"""The session's cookie over HTTP: its attributes, who gets one, what a browser may send, and keys that rotate."""

import logging
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from tornado.web import RequestHandler

from tests.conftest import SECRET, Site, serve
from tests.test_handler import COOKIE, Visits, WriteAndReturn
from tornado_session import (
    CookieOptions,
    CookieTempDataProvider,
    KeyRing,
    MemoryCache,
    Session,
    SessionMixin,
    SessionOptions,
)
from tornado_session.cookies import encoding
from tornado_session.testing import CookieClient, FakeClock, FaultyCache

OLD, NEW, OTHER = "the old secret of the site", "the new secret of the site", "another secret altogether"


class Idle(SessionMixin, RequestHandler):
    """Never touches its session."""

    def get(self) -> None:
        self.write("idle")


class SignOut(SessionMixin, RequestHandler):
    async def get(self) -> None:
        await self.session.destroy()


class Notice(SessionMixin, RequestHandler):
    def get(self) -> None:
        self.temp_data["notice"] = "hello"


ROUTES = [("/", WriteAndReturn), ("/visits", Visits), ("/idle", Idle), ("/out", SignOut), ("/notice", Notice)]


def with_cookie(**options: Any) -> SessionOptions:
    return SessionOptions(cookie=CookieOptions(**options))


async def lines_of(browser: CookieClient, path: str = "/", **headers: str) -> list[str]:
    return (await browser.fetch(path, headers=headers)).headers.get_list("Set-Cookie")


# -- attributes --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "attributes"),
    [
        ({}, "Path=/; HttpOnly; SameSite=Lax"),
        ({"path": "/app", "http_only": False, "same_site": "Strict"}, "Path=/app; SameSite=Strict"),
        ({"domain": "example.org", "same_site": None}, "Domain=example.org; Path=/; HttpOnly"),
        ({"secure": "always"}, "Path=/; HttpOnly; Secure; SameSite=Lax"),
        ({"same_site": "None", "partitioned": True}, "Path=/; HttpOnly; Secure; SameSite=None; Partitioned"),
        ({"max_age": timedelta(hours=1)}, "Max-Age=3600; Path=/; HttpOnly; SameSite=Lax"),
        ({"name": "__Host-session"}, "Path=/; HttpOnly; Secure; SameSite=Lax"),
    ],
)
async def test_the_cookie_is_set_and_deleted_with_the_attributes_of_its_options(
    options: dict[str, Any], attributes: str
) -> None:
    name = options.get("name", COOKIE)
    async with serve(ROUTES, session=with_cookie(**options)) as site:
        browser = site.browser()
        (set_line,) = await lines_of(browser)
        pair, _, rest = set_line.partition("; ")
        browser.set_cookie(name, pair.partition("=")[2])
        (delete_line,) = await lines_of(browser, "/out")

    assert (pair.partition("=")[0], rest) == (name, attributes)
    kept = "; ".join(part for part in attributes.split("; ") if not part.startswith("Max-Age"))
    assert delete_line == f"{name}=; Max-Age=0; Expires=Thu, 01 Jan 1970 00:00:00 GMT; {kept}"


async def test_the_default_cookie_is_secure_when_the_visitor_came_over_https() -> None:
    class Https(WriteAndReturn):
        async def prepare(self) -> None:
            self.request.protocol = "https"
            await super().prepare()

    async with serve([("/", Https)]) as site:
        (line,) = await lines_of(site.browser())

    assert line.endswith("; HttpOnly; Secure; SameSite=Lax")


async def test_the_value_is_opaque_and_different_each_time_it_is_made() -> None:
    async with serve(ROUTES, session=with_cookie(max_age=timedelta(hours=1))) as site:
        browser = site.browser()
        values = []
        for _ in range(3):
            await browser.fetch("/")
            values.append(browser.cookies[COOKIE])

    assert len(set(values)) == 3
    assert all(
        len(value) > 80 and set(value) <= set(encoding.encode(bytes(range(256)))) | set("_-") for value in values
    )


async def test_max_age_is_rolled_forward_with_every_response_and_keeps_caches_away() -> None:
    async with serve(ROUTES, session=with_cookie(max_age=timedelta(hours=1))) as site:
        browser = site.browser()
        await browser.fetch("/")

        response = await browser.fetch("/idle")

        assert "Max-Age=3600" in response.headers["Set-Cookie"]
        assert response.headers["Cache-Control"] == "no-store"
        # A visitor without a session gets none by rolling.
        assert await lines_of(site.browser(), "/idle") == []


async def test_a_cookie_without_max_age_is_sent_once() -> None:
    async with serve(ROUTES) as site:
        browser = site.browser()
        assert len(await lines_of(browser)) == 1
        assert [await lines_of(browser, path) for path in ("/", "/visits", "/idle")] == [[], [], []]


# -- consent -----------------------------------------------------------------------------------------------------------


class Blocked(SessionMixin, RequestHandler):
    def get(self) -> None:
        self.session["visits"] = self.session.get("visits", 0) + 1
        self.write({"visits": self.session["visits"], "reason": self.session.blocked_reason})


def agreed(handler: RequestHandler) -> bool:
    return handler.get_cookie("consent") == "yes"


async def test_without_consent_writes_are_readable_in_the_request_and_nothing_is_stored_or_sent(log_of: Any) -> None:
    async with serve([("/", Blocked), ("/notice", Notice)], consent=agreed) as site:
        browser = site.browser()

        responses = [await browser.fetch("/") for _ in range(3)] + [await browser.fetch("/notice")]

        assert [response.body for response in responses[:3]] == [b'{"visits": 1, "reason": "consent"}'] * 3
        assert [response.headers.get_list("Set-Cookie") for response in responses] == [[]] * 4
        assert site.calls == []
    assert log_of(logging.WARNING) == [
        "Sessions of visitors who have not agreed to cookies are not stored.",
        "TempData of visitors who have not agreed to cookies is not kept.",
    ]


async def test_a_session_cookie_without_consent_is_treated_as_absent_and_found_again_with_it() -> None:
    async with serve([("/", Blocked)], consent=agreed) as site:
        browser = site.browser()
        browser.set_cookie("consent", "yes")
        await browser.fetch("/")
        browser.delete_cookie("consent")
        site.calls  # noqa: B018 - forgets the calls so far

        without = await browser.fetch("/")
        calls_without = site.calls
        browser.set_cookie("consent", "yes")
        again = await browser.fetch("/")

    assert (without.body, calls_without) == (b'{"visits": 1, "reason": "consent"}', [])
    assert again.body == b'{"visits": 2, "reason": null}'


async def test_without_consent_nobody_looks_at_the_cookie(log_of: Any) -> None:
    async with serve([("/", Blocked)], consent=agreed) as site:
        browser = site.browser()
        browser.set_cookie(COOKIE, "forged")

        await browser.fetch("/")
        without = [line for line in log_of(logging.WARNING) if "did not open" in line]
        browser.set_cookie("consent", "yes")
        await browser.fetch("/")

        assert without == []
    assert len([line for line in log_of(logging.WARNING) if "did not open" in line]) == 1


async def test_an_essential_cookie_needs_no_consent_and_asks_nobody() -> None:
    def fail(handler: RequestHandler) -> bool:
        raise AssertionError("nobody needs to be asked")

    options = with_cookie(is_essential=True)
    async with serve([("/", Blocked)], consent=fail, session=options) as site:
        assert (await site.browser().fetch("/")).body == b'{"visits": 1, "reason": null}'


# -- what a browser may send -------------------------------------------------------------------------------------------


def _respelled(value: str) -> str:
    """The same bytes, other spare bits in the last character."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    last = alphabet.index(value[-1])
    assert len(value) % 4, "a value without spare bits"
    return value[:-1] + alphabet[last + 1]


FORGERIES: dict[str, Callable[[str], str]] = {
    "empty": lambda _: "",
    "nonsense": lambda _: "nonsense",
    "not base64url": lambda value: value[:-1] + "*",
    "with padding": lambda value: value + "=" * (-len(value) % 4),
    "respelled": _respelled,
    "cut": lambda value: value[:-4],
    "cut to its header": lambda value: value[:4],
    "one bit changed": lambda value: value[:40] + ("A" if value[40] != "A" else "B") + value[41:],
    "two values joined": lambda value: value + value,
    "of an unknown key": lambda _: encoding.encode(
        KeyRing({7: SECRET}, current=7).protector("session cookie", COOKIE).protect(bytes(32))
    ),
    "of another secret": lambda _: encoding.encode(
        KeyRing({0: OTHER}, current=0).protector("session cookie", COOKIE).protect(bytes(32))
    ),
    "for another purpose": lambda _: encoding.encode(
        KeyRing({0: SECRET}, current=0).protector("temp_data cookie", COOKIE).protect(bytes(32))
    ),
    "of another cookie": lambda _: encoding.encode(
        KeyRing({0: SECRET}, current=0).protector("session cookie", "other").protect(bytes(32))
    ),
    "not a key": lambda _: encoding.encode(
        KeyRing({0: SECRET}, current=0).protector("session cookie", COOKIE).protect(bytes(31))
    ),
    "as long as a header may be": lambda _: "A" * 50_000,
    "text of another script": lambda _: "ÄÖÜ",
}


@pytest.mark.parametrize("forgery", FORGERIES.values(), ids=list(FORGERIES))
async def test_a_cookie_that_does_not_open_is_a_new_visitor_with_one_short_warning(
    forgery: Callable[[str], str], log_of: Any
) -> None:
    async with serve(ROUTES) as site:
        browser = site.browser()
        await browser.fetch("/")
        genuine = browser.cookies[COOKIE]
        forged = forgery(genuine)
        browser.set_cookie(COOKIE, forged)
        site.calls  # noqa: B018 - forgets the calls so far

        responses = [await browser.fetch("/visits") for _ in range(3)]

        assert [response.code for response in responses] == [200] * 3
        assert b'"visits": 0' in responses[0].body
        assert (site.calls, "Set-Cookie" in responses[0].headers) == ([], False)
        # A write gives the visitor a session of their own, and leaves the other's alone.
        await browser.fetch("/")
        assert browser.cookies[COOKIE] not in (genuine, forged)
        assert b'"visits": 1' in (await browser.fetch("/visits")).body
    (line,) = log_of(logging.WARNING)
    assert line.startswith("A session cookie did not open, its sender is a new visitor: ")
    assert len(line) < 200
    assert not forged or forged not in line


async def test_a_genuine_cookie_of_a_session_that_is_gone_is_no_warning(log_of: Any) -> None:
    async with serve(ROUTES) as site:
        browser = site.browser()
        await browser.fetch("/")
        site.clock.advance(timedelta(minutes=20))

        response = await browser.fetch("/visits")

        assert b'"visits": 0' in response.body
    assert log_of(logging.WARNING) == []


async def test_a_warning_tells_how_many_of_its_kind_were_held_back_for_a_minute(log_of: Any) -> None:
    async with serve(ROUTES) as site:
        browser = site.browser()
        browser.set_cookie(COOKIE, "forged")
        for _ in range(5):
            await browser.fetch("/visits")
        site.clock.advance(timedelta(seconds=61))
        await browser.fetch("/visits")

    lines = log_of(logging.WARNING)
    assert len(lines) == 2
    assert lines[1].endswith("(4 more since the last such line)")


async def test_cookies_beside_ours_that_no_parser_likes_do_no_harm() -> None:
    async with serve(ROUTES) as site:
        browser = site.browser()
        await browser.fetch("/")
        header = browser.cookie_header()["Cookie"]

        response = await site.browser().fetch("/visits", headers={"Cookie": f'a="; b; =c; {header}; d=\\'})

        assert b'"visits": 1' in response.body


# -- caches on the way -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "own", "vary", "cache_control"),
    [
        ("/idle", {}, None, None),
        ("/visits", {}, "Cookie", None),
        ("/", {}, "Cookie", "no-store"),
        ("/notice", {}, "Cookie", "no-store"),
        ("/visits", {"Vary": "Accept-Encoding"}, "Accept-Encoding, Cookie", None),
        ("/visits", {"Vary": "*"}, "*", None),
        ("/visits", {"Vary": "cookie, Accept"}, "cookie, Accept", None),
        ("/visits", {"Cache-Control": "private, max-age=60"}, "Cookie", "private, max-age=60"),
        ("/", {"Cache-Control": "no-store, private"}, "Cookie", "no-store, private"),
        ("/", {"Cache-Control": "No-Store, no-transform"}, "Cookie", "No-Store, no-transform"),
        ("/", {"Cache-Control": "public, max-age=60, no-transform"}, "Cookie", "no-transform, no-store"),
        ("/", {"Cache-Control": 'private="a", s-maxage=1'}, "Cookie", 'private="a", no-store'),
        (
            "/",
            {"Cache-Control": "immutable, Stale-While-Revalidate=1, stale-if-error = 1, must-revalidate"},
            "Cookie",
            "must-revalidate, no-store",
        ),
    ],
)
async def test_vary_and_cache_control_say_what_depends_on_the_cookie(
    path: str, own: dict[str, str], vary: str | None, cache_control: str | None
) -> None:
    def with_headers(handler: type[Any]) -> type[Any]:
        class Handler(handler):
            def set_default_headers(self) -> None:
                for name, value in own.items():
                    self.set_header(name, value)

        return Handler

    async with serve([(route, with_headers(handler)) for route, handler in ROUTES]) as site:
        headers = (await site.browser().fetch(path)).headers

        assert (headers.get("Vary"), headers.get("Cache-Control")) == (vary, cache_control)


async def test_a_page_that_does_not_look_at_the_session_is_the_same_for_everybody_who_brings_a_cookie() -> None:
    async with serve(ROUTES) as site:
        browser = site.browser()
        await browser.fetch("/")

        headers = (await browser.fetch("/idle")).headers

        assert ("Vary" in headers, "Cache-Control" in headers, "Set-Cookie" in headers) == (False, False, False)


@pytest.mark.parametrize(
    "look",
    [
        lambda session: session["visits"],
        lambda session: session.get("visits"),
        lambda session: "visits" in session,
        len,
        iter,
        lambda session: session.id,
        lambda session: session.owner,
        lambda session: session.label,
        lambda session: session.created,
        lambda session: session.expires,
        lambda session: session.is_new,
        lambda session: session.is_expired,
        lambda session: session.is_ended,
    ],
)
async def test_a_page_that_looks_at_the_session_depends_on_the_cookie(look: Callable[[Session], Any]) -> None:
    class Looking(SessionMixin, RequestHandler):
        def get(self) -> None:
            look(self.session)

    async with serve([*ROUTES, ("/looking", Looking)]) as site:
        browser = site.browser()
        await browser.fetch("/")

        headers = (await browser.fetch("/looking")).headers

        assert (headers["Vary"], "Cache-Control" in headers) == ("Cookie", False)


async def test_a_reader_with_a_cookie_gets_vary_without_no_store() -> None:
    async with serve(ROUTES) as site:
        browser = site.browser()
        await browser.fetch("/")

        headers = (await browser.fetch("/visits")).headers

        assert (headers["Vary"], "Cache-Control" in headers, "Set-Cookie" in headers) == ("Cookie", False, False)


# -- rotation ----------------------------------------------------------------------------------------------------------


class Rotating:
    """One site whose application is built again and again, over one cache."""

    def __init__(self, **session: Any) -> None:
        self.clock = FakeClock()
        self.cache = FaultyCache(MemoryCache(clock=self.clock))
        self.session = SessionOptions(**session)
        self.jar: CookieClient | None = None

    def serve(self, secrets: Any, version: int | None = None) -> Any:
        return serve(
            [*ROUTES, ("/sign-in", SignIn)],
            cache=self.cache,
            clock=self.clock,
            cookie_secret=secrets,
            key_version=version,
            session=self.session,
            temp_data=CookieTempDataProvider(),
        )

    def browser(self, site: Site) -> CookieClient:
        browser = site.browser()
        for cookie in self.jar.stored_cookies if self.jar else []:
            browser.set_cookie(cookie.name, cookie.value)
        self.jar = browser
        return browser


class SignIn(SessionMixin, RequestHandler):
    async def get(self) -> None:
        await self.session.regenerate(owner="user-42")


def key_of(cookie: str) -> bytes:
    protected = encoding.decode(cookie)
    assert protected is not None
    return protected[2 : 2 + protected[1]]


async def test_a_session_goes_on_while_its_keys_rotate_and_nobody_is_signed_out(log_of: Any) -> None:
    place = Rotating()
    async with place.serve(OLD) as site:
        browser = place.browser(site)
        await browser.fetch("/")
        assert key_of(browser.cookies[COOKIE]) == b"i0"

    async with place.serve({0: OLD, 1: NEW}, 1) as site:
        browser = place.browser(site)
        # A response that does not even touch the session brings the cookie under the current key, once.
        assert len(await lines_of(browser, "/idle")) == 1
        assert key_of(browser.cookies[COOKIE]) == b"i1"
        assert await lines_of(browser, "/idle") == []

    async with place.serve({1: NEW}, 1) as site:
        assert b'"visits": 1' in (await place.browser(site).fetch("/visits")).body
    assert log_of(logging.WARNING) == []


@pytest.mark.parametrize("version", [0, 1])
async def test_servers_that_are_not_rotated_yet_still_serve_the_visitor(version: int) -> None:
    place = Rotating()
    async with place.serve({0: OLD, 1: NEW}, version) as site:
        await place.browser(site).fetch("/")
    async with place.serve({0: OLD, 1: NEW}, 1 - version) as site:
        assert b'"visits": 1' in (await place.browser(site).fetch("/visits")).body


@pytest.mark.parametrize("options", [{"encrypt": True}, {}])
async def test_what_the_store_keeps_under_the_old_key_follows_although_the_session_is_only_read(
    options: dict[str, Any],
) -> None:
    place = Rotating(**options)
    async with place.serve(OLD) as site:
        browser = place.browser(site)
        await browser.fetch("/")
        await browser.fetch("/sign-in")
    place.cache.calls.clear()
    async with place.serve({0: OLD, 1: NEW}, 1) as site:
        browser = place.browser(site)
        await browser.fetch("/idle")
        assert place.cache.calls == ["get", "replace"]
        await browser.fetch("/idle")
        assert place.cache.calls == ["get", "replace", "get"]

    async with place.serve({1: NEW}, 1) as site:
        browser = place.browser(site)
        assert b'"visits": 1' in (await browser.fetch("/visits")).body
        assert await site.app.settings["sessions"].revoke_all("user-42") == 1
        assert b'"visits": 0' in (await browser.fetch("/visits")).body


async def test_the_rewrite_of_a_rotation_meets_no_conflict_that_a_reader_would_have_to_answer_for() -> None:
    place = Rotating(encrypt=True, on_conflict="fail")
    async with place.serve(OLD) as site:
        await place.browser(site).fetch("/")
    async with place.serve({0: OLD, 1: NEW}, 1) as site:
        browser = place.browser(site)
        replace, hurdles = place.cache.inner.replace, ["one"]

        async def overtaken(*args: Any, **kwargs: Any) -> Any:
            if hurdles:
                hurdles.pop()
                await replace(*args, **kwargs)
                return None
            return await replace(*args, **kwargs)

        place.cache.inner.replace = overtaken  # type: ignore[method-assign]

        assert (await browser.fetch("/visits")).code == 200


async def test_visitors_of_a_key_that_was_dropped_start_anew_with_one_line_and_no_traceback(
    log_of: Any, caplog: pytest.LogCaptureFixture
) -> None:
    place = Rotating()
    async with place.serve(OLD) as site:
        await place.browser(site).fetch("/")
    async with place.serve({1: NEW}, 1) as site:
        browser = place.browser(site)
        responses = [await browser.fetch("/visits") for _ in range(3)]

        assert all(b'"visits": 0' in response.body for response in responses)
    assert log_of(logging.WARNING) == [
        "A session cookie did not open, its sender is a new visitor: made with key 0, which is not on the key ring."
    ]
    assert not any(record.exc_info for record in caplog.records)


async def test_a_cookie_is_not_renewed_for_a_session_that_is_gone() -> None:
    place = Rotating()
    async with place.serve(OLD) as site:
        await place.browser(site).fetch("/")
    place.clock.advance(timedelta(minutes=20))
    async with place.serve({0: OLD, 1: NEW}, 1) as site:
        assert await lines_of(place.browser(site), "/visits") == []


# -- two applications --------------------------------------------------------------------------------------------------


async def test_two_applications_share_neither_cookies_nor_sessions() -> None:
    async with serve(ROUTES) as one, serve(ROUTES, cookie_secret=OTHER) as other:
        browser = one.browser()
        await browser.fetch("/")
        visitor = other.browser()
        visitor.set_cookie(COOKIE, browser.cookies[COOKIE])

        assert b'"visits": 0' in (await visitor.fetch("/visits")).body
        assert other.calls == []


async def test_two_applications_on_one_host_live_side_by_side_under_names_of_their_own() -> None:
    options = with_cookie(name="other")
    async with serve(ROUTES) as one, serve(ROUTES, session=options) as other:
        browser, neighbour = one.browser(), other.browser()
        await browser.fetch("/")
        neighbour.set_cookie(COOKIE, browser.cookies[COOKIE])
        await neighbour.fetch("/")
        # The value of the one's cookie under the other's name is a forgery.
        thief = other.browser()
        thief.set_cookie("other", browser.cookies[COOKIE])

        assert set(neighbour.cookies) == {COOKIE, "other"}
        assert b'"visits": 0' in (await thief.fetch("/visits")).body
