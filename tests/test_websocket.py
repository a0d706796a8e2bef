"""Sessions of WebSockets: loaded before the upgrade, established before it, and explicit afterwards."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import pytest
from tornado.httpclient import HTTPClientError, HTTPRequest
from tornado.web import RequestHandler
from tornado.websocket import WebSocketClientConnection, WebSocketHandler, websocket_connect

from tests.conftest import Site, serve
from tests.test_handler import COOKIE, Visits, WriteAndReturn, raw
from tornado_session import (
    CacheError,
    ResponseStartedError,
    SessionMixin,
    SessionNotLoadedError,
    SessionOptions,
    SessionTempDataProvider,
)
from tornado_session.testing import CookieClient


class Socket(SessionMixin, WebSocketHandler):
    """Does to its session what the messages say, and answers with what came of it."""

    async def open(self, *args: str, **kwargs: str) -> None:
        await self.write_message(f"open {self.session.get('visits')}")

    async def on_message(self, message: str | bytes) -> None:
        try:
            await self.write_message(str(await self.obey(str(message))))
        except (ResponseStartedError, CacheError) as error:
            await self.write_message(f"{type(error).__name__}: {error}")

    async def obey(self, message: str) -> object:
        session = self.session
        verb, _, value = message.partition(" ")
        if verb == "write":
            session["visits"] = int(value)
        elif verb == "notice":
            self.temp_data["notice"] = value
        elif verb == "modify":
            return await session.modify("visits", lambda visits: visits + 1)
        elif verb in ("reload", "refresh", "commit", "regenerate", "destroy"):
            await getattr(session, verb)()
        return f"{session.get('visits')} ended={session.is_ended}"


class SignOut(SessionMixin, RequestHandler):
    async def get(self) -> None:
        await self.session.destroy()


class Move(SessionMixin, RequestHandler):
    async def get(self) -> None:
        await self.session.regenerate()


ROUTES: list[Any] = [("/", WriteAndReturn), ("/visits", Visits), ("/out", SignOut), ("/move", Move), ("/ws", Socket)]


async def connect(site: Site, browser: CookieClient | None = None, path: str = "/ws") -> WebSocketClientConnection:
    headers = browser.cookie_header() if browser else {}
    return await websocket_connect(HTTPRequest(site.base_url.replace("http", "ws") + path, headers=headers))


async def ask(connection: WebSocketClientConnection, message: str) -> str:
    await connection.write_message(message)
    return str(await connection.read_message())


@asynccontextmanager
async def connected(**options: Any) -> AsyncIterator[tuple[Site, CookieClient, WebSocketClientConnection]]:
    """A visitor who has a session with one visit, and an open socket."""
    async with serve(ROUTES, **options) as site:
        browser = site.browser()
        await browser.fetch("/")
        connection = await connect(site, browser)
        assert await connection.read_message() == "open 1"
        site.cache.calls.clear()
        yield site, browser, connection
        connection.close()


async def test_the_session_is_read_in_open_with_one_trip_for_the_whole_upgrade() -> None:
    async with serve(ROUTES) as site:
        browser = site.browser()
        await browser.fetch("/")
        site.cache.calls.clear()

        connection = await connect(site, browser)

        assert await connection.read_message() == "open 1"
        assert site.calls == ["get"]
        connection.close()


async def test_a_session_established_in_prepare_is_stored_and_its_cookie_comes_with_the_101() -> None:
    class Establish(Socket):
        async def prepare(self) -> None:
            await super().prepare()
            self.session["visits"] = 7

    async with serve([("/ws", Establish), ("/visits", Visits)]) as site:
        site.cache.delay = timedelta(milliseconds=30)
        connection = await connect(site)
        lines = connection.headers.get_list("Set-Cookie")
        browser = site.browser()
        browser._keep(lines[0])

        assert len(lines) == 1
        assert (connection.headers["Vary"], connection.headers["Cache-Control"]) == ("Cookie", "no-store")
        assert b'"visits": 7' in (await browser.fetch("/visits")).body
        connection.close()


async def test_the_first_write_after_the_upgrade_is_an_error_that_says_when() -> None:
    async with serve(ROUTES) as site:
        connection = await connect(site)
        await connection.read_message()

        for message in ("write 1", "modify", "notice hello", "regenerate"):
            answer = await ask(connection, message)
            assert answer.startswith("ResponseStartedError: ")
        assert "before the upgrade of a WebSocket" in await ask(connection, "write 1")
        assert site.calls == []
        connection.close()


async def test_what_is_written_is_stored_by_commit_alone() -> None:
    async with connected() as (site, browser, connection):
        assert await ask(connection, "write 5") == "5 ended=False"
        assert (site.calls, b'"visits": 1' in (await browser.fetch("/visits")).body) == ([], True)
        site.cache.calls.clear()

        await ask(connection, "commit")

        assert site.calls == ["replace"]
        assert b'"visits": 5' in (await browser.fetch("/visits")).body


async def test_what_was_not_committed_is_dropped_at_close() -> None:
    async with connected() as (_, browser, connection):
        await ask(connection, "write 5")
        connection.close()
        await asyncio.sleep(0.02)

        assert b'"visits": 1' in (await browser.fetch("/visits")).body


async def test_reload_takes_what_others_wrote_and_drops_what_was_not_committed() -> None:
    async with connected() as (site, browser, connection):
        await ask(connection, "write 50")
        await browser.fetch("/")
        site.cache.calls.clear()

        assert await ask(connection, "reload") == "2 ended=False"
        assert site.calls == ["get"]


async def test_modify_counts_on_from_what_others_wrote() -> None:
    async with connected() as (_, browser, connection):
        await browser.fetch("/")

        assert await ask(connection, "modify") == "3"


async def test_refresh_keeps_the_session_of_a_long_connection_alive() -> None:
    async with connected() as (site, browser, connection):
        for _ in range(3):
            site.clock.advance(timedelta(minutes=15))
            assert await ask(connection, "refresh") == "1 ended=False"
        assert site.calls == ["refresh"] * 3

        assert b'"visits": 1' in (await browser.fetch("/visits")).body


@pytest.mark.parametrize("path", ["/out", "/move"])
async def test_an_end_elsewhere_shows_at_reload_and_nothing_is_stored_again(path: str) -> None:
    async with connected() as (site, browser, connection):
        stolen = site.browser()
        stolen.set_cookie(COOKIE, browser.cookies[COOKIE])
        await browser.fetch(path)

        assert await ask(connection, "reload") == "None ended=True"
        for message in ("write 9", "commit", "refresh", "modify"):
            await ask(connection, message)
        assert b'"visits": 0' in (await stolen.fetch("/visits")).body


@pytest.mark.parametrize("verb", ["refresh", "commit"])
async def test_an_end_elsewhere_shows_at_refresh_and_commit_too(verb: str) -> None:
    async with connected() as (_, browser, connection):
        await browser.fetch("/out")
        await ask(connection, "write 9")

        assert await ask(connection, verb) == "9 ended=True"


async def test_a_revoked_session_is_gone_at_the_next_reload() -> None:
    class SignIn(SessionMixin, RequestHandler):
        async def get(self) -> None:
            await self.session.regenerate(owner="user-42")

    async with serve([*ROUTES, ("/in", SignIn)]) as site:
        browser = site.browser()
        await browser.fetch("/in")
        connection = await connect(site, browser)
        await connection.read_message()
        assert await site.app.settings["sessions"].revoke_all("user-42") == 1

        assert await ask(connection, "reload") == "None ended=True"
        connection.close()


async def test_destroy_on_a_socket_removes_the_session() -> None:
    async with connected() as (_, browser, connection):
        assert await ask(connection, "destroy") == "None ended=True"
        assert b'"visits": 0' in (await browser.fetch("/visits")).body


async def test_a_cache_that_fails_under_an_open_socket_is_the_handlers_to_handle() -> None:
    async with connected() as (site, _, connection):
        site.cache.fail = {"get", "replace", "refresh"}
        await ask(connection, "write 3")

        for message in ("reload", "commit", "refresh"):
            assert (await ask(connection, message)).startswith("CacheError: ")
        site.cache.fail = set()
        assert await ask(connection, "commit") == "3 ended=False"


async def test_a_commit_that_fails_before_the_upgrade_is_a_503_without_a_cookie() -> None:
    class Establish(Socket):
        async def prepare(self) -> None:
            await super().prepare()
            self.session["visits"] = 7

    async with serve([("/ws", Establish)]) as site:
        site.cache.fail = {"add"}

        with pytest.raises(HTTPClientError) as raised:
            await connect(site)

        assert raised.value.code == 503
        assert raised.value.response is not None
        assert "Set-Cookie" not in raised.value.response.headers


async def test_a_handshake_that_is_refused_after_the_commit_sends_the_cookie_once() -> None:
    class Establish(Socket):
        async def prepare(self) -> None:
            await super().prepare()
            self.session["visits"] = 7

    async with serve([("/ws", Establish)]) as site:
        request = (
            b"GET /ws HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade, close\r\n"
            b"Sec-WebSocket-Version: 13\r\n\r\n"
        )
        first, reader, writer = await raw(site, request)
        text = (first + await reader.readuntil(b"\r\n\r\n")).decode()
        writer.close()

        assert text.startswith("HTTP/1.1 400 ")
        assert text.count(f"Set-Cookie: {COOKIE}=") == 1


async def test_a_socket_with_autoload_off_is_upgraded_and_loads_on_demand() -> None:
    class Lazy(Socket):
        session_autoload = False

        async def prepare(self) -> None:
            self.temp_data.get("notice")
            await super().prepare()

        async def open(self, *args: str, **kwargs: str) -> None:
            with pytest.raises(SessionNotLoadedError, match="session_autoload is off for Lazy"):
                self.session.get("visits")
            await self.load_session()
            self.session["visits"] = 11
            await self.session.commit()
            await self.write_message("done")

    async with serve([*ROUTES, ("/lazy", Lazy)]) as site:
        browser = site.browser()
        await browser.fetch("/")
        connection = await connect(site, browser, "/lazy")

        assert await connection.read_message() == "done"
        assert b'"visits": 11' in (await browser.fetch("/visits")).body
        connection.close()


class Noticed(Socket):
    async def prepare(self) -> None:
        await super().prepare()
        self.notice = self.temp_data.get("notice")

    async def open(self, *args: str, **kwargs: str) -> None:
        await self.write_message(str(self.notice))


class Notice(SessionMixin, RequestHandler):
    def get(self) -> None:
        self.temp_data["notice"] = "hello"


async def test_temp_data_in_the_session_that_is_read_before_the_upgrade_is_consumed_with_it() -> None:
    async with serve([("/notice", Notice), ("/ws", Noticed)], temp_data=SessionTempDataProvider()) as site:
        browser = site.browser()
        await browser.fetch("/notice")

        for expected in ("hello", "None"):
            connection = await connect(site, browser)
            assert await connection.read_message() == expected
            connection.close()


async def test_temp_data_read_before_the_upgrade_is_consumed_with_the_101() -> None:
    async with serve([("/notice", Notice), ("/ws", Noticed)]) as site:
        browser = site.browser()
        await browser.fetch("/notice")

        connection = await connect(site, browser)

        assert await connection.read_message() == "hello"
        (line,) = connection.headers.get_list("Set-Cookie")
        assert "Max-Age=0" in line
        connection.close()


async def test_a_socket_without_a_session_upgrades_while_the_cache_is_down(log_of: Any) -> None:
    async with serve(ROUTES) as site:
        browser = site.browser()
        await browser.fetch("/")
        site.cache.fail = {"get"}

        connection = await connect(site, browser)

        assert await connection.read_message() == "open None"
        connection.close()
    assert len(log_of(logging.WARNING)) == 1


async def test_under_fail_a_socket_whose_session_cannot_be_read_is_a_503() -> None:
    async with serve(ROUTES, session=SessionOptions(when_unavailable="fail")) as site:
        browser = site.browser()
        await browser.fetch("/")
        site.cache.fail = {"get"}

        with pytest.raises(HTTPClientError, match="503"):
            await connect(site, browser)
