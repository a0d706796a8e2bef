"""All errors of the package, in one tree.

.. code-block:: text

    SessionError
    ├── ConfigurationError (ValueError)
    ├── SessionNotConfiguredError
    ├── SessionNotLoadedError
    ├── ResponseStartedError
    ├── SessionUnavailableError        answers 503
    ├── SessionConflictError           answers 409
    ├── SessionTooLargeError, TempDataTooLargeError
    ├── SerializationError (TypeError)
    ├── CacheError                     answers 503
    │   └── CacheTimeoutError
    └── ProtectionError
        └── UnknownKeyError

Messages say what happened, with the values that matter, and then what to do. None of them ever contains a session
key, a cookie's value or a stored payload.
"""

from collections.abc import Mapping
from typing import ClassVar


class SessionError(Exception):
    """Base of every error that this package raises on its own account."""

    status_code: ClassVar[int] = 500
    """The HTTP status that answers the request when a handler lets the error pass."""


class ConfigurationError(SessionError, ValueError):
    """An option, an argument or a class was set up in a way that cannot work; raised at start."""


class SessionNotConfiguredError(SessionError):
    """A handler uses the mixin in an application that was built without ``session_settings()``."""


class SessionNotLoadedError(SessionError):
    """The session was touched before it was loaded."""


class ResponseStartedError(SessionError):
    """A write came after the headers had left and could no longer reach the browser."""


class SessionUnavailableError(SessionError):
    """The cache could not be asked, so the session cannot be written; answers 503."""

    status_code = 503


class SessionConflictError(SessionError):
    """Another request changed the session meanwhile, and the options forbid or failed to merge; answers 409."""

    status_code = 409


class TooLargeError(SessionError):
    """What the two errors about size share."""

    def __init__(self, message: str, *, size: int, limit: int, largest: Mapping[str, int]) -> None:
        super().__init__(message)
        self.size = size
        """Bytes that the data would take."""
        self.limit = limit
        """Bytes that the options allow."""
        self.largest = dict(largest)
        """The largest keys and how many bytes each takes."""


class SessionTooLargeError(TooLargeError):
    """The serialized session exceeds ``SessionOptions.max_size``."""


class TempDataTooLargeError(TooLargeError):
    """TempData exceeds ``CookieTempDataProvider.max_size`` and must not go to the session."""


class SerializationError(SessionError, TypeError):
    """A value is of a type that sessions and TempData do not keep."""

    def __init__(self, message: str, *, path: str = "", type_name: str = "") -> None:
        super().__init__(message)
        self.path = path
        """Where the value stands, such as ``['cart'][2]['price']``."""
        self.type_name = type_name
        """The refused type."""


class CacheError(SessionError):
    """The cache could not answer; the driver's error is the cause. Whether a write was applied is then unknown."""

    status_code = 503


class CacheTimeoutError(CacheError):
    """The cache did not answer in time."""


class ProtectionError(SessionError):
    """Protected bytes did not open: forged, damaged, expired, or made for another purpose."""


class UnknownKeyError(ProtectionError):
    """Protected bytes were made with a key that is not on the ring."""

    def __init__(self, key_id: int | str) -> None:
        super().__init__(f"made with key {key_id!r}, which is not on the key ring")
        self.key_id = key_id
        """The id of the missing key, as the bytes claim it."""
