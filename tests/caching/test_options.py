"""CacheEntryOptions refuses at construction what cannot work; keys, values and instants are checked alike."""

import traceback
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tornado_session import CacheEntryOptions
from tornado_session.caching.contract import MAX_KEY_SIZE, check_key, check_value, timestamp

MINUTE = timedelta(minutes=1)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"sliding": timedelta(0)}, ValueError, "sliding must be positive, but is 0:00:00"),
        ({"sliding": -MINUTE}, ValueError, "sliding must be positive"),
        ({"sliding": 60}, TypeError, "sliding must be a timedelta, not int"),
        ({"relative": timedelta(0)}, ValueError, "relative must be positive"),
        ({"relative": "1 minute"}, TypeError, "relative must be a timedelta, not str"),
        ({"refresh_interval": 1.5}, TypeError, "refresh_interval must be a timedelta, not float"),
        ({"refresh_interval": None}, TypeError, "refresh_interval must be a timedelta, not NoneType"),
        ({"refresh_interval": -MINUTE}, ValueError, "refresh_interval must not be negative"),
        ({"absolute": 1893456000.0}, TypeError, "absolute must be a datetime, not float"),
        ({"absolute": datetime(2030, 1, 1)}, ValueError, "absolute must be aware, but 2030-01-01.*has no time zone"),  # noqa: DTZ001
        ({"tag": ""}, ValueError, "tag must not be empty"),
        ({"tag": "t" * (MAX_KEY_SIZE + 1)}, ValueError, "tag must have at most 512 bytes, but has 513"),
        ({"tag": 5}, TypeError, "tag must be a str, not int"),
    ],
)
def test_what_cannot_work_is_refused(options: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        CacheEntryOptions(**options)


def test_without_options_an_entry_never_expires_and_has_no_tag() -> None:
    options = CacheEntryOptions()

    assert (options.sliding, options.absolute, options.relative, options.tag) == (None, None, None, None)
    assert options.refresh_interval == timedelta(0)


def test_options_are_values() -> None:
    options: Any = CacheEntryOptions(sliding=MINUTE)

    assert options == CacheEntryOptions(sliding=MINUTE)
    with pytest.raises(AttributeError):
        options.sliding = None


def test_a_key_is_measured_in_bytes() -> None:
    check_key("\u00e9" * (MAX_KEY_SIZE // 2))

    with pytest.raises(ValueError, match="key must have at most 512 bytes, but has 514"):
        check_key("\u00e9" * (MAX_KEY_SIZE // 2 + 1))


@pytest.mark.parametrize("key", ["secret\ud800", "secret" * 40 + "\udfff"])
def test_a_key_is_text_that_can_be_sent_to_a_server(key: str) -> None:
    with pytest.raises(ValueError, match="key must be text that UTF-8 can encode") as caught:
        check_key(key)

    assert "secret" not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize("key", [None, 1, b"key"])
def test_a_key_is_text(key: Any) -> None:
    with pytest.raises(TypeError, match="key must be a str, not"):
        check_key(key)


@pytest.mark.parametrize("value", [None, "text", bytearray(b""), memoryview(b"")])
def test_a_value_is_bytes(value: Any) -> None:
    with pytest.raises(TypeError, match="a cache keeps bytes, not"):
        check_value(value)


def test_instants_are_aware_and_end_with_the_calendar() -> None:
    assert timestamp(0) == datetime(1970, 1, 1, tzinfo=UTC)
    assert timestamp(1e300) == timestamp(float("inf")) == datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)
