"""SessionValues: the mapping half of a session, which notices what is read and what may have changed."""

from abc import abstractmethod
from collections.abc import Iterator, MutableMapping
from collections.abc import Set as AbstractSet
from typing import Any, Final, overload

from tornado_session import serializer
from tornado_session.errors import SerializationError
from tornado_session.serializer import IMMUTABLE

NOTHING: Final = serializer.dumps({})
"""An empty session's values, serialized."""
NO_KEYS: Final[AbstractSet[str]] = frozenset()


class SessionValues(MutableMapping[str, Any]):
    """Keys are case-sensitive text. Values are those of ``serializer.dumps``, checked when they are assigned.

    Changes in place of a list, a dict or a set are noticed: once one was handed out, what is stored is compared with
    what is there when the session is saved.
    """

    __slots__ = (
        "__weakref__",
        "_is_loaded",
        "_is_touched",
        "_may_be_modified",
        "_may_differ",
        "_snapshot",
        "_stored_data",
        "_values",
    )

    # Set by the subclass, in one go with its own: a session is made for every request.
    _values: dict[str, Any]
    _stored_data: bytes
    _is_loaded: bool
    _is_touched: bool
    _may_be_modified: bool
    """Whether anything was written, or handed out to who may change it; if not, there is nothing to store."""
    _may_differ: AbstractSet[str]
    """The keys whose values may differ from what is stored: assigned, deleted, or handed out."""
    _snapshot: bytes | None
    """The serialized values when they were last found to have changed: what a commit that follows stores."""

    @abstractmethod
    def _before_read(self) -> None:
        """Raise if the values cannot be read; only what was not loaded needs to be asked."""

    @abstractmethod
    def _before_write(self) -> None:
        """Raise if the values cannot be written."""

    def __getitem__(self, key: str) -> Any:
        self._is_touched = True
        if not self._is_loaded:
            self._before_read()
        value = self._values[key]
        if type(value) not in IMMUTABLE:
            self._note(key)
        return value

    def __setitem__(self, key: str, value: Any) -> None:
        if type(key) is not str:
            raise SerializationError(
                f"the keys of a session are text, but {key!r} is of type {type(key).__name__}",
                type_name=type(key).__name__,
            )
        if not key.isascii():
            serializer.check(key, name="a key of the session")
        if type(value) not in serializer.ALWAYS_TAKEN:
            serializer.check(value, name=f"session[{key!r}]")
        self._before_write()
        self._values[key] = value
        self._note(key)

    def __delitem__(self, key: str) -> None:
        self._before_read()
        if key not in self._values:
            raise KeyError(key)
        self._before_write()
        del self._values[key]
        self._note(key)

    def __iter__(self) -> Iterator[str]:
        self._before_read()
        return iter(self._values)

    def __len__(self) -> int:
        self._before_read()
        return len(self._values)

    def __contains__(self, key: object) -> bool:
        self._before_read()
        return key in self._values

    @overload
    def get(self, key: str, /) -> Any: ...
    @overload
    def get(self, key: str, /, default: Any) -> Any: ...
    def get(self, key: str, /, default: Any = None) -> Any:
        """Give the value under ``key``, or ``default``."""
        self._is_touched = True
        if not self._is_loaded:
            self._before_read()
        value = self._values.get(key, default)
        if type(value) not in IMMUTABLE:
            self._note(key)
        return value

    def get_string(self, key: str) -> str | None:
        """Give a text; ``None`` for a missing key; ``TypeError`` for another type (as ``ISession.GetString``)."""
        value: str | None = self._typed(key, str)
        return value

    def set_string(self, key: str, value: str) -> None:
        """Keep a text; ``TypeError`` for another type."""
        self._set_typed(key, value, str)

    def get_int32(self, key: str) -> int | None:
        """Give an integer of 32 bits; ``None`` for a missing key; ``TypeError`` for anything else."""
        value: int | None = self._typed(key, int)
        if value is not None and not _fits_int32(value):
            raise TypeError(f"session[{key!r}] does not fit 32 bits; read it with session[{key!r}]")
        return value

    def set_int32(self, key: str, value: int) -> None:
        """Keep an integer of 32 bits; ``TypeError`` for other types, ``bool`` included; ``ValueError`` out of range."""
        if type(value) is int and not _fits_int32(value):
            raise ValueError(f"{value} does not fit 32 bits; keep it with session[{key!r}] = {value}")
        self._set_typed(key, value, int)

    def get_bytes(self, key: str) -> bytes | None:
        """Give bytes; ``None`` for a missing key; ``TypeError`` for another type."""
        value: bytes | None = self._typed(key, bytes)
        return value

    def set_bytes(self, key: str, value: bytes) -> None:
        """Keep bytes; ``TypeError`` for another type."""
        self._set_typed(key, value, bytes)

    def _typed(self, key: str, kind: type) -> Any:
        if key not in self:
            return None
        value = self[key]
        if type(value) is not kind:
            raise TypeError(f"session[{key!r}] is {type(value).__name__}, not {kind.__name__}")
        return value

    def _set_typed(self, key: str, value: object, kind: type) -> None:
        if type(value) is not kind:
            raise TypeError(f"session[{key!r}] is to be {kind.__name__}, but this is {type(value).__name__}")
        self[key] = value

    def _note(self, key: str) -> None:
        self._may_be_modified = True
        if not isinstance(self._may_differ, set):
            self._may_differ = set(self._may_differ)
        self._may_differ.add(key)


def _fits_int32(value: int) -> bool:
    return -(2**31) <= value < 2**31
