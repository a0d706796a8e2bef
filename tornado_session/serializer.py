"""Values to bytes and back: MessagePack, with extension types for what it would otherwise blur."""

from collections.abc import Callable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any, Final
from uuid import UUID

import msgspec

from tornado_session.errors import SerializationError

MAX_DEPTH: Final = 100
"""How deep lists, dicts and their like may be nested."""

IMMUTABLE: Final = frozenset({type(None), bool, int, float, str, bytes, datetime, date, UUID, Decimal, frozenset})
"""Types whose values cannot change in place, so that handing one out needs no comparison later."""

# None, bool, float, str, bytes, list, dict with string keys, and ints of 64 bits are MessagePack's own. Everything else
# is an extension type, so that nothing is ever guessed from how a text looks:
#
#   code  type       data
#    1    int        beyond 64 bits: two's complement, big-endian, as short as it fits
#    2    tuple      the items as one MessagePack array
#    3    set        the items as one MessagePack array of their encodings, sorted: equal sets give equal bytes
#    4    frozenset  as 3
#    5    datetime   ISO 8601 with microseconds and UTC offset, ASCII
#    6    date       ISO 8601, ASCII
#    7    UUID       16 bytes
#    8    Decimal    its text, ASCII
_INT, _TUPLE, _SET, _FROZENSET, _DATETIME, _DATE, _UUID, _DECIMAL = range(1, 9)

_Ext = msgspec.msgpack.Ext
_encode = msgspec.msgpack.Encoder().encode


def dumps(value: Any, *, name: str = "value") -> bytes:
    """Serialize ``value``; equal values of equal types give equal bytes, except for the order of a dict's keys.

    Takes ``None``, ``bool``, ``int``, ``float``, ``str``, ``bytes``, aware ``datetime``, ``date``, ``UUID``,
    ``Decimal``, ``list``, ``tuple``, ``set``, ``frozenset`` and ``dict`` with string keys, nested up to 100 deep; no
    subclasses, for they would not come back as such. Raises ``SerializationError`` naming type and place, which starts
    with ``name``.
    """
    try:
        return _encode(_to_wire(value, MAX_DEPTH, _PLAIN))
    except OverflowError:
        return _dumps_large_ints(value, name)
    except (_RefusedError, UnicodeEncodeError):
        raise _explained(value, name) from None


def _dumps_large_ints(value: Any, name: str) -> bytes:
    try:
        return _encode(_to_wire(value, MAX_DEPTH, _PLAIN_BUT_INT))
    except (_RefusedError, UnicodeEncodeError, OverflowError):
        raise _explained(value, name) from None


def loads(data: bytes) -> Any:
    """Give back the value that ``dumps`` took, equal and of the same type. Raises ``ValueError`` for other bytes."""
    try:
        return _decode(data)
    except NOT_DECODED as error:
        raise _not_serialized(error) from None


def dumps_changed(values: dict[str, Any], stored: bytes, keys: AbstractSet[str]) -> bytes | None:
    """Serialize a session's ``values``, of which all but those under ``keys`` are as ``stored`` has them.

    Only what may have changed is serialized anew; the rest is taken over as it is, whatever it takes. ``None``: all
    are equal to what is stored. Raises ``SerializationError``.
    """
    kept = _decode_raw(stored)
    for plain in (_PLAIN, _PLAIN_BUT_INT):
        try:
            return _dumps_if_changed(values, kept, keys, plain)
        except OverflowError:
            continue
        except (_RefusedError, UnicodeEncodeError):
            break
    raise _explained(values, "session") from None


def _dumps_if_changed(
    values: dict[str, Any], kept: dict[str, msgspec.Raw], keys: AbstractSet[str], plain: frozenset[type]
) -> bytes | None:
    wire: dict[str, Any] = dict(kept) if list(kept) == list(values) else {key: kept.get(key, _LOST) for key in values}
    is_changed = len(kept) != len(values)
    for key in keys & values.keys():
        value = values[key]
        if type(value) in plain:
            wire[key] = value
            is_changed = is_changed or key not in kept or _encode(value) != bytes(kept[key])
        else:
            wire[key] = _to_wire(value, MAX_DEPTH - 1, plain)
            # Other bytes may still be equal values: a dict in another order, Decimals of other precision.
            is_changed = is_changed or key not in kept or not same(_decode(kept[key]), value)
    return _encode(wire) if is_changed else None


def check(value: Any, *, name: str) -> None:
    """Raise what ``dumps`` would raise for ``value``."""
    kind = type(value)
    if kind in ALWAYS_TAKEN or (kind is str and value.isascii()):
        return
    dumps(value, name=name)


def same(one: Any, other: Any) -> bool:
    """Tell whether two values are equal and of the same types, all the way down."""
    kind = type(one)
    if kind is not type(other) or kind in _EXACT:
        return kind is type(other) and bool(one == other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(value, other[key]) for key, value in one.items())
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, set | frozenset):
        return dumps(one) == dumps(other)
    try:
        return bool(one == other) or dumps(one) == dumps(other)
    except InvalidOperation:  # A signaling NaN compares with nothing, itself included.
        return dumps(one) == dumps(other)


def largest(values: Mapping[str, Any], most: int = 3) -> dict[str, int]:
    """Find the keys whose values take the most bytes, for the errors about size."""
    sizes = {key: len(key) + len(dumps(value)) for key, value in values.items()}
    return dict(sorted(sizes.items(), key=lambda item: -item[1])[:most])


def listed(sizes: Mapping[str, int]) -> str:
    """Write the outcome of ``largest`` as words."""
    return ", ".join(f"{key!r} ({size} bytes)" for key, size in sizes.items())


class _RefusedError(Exception):
    """Some value inside is refused; ``_explained`` finds out which."""


def _to_wire(value: Any, depth: int, plain: frozenset[type]) -> Any:
    """Put extension types in the place of what MessagePack would blur.

    ``plain``: the types that need no look. That includes ``int`` until one turns out not to fit 64 bits: sessions are
    serialized at every request, and hardly any holds such a number.
    """
    kind = type(value)
    if kind in plain:
        return value
    if kind is int:
        return value if -(2**63) <= value < 2**64 else _Ext(_INT, _int_bytes(value))
    if depth == 0:
        raise _RefusedError
    if kind is dict:
        if not _TEXT.issuperset(map(type, value)):
            raise _RefusedError
        if plain.issuperset(map(type, value.values())):
            return value
        return {key: _to_wire(item, depth - 1, plain) for key, item in value.items()}
    if kind is list:
        return _items_to_wire(value, depth, plain)
    convert = _TO_EXT.get(kind)
    if convert is None:
        raise _RefusedError
    return convert(value, depth, plain)


def _items_to_wire(items: list[Any] | tuple[Any, ...], depth: int, plain: frozenset[type]) -> Any:
    if plain.issuperset(map(type, items)):
        return items
    return [_to_wire(item, depth - 1, plain) for item in items]


def _tuple_to_ext(value: tuple[Any, ...], depth: int, plain: frozenset[type]) -> msgspec.msgpack.Ext:
    return _Ext(_TUPLE, _encode(_items_to_wire(value, depth, plain)))


def _set_to_ext(value: set[Any] | frozenset[Any], depth: int, plain: frozenset[type]) -> msgspec.msgpack.Ext:
    items = sorted(_encode(_to_wire(item, depth - 1, plain)) for item in value)
    return _Ext(_SET if type(value) is set else _FROZENSET, _encode(items))


def _datetime_to_ext(value: datetime, _depth: int, _plain: frozenset[type]) -> msgspec.msgpack.Ext:
    offset = value.utcoffset()
    if offset is None:
        raise _RefusedError
    if offset and abs(offset) < timedelta(seconds=1):
        # fromisoformat() reads such an offset as UTC, and the instant would shift; no zone of this world has one.
        value = value.astimezone(UTC)
    return _Ext(_DATETIME, value.isoformat().encode())


_SAFE: Final = frozenset({type(None), bool, float, bytes})
_EXACT: Final = frozenset({type(None), bool, int, str, bytes})
ALWAYS_TAKEN: Final = _SAFE | {int}
"""Types of which ``check`` takes every value."""
_TEXT: Final = frozenset({str})
_PLAIN: Final = _SAFE | {str, int}
_PLAIN_BUT_INT: Final = _PLAIN - {int}
_TO_EXT: Final[dict[type, Callable[[Any, int, frozenset[type]], msgspec.msgpack.Ext]]] = {
    tuple: _tuple_to_ext,
    set: _set_to_ext,
    frozenset: _set_to_ext,
    datetime: _datetime_to_ext,
    date: lambda value, _depth, _plain: _Ext(_DATE, value.isoformat().encode()),
    UUID: lambda value, _depth, _plain: _Ext(_UUID, value.bytes),
    Decimal: lambda value, _depth, _plain: _Ext(_DECIMAL, str(value).encode()),
}
_KNOWN: Final = _SAFE | _TO_EXT.keys() | {int, str, list, dict}

_decode: Callable[[bytes | msgspec.Raw], Any]
_FROM_EXT: Final[dict[int, Callable[[bytes], Any]]] = {
    _INT: lambda data: int.from_bytes(data, signed=True),
    _TUPLE: lambda data: tuple(_decode(data)),
    _SET: lambda data: {_decode(item) for item in _decode(data)},
    _FROZENSET: lambda data: frozenset(_decode(item) for item in _decode(data)),
    _DATETIME: lambda data: datetime.fromisoformat(data.decode()),
    _DATE: lambda data: date.fromisoformat(data.decode()),
    _UUID: lambda data: UUID(bytes=data),
    _DECIMAL: lambda data: Decimal(data.decode()),
}


def _from_ext(code: int, data: memoryview) -> Any:
    convert = _FROM_EXT.get(code)
    if convert is None:
        raise ValueError(f"unknown extension type {code}")
    return convert(bytes(data))


_decode = msgspec.msgpack.Decoder(ext_hook=_from_ext).decode
decode_dict: Final = msgspec.msgpack.Decoder(dict[str, Any], ext_hook=_from_ext).decode
"""Gives back the dict that ``dumps`` took; raises one of ``NOT_DECODED`` for other bytes."""
_LOST: Final = object()
"""A value that is neither kept nor serialized anew, which cannot be: the encoder would refuse it."""
_decode_raw: Final = msgspec.msgpack.Decoder(dict[str, msgspec.Raw]).decode


NOT_DECODED: Final = (msgspec.MsgspecError, ValueError, ArithmeticError, TypeError, RecursionError)


def _not_serialized(error: Exception) -> ValueError:
    # What the bytes say is not repeated: they are somebody's session.
    return ValueError(f"not a serialized value: {type(error).__name__}")


def _int_bytes(value: int) -> bytes:
    return value.to_bytes(value.bit_length() // 8 + 1, signed=True)


def _explained(value: Any, name: str) -> SerializationError:
    """Walk again, slowly, to the value that was refused, and say what is wrong with it."""
    for path, item, depth in _walk(value, name, 0):
        reason = _reason(item, depth)
        if reason:
            return SerializationError(f"{path} {reason}", path=path, type_name=type(item).__qualname__)
    return SerializationError(f"{name} cannot be serialized", path=name, type_name=type(value).__qualname__)


def _walk(value: Any, path: str, depth: int) -> Iterator[tuple[str, Any, int]]:
    yield path, value, depth
    if depth > MAX_DEPTH:
        return
    if type(value) is dict:
        for key, item in value.items():
            yield from _walk(key, f"a key of {path}", depth)
            yield from _walk(item, f"{path}[{key!r}]", depth + 1)
    elif type(value) in (list, tuple):
        for index, item in enumerate(value):
            yield from _walk(item, f"{path}[{index}]", depth + 1)
    elif type(value) in (set, frozenset):
        for item in value:
            yield from _walk(item, f"an item of {path}", depth + 1)


def _reason(value: Any, depth: int) -> str:
    kind = type(value)
    if kind is dict and not all(type(key) is str for key in value):
        wrong = next(type(key).__name__ for key in value if type(key) is not str)
        return f"is a dict with a key of type {wrong}; only text can be a key here"
    if kind is str and not _encodable(value):
        return "is text with lone surrogates, which no encoding can carry"
    if kind is datetime and value.utcoffset() is None:
        return (
            "is a datetime without a time zone, which means another instant on every machine; "
            "use datetime.now(timezone.utc)"
        )
    if kind not in _KNOWN:
        return f"is of type {kind.__qualname__}, which is not kept; {_remedy(kind)}"
    if depth == MAX_DEPTH and kind in (dict, list, tuple, set, frozenset):
        return f"is nested more than {MAX_DEPTH} deep; does it contain itself?"
    return ""


def _remedy(kind: type) -> str:
    for base in kind.__mro__[1:]:
        if base in _KNOWN:
            return f"it would come back as a plain {base.__name__}, so convert it first"
    return "keep plain values, such as a dict of its fields"


def _encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
