"""What the package promises about its speed, as ratios within one run; machines differ."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from benchmarks.contenders import BY_HAND, BY_HAND_SLIDING, OURS, OURS_REFRESH_INTERVAL

if TYPE_CHECKING:
    from benchmarks.floors import Floor
    from benchmarks.report import Row


# What an application would write that promises the same: an expiry that every reading moves, or one that stays a while.
_SAME_BY_HAND: Final = {OURS: BY_HAND_SLIDING, OURS_REFRESH_INTERVAL: BY_HAND}


@dataclass(frozen=True, slots=True)
class Target:
    """A figure and its limit."""

    name: str
    found: float
    allowed: float

    @property
    def is_met(self) -> bool:
        return self.found <= self.allowed


def judge(rows: "Sequence[Row]", floors: "Sequence[Floor]") -> list[Target]:
    """Compare what was measured with what is promised; what was not measured is left out."""
    table = _Rows(rows)
    found = [*_memory(table), *_mongodb(table), *_redis(table), *_temp_data(table), *_floors(floors)]
    return [target for target in found if target is not None]


class _Rows:
    """Finds rows."""

    def __init__(self, rows: "Sequence[Row]") -> None:
        self._rows = rows

    def one(self, group: str, contender: str, route: str, connections: int = 16) -> "Row | None":
        return next((row for row in self._of(group, route, connections) if row.contender == contender), None)

    def best_peer(self, group: str, route: str, connections: int) -> "Row | None":
        peers = [row for row in self._of(group, route, connections) if row.kind == "peer"]
        return min(peers, key=lambda row: row.over_bare, default=None)

    def _of(self, group: str, route: str, connections: int) -> "list[Row]":
        return [row for row in self._rows if (row.group, row.route, row.connections) == (group, route, connections)]


def _memory(table: _Rows) -> list[Target | None]:
    untouched = table.one("memory", OURS, "none")
    return [
        _ratio("memory, read", table.one("memory", OURS, "read"), table.one("memory", "torndsession", "read"), 0.45),
        _ratio(
            "memory, written", table.one("memory", OURS, "written"), table.one("memory", "torndsession", "written"), 0.6
        ),
        Target("memory, no session: µs over bare", untouched.over_bare, 3.0) if untouched else None,
    ]


def _mongodb(table: _Rows) -> list[Target | None]:
    found: list[Target | None] = []
    for ours in (OURS, OURS_REFRESH_INTERVAL):
        for connections in (16, 64):
            found += _against_best(table, "mongodb", ours, connections, {"read": 0.3, "written": 0.4})
        found += [_latency(table, ours, _SAME_BY_HAND[ours], route) for route in ("read", "written")]
    return found


def _redis(table: _Rows) -> list[Target | None]:
    return [
        target
        for ours in (OURS, OURS_REFRESH_INTERVAL)
        for target in _against_best(table, "redis", ours, 16, {"read": 0.5, "written": 0.5})
    ]


def _against_best(
    table: _Rows, group: str, ours: str, connections: int, allowed: dict[str, float]
) -> list[Target | None]:
    return [
        _ratio(
            f"{group}, {route}, {connections} connections: {ours}",
            table.one(group, ours, route, connections),
            table.best_peer(group, route, connections),
            most,
        )
        for route, most in allowed.items()
    ]


def _latency(table: _Rows, ours: str, by_hand: str, route: str) -> Target | None:
    """With one connection there is nothing to gather, and that must not make it slower than one command per request."""
    row, other = table.one("mongodb", ours, route, 1), table.one("mongodb", by_hand, route, 1)
    if row is None or other is None:
        return None
    return Target(f"mongodb, {route}, latency at 1 connection: {ours} / {by_hand}", row.p50 / other.p50, 1.1)


def _temp_data(table: _Rows) -> list[Target | None]:
    set_, read = table.one("memory", OURS, "temp_set"), table.one("memory", OURS, "temp_read")
    if set_ is None or read is None:
        return []
    return [Target("TempData of 300 B, set and read: µs over bare", set_.over_bare + read.over_bare, 60.0)]


def _floors(floors: "Sequence[Floor]") -> list[Target]:
    figures = {floor.name: floor.microseconds for floor in floors}
    if not figures:
        return []
    ours = sum(value for name, value in figures.items() if " 4096 B: " in name and "in C" not in name)
    in_c = sum(value for name, value in figures.items() if " 4096 B: " in name and "in C" in name)
    imported = next(value for name, value in figures.items() if name.startswith("import"))
    return [
        Target("4 KB sealed and opened / AES-256-GCM and base64 in C", ours / in_c, 2.0),
        Target("import tornado_session, after tornado.web: ms", imported / 1000, 60.0),
    ]


def _ratio(name: str, ours: "Row | None", other: "Row | None", allowed: float) -> Target | None:
    if ours is None or other is None:
        return None
    return Target(f"{name} / {other.contender}", ours.over_bare / other.over_bare, allowed)
