"""The response waits for the session: whichever way it is made, what changed is stored before its first byte leaves."""

import asyncio
import gc
import logging
from datetime import timedelta
from typing import Any
from weakref import ref

import pytest
from tornado.httpclient import AsyncHTTPClient
from tornado.template import DictLoader
from tornado.web import Finish, HTTPError, RequestHandler
from tornado.websocket import WebSocketHandler, websocket_connect

from tests.conftest import Site, serve
from tornado_session import (
    ConfigurationError,
    CookieTempDataProvider,
    MemoryCache,
    ResponseStartedError,
    SessionConflictError,
    SessionMixin,
    SessionOptions,
)
from tornado_session.testing import FakeClock, FaultyCache

COOKIE = ".Tornado.Session"
DELAY = timedelta(milliseconds=100)
# Tornado keeps one loader for each template_path, for ever.
TEMPLATES = {
    "template_path": "test_handler",
    "template_loader": DictLoader(
        {"page.html": "body", "session.html": "{{ session['visits'] }} {{ temp_data.peek('notice') }}"}
    ),
}


class Page(SessionMixin, RequestHandler):
    """Writes the session at its first request; a subclass says how the response is made."""

    def change(self) -> None:
        self.session["visits"] = self.session.get("visits", 0) + 1


class Visits(SessionMixin, RequestHandler):
    def get(self) -> None:
        self.write({"visits": self.session.get("visits", 0), "id": self.session.id})


class WriteAndReturn(Page):
    def get(self) -> None:
        self.change()
        self.write("body")


class Render(Page):
    def get(self) -> None:
        self.change()
        self.render("page.html")


class AwaitFinish(Page):
    async def get(self) -> None:
        self.change()
        await self.finish("body")


class RaiseFinish(Page):
    def get(self) -> None:
        self.change()
        self.write("body")
        raise Finish


class RaiseFinishWithBody(Page):
    def get(self) -> None:
        self.change()
        raise Finish("body")


class Head(Page):
    def head(self) -> None:
        self.change()


class Redirect(Page):
    def get(self) -> None:
        self.change()
        self.redirect("/visits")


class RedirectInPrepare(Page):
    ran_verb = False

    async def prepare(self) -> None:
        await super().prepare()
        self.change()
        self.redirect("/visits")

    def get(self) -> None:
        type(self).ran_verb = True


class Forbidden(Page):
    def get(self) -> None:
        self.change()
        raise HTTPError(403)


class NotModified(Page):
    def get(self) -> None:
        self.change()
        self.set_status(304)


class OwnServerError(Page):
    def get(self) -> None:
        self.change()
        self.set_status(500)
        self.write("body")


class SendError(Page):
    def get(self) -> None:
        self.change()
        self.send_error(404)


def watched(cache: FaultyCache) -> list[str]:
    """Note, beside what leaves, when the cache has acknowledged a write."""
    events: list[str] = []
    add, replace = cache.inner.add, cache.inner.replace

    async def noted_add(*args: Any) -> Any:
        try:
            return await add(*args)
        finally:
            events.append("stored")

    async def noted_replace(*args: Any, **kwargs: Any) -> Any:
        try:
            return await replace(*args, **kwargs)
        finally:
            events.append("stored")

    cache.inner.add = noted_add  # type: ignore[method-assign]
    cache.inner.replace = noted_replace  # type: ignore[method-assign]
    return events


async def raw(site: Site, request: bytes) -> tuple[bytes, asyncio.StreamReader, asyncio.StreamWriter]:
    """Send bytes; return the first bytes of the answer and the open connection."""
    host, port = site.base_url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(request)
    first = await reader.read(1)
    return first, reader, writer


@pytest.mark.parametrize(
    ("handler", "method", "status"),
    [
        (WriteAndReturn, "GET", 200),
        (Render, "GET", 200),
        (AwaitFinish, "GET", 200),
        (RaiseFinish, "GET", 200),
        (RaiseFinishWithBody, "GET", 200),
        (Head, "HEAD", 200),
        (Redirect, "GET", 302),
        (RedirectInPrepare, "GET", 302),
        (Forbidden, "GET", 403),
        (NotModified, "GET", 304),
        (OwnServerError, "GET", 500),
        (SendError, "GET", 404),
    ],
)
async def test_the_change_is_stored_before_the_first_byte_of_the_response(
    handler: type[Page], method: str, status: int
) -> None:
    async with serve([("/", handler), ("/visits", Visits)], app_settings=TEMPLATES) as site:
        site.cache.delay = DELAY
        events = watched(site.cache)

        first, reader, writer = await raw(site, f"{method} / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".encode())
        events.append("first byte")
        rest = await reader.read()
        writer.close()

        assert events == ["stored", "first byte"]
        head = (first + rest).partition(b"\r\n\r\n")[0].decode()
        assert head.startswith(f"HTTP/1.1 {status} ")
        assert head.count(f"Set-Cookie: {COOKIE}=") == 1


async def test_an_awaiting_handler_resumes_after_its_response_was_sent() -> None:
    resumed: list[list[str]] = []

    class Handler(Page):
        async def get(self) -> None:
            self.change()
            await self.finish("body")
            resumed.append([*events])

    async with serve([("/", Handler)]) as site:
        site.cache.delay = DELAY
        events = watched(site.cache)

        await site.browser().fetch("/")

    assert resumed == [["stored"]]


@pytest.mark.parametrize("wait", ["finish", "flush"])
async def test_an_awaiting_handler_resumes_whatever_became_of_its_response(wait: str) -> None:
    resumed: list[int] = []

    class Handler(Page):
        async def get(self) -> None:
            self.change()
            if wait == "finish":
                self.temp_data["notice"] = "x" * 20_000  # More than is allowed: the response is an error page.
                await self.finish("body")
            else:
                sent = self.finish("body")
                await self.flush()
                await sent
            resumed.append(self.get_status())

    provider = CookieTempDataProvider(overflow="error")
    async with serve([("/", Handler)], temp_data=provider) as site:
        response = await site.browser().fetch("/")
        for _ in range(100):
            await asyncio.sleep(0.01)
            if resumed:
                break

    assert resumed == [response.code] == [500 if wait == "finish" else 200]


async def test_a_handler_that_never_looks_at_its_session_finishes_with_its_body() -> None:
    class Handler(SessionMixin, RequestHandler):
        def get(self) -> None:
            self.finish("body")

    async with serve([("/", Handler)]) as site:
        response = await site.browser().fetch("/")

        assert (response.code, response.body, site.calls) == (200, b"body", [])


@pytest.mark.parametrize("writes", [False, True])
async def test_an_error_page_that_names_no_status_is_a_500_and_stores_nothing(writes: bool) -> None:
    class Handler(Page):
        def get(self) -> None:
            if writes:
                self.change()
            self.send_error()

    async with serve([("/", Handler)]) as site:
        response = await site.browser().fetch("/")

        assert (response.code, site.calls) == (500, [])


async def test_a_redirect_in_prepare_keeps_the_verb_from_running() -> None:
    async with serve([("/", RedirectInPrepare), ("/visits", Visits)]) as site:
        RedirectInPrepare.ran_verb = False
        site.cache.delay = DELAY

        response = await site.browser().fetch("/")

        assert response.body.startswith(b'{"visits": 1')
        assert not RedirectInPrepare.ran_verb


async def test_the_reader_of_a_redirect_meets_its_own_data() -> None:
    async with serve([("/", Redirect), ("/visits", Visits)]) as site:
        site.cache.delay = DELAY

        response = await site.browser().fetch("/")

        assert response.effective_url.endswith("/visits")
        assert response.body.startswith(b'{"visits": 1')


async def test_an_unhandled_error_answers_with_its_status_and_stores_nothing(caplog: pytest.LogCaptureFixture) -> None:
    class Handler(Page):
        def get(self) -> None:
            self.change()
            raise RuntimeError("mistake")

    async with serve([("/", Handler)]) as site:
        response = await site.browser().fetch("/")

        assert response.code == 500
        assert "Set-Cookie" not in response.headers
        assert site.calls == []
    assert [record.getMessage()[:9] for record in caplog.records if record.name == "tornado.access"] == ["500 GET /"]
    assert "Traceback (most recent call last)" in caplog.text
    assert "RuntimeError: mistake" in caplog.text


class Held:
    """What a handler does after redirect(), while the session is being stored."""

    @staticmethod
    async def response(after: Any) -> tuple[Any, Site]:
        class Handler(Page):
            async def get(self) -> None:
                self.change()
                self.redirect("/first")
                outcome = after(self)
                if outcome is not None:
                    await outcome

        async with serve([("/", Handler)]) as site:
            site.cache.delay = DELAY
            return await site.browser().fetch("/", follow_redirects=False), site


async def test_an_exception_after_redirect_is_logged_and_the_redirect_goes_out(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def fail(handler: RequestHandler) -> None:
        raise RuntimeError("mistake after redirect")

    response, _ = await Held.response(fail)

    assert (response.code, response.headers["Location"]) == (302, "/first")
    assert COOKIE in response.headers["Set-Cookie"]
    assert "mistake after redirect" in caplog.text


@pytest.mark.parametrize(
    ("after", "message"),
    [
        (lambda handler: handler.finish(), "finish() called twice"),
        (lambda handler: handler.write("late"), "Cannot write() after finish()"),
        (lambda handler: handler.redirect("/second"), "finish() called twice"),
        (lambda handler: handler.render_string("missing.html"), "missing.html"),
    ],
)
async def test_what_cannot_be_done_after_finish_fails_as_in_tornado_and_the_response_goes_out_as_it_was(
    after: Any, message: str, caplog: pytest.LogCaptureFixture
) -> None:
    response, _ = await Held.response(after)

    assert (response.code, response.headers["Location"], response.body) == (302, "/first", b"")
    assert message in caplog.text


@pytest.mark.parametrize(
    "after",
    [
        lambda handler: handler.send_error(500),
        lambda handler: handler.set_status(404),
        lambda handler: handler.set_header("Location", "/second"),
        lambda handler: handler.set_cookie("late", "1"),
        lambda handler: handler.flush(),
        lambda handler: handler.clear(),
    ],
)
async def test_a_response_that_waits_for_its_session_cannot_be_changed_any_more(after: Any) -> None:
    response, site = await Held.response(after)

    assert (response.code, response.headers["Location"], response.body) == (302, "/first", b"")
    assert [line.partition("=")[0] for line in response.headers.get_list("Set-Cookie")] == [COOKIE]
    assert site.cache.calls == ["add"]


async def test_an_error_page_that_comes_too_late_is_said_in_the_log(log_of: Any) -> None:
    await Held.response(lambda handler: handler.send_error(500))

    assert log_of(logging.ERROR) == ["Cannot send an error page: the response was finished before."]


async def test_cookies_set_before_a_held_response_stay() -> None:
    class Handler(Page):
        def get(self) -> None:
            self.change()
            self.set_cookie("early", "1")
            self.finish("body")
            self.clear_cookie("early")

    async with serve([("/", Handler)]) as site:
        site.cache.delay = DELAY
        browser = site.browser()
        await browser.fetch("/")

        assert browser.cookies["early"] == "1"


@pytest.mark.parametrize("delay", [timedelta(0), DELAY])
async def test_a_write_after_finish_is_refused_and_never_silently_lost(delay: timedelta) -> None:
    refused: list[str] = []

    class Handler(Page):
        async def get(self) -> None:
            self.change()
            self.finish("body")
            with pytest.raises(ResponseStartedError, match="after the response was finished"):
                self.session["late"] = 1
            with pytest.raises(ResponseStartedError, match="TempData cannot be changed"):
                self.temp_data["late"] = 1
            with pytest.raises(ResponseStartedError):
                await self.session.regenerate()
            refused.append("all")

    async with serve([("/", Handler)]) as site:
        site.cache.delay = delay
        await site.browser().fetch("/")

    assert refused == ["all"]


async def test_a_session_that_is_first_loaded_after_finish_refuses_writes() -> None:
    outcome: list[str] = []

    class Late(SessionMixin, RequestHandler):
        session_autoload = False

        async def get(self) -> None:
            self.finish("body")
            await self.load_session()
            with pytest.raises(ResponseStartedError):
                self.session["late"] = 1
            outcome.append(f"visits: {self.session['visits']}")

    async with serve([("/", WriteAndReturn), ("/late", Late)]) as site:
        browser = site.browser()
        await browser.fetch("/")
        await browser.fetch("/late")
        await asyncio.sleep(0)

    assert outcome == ["visits: 1"]


async def test_a_session_destroyed_after_redirect_is_not_stored_again_by_the_waiting_response() -> None:
    class SignOut(SessionMixin, RequestHandler):
        async def get(self) -> None:
            self.session["last"] = "words"
            self.redirect("/visits")
            await self.session.destroy()

    async with serve([("/", WriteAndReturn), ("/out", SignOut), ("/visits", Visits)]) as site:
        browser = site.browser()
        await browser.fetch("/")
        site.cache.delay = timedelta(milliseconds=5)

        response = await browser.fetch("/out")

        assert response.body.startswith(b'{"visits": 0')
        assert len(site.cache.inner._table) == 0  # type: ignore[attr-defined]


@pytest.mark.parametrize("fails", [False, True])
async def test_streaming_sends_the_cookie_with_the_first_chunk_and_stores_before_the_last(fails: bool) -> None:
    class Stream(Page):
        async def get(self) -> None:
            self.change()
            self.write("first")
            await self.flush()
            self.change()
            self.write("last")

    async with serve([("/", Stream)]) as site:
        site.cache.delay = DELAY
        site.cache.fail = {"add"} if fails else set()
        events = watched(site.cache)

        first, reader, writer = await raw(site, b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        head = first + await reader.readuntil(b"\r\n\r\n")
        chunk = await reader.readuntil(b"first\r\n")
        events.append("first chunk")
        rest = await reader.read()
        writer.close()

        assert f"Set-Cookie: {COOKIE}=".encode() in head
        assert chunk.endswith(b"first\r\n")
        if fails:
            # The body cannot be taken back: it ends, and the failure is in the log.
            assert (events, rest.endswith(b"0\r\n\r\n")) == (["first chunk"], True)
        else:
            assert events == ["first chunk", "stored"]
            assert b"last" in rest


async def test_a_conditional_get_answers_304_after_the_commit() -> None:
    async with serve([("/", WriteAndReturn)]) as site:
        browser = site.browser()
        tag = (await browser.fetch("/")).headers["Etag"]
        site.cache.delay = DELAY
        events = watched(site.cache)

        response = await browser.fetch("/", headers={"If-None-Match": tag})

        assert (response.code, response.body, events) == (304, b"", ["stored"])


async def test_two_pipelined_requests_are_answered_in_order_and_both_are_stored() -> None:
    async with serve([("/", WriteAndReturn), ("/visits", Visits)]) as site:
        browser = site.browser()
        await browser.fetch("/")
        cookie = browser.cookie_header()["Cookie"]
        site.cache.delay = DELAY
        head = f"HTTP/1.1\r\nHost: a\r\nCookie: {cookie}\r\n"

        first, reader, writer = await raw(site, f"GET / {head}\r\nGET /visits {head}Connection: close\r\n\r\n".encode())
        text = (first + await reader.read()).decode()
        writer.close()

        assert text.count("HTTP/1.1 200 OK") == 2
        assert text.index("body") < text.index('{"visits": 2')


async def test_http_1_0_without_keep_alive_gets_its_stored_response_and_the_end_of_the_connection() -> None:
    async with serve([("/", WriteAndReturn)]) as site:
        site.cache.delay = DELAY
        events = watched(site.cache)

        first, reader, writer = await raw(site, b"GET / HTTP/1.0\r\n\r\n")
        text = first + await reader.read()
        writer.close()

        assert text.endswith(b"body")
        assert events == ["stored"]


async def test_a_client_that_leaves_during_the_commit_leaves_no_unretrieved_exception(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Handler(Page):
        def get(self) -> None:
            self.change()
            self.write("x" * 1_000_000)

    async with serve([("/", Handler)]) as site:
        site.cache.delay = DELAY
        loop = asyncio.get_running_loop()
        complaints: list[dict[str, Any]] = []
        loop.set_exception_handler(lambda _, context: complaints.append(context))
        host, port = site.base_url.removeprefix("http://").split(":")
        _, writer = await asyncio.open_connection(host, int(port))
        writer.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        await asyncio.sleep(0.03)
        writer.transport.abort()
        await asyncio.sleep(0.2)

        assert site.calls == ["add"]
        assert len(site.cache.inner._table) == 1  # type: ignore[attr-defined]
        assert complaints == []
    assert "never retrieved" not in caplog.text


async def test_a_commit_that_fails_before_the_first_byte_is_a_503_of_the_handlers_own_write_error(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Handler(Page):
        def get(self) -> None:
            self.change()
            self.write("body")

        def write_error(self, status_code: int, **kwargs: Any) -> None:
            kind, error, _ = kwargs["exc_info"]
            assert kind is type(error)
            self.write(f"own page for {status_code}, visits {self.session.get('visits')}: {kind.__name__}")

    async with serve([("/", Handler)]) as site:
        site.cache.fail = {"add"}

        response = await site.browser().fetch("/")

        assert (response.code, response.body) == (503, b"own page for 503, visits 1: CacheError")
        assert "Set-Cookie" not in response.headers
    access = [record for record in caplog.records if record.name == "tornado.access"]
    assert [(record.levelname, record.getMessage()[:5]) for record in access] == [("ERROR", "503 G")]


async def test_a_failed_commit_after_the_first_flush_is_logged_and_ends_the_response(log_of: Any) -> None:
    class Handler(Page):
        async def get(self) -> None:
            self.change()
            self.write("first")
            await self.flush()

    async with serve([("/", Handler)]) as site:
        site.cache.fail = {"add"}

        response = await site.browser().fetch("/")

        assert (response.code, response.body) == (200, b"first")
    assert any("add() failed" in line for line in log_of(logging.ERROR))


async def test_a_websocket_with_a_changed_session_is_upgraded() -> None:
    class Socket(SessionMixin, WebSocketHandler):
        async def prepare(self) -> None:
            await super().prepare()
            self.session["seen"] = True

        def on_message(self, message: str | bytes) -> None:
            self.write_message(message)

    async with serve([("/", Socket)]) as site:
        site.cache.delay = DELAY
        connection = await websocket_connect(site.base_url.replace("http", "ws") + "/")
        await connection.write_message("hello")

        assert await connection.read_message() == "hello"
        assert site.calls == ["add"]
        connection.close()


# -- beyond the table -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("delay", [timedelta(0), DELAY])
async def test_an_error_in_on_finish_neither_disturbs_the_response_nor_the_connection(
    delay: timedelta, caplog: pytest.LogCaptureFixture
) -> None:
    class Handler(Page):
        async def get(self) -> None:
            self.change()
            self.write("a")
            await self.flush()
            self.write("b")

        def on_finish(self) -> None:
            raise RuntimeError("mistake in on_finish")

    async with serve([("/", Handler), ("/visits", Visits)]) as site:
        site.cache.delay = delay
        request = b"GET / HTTP/1.1\r\nHost: a\r\n\r\nGET /visits HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"

        first, reader, writer = await raw(site, request)
        text = first + await reader.read()
        writer.close()

        assert text.count(b"HTTP/1.1 200 OK") == 2
        assert text.count(b"0\r\n\r\n") == 1
    assert "mistake in on_finish" in caplog.text


async def test_an_error_of_tornados_own_finish_after_the_commit_is_answered_as_in_tornado() -> None:
    class Handler(Page):
        def get(self) -> None:
            self.change()
            self.write("a body")
            self.set_status(204)

    async with serve([("/", Handler)]) as site:
        site.cache.delay = timedelta(milliseconds=5)

        response = await site.browser().fetch("/")

        assert response.code == 500


async def test_an_error_page_that_cannot_be_finished_does_not_run_in_circles(caplog: pytest.LogCaptureFixture) -> None:
    pages: list[int] = []

    class Handler(Page):
        def get(self) -> None:
            self.change()
            raise RuntimeError("mistake")

        def write_error(self, status_code: int, **kwargs: Any) -> None:
            pages.append(status_code)
            self.set_status(204)
            self.write("a body")

    async with serve([("/", Handler)]) as site:
        browser = site.browser()
        fetch = asyncio.ensure_future(browser.fetch("/", request_timeout=0.2))
        with pytest.raises(Exception, match="Timeout"):
            await fetch

    assert len(pages) <= 2


async def test_a_handler_that_is_cancelled_while_it_awaits_finish_still_answers() -> None:
    class Handler(Page):
        async def get(self) -> None:
            self.change()
            task = asyncio.current_task()
            assert task is not None
            asyncio.get_running_loop().call_later(0.02, task.cancel)
            await self.finish("body")

    async with serve([("/", Handler)]) as site:
        site.cache.delay = DELAY
        browser = site.browser()

        response = await browser.fetch("/", request_timeout=2)

        assert (response.code, response.body) == (200, b"body")
        assert COOKIE in browser.cookies


async def test_a_conflict_in_an_explicit_commit_answers_409_and_overwrites_nothing(log_of: Any) -> None:
    class Slow(SessionMixin, RequestHandler):
        async def get(self) -> None:
            self.session["visits"] = 100
            await browser.fetch("/")
            await self.session.commit()

    options = SessionOptions(on_conflict="fail")
    async with serve([("/", WriteAndReturn), ("/slow", Slow), ("/visits", Visits)], session=options) as site:
        browser = site.browser()
        await browser.fetch("/")

        response = await browser.fetch("/slow")

        assert response.code == 409
        assert (await browser.fetch("/visits")).body.startswith(b'{"visits": 2')
    (line,) = log_of(logging.ERROR)
    assert line.startswith("409 GET /slow: Session ")
    assert line.endswith("was changed by another request meanwhile. Load it again")


async def test_a_second_commit_after_a_conflict_fails_again_under_fail() -> None:
    codes: list[str] = []

    class Slow(SessionMixin, RequestHandler):
        async def get(self) -> None:
            self.session["visits"] = 100
            await browser.fetch("/")
            for _ in range(2):
                with pytest.raises(SessionConflictError, match="changed by another request"):
                    await self.session.commit()
                codes.append("conflict")
            await self.session.reload()
            codes.append(str(self.session["visits"]))

    options = SessionOptions(on_conflict="fail")
    async with serve([("/", WriteAndReturn), ("/slow", Slow)], session=options) as site:
        browser = site.browser()
        await browser.fetch("/")
        await browser.fetch("/slow")

    assert codes == ["conflict", "conflict", "2"]


async def test_temp_data_that_is_touched_before_super_prepare_does_not_keep_the_session_from_loading() -> None:
    class Handler(Page):
        async def prepare(self) -> None:
            self.temp_data.get("notice")
            await super().prepare()

        def get(self) -> None:
            self.change()

    async with serve([("/", Handler)]) as site:
        browser = site.browser()

        response = await browser.fetch("/")

        assert response.code == 200
        assert COOKIE in browser.cookies


async def test_the_mixin_behind_the_handler_class_is_refused_when_the_class_is_made() -> None:
    with pytest.raises(ConfigurationError, match=r"write class Wrong\(SessionMixin, \.\.\.\)"):
        type("Wrong", (RequestHandler, SessionMixin), {})


def test_what_a_class_says_to_another_mixin_reaches_it() -> None:
    class Named:
        def __init_subclass__(cls, *, title: str, **kwargs: Any) -> None:
            super().__init_subclass__(**kwargs)
            cls.title = title  # type: ignore[attr-defined]

    class Handler(SessionMixin, Named, RequestHandler, title="shop"):  # type: ignore[call-arg,unused-ignore]
        pass

    assert Handler.title == "shop"  # type: ignore[attr-defined]


async def test_prepare_of_a_class_further_along_is_awaited_too() -> None:
    ran: list[str] = []

    class Base(RequestHandler):
        async def prepare(self) -> None:
            ran.append("base")

    class Handler(SessionMixin, Base):
        def get(self) -> None:
            ran.append("verb")

    async with serve([("/", Handler)]) as site:
        await site.browser().fetch("/")

    assert ran == ["base", "verb"]


async def test_session_autoload_off_loads_on_demand() -> None:
    class Handler(SessionMixin, RequestHandler):
        session_autoload = False

        async def get(self) -> None:
            await self.load_session()
            self.write(str(self.session["visits"]))

    async with serve([("/", WriteAndReturn), ("/lazy", Handler)]) as site:
        browser = site.browser()
        await browser.fetch("/")

        assert (await browser.fetch("/lazy")).body == b"1"


async def test_templates_see_session_and_temp_data() -> None:
    class Handler(Page):
        def get(self) -> None:
            self.change()
            self.temp_data["notice"] = "hello"
            self.render("session.html")

    async with serve([("/", Handler)], app_settings=TEMPLATES) as site:
        assert (await site.browser().fetch("/")).body == b"1 hello"


async def test_a_slow_cache_delays_only_its_own_response() -> None:
    clock = FakeClock()
    slow = FaultyCache(MemoryCache(clock=clock), delay=timedelta(milliseconds=200))
    async with serve([("/", WriteAndReturn)], cache=slow, clock=clock) as site:
        site.app.add_handlers(".*", [("/plain", type("Plain", (RequestHandler,), {"get": lambda self: None}))])
        loop = asyncio.get_running_loop()
        waiting = asyncio.ensure_future(site.browser().fetch("/"))
        start = loop.time()

        await AsyncHTTPClient().fetch(site.base_url + "/plain")

        assert loop.time() - start < 0.15
        assert (await waiting).code == 200


async def test_a_session_that_was_kept_beyond_its_request_says_that_the_request_is_over() -> None:
    kept: list[Any] = []

    class Keeper(SessionMixin, RequestHandler):
        session_autoload = False

        def get(self) -> None:
            kept.append(self.session)

    async with serve([("/", Keeper)]) as site:
        await site.browser().fetch("/")
        gc.collect()

        with pytest.raises(ResponseStartedError, match="belongs to is over"):
            kept[0].get("a")


async def test_a_request_leaves_no_cycles_for_the_garbage_collector() -> None:
    handlers: list[Any] = []

    class Handler(Page):
        async def get(self) -> None:
            handlers.append(ref(self))
            self.change()
            self.temp_data["notice"] = "hello"

    async with serve([("/", Handler)]) as site:
        site.cache.delay = timedelta(milliseconds=1)
        gc.collect()
        gc.disable()
        try:
            browser = site.browser()
            for _ in range(3):
                await browser.fetch("/")
            await asyncio.sleep(0.02)
            alive = [handler for handler in handlers if handler() is not None]
        finally:
            gc.enable()

    assert alive == []
