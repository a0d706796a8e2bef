"""FakeClock: time that a test turns by hand."""

from datetime import UTC, datetime, timedelta


class FakeClock:
    """A clock for every ``clock=`` of this package: call it for the time, turn it with ``advance``.

    Starts at ``start``, seconds since the epoch (default: noon of 1 January 2030, UTC), and never moves by itself.
    """

    def __init__(self, start: float = datetime(2030, 1, 1, 12, tzinfo=UTC).timestamp()) -> None:
        self._now = float(start)

    def __call__(self) -> float:
        """Seconds since the epoch."""
        return self._now

    def __repr__(self) -> str:
        return f"FakeClock({self.now().isoformat()})"

    def advance(self, duration: timedelta) -> None:
        """Turn the clock on by ``duration``; a negative one turns it back."""
        self._now += duration.total_seconds()

    def now(self) -> datetime:
        """The time as an aware UTC ``datetime``."""
        return datetime.fromtimestamp(self._now, UTC)
