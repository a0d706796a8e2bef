"""SessionOptions: how long sessions live, and what happens when something goes wrong."""

from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final, Literal

from tornado_session.cookies.options import CookieOptions
from tornado_session.errors import ConfigurationError

SESSION_COOKIE_NAME: Final = ".Tornado.Session"


@dataclass(frozen=True, kw_only=True)
class SessionOptions:
    """The options of all sessions of one application, named after ASP.NET Core's where it has them.

    Raises ``ConfigurationError`` for values that cannot work.
    """

    cookie: CookieOptions = field(default_factory=lambda: CookieOptions(name=SESSION_COOKIE_NAME))
    """The cookie that carries the session's key. Its ``max_age`` makes it outlive the browser's window, and is rolled
    forward with the idle timeout: then every response sets the cookie."""
    idle_timeout: timedelta = timedelta(minutes=20)
    """How long a session may be idle before its contents are abandoned. Every request that brings the cookie starts it
    anew. Independent of the cookie's own life."""
    lifetime: timedelta | None = None
    """The longest life of a session, however active, counted from its creation; ``None``: no limit."""
    refresh_interval: timedelta = timedelta(0)
    """0: the expiry moves at every request. Larger: it is written only when that much time has passed since it was last
    written, and is set that much later, so a session never ends early and at most this much late."""
    io_timeout: timedelta | None = timedelta(seconds=5)
    """The longest wait for one load or one commit; ``None``: no limit."""
    on_conflict: Literal["merge", "last_write_wins", "fail"] = "merge"
    """What a commit does when another request changed the session meanwhile: ``"merge"`` keeps both requests' changes
    key by key (same key: the later wins), ``"last_write_wins"`` replaces the whole, ``"fail"`` raises
    ``SessionConflictError``."""
    when_unavailable: Literal["read_only", "fail", "ignore"] = "read_only"
    """What happens while the cache cannot be read: ``"read_only"``: the session reads as empty, a write raises
    ``SessionUnavailableError`` (503); ``"fail"``: 503 at once; ``"ignore"``: writes are dropped, with a warning in the
    log. A commit that fails answers 503, except under ``"ignore"``."""
    save_on_error: bool = False
    """Whether changes made before an unhandled exception, or before ``send_error(5xx)``, are kept."""
    max_size: int = 2**20
    """Bytes; a larger serialized session is refused with ``SessionTooLargeError``."""
    encrypt: bool = False
    """Also encrypt what is stored, bound to its session. What was stored without encryption counts as ended then."""

    def __post_init__(self) -> None:
        _check_duration("idle_timeout", self.idle_timeout)
        if self.lifetime is not None:
            _check_duration("lifetime", self.lifetime)
        if self.io_timeout is not None:
            _check_duration("io_timeout", self.io_timeout)
        if not isinstance(self.cookie, CookieOptions):
            raise ConfigurationError(f"cookie must be CookieOptions(...), not {type(self.cookie).__name__}")
        _check_choice("on_conflict", self.on_conflict, ("merge", "last_write_wins", "fail"))
        _check_choice("when_unavailable", self.when_unavailable, ("read_only", "fail", "ignore"))
        if isinstance(self.max_size, bool) or not isinstance(self.max_size, int) or self.max_size <= 0:
            raise ConfigurationError(f"max_size is a positive number of bytes, but this is {self.max_size!r}")
        self._check_refresh_interval()

    def _check_refresh_interval(self) -> None:
        interval = self.refresh_interval
        if not isinstance(interval, timedelta) or interval < timedelta(0):
            raise ConfigurationError(f"refresh_interval is a timedelta that is not negative, but this is {interval!r}")
        if interval >= self.idle_timeout:
            raise ConfigurationError(
                f"refresh_interval ({interval}) must be shorter than idle_timeout ({self.idle_timeout})"
            )


def _check_duration(name: str, duration: object) -> None:
    if not isinstance(duration, timedelta):
        raise ConfigurationError(f"{name} must be a timedelta, such as timedelta(minutes=20), not {duration!r}")
    if duration <= timedelta(0):
        raise ConfigurationError(f"{name} must be positive, but is {duration}")


def _check_choice(name: str, value: object, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise ConfigurationError(f"{name} is one of {', '.join(map(repr, choices))}, but this is {value!r}")
