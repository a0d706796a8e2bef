"""The hook, its errors, and that nothing secret is ever told."""

import inspect
import logging
from collections.abc import Callable
from datetime import timedelta
from typing import Any, ClassVar

import pytest
from tornado.httputil import HTTPHeaders, HTTPServerRequest, RequestStartLine
from tornado.web import Application, RequestHandler

import tornado_session
from tests.conftest import SECRET, Site, serve
from tests.test_handler import COOKIE
from tornado_session import (
    CacheEntry,
    ConfigurationError,
    CookieOptions,
    CookieTempDataProvider,
    KeyRing,
    MemoryCache,
    SessionMixin,
    SessionNotConfiguredError,
    SessionNotLoadedError,
    SessionOptions,
    session_settings,
)
from tornado_session.cookies import encoding
from tornado_session.logs import LimitedLog
from tornado_session.record import SessionRecord
from tornado_session.testing import FakeClock

LEAKING = "a secret that must not be told"


# -- session_settings --------------------------------------------------------------------------------------------------


def test_the_hook_gives_settings_for_an_application_and_passes_tornados_own_on() -> None:
    settings = session_settings(cache=MemoryCache(), cookie_secret={1: SECRET, 2: SECRET[::-1]}, key_version=2)

    assert set(settings) == {"sessions", "cookie_secret", "key_version"}
    assert (settings["cookie_secret"], settings["key_version"]) == ({1: SECRET, 2: SECRET[::-1]}, 2)


def test_with_keys_tornado_keeps_a_secret_of_its_own_or_none() -> None:
    keys = KeyRing({"a": SECRET}, current="a")

    assert set(session_settings(cache=MemoryCache(), keys=keys)) == {"sessions"}
    assert session_settings(cache=MemoryCache(), keys=keys, cookie_secret="short")["cookie_secret"] == "short"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"cache": MemoryCache},
            r"cache must be a DistributedCache, such as MemoryCache\(\), not the class MemoryCache itself",
        ),
        ({"cache": {}}, r"cache must be a DistributedCache, such as MemoryCache\(\), not dict"),
        ({"cache": None}, "cache must be a DistributedCache, such as MemoryCache"),
        ({"cookie_secret": None}, r"cookie_secret is missing: .*secrets\.token_urlsafe"),
        ({"cookie_secret": "too short"}, "has 9 characters, but needs at least 16; make one with: python -c"),
        ({"cookie_secret": ""}, "has 0 characters"),
        ({"cookie_secret": 7}, "cookie_secret must be a string or a dict of version to string, not int"),
        (
            {"cookie_secret": {}, "key_version": 1},
            "cookie_secret does not work: keys is empty; give at least one secret",
        ),
        ({"cookie_secret": {1: SECRET}}, "say with key_version which one is current"),
        (
            {"cookie_secret": {1: SECRET}, "key_version": 2},
            "key_version is 2, which is not among the versions of cookie_secret",
        ),
        ({"cookie_secret": {1: SECRET, 2: "short"}, "key_version": 1}, "the secret of key 2 has 5 characters"),
        ({"key_version": 1}, "key_version goes with a dict of secrets"),
        ({"keys": {1: SECRET}}, r"keys must be KeyRing\(\{1: secret\}, current=1\), not dict"),
        ({"session": SessionOptions}, r"session must be SessionOptions\(\.\.\.\), not the class SessionOptions"),
        ({"session": {"idle_timeout": 1}}, r"session must be SessionOptions\(\.\.\.\), not dict"),
        ({"temp_data": "cookie"}, r"temp_data must be CookieTempDataProvider\(\.\.\.\), not str"),
        ({"consent": True}, "consent must be a function, not bool"),
        ({"clock": 0}, "clock must be a function, not int"),
        (
            {"session": SessionOptions(cookie=CookieOptions(name=".Tornado.TempData"))},
            "is a name that TempData's cookie",
        ),
        (
            {"temp_data": CookieTempDataProvider(cookie=CookieOptions(name=COOKIE))},
            "the session's cookie is called '.Tornado.Session'",
        ),
    ],
)
def test_a_wrong_argument_is_refused_at_start_with_its_name_and_the_remedy(
    arguments: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigurationError, match=message):
        session_settings(**{"cache": MemoryCache(), "cookie_secret": SECRET, **arguments})


def test_arguments_are_named_and_the_cache_is_required() -> None:
    with pytest.raises(TypeError):
        session_settings(MemoryCache())  # type: ignore[call-arg, misc]
    with pytest.raises(TypeError, match="cache"):
        session_settings(cookie_secret=SECRET)  # type: ignore[call-arg]


@pytest.mark.parametrize(
    "arguments",
    [
        {"keys": LEAKING},
        {"keys": {1: LEAKING}},
        {"cache": LEAKING},
        {"session": LEAKING},
        {"cookie_secret": {1: LEAKING}},
        {"cookie_secret": [LEAKING]},
        {"cookie_secret": {1: LEAKING}, "key_version": 2},
        {"cookie_secret": LEAKING, "key_version": 2},
        {"cookie_secret": {1: LEAKING, 2: LEAKING[:8]}, "key_version": 1},
    ],
)
def test_no_message_about_an_argument_repeats_a_secret(arguments: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError) as raised:
        session_settings(**{"cache": MemoryCache(), "cookie_secret": SECRET, **arguments})

    assert LEAKING[:8] not in str(raised.value)


def test_nothing_that_the_hook_makes_shows_a_secret_in_its_repr() -> None:
    settings = session_settings(cache=MemoryCache(), cookie_secret=LEAKING)
    sessions = settings["sessions"]

    shown = [repr(value) for value in (sessions, *vars(sessions).values(), sessions.protector("any"))]

    assert not [text for text in shown if LEAKING in text]


# -- two applications, none, and the forgotten line --------------------------------------------------------------------


class Handler(SessionMixin, RequestHandler):
    def get(self) -> None:
        self.session["a"] = 1


def answers(handler: type[RequestHandler]) -> Callable[[Any], Any]:
    """Run one request against ``handler`` and give back the lines that Tornado logged about it."""

    async def run(caplog: pytest.LogCaptureFixture) -> tuple[int, str]:
        async with serve([("/", handler)]) as site:
            response = await site.browser().fetch("/")
        return response.code, caplog.text

    return run


async def test_a_handler_in_an_application_without_the_hook_says_what_is_missing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with serve([("/", Handler)]) as site:
        del site.app.settings["sessions"]

        assert (await site.browser().fetch("/")).code == 500
    assert (
        "SessionNotConfiguredError: Session has not been configured for this application or request. "
        "Build the application with tornado.web.Application(handlers, **session_settings("
    ) in caplog.text


def test_outside_of_an_application_with_the_hook_there_is_no_session_either() -> None:
    class Bare(SessionMixin):
        settings = Application().settings
        request = HTTPServerRequest(
            start_line=RequestStartLine("GET", "/", "HTTP/1.1"), headers=HTTPHeaders({"Host": "example.org"})
        )

    for name in ("session", "temp_data"):
        with pytest.raises(SessionNotConfiguredError, match="Session has not been configured"):
            getattr(Bare(), name)


async def test_a_prepare_that_forgets_its_super_is_named_with_the_missing_line(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Base(Handler):
        async def prepare(self) -> None:
            self.items["started"] = True

    class Page(Base):
        pass

    code, text = await answers(Page)(caplog)

    assert code == 500
    assert (
        "SessionNotLoadedError: Session not loaded: Base.prepare() did not call `await super().prepare()`. "
        "Add that line, in an `async def prepare(self)`."
    ) in text


async def test_a_prepare_that_is_not_awaited_is_named_too(caplog: pytest.LogCaptureFixture) -> None:
    class Page(Handler):
        def prepare(self) -> None:  # type: ignore[override]
            super().prepare().close()

    code, text = await answers(Page)(caplog)

    assert code == 500
    assert "Session not loaded: Page.prepare() did not call `await super().prepare()`" in text


async def test_a_session_that_is_read_before_super_prepare_says_so() -> None:
    messages: list[str] = []

    class Page(Handler):
        async def prepare(self) -> None:
            try:
                self.session.get("a")
            except SessionNotLoadedError as error:
                messages.append(str(error))
            await super().prepare()

    async with serve([("/", Page)]) as site:
        assert (await site.browser().fetch("/")).code == 200

    assert messages[0].startswith("Session not loaded: Page.prepare() did not call")


async def test_the_sessions_object_is_in_the_settings_of_its_application_alone() -> None:
    async with serve([("/", Handler)]) as one, serve([("/", Handler)]) as other:
        assert one.app.settings["sessions"] is not other.app.settings["sessions"]
        assert one.app.settings["sessions"].cache is one.cache


# -- silence -----------------------------------------------------------------------------------------------------------


# Put together, or the source lines of a traceback would tell them.
VALUE, LABEL, WHOSE = ("-".join((word, "of", "session")) for word in ("value", "label", "owner"))


class Story(SessionMixin, RequestHandler):
    """Does everything that could make somebody log or show something; keeps what was shown, and the keys."""

    told: ClassVar[list[str]] = []
    keys: ClassVar[set[bytes | None]] = set()

    async def get(self, verb: str) -> None:
        self.told.extend([repr(self.session), repr(self.temp_data), repr(self._exchange), repr(self.items)])
        self.temp_data["notice"] = VALUE
        if verb:
            await getattr(self, f"do_{verb}")()
        self.keys.add(self.session._key)
        self.told.append(repr(self.session))

    async def do_write(self) -> None:
        self.session["password"] = VALUE

    async def do_regenerate(self) -> None:
        await self.session.regenerate(owner=WHOSE)
        self.session.label = LABEL

    async def do_destroy(self) -> None:
        await self.session.destroy()

    async def do_large(self) -> None:
        self.session["large"] = VALUE * 10_000

    async def do_raise(self) -> None:
        await self.do_write()
        raise RuntimeError("mistake")

    async def do_wrong(self) -> None:
        self.session["wrong"] = {"password": object(), "other": VALUE}


async def tell(site: Site) -> set[str]:
    """Walk a visitor through it all, with faults and forgeries; return the values of all cookies on the way."""
    browser = site.browser()
    cookies: set[str] = set()

    async def visit(*verbs: str) -> None:
        for verb in verbs:
            await browser.fetch(f"/{verb}")
            cookies.update(browser.cookies.values())

    await visit("", "write", "regenerate", "write", "large", "wrong", "raise", "destroy", "write")
    for fault in ("fail", "hang"):
        getattr(site.cache, fault).update({"get", "add", "replace", "remove"})
        await visit("", "write", "destroy", "regenerate")
        getattr(site.cache, fault).clear()
    for name in (COOKIE, ".Tornado.TempData"):
        browser.set_cookie(name, "forged-value")
    await visit("write")
    site.clock.advance(timedelta(minutes=20))
    await visit("write")
    return cookies


async def test_no_secret_key_cookie_or_value_is_logged_or_shown_over_a_whole_story(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    options = SessionOptions(max_size=2000, io_timeout=timedelta(milliseconds=20))
    async with serve([("/(.*)", Story)], session=options, cookie_secret=LEAKING) as site:
        cookies = await tell(site)
        told = [*Story.told, repr(site.app.settings["sessions"]), repr(site.cache.inner)]

    text = "\n".join([caplog.text, *(str(record.args) for record in caplog.records), *told])
    forbidden = [LEAKING, VALUE, LABEL, WHOSE, "forged-value", *cookies]
    for key in filter(None, Story.keys):
        forbidden += [key.hex(), repr(key), encoding.encode(key)]
    assert (len(caplog.records) > 30, len(cookies) > 4, len(Story.keys) > 3) == (True, True, True)
    assert [word for word in forbidden if word in text] == []


def test_a_flood_of_one_kind_of_warning_is_one_line_a_minute_and_another_kind_comes_through(log_of: Any) -> None:
    clock = FakeClock()
    log, logger = LimitedLog(clock), logging.getLogger("tornado_session.flood")
    for number in range(3):
        log.warning(logger, "one", f"one {number}")
    log.warning(logger, "other", "other")
    clock.advance(timedelta(seconds=60))
    log.warning(logger, "one", "one again")
    clock.advance(timedelta(hours=-1))
    log.warning(logger, "one", "one after the clock was set back")
    log.warning_once(logger, "once", "once")
    clock.advance(timedelta(hours=5))
    log.warning_once(logger, "once", "once more")

    assert log_of() == [
        "one 0",
        "other",
        "one again (2 more since the last such line)",
        "one after the clock was set back",
        "once",
    ]


# -- the public face ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", tornado_session.__all__)
def test_every_public_name_and_method_is_documented(name: str) -> None:
    public = getattr(tornado_session, name)

    assert inspect.getdoc(public)
    if inspect.isclass(public):
        members = [(member, value) for member, value in vars(public).items() if not member.startswith("_")]
        functions = [(member, value) for member, value in members if inspect.isfunction(value)]
        assert [member for member, _ in functions if not inspect.getdoc(getattr(public, member))] == []
        properties = [member for member, value in members if isinstance(value, property)]
        assert [member for member in properties if not inspect.getdoc(vars(public)[member])] == []


def test_the_repr_of_what_is_stored_shows_its_size_and_not_its_content() -> None:
    record = SessionRecord("public-id", 0.0, "owner-secret", "label-secret", {"pin": "value-secret"}, b"value-secret")
    entry = CacheEntry(b"value-secret", 7)

    shown = repr([record, entry])

    assert "secret" not in shown
    assert "public-id" in shown
    assert "12 bytes" in shown
