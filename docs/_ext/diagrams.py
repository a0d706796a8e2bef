"""``mermaid`` fences become inline SVG when the site is built: no browser, no script, no network.

Draws what our pages use of Mermaid's language: ``sequenceDiagram`` with participants, messages and notes, and
``flowchart`` (``TB`` or ``LR``) with boxes and arrows. Anything else is an error of the build. Where a page's source is
shown by itself, on a forge for instance, Mermaid proper draws it.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from html import escape
from itertools import pairwise
from typing import ClassVar

from docutils import nodes
from docutils.parsers.rst import Directive
from sphinx.application import Sphinx

_CHARACTER = 7.1  # pixels that a character of 13 px takes on average, generously
_LINE = 17


class DiagramError(ValueError):
    """The source is not of the part of Mermaid's language that is drawn here."""


@dataclass
class Drawing:
    """SVG elements and the room that they take."""

    width: float = 0
    height: float = 0
    parts: list[str] = field(default_factory=list)

    def box(self, x: float, y: float, width: float, height: float, kind: str = "box") -> None:
        """Draw a rectangle."""
        self.parts.append(
            f'<rect class="{kind}" x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" rx="5"/>'
        )
        self.width, self.height = max(self.width, x + width + 4), max(self.height, y + height + 4)

    def text(self, x: float, y: float, lines: Iterable[str], *, anchor: str = "middle", kind: str = "") -> None:
        """Write lines around ``x``, the first with its base at ``y``."""
        for number, line in enumerate(lines):
            place = f'x="{x:.1f}" y="{y + number * _LINE:.1f}"'
            self.parts.append(f'<text class="{kind}" {place} text-anchor="{anchor}">{escape(line)}</text>')

    def under(self, x: float, y: float, width: float, height: float) -> None:
        """Clear the ground under a text that stands on a line."""
        self.parts.append(f'<rect class="under" x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}"/>')

    def arrow(self, start: tuple[float, float], end: tuple[float, float], *, dashed: bool = False) -> None:
        """Draw a line with a head at its end."""
        (x1, y1), (x2, y2) = start, end
        length = ((x2 - x1) ** 2 + (y2 - y1) ** 2) ** 0.5 or 1
        ux, uy = (x2 - x1) / length, (y2 - y1) / length
        bx, by = x2 - 8 * ux, y2 - 8 * uy
        kind = "line dashed" if dashed else "line"
        self.parts.append(f'<path class="{kind}" d="M{x1:.1f} {y1:.1f}L{bx:.1f} {by:.1f}"/>')
        corners = f"{x2:.1f},{y2:.1f} {bx - 4 * uy:.1f},{by + 4 * ux:.1f} {bx + 4 * uy:.1f},{by - 4 * ux:.1f}"
        self.parts.append(f'<polygon class="arrow" points="{corners}"/>')

    def svg(self, title: str) -> str:
        """Give the whole, with ``title`` for those who cannot see it."""
        size = f'width="{self.width:.0f}" height="{self.height:.0f}" viewBox="0 0 {self.width:.0f} {self.height:.0f}"'
        return (
            f'<div class="diagram"><svg xmlns="http://www.w3.org/2000/svg" role="img" aria-label="{escape(title)}" '
            f"{size}><title>{escape(title)}</title>{''.join(self.parts)}</svg></div>"
        )


def draw(source: str) -> str:
    """Turn a Mermaid source into HTML; raises ``DiagramError``."""
    lines = [line.strip() for line in source.splitlines() if line.strip()]
    kind, body = lines[0], lines[1:]
    title = next((line.partition(":")[2].strip() for line in body if line.startswith("accTitle:")), "")
    if not title:
        raise DiagramError("say with `accTitle: ...` what the diagram shows")
    body = [line for line in body if not line.startswith("accTitle:")]
    if kind == "sequenceDiagram":
        return Sequence(body).drawing.svg(title)
    if kind.startswith("flowchart "):
        return Flow(body, is_down=kind.endswith("TB")).drawing.svg(title)
    raise DiagramError(f"{kind!r} is not drawn here")


def _wide(lines: Iterable[str]) -> float:
    return max((len(line) for line in lines), default=0) * _CHARACTER


class Sequence:
    """A sequence diagram: columns of participants, rows of messages and notes."""

    _PARTICIPANT = re.compile(r"participant (\w+) as (.+)")
    _MESSAGE = re.compile(r"(\w+)(--?)>>(\w+): (.+)")
    _NOTE = re.compile(r"Note over (\w+)(?:,(\w+))?: (.+)")

    def __init__(self, body: list[str]) -> None:
        self.drawing = Drawing()
        self._names: dict[str, list[str]] = {}
        rows = []
        for line in body:
            if match := self._PARTICIPANT.fullmatch(line):
                self._names[match[1]] = match[2].split("<br/>")
            else:
                rows.append(line)
        self._centres = self._columns(rows)
        self._draw(rows)

    def _columns(self, rows: list[str]) -> dict[str, float]:
        names = list(self._names)
        widths = [max(90.0, _wide(self._names[name]) + 24) for name in names]
        gaps = [(one + other) / 2 + 24 for one, other in pairwise(widths)]
        for row in rows:
            match = self._MESSAGE.fullmatch(row)
            if match and match[1] != match[3]:
                left, right = sorted((names.index(match[1]), names.index(match[3])))
                missing = _wide(match[4].split("<br/>")) + 36 - sum(gaps[left:right])
                if missing > 0:
                    gaps[right - 1] += missing
        centres, x = {}, widths[0] / 2 + 4
        for number, name in enumerate(names):
            centres[name] = x
            x += gaps[number] if number < len(gaps) else 0
        return centres

    def _draw(self, rows: list[str]) -> None:
        head = 18 + _LINE * max(len(lines) for lines in self._names.values())
        y: float = head + 16
        drawn = Drawing(height=y)
        for row in rows:
            y = self._row(drawn, row, y)
        for name, centre in self._centres.items():
            lines = self._names[name]
            width = max(90.0, _wide(lines) + 24)
            life = f'<line class="life" x1="{centre:.1f}" y1="{head}" x2="{centre:.1f}" y2="{y:.1f}"/>'
            self.drawing.parts.append(life)
            self.drawing.box(centre - width / 2, 4, width, head - 4)
            self.drawing.text(centre, head / 2 + 7 - _LINE * (len(lines) - 1) / 2, lines)
        self.drawing.parts += drawn.parts
        self.drawing.width = max(self.drawing.width, drawn.width)
        self.drawing.height = y + 6

    def _row(self, drawn: Drawing, row: str, y: float) -> float:
        if match := self._MESSAGE.fullmatch(row):
            lines = match[4].split("<br/>")
            start, end = self._centres[match[1]], self._centres[match[3]]
            drawn.text((start + end) / 2, y + 12, lines)
            y += _LINE * len(lines) + 4
            drawn.arrow((start, y), (end, y), dashed=match[2] == "--")
            return y + 14
        if match := self._NOTE.fullmatch(row):
            lines = match[3].split("<br/>")
            first, last = self._centres[match[1]], self._centres[match[2] or match[1]]
            width = max(_wide(lines) + 20, abs(last - first) + 60)
            left = max(4.0, (first + last) / 2 - width / 2)
            height = _LINE * len(lines) + 8
            drawn.box(left, y, width, height, "note")
            drawn.text(left + width / 2, y + 16, lines)
            return y + height + 14
        raise DiagramError(f"this line of a sequence diagram is not drawn here: {row}")


class Flow:
    """A flowchart: boxes in layers, by the longest way to each, and straight arrows."""

    _NODE = re.compile(r'(\w+)\["(.+?)"\]')
    _EDGE = re.compile(r"(\w+) (-->|-\.->)(?:\|(.+?)\|)? (\w+)")
    _GAP: ClassVar[float] = 34

    def __init__(self, body: list[str], *, is_down: bool) -> None:
        self.drawing = Drawing()
        self._is_down = is_down
        self._labels: dict[str, list[str]] = {}
        self._edges: list[tuple[str, str, str, bool]] = []
        for line in body:
            self._read(line)
        self._places: dict[str, tuple[float, float, float, float]] = {}
        self._place()
        self._draw()

    def _read(self, line: str) -> None:
        if match := self._NODE.fullmatch(line):
            self._labels[match[1]] = match[2].split("<br/>")
        elif match := self._EDGE.fullmatch(line):
            self._edges.append((match[1], match[4], match[3] or "", match[2] == "-.->"))
        else:
            raise DiagramError(f"this line of a flowchart is not drawn here: {line}")

    def _layers(self) -> list[list[str]]:
        depth = dict.fromkeys(self._labels, 0)
        # Dotted arrows show what may also happen; they do not decide where a box stands.
        for _ in self._labels:
            for start, end, _, is_dotted in self._edges:
                if not is_dotted:
                    depth[end] = max(depth[end], depth[start] + 1)
        return [
            [name for name in self._labels if depth[name] == layer]
            for layer in range(max(depth.values(), default=0) + 1)
        ]

    def _size(self, name: str) -> tuple[float, float]:
        lines = self._labels[name]
        return _wide(lines) + 26, _LINE * len(lines) + 16

    def _place(self) -> None:
        layers = self._layers()
        spans = [sum(self._size(name)[not self._is_down] + self._GAP for name in layer) - self._GAP for layer in layers]
        along: float = 4
        for number, layer in enumerate(layers):
            across = 4 + (max(spans) - spans[number]) / 2
            thickness = max(self._size(name)[self._is_down] for name in layer)
            for name in layer:
                width, height = self._size(name)
                middle = along + (thickness - (height if self._is_down else width)) / 2
                x, y = (across, middle) if self._is_down else (middle, across)
                self._places[name] = (x, y, width, height)
                across += (width if self._is_down else height) + self._GAP
            along += thickness + self._room_after(layer)

    def _room_after(self, layer: list[str]) -> float:
        labels = [label for start, end, label, _ in self._edges if label and (start in layer or end in layer)]
        return 34 + (22 if labels else 0) if self._is_down else 40 + (_wide(labels) if labels else 0)

    def _draw(self) -> None:
        for start, end, _, is_dotted in self._edges:
            self.drawing.arrow(*self._ends(start, end), dashed=is_dotted)
        for start, end, label, _ in self._edges:
            if label:
                (x1, y1), (x2, y2) = self._ends(start, end)
                width = _wide([label]) * 0.95
                self.drawing.under((x1 + x2) / 2 - width / 2, (y1 + y2) / 2 - 10, width, 18)
                self.drawing.text((x1 + x2) / 2, (y1 + y2) / 2 + 4, [label], kind="small")
        for name, (x, y, width, height) in self._places.items():
            self.drawing.box(x, y, width, height)
            lines = self._labels[name]
            self.drawing.text(x + width / 2, y + height / 2 + 5 - _LINE * (len(lines) - 1) / 2, lines)

    def _ends(self, start: str, end: str) -> tuple[tuple[float, float], tuple[float, float]]:
        """Where the line between two boxes leaves the one and meets the other."""
        one, other = self._centre(start), self._centre(end)
        return self._border(start, one, other), self._border(end, other, one)

    def _centre(self, name: str) -> tuple[float, float]:
        x, y, width, height = self._places[name]
        return x + width / 2, y + height / 2

    def _border(self, name: str, centre: tuple[float, float], towards: tuple[float, float]) -> tuple[float, float]:
        _, _, width, height = self._places[name]
        dx, dy = towards[0] - centre[0], towards[1] - centre[1]
        scale = min(
            (width / 2 + 2) / abs(dx) if dx else float("inf"), (height / 2 + 2) / abs(dy) if dy else float("inf")
        )
        return centre[0] + dx * scale, centre[1] + dy * scale


class MermaidDirective(Directive):
    """A ``mermaid`` fence."""

    has_content = True

    def run(self) -> list[nodes.Node]:
        """Draw it."""
        try:
            html = draw("\n".join(self.content))
        except (DiagramError, KeyError, IndexError) as error:
            raise self.error(f"cannot draw this diagram: {error}") from error
        return [nodes.raw("", html, format="html")]


def setup(app: Sphinx) -> dict[str, bool]:
    """Register with Sphinx."""
    app.add_directive("mermaid", MermaidDirective)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
