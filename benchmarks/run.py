"""What sessions cost, ours beside those of others: ``python -m benchmarks.run [--quick] [--json FILE] ...``."""

import argparse
import sys
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from benchmarks import floors, report, targets
from benchmarks.contenders import CONTENDERS, GROUPS, Contender
from benchmarks.measure import Extent, Sample, measure_side_by_side
from benchmarks.process import LoadProcess
from benchmarks.stores import store_for

USUAL: Final = Extent(count=600, seconds=0.3, blocks=5, rounds=3)
QUICK: Final = Extent(count=400, seconds=0.2, blocks=3, rounds=2)


def main() -> None:
    given = _arguments()
    extent = QUICK if given.quick else USUAL
    if given.rounds:
        extent = replace(extent, rounds=given.rounds)
    machine = report.machine()
    began = time.monotonic()
    rows, left_out = measure_groups(given.only or GROUPS, extent)
    outcome = report.Report(
        machine=machine | {"load afterwards": report.load()},
        extent=extent,
        seconds=round(time.monotonic() - began),
        rows=rows,
        floors=[] if given.no_floors else floors.measure_all(quick=given.quick),
        left_out=left_out,
    )
    outcome.targets = targets.judge(outcome.rows, outcome.floors)
    print(report.as_text(outcome))
    if given.json:
        given.json.write_text(report.as_json(outcome))
    if given.plot:
        from benchmarks import plot  # noqa: PLC0415 - only a figure needs matplotlib

        plot.draw(outcome.rows, given.plot)


def measure_groups(groups: Sequence[str], extent: Extent) -> tuple[list[report.Row], dict[str, str]]:
    """Measure the contenders of each group in turn, round by round; also tell who was left out, and why."""
    rows: list[report.Row] = []
    left_out: dict[str, str] = {}
    with LoadProcess() as load:
        for group in groups:
            contenders = [contender for contender in CONTENDERS if contender.group == group]
            samples: dict[tuple[Contender, str, int], list[Sample]] = defaultdict(list)
            with store_for(group) as store:
                for in_turn in _in_turn(contenders, extent.rounds):
                    running = [contender for contender in in_turn if contender.title not in left_out]
                    for contender, found in measure_side_by_side(running, store, load, extent).items():
                        if isinstance(found, Exception):
                            left_out[contender.title] = report.explained(found)
                            continue
                        for (route, connections), sample in found.items():
                            samples[contender, route, connections].append(sample)
            rows += [report.Row.of(*key, found) for key, found in samples.items()]
    return rows, left_out


def _in_turn(contenders: Sequence[Contender], rounds: int) -> Iterator[Sequence[Contender]]:
    for number in range(rounds):
        print(f"round {number + 1} of {rounds}: {contenders[0].group}", file=sys.stderr)
        # Each round in the other direction, so that nobody always comes first.
        yield contenders if number % 2 == 0 else contenders[::-1]


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.run", description=__doc__.partition(":")[0])
    parser.add_argument("--quick", action="store_true", help="a minute or two instead of ten; for a first look")
    parser.add_argument("--rounds", type=int, help=f"how often everything is measured; default {USUAL.rounds}")
    parser.add_argument("--only", action="append", choices=GROUPS, help="measure this group alone; may be repeated")
    parser.add_argument("--no-floors", action="store_true", help="leave out the small benchmarks of single functions")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything there")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="draw the main figures there (SVG)")
    return parser.parse_args()


if __name__ == "__main__":
    main()
