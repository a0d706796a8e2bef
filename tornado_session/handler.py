"""SessionMixin: the session is loaded before the handler runs, and saved before the response leaves."""

import asyncio
import logging
import os
import time
from collections.abc import Callable, Coroutine
from types import TracebackType
from typing import TYPE_CHECKING, Any, ClassVar
from weakref import ref

from tornado.httputil import HTTPHeaders
from tornado.web import RequestHandler

from tornado_session.application import SETTING, Sessions
from tornado_session.errors import (
    CacheError,
    ConfigurationError,
    ResponseStartedError,
    SessionError,
    SessionUnavailableError,
)
from tornado_session.exchange import Exchange, with_no_store, with_vary
from tornado_session.flash import Flash, add_flash
from tornado_session.items import Items
from tornado_session.session import Session
from tornado_session.temp_data.dictionary import TempData

logger = logging.getLogger(__name__)

if TYPE_CHECKING:
    from tornado.websocket import WebSocketProtocol

    _Handler = RequestHandler
else:
    _Handler = object


class SessionMixin(_Handler):
    """Gives a handler ``self.session``, ``self.temp_data`` and ``self.items``; put it before ``RequestHandler``.

    .. code-block:: python

        class Counter(SessionMixin, tornado.web.RequestHandler):
            async def get(self):
                self.session["visits"] = self.session.get("visits", 0) + 1

    A subclass that overrides ``prepare`` awaits ``super().prepare()`` in it. Nothing of a response that changed the
    session leaves before the change is stored, whichever way the response is made; a streamed response (``flush``)
    sends its cookie with the first chunk and stores before the last. When storing fails before the first byte, the
    response is a 503 made by the handler's own ``write_error``; afterwards, the failure is logged and the response
    ends.

    Works before ``WebSocketHandler`` too: the session is loaded before the upgrade, may be established only before it,
    and is stored afterwards by an explicit ``await self.session.commit()`` alone.
    """

    session_autoload: ClassVar[bool] = True
    """Whether ``prepare`` loads the session; if not, ``await self.load_session()`` does it on demand."""

    _was_prepared = False
    _has_failed = False
    _exchange: Exchange | None = None
    _temp_data: TempData | None = None
    _items: Items | None = None
    _held_response: "_HeldResponse | None" = None

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        bases = cls.__mro__[: cls.__mro__.index(SessionMixin)]
        if RequestHandler in bases:
            raise ConfigurationError(
                f"SessionMixin must stand before the handler class, or its methods are never called: "
                f"write class {cls.__name__}(SessionMixin, ...)"
            )

    # -- for handlers -------------------------------------------------------------------------------------------------

    @property
    def session(self) -> Session:
        """The visitor's session. Raises ``SessionNotConfiguredError`` without ``session_settings()``."""
        return (self._exchange or self._begun_exchange()).session

    @property
    def temp_data(self) -> TempData:
        """Values that the previous request left, and values for the next. Not opened before its first use."""
        if self._temp_data is None:
            self._temp_data = self._begun_exchange().new_temp_data()
        return self._temp_data

    @property
    def items(self) -> Items:
        """A dict for passing values between the components of this request; never stored."""
        if self._items is None:
            self._items = Items()
        return self._items

    def flash(self, message: str, category: str = "info") -> None:
        """Leave a message for the visitor's next page, where ``{% module Flash() %}`` shows it."""
        add_flash(self.temp_data, message, category)

    async def prepare(self) -> None:
        """Load the session, unless ``session_autoload`` is off. An override awaits ``super().prepare()``."""
        sessions = self.application.settings.get(SETTING)
        if not isinstance(sessions, Sessions):
            sessions = Sessions.of_application(self.settings)  # which raises
        if self.session_autoload:
            # As headers["Cookie"] tells it; but that raises and catches when there is none.
            exchange, header = self._exchange, ",".join(self.request.headers.get_list("Cookie"))
            # A visitor without our cookie has nothing to load, and may have nothing to store: no exchange then.
            if sessions.cookie.name in header:
                if exchange is None:
                    exchange = self._exchange = Exchange(sessions, _Host(self), header)
                    exchange.session._is_closed = self._finished
                try:
                    if not exchange.session._is_loaded:
                        await exchange.session._fetch(True)
                except (CacheError, SessionUnavailableError) as error:
                    exchange.session._go_on_without(error)
            elif exchange is not None:
                exchange.begin_new_session()
            self._was_prepared = True
        following = super().prepare()
        if following is not None:
            await following

    async def load_session(self) -> None:
        """Load the session, once, and start its idle timeout anew.

        When the cache does not answer, goes on as ``SessionOptions.when_unavailable`` says.
        """
        exchange = self._begun_exchange()
        try:
            await exchange.session.load()
        except (CacheError, SessionUnavailableError) as error:
            exchange.session._go_on_without(error)

    # -- Tornado's hooks ----------------------------------------------------------------------------------------------

    def get_template_namespace(self) -> dict[str, Any]:
        """Add ``session`` and ``temp_data`` for templates."""
        namespace = super().get_template_namespace()
        if isinstance(self.settings.get(SETTING), Sessions):
            self.application.ui_modules.setdefault("Flash", Flash)
            namespace |= {"session": self.session, "temp_data": self.temp_data}
        return namespace

    def flush(self, include_footers: bool = False) -> "asyncio.Future[None]":
        """Send the headers, with the session's cookie, and what was written so far."""
        if self._held_response is not None:
            return self._done()
        if self._exchange is not None and not self._headers_written:
            self._write_headers(self._exchange)
        return super().flush(include_footers)

    def finish(self, chunk: str | bytes | dict[str, Any] | None = None) -> "asyncio.Future[None]":
        """Store what changed, and then end the response."""
        exchange = self._exchange
        if exchange is None or self._finished or self._status_code == 101:
            return super().finish(chunk)
        if chunk is not None:
            self.write(chunk)
        try:
            if self._temp_data is not None:
                self._save_temp_data(may_become_304=True)
            commit = exchange.session._close()
        except Exception as error:  # noqa: BLE001 - whatever it is, the browser gets an answer
            self._answer_failure(error)
            return self._done()
        if commit is None:
            return super().finish()
        # The response is held until the session is stored. Tornado takes a finished response for sent and lets nobody
        # write into it, nor run the next handler of this connection, which is just what is needed meanwhile.
        self._finished = True
        self._held_response = _HeldResponse(self)
        return exchange.run(self._finish_after(commit))

    def send_error(self, status_code: int = 500, **kwargs: Any) -> None:
        """Send an error page; a server error stores nothing, unless ``save_on_error`` says so."""
        if self._held_response is not None:
            logger.error("Cannot send an error page: the response was finished before.")
            return
        error = kwargs.get("exc_info", (None, None))[1]
        is_server_error = status_code >= 500
        if status_code == 500 and isinstance(error, SessionError):
            status_code = error.status_code
        if is_server_error:
            self._has_failed = True
            if self._exchange is not None:
                self._exchange.drop_changes(session=not self._exchange.saves_on_error)
        super().send_error(status_code, **kwargs)

    def log_exception(
        self, typ: type[BaseException] | None, value: BaseException | None, tb: TracebackType | None
    ) -> None:
        """Log an unavailable or contested session in a line of its own: there is no mistake for a traceback to show."""
        if isinstance(value, SessionError) and value.status_code != 500:
            cause = f" ({type(value.__cause__).__name__})" if value.__cause__ else ""
            logger.error("%d %s %s: %s%s", value.status_code, self.request.method, self.request.path, value, cause)
            return
        super().log_exception(typ, value, tb)

    def get_websocket_protocol(self) -> "WebSocketProtocol | None":
        """Store what changed before the upgrade, after which there are no headers to carry a cookie."""
        protocol: WebSocketProtocol | None = super().get_websocket_protocol()  # type: ignore[misc]
        exchange = self._exchange
        if protocol is None or exchange is None:
            return protocol
        accept = protocol.accept_connection

        async def accept_when_stored(handler: Any) -> None:
            del protocol.accept_connection  # What holds its own method is a circle.
            self._save_temp_data()
            commit = exchange.session._start_commit()
            if commit is not None:
                await commit
            await accept(handler)

        protocol.accept_connection = accept_when_stored  # type: ignore[method-assign]
        return protocol

    # -- the exchange -------------------------------------------------------------------------------------------------

    def _begun_exchange(self) -> Exchange:
        if self._exchange is not None:
            return self._exchange
        sessions = Sessions.of_application(self.settings)
        header = ",".join(self.request.headers.get_list("Cookie"))
        exchange = self._exchange = Exchange(sessions, _Host(self), header)
        if self._was_prepared:
            exchange.begin_new_session()
        if self._has_failed:
            exchange.drop_changes(session=not exchange.saves_on_error)
        if self._finished and self._status_code != 101:
            exchange.session._close()
        return exchange

    def _save_temp_data(self, *, may_become_304: bool = False) -> None:
        assert self._exchange is not None
        if self._temp_data is None or not self._temp_data.is_touched:
            return
        self._exchange.save_temp_data(
            self._temp_data,
            consume=self.request.method != "HEAD"
            and self._status_code != 304
            and not (may_become_304 and self._becomes_304()),
            is_redirect=300 <= self._status_code < 400 and "Location" in self._headers,
        )

    def _becomes_304(self) -> bool:
        """Tell whether Tornado is about to turn this response into a 304, whose reader sees nothing new.

        It does so when a response is finished that was not streamed.
        """
        if "If-None-Match" not in self.request.headers or self._headers_written or "Etag" in self._headers:
            return False
        if self._status_code != 200 or self.request.method != "GET":
            return False
        self.set_etag_header()
        matches = self.check_etag_header()
        self.clear_header("Etag")
        return matches

    async def _finish_after(self, commit: Coroutine[Any, Any, None]) -> None:
        try:
            await commit
        except Exception as error:  # noqa: BLE001 - whatever it is, the browser gets an answer
            self._release()
            self._answer_failure(error)
            return
        self._release()
        try:
            sending = super().finish()
        except Exception as error:  # noqa: BLE001 - as Tornado does for a finish() in a handler
            self._handle_request_exception(error)
            return
        await sending

    def _release(self) -> None:
        assert self._held_response is not None
        self._held_response.restore(self)
        self._held_response = None
        self._finished = False

    def _answer_failure(self, error: Exception) -> None:
        """Answer with an error page if nothing was sent yet, or else end the response."""
        assert self._exchange is not None
        self._exchange.drop_changes(session=True)
        exc_info = (type(error), error, error.__traceback__)
        self.log_exception(*exc_info)
        if self._headers_written:
            super().finish()
        else:
            self.send_error(500, exc_info=exc_info)

    def _write_headers(self, exchange: Exchange) -> None:
        """Add what the session and TempData have to say to the headers that are about to leave."""
        temp_data, headers = self._temp_data, self._headers
        if temp_data is not None and not exchange.is_temp_data_done:
            self._save_temp_data()
        lines = exchange.cookie_lines()
        for line in lines:
            if "Set-Cookie" in headers:
                headers.add("Set-Cookie", line)
            else:
                headers["Set-Cookie"] = line  # As add() does, but for the check that the line has passed before.
        if lines or exchange.session._is_touched or (temp_data is not None and temp_data.is_touched):
            headers["Vary"] = with_vary(headers["Vary"]) if "Vary" in headers else "Cookie"
        if lines:
            has_other = "Cache-Control" in headers
            headers["Cache-Control"] = with_no_store(headers["Cache-Control"]) if has_other else "no-store"

    @staticmethod
    def _done() -> "asyncio.Future[None]":
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        future.set_result(None)
        return future


class _HeldResponse:
    """A finished response that waits for the session to be stored: what is done to it meanwhile has no effect."""

    __slots__ = ("_body", "_cookies", "_headers", "_reason", "_status")

    def __init__(self, handler: SessionMixin) -> None:
        self._status, self._reason = handler._status_code, handler._reason
        self._headers, self._body = handler._headers, handler._write_buffer
        self._cookies: Any = vars(handler).pop("_new_cookie", None)
        # What comes now changes others in their place. A copy would be made header by header, for nobody to look at.
        handler._headers = HTTPHeaders()

    def restore(self, handler: SessionMixin) -> None:
        handler._status_code, handler._reason = self._status, self._reason
        handler._headers, handler._write_buffer = self._headers, self._body
        vars(handler).pop("_new_cookie", None)
        if self._cookies is not None:
            handler._new_cookie = self._cookies


class _Host(ref[SessionMixin]):
    """What the session and the exchange may ask of their handler.

    A weak reference, for the handler holds us: a circle would wait for the garbage collector after each request.
    """

    __slots__ = ()

    @property
    def _handler(self) -> SessionMixin:
        handler = self()
        if handler is None:
            raise ResponseStartedError("The request that this session or TempData belongs to is over.")
        return handler

    @property
    def https(self) -> bool:
        handler = self()
        return handler is not None and handler.request.protocol == "https"

    @property
    def headers_sent(self) -> bool:
        handler = self()
        return handler is None or handler._headers_written

    def agrees(self, consent: Callable[[Any], bool]) -> bool:
        return bool(consent(self._handler))

    def explain_not_loaded(self) -> str:
        kind = type(self._handler)
        if not self._handler.session_autoload:
            return (
                f"Session not loaded: session_autoload is off for {kind.__name__}. "
                "Call `await self.load_session()` before the session is used."
            )
        owner = next(base for base in kind.__mro__ if "prepare" in vars(base))
        if owner is SessionMixin:
            return f"Session not loaded: {kind.__name__} used it before prepare() had run, or outside of a request."
        return (
            f"Session not loaded: {owner.__name__}.prepare() did not call `await super().prepare()`. Add that line, in "
            "an `async def prepare(self)`."
        )

    def renew_xsrf_token(self) -> None:
        # Tornado keeps the token in two attributes and has no method to renew it. A visitor without a token needs none.
        handler: Any = self._handler
        name = handler.settings.get("xsrf_cookie_name", "_xsrf")
        if not handler.settings.get("xsrf_cookies") and name not in handler.request.cookies:
            return
        knew_user = "_current_user" in vars(handler)
        vars(handler).pop("_xsrf_token", None)
        handler._raw_xsrf_token = (None, os.urandom(16), time.time())
        _ = handler.xsrf_token
        if not knew_user:
            # Making the token asks for the current user, who may only be known after the lines that follow.
            vars(handler).pop("_current_user", None)
