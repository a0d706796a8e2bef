"""SessionRecord: a session as it is stored, and its bytes."""

from dataclasses import dataclass
from typing import Any, Final

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
_PLAIN: Final = 1
_ENCRYPTED: Final = 2


class UnreadableRecordError(SessionError):
    """What is stored is not a session that this version understands."""

    status_code = 503


@dataclass(slots=True, repr=False)
class SessionRecord:
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

    def __init__(self, protector: Protector | None, opener: Protector) -> None:
        # ``opener`` reads what was encrypted, also when encryption is switched off again.
        self._protector = protector
        self._opener = opener

    def dumps(self, record: SessionRecord, cache_key: str) -> bytes:
        """Write ``record`` for storing under ``cache_key``."""
        content = serializer.dumps([record.id, record.created, record.owner, record.label, record.data])
        if self._protector is None:
            return bytes((_PLAIN,)) + content
        return bytes((_ENCRYPTED,)) + self._protector.protect(content, context=cache_key.encode())

    def loads(self, stored: bytes, cache_key: str) -> SessionRecord | None:
        """Read what ``dumps`` wrote; ``None`` for what does not count as a live session.

        That is one stored in clear where encryption is asked for: whoever can write to the store could put it there.
        Raises ``UnreadableRecordError`` for what is not understood.
        """
        try:
            content = self._content(stored, cache_key)
            if content is None:
                return None
            id_, created, owner, label, data = serializer.loads(content)
            values = serializer.loads(data)
            if type(id_) is not str or type(created) is not float or type(values) is not dict:
                raise TypeError("its parts are not those of a session")  # noqa: TRY301 - one answer to all such bytes
            return SessionRecord(id_, created, owner, label, values, data)
        except (ValueError, TypeError, ProtectionError) as error:
            raise UnreadableRecordError(f"a stored session cannot be read: {error}") from None

    def _content(self, stored: bytes, cache_key: str) -> bytes | None:
        version = stored[0] if stored else -1
        if version == _PLAIN:
            return stored[1:] if self._protector is None else None
        if version == _ENCRYPTED:
            return self._opener.unprotect(stored[1:], context=cache_key.encode())
        raise ValueError(
            f"its format has version {version}, and this is a version that reads {_PLAIN} and {_ENCRYPTED}"
        )
