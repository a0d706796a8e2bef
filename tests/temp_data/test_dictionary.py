"""TempData: what was read is gone, what was kept or written anew stays, and nothing is opened unasked."""

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from tornado_session import ResponseStartedError, SerializationError, TempData


class Left:
    """What the previous request left, and how often it was asked for."""

    def __init__(self, values: dict[str, Any], *, writable: bool = True) -> None:
        self.values = values
        self.writable = writable
        self.loads = 0

    def load(self) -> dict[str, Any]:
        self.loads += 1
        return self.values

    def before_write(self) -> None:
        if not self.writable:
            raise ResponseStartedError("too late")


def temp_data(**values: Any) -> TempData:
    left = Left(values)
    return TempData(left.load, left.before_write)


# -- reading marks ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "read",
    [
        lambda data: data["a"],
        lambda data: data.get("a"),
        lambda data: data.get("A", "default"),
        lambda data: data.setdefault("a", 2),
        lambda data: data.pop("a"),
    ],
)
def test_a_key_that_was_read_is_gone_and_the_others_stay(read: Any) -> None:
    data = temp_data(a=1, b=2)

    assert read(data) == 1
    assert data.remaining(consume=True) == {"b": 2}


@pytest.mark.parametrize("read", [lambda data: list(data.items()), lambda data: list(data.values()), dict])
def test_iterating_over_items_or_values_reads_all_of_them(read: Any) -> None:
    data = temp_data(a=1, b=2)

    read(data)

    assert data.removed_when_saved() == ["a", "b"]
    assert data.remaining(consume=True) == {}


@pytest.mark.parametrize(
    "look",
    [
        lambda data: "a" in data,
        len,
        list,
        lambda data: list(data.keys()),
        lambda data: data.peek("a"),
        lambda data: data.peek("missing"),
        lambda data: data.get("missing"),
        repr,
        bool,
        lambda data: data.keep(),
        lambda data: data.keep("missing"),
        lambda data: data.removed_when_saved(),
    ],
)
def test_looking_without_reading_marks_nothing_and_changes_nothing(look: Any) -> None:
    data = temp_data(a=1, b=2)

    look(data)

    assert data.removed_when_saved() == []
    assert data.remaining(consume=True) is None


def test_iterating_over_items_half_way_marks_only_what_was_seen() -> None:
    data = temp_data(a=1, b=2)

    assert next(iter(data.items())) == ("a", 1)

    assert data.removed_when_saved() == ["a"]


def test_a_key_stays_readable_in_the_request_that_read_it() -> None:
    data = temp_data(a=1)

    assert [data["a"], data["a"], "a" in data, len(data), list(data)] == [1, 1, True, 1, ["a"]]


def test_without_consumption_what_was_read_stays() -> None:
    data = temp_data(a=1)
    assert data["a"] == 1

    assert data.remaining(consume=False) is None


# -- keep, and writing anew -------------------------------------------------------------------------------------------


def test_keep_saves_one_key_or_all_before_or_after_they_are_read() -> None:
    one, all_, before = temp_data(a=1, b=2), temp_data(a=1, b=2), temp_data(a=1, b=2)

    list(one.values())
    one.keep("A")
    list(all_.values())
    all_.keep()
    before.keep("a")
    list(before.values())

    assert one.remaining(consume=True) == {"a": 1}
    assert all_.remaining(consume=True) is None
    assert before.remaining(consume=True) == {"a": 1}


def test_keep_saves_what_is_there_now_and_not_what_comes_later() -> None:
    data = temp_data(a=1)
    data.keep()
    data["b"] = 2

    assert data["b"] == 2
    assert data.remaining(consume=True) is None


def test_a_value_that_was_set_and_read_in_one_request_is_consumed() -> None:
    data = temp_data()
    data["a"] = 1

    assert data["a"] == 1
    assert data.remaining(consume=True) is None


def test_assigning_after_a_read_revives_the_key() -> None:
    data = temp_data(a=1)
    assert data["a"] == 1

    data["A"] = 2

    assert data.removed_when_saved() == []
    assert data.remaining(consume=True) == {"A": 2}


def test_a_key_that_was_deleted_and_set_again_is_no_longer_kept() -> None:
    deleted, cleared = temp_data(a=1), temp_data(a=1)
    for data in (deleted, cleared):
        data.keep("a")
    del deleted["a"]
    cleared.clear()
    for data in (deleted, cleared):
        data["a"] = 2
        assert data["a"] == 2

    assert deleted.remaining(consume=True) == {}
    assert cleared.remaining(consume=True) == {}


def test_deleting_and_clearing_remove_at_once() -> None:
    data = temp_data(a=1, b=2, c=3)

    del data["A"]
    assert list(data) == ["b", "c"]
    assert data.remaining(consume=True) == {"b": 2, "c": 3}

    data.clear()
    assert len(data) == 0
    assert data.remaining(consume=False) == {}


@pytest.mark.parametrize("key", ["missing", "", 1, None, ("a",), b"a"])
def test_a_key_that_is_not_there_is_a_key_error_and_no_other(key: Any) -> None:
    data = temp_data(a=1)

    with pytest.raises(KeyError):
        data[key]
    with pytest.raises(KeyError):
        del data[key]
    with pytest.raises(KeyError):
        data.pop(key)
    assert data.get(key) is None
    assert data.get(key, 7) == data.peek(key, 7) == data.pop(key, 7) == 7
    assert key not in data
    assert data.remaining(consume=True) is None


# -- keys without regard to case --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("written", "read"), [("Notice", "NOTICE"), ("straße", "STRASSE"), ("ÉTÉ", "été"), ("ſ", "S")])
def test_keys_are_compared_without_regard_to_case(written: str, read: str) -> None:
    data = temp_data()
    data[written] = 1

    assert read in data
    assert data.peek(read) == 1
    assert list(data) == [written], "but they are shown as they were written"

    data[read] = 2
    assert dict(data.items()) == {read: 2}
    assert len(data) == 1


# -- what changed -----------------------------------------------------------------------------------------------------


def test_nothing_is_loaded_before_the_first_touch_and_once_after_it() -> None:
    left = Left({"a": 1})
    data = TempData(left.load, left.before_write)

    assert repr(data) == "<TempData, not touched>"
    assert data.remaining(consume=True) is None
    assert data.removed_when_saved() == []
    assert (left.loads, data.is_touched) == (0, False)

    data.peek("a")
    data.peek("b")
    assert repr(data) == "<TempData with 1 keys>"
    assert (left.loads, data.is_touched) == (1, True)


@pytest.mark.parametrize("value", [1, "text", None, [1, {"b": (2,)}], {"k": {1, 2}}, datetime(2030, 1, 1, tzinfo=UTC)])
def test_assigning_an_equal_value_of_the_same_type_is_no_change(value: Any) -> None:
    data = temp_data(a=value, b=1)

    data["a"] = value
    data["b"] = 1

    assert data.remaining(consume=True) is None


@pytest.mark.parametrize(("old", "new"), [(1, True), (1, 1.0), ([1], (1,)), ("1", 1), ({1}, frozenset({1}))])
def test_an_equal_value_of_another_type_is_a_change(old: Any, new: Any) -> None:
    data = temp_data(a=old)

    data["a"] = new

    remaining = data.remaining(consume=True)
    assert remaining is not None
    assert type(remaining["a"]) is type(new)


def test_a_change_in_place_is_noticed_also_through_peek() -> None:
    data = temp_data(a=[1], b={"c": [2]})

    data.peek("a").append(2)
    data.peek("b")["c"].append(3)

    assert data.remaining(consume=True) == {"a": [1, 2], "b": {"c": [2, 3]}}


def test_a_change_that_was_undone_is_none() -> None:
    data = temp_data(a=[1])

    data["b"] = 1
    data.peek("a").append(2)
    del data["b"]
    data.peek("a").pop()

    assert data.remaining(consume=True) is None


@pytest.mark.parametrize("new", ["text", [1, 2], (1,)])
def test_what_changed_in_place_and_then_gave_way_is_a_change(new: Any) -> None:
    data = temp_data(a=[1], b=1)
    data.peek("a").append(2)

    data["a"] = new

    assert data.remaining(consume=True) == {"a": new, "b": 1}


def test_what_changed_in_place_and_was_then_removed_is_a_change() -> None:
    data = temp_data(a=[1], b=1)
    data.peek("a").append(2)

    del data["a"]

    assert data.remaining(consume=True) == {"b": 1}


def test_a_list_in_the_place_of_a_text_is_a_change_until_the_text_is_back() -> None:
    data = temp_data(a="text")

    data["a"] = ["text"]
    assert data.remaining(consume=True) == {"a": ["text"]}

    data["a"] = "text"
    assert data.remaining(consume=True) is None


# -- refused writes ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "write", [lambda data: data.update(b=1), lambda data: data.pop("a"), lambda data: data.clear()]
)
def test_a_write_that_comes_too_late_is_refused_and_changes_nothing(write: Any) -> None:
    left = Left({"a": 1}, writable=False)
    data = TempData(left.load, left.before_write)

    with pytest.raises(ResponseStartedError):
        write(data)

    assert data.peek("a") == 1
    assert "b" not in data


def test_clearing_what_is_empty_is_no_write() -> None:
    left = Left({}, writable=False)
    data = TempData(left.load, left.before_write)

    data.clear()

    assert data.remaining(consume=True) is None


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        (1, "v", "the keys of temp_data are text, but 1 is of type int"),
        (None, "v", "the keys of temp_data are text"),
        ("\ud800", "v", "a key of temp_data is text with lone surrogates"),
        ("cart", {"items": [1, object()]}, r"temp_data\['cart'\]\['items'\]\[1\] is of type object, which is not kept"),
        ("cart", datetime(2030, 1, 1), r"temp_data\['cart'\] is a datetime without a time zone"),  # noqa: DTZ001
    ],
)
def test_what_is_not_kept_is_refused_at_assignment_with_its_place(key: Any, value: Any, message: str) -> None:
    data = temp_data()

    with pytest.raises(SerializationError, match=message):
        data[key] = value

    assert len(data) == 0


def test_what_was_spoilt_in_place_is_refused_when_it_is_saved() -> None:
    data = temp_data()
    data["a"] = []
    data.peek("a").append(object())

    with pytest.raises(SerializationError, match=r"temp_data\['a'\]\[0\] is of type object"):
        data.remaining(consume=True)


# -- all together -----------------------------------------------------------------------------------------------------

KEYS = st.sampled_from(["a", "A", "b", "ß", "ss", "SS"])


class TempDataMachine(RuleBasedStateMachine):
    """Whatever the order of the calls: what remains is what a plain model of the rules says."""

    def __init__(self) -> None:
        super().__init__()
        self.original = {"a": 1, "ß": [2]}
        self.data = temp_data(a=1, ß=[2])
        self.model: dict[str, tuple[str, Any]] = {"a": ("a", 1), "ss": ("ß", [2])}
        self.read: set[str] = set()
        self.kept: set[str] = set()

    @rule(key=KEYS, value=st.integers(0, 2))
    def write(self, key: str, value: int) -> None:
        self.data[key] = value
        self.model[key.casefold()] = (key, value)
        self.read.discard(key.casefold())

    @rule(key=KEYS)
    def get(self, key: str) -> None:
        expected = self.model.get(key.casefold(), ("", None))[1]
        assert self.data.get(key) == expected
        if key.casefold() in self.model:
            self.read.add(key.casefold())

    @rule(key=KEYS)
    def peek(self, key: str) -> None:
        assert self.data.peek(key) == self.model.get(key.casefold(), ("", None))[1]

    @rule(key=KEYS | st.none())
    def keep(self, key: str | None) -> None:
        self.data.keep(key)
        self.kept |= set(self.model) if key is None else {key.casefold()} & set(self.model)

    @rule(key=KEYS)
    def delete(self, key: str) -> None:
        self.data.pop(key, None)
        self.model.pop(key.casefold(), None)
        self.kept.discard(key.casefold())
        self.read.discard(key.casefold())

    @rule()
    def clear(self) -> None:
        self.data.clear()
        self.model, self.kept, self.read = {}, set(), set()

    @invariant()
    def what_remains_is_what_the_rules_say(self) -> None:
        for consume in (True, False):
            gone = self.read - self.kept if consume else set()
            expected = {key: value for folded, (key, value) in self.model.items() if folded not in gone}
            remaining = self.data.remaining(consume=consume)
            assert (self.original if remaining is None else remaining) == expected


TestEveryOrderOfCalls = TempDataMachine.TestCase
