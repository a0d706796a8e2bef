"""TempDataProvider: where TempData stays between two requests."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, MutableMapping
from typing import Any, Protocol

from tornado_session.protection.protector import Protector


class TempDataRequest(Protocol):
    """What a provider sees of a request and its response."""

    @property
    def cookies(self) -> Mapping[str, str]:
        """The cookies that came, by name."""
        ...

    @property
    def https(self) -> bool:
        """Whether the request came over HTTPS."""
        ...

    @property
    def session(self) -> MutableMapping[str, Any]:
        """The session; raises ``SessionNotLoadedError`` when it is used before it was loaded."""
        ...

    @property
    def has_session(self) -> bool:
        """Whether the session was loaded and holds anything, so that a look into it takes no trip and no error."""
        ...

    @property
    def clock(self) -> Callable[[], float]:
        """Seconds since the epoch."""
        ...

    def protector(self, *purposes: str) -> Protector:
        """Give the protector for a purpose, on the application's clock."""
        ...

    def set_cookie_line(self, line: str) -> None:
        """Send this ``Set-Cookie`` line with the response, if it is not an error; the last one for a name counts.

        Raises ``ValueError`` for characters that no header carries.
        """
        ...

    def warn(self, kind: str, message: str) -> None:
        """Log a warning, limited to one of its kind in a minute."""
        ...


class TempDataProvider(ABC):
    """Loads TempData when a request first touches it, and saves it before the response if it changed.

    One provider serves all requests of an application, so it keeps nothing about any of them.
    """

    keep_on_redirect: bool = True
    """Whether a redirect keeps what was read in the same request."""

    is_essential: bool = True
    """Whether TempData is kept without the visitor's consent; what lies in the session needs that of the session."""

    def validate(self, session_cookie_name: str) -> None:  # noqa: B027 - a provider without cookies has nothing to check
        """Raise ``ConfigurationError`` if the provider cannot work beside this session cookie; called at start."""

    @abstractmethod
    def load(self, request: TempDataRequest) -> dict[str, Any]:
        """Give what the previous request left. What a browser can get wrong gives an empty dict, never an error."""

    @abstractmethod
    def save(self, request: TempDataRequest, values: Mapping[str, Any]) -> None:
        """Keep ``values`` for the next request, in place of what was loaded; an empty mapping keeps nothing."""
