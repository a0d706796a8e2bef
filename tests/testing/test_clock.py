"""FakeClock never moves by itself."""

from datetime import UTC, datetime, timedelta

import pytest

from tornado_session.testing import FakeClock


def test_it_starts_at_noon_of_new_year_2030_and_stands_still() -> None:
    clock = FakeClock()

    assert clock.now() == datetime(2030, 1, 1, 12, tzinfo=UTC)
    assert [clock(), clock()] == [clock.now().timestamp()] * 2


@pytest.mark.parametrize("duration", [timedelta(0), timedelta(milliseconds=1), timedelta(days=400), timedelta(days=-1)])
def test_it_moves_by_what_it_is_told(duration: timedelta) -> None:
    clock = FakeClock()
    before = clock()

    clock.advance(duration)

    assert clock() - before == pytest.approx(duration.total_seconds(), abs=1e-6)
    assert clock.now() == datetime(2030, 1, 1, 12, tzinfo=UTC) + duration


def test_it_may_start_anywhere_and_shows_the_time() -> None:
    assert FakeClock(0)() == 0.0
    assert repr(FakeClock(0)) == "FakeClock(1970-01-01T00:00:00+00:00)"
