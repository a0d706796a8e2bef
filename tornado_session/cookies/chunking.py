"""A value too long for one cookie, split over several and joined again.

.. code-block:: text

    Set-Cookie: NAME=chunks-2; Path=/; ...
    Set-Cookie: NAMEC1=first part; Path=/; ...
    Set-Cookie: NAMEC2=last part; Path=/; ...

A value that fits goes into ``NAME`` alone. What belongs together is for the value's own authentication to tell: parts
of two writes join into something that does not open.
"""

import re
from collections.abc import Iterable, Mapping
from math import ceil
from typing import Final

from tornado_session.cookies.options import CookieOptions
from tornado_session.errors import ConfigurationError

MOST_DELETED: Final = 50
"""How many cookies one response deletes at the most, however many the browser claims to have."""
SMALLEST_CHUNK: Final = 256
_LEAST_ROOM: Final = 32

# [0-9], not \d: a digit of another script is not one that we wrote.
_MARKER: Final = re.compile(r"chunks-([1-9][0-9]?)")
_SUFFIX: Final = re.compile(r"C[0-9]{1,4}")


class DamagedChunksError(Exception):
    """The pieces that came do not make a whole; for the caller to handle, never for a user to see."""


class ChunkedCookie:
    """One logical cookie that takes as many real ones as it needs.

    ``chunk_size``: the longest ``Set-Cookie`` line, in bytes, attributes included. ``max_size``: the most that all
    lines of one value may take together, and thus the most that is read. Raises ``ConfigurationError`` when the name
    and the attributes leave no room.
    """

    def __init__(self, options: CookieOptions, *, chunk_size: int, max_size: int) -> None:
        self._options = options
        self._name = options.name or ""
        self._chunk_size = chunk_size
        self._max_size = max_size
        self._most_chunks = ceil(max_size / chunk_size)
        self._check_room()

    def lines(self, value: str, *, https: bool) -> list[str]:
        """Write the ``Set-Cookie`` lines for ``value``, however long; ``max_size`` is for the caller to look at."""
        line = self._options.set_line(value, https=https)
        return [line] if len(line) <= self._chunk_size else self._chunks(value, https=https)

    def join(self, cookies: Mapping[str, str]) -> str | None:
        """Put the value together from the cookies of a request; ``None`` when there is none.

        Reads at most as many chunks as ``max_size`` allows, whatever the marker says. Raises ``DamagedChunksError``
        when pieces are missing.
        """
        value = cookies.get(self._name)
        if value is None:
            if self.pieces(cookies):
                raise DamagedChunksError("there are pieces, but the cookie that counts them is missing")
            return None
        if not value.startswith("chunks-"):
            return value
        marker = _MARKER.fullmatch(value)
        if marker is None or int(marker[1]) > self._most_chunks:
            raise DamagedChunksError("the number of pieces is not one that was ever written")
        try:
            return "".join(cookies[f"{self._name}C{number}"] for number in range(1, int(marker[1]) + 1))
        except KeyError:
            raise DamagedChunksError("a piece is missing") from None

    def pieces(self, cookies: Iterable[str]) -> list[str]:
        """Find the names of all cookies of a request that are, or look like, pieces of this one."""
        name, length = self._name, len(self._name)
        return [
            cookie
            for cookie in cookies
            if cookie.startswith(name) and (cookie == name or _SUFFIX.fullmatch(cookie, length))
        ]

    def deletions(self, names: Iterable[str], *, https: bool) -> list[str]:
        """Write the ``Set-Cookie`` lines that delete these pieces, at most 50 of them."""
        # Shortest first: NAME and the pieces with low numbers are those that could open again.
        names = sorted(sorted(names), key=len)[:MOST_DELETED]
        ending = self._options.delete_line(https=https).removeprefix(self._name)
        return [name + ending for name in names]

    def _chunks(self, value: str, *, https: bool) -> list[str]:
        parts: list[str] = []
        start = 0
        while start < len(value):
            suffix = f"C{len(parts) + 1}"
            end = start + self._chunk_size - len(self._options.set_line("", https=https, suffix=suffix))
            parts.append(self._options.set_line(value[start:end], https=https, suffix=suffix))
            start = end
        return [self._options.set_line(f"chunks-{len(parts)}", https=https), *parts]

    def _check_room(self) -> None:
        if self._chunk_size < SMALLEST_CHUNK:
            raise ConfigurationError(f"chunk_size must be at least {SMALLEST_CHUNK} bytes, but is {self._chunk_size}")
        if self._most_chunks >= MOST_DELETED:
            raise ConfigurationError(
                f"max_size={self._max_size} is up to {self._most_chunks} pieces of chunk_size={self._chunk_size}, but "
                f"only {MOST_DELETED - 1} can be deleted together; lower max_size or raise chunk_size"
            )
        # The line that deletes a chunk is longer than all else about the one that sets it.
        overhead = len(self._options.delete_line(https=True, suffix=f"C{self._most_chunks}"))
        if overhead + _LEAST_ROOM > min(self._chunk_size, self._max_size):
            raise ConfigurationError(
                f"name, domain, path and other attributes of the cookie take {overhead} bytes, which leaves too little "
                f"of chunk_size={self._chunk_size} and max_size={self._max_size}; shorten them or raise the sizes"
            )
