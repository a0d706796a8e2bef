"""CookieTempDataProvider: TempData in an encrypted cookie, chunked when long, in the session when longer."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Final, Literal

from tornado_session import serializer
from tornado_session.cookies import encoding
from tornado_session.cookies.chunking import ChunkedCookie, DamagedChunksError
from tornado_session.cookies.options import CookieOptions
from tornado_session.errors import ConfigurationError, ProtectionError, TempDataTooLargeError
from tornado_session.temp_data.contract import TempDataProvider, TempDataRequest
from tornado_session.temp_data.session import SESSION_KEY, apart

TEMP_DATA_COOKIE_NAME: Final = ".Tornado.TempData"
_DEFAULT_COOKIE: Final = CookieOptions(name=TEMP_DATA_COOKIE_NAME)
_PURPOSE: Final = "temp_data cookie"


class CookieTempDataProvider(TempDataProvider):
    """Keeps TempData with the browser: no store, no session, nothing to clean up.

    The cookie's value is serialized, encrypted and authenticated (bound to the cookie's name and to ``max_age``), and
    written in base64url. It is never compressed: the length of compressed data tells what was compressed (CRIME,
    BREACH).

    ``cookie``: its attributes. ``chunk_size``: the longest ``Set-Cookie`` line, bytes, attributes included, at least
    256; browsers take 4096. ``max_size``: bytes that all lines together may take; the default fits the 8 KiB that nginx
    and Apache allow for one header line, beyond which a browser is locked out until it drops the cookies. ``max_age``:
    older TempData is empty, also when it is replayed. ``overflow``: what exceeds ``max_size`` goes to the session
    (``"session"``) or raises ``TempDataTooLargeError`` before anything is sent (``"error"``). ``keep_on_redirect``: a
    redirect keeps what was read in the same request.

    Raises ``ConfigurationError``, also when name and attributes leave no room for a value.
    """

    def __init__(
        self,
        *,
        cookie: CookieOptions = _DEFAULT_COOKIE,
        chunk_size: int = 3800,
        max_size: int = 7168,
        max_age: timedelta = timedelta(days=1),
        overflow: Literal["session", "error"] = "session",
        keep_on_redirect: bool = True,
    ) -> None:
        if not isinstance(cookie, CookieOptions):
            raise ConfigurationError(f"cookie must be CookieOptions(...), not {type(cookie).__name__}")
        _check_bytes("chunk_size", chunk_size)
        _check_bytes("max_size", max_size)
        if overflow not in ("session", "error"):
            raise ConfigurationError(f'overflow is "session" or "error", but this is {overflow!r}')
        if not isinstance(max_age, timedelta) or max_age <= timedelta(0):
            raise ConfigurationError(f"max_age is a positive timedelta, but this is {max_age!r}")
        self.cookie = cookie.named(TEMP_DATA_COOKIE_NAME)
        self._purposes = (_PURPOSE, self.cookie.name or "")
        self.is_essential = cookie.is_essential
        self.keep_on_redirect = keep_on_redirect
        self._max_age = max_age
        self._max_size = max_size
        self._overflow = overflow
        self._chunked = ChunkedCookie(self.cookie, chunk_size=chunk_size, max_size=max_size)

    def validate(self, session_cookie_name: str) -> None:
        if self._chunked.pieces([session_cookie_name]):
            raise ConfigurationError(
                f"the session's cookie is called {session_cookie_name!r}, which is a name that TempData's cookie "
                f"{self.cookie.name!r} uses; call one of them something else"
            )

    def load(self, request: TempDataRequest) -> dict[str, Any]:
        values = _overflowed(request) if request.has_session else {}
        try:
            text = self._chunked.join(request.cookies)
            return values if text is None else values | self._opened(request, text)
        except (DamagedChunksError, ProtectionError, ValueError) as error:
            self._delete(request, self._chunked.pieces(request.cookies))
            request.warn("temp_data", f"TempData in cookies was dropped: {error}.")
            return values

    def save(self, request: TempDataRequest, values: Mapping[str, Any]) -> None:
        lines = self._lines(request, values) if values else []
        if values and not lines:
            # [when it expires, seconds since the epoch; the values]
            request.session[SESSION_KEY] = [request.clock() + self._max_age.total_seconds(), dict(values)]
        elif request.has_session and SESSION_KEY in request.session:
            del request.session[SESSION_KEY]
        for line in lines:
            request.set_cookie_line(line)
        pieces = self._chunked.pieces(request.cookies)
        if pieces:
            written = {line.partition("=")[0] for line in lines}
            self._delete(request, [name for name in pieces if name not in written])

    def _lines(self, request: TempDataRequest, values: Mapping[str, Any]) -> list[str]:
        """Write the cookies that hold ``values``; none if ``values`` belong into the session."""
        data = serializer.dumps(dict(values), name="temp_data")
        protected = request.protector(*self._purposes).protect(data, expires_in=self._max_age)
        lines = self._chunked.lines(encoding.encode(protected), https=request.https)
        size = sum(map(len, lines))
        if size <= self._max_size:
            return lines
        if self._overflow == "error":
            raise self._too_large(size, values)
        return []

    def _opened(self, request: TempDataRequest, text: str) -> dict[str, Any]:
        protected = encoding.decode(text)
        if protected is None:
            raise ValueError("it is not written as it was sent")
        values = serializer.loads(request.protector(*self._purposes).unprotect(protected))
        if type(values) is not dict:
            raise ValueError("it does not hold a mapping")
        return values

    def _delete(self, request: TempDataRequest, names: list[str]) -> None:
        for line in self._chunked.deletions(names, https=request.https):
            request.set_cookie_line(line)

    def _too_large(self, size: int, values: Mapping[str, Any]) -> TempDataTooLargeError:
        largest = serializer.largest(values)
        return TempDataTooLargeError(
            f"TempData would take {size} bytes of cookies, and max_size allows {self._max_size}; its largest keys are "
            f'{serializer.listed(largest)}. Keep less, or choose overflow="session"',
            size=size,
            limit=self._max_size,
            largest=largest,
        )


def _overflowed(request: TempDataRequest) -> dict[str, Any]:
    kept = request.session.get(SESSION_KEY)
    if type(kept) is not list or len(kept) != 2 or request.clock() >= kept[0]:
        return {}
    return apart(kept[1])


def _check_bytes(name: str, size: object) -> None:
    if isinstance(size, bool) or not isinstance(size, int) or size <= 0:
        raise ConfigurationError(f"{name} is a positive number of bytes, but this is {size!r}")
