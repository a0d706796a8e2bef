"""The inspector: what the foot of every page tells about its request. Values of cookies and keys are never shown."""

from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

import msgspec
from tornado.httputil import HTTPServerRequest

from demos.tour.observed import Trip
from tornado_session import Session, SessionNotLoadedError, TempData

LAX: Final = "Path=/; HttpOnly; SameSite=Lax"
# By name, or its beginning: what a cookie holds, and the attributes that it was set with (browsers do not send them).
COOKIES: Final = {
    ".Tornado.Session": ("the session's key, encrypted", LAX),
    ".Tornado.TempData": ("TempData, encrypted", LAX),
    "_xsrf": ("Tornado's token against forged forms", LAX),
    "tour_accent": ("your colour, in clear", f"{LAX}; 30 days"),
    "tour_name": ("your name, signed", f"{LAX}; 30 days"),
    "tour_weather": ("the outage that you chose, in clear", LAX),
}


class Cookie(NamedTuple):
    name: str
    size: int
    holds: str
    attributes: str


class Sized(NamedTuple):
    name: str
    kind: str
    size: int
    is_removed: bool = False


@dataclass
class SessionView:
    """A session as the inspector shows it; ``note`` instead, when there is nothing to show."""

    note: str = ""
    id: str = ""
    state: str = ""
    age: str = ""
    expires: str = ""
    owner: str | None = None
    is_modified: bool = False
    keys: list[Sized] = field(default_factory=list)


@dataclass
class Outcome:
    """How a response went, known once it has left."""

    method: str
    path: str
    status: int
    trips: list[Trip]
    cookies: list[str]


class Outcomes:
    """The last outcome of each session that this process has served, the thousand most recent."""

    def __init__(self) -> None:
        self._by_id: OrderedDict[str, Outcome] = OrderedDict()

    def note(self, session: Session, outcome: Outcome) -> None:
        if not session.is_loaded:
            return
        self._by_id[session.id] = outcome
        self._by_id.move_to_end(session.id)
        if len(self._by_id) > 1000:
            self._by_id.popitem(last=False)

    def of(self, session: Session) -> Outcome | None:
        return self._by_id.get(session.id) if session.is_loaded else None


def cookies_of(request: HTTPServerRequest) -> list[Cookie]:
    return [_cookie(name, f"{name}={morsel.value}") for name, morsel in sorted(request.cookies.items())]


def _cookie(name: str, text: str) -> Cookie:
    known = (about for beginning, about in COOKIES.items() if name.startswith(beginning))
    return Cookie(name, len(text), *next(known, ("not set by the tour", "unknown")))


def view_session(session: Session) -> SessionView:
    try:
        session_id = session.id
    except SessionNotLoadedError:
        return SessionView(note="The request ended before its session was loaded.")
    if not session.is_available:
        return SessionView(note="Unavailable: the cache could not be read, so the session reads as empty.")
    if session.is_new and not session.is_modified and not session.is_expired:
        return SessionView(note="None: nothing was stored yet, so there was nothing to read.")
    now = datetime.now(UTC)
    return SessionView(
        id=session_id,
        state=_state(session),
        age=_duration((now - session.created).total_seconds()),
        expires=f"{session.expires:%H:%M:%S} UTC, in {_duration((session.expires - now).total_seconds())}",
        owner=session.owner,
        is_modified=session.is_modified,
        keys=[Sized(key, type(value).__name__, _size(value)) for key, value in session.items()],
    )


def view_temp_data(temp_data: TempData) -> Iterator[Sized]:
    """Look without marking: ``keys()`` and ``peek()``."""
    removed = temp_data.removed_when_saved()
    for key in temp_data:
        value = temp_data.peek(key)
        yield Sized(key, type(value).__name__, _size(value), key in removed)


def server_timing(trips: list[Trip]) -> str:
    """The response header by which a browser's script learns of the trips that came after the page was made."""
    return ", ".join(f'{trip.call};desc="{trip.outcome}";dur={trip.milliseconds:.2f}' for trip in trips)


def _state(session: Session) -> str:
    if session.is_ended:
        return "ended"
    if session.is_expired:
        return "new, for the one that your cookie names has ended"
    if session.is_new:
        return "new; it will be stored with this response"
    return "changed; it will be stored with this response" if session.is_modified else "unchanged; nothing to store"


def _size(value: Any) -> int:
    return len(msgspec.msgpack.encode(value))


def _duration(seconds: float) -> str:
    minutes, seconds = divmod(max(0, round(seconds)), 60)
    return f"{minutes} min {seconds} s" if minutes else f"{seconds} s"


def without_value(line: str) -> str:
    """A ``Set-Cookie`` line with its value replaced by its size."""
    pair, separator, attributes = line.partition(";")
    name, _, value = pair.partition("=")
    is_deleted = "Max-Age=0" in attributes or "01 Jan 1970" in attributes
    return f"{name}, {'deleted' if is_deleted else f'{len(value)} bytes'}{separator}{attributes}"
