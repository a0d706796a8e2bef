"""Requests without HTTP: the exchange of a browser's cookies, a session and a cache, for tests that need thousands."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from tests.conftest import SECRET
from tornado_session import MemoryCache, SessionOptions, Sessions, session_settings
from tornado_session.application import SETTING
from tornado_session.caching.contract import DistributedCache
from tornado_session.errors import CacheError, SessionUnavailableError
from tornado_session.exchange import Exchange
from tornado_session.testing import FakeClock


class Host:
    """A handler as far as a session sees it."""

    def __init__(self) -> None:
        self.headers_sent = False
        self.https = False
        self.renewed_tokens = 0

    def agrees(self, consent: Callable[[Any], bool]) -> bool:
        return consent(self)

    def explain_not_loaded(self) -> str:
        return "Session not loaded"

    def renew_xsrf_token(self) -> None:
        self.renewed_tokens += 1


class Visit:
    """One request, from its cookies to those of its response."""

    def __init__(self, sessions: Sessions, cookies: dict[str, str]) -> None:
        self._jar = cookies
        self.host = Host()
        header = "; ".join(f"{name}={value}" for name, value in cookies.items())
        self.exchange = Exchange(sessions, self.host, header)
        self.session = self.exchange.session

    async def load(self) -> "Visit":
        try:
            await self.session.load()
        except (CacheError, SessionUnavailableError) as error:
            self.session._go_on_without(error)
        return self

    async def finish(self) -> None:
        """Store what changed and give the browser its cookies, as the end of a response does."""
        commit = self.session._close()
        if commit is not None:
            await commit
        for line in self.exchange.cookie_lines():
            name, _, value = line.partition(";")[0].partition("=")
            if "Max-Age=0" in line:
                self._jar.pop(name, None)
            else:
                self._jar[name] = value


class Browser:
    """A jar of cookies."""

    def __init__(self, sessions: Sessions, cookies: dict[str, str] | None = None) -> None:
        self.sessions = sessions
        self.cookies: dict[str, str] = {} if cookies is None else cookies

    def visit(self) -> Visit:
        return Visit(self.sessions, self.cookies)

    async def begin(self) -> Visit:
        return await self.visit().load()

    def copy(self) -> "Browser":
        """A browser with the same cookies and a jar of its own: a stolen cookie, a request that is slow to leave."""
        return Browser(self.sessions, dict(self.cookies))

    async def write(self, **values: Any) -> Visit:
        visit = await self.begin()
        visit.session.update(values)
        await visit.finish()
        return visit

    async def read(self) -> dict[str, Any]:
        visit = await self.begin()
        await visit.finish()
        return dict(visit.session)


def make_sessions(cache: DistributedCache | None = None, clock: FakeClock | None = None, **options: Any) -> Sessions:
    """An application's sessions; ``options`` are those of ``SessionOptions``."""
    clock = clock or FakeClock()
    settings = session_settings(
        cache=cache or MemoryCache(clock=clock),
        cookie_secret=SECRET,
        session=SessionOptions(**options),
        clock=clock,
    )
    sessions: Sessions = settings[SETTING]
    return sessions


MINUTE = timedelta(minutes=1)
