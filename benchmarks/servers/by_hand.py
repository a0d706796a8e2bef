"""What an application without any package would write: a random cookie and a dict, or one document per session.

And for TempData: a cookie encrypted with a key of this process, without expiry, rotation, chunks or strict reading.
"""

import os
import secrets
from base64 import urlsafe_b64decode, urlsafe_b64encode
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import msgspec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from motor.motor_asyncio import AsyncIOMotorClient
from pymongo import AsyncMongoClient
from tornado.httputil import parse_cookie
from tornado.web import Application, RequestHandler

from benchmarks.servers import tornado_server
from benchmarks.servers.common import SESSION, Arguments, arguments

_CIPHER: Final = AESGCM(os.urandom(32))
_ATTRIBUTES: Final = "Path=/; HttpOnly; SameSite=Lax"
_EXPIRED: Final = "Max-Age=0; Expires=Thu, 01 Jan 1970 00:00:00 GMT"


class InDict:
    """Sessions in a dict, without expiry, encryption or limits."""

    def __init__(self) -> None:
        self._sessions: dict[str | None, dict[str, Any]] = {}

    async def start(self, key: str) -> None:
        self._sessions[key] = dict(SESSION)

    async def load(self, key: str | None) -> dict[str, Any]:
        return self._sessions[key]

    async def save(self, key: str | None, values: dict[str, Any]) -> None:
        self._sessions[key] = values


class InMongo:
    """Sessions in a collection of PyMongo Async or Motor, without expiry, encryption or limits."""

    def __init__(self, collection: Any) -> None:
        self._collection = collection

    async def start(self, key: str) -> None:
        await self._collection.insert_one({"_id": key, **SESSION})

    async def load(self, key: str | None) -> dict[str, Any]:
        values: dict[str, Any] = await self._collection.find_one({"_id": key})
        return values

    async def save(self, key: str | None, values: dict[str, Any]) -> None:
        await self._collection.replace_one({"_id": key}, values)


class InMongoSliding(InMongo):
    """As before, and reading a session moves its expiry, in the same command."""

    async def load(self, key: str | None) -> dict[str, Any]:
        expires = datetime.now(UTC) + timedelta(minutes=20)
        change = {"$set": {"expires": expires}}
        values: dict[str, Any] = await self._collection.find_one_and_update({"_id": key}, change)
        return values


class Start(RequestHandler):
    async def get(self) -> None:
        key = secrets.token_urlsafe(32)
        await self.settings["sessions"].start(key)
        self.set_cookie("id", key, httponly=True)
        self.write("0")


class Untouched(RequestHandler):
    async def get(self) -> None:
        self.write("0")


class Read(RequestHandler):
    async def get(self) -> None:
        values = await self.settings["sessions"].load(self.get_cookie("id"))
        self.write(str(values["visits"]))


class Written(RequestHandler):
    async def get(self) -> None:
        key = self.get_cookie("id")
        values = await self.settings["sessions"].load(key)
        values["visits"] += 1
        await self.settings["sessions"].save(key, values)
        self.write(str(values["visits"]))


class _SettingACookie(RequestHandler):
    def send_cookie(self, cookie: str) -> None:
        self.add_header("Set-Cookie", f"temp={cookie}; {_ATTRIBUTES}")
        self.set_header("Vary", "Cookie")
        self.set_header("Cache-Control", "no-store")


class SetTempData(_SettingACookie):
    async def get(self) -> None:
        nonce = os.urandom(12)
        sealed = _CIPHER.encrypt(nonce, msgspec.msgpack.encode({"notice": "n" * 300}), None)
        self.send_cookie(urlsafe_b64encode(nonce + sealed).decode())
        self.write("0")


class ReadTempData(_SettingACookie):
    async def get(self) -> None:
        sealed = urlsafe_b64decode(parse_cookie(self.request.headers["Cookie"])["temp"])
        values = msgspec.msgpack.decode(_CIPHER.decrypt(sealed[:12], sealed[12:], None))
        self.send_cookie(f"; {_EXPIRED}")
        self.write(str(len(values["notice"])))


HANDLERS: list[Any] = [
    ("/bare", tornado_server.Bare),
    ("/start", Start),
    ("/none", Untouched),
    ("/read", Read),
    ("/written", Written),
    ("/temp_set", SetTempData),
    ("/temp_read", ReadTempData),
]


def make_application(given: Arguments) -> Application:
    return tornado_server.quiet(Application(HANDLERS, sessions=make_sessions(given)))


def make_sessions(given: Arguments) -> Any:
    if given.store == "memory":
        return InDict()
    if given.store == "mongodb-motor":
        return InMongo(AsyncIOMotorClient(given.url).benchmark.by_hand)
    collection = AsyncMongoClient(given.url).benchmark.by_hand
    return InMongoSliding(collection) if given.store == "mongodb-sliding" else InMongo(collection)


if __name__ == "__main__":
    given = arguments()
    tornado_server.serve(given.port, lambda: make_application(given))
