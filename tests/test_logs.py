"""Repeated warnings of one kind are limited; the first of each kind in a minute always comes through."""

import logging
from collections.abc import Callable
from datetime import timedelta

from tornado_session.logs import LimitedLog
from tornado_session.testing import FakeClock

logger = logging.getLogger("tornado_session.tests")
SECOND = timedelta(seconds=1)


def test_of_many_warnings_in_a_minute_the_first_comes_through(log_of: Callable[..., list[str]]) -> None:
    clock = FakeClock()
    log = LimitedLog(clock)

    for number in range(100):
        log.warning(logger, "kind", f"warning {number}")

    assert log_of(logging.WARNING) == ["warning 0"]


def test_the_next_minute_s_first_tells_how_many_were_held_back(log_of: Callable[..., list[str]]) -> None:
    clock = FakeClock()
    log = LimitedLog(clock)

    for seconds, number in ((0, 0), (59, 1), (0, 2), (1, 3), (60, 4)):
        clock.advance(seconds * SECOND)
        log.warning(logger, "kind", f"warning {number}")

    assert log_of(logging.WARNING) == ["warning 0", "warning 3 (2 more since the last such line)", "warning 4"]


def test_kinds_and_applications_do_not_silence_each_other(log_of: Callable[..., list[str]]) -> None:
    clock = FakeClock()
    one, other = LimitedLog(clock), LimitedLog(clock)

    one.warning(logger, "kind", "one")
    one.warning(logger, "another kind", "another")
    other.warning(logger, "kind", "other")

    assert log_of(logging.WARNING) == ["one", "another", "other"]


def test_a_clock_that_is_set_back_silences_nothing(log_of: Callable[..., list[str]]) -> None:
    clock = FakeClock()
    log = LimitedLog(clock)
    log.warning(logger, "kind", "before")

    clock.advance(timedelta(days=-1))
    log.warning(logger, "kind", "after")

    assert log_of(logging.WARNING) == ["before", "after"]


def test_what_is_said_once_is_never_said_again(log_of: Callable[..., list[str]]) -> None:
    clock = FakeClock()
    log = LimitedLog(clock)

    for _ in range(3):
        log.warning_once(logger, "kind", "once")
        clock.advance(timedelta(days=1))

    assert log_of(logging.WARNING) == ["once"]


def test_a_message_with_percent_signs_is_logged_as_it_is(log_of: Callable[..., list[str]]) -> None:
    log = LimitedLog(FakeClock())

    log.warning(logger, "kind", "100 % of %s and %(name)s")
    log.warning_once(logger, "other", "%d")

    assert log_of(logging.WARNING) == ["100 % of %s and %(name)s", "%d"]
