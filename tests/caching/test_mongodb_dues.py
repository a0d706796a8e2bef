"""Dues: which command a reading chooses."""

from datetime import datetime, timedelta

from tornado_session.caching.contract import CacheEntryOptions
from tornado_session.caching.mongodb.dues import Dues
from tornado_session.testing.clock import FakeClock

MINUTE = timedelta(minutes=1)
THROTTLED = CacheEntryOptions(sliding=20 * MINUTE, refresh_interval=MINUTE)
NOW = datetime(2027, 1, 15, 8, 0)  # noqa: DTZ001 - as the driver reads dates


def test_what_is_not_known_may_be_due() -> None:
    assert Dues().may_be_due("key") is True


def test_an_entry_is_due_when_its_interval_has_passed_since_it_was_written() -> None:
    clock = FakeClock()
    dues = Dues(clock)
    dues.note_write("key", THROTTLED)

    clock.advance(0.9 * MINUTE)
    assert dues.may_be_due("key") is False

    clock.advance(0.1 * MINUTE)
    assert dues.may_be_due("key") is True


def test_an_entry_that_slides_with_every_reading_is_always_due() -> None:
    dues = Dues(FakeClock())
    dues.note_write("key", THROTTLED)

    dues.note_write("key", CacheEntryOptions(sliding=MINUTE))
    assert dues.may_be_due("key") is True

    dues.note_write("key", THROTTLED)
    dues.note_read("key", {"ttl": 60_000, "int": 0, "ref": NOW, "now": NOW})
    assert dues.may_be_due("key") is True

    dues.note_slide("key", {"ttl": 60_000, "int": 0, "ref": NOW})
    assert dues.may_be_due("key") is True


def test_an_entry_that_does_not_slide_is_never_due() -> None:
    clock = FakeClock()
    dues = Dues(clock)
    dues.note_write("written", CacheEntryOptions(relative=MINUTE))
    dues.note_read("read", {"ref": NOW, "now": NOW})
    dues.note_slide("slid", {"ref": NOW})

    clock.advance(timedelta(days=365))

    assert [dues.may_be_due(key) for key in ("written", "read", "slid")] == [False] * 3


def test_a_reading_tells_by_the_servers_clock_when_the_next_slide_is_due() -> None:
    clock = FakeClock()
    dues = Dues(clock)
    dues.note_read("key", {"ttl": 1_260_000, "int": 60_000, "ref": NOW - timedelta(seconds=50), "now": NOW})

    clock.advance(timedelta(seconds=9))
    assert dues.may_be_due("key") is False

    clock.advance(timedelta(seconds=1))
    assert dues.may_be_due("key") is True


def test_a_slide_that_was_expected_starts_the_interval_anew_and_another_is_looked_at_first() -> None:
    clock = FakeClock()
    dues = Dues(clock)
    document = {"ttl": 1_260_000, "int": 60_000, "ref": NOW}
    dues.note_write("known", THROTTLED)
    clock.advance(MINUTE)

    dues.note_slide("known", document)
    dues.note_slide("new", document)

    assert [dues.may_be_due(key) for key in ("known", "new")] == [False, False]
    clock.advance(MINUTE)
    assert [dues.may_be_due(key) for key in ("known", "new")] == [True, False]


def test_the_memory_is_bounded_and_the_oldest_is_forgotten_first() -> None:
    dues = Dues(FakeClock())

    for number in range(10_001):
        dues.note_write(f"key{number}", THROTTLED)

    assert dues.may_be_due("key0") is True
    assert dues.may_be_due("key1") is False
    assert dues.may_be_due("key10000") is False
