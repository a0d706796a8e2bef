"""Protector: authenticated encryption for one purpose."""

import os
from collections.abc import Callable, Mapping
from datetime import timedelta
from math import ceil
from time import time
from typing import Final

from cryptography.exceptions import InvalidTag

from tornado_session.errors import ProtectionError, UnknownKeyError
from tornado_session.protection.xaes import NONCE_SIZE, TAG_SIZE, XAES256GCM

# What protect() returns:
#
#   0        1        2                 2+n          2+n(+8)     +24
#   +--------+--------+-----------------+ - - - - - -+-----------+------------------------+
#   | format | n      | key id, n bytes |  expiry, 8 | nonce, 24 | ciphertext, tag of 16  |
#   +--------+--------+-----------------+ - - - - - -+-----------+------------------------+
#
# format    1 = without expiry, 2 = with expiry (milliseconds since the epoch, big-endian)
# key id    "i" and the decimal number, or "s" and the text in UTF-8
# All that stands before the nonce is authenticated, followed by the caller's context: the header tells its own length,
# so the two cannot be mistaken for each other. The purpose is in the key.
_UNLIMITED: Final = 1
_LIMITED: Final = 2
_EXPIRY_SIZE: Final = 8


class Protector:
    """Seals and opens bytes for one purpose; made by ``KeyRing.protector("purpose")``.

    XAES-256-GCM with a random 192-bit nonce: safe for 2**80 messages under one key (C2SP XAES-256-GCM specification),
    far beyond the 2**32 of AES-GCM with random nonces. The length of the data is not hidden.
    """

    def __init__(
        self, keys: Mapping[int | str, bytes], current: int | str, *, clock: Callable[[], float] = time
    ) -> None:
        self._clock = clock
        ciphers = {_encoded_id(key_id): XAES256GCM(key) for key_id, key in keys.items()}
        self._ciphers = {
            _start(format_, encoded_id): cipher
            for encoded_id, cipher in ciphers.items()
            for format_ in (_UNLIMITED, _LIMITED)
        }
        self._current_id = _encoded_id(current)
        self._current = ciphers[self._current_id]
        self._unlimited_header = _start(_UNLIMITED, self._current_id)
        self._limited_start = _start(_LIMITED, self._current_id)

    def __repr__(self) -> str:
        return f"<Protector under key {_decoded_id(self._current_id)!r}>"

    def protect(self, data: bytes, *, expires_in: timedelta | None = None, context: bytes = b"") -> bytes:
        """Encrypt and authenticate ``data`` under the current key.

        ``expires_in``: a positive ``timedelta`` after which the result no longer opens. ``context``: further bytes
        that are authenticated but not kept, and must be given again to ``unprotect``. Raises ``TypeError`` for what is
        not ``bytes`` and ``ValueError`` for a duration that is not positive.
        """
        if not isinstance(data, bytes):
            raise TypeError(f"protect() takes bytes, not {type(data).__name__}")
        header = self._unlimited_header if expires_in is None else self._limited_header(expires_in)
        nonce = os.urandom(NONCE_SIZE)
        return header + nonce + self._current.encrypt(nonce, data, header + context)

    def unprotect(self, protected: bytes, *, context: bytes = b"") -> bytes:
        """Give back the data of ``protect``.

        Raises ``UnknownKeyError`` when the key is not on the ring, and ``ProtectionError`` for everything else that
        does not open: forged, cut, expired, made for another purpose or context.
        """
        if not isinstance(protected, bytes):
            raise ProtectionError(f"protected data is bytes, not {type(protected).__name__}")
        start = protected[: 2 + protected[1]] if len(protected) > 1 else b""
        cipher = self._ciphers.get(start)
        if cipher is None:
            raise _unopened(protected)
        is_limited = start[0] == _LIMITED
        header = protected[: len(start) + _EXPIRY_SIZE] if is_limited else start
        body = len(header) + NONCE_SIZE
        if len(protected) < body + TAG_SIZE:
            raise ProtectionError("protected data is cut short")
        try:
            data = cipher.decrypt(protected[len(header) : body], protected[body:], header + context)
        except InvalidTag:
            raise ProtectionError("protected data was forged, damaged, or made for another purpose") from None
        if is_limited and self._clock() * 1000 >= int.from_bytes(header[-_EXPIRY_SIZE:]):
            raise ProtectionError("protected data has expired")
        return data

    def is_current(self, protected: bytes) -> bool:
        """Tell whether ``protected``, which did open, was made with the key that is now current."""
        return _split_id(protected) == self._current_id

    def _limited_header(self, expires_in: timedelta) -> bytes:
        if not isinstance(expires_in, timedelta):
            raise TypeError(f"expires_in must be a timedelta, not {type(expires_in).__name__}")
        seconds = expires_in.total_seconds()
        if seconds <= 0:
            raise ValueError(f"expires_in must be positive, but is {expires_in}")
        return self._limited_start + ceil((self._clock() + seconds) * 1000).to_bytes(_EXPIRY_SIZE)


def framed(*parts: str) -> bytes:
    """Join texts so that no two different lists give the same bytes: each with its length, 4 bytes, in front."""
    encoded = [part.encode() for part in parts]
    return b"".join(len(part).to_bytes(4) + part for part in encoded)


def _start(format_: int, encoded_id: bytes) -> bytes:
    return bytes((format_, len(encoded_id))) + encoded_id


def _unopened(protected: bytes) -> ProtectionError:
    """Say why no key of the ring fits."""
    return UnknownKeyError(_decoded_id(_split_id(protected)))


def _split_id(protected: bytes) -> bytes:
    if len(protected) < 2 or protected[0] not in (_UNLIMITED, _LIMITED):
        raise ProtectionError("protected data has no known format")
    encoded_id = protected[2 : 2 + protected[1]]
    if len(encoded_id) != protected[1]:
        raise ProtectionError("protected data is cut short")
    return encoded_id


def _encoded_id(key_id: int | str) -> bytes:
    return b"i%d" % key_id if isinstance(key_id, int) else b"s" + key_id.encode()


def _decoded_id(encoded_id: bytes) -> int | str:
    kind, text = encoded_id[:1], encoded_id[1:]
    try:
        if kind == b"i" and len(text) <= 64:
            return int(text)
        if kind == b"s" and len(text) <= 64:
            return text.decode()
    except ValueError:
        pass
    raise ProtectionError("protected data names its key in no known way")
