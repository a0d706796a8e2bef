"""TempData: a mapping whose values are gone once they were read; TempDataField binds an attribute to one of them."""

from collections.abc import Callable, Iterator, Mapping, MutableMapping
from typing import Any, Protocol

from tornado_session import serializer
from tornado_session.errors import ConfigurationError, SerializationError
from tornado_session.serializer import IMMUTABLE


class TempData(MutableMapping[str, Any]):
    """Values for the next request: ``self.temp_data`` in a handler with ``SessionMixin``.

    Reading a key (``[]``, ``get``, ``pop``, iterating over items or values) marks it for removal at the end of the
    request; ``peek`` reads without marking, ``keep`` saves from removal, assigning again revives; ``in``, ``len`` and
    ``keys()`` do not mark. Keys are compared without regard to case. Values are those that sessions keep, checked when
    they are assigned (``SerializationError``). Writing after the headers have left raises ``ResponseStartedError``.

    What was read is kept all the same when the response is a redirect (``keep_on_redirect``), a 304, answers a HEAD
    request, or reports an error of the server. (ASP.NET Core: ``ITempDataDictionary``.)
    """

    __slots__ = (
        "__weakref__",
        "_before_write",
        "_entries",
        "_kept",
        "_load",
        "_loaded",
        "_loaded_data",
        "_may_have_changed",
        "_read",
    )

    def __init__(self, load: Callable[[], Mapping[str, Any]], before_write: Callable[[], None]) -> None:
        self._load = load
        self._before_write = before_write
        self._entries: dict[str, tuple[str, Any]] | None = None  # By folded key: the key as it was written, the value.
        self._loaded: dict[str, Any] = {}
        self._loaded_data: bytes | None = None  # Kept only if something in it can change in place.
        self._read: set[str] = set()
        self._kept: set[str] = set()
        self._may_have_changed = False

    def __repr__(self) -> str:
        return "<TempData, not touched>" if self._entries is None else f"<TempData with {len(self._entries)} keys>"

    def __getitem__(self, key: str) -> Any:
        value = self._value(key)
        self._read.add(key.casefold())
        return value

    def __setitem__(self, key: str, value: Any) -> None:
        if type(key) is not str:
            raise SerializationError(
                f"the keys of temp_data are text, but {key!r} is of type {type(key).__name__}",
                type_name=type(key).__name__,
            )
        if not key.isascii():
            serializer.check(key, name="a key of temp_data")
        serializer.check(value, name=f"temp_data[{key!r}]")
        self._before_write()
        folded = key.casefold()
        self._touched()[folded] = (key, value)
        self._read.discard(folded)
        self._may_have_changed = True

    def __delitem__(self, key: str) -> None:
        if key not in self:
            raise KeyError(key)
        self._before_write()
        del self._touched()[key.casefold()]
        self._kept.discard(key.casefold())
        self._may_have_changed = True

    def __iter__(self) -> Iterator[str]:
        return iter([key for key, _ in self._touched().values()])

    def __len__(self) -> int:
        return len(self._touched())

    def __contains__(self, key: object) -> bool:
        return isinstance(key, str) and key.casefold() in self._touched()

    def peek(self, key: str, default: Any = None) -> Any:
        """Read without marking for removal; ``default`` for a missing key."""
        try:
            return self._value(key)
        except KeyError:
            return default

    def keep(self, key: str | None = None) -> None:
        """Save one key, or all that are there now, from removal at the end of this request."""
        if key is None:
            self._kept.update(self._touched())
        elif key in self:
            self._kept.add(key.casefold())

    def clear(self) -> None:
        """Remove everything now."""
        if self._touched():
            self._before_write()
            self._touched().clear()
            self._kept.clear()
            self._may_have_changed = True

    @property
    def is_touched(self) -> bool:
        """Whether the request has looked at TempData at all."""
        return self._entries is not None

    def removed_when_saved(self) -> list[str]:
        """Tell which keys are marked for removal and not kept; does not mark, and does not touch."""
        doomed = self._read - self._kept
        return [key for folded, (key, _) in (self._entries or {}).items() if folded in doomed]

    def remaining(self, *, consume: bool) -> dict[str, Any] | None:
        """Give what is to be saved, or ``None`` if that is what was loaded.

        With ``consume`` the keys that were read and not kept are left out.
        """
        if self._entries is None:
            return None
        doomed = self._read - self._kept if consume else set()
        if not (doomed or self._may_have_changed):
            return None
        values = {key: value for folded, (key, value) in self._entries.items() if folded not in doomed}
        return None if self._is_as_loaded(values) else values

    def _touched(self) -> dict[str, tuple[str, Any]]:
        if self._entries is None:
            self._loaded = dict(self._load())
            if not IMMUTABLE.issuperset(map(type, self._loaded.values())):
                self._loaded_data = serializer.dumps(self._loaded, name="temp_data")
            self._entries = {key.casefold(): (key, value) for key, value in self._loaded.items()}
        return self._entries

    def _is_as_loaded(self, values: dict[str, Any]) -> bool:
        if IMMUTABLE.issuperset(map(type, values.values())):
            # Whatever has changed in place is gone, or gave way to a value of another type.
            return values.keys() == self._loaded.keys() and serializer.same(values, self._loaded)
        data = serializer.dumps(values, name="temp_data")  # Also finds what was put into a list and cannot be kept.
        if self._loaded_data is None:
            return False
        return data == self._loaded_data or serializer.same(serializer.loads(self._loaded_data), values)

    def _value(self, key: str) -> Any:
        entry = self._touched().get(key.casefold()) if isinstance(key, str) else None
        if entry is None:
            raise KeyError(key)
        value = entry[1]
        if type(value) not in IMMUTABLE:
            self._may_have_changed = True
        return value


class _HasTempData(Protocol):
    @property
    def temp_data(self) -> TempData: ...


def TempDataField(key: str | None = None) -> Any:  # noqa: N802 - reads as the type of the attribute
    """Keep a handler attribute in TempData.

    Written on the class as ``notice: str | None = TempDataField()``. Reading ``self.notice`` reads
    ``self.temp_data["notice"]`` (``None`` when it is missing) and marks it for removal; assigning and deleting do the
    same there. ``key``: the key in TempData, if it is not the attribute's name. Raises ``ConfigurationError`` when the
    class is made without ``SessionMixin``; Python 3.11 wraps it in ``RuntimeError``.
    """
    return _Field(key)


class _Field:
    def __init__(self, key: str | None) -> None:
        self._key = key

    def __set_name__(self, owner: type, name: str) -> None:
        if not hasattr(owner, "temp_data"):
            raise ConfigurationError(
                f"{owner.__name__}.{name} is a TempDataField, but {owner.__name__} has no temp_data: "
                f"write class {owner.__name__}(SessionMixin, ...)"
            )
        self._key = self._key or name

    def __get__(self, handler: _HasTempData | None, owner: type) -> Any:
        return self if handler is None else handler.temp_data.get(self._name)

    def __set__(self, handler: _HasTempData, value: Any) -> None:
        handler.temp_data[self._name] = value

    def __delete__(self, handler: _HasTempData) -> None:
        handler.temp_data.pop(self._name, None)

    @property
    def _name(self) -> str:
        assert self._key is not None
        return self._key
