"""What each floor of the package costs by itself, in microseconds of CPU: ``python -m benchmarks.floors``."""

import asyncio
import base64
import functools
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from tornado.httputil import HTTPHeaders, HTTPServerRequest, RequestStartLine, ResponseStartLine
from tornado.web import Application, RequestHandler

from benchmarks.servers.common import SESSION
from benchmarks.servers.ours import Read, ReadTempData, SetTempData, Start, Untouched, Written
from benchmarks.servers.tornado_server import Bare
from tornado_session import (
    CacheEntryOptions,
    CookieOptions,
    KeyRing,
    MemoryCache,
    serializer,
    session_settings,
)
from tornado_session.cookies import encoding
from tornado_session.cookies.chunking import ChunkedCookie

SECRET: Final = "of the benchmark only"
_REPEATS: Final = 15
_SECONDS_PER_REPEAT: Final = 0.02
_IMPORTS: Final = 15


@dataclass(frozen=True, slots=True)
class Floor:
    """One figure: the median of several repeats, and their range."""

    name: str
    microseconds: float
    lowest: float
    highest: float


def measure_all(*, quick: bool = False) -> list[Floor]:
    """Measure every floor; takes about ten seconds."""
    repeats = 5 if quick else _REPEATS
    floors = [_timed(name, function, repeats) for name, function in {**_plain(), **_sealing()}.items()]
    return floors + asyncio.run(_awaited(repeats)) + [import_time(5 if quick else _IMPORTS)]


def import_time(times: int) -> Floor:
    """CPU time that ``import tornado_session`` adds to ``import tornado.web``; microseconds too."""
    program = (
        "import time, tornado.web; began = time.process_time(); import tornado_session; "
        "print((time.process_time() - began) * 1e6)"
    )
    command = [sys.executable, "-c", program]
    with tempfile.TemporaryDirectory() as folder:
        # Byte code of this very source, as an installed package has it, also where none is to be written beside it.
        environment = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
        environment["PYTHONPYCACHEPREFIX"] = folder
        run = functools.partial(subprocess.run, command, check=True, capture_output=True, env=environment)
        run()  # writes the byte code
        outcomes = [float(run().stdout) for _ in range(times)]
    return _floor("import tornado_session, after tornado.web", outcomes)


def _plain() -> dict[str, Callable[[], Any]]:
    data = serializer.dumps(SESSION)
    cookie = ChunkedCookie(CookieOptions(name="temp"), chunk_size=3800, max_size=7168)
    text = "x" * 5500
    lines = cookie.lines(text, https=False)
    assert lines is not None, "it fits two cookies"
    cookies = dict(line.partition(";")[0].split("=", 1) for line in lines)
    return {
        f"serializer: dumps, session of {len(data)} B": lambda: serializer.dumps(SESSION),
        f"serializer: loads, session of {len(data)} B": lambda: serializer.loads(data),
        "chunking: split 5500 characters": lambda: cookie.lines(text, https=False),
        "chunking: join 5500 characters": lambda: cookie.join(cookies),
    }


def _sealing() -> dict[str, Callable[[], Any]]:
    floors: dict[str, Callable[[], Any]] = {}
    for size in (32, 1024, 4096):
        floors |= _sealing_of(size)
    return floors


def _sealing_of(size: int) -> dict[str, Callable[[], Any]]:
    data = os.urandom(size)
    protector = KeyRing.from_cookie_secret(SECRET).protector("benchmark")
    cipher = AESGCM(os.urandom(32))
    text = encoding.encode(protector.protect(data))
    nonce = os.urandom(12)
    base = base64.urlsafe_b64encode(nonce + cipher.encrypt(nonce, data, b"header"))

    def open_in_c() -> bytes:
        sealed = base64.urlsafe_b64decode(base)
        return cipher.decrypt(sealed[:12], sealed[12:], b"header")

    def seal_in_c() -> bytes:
        nonce = os.urandom(12)
        return base64.urlsafe_b64encode(nonce + cipher.encrypt(nonce, data, b"header"))

    return {
        f"seal {size} B: protect and encode": lambda: encoding.encode(protector.protect(data)),
        f"seal {size} B: AES-256-GCM and base64 in C": seal_in_c,
        f"open {size} B: decode and unprotect": lambda: protector.unprotect(encoding.decode(text) or b""),
        f"open {size} B: AES-256-GCM and base64 in C": open_in_c,
    }


async def _awaited(repeats: int) -> list[Floor]:
    floors = {**await _cache_floors(), **await _handler_floors()}
    return [await _timed_awaitable(name, function, repeats) for name, function in floors.items()]


async def _cache_floors() -> dict[str, Callable[[], Awaitable[Any]]]:
    cache, options = MemoryCache(), CacheEntryOptions(sliding=timedelta(minutes=20))
    value = os.urandom(300)
    for number in range(10_000):
        await cache.set(f"key {number}", value, options)
    return {
        "MemoryCache: get among 10,000": lambda: cache.get("key 5000"),
        "MemoryCache: replace among 10,000": lambda: cache.replace("key 5000", value, options),
    }


async def _handler_floors() -> dict[str, Callable[[], Awaitable[Any]]]:
    """Handlers without a server: what a request costs beside Tornado's own parsing and sending."""
    application = Application([], **session_settings(cache=MemoryCache(), cookie_secret=SECRET))
    session_cookie = await answered(Start, application, "")
    temp_cookie = await answered(SetTempData, application, "")
    return {
        "handler alone, a cookie in the request": lambda: answered(Bare, application, session_cookie),
        "handler, no session": lambda: answered(Untouched, application, ""),
        "handler, session read": lambda: answered(Read, application, session_cookie),
        "handler, session written": lambda: answered(Written, application, session_cookie),
        "handler, TempData of 300 B set": lambda: answered(SetTempData, application, ""),
        "handler, TempData of 300 B read": lambda: answered(ReadTempData, application, temp_cookie),
    }


async def answered(handler: type[RequestHandler], application: Application, cookie: str) -> str:
    """Run a handler as Tornado's router would, until its response is complete; return the cookies that it set."""
    connection = _Connection()
    headers = HTTPHeaders({"Host": "127.0.0.1", **({"Cookie": cookie} if cookie else {})})
    start_line = RequestStartLine("GET", "/", "HTTP/1.1")
    request = HTTPServerRequest(start_line=start_line, headers=headers, connection=connection)  # type: ignore[arg-type]
    await handler(application, request)._execute([])  # noqa: SLF001 - the router's own way in
    await connection.finished
    assert connection.status == 200, connection.status
    return "; ".join(line.partition(";")[0] for line in connection.headers.get_list("Set-Cookie"))


class _Connection:
    """Takes what a handler sends, and drops it."""

    context = None

    def __init__(self) -> None:
        self.headers = HTTPHeaders()
        self.status = 0
        self.finished = asyncio.get_running_loop().create_future()

    def set_close_callback(self, callback: Any) -> None:
        pass

    def write_headers(
        self, start_line: ResponseStartLine, headers: HTTPHeaders, chunk: bytes = b""
    ) -> "asyncio.Future[None]":
        self.status, self.headers = start_line.code, headers
        sent = asyncio.get_running_loop().create_future()
        sent.set_result(None)
        return sent

    def finish(self) -> None:
        self.finished.set_result(None)


def _timed(name: str, function: Callable[[], Any], repeats: int) -> Floor:
    function()
    count, outcomes = _count_for(function), []
    for _ in range(repeats):
        began = time.process_time()
        for _ in range(count):
            function()
        outcomes.append((time.process_time() - began) / count * 1e6)
    return _floor(name, outcomes)


def _count_for(function: Callable[[], Any]) -> int:
    """Find how many calls fill one repeat."""
    count = 1
    while True:
        began = time.process_time()
        for _ in range(count):
            function()
        if time.process_time() - began >= _SECONDS_PER_REPEAT / 4:
            return count * 4
        count *= 4


async def _timed_awaitable(name: str, function: Callable[[], Awaitable[Any]], repeats: int) -> Floor:
    count, outcomes = 1000, []
    for _ in range(repeats + 1):
        began = time.process_time()
        for _ in range(count):
            await function()
        outcomes.append((time.process_time() - began) / count * 1e6)
    return _floor(name, outcomes[1:])


def _floor(name: str, outcomes: list[float]) -> Floor:
    return Floor(name, statistics.median(outcomes), min(outcomes), max(outcomes))


def main() -> None:
    for floor in measure_all():
        print(f"{floor.name:52} {floor.microseconds:10.2f} µs  ({floor.lowest:.2f} to {floor.highest:.2f})")


if __name__ == "__main__":
    main()
