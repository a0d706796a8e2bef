"""Known: the cookies that visitors were really given, and cookies like them that are worth nothing."""

import secrets
from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Final

from tornado_session import KeyRing, serializer
from tornado_session.application import Sessions
from tornado_session.cookies import encoding
from tornado_session.record import RecordFormat, SessionRecord
from tornado_session.testing import FakeClock

SESSION: Final = ".Tornado.Session"
TEMP_DATA: Final = ".Tornado.TempData"
_HOUR: Final = timedelta(hours=1)


class Known:
    """Two visitors with cookies under the current key and the old one, and all that could be mistaken for them."""

    def __init__(self, clock: FakeClock, sessions: Sessions) -> None:
        self._clock = clock
        self._sessions = sessions
        self._keys: dict[str, bytes] = {}
        self.tokens: dict[str, str] = {}
        self.notices: dict[str, str] = {}
        self.session_cookies: list[str] = []
        """Genuine ones, and behind them the worthless."""
        self.temp_data_cookies: list[dict[str, str]] = []
        """As the session cookies: each a cookie, or the cookie that counts its pieces and the pieces."""
        self.records: list[bytes] = []
        """What may lie under Carol's key: in clear, and encrypted."""
        self.carol = ("", "")
        """The name under which her session is stored, and her ``Cookie`` header."""

    async def make(self) -> None:
        """Make the cookies and store the sessions."""
        old = KeyRing({1: "the secret of yesterday 1234"}, current=1)
        foreign = KeyRing({2: "the secret of a neighbour 90"}, current=2)
        current = KeyRing({1: "the secret of yesterday 1234", 2: "the secret of today 5678"}, current=2)
        for ring in (current, old):
            for visitor in ("alice", "bob"):
                self._make_genuine(ring, f"{visitor} {ring.current}")
        self._make_worthless(current, foreign)
        self._make_records(current)
        await self.restore()

    async def restore(self) -> None:
        """Store the sessions of the visitors as they were."""
        for visitor, key in self._keys.items():
            values = {"token": visitor}
            record = SessionRecord(f"id of {visitor}", self._clock(), None, None, values, serializer.dumps(values))
            await self._sessions.store.remove(self._sessions.store.cache_key(key))
            await self._sessions.store.add(self._sessions.store.cache_key(key), record)

    def session_token(self, cookies: Mapping[str, str]) -> str | None:
        """What a request with these cookies should see of a session."""
        return self.tokens.get(cookies.get(SESSION, ""))

    def notice(self, cookies: Mapping[str, str]) -> str | None:
        """What a request with these cookies may see of TempData."""
        value = cookies.get(TEMP_DATA, "")
        if value.startswith("chunks-"):
            number = int(value[7:]) if value[7:].isascii() and value[7:].isdigit() and len(value) < 10 else 0
            value = "".join(cookies.get(f"{TEMP_DATA}C{index}", "") for index in range(1, number + 1))
        return self.notices.get(value)

    def _make_genuine(self, ring: KeyRing, visitor: str) -> None:
        key = secrets.token_bytes(32)
        cookie = _sealed(ring, key, "session cookie", SESSION)
        self._keys[visitor] = key
        self.tokens[cookie] = visitor
        self.session_cookies.append(cookie)
        for length in (1, 1000):
            values = {"notice": f"for {visitor}", "filling": secrets.token_hex(length // 2)}
            text = self._temp_data(ring, values)
            self.notices[text] = values["notice"]
            self.temp_data_cookies.append(_pieces(text))

    def _make_worthless(self, current: KeyRing, foreign: KeyRing) -> None:
        key = next(iter(self._keys.values()))
        values = {"notice": "for nobody"}
        old = self._clock() - 2 * _HOUR.total_seconds()
        self.session_cookies += [
            _sealed(foreign, key, "session cookie", SESSION),
            _sealed(current, key, "temp_data cookie", TEMP_DATA),
            _sealed(current, key, "session cookie", ".Other.Session"),
            _sealed(current, key, "session payload"),
            _sealed(current, key[:31], "session cookie", SESSION),
            _sealed(current, secrets.token_bytes(32), "session cookie", SESSION),
        ]
        texts = [
            self._temp_data(foreign, values),
            self._temp_data(current, values, "session cookie", SESSION),
            self._temp_data(current, values, "temp_data cookie", ".Other.TempData"),
            self._temp_data(current, values, clock=lambda: old),
            _sealed(current, b"\xc1not serialized", "temp_data cookie", TEMP_DATA),
            _sealed(current, serializer.dumps(["no", "mapping"]), "temp_data cookie", TEMP_DATA),
        ]
        self.temp_data_cookies += [_pieces(text) for text in texts]

    def _make_records(self, ring: KeyRing) -> None:
        key = secrets.token_bytes(32)
        cookie, name = _sealed(ring, key, "session cookie", SESSION), self._sessions.store.cache_key(key)
        self.carol = (name, f"{SESSION}={cookie}")
        self.tokens[cookie] = "carol"
        values = {"token": "carol"}
        record = SessionRecord("carol's id", self._clock(), "carol", None, values, serializer.dumps(values))
        protector = ring.protector("session payload", clock=self._clock)
        self.records = [
            RecordFormat(each, protector, None, self._clock).dumps(record, name) for each in (None, protector)
        ]

    def _temp_data(self, ring: KeyRing, values: dict[str, Any], *purposes: str, clock: Any = None) -> str:
        protector = ring.protector(*(purposes or ("temp_data cookie", TEMP_DATA)), clock=clock or self._clock)
        return encoding.encode(protector.protect(serializer.dumps(values), expires_in=_HOUR))


def _sealed(ring: KeyRing, data: bytes, *purposes: str) -> str:
    return encoding.encode(ring.protector(*purposes).protect(data))


def _pieces(text: str, size: int = 500) -> dict[str, str]:
    """Lay out a TempData cookie; where it is cut is the writer's affair, not the reader's."""
    if len(text) <= size:
        return {TEMP_DATA: text}
    parts = [text[start : start + size] for start in range(0, len(text), size)]
    return {TEMP_DATA: f"chunks-{len(parts)}"} | {f"{TEMP_DATA}C{n}": part for n, part in enumerate(parts, 1)}
