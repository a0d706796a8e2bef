"""Report: what was measured, what was promised, and whether it held."""

import json
from dataclasses import asdict, dataclass, field


@dataclass(frozen=True)
class Line:
    """One figure. ``held``: whether a promise about it held; ``None``: nothing was promised."""

    what: str
    figure: str
    held: bool | None


@dataclass
class Report:
    """The figures of one run."""

    title: str
    lines: list[Line] = field(default_factory=list)

    def figure(self, what: str, figure: object) -> None:
        """Note what was measured."""
        self.lines.append(Line(what, str(figure), None))

    def promise(self, what: str, held: bool, figure: object = "") -> None:
        """Note whether a promise held, and the figure that tells."""
        self.lines.append(Line(what, str(figure), held))

    def extend(self, other: "Report") -> None:
        self.lines += [Line(f"{other.title}: {line.what}", line.figure, line.held) for line in other.lines]

    def as_json(self) -> str:
        """One line, for the process that asked for this run."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> "Report":
        """What ``as_json`` wrote."""
        read = json.loads(text)
        return cls(read["title"], [Line(**line) for line in read["lines"]])

    @property
    def passed(self) -> int:
        return sum(line.held is True for line in self.lines)

    @property
    def failures(self) -> list[Line]:
        return [line for line in self.lines if line.held is False]

    def __str__(self) -> str:
        width = max([len(line.what) for line in self.lines], default=0)
        marks = {True: "held", False: "BROKEN", None: ""}
        rows = [f"  {line.what:<{width}}  {marks[line.held]:<6}  {line.figure}".rstrip() for line in self.lines]
        return "\n".join([self.title, *rows])


def slope(points: list[tuple[float, float]]) -> float:
    """The slope of the line through ``points`` with the least squares."""
    if len(points) < 2:
        return 0.0
    mean_x = sum(x for x, _ in points) / len(points)
    mean_y = sum(y for _, y in points) / len(points)
    spread = sum((x - mean_x) ** 2 for x, _ in points)
    return sum((x - mean_x) * (y - mean_y) for x, y in points) / spread if spread else 0.0
