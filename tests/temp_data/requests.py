"""A request as a TempDataProvider sees it, without HTTP: a browser's jar and a session that are told of by a test."""

from collections.abc import Callable
from typing import Any

from tornado_session import KeyRing, Protector
from tornado_session.testing import FakeClock

KEYS = KeyRing({1: "a secret for tests, not for sites"}, current=1)


class Visit:
    """One request and its response; ``next()`` is the same browser's following request."""

    def __init__(
        self,
        cookies: dict[str, str] | None = None,
        *,
        session: dict[str, Any] | None = None,
        clock: FakeClock | None = None,
        keys: KeyRing = KEYS,
        https: bool = False,
        has_session: bool = True,
    ) -> None:
        self.cookies = cookies or {}
        self.https = https
        self.session: dict[str, Any] = {} if session is None else session
        self.has_session = has_session
        self.fake_clock = clock or FakeClock()
        self.keys = keys
        self.lines: dict[str, str] = {}
        self.warnings: list[str] = []

    @property
    def clock(self) -> Callable[[], float]:
        return self.fake_clock

    def protector(self, *purposes: str) -> Protector:
        return self.keys.protector(*purposes, clock=self.fake_clock)

    def set_cookie_line(self, line: str) -> None:
        self.lines[line.partition("=")[0]] = line

    def warn(self, kind: str, message: str) -> None:
        self.warnings.append(message)

    @property
    def set(self) -> dict[str, str]:
        """The cookies that the response sets, by name."""
        return {name: line.split("; ")[0].partition("=")[2] for name, line in self.lines.items() if not _deletes(line)}

    @property
    def deleted(self) -> list[str]:
        """The names of the cookies that the response deletes."""
        return [name for name, line in self.lines.items() if _deletes(line)]

    def next(self, **changes: Any) -> "Visit":
        kept = {name: value for name, value in self.cookies.items() if name not in self.deleted}
        options = {"session": self.session, "clock": self.fake_clock, "keys": self.keys, "https": self.https}
        return Visit(kept | self.set, **(options | changes))


def _deletes(line: str) -> bool:
    return "; Max-Age=0; " in line
