"""The outcome of a run: as rows, as text, and as JSON."""

import json
import os
import platform
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from statistics import median
from typing import Final, Self

from benchmarks.contenders import Contender
from benchmarks.floors import Floor
from benchmarks.measure import Extent, Sample
from benchmarks.targets import Target

_PACKAGES: Final = (
    "tornado",
    "cryptography",
    "msgspec",
    "pymongo",
    "motor",
    "redis",
    "SQLAlchemy",
    "torndsession",
    "starsessions",
    "uvicorn",
    "aiohttp",
    "aiohttp-session",
    "aiohttp-session-mongo",
    "Flask",
    "Flask-Session",
    "Django",
    "waitress",
)


@dataclass(frozen=True, slots=True)
class Row:
    """One route of one contender: medians over the rounds. Microseconds per request, unless the name says otherwise."""

    contender: str
    group: str
    kind: str
    route: str
    connections: int
    over_bare: float
    over_bare_range: tuple[float, float]
    bare: float
    requests_per_second: float
    p50: float
    p99: float
    p50_over_bare: float
    trips: float | None
    """Commands that the store answered, per request."""
    store_cpu: float | None
    """CPU of the store's own process, per request."""

    @classmethod
    def of(cls, contender: Contender, route: str, connections: int, samples: Sequence[Sample]) -> Self:
        """Sum up what the rounds found."""

        def middle(of: Callable[[Sample], float | None]) -> float | None:
            values = [value for value in map(of, samples) if value is not None]
            return round(median(values), 3) if values else None

        over = [sample.over_bare for sample in samples]
        return cls(
            contender=contender.name,
            group=contender.group,
            kind=contender.kind,
            route=route,
            connections=connections,
            over_bare=round(median(over), 1),
            over_bare_range=(round(min(over), 1), round(max(over), 1)),
            bare=middle(lambda sample: sample.bare) or 0,
            requests_per_second=middle(lambda sample: sample.requests_per_second) or 0,
            p50=middle(lambda sample: sample.p50) or 0,
            p99=middle(lambda sample: sample.p99) or 0,
            p50_over_bare=middle(lambda sample: sample.p50 - sample.bare_p50) or 0,
            trips=middle(lambda sample: sample.trips),
            store_cpu=middle(lambda sample: sample.store_cpu),
        )


@dataclass(slots=True)
class Report:
    """Everything that a run found out."""

    machine: dict[str, str]
    extent: Extent
    seconds: int
    rows: list[Row]
    floors: list[Floor]
    left_out: dict[str, str]
    targets: list[Target] = field(default_factory=list)


def machine() -> dict[str, str]:
    """Describe what was measured on, and with which versions."""
    found = {
        "date": datetime.now(UTC).date().isoformat(),
        "processor": _processor(),
        "cores": str(os.cpu_count()),
        "system": f"{platform.system()} {platform.release()}",
        "load before": load(),
        "python": platform.python_version(),
    }
    return found | {name: version for name in _PACKAGES if (version := _version(name))}


def load() -> str:
    """How many processes wanted to run, on average of the last minute."""
    return f"{os.getloadavg()[0]:.1f}"


def as_json(report: Report) -> str:
    """Write everything, for other programs."""
    return json.dumps(asdict(report), indent=1)


def as_text(report: Report) -> str:
    """Write the tables, for people; they are Markdown."""
    parts = [
        "  ".join(f"{name} {value}" for name, value in report.machine.items()),
        _table(_ROW_TITLES, [_cells(row) for row in report.rows]),
        _table(("floor", "µs", "range"), [_floor_cells(floor) for floor in report.floors]),
        _table(("target", "found", "allowed", "met"), [_target_cells(target) for target in report.targets]),
        "\n".join(f"left out: {title}: {reason}" for title, reason in report.left_out.items()),
    ]
    return "\n\n".join(part for part in parts if part)


def explained(error: Exception) -> str:
    """Say in a few lines why a contender was left out."""
    notes = [note.strip()[-600:] for note in getattr(error, "__notes__", []) if note.strip()]
    return "\n".join([f"{type(error).__name__}: {error}", *notes])


_ROW_TITLES: Final = (
    "store",
    "contender",
    "route",
    "conn.",
    "µs CPU over bare",
    "range",
    "bare",
    "requests/s",
    "p50 ms",
    "p99 ms",
    "trips",
    "µs CPU of store",
)


def _cells(row: Row) -> list[str]:
    low, high = row.over_bare_range
    return [
        row.group,
        row.contender,
        row.route,
        str(row.connections),
        f"{row.over_bare:.1f}",
        f"{low:.1f} to {high:.1f}",
        f"{row.bare:.0f}",
        f"{row.requests_per_second:.0f}",
        f"{row.p50 / 1000:.2f}",
        f"{row.p99 / 1000:.2f}",
        "" if row.trips is None else f"{row.trips:.2f}",
        "" if row.store_cpu is None else f"{row.store_cpu:.0f}",
    ]


def _floor_cells(floor: Floor) -> list[str]:
    return [floor.name, f"{floor.microseconds:.2f}", f"{floor.lowest:.2f} to {floor.highest:.2f}"]


def _target_cells(target: Target) -> list[str]:
    return [target.name, f"{target.found:.2f}", f"{target.allowed:.2f}", "yes" if target.is_met else "no"]


def _table(titles: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    if not lines:
        return ""
    widths = [max(map(len, column)) for column in zip(titles, *lines, strict=True)]

    def line(cells: Sequence[str]) -> str:
        return "| " + " | ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)) + " |"

    return "\n".join([line(titles), line(["-" * width for width in widths]), *map(line, lines)])


def _processor() -> str:
    information = Path("/proc/cpuinfo")
    if information.exists():
        for line in information.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
