"""A real browser for the tests of the tour: Debian's Chromium, driven by Playwright."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("playwright.sync_api", reason="browser tests need: pip install playwright")

from playwright.sync_api import Browser, BrowserContext

from demos.running import running
from demos.screenshots import CHROMIUM, chromium
from tests.services import require, unavailable
from tornado_session.testing.servers.mongodb import MongoServer


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    if not Path(CHROMIUM).exists():
        unavailable(f"there is no {CHROMIUM}; name your Chromium in the environment variable CHROMIUM")
    with chromium() as started:
        yield started


@pytest.fixture(scope="session")
def memory_tour() -> Iterator[str]:
    """The address of a tour with its sessions in memory."""
    with running("tour") as url:
        yield url


@pytest.fixture(scope="session")
def mongodb_tour() -> Iterator[str]:
    """The address of a tour with its sessions in MongoDB."""
    if not os.environ.get("MONGODB_URI"):
        probe = require(MongoServer)
        try:
            require(probe.command)
        finally:
            probe.close()
    with running("tour", "--cache=mongodb") as url:
        yield url


@pytest.fixture(params=["memory", "mongodb"])
def tour(request: pytest.FixtureRequest) -> str:
    """The tour's address, on each of two stores."""
    url: str = request.getfixturevalue(f"{request.param}_tour")
    return url


@pytest.fixture
def context(browser: Browser, tour: str) -> Iterator[BrowserContext]:
    """A browser profile of its own."""
    made = browser.new_context(base_url=tour, reduced_motion="reduce")
    made.set_default_timeout(15_000)
    yield made
    made.close()
