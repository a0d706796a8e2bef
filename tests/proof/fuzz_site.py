"""FuzzSite: an application of which every request is checked against what its visitors were really given."""

import asyncio
import json
import logging
from collections import Counter
from dataclasses import dataclass, field
from datetime import timedelta
from time import process_time
from typing import Any

from tornado.httputil import HTTPHeaders, HTTPServerRequest, RequestStartLine, parse_cookie
from tornado.web import Application, RequestHandler

from tests.proof.known import Known
from tornado_session import (
    CookieTempDataProvider,
    KeyRing,
    MemoryCache,
    SessionMixin,
    SessionOptions,
    session_settings,
)
from tornado_session.caching.contract import CacheEntryOptions
from tornado_session.record import UnreadableRecordError
from tornado_session.store import SessionStore
from tornado_session.testing import FakeClock

OLD, CURRENT, FOREIGN = ("the secret of yesterday 1234", "the secret of today 5678", "the secret of a neighbour 90")
SLOWEST_ALLOWED = 0.050
ANSWERS = frozenset({200, 303})


class Page(SessionMixin, RequestHandler):
    """Shows what it knows of its visitor; POST also writes."""

    def get(self) -> None:
        shown = {"token": _as_text(self.session.get("token")), "notice": _as_text(self.temp_data.peek("notice"))}
        self.write(json.dumps(shown))

    head = get

    async def post(self) -> None:
        self.get()
        self.session["visits"] = self.session.get("visits", 0) + 1
        self.temp_data["seen"] = True
        if self.request.path == "/regenerate":
            await self.session.regenerate()


def _as_text(value: object) -> str | None:
    return None if value is None else str(value)


class Connection:
    """The far end of a request that never was on a wire."""

    context = None

    def __init__(self) -> None:
        self.status = 0
        self.headers = HTTPHeaders()
        self.body = b""
        self.finished: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def write_headers(self, start_line: Any, headers: HTTPHeaders, chunk: bytes = b"") -> "asyncio.Future[None]":
        self.status, self.headers, self.body = start_line.code, headers, chunk
        return self.write(b"")

    def write(self, chunk: bytes) -> "asyncio.Future[None]":
        self.body += chunk
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        done.set_result(None)
        return done

    def finish(self) -> None:
        self.finished.set_result(None)

    def set_close_callback(self, callback: object) -> None:
        pass


class ErrorCount(logging.Handler):
    """Counts what is logged as an error: an input that makes one of it has found something."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage()[:200])


@dataclass
class Findings:
    """What the inputs so far have shown."""

    inputs: int = 0
    accepted: int = 0
    accepted_notices: int = 0
    records_understood: int = 0
    statuses: Counter[int] = field(default_factory=Counter)
    slowest: float = 0.0
    slowest_input: str = ""
    broken: list[str] = field(default_factory=list)


class FuzzSite:
    """Serves requests in process. ``known`` holds the genuine cookies, and what each of them may show."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        # Full long before growth is looked for.
        self.cache = MemoryCache(max_size=2**20, clock=self.clock)
        keys = KeyRing({1: OLD, 2: CURRENT}, current=2)
        self.app = self._application(self.cache, keys)
        self.known = Known(self.clock, self.app.settings["sessions"])
        self.findings = Findings()
        self.errors = ErrorCount()

    def _application(self, cache: MemoryCache, keys: KeyRing) -> Application:
        settings = session_settings(
            cache=cache,
            keys=keys,
            clock=self.clock,
            session=SessionOptions(idle_timeout=timedelta(days=1)),
            temp_data=CookieTempDataProvider(chunk_size=600, max_size=2400, max_age=timedelta(hours=1)),
        )
        return Application([("/.*", Page)], log_function=lambda _: None, **settings)

    async def prepare(self) -> None:
        """Give the visitors their cookies."""
        logging.getLogger().addHandler(self.errors)
        logging.getLogger("tornado_session").setLevel(logging.ERROR)
        await self.known.make()

    def close(self) -> None:
        logging.getLogger().removeHandler(self.errors)
        logging.getLogger("tornado_session").setLevel(logging.NOTSET)

    def forget(self) -> None:
        """Empty what is remembered up to a bound, several MiB of cookies, so that it is not taken for growth."""
        self.app.settings["sessions"].cookie.remembered.clear()
        SessionStore.cache_key.cache_clear()

    async def request(self, header: str, method: str = "GET", path: str = "/") -> Connection:
        """Make one request with this ``Cookie`` header."""
        connection = Connection()
        request = HTTPServerRequest(
            headers=HTTPHeaders({"Host": "localhost"}),
            connection=connection,  # type: ignore[arg-type]
            start_line=RequestStartLine(method, path, "HTTP/1.1"),
        )
        # Assigned, not added: what a parser refuses can be tried too.
        request.headers["Cookie"] = header
        self.app.find_handler(request).execute()
        await connection.finished
        return connection

    async def check(self, header: str, method: str = "GET", path: str = "/") -> None:
        """Make one request, and hold the answer against what the cookies are known to be."""
        findings = self.findings
        if findings.inputs % 100 == 0:
            await self.known.restore()
        findings.inputs += 1
        answer = await self._timed(header, method, path)
        findings.statuses[answer.status] += 1
        if answer.status not in ANSWERS:
            self._note(f"{method} {path} was answered {answer.status}", header)
            return
        if method != "HEAD":
            self._compare(json.loads(answer.body), header)
        if path == "/regenerate":
            await self.known.restore()

    async def check_stored(self, stored: bytes) -> None:
        """Make a request for a session under whose key these bytes lie."""
        sessions = self.app.settings["sessions"]
        key, header = self.known.carol
        findings = self.findings
        findings.inputs += 1
        await self.cache.set(key, stored, CacheEntryOptions(sliding=timedelta(days=1)))
        answer = await self._timed(header)
        findings.statuses[answer.status] += 1
        entry = await self.cache.get(key)
        if answer.status not in ANSWERS or entry is None or entry.value != stored:
            self._note(f"a stored record was answered {answer.status}, or overwritten by a reader", repr(stored))
        try:
            understood = sessions.store.understand(key, entry)
        except UnreadableRecordError:
            return
        # What is encrypted is also authenticated: if it opens, it is what was written.
        if stored[:1] == b"\x02" and (understood.record is None or understood.record.values != {"token": "carol"}):
            self._note("a forged record was taken for a session", repr(stored))
        findings.records_understood += 1

    def _compare(self, shown: dict[str, Any], header: str) -> None:
        cookies = parse_cookie(header)
        token, notice = self.known.session_token(cookies), self.known.notice(cookies)
        if shown["token"] != token:
            self._note(f"the session of {shown['token']!r} was shown to {token!r}", header)
        # What is genuine and comes in pieces of another number need not be accepted; what is not must not.
        if shown["notice"] is not None and shown["notice"] != notice:
            self._note(f"the notice of {shown['notice']!r} was shown to {notice!r}", header)
        self.findings.accepted += token is not None
        self.findings.accepted_notices += shown["notice"] is not None

    async def _timed(self, header: str, method: str = "GET", path: str = "/") -> Connection:
        begun = process_time()
        answer = await self.request(header, method, path)
        took = process_time() - begun
        if took > self.findings.slowest:
            await self._note_slow(took, header, method, path)
        return answer

    async def _note_slow(self, took: float, header: str, method: str, path: str) -> None:
        # Once may be the garbage collector's turn: slow is what is slow again.
        for _ in range(3 if took > SLOWEST_ALLOWED / 2 else 0):
            begun = process_time()
            await self.request(header, method, path)
            took = min(took, process_time() - begun)
        if took > self.findings.slowest:
            self.findings.slowest, self.findings.slowest_input = took, f"{method}, {len(header)} characters"

    def _note(self, finding: str, header: str) -> None:
        if len(self.findings.broken) < 20:
            self.findings.broken.append(f"{finding}: {header[:300]!r}")
