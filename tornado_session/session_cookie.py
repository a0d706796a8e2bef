"""SessionCookie: between a session's key and the cookie that carries it."""

from typing import Final

import msgspec

from tornado_session.cookies import encoding
from tornado_session.cookies.options import CookieOptions
from tornado_session.errors import ProtectionError
from tornado_session.protection.protector import Protector

KEY_SIZE: Final = 32
_MOST_REMEMBERED: Final = 4096
_LONGEST_REMEMBERED: Final = 2048


class OpenedCookie(msgspec.Struct, frozen=True, gc=False):
    """What a genuine cookie held; thousands are remembered, and the garbage collector need not look at them."""

    key: bytes
    is_current: bool
    """Whether it was made with the key that is now current on the ring."""

    def __repr__(self) -> str:
        # Not the struct's own, which would show the key.
        return f"<OpenedCookie of {'the current' if self.is_current else 'an older'} key of the ring>"


class SessionCookie:
    """Writes the cookie of one application's sessions, and opens it.

    The value is the session's key, protected, in base64url. What was opened lately is remembered, for a browser sends
    the same cookies with every request: the ``Cookie`` header itself is the name under which it is found, so that
    nobody can find more here than what they brought. Nothing is remembered of what did not open.
    """

    def __init__(self, options: CookieOptions, protector: Protector) -> None:
        self.name = options.name or ""
        self.is_essential = options.is_essential
        self.is_renewed_always = options.max_age is not None
        self._options = options
        self._protector = protector
        self.remembered: dict[str, OpenedCookie] = {}
        """What was opened lately, by the ``Cookie`` header that brought it."""

    def open(self, text: str, header: str) -> OpenedCookie:
        """Open a cookie's value, which came in ``header``; raises ``ProtectionError`` unless it is a genuine one."""
        protected = encoding.decode(text)
        if protected is None:
            raise ProtectionError("it is not written as it was sent")
        key = self._protector.unprotect(protected)
        if len(key) != KEY_SIZE:
            raise ProtectionError("it does not hold a key")
        opened = OpenedCookie(key, self._protector.is_current(protected))
        self._remember(header, opened)
        return opened

    def set_line(self, key: bytes, *, https: bool) -> str:
        """Write the ``Set-Cookie`` line that carries ``key``."""
        return self._options.set_line(encoding.encode(self._protector.protect(key)), https=https)

    def delete_line(self, *, https: bool) -> str:
        """Write the ``Set-Cookie`` line that deletes the cookie."""
        return self._options.delete_line(https=https)

    def _remember(self, header: str, opened: OpenedCookie) -> None:
        if len(header) > _LONGEST_REMEMBERED:
            return
        if len(self.remembered) >= _MOST_REMEMBERED:
            # All at once, which costs nothing between two such moments; who comes again is opened again.
            self.remembered.clear()
        self.remembered[header] = opened
