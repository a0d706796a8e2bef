"""The least that keeping the promises themselves can cost: what ``by_hand_mixin`` does, and what that leaves out.

* Any cache can be plugged in: an entry is read and replaced by coroutines, and tells its version and its instants.
* The cache is bounded and safe for threads: a lock, the order of use, a count of bytes, one value's limit.
* A session is a mapping that refuses what would not come back as it is, notices that it was read, and what was handed
  out and may have changed in place, and stores nothing that has not changed.
* It has a public id, an age, an owner and a label, stored with it; a limit on its size; an expiry by options.
* It is stored only over the version that was read.

All of it as few functions as can be, and the happy path alone: no errors, no merging, no consent, no key rotation, no
streaming, no TempData. Nobody should write it so.
"""

import os
import threading
import time
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections import OrderedDict
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any, Final, NamedTuple

import msgspec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from tornado.httputil import parse_cookie
from tornado.web import Application, RequestHandler

from benchmarks.servers import tornado_server
from benchmarks.servers.common import SESSION, arguments

_CIPHER: Final = AESGCM(os.urandom(32))
_IMMUTABLE: Final = frozenset({type(None), bool, int, float, str, bytes})
_LONGEST_KEY: Final = 512
_OVERHEAD: Final = 500
_encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder(dict[str, Any]).decode
_decode_parts: Final = msgspec.msgpack.Decoder(dict[str, msgspec.Raw]).decode
_decode_record: Final = msgspec.msgpack.Decoder(tuple[str, float, str | None, str | None, bytes]).decode


class Options(NamedTuple):
    """How long entries live, and how large they may be."""

    idle_timeout: float = 1200.0
    refresh_interval: float = 0.0
    max_size: int = 2**20


class Told(NamedTuple):
    """What a cache tells of an entry."""

    value: bytes
    version: int
    expires: datetime
    refreshed: datetime


class Stored(msgspec.Struct, gc=False):
    """What a cache keeps of an entry."""

    value: bytes
    version: int
    sliding: float
    interval: float
    refreshed: float
    expires: float


class Cache:
    """A bounded cache behind a contract that others could keep as well."""

    def __init__(self, max_size: int, clock: Callable[[], float]) -> None:
        self._max_size, self._clock = max_size, clock
        self._entries: OrderedDict[str, Stored] = OrderedDict()
        self._lock = threading.Lock()
        self._size = self._version = 0

    async def get(self, key: str, *, refresh: bool) -> Told | None:
        now = self._clock()
        with self._lock:
            entry = self._entries.get(key)
            if entry is None or now >= entry.expires:
                return None
            if refresh and now - entry.refreshed >= entry.interval:
                entry.refreshed, entry.expires = now, now + entry.sliding + entry.interval
            self._entries.move_to_end(key)
            told = datetime.fromtimestamp
            return Told(entry.value, entry.version, told(entry.expires, UTC), told(entry.refreshed, UTC))

    async def set(self, key: str, value: bytes, options: Options) -> int:
        now = self._clock()
        with self._lock:
            self._version += 1
            self._size += len(key) + len(value) + _OVERHEAD
            sliding, interval, _ = options
            self._entries[key] = Stored(value, self._version, sliding, interval, now, now + sliding + interval)
            return self._version

    async def replace(self, key: str, value: bytes, options: Options, *, version: int) -> int | None:
        if type(key) is not str or not 0 < len(key) <= _LONGEST_KEY or type(value) is not bytes:
            raise ValueError
        now, size = self._clock(), len(value)
        if size > self._max_size:
            raise ValueError
        with self._lock:
            entry = self._entries.get(key)
            if entry is None or now >= entry.expires or entry.version != version:
                return None
            self._version += 1
            self._size += size - len(entry.value)
            while self._size > self._max_size:
                self._entries.popitem(last=False)
            entry.value, entry.version, entry.refreshed = value, self._version, now
            entry.sliding, entry.interval, _ = options
            entry.expires = now + entry.sliding + entry.interval
            self._entries.move_to_end(key)
            return self._version


class Session:
    """A mapping that notices what is read and what may have changed."""

    __slots__ = ("created", "data", "expires", "id", "is_closed", "is_touched", "key", "label", "may_differ", "owner")
    __slots__ += ("values", "version")

    def __init__(self, key: str, told: Told) -> None:
        self.id, self.created, self.owner, self.label, self.data = _decode_record(told.value)
        self.values = _decode(self.data)
        self.key, self.version, self.expires = key, told.version, told.expires
        self.is_touched = self.is_closed = False
        self.may_differ: set[str] | None = None

    def __getitem__(self, key: str) -> Any:
        self.is_touched = True
        value = self.values[key]
        if type(value) not in _IMMUTABLE:
            self.note(key)
        return value

    def __setitem__(self, key: str, value: Any) -> None:
        if type(key) is not str or self.is_closed:
            raise TypeError
        if type(value) not in _IMMUTABLE:
            _encode(value)
        self.is_touched = True
        self.values[key] = value
        self.note(key)

    def note(self, key: str) -> None:
        if self.may_differ is None:
            self.may_differ = set()
        self.may_differ.add(key)

    def changed(self) -> bytes | None:
        """The serialized values, if they are no longer those that were read."""
        parts: dict[str, Any] = _decode_parts(self.data)
        is_changed = list(parts) != list(self.values)
        for key in self.may_differ or ():
            value = self.values[key]
            is_changed = is_changed or _encode(value) != bytes(parts[key])
            parts[key] = value
        return _encode(parts) if is_changed else None


class Mixin(RequestHandler):
    """Loads in ``prepare``, stores in ``finish``."""

    cache = Cache(200 * 2**20, time.time)
    options = Options()
    opened: dict[str, str] = {}  # noqa: RUF012 - one for all
    loaded: Session | None = None

    @property
    def session(self) -> Session:
        assert self.loaded is not None
        return self.loaded

    async def prepare(self) -> None:
        if "Cookie" not in self.request.headers:
            return
        header = self.request.headers["Cookie"]
        key = self.opened.get(header) or self.open(header)
        told = await self.cache.get(key, refresh=True)
        if told is not None:
            self.loaded = Session(key, told)

    def open(self, header: str) -> str:
        sealed = urlsafe_b64decode(parse_cookie(header)["id"])
        key = sha256(_CIPHER.decrypt(sealed[:12], sealed[12:], None)).hexdigest()
        self.opened[header] = key
        return key

    async def begin(self, values: dict[str, Any]) -> None:
        key, nonce = os.urandom(32), os.urandom(12)
        record = _encode(("id", time.time(), None, None, _encode(values)))
        await self.cache.set(sha256(key).hexdigest(), record, self.options)
        self.set_cookie("id", urlsafe_b64encode(nonce + _CIPHER.encrypt(nonce, key, None)).decode())

    def flush(self, include_footers: bool = False) -> Any:
        if self.loaded is not None and self.loaded.is_touched and not self._headers_written:
            self._headers["Vary"] = "Cookie"
        return super().flush(include_footers)

    def finish(self, chunk: Any = None) -> Any:
        session = self.loaded
        if session is not None:
            session.is_closed = True
            if session.may_differ is not None:
                _run(self.store(session))
        return super().finish(chunk)

    async def store(self, session: Session) -> None:
        data = session.changed()
        if data is None:
            return
        value = _encode((session.id, session.created, session.owner, session.label, data))
        if len(value) > self.options.max_size:
            raise ValueError
        version = await self.cache.replace(session.key, value, self.options, version=session.version)
        if version is not None:
            session.version, session.data = version, data


def _run(steps: Coroutine[Any, Any, None]) -> None:
    try:
        steps.send(None)
    except StopIteration:
        return
    raise RuntimeError("a cache in memory never waits")


class Start(Mixin):
    async def get(self) -> None:
        await self.begin(SESSION)
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
