"""SessionRecord: a session as it is stored, and its bytes."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any, Final

import msgspec

from tornado_session import serializer
from tornado_session.errors import ProtectionError, SessionError
from tornado_session.protection.protector import Protector

# What stands under a session's key in the cache; the first byte is the format's version:
#
#   0 | nothing                                                            the session has moved to another key
#   1 | [id, created, owner, label, data]                                  serialized; data: the serialized values
#   2 | that list, protected: encrypted under the key ring, and bound to the key in the cache
#
# id: text; created: seconds since the epoch, float; owner and label: text or nil.
MOVED: Final = b"\x00"
_PLAIN: Final = b"\x01"
_ENCRYPTED: Final = b"\x02"
_encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder(tuple[str, float, str | None, str | None, bytes]).decode


class UnreadableRecordError(SessionError):
    """What is stored is not a session that this version understands."""

    status_code = 503


class SessionRecord(msgspec.Struct):
    """What is stored of a session."""

    id: str
    created: float
    owner: str | None
    label: str | None
    values: dict[str, Any]
    data: bytes
    """The serialized ``values``, to tell later whether they changed."""

    def __repr__(self) -> str:
        return f"<SessionRecord {self.id!r} of {len(self.data)} bytes>"


class RecordFormat:
    """Turns records into the bytes that a cache keeps, and back."""

    def __init__(
        self,
        protector: Protector | None,
        opener: Protector,
        lifetime: timedelta | None,
        clock: Callable[[], float],
    ) -> None:
        # ``opener`` reads what was encrypted, also when encryption is switched off again.
        self._protector = protector
        self._opener = opener
        self._lifetime = None if lifetime is None else lifetime.total_seconds()
        self._clock = clock

    def dumps(self, record: SessionRecord, cache_key: str) -> bytes:
        """Write ``record`` for storing under ``cache_key``."""
        content = _encode((record.id, record.created, record.owner, record.label, record.data))
        if self._protector is None:
            return _PLAIN + content
        return _ENCRYPTED + self._protector.protect(content, context=cache_key.encode())

    def loads(self, stored: bytes, cache_key: str) -> SessionRecord | None:
        """Read what ``dumps`` wrote; ``None`` for what does not count as a live session.

        That is the mark of one that has moved, one that is older than its lifetime, and one stored in clear where
        encryption is asked for: whoever can write to the store could put it there. Raises ``UnreadableRecordError`` for
        what is not understood.
        """
        is_plain = stored[:1] == _PLAIN
        if stored == MOVED or (is_plain and self._protector is not None):
            return None
        try:
            content = stored[1:] if is_plain else self._opened(stored, cache_key)
            id_, created, owner, label, data = _decode(content)
            record = SessionRecord(id_, created, owner, label, serializer.decode_dict(data), data)
        except ProtectionError as error:
            raise UnreadableRecordError(f"a stored session cannot be read: {error}") from None
        except serializer.NOT_DECODED:
            # What the bytes say is not repeated: they are somebody's session.
            raise UnreadableRecordError("a stored session cannot be read: its parts are not those of one") from None
        if self._lifetime is not None and self._clock() >= created + self._lifetime:
            return None
        return record

    def _opened(self, stored: bytes, cache_key: str) -> bytes:
        if stored[:1] == _ENCRYPTED:
            return self._opener.unprotect(stored[1:], context=cache_key.encode())
        raise UnreadableRecordError(
            f"a stored session cannot be read: its format has version {stored[0] if stored else -1}, and this is a "
            f"version that reads {_PLAIN[0]} and {_ENCRYPTED[0]}"
        )
