"""What happens when the cache fails, hangs or forgets, and when handlers fail: section by section of the promises."""

import asyncio
import logging
import random
from datetime import timedelta
from typing import Any

import pytest
import tornado
from tornado.simple_httpclient import HTTPTimeoutError
from tornado.web import HTTPError, RequestHandler

from tests.conftest import serve
from tests.test_handler import COOKIE, Page, Visits, WriteAndReturn, raw
from tornado_session import (
    CacheError,
    CacheTimeoutError,
    SessionMixin,
    SessionOptions,
    SessionUnavailableError,
)

SHORT = timedelta(milliseconds=30)


class State(SessionMixin, RequestHandler):
    """Reads only, and tells what it found."""

    def get(self) -> None:
        session = self.session
        self.write(
            {
                "available": session.is_available,
                "loaded": session.is_loaded,
                "id": session.id,
                "values": dict(session),
                "new": session.is_new,
            }
        )

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        self.write({"status": status_code, "values": dict(self.session)})


ROUTES = [("/", WriteAndReturn), ("/state", State), ("/visits", Visits)]


@pytest.mark.parametrize("fault", ["fail", "hang"])
@pytest.mark.parametrize(
    ("policy", "read_status", "write_status"), [("read_only", 200, 503), ("ignore", 200, 200), ("fail", 503, 503)]
)
async def test_when_the_session_cannot_be_loaded(
    policy: Any, read_status: int, write_status: int, fault: str, log_of: Any
) -> None:
    options = SessionOptions(when_unavailable=policy, io_timeout=SHORT)
    async with serve(ROUTES, session=options) as site:
        browser = site.browser()
        await browser.fetch("/")
        cookie = browser.cookies[COOKIE]
        getattr(site.cache, fault).add("get")

        read, write = await browser.fetch("/state"), await browser.fetch("/")

        assert (read.code, write.code) == (read_status, write_status)
        if read_status == 200:
            assert b'"available": false' in read.body
            assert b'"id": "", "values": {}' in read.body
        else:
            # The page for the error may read the session all the same.
            assert read.body == b'{"status": 503, "values": {}}'
        # The cookie stays as it is: what is stored is there again when the cache is.
        assert browser.cookies[COOKIE] == cookie
        getattr(site.cache, fault).clear()
        assert b'"visits": 1' in (await browser.fetch("/visits")).body
    warnings = log_of(logging.WARNING)
    if policy == "read_only":
        assert len([line for line in warnings if "reads as empty" in line]) == 1
    if policy == "ignore":
        assert len([line for line in warnings if "dropped" in line]) == 1


@pytest.mark.parametrize("fault", ["fail", "hang"])
@pytest.mark.parametrize(("policy", "status"), [("read_only", 503), ("ignore", 200), ("fail", 503)])
async def test_when_the_session_cannot_be_stored(policy: Any, status: int, fault: str, log_of: Any) -> None:
    options = SessionOptions(when_unavailable=policy, io_timeout=SHORT)
    async with serve(ROUTES, session=options) as site:
        known, new = site.browser(), site.browser()
        await known.fetch("/")
        getattr(site.cache, fault).update({"add", "replace"})

        responses = [await known.fetch("/"), await new.fetch("/")]

        assert [response.code for response in responses] == [status, status]
        if status == 503:
            assert "Set-Cookie" not in responses[1].headers
        getattr(site.cache, fault).clear()
        assert b'"visits": 1' in (await known.fetch("/visits")).body
    assert len([line for line in log_of(logging.ERROR) if "/" in line or "could not be stored" in line]) == 2


async def test_a_response_waits_no_longer_than_io_timeout() -> None:
    async with serve(ROUTES, session=SessionOptions(io_timeout=timedelta(milliseconds=50))) as site:
        site.cache.hang = {"add"}
        loop = asyncio.get_running_loop()
        start = loop.time()

        response = await site.browser().fetch("/")

        assert response.code == 503
        assert 0.04 < loop.time() - start < 1


async def test_without_io_timeout_a_response_waits_for_a_slow_cache() -> None:
    async with serve(ROUTES, session=SessionOptions(io_timeout=None)) as site:
        site.cache.delay = timedelta(milliseconds=80)

        assert (await site.browser().fetch("/")).code == 200


async def test_explicit_trips_raise_the_error_of_the_cache_itself() -> None:
    raised: list[str] = []

    class Handler(SessionMixin, RequestHandler):
        session_autoload = False

        async def get(self) -> None:
            for fault in ("fail", "hang"):
                getattr(site.cache, fault).add("get")
                try:
                    await self.session.load()
                except CacheError as error:
                    raised.append(type(error).__name__)
                getattr(site.cache, fault).clear()
            await self.session.load()
            raised.append(str(self.session["visits"]))
            self.session["visits"] = 7
            site.cache.fail = {"replace"}
            try:
                await self.session.commit()
            except CacheError as error:
                raised.append(str(error))
            site.cache.fail = set()

    async with serve([("/", WriteAndReturn), ("/late", Handler)], session=SessionOptions(io_timeout=SHORT)) as site:
        browser = site.browser()
        await browser.fetch("/")

        response = await browser.fetch("/late")

        assert response.code == 200
    assert raised[:3] == [CacheError.__name__, CacheTimeoutError.__name__, "1"]
    assert "replace() failed" in raised[3]


async def test_the_503_of_a_load_names_the_cause_in_one_log_line_without_a_traceback(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with serve(ROUTES, session=SessionOptions(when_unavailable="fail")) as site:
        browser = site.browser()
        await browser.fetch("/")
        site.cache.fail = {"get"}
        caplog.clear()

        await browser.fetch("/state")

    (record,) = [record for record in caplog.records if record.name == "tornado_session.handler"]
    assert record.getMessage() == (
        "503 GET /state: The session could not be loaded: get() failed because FaultyCache.fail names it (CacheError)"
    )
    assert record.exc_info is None


async def test_a_handler_that_catches_the_error_of_a_write_answers_as_it_likes() -> None:
    class Handler(SessionMixin, RequestHandler):
        def get(self) -> None:
            try:
                self.session["a"] = 1
            except SessionUnavailableError as error:
                self.write(str(error))

    async with serve([("/", WriteAndReturn), ("/careful", Handler)]) as site:
        browser = site.browser()
        await browser.fetch("/")
        site.cache.fail = {"get"}

        response = await browser.fetch("/careful")

        assert response.code == 200
        assert response.body.startswith(b"The session cannot be written: the cache could not be read")


@pytest.mark.parametrize("call", ["destroy", "regenerate", "modify"])
async def test_signing_out_or_moving_or_modifying_without_a_cache_is_a_503(call: str) -> None:
    class Handler(SessionMixin, RequestHandler):
        async def get(self) -> None:
            if call == "modify":
                await self.session.modify("visits", lambda count: count + 1, 0)
            else:
                await getattr(self.session, call)()

    async with serve([("/", WriteAndReturn), ("/call", Handler), ("/visits", Visits)]) as site:
        browser = site.browser()
        await browser.fetch("/")
        site.cache.fail = {"replace", "add", "remove"}

        response = await browser.fetch("/call")

        assert response.code == 503
        assert "Set-Cookie" not in response.headers
        site.cache.fail = set()
        assert b'"visits": 1' in (await browser.fetch("/visits")).body


async def test_under_ignore_modify_is_readable_in_the_request_and_not_stored() -> None:
    class Handler(SessionMixin, RequestHandler):
        async def get(self) -> None:
            await self.session.modify("visits", lambda count: count + 10, 0)
            await self.session.modify("visits", lambda count: count + 10, 0)
            self.write(str(self.session["visits"]))

    async with serve(
        [("/", WriteAndReturn), ("/ten", Handler), ("/visits", Visits)],
        session=SessionOptions(when_unavailable="ignore"),
    ) as site:
        browser = site.browser()
        await browser.fetch("/")
        site.cache.fail = {"get"}
        assert (await browser.fetch("/ten")).body == b"20"
        site.cache.fail = set()
        assert b'"visits": 1' in (await browser.fetch("/visits")).body


# -- handlers that fail ------------------------------------------------------------------------------------------------


class Raising(Page):
    def get(self, kind: str) -> None:
        self.change()
        if kind == "exception":
            raise RuntimeError("mistake")
        if kind == "send_error":
            self.send_error(502)
            return
        raise HTTPError(int(kind))


@pytest.mark.parametrize("save_on_error", [False, True])
@pytest.mark.parametrize(
    ("kind", "status", "is_saved"),
    [
        ("exception", 500, False),
        ("send_error", 502, False),
        ("503", 503, False),
        ("403", 403, True),
        ("404", 404, True),
    ],
)
async def test_changes_before_an_error_of_the_server_are_kept_only_with_save_on_error(
    kind: str, status: int, is_saved: bool, save_on_error: bool
) -> None:
    options = SessionOptions(save_on_error=save_on_error)
    async with serve([("/(.*)", Raising)], session=options) as site:
        response = await site.browser().fetch(f"/{kind}")

        assert response.code == status
        assert site.calls == (["add"] if is_saved or save_on_error else [])
        assert (COOKIE in response.headers.get("Set-Cookie", "")) == (is_saved or save_on_error)


async def test_a_failed_commit_under_save_on_error_is_one_503_and_not_tried_for_ever() -> None:
    async with serve([("/(.*)", Raising)], session=SessionOptions(save_on_error=True)) as site:
        site.cache.fail = {"add"}

        response = await site.browser().fetch("/exception")

        assert (response.code, site.calls) == (503, ["add"])
        assert "Set-Cookie" not in response.headers


async def test_an_error_after_the_first_chunk_ends_the_response_and_stores_nothing() -> None:
    class Handler(Page):
        async def get(self) -> None:
            self.write("first")
            await self.flush()
            self.change()
            raise RuntimeError("mistake")

    async with serve([("/", WriteAndReturn), ("/stream", Handler), ("/visits", Visits)]) as site:
        browser = site.browser()
        await browser.fetch("/")

        response = await browser.fetch("/stream")

        assert (response.code, response.body) == (200, b"first")
        assert b'"visits": 1' in (await browser.fetch("/visits")).body


async def test_an_error_page_reads_the_session_of_the_request() -> None:
    class Handler(State):
        def get(self) -> None:
            self.session["name"] = "somebody"
            raise RuntimeError("mistake")

    async with serve([("/", Handler)]) as site:
        response = await site.browser().fetch("/")

        assert response.body == b'{"status": 500, "values": {"name": "somebody"}}'


class WritingErrorPage(State):
    """Fails, with an error page that writes to the session and leaves a message."""

    def get(self) -> None:
        raise RuntimeError("mistake")

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        self.session["name"] = "somebody"
        self.flash("It did not work.")
        super().write_error(status_code, **kwargs)


async def test_what_an_error_page_writes_into_the_session_is_readable_there_and_not_stored() -> None:
    async with serve([("/", WritingErrorPage), ("/visits", Visits), ("/write", WriteAndReturn)]) as site:
        browser = site.browser()
        await browser.fetch("/write")
        site.cache.calls.clear()

        response = await browser.fetch("/")

        assert response.body == b'{"status": 500, "values": {"visits": 1, "name": "somebody"}}'
        assert site.calls == ["get"]


async def test_what_an_error_page_is_the_first_to_write_is_not_stored() -> None:
    async with serve([("/", WritingErrorPage)]) as site:
        response = await site.browser().fetch("/")

    assert (response.code, site.calls) == (500, [])
    assert "Set-Cookie" not in response.headers


async def test_what_an_error_page_is_the_first_to_write_is_stored_if_asked_for() -> None:
    async with serve([("/", WritingErrorPage)], session=SessionOptions(save_on_error=True)) as site:
        response = await site.browser().fetch("/")

    assert (response.code, site.calls) == (500, ["add"])


async def test_an_error_page_that_reads_a_session_which_is_not_loaded_is_empty_and_not_a_hang(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Handler(State):
        def post(self) -> None: ...

    async with serve([("/", Handler)], app_settings={"xsrf_cookies": True}) as site:
        response = await site.browser().fetch("/", method="POST", body="")

        assert (response.code, response.body) == (403, b"")
    assert "Session not loaded: Handler used it before prepare() had run" in caplog.text


async def test_a_cancelled_handler_stores_nothing_and_answers_500_where_tornado_answers() -> None:
    class Handler(Page):
        async def get(self) -> None:
            self.change()
            task = asyncio.current_task()
            assert task is not None
            task.cancel()
            await asyncio.sleep(1)

    async with serve([("/", Handler)]) as site:
        if tornado.version_info >= (6, 6):
            assert (await site.browser().fetch("/")).code == 500
        else:
            # Until 6.6, Tornado leaves the client of a cancelled handler without an answer.
            with pytest.raises(HTTPTimeoutError):
                await site.browser().fetch("/", request_timeout=0.5)

        assert site.calls == []


async def test_a_client_that_leaves_a_stream_leaves_nothing_behind_in_the_log(log_of: Any) -> None:
    class Handler(Page):
        async def get(self) -> None:
            self.change()
            for _ in range(100):
                self.write("x" * 10_000)
                await self.flush()
                await asyncio.sleep(0.002)

    async with serve([("/", Handler), ("/visits", Visits)]) as site:
        complaints: list[dict[str, Any]] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))

        _, _, writer = await raw(site, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        writer.transport.abort()
        await asyncio.sleep(0.1)

        assert complaints == []
        assert b'"visits": 0' in (await site.browser().fetch("/visits")).body
    assert log_of(logging.WARNING) == []


async def test_a_record_of_another_format_version_is_unavailable_and_stays_as_it_is(log_of: Any) -> None:
    async with serve(ROUTES) as site:
        browser = site.browser()
        await browser.fetch("/")
        inner = site.cache.inner
        ((key, entry),) = [found for shard in inner._table._shards for found in shard.items()]  # type: ignore[attr-defined]
        entry.value = b"\x63" + entry.value[1:]

        read, write = await browser.fetch("/state"), await browser.fetch("/")

        assert (read.code, write.code) == (200, 503)
        assert b'"available": false' in read.body
        stored = await inner.get(key)
        assert stored is not None
        assert stored.value.startswith(b"\x63")
    assert any("its format has version 99" in line for line in log_of(logging.WARNING))


async def test_an_unreadable_record_goes_when_its_owner_signs_out() -> None:
    class SignOut(SessionMixin, RequestHandler):
        async def get(self) -> None:
            await self.session.destroy()

    async with serve([*ROUTES, ("/out", SignOut)]) as site:
        browser = site.browser()
        await browser.fetch("/")
        inner = site.cache.inner
        ((_, entry),) = [found for shard in inner._table._shards for found in shard.items()]  # type: ignore[attr-defined]
        entry.value = b"\x63" + entry.value[1:]

        assert (await browser.fetch("/out")).code == 200
        assert COOKIE not in browser.cookies
        assert len(inner._table) == 0  # type: ignore[attr-defined]


async def test_a_handler_that_goes_on_after_a_failed_move_loses_nothing_and_ends_with_one_session() -> None:
    class Handler(Page):
        async def get(self) -> None:
            site.cache.fail = {"add"}
            with pytest.raises(CacheError):
                await self.session.regenerate()
            site.cache.fail = set()

    async with serve([("/", WriteAndReturn), ("/move", Handler), ("/visits", Visits)]) as site:
        browser = site.browser()
        await browser.fetch("/")
        before = browser.cookies[COOKIE]

        await browser.fetch("/move")

        assert browser.cookies[COOKIE] != before
        assert b'"visits": 1' in (await browser.fetch("/visits")).body
        # Beside it there is only the mark, which opens nothing.
        thief = site.browser()
        thief.set_cookie(COOKIE, before)
        assert b'"visits": 0' in (await thief.fetch("/visits")).body


async def test_faults_at_random_never_hang_a_response_nor_lose_an_acknowledged_write() -> None:
    faults = random.Random(5)

    class Counter(SessionMixin, RequestHandler):
        async def get(self) -> None:
            await self.session.modify("count", lambda count: count + 1, 0)

    class Count(SessionMixin, RequestHandler):
        def get(self) -> None:
            self.write(str(self.session["count"]))

    async with serve([("/", Counter), ("/count", Count)], session=SessionOptions(io_timeout=SHORT)) as site:
        browser = site.browser()
        await browser.fetch("/")
        acknowledged = 1
        for _ in range(60):
            site.cache.fail = {call for call in ("get", "replace") if faults.random() < 0.3}
            response = await browser.fetch("/", request_timeout=2)
            acknowledged += response.code == 200
        site.cache.fail = set()

        # FaultyCache fails before the call reaches the cache, so what was not acknowledged was not stored.
        assert (await browser.fetch("/count")).body == str(acknowledged).encode()
        assert 10 < acknowledged < 60
