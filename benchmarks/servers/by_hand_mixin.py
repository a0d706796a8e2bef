"""The least that a mixin can cost that loads before and stores after the handler: the happy path alone, by hand.

The cookie is encrypted and remembered; the session is serialized, expires when it is idle, has a version, and is stored
before the response leaves if it changed. No options, no merging, no errors, no limits, no TempData: what is left out is
what a package is for, and what is left in is what none can leave out. ``by_hand_promises`` puts some of it back.
"""

import os
import time
from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import Any, Final

import msgspec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from tornado.httputil import parse_cookie
from tornado.web import Application, RequestHandler

from benchmarks.servers import tornado_server
from benchmarks.servers.common import SESSION, arguments

_CIPHER: Final = AESGCM(os.urandom(32))
_IDLE_TIMEOUT: Final = 1200.0
_encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder(dict[str, Any]).decode


class Stored(msgspec.Struct, gc=False):
    """What is kept of a session."""

    value: bytes
    version: int
    expires: float


class Mixin(RequestHandler):
    """Loads in ``prepare``, stores in ``finish``."""

    stored: dict[bytes, Stored] = {}  # noqa: RUF012 - one for all
    opened: dict[str, bytes] = {}  # noqa: RUF012
    key: bytes | None = None
    is_touched = False
    version = 0
    before = b""
    values: dict[str, Any]

    @property
    def session(self) -> dict[str, Any]:
        self.is_touched = True
        return self.values

    async def prepare(self) -> None:
        if "Cookie" not in self.request.headers:
            return
        header = self.request.headers["Cookie"]
        key = self.key = self.opened.get(header) or self.open(header)
        stored, now = self.stored[key], time.time()
        if now < stored.expires:
            stored.expires = now + _IDLE_TIMEOUT
            self.version, self.before = stored.version, stored.value
            self.values = _decode(stored.value)

    def open(self, header: str) -> bytes:
        sealed = urlsafe_b64decode(parse_cookie(header)["id"])
        self.opened[header] = _CIPHER.decrypt(sealed[:12], sealed[12:], None)
        return self.opened[header]

    def begin(self) -> None:
        self.key, self.values, self.is_touched = os.urandom(32), {}, True
        nonce = os.urandom(12)
        self.stored[self.key] = Stored(b"", 0, time.time() + _IDLE_TIMEOUT)
        self.set_cookie("id", urlsafe_b64encode(nonce + _CIPHER.encrypt(nonce, self.key, None)).decode())

    def flush(self, include_footers: bool = False) -> Any:
        if self.is_touched and not self._headers_written:
            self.set_header("Vary", "Cookie")
        return super().flush(include_footers)

    def finish(self, chunk: Any = None) -> Any:
        if self.is_touched and self.key is not None:
            value = _encode(self.values)
            stored = self.stored[self.key]
            if value != self.before and stored.version == self.version:
                stored.value, stored.version = value, self.version + 1
        return super().finish(chunk)


class Start(Mixin):
    async def get(self) -> None:
        self.begin()
        self.session.update(SESSION)
        self.write("0")


class Untouched(Mixin):
    async def get(self) -> None:
        self.write("0")


class Read(Mixin):
    async def get(self) -> None:
        self.write(str(self.session["visits"]))


class Written(Mixin):
    async def get(self) -> None:
        self.session["visits"] += 1
        self.write(str(self.session["visits"]))


HANDLERS: list[Any] = [
    ("/bare", tornado_server.Bare),
    ("/start", Start),
    ("/none", Untouched),
    ("/read", Read),
    ("/written", Written),
]

if __name__ == "__main__":
    tornado_server.serve(arguments().port, lambda: tornado_server.quiet(Application(HANDLERS)))
