"""What tests over HTTP share: an application of a test's handlers, served on a free loopback port."""

import logging
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from hypothesis import settings
from tornado.httpserver import HTTPServer
from tornado.testing import bind_unused_port
from tornado.web import Application

from tests.caches import ran
from tornado_session import MemoryCache, session_settings
from tornado_session.testing import CookieClient, FakeClock, FaultyCache

# No deadline: how long one example takes depends on what else the machine does.
settings.register_profile("quick", deadline=None)
settings.register_profile("long", deadline=None, max_examples=5000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "quick"))

SECRET = "a secret for tests, not for sites"


class Site:
    """An application under test: its cache, its clock, and browsers that visit it."""

    def __init__(self, base_url: str, app: Application, cache: FaultyCache, clock: FakeClock) -> None:
        self.base_url = base_url
        self.app = app
        self.cache = cache
        self.clock = clock

    def browser(self) -> CookieClient:
        return CookieClient(self.base_url)

    @property
    def calls(self) -> list[str]:
        """The calls to the cache since this was last asked."""
        calls, self.cache.calls = self.cache.calls, []
        return calls


@asynccontextmanager
async def serve(
    handlers: list[Any], *, app_settings: dict[str, Any] | None = None, **options: Any
) -> AsyncIterator[Site]:
    """Serve ``handlers``; ``options`` are those of ``session_settings``, with a counted MemoryCache as the default."""
    clock = options.setdefault("clock", FakeClock())
    cache = options.setdefault("cache", FaultyCache(MemoryCache(clock=clock)))
    if "keys" not in options:
        options.setdefault("cookie_secret", SECRET)
    app = Application(handlers, **session_settings(**options), **(app_settings or {}))
    socket, port = bind_unused_port()
    server = HTTPServer(app)
    server.add_socket(socket)
    try:
        yield Site(f"http://127.0.0.1:{port}", app, cache, clock)
    finally:
        server.stop()
        await server.close_all_connections()


@pytest.fixture
def log_of(caplog: pytest.LogCaptureFixture) -> Callable[..., list[str]]:
    """The lines that the package logged, at or above a level: ``log_of(logging.WARNING)``."""
    caplog.set_level(logging.DEBUG, logger="tornado_session")

    def lines(level: int = logging.WARNING) -> list[str]:
        return [
            record.getMessage()
            for record in caplog.records
            if record.name.startswith("tornado_session") and record.levelno >= level
        ]

    return lines


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say on which servers the stories were told."""
    for name, version in sorted(ran.items()):
        terminalreporter.write_line(f"The stories were told on {name}: {version}")
