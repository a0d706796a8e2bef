"""Every kept value comes back equal and of the same type; everything else is refused, with its place."""

from collections import OrderedDict, namedtuple
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import IntEnum
from time import perf_counter
from typing import Any
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tornado_session import SerializationError
from tornado_session.serializer import MAX_DEPTH, check, dumps, largest, listed, loads, same

OFFSETS = st.timedeltas(timedelta(hours=-23), timedelta(hours=23)).map(timezone)


def is_signaling(value: Any) -> bool:
    """Such a NaN can neither be hashed nor compared."""
    return type(value) is Decimal and value.is_snan()


SCALARS: st.SearchStrategy[Any] = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(-(2**300), 2**300)
    | st.floats()
    | st.text()
    | st.binary()
    | st.datetimes(datetime(2, 1, 1), datetime(9998, 1, 1), timezones=st.just(UTC) | OFFSETS)  # noqa: DTZ001
    | st.dates()
    | st.uuids()
    | st.decimals()
)
HASHABLE = st.recursive(
    SCALARS.filter(lambda value: not is_signaling(value)),
    lambda items: st.frozensets(items, max_size=4) | st.lists(items, max_size=4).map(tuple),
    max_leaves=8,
)
VALUES = st.recursive(
    SCALARS | HASHABLE,
    lambda items: (
        st.lists(items, max_size=5)
        | st.lists(items, max_size=5).map(tuple)
        | st.dictionaries(st.text(max_size=8), items, max_size=5)
        | st.sets(HASHABLE, max_size=5)
    ),
    max_leaves=25,
)


def kinds(value: Any) -> Any:
    """The types of a value, all the way down."""
    if isinstance(value, dict):
        return dict, {key: kinds(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value), [kinds(item) for item in value]
    if isinstance(value, set | frozenset):
        return type(value), sorted(str(kinds(item)) for item in value)
    return type(value)


@given(VALUES)
def test_every_kept_value_comes_back_equal_and_of_the_same_types(value: Any) -> None:
    back = loads(dumps(value))

    assert kinds(back) == kinds(value)
    assert same(back, value)
    assert dumps(back) == dumps(value)


@given(VALUES)
def test_a_value_is_the_same_as_itself_and_not_as_itself_in_a_list(value: Any) -> None:
    assert same(value, value)
    assert not same(value, [value])


@given(VALUES, VALUES)
def test_what_same_calls_the_same_is_of_the_same_types(one: Any, other: Any) -> None:
    if same(one, other):
        assert kinds(one) == kinds(other)


@given(SCALARS.filter(lambda value: not is_signaling(value) and value == value))
def test_scalars_come_back_equal_by_python_s_own_comparison(value: Any) -> None:
    assert loads(dumps(value)) == value


@pytest.mark.parametrize(
    "text",
    [
        "2030-01-01",
        "2030-01-01T12:00:00Z",
        "2030-01-01T12:00:00+00:00",
        "12345678-1234-5678-1234-567812345678",
        "1",
        "1.5",
        "NaN",
        "null",
        "true",
        "b'bytes'",
        "",
        "\x00",
        "é",
        "e\u0301",
        "\U0001f36a",
    ],
)
def test_text_never_turns_into_anything_else(text: str) -> None:
    assert loads(dumps(text)) == text
    assert type(loads(dumps({text: [text]}))[text][0]) is str


@pytest.mark.parametrize(
    "number",
    [0, -1, 2**31, 2**63 - 1, 2**63, 2**64 - 1, 2**64, -(2**63), -(2**63) - 1, 2**64 + 255, 10**5000, -(10**5000)],
    ids=lambda number: f"{number.bit_length()} bits",
)
def test_integers_of_any_size_come_back(number: int) -> None:
    back = loads(dumps(number))

    assert type(back) is int
    assert back == number


@pytest.mark.parametrize("number", ["1", "1.0", "1.00", "-0", "0E-10", "1E+999999999", "Infinity", "-Infinity", "0.1"])
def test_a_decimal_keeps_its_digits_and_its_exponent(number: str) -> None:
    back = loads(dumps(Decimal(number)))

    assert back.as_tuple() == Decimal(number).as_tuple()


@pytest.mark.parametrize("number", ["NaN", "-NaN", "sNaN", "NaN123"])
def test_a_decimal_that_is_no_number_comes_back_as_such(number: str) -> None:
    value = Decimal(number)

    back = loads(dumps(value))

    assert back.as_tuple() == value.as_tuple()
    assert same(back, value)
    assert not same(back, Decimal(1))


def test_minus_zero_keeps_its_sign_and_nan_is_nan() -> None:
    assert str(loads(dumps(-0.0))) == "-0.0"
    assert str(loads(dumps(float("nan")))) == "nan"
    assert same([float("nan")], [float("nan")])


@pytest.mark.parametrize("empty", [[], (), set(), frozenset(), {}, "", b"", 0, False, None, 0.0, Decimal(0)])
def test_empty_values_stay_what_they_are(empty: Any) -> None:
    back = loads(dumps({"empty": [empty]}))["empty"][0]

    assert type(back) is type(empty)
    assert back == empty


@pytest.mark.parametrize("offset", [timedelta(microseconds=-1), timedelta(microseconds=999999), timedelta(seconds=-1)])
def test_an_offset_of_less_than_a_second_does_not_move_the_instant(offset: timedelta) -> None:
    value = datetime(2030, 1, 1, tzinfo=timezone(offset))

    assert loads(dumps(value)) == value


def test_an_instant_that_cannot_be_kept_is_refused() -> None:
    with pytest.raises(SerializationError, match="cannot be serialized"):
        dumps(datetime(1, 1, 1, tzinfo=timezone(timedelta(microseconds=1))))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (1, True),
        (1, 1.0),
        (0, False),
        ([1], (1,)),
        ({1}, frozenset({1})),
        ({"a": 1}, {"a": True}),
        ([1, 2], [1]),
        ({"a": 1}, {"b": 1}),
        (b"a", "a"),
        ({1}, {True}),
        ({1}, {1.0}),
        (datetime(2030, 1, 1, tzinfo=UTC), date(2030, 1, 1)),
    ],
)
def test_values_of_different_types_are_not_the_same(one: Any, other: Any) -> None:
    assert not same(one, other)
    assert not same([one], [other])


def test_the_order_of_a_dict_s_keys_and_of_a_set_s_items_is_no_difference() -> None:
    assert same({"a": 1, "b": 2}, {"b": 2, "a": 1})
    assert dumps({3, 1, 2}) == dumps({2, 3, 1})


def nested(make: Any, depth: int) -> Any:
    value = make([])
    for _ in range(depth - 1):
        value = make([value])
    return value


@pytest.mark.parametrize("make", [list, tuple, frozenset, lambda items: {"k": items[0]} if items else {}])
def test_values_may_be_nested_a_hundred_deep_and_no_deeper(make: Any) -> None:
    deepest = nested(make, MAX_DEPTH)
    assert loads(dumps(deepest)) == deepest

    with pytest.raises(SerializationError, match="nested more than 100 deep; does it contain itself"):
        dumps(nested(make, MAX_DEPTH + 1))


def test_what_contains_itself_is_refused_and_quickly() -> None:
    value: list[Any] = []
    value += [value, value, value]

    with pytest.raises(SerializationError, match="does it contain itself"):
        check(value, name="session['loop']")


class Colour(IntEnum):
    RED = 1


class Text(str):
    __slots__ = ()


Point = namedtuple("Point", "x y")  # noqa: PYI024


@pytest.mark.parametrize(
    ("value", "path", "type_name", "message"),
    [
        (object(), "v", "object", "which is not kept"),
        (1j, "v", "complex", "which is not kept"),
        (bytearray(b""), "v", "bytearray", "which is not kept"),
        (time(12), "v", "time", "which is not kept"),
        (timedelta(1), "v", "timedelta", "which is not kept"),
        (range(3), "v", "range", "which is not kept"),
        (int, "v", "type", "which is not kept"),
        (Colour.RED, "v", "Colour", "plain int, so convert it first"),
        (Text("t"), "v", "Text", "plain str, so convert it first"),
        (Point(1, 2), "v", "Point", "plain tuple, so convert it first"),
        (OrderedDict(a=1), "v", "OrderedDict", "plain dict, so convert it first"),
        ({"a": [1, {"b": object()}]}, "v['a'][1]['b']", "object", "which is not kept"),
        ((1, [object()]), "v[1][0]", "object", "which is not kept"),
        ({"a": {object}}, "an item of v['a']", "type", "which is not kept"),
        (frozenset({1j}), "an item of v", "complex", "which is not kept"),
        ({1: "a"}, "v", "dict", "a key of type int; only text can be a key"),
        ({"a": {None: "a"}}, "v['a']", "dict", "a key of type NoneType"),
        ({"a": {Text("k"): 1}}, "v['a']", "dict", "a key of type Text"),
        (datetime(2030, 1, 1), "v", "datetime", "without a time zone"),  # noqa: DTZ001
        (["\ud800"], "v[0]", "str", "lone surrogates"),
        ({"\udfff": 1}, "a key of v", "str", "lone surrogates"),
        ({("\ud800",)}, "an item of v[0]", "str", "lone surrogates"),
    ],
)
def test_what_is_not_kept_is_refused_with_its_place_and_type(
    value: Any, path: str, type_name: str, message: str
) -> None:
    with pytest.raises(SerializationError, match=message) as caught:
        dumps(value, name="v")

    assert caught.value.type_name == type_name
    assert caught.value.path == path
    assert isinstance(caught.value, TypeError)


def gives_a_value_or_a_value_error(data: bytes) -> bool:
    try:
        loads(data)
    except ValueError:
        return True
    except Exception:  # noqa: BLE001 - whatever it is, it is wrong
        return False
    return True


@given(st.binary(max_size=200))
def test_any_bytes_give_a_value_or_a_value_error(data: bytes) -> None:
    assert gives_a_value_or_a_value_error(data)


@given(VALUES, st.data())
def test_a_flipped_bit_gives_a_value_or_a_value_error(value: Any, data: st.DataObject) -> None:
    written = bytearray(dumps(value))
    place = data.draw(st.integers(0, len(written) * 8 - 1))
    written[place // 8] ^= 1 << place % 8

    assert gives_a_value_or_a_value_error(bytes(written))


def extension(code: int, data: bytes) -> bytes:
    return b"\xc9" + len(data).to_bytes(4) + bytes((code,)) + data


def wrapped(depth: int) -> bytes:
    data = b"\xc0"
    for _ in range(depth):
        data = extension(2, b"\x91" + data)
    return data


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xc0\xc0",
        b"\xc1",
        b"\x91" * 100_000,
        b"\xdd\xff\xff\xff\xff",
        b"\xdf\xff\xff\xff\xff",
        b"\xc6\xff\xff\xff\xff",
        extension(9, b""),
        extension(2, b"\xc0"),
        extension(3, b"\x91\x01"),
        extension(3, b"\x91\xc4\x01\x90"),
        extension(5, b"yesterday"),
        extension(6, b"2030-02-30"),
        extension(7, b"short"),
        extension(8, b"one"),
        extension(8, b"\xff"),
        wrapped(3000),
        dumps([1, 2, 3])[:-1],
    ],
)
def test_bytes_that_nobody_wrote_are_a_value_error_and_quickly(data: bytes) -> None:
    start = perf_counter()

    with pytest.raises(ValueError, match="not a serialized value"):
        loads(data)

    assert perf_counter() - start < 1


def test_the_largest_keys_are_named_with_their_sizes() -> None:
    sizes = largest({"small": 1, "large": "x" * 1000, "middle": "x" * 100, "b": "x" * 10})

    assert list(sizes) == ["large", "middle", "b"]
    assert listed({"large": 1008}) == "'large' (1008 bytes)"


@pytest.mark.parametrize("value", [None, True, 1.5, b"bytes", "text", 1, uuid4(), [UUID(int=0)]])
def test_check_lets_kept_values_pass(value: Any) -> None:
    check(value, name="v")
    assert same(loads(dumps(value)), value)
