"""The tutorial's shop works at every step."""

import asyncio
import importlib.util
import re
import subprocess
import sys
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.parse import urlencode

import pytest
from tornado.httpserver import HTTPServer
from tornado.testing import bind_unused_port
from tornado.web import Application, RequestHandler

from tests.docs.pages import DOCS
from tornado_session import DistributedCache, MemoryCache
from tornado_session.testing import CookieClient

TUTORIAL = DOCS / "tutorial"
WITH_CART = ["step2", "step3", "step4", "step5", "step6", "step7"]


def load(step: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"tutorial_{step}", TUTORIAL / f"{step}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Shopper(CookieClient):
    """A browser that fills in the shop's forms."""

    async def page(self, path: str) -> str:
        return (await self.fetch(path)).body.decode()

    async def post(self, form: str, action: str, **fields: str) -> str:
        token = re.search(r'name="_xsrf" value="([^"]+)"', await self.page(form))
        assert token is not None
        answer = await self.fetch(action, method="POST", body=urlencode({"_xsrf": token[1], **fields}))
        assert answer.code == 200
        return answer.body.decode()

    async def sign_in(self, password: str = "tea time") -> str:
        return await self.post("/sign-in", "/sign-in", name="shopper", password=password)


@asynccontextmanager
async def serving(app: Application) -> AsyncIterator[str]:
    socket, port = bind_unused_port()
    server = HTTPServer(app)
    server.add_socket(socket)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.stop()
        await server.close_all_connections()


@asynccontextmanager
async def shop_of(step: str) -> AsyncIterator[str]:
    module = load(step)
    if step == "step7":
        from tornado_session.caching.sql import SQLCache, create_cache_engine

        engine = create_cache_engine("sqlite+aiosqlite:///shop.db")
        try:
            async with serving(module.make_app(SQLCache(engine))) as base_url:
                yield base_url
        finally:
            await engine.dispose()
    else:
        cache: DistributedCache = MemoryCache()
        async with serving(module.make_app(cache)) as base_url:
            yield base_url


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    # Tornado keeps template loaders by folder, and all steps lie in one.
    monkeypatch.setattr(RequestHandler, "_template_loaders", {})


def play(story: Coroutine[Any, Any, None]) -> None:
    asyncio.run(story)


def need_sqlalchemy(step: str) -> None:
    if step == "step7":
        pytest.importorskip("sqlalchemy")
        pytest.importorskip("aiosqlite")


def test_step_1_shows_the_products() -> None:
    async def story() -> None:
        async with serving(load("step1").make_app()) as base_url:
            page = await Shopper(base_url).page("/")

        assert "Assam tea, 4.50" in page

    play(story())


@pytest.mark.parametrize("step", WITH_CART)
def test_the_cart_counts_what_was_put_into_it(step: str) -> None:
    need_sqlalchemy(step)

    async def story() -> None:
        async with shop_of(step) as base_url:
            shopper = Shopper(base_url)
            await shopper.post("/", "/cart", product="tea")
            await shopper.post("/", "/cart", product="pot")
            page = await shopper.post("/", "/cart", product="tea")

        assert "2 × Assam tea" in page
        assert "1 × Teapot" in page
        assert "Total: 48.00" in page

    play(story())


@pytest.mark.parametrize("step", WITH_CART)
def test_two_shoppers_have_two_carts(step: str) -> None:
    need_sqlalchemy(step)

    async def story() -> None:
        async with shop_of(step) as base_url:
            await Shopper(base_url).post("/", "/cart", product="tea")
            page = await Shopper(base_url).page("/")

        assert "× Assam tea" not in page
        assert "Total: 0" in page

    play(story())


@pytest.mark.parametrize("step", WITH_CART[1:])
def test_a_message_is_shown_once_after_the_redirect(step: str) -> None:
    need_sqlalchemy(step)

    async def story() -> None:
        async with shop_of(step) as base_url:
            shopper = Shopper(base_url)
            first = await shopper.post("/", "/cart", product="cup")
            second = await shopper.page("/")

        assert "Blue cup is in your cart." in first
        assert "Blue cup is in your cart." not in second

    play(story())


@pytest.mark.parametrize("step", WITH_CART[2:])
def test_checking_out_asks_for_an_address_and_counts_the_orders(step: str) -> None:
    need_sqlalchemy(step)

    async def story() -> None:
        async with shop_of(step) as base_url:
            shopper = Shopper(base_url)
            await shopper.post("/", "/cart", product="cup")
            refused = await shopper.post("/checkout/address", "/checkout/address", address="")
            confirm = await shopper.post("/checkout/address", "/checkout/address", address="1 Harbour Street")
            done = await shopper.post("/checkout/confirm", "/checkout/confirm")

        assert "Missing argument" not in refused
        assert "12.00 to 1 Harbour Street" in confirm
        assert "order number 1" in done
        assert "× Blue cup" not in done

    play(story())


@pytest.mark.parametrize("step", WITH_CART[3:])
def test_signing_in_keeps_the_cart_and_signing_out_ends_it(step: str) -> None:
    need_sqlalchemy(step)

    async def story() -> None:
        async with shop_of(step) as base_url:
            shopper = Shopper(base_url)
            await shopper.post("/", "/cart", product="pot")
            key = shopper.cookies[".Tornado.Session"]
            wrong = await shopper.sign_in("coffee time")
            right = await shopper.sign_in()
            fresh_key = shopper.cookies[".Tornado.Session"]
            out = await shopper.post("/", "/sign-out")

        assert "Name or password is wrong." in wrong
        assert "Hello shopper" in right
        assert "1 × Teapot" in right
        assert key != fresh_key
        assert "Hello shopper" not in out
        assert "× Teapot" not in out

    play(story())


@pytest.mark.parametrize("step", WITH_CART[4:])
def test_the_devices_page_ends_the_other_sessions(step: str) -> None:
    need_sqlalchemy(step)

    async def story() -> None:
        async with shop_of(step) as base_url:
            desktop, phone, tablet = (Shopper(base_url) for _ in range(3))
            for device in (desktop, phone, tablet):
                await device.sign_in()
            devices = await desktop.page("/devices")
            one = re.search(r'name="id" value="((?!others)[^"]+)"', devices)
            assert one is not None
            after_one = await desktop.post("/devices", "/devices", id=one[1])
            after_all = await desktop.post("/devices", "/devices", id="others")
            pages = [await device.page("/") for device in (desktop, phone, tablet)]

        assert devices.count("last seen") == 3
        assert after_one.count("last seen") == 2
        assert "Sessions ended: 1." in after_all
        assert ["Hello shopper" in page for page in pages] == [True, False, False]

    play(story())


def test_a_cart_in_sqlite_survives_a_restart() -> None:
    need_sqlalchemy("step7")

    async def story() -> None:
        async with shop_of("step7") as base_url:
            shopper = Shopper(base_url)
            await shopper.post("/", "/cart", product="pot")
        async with shop_of("step7") as base_url:
            again = Shopper(base_url)
            again.set_cookie(".Tornado.Session", shopper.cookies[".Tornado.Session"])
            page = await again.page("/")

        assert "1 × Teapot" in page

    play(story())


def test_the_tests_that_the_tutorial_shows_pass_on_its_last_step(tmp_path: Path) -> None:
    need_sqlalchemy("step7")
    (tmp_path / "shop.py").write_text((TUTORIAL / "step7.py").read_text())
    (tmp_path / "test_shop.py").write_text((TUTORIAL / "test_shop.py").read_text())

    outcome = subprocess.run(
        [sys.executable, "-m", "unittest", "test_shop"],
        check=False,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
    )

    assert outcome.returncode == 0, outcome.stdout + outcome.stderr
    assert "Ran 2 tests" in outcome.stderr
