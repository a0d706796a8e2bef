"""Exchange: one request and its response, as sessions and TempData see them."""

import asyncio
from collections.abc import Callable, Collection, Coroutine, Mapping
from typing import Any, Final, Protocol

from tornado.httputil import parse_cookie

from tornado_session.application import Sessions
from tornado_session.errors import ProtectionError, ResponseStartedError
from tornado_session.protection.protector import Protector
from tornado_session.session import Session
from tornado_session.session_cookie import OpenedCookie
from tornado_session.session_state import SessionHost, logger
from tornado_session.temp_data.dictionary import TempData

_CARRIED: Final = b"\t" + bytes(range(32, 127))
"""The characters that may stand in a ``Set-Cookie`` line."""

# Directives that let a cache keep or share a response, and so contradict the no-store that a Set-Cookie calls for.
_PERMITTING = ("public", "max-age", "s-maxage", "immutable", "stale-while-revalidate", "stale-if-error")


class Host(SessionHost, Protocol):
    """What an exchange asks of the handler that it belongs to."""

    @property
    def https(self) -> bool: ...

    def agrees(self, consent: Callable[[Any], bool]) -> bool: ...


class Exchange:
    """Opens the cookies of a request, and writes those of its response. Also the ``TempDataRequest`` of providers."""

    __slots__ = (
        "_cookie_header",
        "_cookies",
        "_has_agreed",
        "_host",
        "_lines",
        "_must_renew_cookie",
        "_sessions",
        "is_temp_data_done",
        "session",
    )

    def __init__(self, sessions: Sessions, host: Host, cookie_header: str) -> None:
        self._cookie_header = cookie_header
        self._sessions = sessions
        self._host = host
        self._lines: dict[str, str] = {}
        self._cookies: Mapping[str, str] | None = None
        self._has_agreed: bool | None = None
        self._must_renew_cookie = sessions.cookie.is_renewed_always
        self.is_temp_data_done = False
        """Whether TempData was saved, or given up."""
        blocked_reason = "consent" if sessions.session_needs_consent and not self._agreed() else None
        opened = None
        if cookie_header and blocked_reason is None:
            opened = sessions.cookie.remembered.get(cookie_header) or self._open_cookie()
        self.session = Session(sessions.store, opened.key if opened else None, host, blocked_reason)
        if opened and not opened.is_current:
            self._must_renew_cookie = True
            self.session._note_cookie_of_old_key()

    # -- the request --------------------------------------------------------------------------------------------------

    def new_temp_data(self) -> TempData:
        """Make the TempData of this request; nothing is opened before its first use.

        The handler keeps it: here it would close a circle, and wait for the garbage collector after each request.
        """
        return TempData(self._load_temp_data, self._before_temp_data_write)

    def begin_new_session(self) -> None:
        """Take it that ``prepare`` has run and found no cookie of ours."""
        self.session._begin_new()

    def _agreed(self) -> bool:
        if self._has_agreed is None:
            consent = self._sessions.consent
            self._has_agreed = consent is None or self._host.agrees(consent)
        return self._has_agreed

    def _open_cookie(self) -> OpenedCookie | None:
        cookie = self._sessions.cookie
        text = self.cookies.get(cookie.name)
        if text is None:
            return None
        try:
            return cookie.open(text, self._cookie_header)
        except ProtectionError as error:
            self.warn("session cookie", f"A session cookie did not open, its sender is a new visitor: {error}.")
            return None

    # -- what a TempDataProvider sees ---------------------------------------------------------------------------------

    @property
    def cookies(self) -> Mapping[str, str]:
        if self._cookies is None:
            if not self._cookie_header:
                return {}
            # Not the handler's cookies, of which Tornado makes a Morsel each: that takes longer than all else here.
            self._cookies = parse_cookie(self._cookie_header)
        return self._cookies

    @property
    def https(self) -> bool:
        return self._host.https

    @property
    def has_session(self) -> bool:
        session = self.session
        return session._is_loaded and not session._is_unavailable and bool(session._values)

    @property
    def clock(self) -> Callable[[], float]:
        return self._sessions.clock

    def protector(self, *purposes: str) -> Protector:
        return self._sessions.protector(*purposes)

    def set_cookie_line(self, line: str) -> None:
        if not line.isascii() or line.encode().translate(None, _CARRIED):
            raise ValueError("a Set-Cookie line has printable ASCII characters and tabs alone")
        self._lines[line.partition("=")[0]] = line

    def warn(self, kind: str, message: str) -> None:
        self._sessions.log.warning(logger, kind, message)

    def _load_temp_data(self) -> Mapping[str, Any]:
        if self._sessions.temp_data_needs_consent and not self._agreed():
            return {}
        return self._sessions.temp_data.load(self)

    def _before_temp_data_write(self) -> None:
        if self._host.headers_sent or self.session._is_closed:
            raise ResponseStartedError(
                "TempData cannot be changed after the response has started. Write to it before the first flush(), and "
                "before redirect() and finish()."
            )
        if self._sessions.temp_data_needs_consent and not self._agreed():
            self._sessions.log.warning_once(
                logger, "temp_data consent", "TempData of visitors who have not agreed to cookies is not kept."
            )

    # -- the response -------------------------------------------------------------------------------------------------

    def drop_changes(self, *, session: bool) -> None:
        """Give up what was not stored: TempData, and with ``session`` the session's changes; for error responses."""
        self.is_temp_data_done = True
        self._lines.clear()
        if session:
            self.session._drop_changes()

    @property
    def saves_on_error(self) -> bool:
        """Whether changes are kept although the response reports an error of the server."""
        return self._sessions.options.save_on_error

    def save_temp_data(self, temp_data: TempData, *, consume: bool, is_redirect: bool) -> None:
        """Hand TempData to its provider, once and if it changed; the provider may put it into the session."""
        sessions = self._sessions
        if self.is_temp_data_done or (sessions.temp_data_needs_consent and not self._agreed()):
            return
        self.is_temp_data_done = True
        provider = sessions.temp_data
        values = temp_data.remaining(consume=consume and not (is_redirect and provider.keep_on_redirect))
        if values is not None:
            provider.save(self, values)

    def run(self, coroutine: Coroutine[Any, Any, None]) -> "asyncio.Future[None]":
        """Run what has to finish even if nobody waits for it, or whoever does is cancelled."""
        return self._sessions.run(coroutine)

    def cookie_lines(self) -> Collection[str]:
        """Write the ``Set-Cookie`` lines of the response."""
        session = self.session
        is_begun = session._record is None and session._is_touched
        if is_begun or session._key != session._cookie_key or self._must_renew_cookie:
            self._set_session_cookie()
        return self._lines.values()

    def _set_session_cookie(self) -> None:
        session, cookie = self.session, self._sessions.cookie
        key = session._key if session._record is not None else session._key_to_be_stored()
        if key is None:
            if session._must_delete_cookie:
                self.set_cookie_line(cookie.delete_line(https=self.https))
        elif key != session._cookie_key or self._must_renew_cookie:
            self.set_cookie_line(cookie.set_line(key, https=self.https))


def with_vary(vary: str) -> str:
    """Add ``Cookie`` to the value of a ``Vary`` header, if it does not say so already."""
    names = [name.strip() for name in vary.split(",") if name.strip()]
    if "*" in names or "cookie" in map(str.lower, names):
        return vary
    return ", ".join([*names, "Cookie"])


def with_no_store(cache_control: str) -> str:
    """Add ``no-store`` to the value of a ``Cache-Control`` header, in place of what contradicts it."""
    directives = [directive.strip() for directive in cache_control.split(",") if directive.strip()]
    names = [directive.partition("=")[0].strip().lower() for directive in directives]
    if "no-store" in names:
        return cache_control
    kept = [directive for directive, name in zip(directives, names, strict=True) if name not in _PERMITTING]
    return ", ".join([*kept, "no-store"])
